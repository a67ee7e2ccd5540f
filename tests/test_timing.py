"""The round loop and the warm-up under a clock that is given: no real duration is asserted."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from vggcalc.runtime.time.rounds import TimedCall, Usage, rounds, warm


class FakeDevice:
    """A device on which a call takes the time that it says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.log: list[str] = []

    def call(self, name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.log.append(name)
            self.now += seconds

        return run

    def clock(self) -> float:
        return self.now


def arm(device: FakeDevice, name: str, seconds: float, calls: int = 1, settling: int = 1) -> TimedCall:
    return TimedCall(device.call(name, seconds), calls, settling)


def test_times_are_those_of_one_call() -> None:
    device = FakeDevice()
    arms = [arm(device, "a", 0.004, calls=3), arm(device, "b", 0.002, calls=5)]
    usage = iter(range(10**6))
    found = rounds(arms, device.clock, random.Random(0), lambda: Usage(next(usage) * 0.006, 0))
    for _ in range(5):
        a, b = next(found)
        assert a.wall_s == pytest.approx(0.004)
        assert b.wall_s == pytest.approx(0.002)
        assert a.cpu_s == pytest.approx(0.006 / 3)


def test_every_round_has_every_arm_in_random_order_each_settled() -> None:
    device = FakeDevice()
    arms = [arm(device, name, 0.001, calls=2, settling=1) for name in "abc"]
    found = rounds(arms, device.clock, random.Random(1))
    orders: Counter[str] = Counter()
    for _ in range(300):
        device.log.clear()
        next(found)
        assert [device.log[i : i + 3] for i in (0, 3, 6)] == [[name] * 3 for name in device.log[::3]]
        orders["".join(device.log[::3])] += 1
    assert len(orders) == 6
    assert min(orders.values()) > 25  # 50 expected, σ = 6.5


def test_the_seed_decides_the_order() -> None:
    def order(seed: int) -> list[str]:
        device = FakeDevice()
        found = rounds([arm(device, name, 0.001) for name in "abc"], device.clock, random.Random(seed))
        for _ in range(20):
            next(found)
        return device.log

    assert order(3) == order(3)
    assert order(3) != order(4)


@pytest.mark.parametrize(
    ("seconds", "least", "calls", "settling"),
    [(1e-4, 1e-3, 10, 10), (3e-4, 1e-3, 4, 4), (5e-3, 1e-3, 1, 1), (0.3, 1e-3, 1, 0), (1e-4, 0.05, 500, 500)],
)
def test_calls_make_a_timing_that_the_clock_resolves(seconds: float, least: float, calls: int, settling: int) -> None:
    device = FakeDevice()
    warmed = warm(device.call("a", seconds), device.clock, least, slice_s=30.0)
    assert warmed.calls in (calls, calls + 1)
    assert warmed.settling in (settling, settling + 1)
    assert (warmed.settling == 0) == (settling == 0)
    spent = len(device.log) * seconds
    assert spent >= 0.2 - 1e-9
    assert len(device.log) >= 5 or spent >= 0.9 - 1e-9, "no more than 3% of the time there is"


def test_a_call_longer_than_its_share_of_the_budget_is_warmed_once() -> None:
    device = FakeDevice()
    warm(device.call("a", 40.0), device.clock, 1e-3, slice_s=30.0)
    assert len(device.log) == 1


def test_a_cold_arm_is_flushed_before_every_timing_and_never_settled() -> None:
    device = FakeDevice()
    flush = device.call("flush", 0.01)
    cold = warm(device.call("a", 0.001), device.clock, 0.1, 30.0, flush)
    assert (cold.calls, cold.settling) == (1, 0)
    device.log.clear()
    (timing,) = next(rounds([cold], device.clock, random.Random(0)))
    assert device.log == ["flush", "a"]
    assert timing.wall_s == pytest.approx(0.001)


def test_a_round_in_which_the_clock_jumps_back_is_left_out() -> None:
    device = FakeDevice()
    jumps = iter([0.0, -5.0, 0.0])

    def call() -> None:
        device.now += 0.25 + next(jumps)

    found = rounds([TimedCall(call, calls=1, settling=0)], device.clock, random.Random(0))
    assert [next(found)[0].wall_s for _ in range(2)] == pytest.approx([0.25, 0.25])
