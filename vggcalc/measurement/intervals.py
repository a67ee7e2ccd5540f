"""Ratios, intervals and verdicts: pure functions over the rounds' times.

d = log(baseline / arm) in each round. Within one process the interval is the exact binomial one
of the median of d, which assumes nothing of its distribution (Hahn & Meeker 1991, section 5.2).
Over processes it is Student's t interval of their medians, since the process is where most of the
variance arises (Kalibera & Jones 2013).
"""

from collections.abc import Sequence
from math import ceil, exp, log, log2
from statistics import fmean, median, quantiles, stdev

import msgspec

from vggcalc.results import Basis, Verdict
from vggcalc.results.measured import judge, least_floor

FIRST_CHECK = 30


def least_rounds(compared: int) -> int:
    """The fewest rounds that hold an exact interval, `compared` of them 95% together: 2 · 0.5ⁿ ≤ 5% / k."""
    return ceil(log2(2 * compared / 0.05))


Times = Sequence[float]


class Estimate(msgspec.Struct, frozen=True):
    """Time of the arm / time of the baseline, its interval where there is one, and its basis."""

    ratio: float
    ci95: tuple[float, float] | None
    basis: Basis = "process"

    @property
    def width(self) -> float:
        """Full width of the interval as a share of the ratio; infinite without one."""
        return (self.ci95[1] - self.ci95[0]) / self.ratio if self.ci95 else float("inf")


def import_scipy() -> None:
    """Import what the intervals need, half a second of work, before anything is timed."""
    import scipy.stats  # noqa: F401


def log_ratios(baseline: Times, arm: Times) -> list[float]:
    """d of each round."""
    return [log(b / a) for b, a in zip(baseline, arm, strict=True)]


def within_process(d: Sequence[float], compared: int = 1) -> Estimate:
    """From the rounds of one process; `compared` such intervals hold 95% together (Bonferroni)."""
    from scipy.stats import quantile_test

    ratio = exp(-median(d))
    interval = quantile_test(d, q=0, p=0.5).confidence_interval(1 - 0.05 / compared)
    low, high = float(interval.low), float(interval.high)
    if low != low or high != high:  # NaN: too few rounds
        return Estimate(ratio, None, "none")
    return Estimate(ratio, (exp(-high), exp(-low)))


def estimate(processes: Sequence[Sequence[float]], compared: int = 1) -> Estimate:
    """From the d of each process: over processes where there are two or more, else within the one."""
    if len(processes) == 1:
        return within_process(processes[0], compared)
    from scipy.stats import t

    medians = [median(d) for d in processes]
    mean = fmean(medians)
    error = stdev(medians) / len(medians) ** 0.5
    reach = float(t.ppf(1 - 0.025 / compared, len(medians) - 1)) * error
    return Estimate(exp(-mean), (exp(-mean - reach), exp(-mean + reach)), "processes")


def floor(arm: Estimate, control: Estimate) -> float:
    """How far from 1 a ratio is indistinguishable from it: 1%, or the far end of the A/A control's interval.

    3% at the least where the arm ran in one process.
    """
    low, high = control.ci95 or (control.ratio, control.ratio)
    return max(least_floor(arm.basis), abs(low - 1), abs(high - 1))


def verdict(arm: Estimate, control: Estimate) -> Verdict:
    """Where the arm's interval lies, of what the control allows to be told apart; "unclear" without either's."""
    return "unclear" if control.ci95 is None else judge(arm.ci95, floor(arm, control))


def next_check(rounds: int) -> int:
    """The number of rounds at which precision is judged next: 30, 39, 51, … Judging at every round would bias."""
    check_at = FIRST_CHECK
    while check_at <= rounds:
        check_at = -(-check_at * 13 // 10)
    return check_at


def quartile_distance(times: Times) -> float | None:
    """Between the first and the third quartile; None for a single time."""
    if len(times) < 2:
        return None
    first, _, third = quantiles(times, n=4, method="inclusive")
    return third - first
