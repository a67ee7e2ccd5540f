"""One kernel beside what it is factorized into, figure by figure and layer by layer; several kernels together."""

from collections.abc import Sequence
from math import prod

from vggcalc.nets.layers import Axes, PlainConvolution
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
    cost_columns,
    heading,
    shown_costs,
    total_costs,
)
from vggcalc.report.tables.layers import field_cell, input_and_dtype, layer_kind
from vggcalc.report.tables.variants import (
    COVERAGE,
    covered,
    figure_by_figure,
    has_several_variants,
    infeasible,
    kernels_or_count,
    variant_tables,
)
from vggcalc.results import Comparison, Variant


def is_kernel(comparison: Comparison) -> bool:
    """Whether it compares one kernel with its factorizations, not whole networks."""
    return comparison.variants[0].weights_per_channel_pair is not None


def kernel_tables(comparison: Comparison) -> list[Section]:
    """A kernel and its factorization, or a line for each of several."""
    trained = comparison.trained
    if has_several_variants(comparison) or trained is not None:
        of = f"{trained.key}, a {comparison.name}," if trained is not None else comparison.name
        return variant_tables(comparison, f"{of} factorized: {_words(comparison)}")
    return [_figure_by_figure(comparison), _stack(comparison), *infeasible(comparison)]


def at_a_glance(comparisons: Sequence[Comparison]) -> list[Section]:
    """Several kernels together, a line for each factorization: what it costs, and how that compares."""
    kernels = [comparison for comparison in comparisons if is_kernel(comparison)]
    return [_overview(kernels)] if len(kernels) > 1 else []


def _overview(comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for comparison in comparisons:
        naive, *others = comparison.variants
        before = naive.weights_per_channel_pair or 0
        for i, other in enumerate(others):
            after = other.weights_per_channel_pair
            ratio = comparison.ratio(other.name)
            rows.append(
                Row(
                    (
                        Cell(comparison.name, again=i > 0),
                        Cell(other.name),
                        Cell(kernels_or_count(other)),
                        Cell(f"{before} → {after}" if after else units.NO_FIGURE, after),
                        Cell.change(after / before if after and before else None),
                        *(
                            cell
                            for key in ALWAYS
                            for cell in (Cell.cost(other.costs, key), Cell.change(ratio.costs[key]))
                        ),
                        field_cell(other),
                        Cell.shape(other.layers[-1].same_size),
                        Cell.shape(other.layers[-1].valid_size),
                    ),
                    ruled=not i and has_several_variants(comparison),
                    detail=Detail.BRIEF,
                )
            )
    several = any(map(has_several_variants, comparisons))
    columns = ("kernel", "variant", "layers", "weights/pair", "Δ weights", "parameters", "Δ params", "MACs", "Δ MACs",
               "RF", "padded", "unpadded")  # fmt: skip
    wide = ("padded", "unpadded", "Δ weights", "Δ params", *(["weights/pair"] if several else []))
    heads = tuple(Column(head, right=i > 2, wide=head in wide) for i, head in enumerate(columns))
    conv = comparisons[0].variants[0].layers[0].layer
    assert isinstance(conv, PlainConvolution)
    title = f"Kernels factorized: {_channels(conv)}, {input_and_dtype(comparisons[0])}"
    table = Table(title, heads, tuple(rows), keys=1 + several)
    return table if several else table.with_columns([i for i, head in enumerate(columns) if head != "variant"])


def _channels(conv: PlainConvolution) -> str:
    return f"{conv.in_channels} → {conv.out_channels} channels"


def _figure_by_figure(comparison: Comparison) -> Table:
    """A kernel beside its factorization, a line for each figure."""
    variants = comparison.variants
    lossy = variants[1].family != "stack"

    def figures(variant: Variant) -> dict[str, Cell]:
        kernels = [kernel for block in variant.blocks for kernel in block.kernels]
        size = variant.receptive_field.size if variant.receptive_field else None
        return {
            "kernels": Cell(units.kernels(kernels)),
            "weights per channel pair": Cell(_weights(variant, kernels), variant.weights_per_channel_pair),
            "receptive field": Cell.shape(size),
            "output": Cell.shape(variant.output_shape),
            "nonlinearities": Cell.count(variant.nonlinearities),
            **({title: Cell(covered(variant, title)) for title in COVERAGE} if lossy else {}),
        } | {heading(key): Cell.cost(variant.costs, key) for key in shown_costs(variants)}

    one, many = (variant.weights_per_channel_pair for variant in variants)
    weights = {"weights per channel pair": many / one if one and many else None}
    family = variants[1].family
    other = "its stack" if family == "stack" else f"its factorization, {family}"
    return figure_by_figure(comparison, f"{comparison.name} against {other}: {_words(comparison)}", figures, weights)


def _weights(variant: Variant, kernels: Sequence[Axes]) -> str:
    """How the weights per channel pair come about: 9 + 9 + 9 = 27."""
    areas = [prod(kernel) for kernel in kernels]
    total = units.count(variant.weights_per_channel_pair)
    if not variant.weights_per_channel_pair or len(areas) < 2:
        return total
    if len(areas) <= 3:
        return f"{' + '.join(map(str, areas))} = {total}"
    return f"{len(areas)} · {areas[0]} = {total}" if len(set(areas)) == 1 else total


def _words(comparison: Comparison) -> str:
    """The convolution that is factorized, and on what."""
    conv = comparison.variants[0].layers[0].layer
    assert isinstance(conv, PlainConvolution)
    words = [_channels(conv)]
    for key in ("stride", "padding", "dilation"):
        value: Axes = getattr(conv, key)
        if key == "padding" and conv.padding_after is not None:
            words.append(f"padding {units.axes(value)} in front, {units.axes(conv.padding_after)} behind")
        elif key == "padding" or max(value) > 1:
            words.append(f"{key} {units.axes(value)}")
    if conv.groups != 1:
        words.append(f"{conv.groups} groups")
    return ", ".join([*words, input_and_dtype(comparison)])


def _stack(comparison: Comparison) -> Table:
    """The factorization layer by layer, with the output's size as configured, with padding="same" and with "valid"."""
    variant = comparison.variants[-1]
    size = Cell.shape(comparison.input_shape[2:])
    keys = shown_costs([variant])
    blank = [Cell(units.NO_FIGURE)] * len(keys)
    rows = [Row((Cell("input"), EMPTY, size, size, size, Cell.axes((1,)), *blank))]
    rows += [
        Row(
            (
                Cell(layer.name.rpartition(".")[2]),
                Cell(layer_kind(layer)),
                Cell.shape(layer.output_shape[2:]),
                Cell.shape(layer.same_size),
                Cell.shape(layer.valid_size),
                field_cell(layer),
                *total_costs(layer.costs, {}, keys),
            ),
            detail=Detail.NORMAL if layer.parameters or layer.macs else Detail.FULL,
        )
        for layer in variant.layers
    ]
    costs = total_costs(variant.costs, {}, keys)
    rows.append(Row((Cell("total"), EMPTY, EMPTY, EMPTY, EMPTY, field_cell(variant), *costs), "total"))
    return Table(
        f"{'The stack' if variant.family == 'stack' else variant.family}, layer by layer: output size as "
        "configured, padded and unpadded",
        (
            Column("layer", right=False),
            Column("kind", right=False),
            Column("output"),
            Column("padded"),
            Column("unpadded"),
            Column("RF"),
            *cost_columns(keys),
        ),
        tuple(rows),
    )
