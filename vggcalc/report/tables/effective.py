"""Effective receptive fields beside the theoretical ones, as a table."""

from vggcalc.report import units
from vggcalc.report.tables.cells import EMPTY, Cell, Column, Row, Section, Table, Text
from vggcalc.results import Comparison, EffectiveReceptiveField, HeldEnergy

_SIDE_COLUMNS = (
    Column("variant", right=False),
    Column("theoretical"),
    Column("50% within"),
    Column("95% within"),
    Column("unit of", right=False, wide=True),
)

#: What is a square in two dimensions, by the number of axes.
_SQUARES = {1: "interval", 2: "square", 3: "cube"}


def effective_tables(comparison: Comparison) -> list[Section]:
    """A line for each variant whose gradient was looked at: the sides that hold 50% and 95% of its energy."""
    found = {variant.name: variant.effective for variant in comparison.variants if variant.effective is not None}
    if not found:
        return []
    rows = tuple(
        Row(
            (
                Cell(name),
                Cell("whole input") if one.theoretical is None else Cell.axes(one.theoretical),
                _side(one.half),
                _side(one.most),
                Cell(f"{one.layer} at {','.join(map(str, one.unit))}") if one.unit else EMPTY,
            )
        )
        for name, one in found.items()
    )
    title = f"Effective receptive field of {comparison.name}, in input positions"
    return [Table(title, _SIDE_COLUMNS, rows), Text(_how(list(found.values())), quiet=True)]


def _side(held: HeldEnergy) -> Cell:
    """The side, and its 95% interval where the samples differ."""
    low, high = held.ci95 or (held.side, held.side)
    return Cell(f"{held.side} ({low}–{high})" if held.ci95 else str(held.side), held.side)


def _how(found: list[EffectiveReceptiveField]) -> tuple[str, ...]:
    """What the sides are of, over how many inputs, and with which weights."""
    samples = units.names(list(dict.fromkeys(str(one.samples) for one in found)), last_by="or")
    lines = [
        f"The side of the {_SQUARES[len(found[0].unit)]} around the middle of one unit's field that holds so much of "
        f"its gradient's energy, the squared gradient, over {samples} random input{'s' * (samples != '1')}; in "
        "parentheses its 95% interval (Luo et al. 2016)."
    ]
    if any(one.weights == "random" for one in found):
        lines.append("Weights are random, without biases, and others for each input.")
    if any(one.weights == "model" for one in found):
        lines.append("Imported models have the weights that they are made with; layers that replace theirs, torch's.")
    silent = max(one.silent for one in found)
    if silent:
        lines.append(f"Up to {silent} more are left out, in which the unit's gradient was 0 everywhere.")
    return tuple(lines)
