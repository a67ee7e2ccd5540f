"""A sweep from its grid to its rows: measured where asked for, streamed, gone on with, summed up."""

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from vggcalc.analysis.crossover import Crossovers
from vggcalc.analysis.sweep import COLUMNS, POINT, Grid, Row, sweep
from vggcalc.report import rows as text
from vggcalc.report.formats import Screen
from vggcalc.report.progress import Progress
from vggcalc.report.sink import Sink
from vggcalc.spec.words import SpecError

if TYPE_CHECKING:
    from vggcalc.measurement.plan import Plan

DONE, NOT_DELIVERED, INTERRUPTED = 0, 1, 130

#: More rows make no table that anyone reads.
MOST_TABLE_ROWS = 2000

#: What is measured of each variant; of `naive` no ratio.
MEASURED = ("on", "latency_s", "latency_ratio", "ci95_low", "ci95_high", "verdict")

#: Less of the budget is not worth a process, and so many points that fail one after the other are enough.
LEAST_S, MOST_FAILURES = 3.0, 3


def _again(row: dict[str, str]) -> Row:
    """What was measured, as numbers and words again."""
    return tuple(
        None if not row[name] else row[name] if name in ("on", "verdict") else float(row[name])
        for name in MEASURED
    )


class Asked(msgspec.Struct, frozen=True):
    """What becomes of the rows: put out in that format, or with `crossover`, an axis, summed up.

    Rows go to the file `path`, if there is one. `plan` None measures nothing; else its budget is for
    all points together. `plot` is a file for figures.
    """

    format_: str
    path: str | None = None
    resume: bool = False
    crossover: str | None = None
    plan: "Plan | None" = None
    plot: str | None = None


def run(grid: Grid, asked: Asked, screen: Screen) -> int:
    """Carry the sweep out; the exit status.

    Raises `SpecError` or `OutputError`, before it begins, for what cannot be put out as asked.
    """
    format_ = asked.format_
    if asked.path is not None:
        format_ = text.format_of(asked.path) if asked.crossover or format_ == "table" else format_
        if format_ == "table":
            raise SpecError(f"--output {asked.path}: rows are written as they come, so name it .csv or .jsonl")
    most = len(grid) * (len(grid.ways) + 1)
    if format_ == "table" and not asked.crossover and most > MOST_TABLE_ROWS:
        raise SpecError(
            f"{most:,} rows are no table that anyone reads: give --format csv or jsonl, or --crossover"
        )
    sink: Sink | None = None
    columns = (*COLUMNS, *MEASURED) if asked.plan is not None else COLUMNS
    if asked.path is not None:
        sink = Sink(format_, columns, asked.path, asked.resume)
    elif format_ != "table" and not asked.crossover:
        sink = Sink(format_, columns)
    drawing = Drawing(asked.plot, grid) if asked.plot is not None else None
    try:
        return Sweep(grid, asked, columns, sink, drawing).run(screen)
    finally:
        if drawing is not None:
            drawing.picture.discard()


class Drawing:
    """The figures of a sweep, and the file that they go to."""

    def __init__(self, path: str, grid: Grid) -> None:
        from vggcalc.report.plots import Lines, Picture

        kernels = len(grid.kernels)
        self.lines = Lines(path, len(grid) // kernels, kernels)
        self.picture = Picture(path)


class Sweep:
    """A sweep under way: what has been put out, and what is to be told at its end."""

    def __init__(
        self,
        grid: Grid,
        asked: Asked,
        columns: Sequence[str],
        sink: Sink | None,
        drawing: Drawing | None = None,
    ) -> None:
        self._grid, self._asked, self._columns, self._sink = grid, asked, columns, sink
        self._drawing = drawing
        self._crossovers = Crossovers(asked.crossover, asked.plan is not None) if asked.crossover else None
        self._kept: list[Row] = []
        self._points = 0
        self._rows = 0
        self._refused: dict[str, int] = {}
        self._left_out: dict[str, tuple[int, str]] = {}
        self._failures = 0
        self._progress = Progress()
        self._began = monotonic()
        self._stopped = ""

    def run(self, screen: Screen) -> int:
        """Every row; then, unless rows alone were asked for, the table or the crossovers."""
        status = DONE
        try:
            for rows in self._groups():
                self._take(rows)
                if self._stopped:
                    break
        except KeyboardInterrupt:
            self._stopped, status = "interrupted", INTERRUPTED
        finally:
            self._progress.close()
        if self._sink is not None and not self._stopped:
            self._sink.finish()
        self._tell()
        self._sum_up(screen)
        if self._drawing is not None:
            self._drawing.picture.draw(self._drawing.lines.figures())
        return status or (NOT_DELIVERED if self._stopped or self._failures or not self._rows else DONE)

    def _groups(self) -> Iterator[Sequence[Row]]:
        """The rows as they are computed, or, where they are to be measured, of one point at a time."""
        for batch in sweep(self._grid):
            if batch.refused is not None:
                self._refused[batch.refused] = self._refused.get(batch.refused, 0) + batch.points
                self._points += batch.points
            for one in batch.left_out:
                before = self._left_out.get(one.variant, (0, one.reason))
                self._left_out[one.variant] = (before[0] + batch.points, before[1])
            if self._asked.plan is None:
                if batch.rows:
                    yield batch.rows
                    self._points += batch.points
            else:
                for _, rows in groupby(batch.rows, lambda row: row[: len(POINT)]):
                    yield list(rows)
                    self._points += 1
            self._progress(f"sweep: {self._points:,} of {len(self._grid):,} points{self._left()}")

    def _left(self) -> str:
        spent = monotonic() - self._began
        if not self._points or spent < 1:
            return ""
        return f", about {spent / self._points * (len(self._grid) - self._points):,.0f} s left"

    def _take(self, rows: Sequence[Row]) -> None:
        """Have the rows measured and put out, but for those that are in the file already."""
        self._rows += len(rows)
        there = self._sink.done(rows) if self._sink is not None else []
        if self._asked.plan is not None:
            if len(there) == len(rows):
                rows = [(*row, *_again(was)) for row, was in zip(rows, there, strict=True)]
            else:
                measured = self._measure(rows)
                if measured is None:
                    return
                rows = [(*row, *measured[row[len(POINT)]]) for row in rows]
        if self._sink is not None and rows[len(there) :]:
            self._sink.write(rows[len(there) :])
        for row in rows if self._crossovers or self._drawing else ():
            named = dict(zip(self._columns, row, strict=True))
            if self._crossovers is not None:
                self._crossovers.add(named)
            if self._drawing is not None:
                self._drawing.lines.add(named)
        if self._sink is None and self._crossovers is None:
            self._kept += rows

    def _measure(self, rows: Sequence[Row]) -> dict[str, Row] | None:
        """What the clock says of each variant of a point; None where the budget does not hold it."""
        from vggcalc.measurement.session import carry_out

        assert self._asked.plan is not None
        budget_s = self._asked.plan.budget_s - (monotonic() - self._began)
        if budget_s <= 0:
            self._stopped = f"the budget of {self._asked.plan.budget_s:,.0f} s was spent"
            return None
        share_s = max(budget_s / (len(self._grid) - self._points), LEAST_S)
        plan = msgspec.structs.replace(self._asked.plan, budget_s=share_s)
        outcome = carry_out([self._grid.comparison(rows[0])], plan, self._progress, self._progress.say)
        if outcome.interrupted:
            raise KeyboardInterrupt
        (comparison,) = outcome.comparisons
        self._failures = self._failures + 1 if outcome.failures else 0
        if self._failures >= MOST_FAILURES:
            self._stopped = f"{self._failures} points failed one after the other"
        ratios = {ratio.variant: ratio.latency for ratio in comparison.ratios}
        measured: dict[str, Row] = {}
        for variant in comparison.variants:
            words: list[Any] = [None] * len(MEASURED)
            for latency in variant.latency[:1]:
                words[:2] = [latency.label, latency.median_s]
            for ratio in ratios.get(variant.name, ())[:1]:
                words[2:] = [ratio.ratio, *(ratio.ci95 or (None, None)), ratio.verdict]
            measured[variant.name] = tuple(words)
        return measured

    def _tell(self) -> None:
        """What was not put out, and why."""

        def say(line: str) -> None:
            print(f"vggcalc: {line}", file=sys.stderr)

        for reason, points in self._refused.items():
            say(f"{points:,} of {len(self._grid):,} points are left out: {reason}")
        for variant, (points, reason) in self._left_out.items():
            say(f"{variant} is left out at {points:,} points, the first because {reason}")
        if self._stopped:
            goes_on = (
                "--resume goes on there" if self._asked.path else "with --output FILE --resume could go on"
            )
            say(f"{self._stopped} after {self._points:,} of {len(self._grid):,} points: {goes_on}")

    def _sum_up(self, screen: Screen) -> None:
        """The table of rows, or the crossovers in the format that was asked for."""
        if self._crossovers is not None:
            found = self._crossovers.found()
            columns, rows = list(found[0]) if found else [], [tuple(line.values()) for line in found]
            title = (
                f"From which {self._asked.crossover} on each variant is below naive, to the end of the sweep"
            )
            format_ = self._asked.format_
        elif self._sink is None:
            columns, rows, title, format_ = list(self._columns), self._kept, "Sweep", "table"
        else:
            return
        if not rows:
            return
        if format_ == "table":
            from vggcalc.report.terminal import render

            sys.stdout.write(render([text.table(title, columns, rows)], screen.width, screen.colour))
        else:
            sys.stdout.write(text.header(format_, columns))
            text.STREAMED[format_](sys.stdout, columns, rows)
