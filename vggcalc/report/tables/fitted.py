"""What was replaced in a model, and how much of its trained kernels the new layers explain."""

from collections.abc import Iterator

from vggcalc.report import units
from vggcalc.report.findings.wording import amount_of
from vggcalc.report.tables.cells import Cell, Column, Row, Section, Table, Text
from vggcalc.results.fitted import FittedLayer, RewrittenModel

TITLES = (
    "replaced", "kernel", "by", "width", "params before", "params after", "MACs before", "MACs after",
    "energy", "output error",
)  # fmt: skip

#: Shown where there is room.
_WHERE_ROOM = ("width", "params before", "MACs before")


def fitted_tables(name: str, done: RewrittenModel) -> list[Section]:
    """What it comes to in a sentence, a line for each replaced layer, and what became of the whole model."""
    columns = tuple(Column(title, right=i > 2, wide=title in _WHERE_ROOM) for i, title in enumerate(TITLES))
    rows = tuple(Row(_fitted_cells(one)) for one in done.layers)
    table = Table(f"What was replaced in {name}", columns, rows)
    return [Text((_answer(name, done),)), table, Text(tuple(_fitted_lines(done)))]


def _answer(name: str, done: RewrittenModel) -> str:
    """How many layers were replaced, and what the model has and puts out since."""
    before, after = (sum(one.macs[i] for one in done.layers) for i in (0, 1))
    layers = "1 layer" if len(done.layers) == 1 else f"{len(done.layers)} layers"
    weights = amount_of(done.parameters[1] / done.parameters[0], "weights")
    text = (
        f"{layers} of {name} replaced: it has {weights}, and what was replaced does {amount_of(after / before, 'MACs')}"
    )
    if done.output_error is None:
        return f"{text}."
    return f"{text}; its output differs by {done.output_error:.1%}."


def _fitted_cells(one: FittedLayer) -> tuple[Cell, ...]:
    between = one.widths[:-1]
    return (
        Cell(one.name),
        Cell(units.window(one.kernels[0])),
        Cell(", ".join(map(units.window, one.kernels[1]))),
        Cell(", ".join(map(str, dict.fromkeys(between))), min(between, default=None)),
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
        yield "Energy: the share of the kernel's that is explained, 1 − residual² / ‖kernel‖²."
        yield "Output error, and that of the whole model: ‖new − old‖ / ‖old‖ on random inputs."
    if any(one.nonlinear for one in done.layers):
        yield "Activations between the new layers are new: the fit is of the layers without them; train on."
