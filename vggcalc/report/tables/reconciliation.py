"""What another counter would report, reconciled with the exact MACs line by line."""

from vggcalc.report import units
from vggcalc.report.tables.cells import EMPTY, Cell, Column, Row, Section, Table, Text
from vggcalc.results import Comparison, Reconciliation


def reconciliation(comparison: Comparison) -> list[Section]:
    """The exact MACs, what the counter adds to them or leaves out, its figure, and where its rule stands."""
    found = comparison.reconciliation
    if found is None:
        return []
    return [_line_by_line(comparison, found), Text(_sources(comparison, found), quiet=True)]


def _line_by_line(comparison: Comparison, found: Reconciliation) -> Table:
    lower = "macs" in comparison.variants[0].partial
    what = "MACs, a lower bound" if lower else "exact MACs"

    def bound(value: int) -> Cell:
        return Cell(units.LOWER_BOUND * lower + units.count(value), value)

    rows = [Row((Cell(what), EMPTY, bound(found.macs)))]
    if found.factor != 1:
        rows.append(Row((Cell(f"× {found.factor}"), EMPTY, bound(found.factor * found.macs))))
    for line in found.lines:
        layers = Cell.count(line.layers) if line.layers else EMPTY
        sign = "−" if line.amount < 0 else "+"
        rows.append(Row((Cell(f"{sign} {line.term}"), layers, Cell(units.count(abs(line.amount)), line.amount))))
    rows.append(Row((Cell(f"= {found.figure}"), EMPTY, bound(found.total)), "total", ruled=True))
    return Table(
        f"{comparison.name} as {found.counter} counts it, input {units.shape(comparison.input_shape)}",
        (Column("", right=False), Column("layers"), Column(found.figure)),
        tuple(rows),
    )


def _sources(comparison: Comparison, found: Reconciliation) -> tuple[str, ...]:
    """Where the rule stands, and what it leaves open."""
    lines = [f"The rule is that of {found.counter} {found.version} ({found.source})."]
    if found.note:
        lines.append(f"{found.note}.")
    if found.unsure:
        lines.append(f"Not established is what it counts for {', '.join(found.unsure)}: its figure may be another.")
    partial = "macs" in comparison.variants[0].partial
    if not found.lines and found.factor == 1 and not found.unsure and not partial:
        lines.append("It adds nothing to the exact MACs and leaves nothing out.")
    return tuple(lines)
