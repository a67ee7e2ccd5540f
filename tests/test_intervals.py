"""Ratios, intervals and verdicts against scipy, the binomial distribution and simulated data."""

import math
import random
from statistics import median

import pytest
from scipy import stats

from vggcalc import intervals
from vggcalc.intervals import Estimate


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


def test_ratio_is_the_median_of_paired_ratios() -> None:
    baseline, arm = [1.0, 2.0, 4.0, 8.0, 1.0], [0.5, 1.0, 2.0, 4.0, 3.0]
    assert intervals.estimate(baseline, arm).ratio == pytest.approx(0.5)
    assert intervals.estimate(baseline, arm).ci95 is None


@pytest.mark.parametrize("n", [6, 7, 10, 30, 51])
def test_interval_is_made_of_the_order_statistics_that_the_binomial_names(n: int) -> None:
    """Independent of scipy's quantile_test: the widest ranks j with 2·P(X < j) ≤ 5%."""
    rng = random.Random(n)
    baseline, arm = noisy(rng, n, 0.7)
    ratios = sorted(a / b for a, b in zip(arm, baseline, strict=True))
    rank = max(j for j in range(1, n // 2 + 1) if sum(math.comb(n, i) for i in range(j)) / 2**n <= 0.025)
    found = intervals.estimate(baseline, arm)
    assert found.ci95 == pytest.approx((ratios[rank - 1], ratios[n - rank]))
    assert found.ratio == pytest.approx(math.exp(median(math.log(r) for r in ratios)))


@pytest.mark.parametrize("n", [30, 67])
def test_coverage_in_simulated_runs(n: int) -> None:
    rng = random.Random(5)
    runs = 1500
    held = 0
    for _ in range(runs):
        low, high = intervals.estimate(*noisy(rng, n, 1.3)).ci95 or (0, 0)
        held += low <= 1.3 <= high
    assert 0.93 <= held / runs <= 0.985


CONTROL = Estimate(1.0, (0.995, 1.005))


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
        (None, CONTROL, "unclear"),
        ((0.6, 0.7), Estimate(1.0, None), "unclear"),
    ],
)
def test_verdicts(ci95: tuple[float, float] | None, control: Estimate, verdict: str) -> None:
    assert intervals.verdict(Estimate(1.0, ci95), control) == verdict


def test_looks() -> None:
    look, found = 0, []
    for _ in range(5):
        look = intervals.next_look(look)
        found.append(look)
    assert found == [30, 39, 51, 67, 88]


def test_quartile_distance_is_scipys() -> None:
    times = [3.0, 1.0, 7.0, 2.0, 10.0]
    assert intervals.quartile_distance(times) == pytest.approx(stats.iqr(times))
    assert intervals.quartile_distance([1.0]) == 0
