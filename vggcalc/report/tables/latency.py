"""Measured times, as tables: of whole networks and of their blocks."""

from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.tables.cells import EMPTY, Cell, Column, Row, Section, Table, Text, section_at
from vggcalc.report.tables.conditions import bases, conditions
from vggcalc.report.tables.crosscheck import crosschecks
from vggcalc.report.tables.effective import effective_tables
from vggcalc.report.tables.variants import inputs_differ, marked
from vggcalc.report.tables.verification import verification_tables
from vggcalc.results import Comparison, Latency, LatencyRatio


def timings(comparison: Comparison) -> list[Section]:
    """Everything that was measured or checked on real modules."""
    found: list[Section] = []
    if any(variant.latency for variant in comparison.variants):
        found.append(_latency(comparison))
        blocks = _block_latency(comparison)
        if blocks.rows:
            note = (
                "Blocks are timed alone, without their poolings, and do not add up to the whole; "
                "their verdicts take the whole's A/A for their own."
            )
            found += [section_at(blocks, Detail.FULL), Text((note,), quiet=True, detail=Detail.FULL)]
        elif _could_have_blocks(comparison):
            note = "The blocks were not timed: leave out --quick, or give a larger --budget."
            found.append(Text((note,), quiet=True, detail=Detail.FULL))
        found += bases(comparison)
        found.append(Text(tuple(conditions(comparison)), quiet=True, detail=Detail.FULL))
    return found + verification_tables(comparison) + effective_tables(comparison) + crosschecks(comparison)


_OWN_COLUMNS = (
    Column("median"),
    Column("IQR", wide=True),
    Column("GFLOP/s", wide=True),
    Column("of roof"),
    Column("bound by", right=False, wide=True),
)
_RATIO_COLUMNS = (
    Column("speed-up"),
    Column("95% interval"),
    Column("verdict", right=False),
    Column("A/A", wide=True),
    Column("A/A interval", wide=True),
)


def _own_cells(latency: Latency) -> tuple[Cell, ...]:
    return (
        Cell.duration(latency.median_s),
        Cell.duration(latency.iqr_s),
        Cell.number(None if latency.flops_per_s is None else latency.flops_per_s / 1e9),
        Cell.share(latency.roof_share),
        Cell(latency.bound or units.NO_FIGURE),
    )


def _ratio_cells(ratio: LatencyRatio | None) -> tuple[Cell, ...]:
    if ratio is None:
        return (EMPTY,) * len(_RATIO_COLUMNS)
    return (
        Cell.speedup(ratio.ratio),
        Cell.speedup_interval(ratio.ci95, ratio.rounds),
        Cell(ratio.verdict),
        Cell.ratio(ratio.control_ratio),
        Cell.interval(ratio.control_ci95, ratio.rounds),
    )


def _latency(comparison: Comparison) -> Table:
    rows = []
    for first in comparison.variants[0].latency:
        ratios = comparison.ratios_in(first.configuration)
        for i, variant in enumerate(comparison.variants):
            latency = variant.latency_in(first.configuration)
            if latency is not None:
                figures = _own_cells(latency)
                if comparison.ratios:
                    figures += _ratio_cells(ratios.get(variant.name))
                names = Cell(first.label, again=i > 0), Cell(marked(comparison, variant))
                rows.append(Row((*names, *figures), ruled=not i, detail=Detail.BRIEF))
    batch = comparison.input_shape[0]
    return Table(
        f"Latency of {comparison.name}, one call{'' if inputs_differ(comparison) else f' at batch {batch}'}",
        (
            Column("on", right=False),
            Column("model" if comparison.of_models else "variant", right=False),
            *_OWN_COLUMNS,
            *(_RATIO_COLUMNS if comparison.ratios else ()),
        ),
        tuple(rows),
        keys=2,
    )


def _could_have_blocks(comparison: Comparison) -> bool:
    """Whether there are variants that differ in some of several blocks."""
    baseline, *others = comparison.variants
    if comparison.of_models or baseline.origin is not None:  # no one can cut out the blocks of an imported module
        return False
    kernels = [block.kernels for block in baseline.blocks if block.kernels]
    return len(kernels) > 1 and any(other.blocks != baseline.blocks for other in others)


def _block_latency(comparison: Comparison) -> Table:
    """Each block alone, on the feature map that it meets: its kernels beside what they became."""
    baseline = comparison.variants[0]
    rows = []
    for block in baseline.blocks:
        for first in block.latency:
            for i, variant in enumerate(comparison.variants):
                own = variant.block(block.name)
                latency = own.latency_in(first.configuration) if own else None
                if own is None or latency is None:
                    continue
                timed = () if variant is baseline else comparison.ratio(variant.name).block(block.name)
                ratio = LatencyRatio.find(timed, first.configuration)
                names = Cell(f"{block.name} {first.label}", again=i > 0), Cell(units.kernels(own.kernels))
                rows.append(Row((*names, *_own_cells(latency), *_ratio_cells(ratio)), ruled=not i))
    return Table(
        f"Latency of the blocks of {comparison.name}",
        (Column("block", right=False), Column("kernels", right=False), *_OWN_COLUMNS, *_RATIO_COLUMNS),
        tuple(rows),
        keys=2,
    )
