"""From a command's comparisons and options to the pipeline, and the process's exit status."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from vggcalc.cli.structs import GateOptions, InputOptions, MeasuringOptions, OutputOptions
from vggcalc.results import Comparison, ModelCosts

if TYPE_CHECKING:
    from vggcalc.analysis.modules import SummaryOptions
    from vggcalc.library.models import Overrides


def finish(
    command: str,
    comparisons: Sequence[Comparison],
    measuring: MeasuringOptions,
    gate: GateOptions,
    output: OutputOptions,
    *,
    verify: bool = False,
    sources: Sequence[str] = (),
    not_in_csv: Sequence[str] = (),
) -> None:
    """Have the comparisons measured and written, and exit with the exit status.

    `sources` are files that were read, which are never written over; `not_in_csv` are options that were given and
    that a CSV has no rows for. Raises `click.UsageError` and `InputError` before anything is measured.
    """
    from vggcalc.pipeline.emit import message
    from vggcalc.pipeline.run import measure_and_write

    output.check_apart(*sources)
    lost = [*not_in_csv, *(["--against"] if gate.against else [])]
    if output.format == "csv" and lost:
        raise click.UsageError(f"{lost[0]} makes no rows of a CSV: choose another format, or leave it out")
    if output.rows is not None and output.format != "csv":
        raise click.UsageError(f"--rows {output.rows} is for a CSV: give --format csv or --output FILE.csv")
    if output.rows == "module" and comparisons[0].modules is None:
        raise click.UsageError("--rows module is for a summary: choose total, block or layer")
    plan, condition, detail = measuring.plan(verify, comparisons[0].dtype), None, output.detail
    if gate.fail_if or gate.against:
        from vggcalc.report.gate.gate import gate as read_gate

        condition = read_gate(gate.fail_if, gate.against, comparisons, measuring.latency, "leave out --no-latency")
    target, rows = (output.format, output.path), output.rows
    picture = output.picture()
    try:
        status = measure_and_write(command, comparisons, plan, *target, condition, picture, rows=rows, detail=detail)
    finally:
        if picture is not None:
            picture.discard()
    if output.mismatch:
        message(output.mismatch)
    sys.exit(status)


def finish_models(
    models: Sequence[str],
    overrides: "Overrides",
    shape: InputOptions,
    table: "SummaryOptions",
    measuring: MeasuringOptions,
    output: OutputOptions,
) -> NoReturn:
    """Count several models, write a row for each, and exit with the exit status: 1 where one failed."""
    from vggcalc.library.many import sorted_by, summarize_each
    from vggcalc.measurement.trace import Tracer
    from vggcalc.pipeline.emit import ExitStatus, exit_status, message
    from vggcalc.pipeline.progress import Progress
    from vggcalc.pipeline.report import make_report
    from vggcalc.pipeline.run import write_report

    table.check()
    output.check_apart(*models)
    rows: list[ModelCosts] = []
    statuses: list[ExitStatus] = []
    progress = Progress()
    with Tracer(shape.cache) as tracer:
        try:
            rows.extend(summarize_each(models, shape.inputs, overrides, measuring.dtype, tracer, progress))
        except KeyboardInterrupt:
            statuses.append(ExitStatus.INTERRUPTED)
        finally:
            progress.close()
    if any(row.status == "failed" for row in rows):
        statuses.append(ExitStatus.INCOMPLETE)
    report = make_report("summary", models=sorted_by(rows, table.sort, table.top))
    write_report(report, output.format, output.path, output.detail)
    if output.mismatch:
        message(output.mismatch)
    sys.exit(exit_status(statuses))
