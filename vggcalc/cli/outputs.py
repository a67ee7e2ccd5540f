"""From a command's comparisons and options to what is measured and written."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vggcalc.measurement.plan import Plan
    from vggcalc.results import Comparison


def check_apart(plot: str | None, output: str | None) -> None:
    """Raise `click.UsageError` if figures and rows would go to one file."""
    if plot is not None and output is not None and os.path.realpath(plot) == os.path.realpath(output):
        raise click.UsageError(f"--plot and --output both name {plot}: give two files")


def dtype(given: dict[str, Any]) -> str:
    """The dtype of the counts' bytes."""
    return str(given["dtypes"][0]) if given["dtypes"] else "float32"


#: Options that only a measuring reads, by their parameter.
_OF_LATENCY = {
    "devices": "device", "threads": "threads", "modes": "mode", "memory_formats": "memory-format",
    "compiled": "compile", "cold": "cold", "budget": "budget", "precision": "precision",
    "processes": "processes", "rounds": "rounds", "quick": "quick", "seed": "seed", "allocator": "allocator",
}  # fmt: skip


def deliver(command: str, comparisons: Sequence[Comparison], given: dict[str, Any]) -> None:
    """Hand the comparisons to be measured and written, and exit with what became of it."""
    from vggcalc.pipeline import run as delivery

    format_ = given["format_"] or ("json" if given["as_json"] else _format_of(given["output"]))
    if given["as_json"] and format_ != "json":
        raise click.UsageError(f"--json and --format {format_} contradict each other")
    if format_ == "csv" and (given.get("counter") or given.get("unit")):
        raise click.UsageError("--as and --unit are no rows of a CSV: choose another format, or leave them out")
    if format_ == "csv" and given["against"]:
        raise click.UsageError("--against makes no rows of a CSV: choose another format, or leave it out")
    if not given["latency"]:
        for parameter, name in _OF_LATENCY.items():
            if given[parameter] not in (None, False, ()) and not (name == "seed" and given.get("verify")):
                raise click.UsageError(f"--{name} is for measuring: leave it out beside --no-latency")
    if given["quick"] and given["processes"] not in (None, 1):
        raise click.UsageError("--quick is one process: leave it out beside --processes")
    check = given["latency"] if given["check"] is None else given["check"]
    plan = _plan(given, check) if given["latency"] or check or given.get("verify") else None
    judging = None
    if given["fail_if"] or given["against"]:
        from vggcalc.report.gate.gate import gate

        judging = gate(given["fail_if"], given["against"], comparisons, given["latency"])
    path = None if given["output"] == "-" else given["output"]
    plot = given["plot"]
    check_apart(plot, path)
    sys.exit(delivery.deliver(command, comparisons, plan, format_, path, judging, plot))


def _format_of(output: str | None) -> str:
    """The format that a file's name asks for; a table where it asks for none."""
    suffix = os.path.splitext(output or "")[1].lower()
    return {".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html"}.get(suffix, "table")


def _plan(given: dict[str, Any], check: bool) -> Plan:
    from vggcalc.measurement.plan import Plan

    quick = given["quick"]
    chosen = {
        "devices": given["devices"] or None,
        "threads": tuple(dict.fromkeys(given["threads"])) or None,
        "modes": given["modes"] or None,
        "memory_formats": given["memory_formats"] or None,
        "executions": ("eager", "compiled") if given["compiled"] else None,
        "budget_s": given["budget"] or (5.0 if quick else None),
        "precision": given["precision"],
        "processes": 1 if quick else given["processes"],
        "rounds": given["rounds"],
        "seed": given["seed"],
    }
    return Plan(
        latency=given["latency"],
        check=check,
        verify=bool(given.get("verify")),
        dtypes=given["dtypes"] or ("float32",),
        cold=given["cold"],
        pin_allocator=given["allocator"] != "default",
        **{key: value for key, value in chosen.items() if value is not None},
    )
