"""A sweep from its grid to its rows: measured where asked for, streamed, gone on with, summed up."""

import sys
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from vggcalc.analysis.crossover import AXES, Crossovers, along
from vggcalc.analysis.sweep import COLUMNS, POINT, Grid, Row, sweep_batches
from vggcalc.errors import InputError, OutputError
from vggcalc.pipeline.files import discard_stdout
from vggcalc.pipeline.progress import Progress
from vggcalc.pipeline.rows import RowWriter
from vggcalc.pipeline.run import DONE, INTERRUPTED, NOT_DELIVERED
from vggcalc.report.formats import Screen
from vggcalc.report.formats import rows as text
from vggcalc.report.tables.cells import Section, Text

if TYPE_CHECKING:
    from vggcalc.measurement.plan import Plan
    from vggcalc.report.figures import Lines, Picture

#: More rows make no table that anyone reads.
MOST_TABLE_ROWS = 2000

#: What is measured of each variant; of `naive` no ratio.
MEASURED = ("on", "latency_s", "latency_ratio", "ci95_low", "ci95_high", "verdict", "basis")

#: Of these the words; all else are numbers.
_WORDS = ("on", "verdict", "basis")

#: Less of the budget is not worth a process, and so many points that fail one after the other are enough.
LEAST_S, MOST_FAILURES = 3.0, 3


class SweepRequest(msgspec.Struct, frozen=True):
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


def run(grid: Grid, asked: SweepRequest, screen: Screen) -> int:
    """Carry the sweep out; the exit status.

    Raises `InputError` or `OutputError`, before it begins, for what cannot be put out as asked.
    """
    format_ = asked.format_
    if asked.path is not None:
        format_ = text.format_of(asked.path) if asked.crossover or format_ == "table" else format_
        if format_ == "table":
            raise InputError(
                f"--output {asked.path}: rows are written as they come: name it .csv or .jsonl or give --format"
            )
    crossovers = None
    if asked.crossover is not None:
        crossovers = Crossovers(asked.crossover, grid, asked.plan is not None)
    if asked.format_ == "table" and (asked.path is None or crossovers is not None):
        _check_table(grid, asked.crossover)
    sweep = Sweep(grid, asked, crossovers)
    try:
        if asked.plot is not None:
            sweep.draw_to(asked.plot)
        if format_ != "table" and (asked.path is not None or crossovers is None):
            sweep.sink = RowWriter(format_, sweep.columns, asked.path, asked.resume)
        return sweep.run(screen)
    finally:
        sweep.close()


def _check_table(grid: Grid, crossover: str | None) -> None:
    """Raise `InputError` where a table would have more lines than anyone reads."""
    most = len(grid) * (len(grid.factorizations) + 1)
    if crossover is not None:
        most = len(grid) // len(along(grid, crossover)) * len(grid.factorizations)
    if most > MOST_TABLE_ROWS:
        instead = "" if crossover else ", or --crossover"
        raise InputError(f"{most:,} rows are no table that anyone reads: give --format csv or jsonl{instead}")


class Sweep:
    """A sweep under way: where its rows go, and what is to be told at its end."""

    def __init__(self, grid: Grid, asked: SweepRequest, crossovers: Crossovers | None) -> None:
        self.columns = (*COLUMNS, *MEASURED) if asked.plan is not None else COLUMNS
        self.sink: RowWriter | None = None
        self._grid, self._plan, self._asked, self._crossovers = grid, asked.plan, asked, crossovers
        self._picture: Picture | None = None
        self._lines: Lines | None = None
        self._deaf = False
        self._kept: list[Row] = []
        self._points = self._rows = 0
        self._made: set[str] = set()
        self._refused: tuple[int, str] | None = None
        self._left_out: dict[str, tuple[int, str]] = {}
        self._failures = self._unmeasured = 0
        self._warnings: dict[str, None] = {}
        self._stopped = ""
        self._progress = Progress()
        self._began = monotonic()

    def draw_to(self, path: str) -> None:
        """Draw figures too. Raises `InputError` and `OutputError` where that cannot be."""
        from vggcalc.report.figures import Lines, Picture

        kernels = len(self._grid.kernels)
        self._lines = Lines(path, len(self._grid) // kernels, kernels)
        self._picture = Picture(path)

    def close(self) -> None:
        """Leave no file open, and none that is not whole but the rows'."""
        if self.sink is not None:
            self.sink.close()
        if self._picture is not None:
            self._picture.discard()

    def run(self, screen: Screen) -> int:
        """Every row; then, unless rows alone were asked for, the table or the crossovers."""
        interrupted = False
        try:
            for rows in self._groups():
                self._take(rows)
                if self._stopped and not (self._crossovers or self._lines):
                    break
        except KeyboardInterrupt:
            interrupted, self._stopped = True, "interrupted"
        finally:
            self._progress.close()
        if self.sink is not None and not self._stopped:
            self.sink.finish()
        self._tell()
        if self._picture is not None and self._lines is not None:
            drawn = self._picture.draw(self._lines.figures())
            if not drawn:
                print(f"vggcalc: --plot {self._asked.plot}: there is nothing to draw", file=sys.stderr)
        if interrupted and self._crossovers is not None:
            print("vggcalc: no crossovers are told of a part of the sweep", file=sys.stderr)
        else:
            self._sum_up(screen)
        if interrupted:
            return INTERRUPTED
        lacking = self._grid.factorizations.keys() - self._made
        return NOT_DELIVERED if self._stopped or self._unmeasured or lacking else DONE

    def _groups(self) -> Iterator[Sequence[Row]]:
        """The rows as they are computed, or, where they are to be measured, of one point at a time."""
        for batch in sweep_batches(self._grid):
            for name, (points, reason) in batch.infeasible.items():
                self._left_out[name] = _more(self._left_out.get(name), points, reason)
            if batch.refused is not None:
                self._refused = _more(self._refused, *batch.refused)
            if self._plan is None:
                if batch.rows:
                    yield [row for rows in batch.rows for row in rows]
                self._points += batch.points
            else:
                self._points += batch.points - len(batch.rows)
                for rows in batch.rows:
                    yield rows
                    self._points += 1
                    self._progress(self._far())
            self._progress(self._far())

    def _far(self) -> str:
        spent, points = monotonic() - self._began, len(self._grid)
        left = f", about {spent / self._points * (points - self._points):,.0f} s left" if self._points else ""
        return f"sweep: {self._points:,} of {points:,} points{left if spent > 1 else ''}"

    def _take(self, rows: Sequence[Row]) -> None:
        """Have the rows measured and put out, but for those that are in the file already."""
        there = []
        if self.sink is not None and not self._stopped:
            there = self.sink.done(rows, {"on": self._way()} if self._plan is not None else {})
        if self._plan is not None:
            measured = [_again(row) for row in there] or self._measure(rows)
            if len(rows) > 1 and None in [row[1] for row in measured] and not self._stopped:
                self._unmeasured += 1
            rows = [(*row, *more) for row, more in zip(rows, measured, strict=True)]
        for row in rows if self._crossovers or self._lines else ():
            named = dict(zip(self.columns, row, strict=True))
            if self._crossovers is not None:
                self._crossovers.add(named)
            if self._lines is not None:
                self._lines.add(named)
        if self._stopped:  # only the crossovers still wait for what is on paper
            return
        self._rows += len(rows)
        self._made.update(row[len(POINT)] for row in rows)
        if self.sink is not None and not there and not self._deaf:
            self._write(self.sink, rows)
        elif self.sink is None and self._crossovers is None:
            self._kept += rows

    def _write(self, sink: RowWriter, rows: Sequence[Row]) -> None:
        """A reader that has gone (`| head`) ends it, unless a figure is still to come."""
        try:
            sink.write(rows)
        except BrokenPipeError:
            if self._picture is None:
                raise
            discard_stdout()
            self._deaf = True

    def _way(self) -> str:
        """How the points are run, in a few words."""
        assert self._plan is not None
        return self._plan.configurations([])[0].label

    def _measure(self, rows: Sequence[Row]) -> list[Row]:
        """What the clock says of each row of a point; nothing where there is nothing to compare."""
        from vggcalc.measurement.session import measure_all

        assert self._plan is not None
        nothing: list[Row] = [(None,) * len(MEASURED)] * len(rows)
        budget_s = self._plan.budget_s - (monotonic() - self._began)
        if budget_s <= 0 and not self._stopped:
            self._stopped = f"the budget of {self._plan.budget_s:g} s was spent"
        if self._stopped or len(rows) == 1:
            return nothing
        share_s = max(budget_s / (len(self._grid) - self._points), LEAST_S)
        outcome = measure_all(
            [self._grid.comparison(rows[0])],
            msgspec.structs.replace(self._plan, budget_s=share_s),
            lambda stage: self._progress(f"{self._far()}: {stage}"),
            self._progress.say,
        )
        if outcome.interrupted:
            raise KeyboardInterrupt
        self._warnings |= dict.fromkeys(outcome.warnings)
        (comparison,) = outcome.comparisons
        self._failures = 0 if all(variant.latency for variant in comparison.variants) else self._failures + 1
        if self._failures >= MOST_FAILURES:
            self._stopped = f"{self._failures} points could not be measured, one after the other,"
        ratios = {ratio.variant: ratio.latency for ratio in comparison.ratios}
        measured = []
        for variant in comparison.variants:
            words: list[Any] = [None] * len(MEASURED)
            for latency in variant.latency[:1]:
                words[:2] = [latency.label, latency.median_s]
            for ratio in ratios.get(variant.name, ())[:1]:
                words[2:] = [ratio.ratio, *(ratio.ci95 or (None, None)), ratio.verdict, ratio.basis]
            measured.append(tuple(words))
        return measured

    def _tell(self) -> None:
        """What was not put out, and why."""

        def say(line: str) -> None:
            print(f"vggcalc: {line}", file=sys.stderr)

        points = f"{len(self._grid):,} points"
        for warning in self._warnings:
            say(f"warning: {warning}")
        if self._refused is not None:
            say(f"{self._refused[0]:,} of {points} are left out, the first because {self._refused[1]}")
        for variant, (number, reason) in self._left_out.items():
            say(f"{variant} is left out at {number:,} of {points}, the first because {reason}")
        if self._unmeasured:
            say(f"{self._unmeasured:,} of {points} have no latency: they could not be measured")
        if self._stopped:
            goes_on = "--resume goes on there" if self._asked.path else "rows in an --output FILE can be resumed"
            say(f"{self._stopped} after {self._rows:,} rows; {goes_on}")

    def _sum_up(self, screen: Screen) -> None:
        """The table of rows, or the crossovers in the format that was asked for."""
        format_ = self._asked.format_
        if self._crossovers is not None:
            found = self._crossovers.found()
            columns, rows = list(found[0]) if found else [], [tuple(line.values()) for line in found]
            axis = " and ".join(AXES[str(self._asked.crossover)][0]).replace("_", " ")
            title = f"From which {axis} on each variant is below naive, to the end of the sweep"
        elif self.sink is None:
            columns, rows, title = list(self.columns), self._kept, "Sweep"
        else:
            return
        if not rows:
            return
        if format_ == "table":
            from vggcalc.report.formats.terminal import render

            said = Text((_ONE_PROCESS,), quiet=True)
            of_one = self._crossovers is None and any("process" in row[len(COLUMNS) :] for row in rows)
            sections: list[Section] = [text.table(title, columns, rows), *([said] if of_one else [])]
            sys.stdout.write(render(sections, screen.width, screen.colour))
        else:
            sys.stdout.write(text.header(format_, columns))
            text.STREAMED[format_](sys.stdout, columns, rows)


#: Under a table with intervals whose basis is one process.
_ONE_PROCESS = "Some points were timed in one process: their intervals and verdicts hold for that one only."


def _more(before: tuple[int, str] | None, points: int, reason: str) -> tuple[int, str]:
    """So many points more; the first reason stays."""
    return (before[0] + points, before[1]) if before else (points, reason)


def _again(row: dict[str, str]) -> Row:
    """What was measured, as numbers and words again. Raises `OutputError` for what is neither."""
    try:
        return tuple(None if not row[name] else row[name] if name in _WORDS else float(row[name]) for name in MEASURED)
    except ValueError as error:
        raise OutputError(f"--output has a latency that is none: {error}") from None
