"""What was replaced in a model, and how much of its trained kernels the new layers explain."""

from collections.abc import Iterator

from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.findings.wording import place, speedup_and_interval, verdict_words
from vggcalc.report.tables.cells import EMPTY, Cell, Column, Row, Section, Table, Text
from vggcalc.results.fitted import FittedLayer, RewrittenModel

TITLES = (
    "replaced", "kernel", "by", "width", "params before", "params after", "MACs before", "MACs after",
    "energy", "output error",
)  # fmt: skip

#: Shown where there is room.
_WHERE_ROOM = ("width", "params before", "MACs before")


def fitted_tables(done: RewrittenModel) -> list[Section]:
    """A line for each replaced layer, and what became of the whole model."""
    columns = tuple(Column(title, right=i > 2, wide=title in _WHERE_ROOM) for i, title in enumerate(TITLES))
    rows = [Row(_fitted_cells(one), detail=Detail.BRIEF) for one in done.layers]
    if len(rows) > 1:
        sums = (sum(getattr(one, key)[i] for one in done.layers) for key in ("parameters", "macs") for i in (0, 1))
        total = (Cell("total"), EMPTY, EMPTY, EMPTY, *map(Cell.count, sums), Cell.share(done.energy), EMPTY)
        rows.append(Row(total, "total", detail=Detail.BRIEF))
    return [Table(f"What was replaced in {done.model}", columns, tuple(rows)), Text(tuple(_fitted_lines(done)))]


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
    yield f"The whole model: {done.parameters[0]:,} parameters before, {done.parameters[1]:,} after."
    for measured in done.latency:
        words = "after is " + verdict_words(measured, "before")
        yield f"On {place(measured.configuration)} the model {words} ({speedup_and_interval(measured)})."
    for name, reason in done.stays:
        yield f"{name} stays: {reason}."
    if any(one.energy is not None for one in done.layers):
        if done.fit_on is None:
            yield "Energy: the share of the kernel's that is explained, 1 − residual² / ‖kernel‖²; the total is of all."
        else:
            yield f"Energy: the share of the output for {done.fit_on} that is explained, 1 − error² / ‖output‖²."
        inputs = done.fit_on or "random inputs"
        yield f"Output error, and that of the whole model: ‖new − old‖ / ‖old‖ on {inputs}."
    if any(one.nonlinear for one in done.layers):
        yield (
            "Activations between the new layers are new: the fit is of the layers without them. Train on, or leave "
            "them out: --between nothing --pad-at first."
        )
