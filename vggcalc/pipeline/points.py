"""Timing the points of a sweep, many in the same processes, under one budget for all of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from vggcalc.analysis.sweep import Grid, SweepRow
from vggcalc.errors import OutputError
from vggcalc.measurement.plan import Plan
from vggcalc.results import Comparison

if TYPE_CHECKING:
    from vggcalc.measurement.host import Host

#: What is measured of each variant; of `naive` no ratio.
MEASURED = ("on", "latency_s", "latency_ratio", "ci95_low", "ci95_high", "verdict", "basis")

#: Of these the words; all else are numbers.
_WORDS = ("on", "verdict", "basis")

#: So many points are timed in the same processes, before their rows are written.
TIMED_TOGETHER = 32

#: After so many failed points in a row no more are tried.
MOST_FAILED_POINTS = 3

NOT_MEASURED: SweepRow = (None,) * len(MEASURED)


class PointTimer:
    """Times the variants of many points at a time, until the budget is spent; `stopped` is then the reason.

    `unmeasured` counts the points with several variants and no latency; `warnings` are those of all points.
    """

    def __init__(self, grid: Grid, plan: Plan, host: "Host | None" = None) -> None:
        from vggcalc.measurement.host import Host

        self._grid, self._plan = grid, plan
        self._host = host or Host()
        self._began = self._host.clock()
        self._failures = 0
        self.stopped = ""
        self.interrupted = False
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
        self,
        points: Sequence[Sequence[SweepRow]],
        points_left: int,
        progress: Callable[[str, float | None], None],
        say: Callable[[str], None],
    ) -> list[list[SweepRow]]:
        """The measured columns of the rows of each point, from the first on, as far as their turn came.

        All that are left, these included, share what is left of the budget. A point with `naive` alone has nothing to
        compare. `progress` gets the seconds that all points will still take. `interrupted` says whether Ctrl-C came.
        """
        assert self._plan.budget_s is not None, "a sweep has a budget"
        budget_s = self._plan.budget_s - (self._host.clock() - self._began)
        if budget_s <= 0 and not self.stopped:
            self.stopped = f"the budget of {self._plan.budget_s:g} s was spent"
        if self.stopped:
            return []
        compared = [number for number, rows in enumerate(points) if len(rows) > 1]
        found: dict[int, list[SweepRow]] = {}
        reached = len(compared)
        if compared:
            comparisons = [self._grid.comparison(points[number][0]) for number in compared]
            share = len(points) / points_left
            began = self._host.clock()

            def show(text: str, left_s: float | None) -> None:
                if left_s is not None:
                    left_s += (self._host.clock() - began + left_s) * (1 / share - 1)
                progress(text, left_s)

            found_of, reached = self._measured(comparisons, budget_s * share, show, say)
            found = dict(zip(compared, found_of, strict=True))
        turn = len(points) if reached == len(compared) else compared[reached]
        if turn < len(points) and not self.interrupted:
            self.stopped = self.stopped or f"the budget of {self._plan.budget_s:g} s was spent"
        alone = [NOT_MEASURED]
        return [self._counted(found.get(number, alone)) for number in range(turn)]

    def _measured(
        self,
        comparisons: Sequence[Comparison],
        budget_s: float,
        progress: Callable[[str, float | None], None],
        say: Callable[[str], None],
    ) -> tuple[list[list[SweepRow]], int]:
        """The measured columns of each variant of each comparison, and how many comparisons had their turn."""
        from vggcalc.measurement import session

        plan = msgspec.structs.replace(self._plan, budget_s=budget_s)
        outcome, reached = session.measure_together(comparisons, plan, progress, say, self._host)
        self.interrupted = outcome.interrupted
        self.warnings |= dict.fromkeys(outcome.warnings)
        for number, comparison in enumerate(outcome.comparisons[:reached], 1):
            self._failures = 0 if all(variant.latency for variant in comparison.variants) else self._failures + 1
            if self._failures >= MOST_FAILED_POINTS:
                self.stopped = f"{self._failures} points could not be measured, one after the other,"
                reached = max(0, number - self._failures)
                break
        return [list(_columns_of(comparison)) for comparison in outcome.comparisons], reached

    def _counted(self, measured: list[SweepRow]) -> list[SweepRow]:
        if len(measured) > 1 and any(latency_s is None for _, latency_s, *_ in measured):
            self.unmeasured += 1
        return measured


def _columns_of(comparison: Comparison) -> Iterator[SweepRow]:
    """The measured columns of each variant."""
    ratios = {ratio.variant: ratio.latency for ratio in comparison.ratios}
    for variant in comparison.variants:
        values: list[Any] = list(NOT_MEASURED)
        for latency in variant.latency[:1]:
            values[:2] = [latency.label, latency.median_s]
        for ratio in ratios.get(variant.name, ())[:1]:
            values[2:] = [ratio.ratio, *(ratio.ci95 or (None, None)), ratio.verdict, ratio.basis]
        yield tuple(values)
