"""How often does a 95% interval hold the true ratio? A convolution is timed against its own copy.

The ratio of a module to a copy of it is 1, so every miss and every "faster" or "slower" is an error.
One thread, float32, malloc's thresholds pinned, by the package's own pieces, in four settings:

- in one process, which is what `--quick` claims: rounds of the baseline, the copy and the control
  in random order, the exact interval of the median log ratio. Each comparison has modules of its
  own, with random gaps between them: what their places in memory do to them counts as an error;
- over processes, which is what the headline claims: the same rounds in fresh workers, Student's t
  interval of the processes' medians. The workers are not asked for the roof and the kernels;
- by the default plan, with all that `compare` and `factorize` decide themselves: processes, rounds, when to stop;
- as the points of a timed sweep, which share their processes: each point's own ratio is a comparison.

For contrast other tools' way, on the arms of the first setting, before or after it by chance: all
timings of the baseline, then as many of the copy, with the same clock, calls and settling. Of these
Welch's t interval of the mean log times, and whether the two interquartile ranges overlap, which
`torch.utils.benchmark.Measurement` prints and which claim no 95%. Their verdicts have the least
floor, 1%, since there is no control.

    python benchmarks/latency_coverage.py > table.md    # while nothing else runs, about half an hour
    python benchmarks/latency_coverage.py --default 300 --swept 10    # 300 of each by the plans, about three hours

With --records each comparison is written into a file of JSON lines as soon as it is made, with the day, the commit and
the load. A run that was ended goes on after the lines that are there, and the table is made of all of them.
"""

import argparse
import gc
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from math import exp, log
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import NamedTuple

import msgspec
import torch
from counters import machine, print_table
from revision import commit
from scipy.stats import binomtest, ttest_ind

import vggcalc
from vggcalc.errors import WorkerError
from vggcalc.measurement.intervals import (
    FIRST_CHECK,
    Estimate,
    Times,
    estimate,
    log_ratios,
    verdict,
)
from vggcalc.measurement.limits import INACTIVITY_TIMEOUT_S
from vggcalc.measurement.plan import Plan
from vggcalc.measurement.rounds import ProcessRounds
from vggcalc.measurement.schedule import LEAST_PROCESSES, LONGEST_BUDGET_S
from vggcalc.measurement.session import measure_all, measure_together
from vggcalc.measurement.worker import Worker
from vggcalc.protocol import Arm, ArmsReady, Rounds, StartRounds, Subject, TimingJob
from vggcalc.results import Comparison, Configuration
from vggcalc.results.measured import LEAST_FLOOR
from vggcalc.runtime.time import allocator
from vggcalc.runtime.time.arms import context, prepare
from vggcalc.runtime.time.devices import Device, device
from vggcalc.runtime.time.rounds import TimedCall, rounds, warm

#: A 3×3 has nothing to split: the comparison's two variants are the same network.
COMPARISON = vggcalc.factorize(3, size=28, activation="none")
CONFIGURATION = Configuration("cpu", "float32")

#: What the command does itself, but for the counts.
PLAN = Plan(check=False, devices=("cpu",))

#: The points of a sweep: all have a stack that is the same network.
POINTS = [
    vggcalc.factorize(3, channels=c, size=n, activation="none") for c in range(8, 72, 8) for n in (14, 20, 28, 40)
]

#: Of which warming takes its share: 0.03 s for each arm here, 0.15 s in a worker as in a budget of 30 s.
SLICE_S, WORKER_SLICE_S = 1.0, 5.0

IN_ONE = f"in one process, {FIRST_CHECK} rounds: exact interval of the median"
OVER = f"over {LEAST_PROCESSES} processes of {FIRST_CHECK} rounds: t interval of their medians"
BY_DEFAULT = "by the default plan"
SWEPT = f"the {len(POINTS)} points of a timed sweep, in the same processes"
WELCH = f"{FIRST_CHECK} timings in a block, then {FIRST_CHECK} of the copy: Welch's t interval"
QUARTILES = "the same blocks: the interquartile ranges"
NO_CONTROL = Estimate(1.0, (1.0, 1.0))  # with it the floor is the least one


class Found(NamedTuple):
    """What one comparison of the module with its copy came to."""

    estimate: Estimate
    verdict: str


class Record(msgspec.Struct):
    """A comparison as it is kept: the way it was made, its seed, what was found, and when, by what and beside what."""

    way: str
    seed: int
    found: Found
    day: str
    commit: str
    load: float


def judged(processes: Sequence[Sequence[Times]]) -> Found:
    """The package's ratio and verdict, from each process's times of baseline, copy and control."""
    copy = estimate([log_ratios(baseline, copy) for baseline, copy, _ in processes])
    control = estimate([log_ratios(baseline, control) for baseline, _, control in processes])
    return Found(copy, verdict(copy, control))


def welch(baseline: Times, copy: Times) -> Estimate:
    """Two independent samples, as if no time had passed between them."""
    ours, theirs = ([log(seconds) for seconds in times] for times in (copy, baseline))
    interval = ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    return Estimate(exp(fmean(ours) - fmean(theirs)), (exp(interval.low), exp(interval.high)))


def quartiles(baseline: Times, copy: Times) -> Estimate:
    """The medians' ratio; it holds 1 where the interquartile ranges overlap."""
    ours, theirs = (quantiles(times, n=4, method="inclusive") for times in (copy, baseline))
    return Estimate(ours[1] / theirs[1], (ours[0] / theirs[2], ours[2] / theirs[0]))


def in_this_process(where: Device, seed: int, configuration: Configuration = CONFIGURATION) -> dict[str, Found]:
    """One comparison in this process and its contrast, by way."""
    rng = random.Random(seed)
    gaps, calls = [], []
    for variant in (*COMPARISON.variants, COMPARISON.variants[0]):
        gaps.append(torch.empty(rng.randrange(2**18), device=where.name))  # kept until the comparison is over
        calls.append(prepare(Subject(variant.name, variant.network), configuration, where, seed).call)
    arms = [warm(call, where.clock, where.least_timing_s(), SLICE_S) for call in calls]

    def timed(arms: Sequence[TimedCall]) -> list[Times]:
        taken = islice(rounds(arms, where.clock, rng), FIRST_CHECK)
        return [[timing.wall_s for timing in timings] for timings in zip(*taken, strict=True)]

    def interleaved() -> dict[str, Found]:
        return {IN_ONE: judged([timed(arms)])}

    def blocks() -> dict[str, Found]:
        (baseline,), (copy,) = (timed([arm]) for arm in arms[:2])
        both = {WELCH: welch(baseline, copy), QUARTILES: quartiles(baseline, copy)}
        return {way: Found(one, verdict(one, NO_CONTROL)) for way, one in both.items()}

    first, second = rng.sample([interleaved, blocks], 2)
    return first() | second()


def over_processes(seed: int) -> Found:
    """One comparison in fresh workers, one after the other. Raises `WorkerError`."""
    arms = tuple((Arm(one.name), Subject(one.name, one.network)) for one in COMPARISON.variants)
    processes: list[list[Times]] = []
    for number in range(LEAST_PROCESSES):
        job = TimingJob(arms, CONFIGURATION, seed + number, WORKER_SLICE_S, need_bytes=0)
        with Worker(job, INACTIVITY_TIMEOUT_S) as worker:
            for message in worker.messages():
                match message:
                    case ArmsReady():
                        process = ProcessRounds(message, message.arms)
                        worker.send(StartRounds(message.arms, FIRST_CHECK))
                    case Rounds():
                        process.add(message)
        processes.append([process.times(arm) for arm in process.arms])
    return judged(processes)


def by_default(seed: int) -> Found:
    """One comparison as the command makes it. Raises `WorkerError`."""
    outcome = measure_all([COMPARISON], msgspec.structs.replace(PLAN, seed=seed), lambda text: None)
    return found_in(outcome.comparisons[0], outcome.failures)


def swept(seed: int) -> list[Found]:
    """The points of one sweep, with the budget that a sweep has by default. Raises `WorkerError`."""
    plan = msgspec.structs.replace(PLAN, seed=seed, budget_s=LONGEST_BUDGET_S)
    outcome, _ = measure_together(POINTS, plan, lambda text, left_s: None)
    return [found_in(comparison, outcome.failures) for comparison in outcome.comparisons]


def found_in(comparison: Comparison, failures: Sequence[str]) -> Found:
    """The ratio that was measured. Raises `WorkerError` where none was."""
    for ratio in comparison.ratios[0].latency:
        return Found(Estimate(ratio.ratio, ratio.ci95, ratio.basis), ratio.verdict)
    raise WorkerError("; ".join(failures) or "its turn did not come")


def share(part: int, whole: int) -> str:
    """A share with its exact 95% interval (Clopper and Pearson's)."""
    interval = binomtest(part, whole).proportion_ci()
    return f"{part / whole:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def table(found: dict[str, list[Found]]) -> Iterable[Sequence[str]]:
    """One line for each way of comparing."""
    yield (
        "way",
        "comparisons",
        "holds 1.0",
        "faster or slower",
        "median full width",
        "median error",
        "largest error",
    )
    for way, results in found.items():
        estimates = [one.estimate for one in results]
        held = sum(e.ci95 is not None and e.ci95[0] <= 1 <= e.ci95[1] for e in estimates)
        wrong = sum(one.verdict in ("faster", "slower") for one in results)
        errors = [abs(e.ratio - 1) for e in estimates]
        figures = median(e.width for e in estimates), median(errors), max(errors)
        count = len(results)
        yield way, str(count), share(held, count), share(wrong, count), *(f"{one:.2%}" for one in figures)


def read_records(file: Path | None) -> list[Record]:
    """The comparisons that are kept in a file; none where there is no file yet."""
    if file is None or not file.exists():
        return []
    return [msgspec.json.decode(line, type=Record) for line in file.read_bytes().splitlines()]


def measure(
    within: int, across: int, default: int, sweeps: int, seed: int, records: Path | None = None
) -> dict[str, list[Found]]:
    """All comparisons, by way; one whose worker failed is left out, and standard error says so.

    Those over processes and by the plans go into the file of `records`; of what is there already none is made again.
    """
    found: dict[str, list[Found]] = {way: [] for way in (IN_ONE, OVER, BY_DEFAULT, SWEPT, WELCH, QUARTILES)}
    kept = read_records(records)
    for record in kept:
        found[record.way].append(record.found)
    done = {(record.way, record.seed) for record in kept}
    where = device(CONFIGURATION.device)
    where.configure(CONFIGURATION)
    gc.freeze()  # else the round loop's collection takes longer than its rounds, for what torch imported
    for number in range(within):
        if number % 20 == 0:
            print(f"in one process: {number + 1} of {within}", file=sys.stderr)
        with context(CONFIGURATION):
            for way, one in in_this_process(where, seed + number).items():
                found[way].append(one)
    ways: dict[str, tuple[range, Callable[[int], list[Found]]]] = {
        OVER: (range(seed, seed + LEAST_PROCESSES * across, LEAST_PROCESSES), lambda own: [over_processes(own)]),
        BY_DEFAULT: (range(seed, seed + default), lambda own: [by_default(own)]),
        SWEPT: (range(seed, seed + sweeps), swept),
    }
    for way, (seeds, with_seed) in ways.items():
        for own in seeds:
            if (way, own) in done:
                continue
            print(f"{way}: {seeds.index(own) + 1} of {len(seeds)}", file=sys.stderr)
            load = os.getloadavg()[0]
            try:
                made = with_seed(own)
            except WorkerError as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            found[way] += made
            if records:
                day, at = time.strftime("%Y-%m-%d"), commit()
                with records.open("ab") as file:
                    file.write(b"".join(msgspec.json.encode(Record(way, own, o, day, at, load)) + b"\n" for o in made))
    return {way: results for way, results in found.items() if results}


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of the latency ratio's intervals, as Markdown.")
    parser.add_argument("--within", type=int, default=200, metavar="N", help="in one process (%(default)s)")
    parser.add_argument("--across", type=int, default=40, metavar="N", help="over processes (%(default)s)")
    parser.add_argument("--default", type=int, default=20, metavar="N", help="by the default plan (%(default)s)")
    parser.add_argument("--swept", type=int, default=2, metavar="N", help="sweeps (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of orders and weights (%(default)s)")
    parser.add_argument("--records", type=Path, metavar="FILE", help="what is kept, and where to go on")
    asked = parser.parse_args()
    pinned, load, began = allocator.pin(), os.getloadavg()[0], time.monotonic()
    print_table(table(measure(asked.within, asked.across, asked.default, asked.swept, asked.seed, asked.records)))
    print(
        f"{machine()}; {time.strftime('%Y-%m-%d')}; load {load:.2f} before, {os.getloadavg()[0]:.2f} after; "
        f"3×3, 64 channels, 28×28, float32, {CONFIGURATION.threads} thread, allocator {pinned}; "
        f"--seed {asked.seed}, {time.monotonic() - began:.0f} s. Faster or slower: outside the floor, which "
        f"the control sets in the package's own ways and which is {LEAST_FLOOR:.0%} in the others."
    )


if __name__ == "__main__":
    main()
