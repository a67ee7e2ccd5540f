"""Ratios, intervals and verdicts: pure functions over the rounds' times.

d = log(baseline / arm) in each round. Within one process the interval is the exact binomial one
of the median of d, which assumes nothing of its distribution (Hahn & Meeker 1991, section 5.2).
"""

from collections.abc import Sequence
from math import exp, log
from statistics import median, quantiles

import msgspec

#: No interval of 95% exists for fewer: 2 · 0.5⁵ > 0.05.
LEAST_ROUNDS = 6

FIRST_LOOK = 30

#: Less than this is never called a difference.
LEAST_FLOOR = 0.01


class Estimate(msgspec.Struct, frozen=True):
    """Time of the arm / time of the baseline, with its 95% interval where there is one."""

    ratio: float
    ci95: tuple[float, float] | None

    @property
    def width(self) -> float:
        """Full width of the interval as a share of the ratio; infinite without one."""
        return (self.ci95[1] - self.ci95[0]) / self.ratio if self.ci95 else float("inf")


def estimate(baseline: Sequence[float], arm: Sequence[float]) -> Estimate:
    """From the times of two arms, round by round, in one process."""
    d = [log(b / a) for b, a in zip(baseline, arm, strict=True)]
    ratio = exp(-median(d))
    if len(d) < LEAST_ROUNDS:
        return Estimate(ratio, None)
    from scipy.stats import quantile_test

    interval = quantile_test(d, q=0, p=0.5).confidence_interval(0.95)
    return Estimate(ratio, (exp(-float(interval.high)), exp(-float(interval.low))))


def floor(control: Estimate) -> float:
    """What cannot be told from 1 here: 1%, or the far end of the interval of A against A."""
    low, high = control.ci95 or (control.ratio, control.ratio)
    return max(LEAST_FLOOR, abs(low - 1), abs(high - 1))


def verdict(arm: Estimate, control: Estimate) -> str:
    """Where the interval lies: outside 1 ± floor "faster" or "slower", inside "same", else "unclear"."""
    if arm.ci95 is None or control.ci95 is None:
        return "unclear"
    low, high = arm.ci95
    band = floor(control)
    if high < 1 - band:
        return "faster"
    if low > 1 + band:
        return "slower"
    if low >= 1 - band and high <= 1 + band:
        return "same"
    return "unclear"


def next_look(rounds: int) -> int:
    """The number of rounds at which to look next: 30, 39, 51, … Looking at every round would bias."""
    look = FIRST_LOOK
    while look <= rounds:
        look = -(-look * 13 // 10)
    return look


def quartile_distance(times: Sequence[float]) -> float:
    """Between the first and the third quartile; 0 for a single time."""
    if len(times) < 2:
        return 0.0
    first, _, third = quantiles(times, n=4, method="inclusive")
    return third - first
