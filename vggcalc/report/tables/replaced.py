"""Which convolutions were replaced, what each replacement saves or costs, and which were skipped."""

from vggcalc.report import units
from vggcalc.report.tables.cells import Cell, Column, Row, Section, Table, Text
from vggcalc.results import Comparison, Costs


def replacement_tables(comparison: Comparison) -> list[Section]:
    """A line for each replacement, the largest change of MACs first, and what was skipped."""
    return [*([_replacement_table(comparison)] if comparison.replaced else ()), *skipped_text(comparison)]


def skipped_text(comparison: Comparison) -> list[Section]:
    """The convolutions that were skipped, by the reason why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in comparison.skipped:
        where = f" in {one.variant}" if one.variant else ""
        reasons.setdefault((where, one.reason), []).append(f"{one.name} ({units.window(one.kernel)})")
    lines = [f"Skipped{where}: {units.names(names, most=4)}: {reason}." for (where, reason), names in reasons.items()]
    return [Text(tuple(lines))] if lines else []


def _replacement_table(comparison: Comparison) -> Table:
    rows = []
    for one in comparison.replaced:
        before, after = one.costs
        kernels = [Cell(units.kernels(side)) for side in one.kernels]
        changes = (cell for key in ("parameters", "macs") for cell in _before_and_after(before, after, key))
        rows.append(Row((Cell(one.name), *kernels, *changes)))
    wide = {"params before", "params after"}
    columns = ("replaced", "kernel", "by", "params before", "params after", "Δ params",
               "MACs before", "MACs after", "Δ MACs")  # fmt: skip
    return Table(
        f"What was replaced in {comparison.name}, the largest change of MACs first",
        tuple(Column(title, right=i > 2, wide=title in wide) for i, title in enumerate(columns)),
        tuple(rows),
    )


def _before_and_after(before: Costs, after: Costs, key: str) -> tuple[Cell, Cell, Cell]:
    old, new = before[key], after[key]
    return Cell.count(old), Cell.count(new), Cell.change(new / old if old and new is not None else None)
