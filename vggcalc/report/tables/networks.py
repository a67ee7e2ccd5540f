"""Tables of costs by formula: a network's layers, or its variants block by block."""

from collections.abc import Sequence

import msgspec

from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.tables.cells import (
    ALWAYS,
    EMPTY,
    Cell,
    Column,
    Role,
    Row,
    Section,
    Table,
    cost_columns,
    section_at,
    shown_costs,
    total_costs,
)
from vggcalc.report.tables.kernels import at_a_glance, is_kernel, kernel_tables
from vggcalc.report.tables.layers import field_cell, input_and_dtype, module_tables, shortened_kernels
from vggcalc.report.tables.models import model_tables
from vggcalc.report.tables.reconciliation import reconciliation
from vggcalc.report.tables.replaced import replacement_tables
from vggcalc.report.tables.variants import has_several_variants, infeasible, variant_tables
from vggcalc.results import BlockResult, Comparison, Variant

__all__ = ["at_a_glance", "is_kernel", "network_tables"]


def network_tables(comparison: Comparison) -> list[Section]:
    """Every table of a comparison that needs no measuring."""
    if comparison.modules is not None:
        return [*reconciliation(comparison), *module_tables(comparison, comparison.modules)]
    if comparison.of_models:
        return model_tables(comparison)
    if is_kernel(comparison):
        return kernel_tables(comparison)
    if has_several_variants(comparison):
        title = f"{comparison.name}, {input_and_dtype(comparison)}"
        blocks = section_at(_network(comparison), Detail.FULL)
        return [*variant_tables(comparison, title), blocks, *replacement_tables(comparison)]
    return [_network(comparison), *replacement_tables(comparison), *infeasible(comparison)]


def _network(comparison: Comparison) -> Table:
    """Block by block, the variants under each other; totals with the classifier apart."""
    rows: list[Row] = []
    keys = [key for key in shown_costs(comparison.variants) if key not in ALWAYS]
    for block in comparison.variants[0].blocks:
        groups = _distinct_blocks(comparison, block.name)
        if not any(one.costs[key] or key in one.partial for _, one in groups for key in ALWAYS):
            continue  # such as a lone pooling of a traced model
        lines = [(name, shortened_kernels(units.kernels(one.kernels)), one) for name, one in groups]
        rows += _variant_rows(block.name, lines, keys, Detail.FULL if comparison.replaced else Detail.NORMAL)
    totals = [(variant.name, f"{variant.convolutions} conv", variant) for variant in comparison.variants]
    rows += _variant_rows("total", totals, keys, Detail.BRIEF)
    return Table(
        f"{comparison.name}, {input_and_dtype(comparison)}",
        (
            Column("block", right=False),
            Column("variant", right=False),
            Column("kernels", right=False),
            Column("RF"),
            *cost_columns(ALWAYS),
            Column("Δ MACs"),
            *cost_columns(keys),
        ),
        tuple(rows),
        keys=2,
    )


def _distinct_blocks(comparison: Comparison, name: str) -> list[tuple[str, BlockResult]]:
    """The different blocks of that name, each with the variants that have it so."""
    groups: list[tuple[list[str], BlockResult]] = []
    for variant in comparison.variants:
        block = variant.block(name)
        if block is None:
            continue
        paper = msgspec.structs.replace(block, latency=())
        found = next((names for names, one in groups if one == paper), None)
        if found is None:
            groups.append(([variant.name], paper))
        else:
            found.append(variant.name)
    if len(groups) == 1 and len(groups[0][0]) > 1:
        return [("both" if len(groups[0][0]) == 2 else "all", groups[0][1])]
    return [
        (" and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} others", block)
        for names, block in groups
    ]


def _variant_rows(
    label: str, lines: Sequence[tuple[str, str, BlockResult | Variant]], keys: Sequence[str], detail: Detail
) -> list[Row]:
    """The variants under each other, with the change of their MACs against the first one's."""
    rows = []
    base = lines[0][2].macs
    for i, (name, kernels, one) in enumerate(lines):
        change = Cell.change(one.macs / base) if i and one.macs is not None and base else EMPTY
        named = Cell(label, again=i > 0), Cell(name), Cell(kernels)
        costs = total_costs(one.costs, one.partial, ALWAYS), total_costs(one.costs, one.partial, keys)
        role: Role = "total" if isinstance(one, Variant) else "row"
        rows.append(Row((*named, field_cell(one), *costs[0], change, *costs[1]), role, ruled=not i, detail=detail))
    return rows
