"""From comparisons to what the user gets: measured where asked for, written, with an exit status."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vggcalc.errors import OutputError
from vggcalc.pipeline.files import Output, discard_stdout
from vggcalc.pipeline.report import make_report
from vggcalc.report.formats import FORMATS, Screen, counts, measured
from vggcalc.results import Comparison, Report

if TYPE_CHECKING:
    from vggcalc.measurement.plan import Plan
    from vggcalc.measurement.session import MeasurementOutcome
    from vggcalc.report.gate.gate import Gate

#: The exit status; where several apply INTERRUPTED before DISAGREES before HOLDS before NOT_DELIVERED.
DONE, NOT_DELIVERED, DISAGREES, HOLDS, INTERRUPTED = 0, 1, 3, 4, 130


def run(
    command: str,
    comparisons: Sequence[Comparison],
    plan: "Plan | None",
    format_: str,
    path: str | None,
    gate: "Gate | None" = None,
    plot: str | None = None,
) -> int:
    """Measure as `plan` says, write in that format to `path` or standard output; the exit status.

    A table on standard output comes in two parts: the counts at once, the rest once it is measured.
    The figures in the file `plot` come last.
    """
    output, picture = Output(path), None
    try:
        if plot is not None:
            from vggcalc.report.figures import Picture, figures

            picture = Picture(plot)
            if plan is None or not plan.latency:
                picture.promise(figures(make_report(command, comparisons)))
        screen, keep_on = screen_of(path is None), gate is not None or picture is not None
        if plan is None:
            report = make_report(command, comparisons, None, gate)
            _write(output, FORMATS[format_](report, screen), keep_on)
            if picture is not None:
                picture.draw(figures(report))
            return _judge(gate, report)
        at_once = format_ == "table" and path is None
        if at_once:
            _write(output, counts(make_report(command, comparisons), screen), keep_on)
        from vggcalc.measurement.interrupts import Deferred

        outcome = _measure(comparisons, plan)
        with Deferred() as interrupt:
            report = make_report(command, outcome.comparisons, outcome.environment, gate)
            text = measured(report, screen) if at_once else FORMATS[format_](report, screen)
            try:
                _write(output, text, keep_on)
            except OutputError:  # such as a disk that has filled up since: what was measured is not lost
                sys.stdout.write(text)
                raise
            drawn = picture is None or picture.draw(figures(report))
    finally:
        output.discard()
        if picture is not None:
            picture.discard()
    for warning in outcome.warnings:
        print(f"vggcalc: warning: {warning}", file=sys.stderr)
    if not drawn:
        print(f"vggcalc: --plot {plot}: nothing was measured that could be drawn", file=sys.stderr)
    judged = _judge(gate, report)
    if outcome.interrupted or interrupt.came:
        print("vggcalc: interrupted: only what was measured before is reported", file=sys.stderr)
        return INTERRUPTED
    if outcome.disagrees:
        return DISAGREES
    return judged if judged == HOLDS or (drawn and not outcome.failures) else NOT_DELIVERED


def _write(output: Output, text: str, keep_on: bool) -> None:
    """A reader that has gone (`| head`) ends it, unless a gate or a figure is still to come."""
    try:
        output.write(text)
    except BrokenPipeError:
        if not keep_on:
            raise
        discard_stdout()


def _judge(gate: "Gate | None", report: Report) -> int:
    """Say which conditions hold and which cannot be decided; the exit status that follows."""
    if gate is None:
        return DONE
    result = gate.judge(report)
    for line in result.held + result.undecided:
        print(f"vggcalc: {line}", file=sys.stderr)
    return HOLDS if result.held else NOT_DELIVERED if result.undecided else DONE


def _measure(comparisons: Sequence[Comparison], plan: "Plan") -> "MeasurementOutcome":
    from vggcalc.measurement.session import measure_all
    from vggcalc.pipeline.progress import Progress

    progress = Progress()
    try:
        return measure_all(comparisons, plan, progress, progress.say)
    finally:
        progress.close()


def screen_of(is_stdout: bool) -> Screen:
    """The terminal's width and colours; 80 columns, or COLUMNS, and no colours for anything else."""
    terminal = is_stdout and sys.stdout.isatty()
    columns = os.environ.get("COLUMNS", "")
    width = 80
    if columns.isdecimal() and int(columns):
        width = int(columns)
    elif terminal:
        width = os.get_terminal_size(sys.stdout.fileno()).columns or 80
    return Screen(max(width, 40), terminal and "NO_COLOR" not in os.environ)
