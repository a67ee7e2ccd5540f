"""The round loop: every arm once in each round, in random order, on the clock that it is passed.

Arms measured one after the other drift apart; the same module against itself then misses the
ratio 1 in a third of all runs. Randomly interleaved pairs do not.
"""

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from timeit import Timer

import msgspec

#: Warm every arm this often and this long, but for no more than that share of the process's time.
WARM_CALLS, WARM_S, WARM_SHARE = 5, 0.2, 0.03

#: Before a timing as many calls settle what the other arms left in the caches; one is not enough
#: for modules of 0.2 ms, which then seem 1–3% slower. A call that is longer than this needs none:
#: the first call after a switch took 0.999 [0.996–1.002] times the second at 40 ms, and 1.0025
#: [0.996–1.004] at 165 ms, and a settling call would halve the rounds.
SETTLE_BELOW_S = 0.02


class TimedCall(msgspec.Struct, frozen=True):
    """An arm's call. `calls` of it make one timing, after `settling` that are not timed.

    `flush` is called before every timing where the caches are to be cold.
    """

    call: Callable[[], object]
    calls: int = 1
    settling: int = 1
    flush: Callable[[], None] | None = None
    seconds: float = 0.0

    @property
    def round_s(self) -> float:
        """What a round of it takes, by its seconds for one call."""
        return (self.calls + self.settling) * self.seconds


class Usage(msgspec.Struct, frozen=True):
    """Processor seconds and minor page faults of this process so far."""

    cpu_s: float
    faults: int


class Timing(msgspec.Struct, frozen=True):
    """For one call: wall and processor seconds, minor page faults."""

    wall_s: float
    cpu_s: float
    faults: float


def usage() -> Usage:
    """This process's, as the operating system counts it; no faults where it does not."""
    try:
        import resource
    except ImportError:  # Windows
        import time

        return Usage(time.process_time(), 0)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(used.ru_utime + used.ru_stime, used.ru_minflt)


def warm(
    call: Callable[[], object],
    clock: Callable[[], float],
    least_timing_s: float,
    slice_s: float,
    flush: Callable[[], None] | None = None,
) -> TimedCall:
    """Call until it is warm, and choose how many calls make a timing of at least `least_timing_s`."""
    times: list[float] = []
    while True:
        start = clock()
        call()
        times.append(clock() - start)
        enough = len(times) >= WARM_CALLS and sum(times) >= WARM_S
        if enough or sum(times) >= WARM_SHARE * slice_s:
            break
    fastest = max(min(times), 1e-9)
    if flush is not None:
        return TimedCall(call, 1, 0, flush, fastest)
    calls = max(1, -int(-least_timing_s // fastest))
    return TimedCall(call, calls, calls if fastest < SETTLE_BELOW_S else 0, None, fastest)


def rounds(
    arms: Sequence[TimedCall],
    clock: Callable[[], float],
    rng: random.Random,
    used: Callable[[], Usage] = usage,
) -> Iterator[tuple[Timing, ...]]:
    """Rounds without end; each yields the arms' timings in the order of `arms`.

    The inner clock is the standard library's `Timer`, which turns the garbage collector off,
    under the device's clock, which synchronizes accelerators. torch.utils.benchmark's
    `Timer.timeit` would settle every timing with two calls, for slow arms most of the time.
    A round in which the clock did not go forward is left out.
    """
    timers = [Timer(arm.call, timer=clock) for arm in arms]
    order = list(range(len(arms)))
    gc.collect()
    while True:
        rng.shuffle(order)
        found: dict[int, Timing] = {}
        for i in order:
            arm = arms[i]
            if arm.flush is not None:
                arm.flush()
            for _ in range(arm.settling):
                arm.call()
            before = used()
            wall = timers[i].timeit(arm.calls)
            after = used()
            found[i] = Timing(
                wall / arm.calls,
                (after.cpu_s - before.cpu_s) / arm.calls,
                (after.faults - before.faults) / arm.calls,
            )
        if all(timing.wall_s > 0 for timing in found.values()):
            yield tuple(found[i] for i in range(len(arms)))
