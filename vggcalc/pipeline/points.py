"""Timing the points of a sweep one by one, under one budget for all of them."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import msgspec

from vggcalc.analysis.sweep import Grid, SweepRow
from vggcalc.errors import OutputError
from vggcalc.measurement.plan import Plan

#: What is measured of each variant; of `naive` no ratio.
MEASURED = ("on", "latency_s", "latency_ratio", "ci95_low", "ci95_high", "verdict", "basis")

#: Of these the words; all else are numbers.
_WORDS = ("on", "verdict", "basis")

#: Less of the budget is not worth a process, and after so many failed points in a row no more are tried.
LEAST_S, MOST_FAILED_POINTS = 3.0, 3

_NOT_MEASURED: SweepRow = (None,) * len(MEASURED)


class PointTimer:
    """Times the variants of one point after another, until the budget is spent; `stopped` is then the reason.

    `unmeasured` counts the points with several variants and no latency; `warnings` are those of all points.
    """

    def __init__(self, grid: Grid, plan: Plan, clock: Callable[[], float] = monotonic) -> None:
        self._grid, self._plan, self._clock = grid, plan, clock
        self._began = clock()
        self._failures = 0
        self.stopped = ""
        self.unmeasured = 0
        self.warnings: dict[str, None] = {}

    @property
    def configuration(self) -> str:
        """The configuration in which the points are timed, as its label."""
        return self._plan.configurations([])[0].label

    def read(self, rows: Sequence[dict[str, str]]) -> list[SweepRow]:
        """The latencies of a point that an earlier run wrote. Raises `OutputError` for a value that is no number."""
        try:
            return self._counted(
                [
                    tuple(
                        None if not row[name] else row[name] if name in _WORDS else float(row[name])
                        for name in MEASURED
                    )
                    for row in rows
                ]
            )
        except ValueError as error:
            raise OutputError(f"--output has a latency that is none: {error}") from None

    def measure(
        self, rows: Sequence[SweepRow], points_left: int, progress: Callable[[str], None], say: Callable[[str], None]
    ) -> list[SweepRow]:
        """The measured columns of each row of a point; a point with `naive` alone has nothing to compare.

        Raises `KeyboardInterrupt` if it is interrupted.
        """
        assert self._plan.budget_s is not None, "a sweep has a budget"
        budget_s = self._plan.budget_s - (self._clock() - self._began)
        if budget_s <= 0 and not self.stopped:
            self.stopped = f"the budget of {self._plan.budget_s:g} s was spent"
        if self.stopped or len(rows) == 1:
            return [_NOT_MEASURED] * len(rows)
        return self._counted(self._measured(rows, max(budget_s / points_left, LEAST_S), progress, say))

    def _measured(
        self, rows: Sequence[SweepRow], budget_s: float, progress: Callable[[str], None], say: Callable[[str], None]
    ) -> list[SweepRow]:
        from vggcalc.measurement import session

        plan = msgspec.structs.replace(self._plan, budget_s=budget_s)
        outcome = session.measure_all([self._grid.comparison(rows[0])], plan, progress, say)
        if outcome.interrupted:
            raise KeyboardInterrupt
        self.warnings |= dict.fromkeys(outcome.warnings)
        (comparison,) = outcome.comparisons
        self._failures = 0 if all(variant.latency for variant in comparison.variants) else self._failures + 1
        if self._failures >= MOST_FAILED_POINTS:
            self.stopped = f"{self._failures} points could not be measured, one after the other,"
        ratios = {ratio.variant: ratio.latency for ratio in comparison.ratios}
        measured = []
        for variant in comparison.variants:
            values: list[Any] = list(_NOT_MEASURED)
            for latency in variant.latency[:1]:
                values[:2] = [latency.label, latency.median_s]
            for ratio in ratios.get(variant.name, ())[:1]:
                values[2:] = [ratio.ratio, *(ratio.ci95 or (None, None)), ratio.verdict, ratio.basis]
            measured.append(tuple(values))
        return measured

    def _counted(self, measured: list[SweepRow]) -> list[SweepRow]:
        if len(measured) > 1 and not self.stopped and any(latency_s is None for _, latency_s, *_ in measured):
            self.unmeasured += 1
        return measured
