"""What was replaced in a model, and how much of its trained kernels the new layers explain."""

from collections.abc import Iterator

from vggcalc.report import units
from vggcalc.report.tables.cells import Cell, Column, Row, Section, Table, Text
from vggcalc.results.fitted import FittedLayer, RewrittenModel

TITLES = (
    "replaced", "kernel", "by", "width", "params before", "params after", "MACs before", "MACs after",
    "energy explained", "output error",
)  # fmt: skip


def fitted_tables(name: str, done: RewrittenModel) -> list[Section]:
    """A line for each replaced layer, what they are together, and what became of the whole model."""
    columns = tuple(Column(title, right=i > 2) for i, title in enumerate(TITLES))
    rows = tuple(Row(_fitted_cells(one)) for one in done.layers)
    return [Table(f"What was replaced in {name}", columns, rows), Text(tuple(_fitted_lines(done)))]


def _fitted_cells(one: FittedLayer) -> tuple[Cell, ...]:
    between = one.widths[:-1]
    return (
        Cell(one.name),
        Cell(units.window(one.kernels[0])),
        Cell(", ".join(map(units.window, one.kernels[1]))),
        Cell(", ".join(map(str, sorted(set(between), key=between.index))), min(between, default=None)),
        *map(Cell.count, (*one.parameters, *one.macs)),
        Cell.share(one.energy),
        Cell.share(one.output_error),
    )


def _fitted_lines(done: RewrittenModel) -> Iterator[str]:
    before, after = (sum(one.macs[i] for one in done.layers) for i in (0, 1))
    yield f"Together the replaced layers did {before:,} MACs, and now do {after:,}."
    yield f"The whole model: {done.parameters[0]:,} parameters before, {done.parameters[1]:,} after."
    for name, reason in done.stays:
        yield f"{name} stays: {reason}."
    if any(one.energy is not None for one in done.layers):
        yield "Energy explained: 1 − residual² / ‖kernel‖². Output error: ‖new − old‖ / ‖old‖ on random inputs."
    if done.output_error is not None:
        yield f"Output error of the whole model: {done.output_error:.1%}."
    if any(one.nonlinear for one in done.layers):
        yield "Activations between the new layers are new: the fit is of the layers without them; train on."
