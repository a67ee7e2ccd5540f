"""Ratios, intervals and verdicts: pure functions over the rounds' times.

d = log(baseline / arm) in each round. Within one process the interval is the exact binomial one
of the median of d, which assumes nothing of its distribution (Hahn & Meeker 1991, section 5.2).
Over processes it is Student's t interval of their medians, since the process is where most of the
variance arises (Kalibera & Jones 2013).
"""

from collections.abc import Sequence
from functools import cache
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
    """Import what the intervals need, a fifth of a second of work, before anything is timed."""
    import scipy.special  # noqa: F401


def log_ratios(baseline: Times, arm: Times) -> list[float]:
    """d of each round."""
    return [log(b / a) for b, a in zip(baseline, arm, strict=True)]


@cache
def _rank(rounds: int, compared: int) -> int:
    """The highest j for which fewer than j of the rounds lie below the median with probability 2.5% / k or less.

    The interval is from the j-th smallest to the j-th largest; 0 where the rounds are too few for one.
    """
    from scipy.special import bdtr, bdtrik

    tail = 0.025 / compared
    j = int(bdtrik(tail, rounds, 0.5))
    while bdtr(j, rounds, 0.5) <= tail:
        j += 1
    while j and bdtr(j - 1, rounds, 0.5) > tail:
        j -= 1
    return j


def within_process(d: Sequence[float], compared: int = 1) -> Estimate:
    """From the rounds of one process; `compared` such intervals hold 95% together (Bonferroni)."""
    ratio = exp(-median(d))
    rank = _rank(len(d), compared)
    if not rank:
        return Estimate(ratio, None, "none")
    ordered = sorted(d)
    return Estimate(ratio, (exp(-ordered[-rank]), exp(-ordered[rank - 1])))


def students_t(tail: float, freedom: int) -> float:
    """The value that Student's t, with so many degrees of freedom, exceeds with that probability."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - tail))


def estimate(processes: Sequence[Sequence[float]], compared: int = 1) -> Estimate:
    """From the d of each process: over processes where there are two or more, else within the one."""
    if len(processes) == 1:
        return within_process(processes[0], compared)
    medians = [median(d) for d in processes]
    mean = fmean(medians)
    error = stdev(medians) / len(medians) ** 0.5
    reach = students_t(0.025 / compared, len(medians) - 1) * error
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
