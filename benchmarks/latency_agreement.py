"""Does the package's round loop give the latencies that torch's own benchmark timer gives?

`torch.utils.benchmark.Timer.blocked_autorange` times one module in blocks, at its defaults; the
package times all of its arms in alternation, as many rounds as its first look, with a settling call
before each timing. Both are asked about the same modules in one process, one thread, malloc's
thresholds pinned, in the order ours, theirs, theirs, ours, so that drift falls on both alike.
Between them ours is taken a second way, one module to a loop. The difference that disappears there
comes from alternating, since the other modules have had the caches; what stays is the loop's own.

A repeat's ratio is of the geometric means of its two medians each. Printed are the median ratio
with its exact 95% interval and its range over the repeats; and, for what this machine can tell,
torch against itself: the second time in a repeat against the first.

    python benchmarks/latency_agreement.py > table.md    # while nothing else runs
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from statistics import geometric_mean, median

from counters import machine, print_table
from torch.utils.benchmark import Timer

from vggcalc import factorize
from vggcalc.measurement.intervals import FIRST_CHECK, estimate, log_ratios
from vggcalc.protocol import Subject
from vggcalc.results import Configuration
from vggcalc.runtime.time import allocator
from vggcalc.runtime.time.arms import context, prepare
from vggcalc.runtime.time.devices import Device, device
from vggcalc.runtime.time.rounds import TimedCall, rounds, warm

CONFIGURATION = Configuration("cpu", "float32")
SEVEN = factorize(7)
DEPTHWISE = factorize(7, in_channels=256, out_channels=256, groups=256, size=28, activation="none")
MODULES = {
    "7×7, 64 channels, 56×56, ReLU": SEVEN["naive"],
    "its stack of three 3×3": SEVEN["factorized"],
    "depthwise 7×7, 256 channels, 28×28": DEPTHWISE["naive"],
    "3×3, 64 channels, 28×28": factorize(3, size=28, activation="none")["naive"],
}

#: Enough to warm each arm for 0.2 s.
SLICE_S = 30.0

#: The ways to time: ours, ours with one module to a loop, and theirs.
TOGETHER, ALONE, TORCH = "vggcalc", "vggcalc alone", "torch"

#: By module, in seconds.
Medians = dict[str, float]

#: By module.
Calls = dict[str, TimedCall]


def by_rounds(loops: Iterable[Calls], where: Device, rng: random.Random) -> Medians:
    """The package's: for each loop, rounds of its modules in random order."""
    medians: Medians = {}
    for calls in loops:
        taken = list(islice(rounds(list(calls.values()), where.clock, rng), FIRST_CHECK))
        medians |= {name: median(row[i].wall_s for row in taken) for i, name in enumerate(calls)}
    return medians


def by_blocks(calls: Calls) -> Medians:
    """torch's, one module after the other."""
    timers = {name: Timer("call()", globals={"call": one.call}, num_threads=1) for name, one in calls.items()}
    return {name: timer.blocked_autorange().median for name, timer in timers.items()}


def measure(repeats: int, seed: int) -> dict[str, list[Medians]]:
    """Every module built and warmed once, then timed by all ways, there and back in each repeat."""
    rng = random.Random(seed)
    where = device(CONFIGURATION.device)
    where.configure(CONFIGURATION)
    found: dict[str, list[Medians]] = {way: [] for way in (TOGETHER, ALONE, TORCH)}
    with context(CONFIGURATION):
        calls = {
            name: prepare(Subject(variant.name, variant.network), CONFIGURATION, where, seed).call
            for name, variant in MODULES.items()
        }
        least = where.least_timing_s()
        warmed = {name: warm(call, where.clock, least, SLICE_S) for name, call in calls.items()}

        def in_random_order() -> list[str]:
            return rng.sample(list(warmed), len(warmed))

        ways: dict[str, Callable[[], Medians]] = {
            TOGETHER: lambda: by_rounds([warmed], where, rng),
            ALONE: lambda: by_rounds([{name: warmed[name]} for name in in_random_order()], where, rng),
            TORCH: lambda: by_blocks({name: warmed[name] for name in in_random_order()}),
        }
        for number in range(repeats):
            print(f"repeat {number + 1} of {repeats}", file=sys.stderr)
            for way in (*ways, *reversed(ways)):
                found[way].append(ways[way]())
    return found


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Ours / theirs with the exact 95% interval, for which fewer than six repeats are too few."""
    found = estimate([log_ratios(theirs, ours)])
    known = f"{found.ci95[0]:.4f} to {found.ci95[1]:.4f}" if found.ci95 else "too few repeats"
    return f"{found.ratio:.4f} ({known})"


def table(found: dict[str, list[Medians]]) -> Iterable[Sequence[str]]:
    """One line for each module."""
    against = [cell for way in (TOGETHER, ALONE) for cell in (f"{way} / torch", "range")]
    yield "module", *found, *against, "torch / torch"
    for name in MODULES:
        by_way = {way: [medians[name] for medians in taken] for way, taken in found.items()}
        firsts, seconds = by_way[TORCH][::2], by_way[TORCH][1::2]
        means = {
            way: [geometric_mean(pair) for pair in zip(times[::2], times[1::2], strict=True)]
            for way, times in by_way.items()
        }
        cells = [f"{1e3 * median(times):#.4g} ms" for times in means.values()]
        for way in (TOGETHER, ALONE):
            ratios = [our / their for our, their in zip(means[way], means[TORCH], strict=True)]
            cells += [ratio(means[TORCH], means[way]), f"{min(ratios):.4f} to {max(ratios):.4f}"]
        yield name, *cells, ratio(firsts, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Latencies by vggcalc and by torch, as a Markdown table.")
    parser.add_argument("--repeats", type=int, default=12, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of orders and weights (%(default)s)")
    asked = parser.parse_args()
    repeats = max(1, asked.repeats)
    pinned, load, began = allocator.pin(), os.getloadavg()[0], time.monotonic()
    print_table(table(measure(repeats, asked.seed)))
    print(
        f"{machine()}; {time.strftime('%Y-%m-%d')}; load {load:.2f} before, {os.getloadavg()[0]:.2f} after; "
        f"float32, {CONFIGURATION.threads} thread, allocator {pinned}; --repeats {repeats} "
        f"--seed {asked.seed}, {2 * FIRST_CHECK} rounds of each in a repeat, {time.monotonic() - began:.0f} s."
    )


if __name__ == "__main__":
    main()
