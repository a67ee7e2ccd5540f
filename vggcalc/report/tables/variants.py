"""Several ways to factorize side by side: what each covers and costs, and whether it is Pareto-optimal."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from vggcalc.nets.families import FAMILIES
from vggcalc.report import units
from vggcalc.report.tables.cells import (
    EMPTY,
    Cell,
    Column,
    Row,
    Section,
    Table,
    Text,
    cost_columns,
    heading,
    shown_costs,
    total_costs,
)
from vggcalc.results import PARETO_COSTS, Comparison, Variant

#: Columns of what a factorization covers: of the kernel's window, and of the mixing of channels.
COVERAGE = ("coverage", "mixing")

#: Marks the variants that are Pareto-optimal.
MARK = "◆"


def has_several_variants(comparison: Comparison) -> bool:
    """Whether there is more to choose from than the baseline and one variant."""
    return len(comparison.variants) > 2


def inputs_differ(comparison: Comparison) -> bool:
    """Whether its variants, models of their own, are called with different shapes."""
    return any(variant.input_shape != comparison.input_shape for variant in comparison.variants)


def figure_by_figure(
    comparison: Comparison,
    title: str,
    figures: Callable[[Variant], Mapping[str, Cell]],
    ratios: Mapping[str, float | None] = {},
) -> Table:
    """Two variants beside each other, a line for each figure of both, with the ratios of costs and those given."""
    columns = [figures(variant) for variant in comparison.variants]
    known = {heading(key): value for ratio in comparison.ratios for key, value in ratio.costs.items()} | dict(ratios)
    rows = []
    for label in columns[0]:
        ratio = known.get(label)
        compared = (EMPTY, EMPTY) if ratio is None else (Cell.ratio(ratio), Cell.change(ratio))
        rows.append(Row((Cell(label), *(column[label] for column in columns), *compared)))
    heads = (Column(variant.name, sortable=False) for variant in comparison.variants)
    return Table(title, (Column("", right=False), *heads, Column("ratio"), Column("change")), tuple(rows))


def variant_tables(comparison: Comparison, title: str) -> list[Section]:
    """A line for each variant; then, for each family, what it covers and what it gives up."""
    differ = [title for title in COVERAGE if any(covered(one, title) != "full" for one in comparison.variants)]
    keys = _weighed_first(shown_costs(comparison.variants))
    columns = [
        Column("", right=False),
        Column("model" if comparison.of_models else "variant", right=False),
        *([Column("input")] if inputs_differ(comparison) else ()),
        Column("layers", right=False, wide=True),
        *(Column(title, right=False) for title in differ),
        Column("RF"),
        *cost_columns(keys),
        Column("MACs ×", wide=len(differ) > 1),
    ]
    rows = [_row(comparison, variant, differ, keys) for variant in comparison.variants]
    return [
        Table(title, tuple(columns), tuple(rows), keys=2),
        Text(tuple(_legend(comparison)), quiet=True),
        *infeasible(comparison),
    ]


def _row(comparison: Comparison, variant: Variant, differ: Sequence[str], keys: Sequence[str]) -> Row:
    field = variant.receptive_field
    ratio = next((ratio.macs for ratio in comparison.ratios if ratio.variant == variant.name), None)
    return Row(
        (
            Cell(MARK if variant.name in comparison.pareto else ""),
            Cell(variant.name),
            *([Cell.shape(variant.input_shape)] if inputs_differ(comparison) else ()),
            Cell(kernels_or_count(variant)),
            *(Cell(covered(variant, title)) for title in differ),
            Cell.axes(field.size) if field else Cell(variant.sees),
            *total_costs(variant.costs, variant.partial, keys),
            Cell.ratio(ratio) if ratio is not None else EMPTY,
        ),
        strong=variant.name == comparison.baseline,
    )


def _weighed_first(keys: Sequence[str]) -> tuple[str, ...]:
    """The costs in the order of `PARETO_COSTS`, then the others."""
    return (*PARETO_COSTS, *(key for key in keys if key not in PARETO_COSTS))


def kernels_or_count(variant: Variant) -> str:
    """The kernels of a variant, or how many convolutions it has where they are many."""
    kernels = [kernel for block in variant.blocks for kernel in block.kernels]
    text = units.kernels(kernels)
    return text if len(text) <= 24 else f"{variant.convolutions} convolutions"


def covered(variant: Variant, title: str) -> str:
    """How much of the kernel's window a factorization covers, or how it mixes channels; the kernel itself does all."""
    coverage = variant.coverage
    if coverage is None:
        return "full"
    if title == "mixing":
        return f"to {coverage.narrowest}" if coverage.mixing == "reduced" else coverage.mixing
    part = "" if coverage.positions == coverage.of else f" {coverage.positions}/{coverage.of}"
    return coverage.window + part


def _legend(comparison: Comparison) -> Iterator[str]:
    other = "model" if comparison.of_models else "variant"
    yield (
        f"{MARK} Pareto-optimal: no other {other} is at least as good in parameters, MACs, saved activations and "
        "measured latency, and better in one of them."
    )
    families = dict.fromkeys(variant.family for variant in comparison.variants if variant.family)
    for family in families:
        yield f"{family}: {FAMILIES[family].described(len(comparison.input_shape) - 2)}."


def marked(comparison: Comparison, variant: Variant) -> str:
    """A variant's name, marked if it is Pareto-optimal, where there are several to choose from."""
    if not has_several_variants(comparison):
        return variant.name
    return f"{MARK if variant.name in comparison.pareto else ' '} {variant.name}"


def infeasible(comparison: Comparison) -> list[Section]:
    """The variants that were asked for and cannot be made."""
    lines = tuple(f"Infeasible: {one.variant}: {one.reason}." for one in comparison.infeasible)
    return [Text(lines)] if lines else []
