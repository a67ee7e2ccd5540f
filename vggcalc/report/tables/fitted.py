"""What was replaced in a model, and how much of its trained kernels the new layers explain."""

from vggcalc.report import units
from vggcalc.report.tables.cells import Cell, Column, Row, Section, Table, Text
from vggcalc.results.fitted import FittedLayer


def fitted_tables(name: str, layers: tuple[FittedLayer, ...], parameters: tuple[int, int]) -> list[Section]:
    """A line for each replaced layer, and what became of the whole model's parameters."""
    rows = [
        Row(
            (
                Cell(one.name),
                Cell(units.window(one.kernels[0])),
                Cell(", ".join(map(units.window, one.kernels[1]))),
                *map(Cell.count, one.parameters),
                Cell.share(one.energy),
                Cell.share(one.output_error),
            )
        )
        for one in layers
    ]
    titles = ("replaced", "kernel", "by", "params before", "params after", "energy explained", "output error")
    columns = tuple(Column(title, right=i > 2) for i, title in enumerate(titles))
    before, after = parameters
    lines = [f"The whole model: {before:,} parameters before, {after:,} after."]
    if any(one.energy is not None for one in layers):
        lines.append("Energy explained: 1 − residual² / ‖kernel‖². Output error: ‖new − old‖ / ‖old‖ on random inputs.")
    if any(one.nonlinear for one in layers):
        lines.append("Activations between the new layers are new: the fit is of the layers without them; train on.")
    return [Table(f"What was replaced in {name}", columns, tuple(rows)), Text(tuple(lines))]
