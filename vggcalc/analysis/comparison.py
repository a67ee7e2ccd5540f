"""The variants of a comparison: what each network costs, and their ratios."""

from collections.abc import Mapping, Sequence
from math import prod

from vggcalc.analysis.costs import COSTS, layer_contexts, layer_costs, partial_costs, total
from vggcalc.analysis.pareto import pareto
from vggcalc.analysis.receptive_field import receptive_fields
from vggcalc.errors import InputError
from vggcalc.nets.graph import Network
from vggcalc.nets.layers import AdaptiveAvgPool, Axes, Convolution, Shape, is_nonlinearity
from vggcalc.nets.names import ITEMSIZE
from vggcalc.nets.origins import Origin
from vggcalc.nets.shapes import shapes
from vggcalc.results import (
    BlockResult,
    CheaperStem,
    Comparison,
    Infeasible,
    LayerResult,
    ModuleSummary,
    Ratio,
    ReceptiveField,
    Reconciliation,
    Replacement,
    Sees,
    Skipped,
    UnitField,
    Variant,
    WindowCoverage,
)


def analyze(
    network: Network,
    name: str,
    dtype: str = "float32",
    *,
    family: str | None = None,
    coverage: WindowCoverage | None = None,
    origin: Origin | None = None,
) -> Variant:
    """What one network costs, by layer, by block and in total, as a variant of that name."""
    if dtype not in ITEMSIZE:
        raise InputError(f"dtype {dtype!r} is none of {', '.join(ITEMSIZE)}")
    shapes_by_node = shapes(network)
    fields = receptive_fields(network, shapes_by_node)
    layers = tuple(
        LayerResult(
            node.name,
            node.layer,
            node.inputs,
            context.inputs[0] if context.inputs else (),
            context.output,
            layer_costs(context),
            *_field_and_sees(fields[node.name]),
            node.traced,
        )
        for node, context in zip(network.nodes, layer_contexts(network, shapes_by_node, ITEMSIZE[dtype]), strict=True)
    )
    lacking = partial_costs(layers)
    members: dict[str, list[LayerResult]] = {}
    for layer in layers:
        members.setdefault(layer.block, []).append(layer)
    blocks = tuple(
        BlockResult(
            block,
            total([layer.costs for layer in rows]),
            rows[-1].receptive_field,
            rows[-1].output_shape,
            kernels_of(rows),
            sees=rows[-1].sees,
            partial=partial_costs(rows) if lacking else {},
        )
        for block, rows in members.items()
    )
    last = next((layer for layer in reversed(layers) if _has_feature_map(layer)), layers[-1])
    return Variant(
        name,
        layers[-1].output_shape,
        total([block.costs for block in blocks]),
        None,
        sum(isinstance(node.layer, Convolution) for node in network.nodes),
        sum(is_nonlinearity(node.layer) for node in network.nodes),
        last.receptive_field,
        blocks,
        layers,
        network.layout,
        sees=last.sees,
        partial=lacking,
        origin=origin,
        family=family,
        coverage=coverage,
        tracing=network.tracing,
    )


def _has_feature_map(layer: LayerResult) -> bool:
    """Whether its output is a feature map. The receptive field of the last such layer is that of the network.

    What follows a global pooling or a flattening has none, and neither has the adaptive pooling before a
    classifier.
    """
    size = layer.traced.spatial_size if layer.traced is not None else layer.output_shape[2:]
    if layer.sees == "image":
        return prod(size) > 1
    return layer.sees != "nothing" and (not isinstance(layer.layer, AdaptiveAvgPool) or layer.sees == "window")


def _field_and_sees(seen: ReceptiveField | Sees) -> tuple[ReceptiveField | None, Sees]:
    return (seen, "window") if isinstance(seen, ReceptiveField) else (None, seen)


def compared(
    name: str,
    input_shape: Shape,
    variants: tuple[Variant, ...],
    dtype: str,
    *,
    break_even: Mapping[str, float | None] = {},
    replaced: tuple[Replacement, ...] = (),
    skipped: tuple[Skipped, ...] = (),
    infeasible: tuple[Infeasible, ...] = (),
    unit_field: UnitField | None = None,
    reconciliation: Reconciliation | None = None,
    of_models: bool = False,
    modules: ModuleSummary | None = None,
    cheaper_stems: tuple[CheaperStem, ...] = (),
) -> Comparison:
    """The comparison of the first variant, the baseline, with the others; `break_even` are widths by variant."""
    baseline, *others = variants
    ratios = tuple(
        Ratio(
            other.name,
            {key: _ratio(other.costs[key], baseline.costs[key]) for key in COSTS},
            break_even_width=break_even.get(other.name),
        )
        for other in others
    )
    return Comparison(
        name,
        input_shape,
        dtype,
        baseline.name,
        variants,
        ratios,
        replaced=replaced,
        unit_field=unit_field,
        skipped=skipped,
        reconciliation=reconciliation,
        pareto=pareto(variants, ratios),
        infeasible=infeasible,
        of_models=of_models,
        modules=modules,
        cheaper_stems=cheaper_stems,
    )


def _ratio(value: int | float | None, base: int | float | None) -> float | None:
    return value / base if value is not None and base else None


def kernels_of(layers: Sequence[LayerResult]) -> tuple[Axes, ...]:
    """The kernel sizes of the convolutions among those layers."""
    return tuple(layer.layer.kernel_size for layer in layers if isinstance(layer.layer, Convolution))
