"""From a command's comparisons and options to the pipeline, and the process's exit status."""

import sys
from collections.abc import Sequence

import click

from vggcalc.cli.structs import GateOptions, MeasuringOptions, OutputOptions
from vggcalc.results import Comparison


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
    plan, condition = measuring.plan(verify, comparisons[0].dtype), None
    if gate.fail_if or gate.against:
        from vggcalc.report.gate.gate import gate as read_gate

        condition = read_gate(gate.fail_if, gate.against, comparisons, measuring.latency, "leave out --no-latency")
    status = measure_and_write(command, comparisons, plan, output.format, output.path, condition, output.plot)
    if output.mismatch:
        message(output.mismatch)
    sys.exit(status)
