"""Ratios, intervals and verdicts against scipy, the binomial distribution and simulated data."""

import math
import random
from statistics import median

import pytest
from scipy import stats

from vggcalc.measurement import intervals
from vggcalc.measurement.intervals import Estimate


def noisy(rng: random.Random, n: int, ratio: float) -> tuple[list[float], list[float]]:
    """Two arms in one process: common drift, heavy-tailed noise, now and then an outlier."""
    baseline, arm = [], []
    level = 1.0
    for _ in range(n):
        level *= math.exp(rng.gauss(0, 0.02))
        times = []
        for mean in (1.0, ratio):
            noise = rng.expovariate(20) + (rng.random() < 0.05) * rng.expovariate(1)
            times.append(level * mean * (1 + noise))
        baseline.append(times[0])
        arm.append(times[1])
    return baseline, arm


def within(baseline: list[float], arm: list[float], compared: int = 1) -> Estimate:
    return intervals.estimate([intervals.log_ratios(baseline, arm)], compared)


def test_ratio_is_the_median_of_paired_ratios() -> None:
    baseline, arm = [1.0, 2.0, 4.0, 8.0, 1.0], [0.5, 1.0, 2.0, 4.0, 3.0]
    found = within(baseline, arm)
    assert found.ratio == pytest.approx(0.5)
    assert (found.ci95, found.basis) == (None, "none")


@pytest.mark.parametrize("n", [6, 7, 10, 30, 51])
@pytest.mark.parametrize("compared", [1, 5])
def test_interval_is_made_of_the_order_statistics_that_the_binomial_names(n: int, compared: int) -> None:
    """Independent of scipy's quantile_test: the highest rank j with 2·P(X < j) ≤ 5% / k."""
    rng = random.Random(n)
    baseline, arm = noisy(rng, n, 0.7)
    ratios = sorted(a / b for a, b in zip(arm, baseline, strict=True))
    tails = [2 * sum(math.comb(n, i) for i in range(j)) / 2**n for j in range(n // 2 + 1)]
    rank = max(j for j, tail in enumerate(tails) if tail <= 0.05 / compared)
    found = within(baseline, arm, compared)
    assert found.ratio == pytest.approx(math.exp(median(math.log(r) for r in ratios)))
    if rank:
        assert found.ci95 == pytest.approx((ratios[rank - 1], ratios[n - rank]))
        assert n >= intervals.least_rounds(compared)
    else:
        assert found.ci95 is None
        assert n < intervals.least_rounds(compared)


@pytest.mark.parametrize("compared", [1, 3])
@pytest.mark.parametrize("n", [5, 6, 8, 9, 100, 1001])
def test_interval_is_scipys(n: int, compared: int) -> None:
    rng = random.Random(n)
    d = [rng.gauss(0, 1) for _ in range(n)]
    low, high = stats.quantile_test(d, q=0, p=0.5).confidence_interval(1 - 0.05 / compared)
    expected = None if math.isnan(low) else pytest.approx((math.exp(-high), math.exp(-low)))
    assert intervals.within_process(d, compared).ci95 == expected


def test_over_processes_it_is_students_t_of_the_medians() -> None:
    processes = [[0.1, 0.2, 0.3], [0.3, 0.4, 0.5], [0.2, 0.3, 0.7]]
    found = intervals.estimate(processes)
    low, high = stats.t.interval(0.95, 2, loc=0.3, scale=stats.sem([0.2, 0.4, 0.3]))
    assert found.ratio == pytest.approx(math.exp(-0.3))
    assert found.ci95 == pytest.approx((math.exp(-high), math.exp(-low)))
    assert found.basis == "processes"
    two = intervals.estimate(processes, compared=2)
    low, high = stats.t.interval(0.975, 2, loc=0.3, scale=stats.sem([0.2, 0.4, 0.3]))
    assert two.ci95 == pytest.approx((math.exp(-high), math.exp(-low)))


@pytest.mark.parametrize("n", [30, 67])
def test_coverage_within_a_process(n: int) -> None:
    """Drift, heavy tails and outliers; the exact interval holds a little more than 95%."""
    rng = random.Random(5)
    runs = 1500
    held = 0
    for _ in range(runs):
        low, high = within(*noisy(rng, n, 1.3)).ci95 or (0, 0)
        held += low <= 1.3 <= high
    assert 0.93 <= held / runs <= 0.97


def simulated(rng: random.Random, processes: int, rounds: int, ratio: float) -> list[list[float]]:
    """Log-ratios of processes that each have a level of their own."""
    found = []
    for _ in range(processes):
        own = ratio * math.exp(rng.gauss(0, 0.01))
        baseline, arm = noisy(rng, rounds, own)
        found.append(intervals.log_ratios(baseline, arm))
    return found


@pytest.mark.parametrize("processes", [3, 6])
def test_coverage_over_processes(processes: int) -> None:
    rng = random.Random(7)
    runs = 1500
    held = 0
    for _ in range(runs):
        low, high = intervals.estimate(simulated(rng, processes, 12, 0.6)).ci95 or (0, 0)
        held += low <= 0.6 <= high
    assert 0.93 <= held / runs <= 0.97


def test_false_verdicts_under_equality() -> None:
    rng = random.Random(11)
    runs = 800
    false = 0
    for _ in range(runs):
        arm = intervals.estimate(simulated(rng, 3, 9, 1.0))
        control = intervals.estimate(simulated(rng, 3, 9, 1.0))
        false += intervals.verdict(arm, control) in ("faster", "slower")
    assert false / runs <= 0.05


def test_stopping_on_width_keeps_the_coverage() -> None:
    """Looks at 30, 39, 51, … until the interval is narrow, as the measuring does."""
    rng = random.Random(13)
    runs = 600
    held = 0
    for _ in range(runs):
        baseline, arm = noisy(rng, 200, 1.3)
        n = intervals.next_check(0)
        while n < 200 and within(baseline[:n], arm[:n]).width > 0.10:
            n = intervals.next_check(n)
        low, high = within(baseline[:n], arm[:n]).ci95 or (0, 0)
        held += low <= 1.3 <= high
    assert 0.93 <= held / runs <= 0.975


CONTROL = Estimate(1.0, (0.995, 1.005), "processes")


@pytest.mark.parametrize(
    ("ci95", "control", "verdict"),
    [
        ((0.60, 0.65), CONTROL, "faster"),
        ((0.985, 0.995), CONTROL, "unclear"),
        ((0.991, 1.009), CONTROL, "same"),
        ((1.02, 1.03), CONTROL, "slower"),
        ((0.9, 1.1), CONTROL, "unclear"),
        ((1.02, 1.03), Estimate(1.01, (0.96, 1.04)), "same"),
        ((1.03, 1.06), Estimate(1.01, (0.96, 1.04)), "unclear"),
        ((1.05, 1.06), Estimate(1.01, (0.96, 1.04)), "slower"),
        ((0.9, 1.2), Estimate(1.2, (0.3, 3.0)), "unclear"),  # of a machine on which nothing can be said
        ((4.0, 5.0), Estimate(1.2, (0.3, 3.0)), "slower"),
        (None, CONTROL, "unclear"),
        ((0.6, 0.7), Estimate(1.0, None), "unclear"),
    ],
)
def test_verdicts(ci95: tuple[float, float] | None, control: Estimate, verdict: str) -> None:
    assert intervals.verdict(Estimate(1.0, ci95, "processes"), control) == verdict


@pytest.mark.parametrize(
    ("ci95", "verdict"),
    [((0.971, 1.029), "same"), ((1.011, 1.012), "same"), ((1.02, 1.04), "unclear"), ((1.031, 1.04), "slower")],
)
def test_one_process_says_nothing_of_a_difference_below_3_percent(ci95: tuple[float, float], verdict: str) -> None:
    """In which processes of the same modules have differed: 1.015 [1.005–1.027] was one of a module and its copy."""
    assert intervals.verdict(Estimate(1.0, ci95, "process"), Estimate(1.0, (0.999, 1.001), "process")) == verdict


def test_looks() -> None:
    look, found = 0, []
    for _ in range(5):
        look = intervals.next_check(look)
        found.append(look)
    assert found == [30, 39, 51, 67, 88]


def test_quartile_distance_is_scipys() -> None:
    times = [3.0, 1.0, 7.0, 2.0, 10.0]
    assert intervals.quartile_distance(times) == pytest.approx(stats.iqr(times))
    assert intervals.quartile_distance([1.0]) is None
