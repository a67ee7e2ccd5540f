"""Running a sweep: its rows are computed, timed if there is a plan, and written, or summed up as crossovers."""

import sys
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vggcalc.analysis.crossover import Crossovers, axis_columns, axis_values, only_axis
from vggcalc.analysis.sweep import Batch, Grid, SweepRow, sweep_batches
from vggcalc.errors import InputError
from vggcalc.pipeline.emit import ExitStatus, StandardOutput, exit_status, message
from vggcalc.pipeline.points import MEASURED, NOT_MEASURED, TIMED_TOGETHER, PointTimer
from vggcalc.pipeline.progress import Progress
from vggcalc.pipeline.rows import RowWriter
from vggcalc.pipeline.run import draw_picture
from vggcalc.report.detail import Detail
from vggcalc.report.findings.sweep import SweepAnswer
from vggcalc.report.formats import Screen
from vggcalc.report.formats import rows as text

if TYPE_CHECKING:
    from vggcalc.measurement.host import Host
    from vggcalc.measurement.plan import Plan
    from vggcalc.pipeline.picture import Picture
    from vggcalc.report.figures import Lines

#: Of a point's rows: computed now, in the file already, or without the latencies that were asked for.
_State = Literal["new", "there", "left"]

#: A table with more rows would not be read.
MOST_TABLE_ROWS = 2000


class SweepRequest(msgspec.Struct, frozen=True):
    """What to do with the rows: write them in that format, or find the crossovers along the axis `crossover`.

    Rows go to the file `path`, if there is one. `plan` None measures nothing; else its budget is for
    all points together. `picture` is a file for figures. A `brief` table has the first few rows alone.
    """

    format_: str
    path: str | None = None
    resume: bool = False
    crossover: str | None = None
    brief: bool = False
    plan: "Plan | None" = None
    picture: "Picture | None" = None


def run_sweep(grid: Grid, request: SweepRequest, screen: Screen, host: "Host | None" = None) -> int:
    """Run the sweep, measuring on `host`. Returns the exit status.

    Raises `InputError` or `OutputError`, before it begins, for a request that cannot be carried out.
    """
    format_ = request.format_
    if request.path is not None:
        format_ = text.format_of(request.path) if request.crossover or format_ == "table" else format_
        if format_ == "table":
            raise InputError(
                f"--output {request.path}: rows are written as they come: name it .csv or .jsonl or give --format"
            )
    crossovers = None
    if request.crossover is not None:
        crossovers = Crossovers(request.crossover, grid, request.plan is not None)
    if request.format_ == "table" and (request.path is None or crossovers is not None):
        _check_table(grid, request.crossover)
    sweep = Sweep(grid, request, crossovers, host)
    try:
        if request.picture is not None:
            sweep.draw_to(request.picture)
        if format_ != "table" and (request.path is not None or crossovers is None):
            sweep.writer = RowWriter(format_, sweep.columns, request.path, request.resume)
        return sweep.run(screen)
    finally:
        sweep.close()


def _check_table(grid: Grid, crossover: str | None) -> None:
    """Raise `InputError` where a table would have more lines than anyone reads."""
    most = len(grid) * (len(grid.factorizations) + 1)
    if crossover is not None:
        most = len(grid) // len(axis_values(grid, crossover)) * len(grid.factorizations)
    if most > MOST_TABLE_ROWS:
        instead = "" if crossover else ", or --crossover"
        raise InputError(f"{most:,} rows are no table that anyone reads: give --format csv or jsonl{instead}")


class Sweep:
    """A running sweep: where its rows go, and what is reported at its end."""

    def __init__(
        self, grid: Grid, request: SweepRequest, crossovers: Crossovers | None, host: "Host | None" = None
    ) -> None:
        self.columns = grid.columns if request.plan is None else (*grid.columns, *MEASURED)
        self.writer: RowWriter | None = None
        self._grid, self._request, self._crossovers = grid, request, crossovers
        self._timer = None if request.plan is None else PointTimer(grid, request.plan, host)
        self._stdout = StandardOutput(request.picture is not None)
        self._picture: Picture | None = None
        self._lines: Lines | None = None
        self._table: list[SweepRow] = []
        self._answer = SweepAnswer(only_axis(grid)) if request.format_ == "table" else None
        self._points = self._rows = 0
        self._variants: set[str] = set()
        self._refused: tuple[int, str] | None = None
        self._infeasible: dict[str, tuple[int, str]] = {}
        self._interrupted = False
        self._progress = Progress()
        self._began = monotonic()

    @property
    def _stopped(self) -> str:
        """Why the sweep stopped early, or the empty string."""
        return "interrupted" if self._interrupted else self._timer.stopped if self._timer is not None else ""

    def draw_to(self, picture: "Picture") -> None:
        """Draw figures too. Raises `InputError` where that cannot be."""
        from vggcalc.report.figures import Lines

        self._picture = picture
        kernels = len(self._grid.kernels)
        self._lines = Lines(picture.path, len(self._grid) // kernels, kernels)

    def close(self) -> None:
        """Close the rows' file, which --resume can continue; leave no figure that is not whole."""
        if self.writer is not None:
            self.writer.close()
        if self._picture is not None:
            self._picture.discard()

    def run(self, screen: Screen) -> int:
        """Every row; then the table or the crossovers, unless the rows have been written."""
        try:
            for rows, state in self._counted() if self._timer is None else self._timed(self._timer):
                if state == "left" and not (self._crossovers or self._lines):
                    break
                self._take(rows, state)
        except KeyboardInterrupt:
            self._interrupted = True
        finally:
            self._progress.close()
        if self.writer is not None and not self._stopped:
            self.writer.finish()
        self._report()
        if self._picture is not None and self._lines is not None:
            draw_picture(self._picture, self._lines.figures())
        if self._interrupted and self._crossovers is not None:
            message("no crossovers are shown of a part of the sweep")
        else:
            self._sum_up(screen)
        statuses = [ExitStatus.INTERRUPTED] if self._interrupted else []
        unmeasured = self._timer is not None and self._timer.unmeasured
        if self._stopped or unmeasured or self._grid.factorizations.keys() - self._variants:
            statuses.append(ExitStatus.INCOMPLETE)
        return exit_status(statuses)

    def _batches(self) -> Iterator[Batch]:
        """The points as they are computed, with those of which there are none kept for the report."""
        for batch in sweep_batches(self._grid):
            for name, (points, reason) in batch.infeasible.items():
                self._infeasible[name] = _added(self._infeasible.get(name), points, reason)
            if batch.refused is not None:
                self._refused = _added(self._refused, *batch.refused)
            yield batch

    def _counted(self) -> Iterator[tuple[Sequence[SweepRow], _State]]:
        """The rows on paper, those of many points at once."""
        for batch in self._batches():
            if batch.rows:
                rows = [row for of_point in batch.rows for row in of_point]
                yield rows, "there" if self.writer is not None and self.writer.done(rows, {}) else "new"
            self._points += batch.points
            if sys.stderr.isatty():  # elsewhere it would be one line about nothing
                self._progress(self._far())

    def _timed(self, timer: PointTimer) -> Iterator[tuple[Sequence[SweepRow], _State]]:
        """The rows of one point after another, with what the file has measured of it, or else is measured now."""
        waiting: list[Sequence[SweepRow]] = []
        for batch in self._batches():
            self._points += batch.points - len(batch.rows)
            for rows in batch.rows:
                there: list[dict[str, str]] = []
                if self.writer is not None and not self._stopped:
                    there = self.writer.done(rows, {"on": timer.configuration})
                if there:  # the file's rows are the sweep's first: nothing waits yet
                    yield _beside(rows, timer.read(there)), "there"
                    self._points += 1
                    continue
                waiting.append(rows)
                if len(waiting) == TIMED_TOGETHER:
                    yield from self._timed_together(timer, waiting)
                    waiting = []
        if waiting:
            yield from self._timed_together(timer, waiting)

    def _timed_together(
        self, timer: PointTimer, points: Sequence[Sequence[SweepRow]]
    ) -> Iterator[tuple[Sequence[SweepRow], _State]]:
        """The rows of these points, without latencies where their turn did not come.

        Raises `KeyboardInterrupt` behind what was measured before it.
        """

        def show(text: str, left_s: float | None) -> None:
            known = "" if left_s is None else f", about {left_s:,.0f} s left"
            self._progress(f"sweep: {self._points:,} of {len(self._grid):,} points, {text}{known}")

        measured = timer.measure(points, len(self._grid) - self._points, show, self._progress.say)
        for rows, columns in zip(points, measured, strict=False):
            yield _beside(rows, columns), "new"
            self._points += 1
        if timer.interrupted:
            raise KeyboardInterrupt
        for rows in points[len(measured) :]:
            yield _beside(rows, [NOT_MEASURED] * len(rows)), "left"

    def _far(self) -> str:
        """Progress: how many points are done."""
        spent, points = monotonic() - self._began, len(self._grid)
        left = f", about {spent / self._points * (points - self._points):,.0f} s left" if self._points else ""
        return f"sweep: {self._points:,} of {points:,} points{left if spent > 1 else ''}"

    def _take(self, rows: Sequence[SweepRow], state: _State) -> None:
        """Sum the rows up and write them, but for those that the file has already."""
        for row in rows if self._crossovers or self._lines or self._answer else ():
            named = dict(zip(self.columns, row, strict=True))
            if self._answer is not None:
                self._answer.add(named)
            if self._crossovers is not None:
                self._crossovers.add(named)
            if self._lines is not None:
                self._lines.add(named)
        if state == "left":  # only crossovers and figures still need the costs on paper
            return
        self._rows += len(rows)
        self._variants.update(row[len(self._grid.point)] for row in rows)
        writer = self.writer
        if writer is not None and state == "new":
            self._stdout.write(lambda: writer.write(rows))
        elif writer is None and self._crossovers is None:
            self._table += rows

    def _report(self) -> None:
        """Report which points and variants have no rows, and why."""
        points = f"{len(self._grid):,} points"
        for warning in self._timer.warnings if self._timer is not None else ():
            message(f"warning: {warning}")
        if self._refused is not None:
            message(f"{self._refused[0]:,} of {points} are left out, the first because {self._refused[1]}")
        for variant, (number, reason) in self._infeasible.items():
            message(f"{variant} is infeasible at {number:,} of {points}, the first because {reason}")
        if self._timer is not None and self._timer.unmeasured:
            message(f"{self._timer.unmeasured:,} of {points} have no latency: they could not be measured")
        if self._stopped:
            resume = "--resume continues there" if self._request.path else "rows in an --output FILE can be resumed"
            message(f"{self._stopped} after {self._rows:,} rows; {resume}")

    def _sum_up(self, screen: Screen) -> None:
        """Print the table of rows, or the crossovers, in the format of the request."""
        found: list[dict[str, Any]] = []
        if self._crossovers is not None:
            found = self._crossovers.found()
            columns, rows = list(found[0]) if found else [], [tuple(line.values()) for line in found]
        elif self.writer is None:
            columns, rows = list(self.columns), self._table
        else:
            return
        if not rows:
            return
        if self._request.format_ != "table":
            self._stdout.write(lambda: RowWriter(self._request.format_, columns).write(rows))
            return
        from vggcalc.report.formats.terminal import draw

        if found:
            axis = " and ".join(axis_columns(self._grid, str(self._request.crossover))).replace("_", " ")
            title = f"From which {axis} on each variant is below naive, to the end of the sweep"
            table, notes = text.crossover_table(title, found), text.crossover_notes(found)
        else:
            of_one = any("process" in row[len(self._grid.columns) :] for row in rows)
            table, notes = text.table("Sweep", columns, rows), (_ONE_PROCESS,) * of_one
        said = "" if self._answer is None else self._answer.sentence()
        shown = text.sweep_sections(said, table, notes, Detail.BRIEF if self._request.brief else Detail.NORMAL)
        self._stdout.write(lambda: print(draw(shown, screen.width, screen.colour), end="", flush=True))


#: Under a table with intervals whose basis is one process.
_ONE_PROCESS = "Some points were timed in one process: their intervals and verdicts hold for that one only."


def _beside(rows: Sequence[SweepRow], measured: Sequence[SweepRow]) -> list[SweepRow]:
    """The rows with their measured columns."""
    return [(*row, *more) for row, more in zip(rows, measured, strict=True)]


def _added(before: tuple[int, str] | None, points: int, reason: str) -> tuple[int, str]:
    """Add to a number of points; the first reason stays."""
    return (before[0] + points, before[1]) if before else (points, reason)
