"""Several ways to factorize side by side: what each covers and costs, and whether it is Pareto-optimal."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from vggcalc.nets.families import FAMILIES
from vggcalc.nets.layers import PlainConvolution
from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.tables.cells import (
    ALWAYS,
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
from vggcalc.report.tables.layers import field_cell
from vggcalc.results import PARETO_COSTS, Comparison, FittedKernel, Variant

#: Columns of what a factorization covers: of the kernel's window, and of the mixing of channels.
COVERAGE = ("coverage", "mixing")

#: What the figures of fitted weights are.
FITTED_FIGURES = (
    "Energy: the share of the kernel's that is explained, 1 − residual² / ‖kernel‖².",
    "Output error: ‖new − old‖ / ‖old‖ on random inputs, with the activations between the layers, which are new.",
)

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
    """Two variants beside each other, a line for each figure of both, with the changes of costs and those given."""
    columns = [figures(variant) for variant in comparison.variants]
    known = {heading(key): value for ratio in comparison.ratios for key, value in ratio.costs.items()} | dict(ratios)
    rows = []
    for label in columns[0]:
        ratio = known.get(label)
        change = EMPTY if ratio is None else Cell.change(ratio)
        cells = (Cell(label), *(column[label] for column in columns), change)
        rows.append(Row(cells, detail=_FIGURE_DETAILS.get(label, Detail.NORMAL)))
    heads = (Column(variant.name, sortable=False) for variant in comparison.variants)
    return Table(title, (Column("", right=False), *heads, Column("change")), tuple(rows))


#: Which figures of two variants are shown briefly, and which only with all details.
_FIGURE_DETAILS = {
    **dict.fromkeys(("receptive field", "parameters", "MACs", "saved activations"), Detail.BRIEF),
    **dict.fromkeys(("output", "FLOPs", "activations", "weights", "peak activations", "FLOPs/byte"), Detail.FULL),
}


def variant_tables(comparison: Comparison, title: str) -> list[Section]:
    """A line for each variant; then, for each family, what it covers and what it gives up."""
    differ = [title for title in COVERAGE if any(covered(one, title) != "full" for one in comparison.variants)]
    others = tuple(key for key in shown_costs(comparison.variants) if key not in PARETO_COSTS)
    trained = comparison.trained is not None
    columns = [
        Column("", right=False),
        Column("model" if comparison.of_models else "variant", right=False),
        *((Column("width"), Column("energy"), Column("output error")) if trained else ()),
        Column("Δ MACs"),
        *cost_columns(PARETO_COSTS, ALWAYS if trained else PARETO_COSTS),
        *(Column(title, right=False, wide=trained or title == "mixing") for title in differ),
        *([Column("input")] if inputs_differ(comparison) else ()),
        Column("RF", wide=True),
        Column("layers", right=False, wide=True),
        *cost_columns(others, ()),
    ]
    rows = [_row(comparison, variant, differ, others) for variant in comparison.variants]
    return [
        Table(title, tuple(columns), tuple(rows), keys=2),
        Text((_mark_explained(comparison), *(FITTED_FIGURES if trained else ())), quiet=True),
        Text(tuple(_families_explained(comparison)), quiet=True, detail=Detail.FULL),
        *infeasible(comparison),
    ]


def _row(comparison: Comparison, variant: Variant, differ: Sequence[str], others: Sequence[str]) -> Row:
    ratio = next((ratio.macs for ratio in comparison.ratios if ratio.variant == variant.name), None)
    return Row(
        (
            Cell(MARK if variant.name in comparison.pareto else ""),
            Cell(variant.name),
            *(_nearness_cells(variant, variant.fitted) if variant.fitted is not None else ()),
            EMPTY if variant.name == comparison.baseline else Cell.change(ratio),
            *total_costs(variant.costs, variant.partial, PARETO_COSTS),
            *(Cell(covered(variant, title)) for title in differ),
            *([Cell.shape(variant.input_shape)] if inputs_differ(comparison) else ()),
            field_cell(variant),
            Cell(kernels_or_count(variant)),
            *total_costs(variant.costs, variant.partial, others),
        ),
        strong=variant.name == comparison.baseline,
        detail=Detail.BRIEF if variant.name in (comparison.baseline, *comparison.pareto) else Detail.NORMAL,
    )


def _nearness_cells(variant: Variant, fitted: FittedKernel) -> tuple[Cell, ...]:
    """The channels between the layers, and how near the factorization comes to the trained kernel."""
    read = {name for layer in variant.layers for name in layer.inputs}
    convolutions = [layer for layer in variant.layers if isinstance(layer.layer, PlainConvolution)]
    between = dict.fromkeys(layer.output_shape[1] for layer in convolutions[:-1] if layer.name in read)
    return (
        Cell(", ".join(map(str, between)), min(between, default=None)),
        Cell.share(fitted.energy),
        Cell.share(fitted.output_error),
    )


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


def _mark_explained(comparison: Comparison) -> str:
    other = "model" if comparison.of_models else "variant"
    energy = "energy, " if comparison.trained is not None else ""
    return (
        f"{MARK} Pareto-optimal: no other {other} is at least as good in {energy}parameters, MACs, saved activations "
        "and measured latency, and better in one of them."
    )


def _families_explained(comparison: Comparison) -> Iterator[str]:
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
