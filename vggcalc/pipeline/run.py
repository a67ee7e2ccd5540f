"""From comparisons to what the user gets: measured where asked for, written, with an exit status."""

import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from vggcalc.errors import InputError, OutputError
from vggcalc.pipeline.emit import ExitStatus, StandardOutput, exit_status, message, writes_utf8
from vggcalc.pipeline.files import Output
from vggcalc.pipeline.report import make_report
from vggcalc.report.detail import Detail
from vggcalc.report.formats import FORMATS, Screen
from vggcalc.results import Comparison, Report

if TYPE_CHECKING:
    from vggcalc.measurement.host import Host
    from vggcalc.measurement.plan import Plan
    from vggcalc.measurement.session import MeasurementOutcome
    from vggcalc.pipeline.picture import Picture
    from vggcalc.report.figures import Figure
    from vggcalc.report.gate.gate import Gate


def measure_and_write(
    command: str,
    comparisons: Sequence[Comparison],
    plan: "Plan | None",
    format_: str,
    path: str | None,
    gate: "Gate | None" = None,
    picture: "Picture | None" = None,
    host: "Host | None" = None,
    rows: str | None = None,
    detail: Detail = Detail.NORMAL,
) -> int:
    """Measure as `plan` says, and write in that format to `path` or standard output. Returns the exit status.

    A table on a terminal comes in two parts: the counts at once, the rest once it is measured. Elsewhere it begins with
    the whole answer. The figures of `picture` come last. `rows` are those of a CSV.
    """
    output = Output(path)
    stdout = StandardOutput(gate is not None or picture is not None)
    screen = msgspec.structs.replace(screen_of(path is None, detail), rows=rows)
    try:
        if picture is not None and (plan is None or not (plan.latency or plan.effective_samples)):
            picture.check(drawable(make_report(command, comparisons)))
        if plan is None:
            report = make_report(command, comparisons, None, gate)
            text = FORMATS[format_](report, screen)
            stdout.write(lambda: output.write(text))
            if picture is not None:
                draw_picture(picture, drawable(report))
            return exit_status(_judge(gate, report))
        in_parts = format_ == "table" and path is None and sys.stdout.isatty() and detail is not Detail.BRIEF
        if in_parts:
            from vggcalc.report.formats.terminal import first_part, second_part

            first = first_part(make_report(command, comparisons, pending=True), screen)
            stdout.write(lambda: output.write(first))
        from vggcalc.measurement.interrupts import Deferred

        outcome = measure_with_progress(comparisons, plan, host)
        with Deferred() as interrupt:
            report = make_report(command, outcome.comparisons, outcome.environment, gate)
            rest = second_part(report, screen) if in_parts else FORMATS[format_](report, screen)
            try:
                stdout.write(lambda: output.write(rest))
            except OutputError:  # such as a disk that has filled up since: what was measured is not lost
                sys.stdout.write(rest)
                raise
            drawn = picture is None or draw_picture(picture, drawable(report))
    finally:
        output.discard()
    statuses = statuses_of(outcome, interrupt.came) + _judge(gate, report)
    if not drawn:
        statuses.append(ExitStatus.INCOMPLETE)
    return exit_status(statuses)


def statuses_of(outcome: "MeasurementOutcome", interrupted: bool = False) -> list[ExitStatus]:
    """Report what a measurement warns of, and that it was interrupted, then or later. Returns what follows from it."""
    for warning in outcome.warnings:
        message(f"warning: {warning}")
    statuses = []
    if outcome.interrupted or interrupted:
        message("interrupted: only what was measured before is reported")
        statuses.append(ExitStatus.INTERRUPTED)
    if outcome.disagrees:
        statuses.append(ExitStatus.DISAGREES)
    if outcome.failures:
        statuses.append(ExitStatus.INCOMPLETE)
    return statuses


def drawable(report: Report) -> "list[Figure]":
    """The figures of a report, for which alone their modules are imported."""
    from vggcalc.report.figures import figures

    return figures(report)


def draw_picture(picture: "Picture", figures: "Sequence[Figure]") -> bool:
    """Draw what there is, and report what is not drawn. Returns whether something was."""
    try:
        others = picture.draw(figures)
    except InputError as error:  # what was to be drawn was not measured
        message(str(error))
        return False
    if others:
        message(
            f"{picture.path} holds the first figure only: --figure {' or '.join(others)} draws another, "
            "and a .pdf holds all"
        )
    return True


def write_report(report: Report, format_: str, path: str | None, detail: Detail = Detail.NORMAL) -> None:
    """Write a report that is complete, in that format to `path` or standard output."""
    output = Output(path)
    try:
        text = FORMATS[format_](report, screen_of(path is None, detail))
        StandardOutput(more_to_come=False).write(lambda: output.write(text))
    finally:
        output.discard()


def _judge(gate: "Gate | None", report: Report) -> list[ExitStatus]:
    """Report which conditions hold and which cannot be decided. Returns the statuses that follow."""
    if gate is None:
        return []
    result = gate.judge(report)
    for line in result.held + result.undecided:
        message(line)
    statuses = ((result.held, ExitStatus.CONDITION_HOLDS), (result.undecided, ExitStatus.INCOMPLETE))
    return [status for lines, status in statuses if lines]


def measure_with_progress(
    comparisons: Sequence[Comparison], plan: "Plan", host: "Host | None" = None
) -> "MeasurementOutcome":
    """Have them measured, with a line about how far it is in a terminal."""
    from vggcalc.measurement.host import Host
    from vggcalc.measurement.session import measure_all
    from vggcalc.pipeline.progress import Progress

    progress = Progress()
    try:
        return measure_all(comparisons, plan, progress, progress.say, host or Host())
    finally:
        progress.close()


def screen_of(is_stdout: bool, detail: Detail = Detail.NORMAL) -> Screen:
    """The terminal's width and colours; 80 columns, or COLUMNS, and no colours for anything else."""
    terminal = is_stdout and sys.stdout.isatty()
    columns = re.fullmatch(r"0*([1-9]\d{0,5})", os.environ.get("COLUMNS", ""), re.ASCII)
    width = 80
    if columns is not None:
        width = int(columns[1])
    elif terminal:
        width = os.get_terminal_size(sys.stdout.fileno()).columns or 80
    return Screen(
        max(width, 40), terminal and "NO_COLOR" not in os.environ, is_stdout and not writes_utf8(), detail=detail
    )
