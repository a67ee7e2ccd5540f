"""What the same comparison took on several machines: a table for each, a row for each machine."""

from collections.abc import Sequence

from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.tables.cells import EMPTY, Cell, Column, Row, Section, Table, Text, section_at
from vggcalc.report.tables.conditions import claim
from vggcalc.results import Fleet, FleetComparison, FleetRatio, Machine

_FIGURES = (
    Column("speed-up"),
    Column("95% interval"),
    Column("verdict", right=False),
    Column("differs by at least", right=False, wide=True),
    Column("interval rests on", right=False, wide=True),
)


def fleet_tables(fleet: Fleet) -> list[Section]:
    """The table of each comparison, and what the machines are."""
    return [
        *(section_at(_table(one, fleet), Detail.BRIEF) for one in fleet.comparisons),
        Text(tuple(map(_machine_line, fleet.machines)), quiet=True),
    ]


def _table(comparison: FleetComparison, fleet: Fleet) -> Table:
    """A row for each configuration, variant and machine; what is the same in all rows stands in the title."""
    ratios = [ratio for ratio in fleet.ratios if ratio.comparison == comparison.name]
    labels = tuple(dict.fromkeys(ratio.configuration.label for ratio in ratios))
    variants = tuple(dict.fromkeys(ratio.variant for ratio in ratios))
    rows: list[Row] = []
    for ratio in ratios:
        for i, machine in enumerate(fleet.machines):
            keys = [Cell(ratio.configuration.label, again=i > 0)] if len(labels) > 1 else []
            keys += [Cell(ratio.variant, again=i > 0)] if len(variants) > 1 else []
            rows.append(Row((*keys, Cell(machine.name), *_cells(ratio, machine.name)), ruled=not i and bool(rows)))
    words = [
        f"{variants[0] if len(variants) == 1 else comparison.name} against {comparison.baseline}"
        f"{f' on {labels[0]}' if len(labels) == 1 else ''}",
        f"input {units.shape(comparison.input_shape)}",
        comparison.dtype,
    ]
    if len(variants) == 1:
        words.insert(0, comparison.name)
    columns = (
        *([Column("on", right=False)] if len(labels) > 1 else []),
        *([Column("variant", right=False)] if len(variants) > 1 else []),
        Column("machine", right=False),
        Column(comparison.baseline, wide=True),
        Column(variants[0] if len(variants) == 1 else "median", wide=True),
        *_FIGURES,
    )
    return Table(", ".join(words), columns, tuple(rows), keys=len(columns) - len(_FIGURES) - 2)


def _cells(ratio: FleetRatio, machine: str) -> Sequence[Cell]:
    found = ratio.on(machine)
    if found is None:
        return (EMPTY, EMPTY, EMPTY, EMPTY, Cell("not measured"), EMPTY, EMPTY)
    other, times = ratio.farthest_from(machine)
    return (
        Cell.duration(found.baseline_s),
        Cell.duration(found.variant_s),
        Cell.speedup(found.ratio.ratio),
        Cell.speedup_interval(found.ratio.ci95, found.ratio.rounds),
        Cell(found.ratio.verdict),
        EMPTY if times is None else Cell(f"{_apart(1 / times)} {other}", 1 / times),
        Cell(claim(found.ratio)),
    )


def _apart(times: float) -> str:
    """How a speed-up is beside another machine's: 86% above, 2.31× that of."""
    if times >= 2:
        return f"{units.change(times)} that of"
    return f"{units.percent(times)} {'above' if times > 1 else 'below'}"


def _machine_line(machine: Machine) -> str:
    """Its processor, accelerators and versions, and the file that it is from."""
    environment = machine.environment
    devices = "".join(f", {device.model}" for device in environment.devices if device.name != "cpu")
    return (
        f"{machine.name}: {environment.cpu}, {environment.instruction_set}, {environment.cores} cores{devices}, "
        f"torch {environment.torch}, vggcalc {machine.vggcalc_version}, from {machine.file}"
    )
