"""The exact counts beside those of torch and fvcore, and the receptive field beside a gradient."""

from collections.abc import Sequence

from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.tables.cells import EMPTY, Cell, Column, Row, Section, Table, Text, heading
from vggcalc.results import Comparison, Crosscheck, GradientProbe, Variant

#: What the crosscheck looks at; parameters as they are called in a sentence.
_CHECKED = {
    "parameters": "parameters",
    "macs": "MACs",
    "activations": "activations",
    "training_flops": "training FLOPs",
    "saved_bytes": "saved activations",
}


def crosschecks(comparison: Comparison) -> list[Section]:
    """A quiet line where all agree, and what was counted; every figure where they do not.

    A gradient is torch's.
    """
    checked = [(v, v.crosscheck) for v in comparison.variants if v.crosscheck is not None]
    if not checked:
        return []
    notes = tuple(dict.fromkeys(note for _, check in checked for note in check.notes))
    if all(check.agrees for _, check in checked):
        counted = {key: [getattr(check, key) for _, check in checked] for key in _CHECKED}
        by_torch = {key for key, found in counted.items() if all(one.torch is not None for one in found)}
        by_fvcore = {key for key, found in counted.items() if all(one.fvcore is not None for one in found)}
        words = [word for key, word in _CHECKED.items() if key in by_torch | by_fvcore]
        whom = comparison.name
        if len(checked) < len(comparison.variants):
            whom += f" ({', '.join(variant.name for variant, _ in checked)} only)"
        by = "torch and fvcore" if by_fvcore else "torch"
        probed = all(check.receptive_field is not None for _, check in checked)
        what = "Counts and receptive field" if probed else "Counts"
        listed = f"Counted again: {units.names(words)}.{_confirmed_field(checked)}"
        return [
            Text((f"{what} of {whom} confirmed by {by}.",), quiet=True),
            Text((listed, *notes), quiet=True, detail=Detail.FULL),
        ]
    rows = []
    for variant, check in checked:
        for what in _CHECKED:
            counted = getattr(check, what)
            counts = map(Cell.count, (counted.closed_form, counted.torch, counted.fvcore))
            differs = Cell("" if counted.agrees else "differs")
            row = (Cell(variant.name), Cell(heading(what)), *counts, differs)
            rows.append(Row(row, strong=not counted.agrees, detail=_detail_of_check(counted.agrees)))
        probe = check.receptive_field
        if probe is not None:
            ends = Cell(_spans(probe.expected)), Cell(_spans(probe.seen)), EMPTY
            differs = Cell("" if probe.agrees else "differs")
            row = (Cell(variant.name), Cell(f"RF of {_unit(probe)}"), *ends, differs)
            rows.append(Row(row, strong=not probe.agrees, detail=_detail_of_check(probe.agrees)))
    columns = ("variant", "cost", "formula", "torch", "fvcore", "")
    table = Table(
        f"The crosscheck of {comparison.name} disagrees",
        tuple(Column(title, right=2 <= i <= 4) for i, title in enumerate(columns)),
        tuple(rows),
    )
    return [table, Text(notes, quiet=True)]


def _detail_of_check(agrees: bool) -> Detail:
    """A disagreement is shown however little is."""
    return Detail.NORMAL if agrees else Detail.BRIEF


def _confirmed_field(checked: Sequence[tuple[Variant, Crosscheck]]) -> str:
    """The sentence on the receptive fields that a gradient has confirmed, empty if none has."""
    probed: dict[str, list[str]] = {}
    for variant, check in checked:
        if check.receptive_field is not None:
            probed.setdefault(_unit(check.receptive_field), []).append(variant.name)
    if not probed:
        return ""
    by_all = [len(checked)] == [len(names) for names in probed.values()]
    named = [unit if by_all else f"{unit} ({', '.join(names)})" for unit, names in probed.items()]
    return f" The receptive field is that of the gradient of {' and of '.join(named)}."


def _unit(probe: GradientProbe) -> str:
    return f"{probe.layer} at {','.join(map(str, probe.unit))}"


def _spans(spans: tuple[tuple[int, int], ...] | None) -> str:
    """`6…217 × 6…217`, since an end before the input has a minus sign."""
    return " × ".join(f"{first}…{last}" for first, last in spans) if spans is not None else "none"
