"""From comparisons to what the user gets: measured where asked for, written, with an exit status."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

import vggcalc
from vggcalc.analysis.costs import COSTS
from vggcalc.report.formats import FORMATS, Screen, counts, measured
from vggcalc.report.output import Output, OutputError
from vggcalc.report.reading import read
from vggcalc.results import CONVENTIONS, SCHEMA_VERSION, Comparison, Environment, Report

if TYPE_CHECKING:
    from vggcalc.measurement.plan import Plan
    from vggcalc.measurement.session import Outcome

DONE, NOT_DELIVERED, DISAGREES, INTERRUPTED = 0, 1, 3, 130


def deliver(
    command: str, comparisons: Sequence[Comparison], plan: "Plan | None", format_: str, path: str | None
) -> int:
    """Measure as `plan` says, write in that format to `path` or standard output; the exit status.

    A table on standard output comes in two parts: the counts at once, the rest once it is measured.
    """
    output = Output(path)
    try:
        screen = _screen(path is None)
        if plan is None:
            output.write(FORMATS[format_](_report(command, comparisons), screen))
            return DONE
        at_once = format_ == "table" and path is None
        if at_once:
            output.write(counts(_report(command, comparisons), screen))
        from vggcalc.measurement.interrupts import Deferred

        outcome = _measure(comparisons, plan)
        with Deferred() as interrupt:
            report = _report(command, outcome.comparisons, outcome.environment)
            text = measured(report, screen) if at_once else FORMATS[format_](report, screen)
            try:
                output.write(text)
            except OutputError:  # such as a disk that has filled up since: what was measured is not lost
                sys.stdout.write(text)
                raise
    finally:
        output.discard()
    for warning in outcome.warnings:
        print(f"vggcalc: warning: {warning}", file=sys.stderr)
    if outcome.interrupted or interrupt.came:
        print("vggcalc: interrupted: only what was measured before is reported", file=sys.stderr)
        return INTERRUPTED
    return DISAGREES if outcome.disagrees else NOT_DELIVERED if outcome.failures else DONE


def _report(command: str, comparisons: Sequence[Comparison], environment: Environment | None = None) -> Report:
    with_notes = tuple(msgspec.structs.replace(one, notes=read(one)) for one in comparisons)
    conventions = CONVENTIONS | {key: f"{cost.definition} ({cost.unit})" for key, cost in COSTS.items()}
    return Report(SCHEMA_VERSION, vggcalc.__version__, command, conventions, environment, with_notes)


def _measure(comparisons: Sequence[Comparison], plan: "Plan") -> "Outcome":
    from vggcalc.measurement.session import carry_out
    from vggcalc.report.progress import Progress

    progress = Progress()
    try:
        return carry_out(comparisons, plan, progress, progress.say)
    finally:
        progress.close()


def _screen(is_stdout: bool) -> Screen:
    """The terminal's width and colours; 80 columns, or COLUMNS, and no colours for anything else."""
    terminal = is_stdout and sys.stdout.isatty()
    columns = os.environ.get("COLUMNS", "")
    width = 80
    if columns.isdecimal() and int(columns):
        width = int(columns)
    elif terminal:
        width = os.get_terminal_size(sys.stdout.fileno()).columns or 80
    return Screen(max(width, 40), terminal and "NO_COLOR" not in os.environ)
