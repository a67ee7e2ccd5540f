"""From a network to its variants, their costs and their ratios.

It is over 300 lines long because a comparison is made complete in one place.
"""

from collections.abc import Mapping
from math import prod

from vggcalc.analysis.costs import COSTS, costs, layer_contexts, partial_costs, total
from vggcalc.analysis.pareto import pareto
from vggcalc.analysis.receptive_field import receptive_fields, unit_span
from vggcalc.analysis.replacements import coverage_of_all, kernels_of, replacements
from vggcalc.errors import InputError
from vggcalc.nets.families import Factorization
from vggcalc.nets.graph import Network, renumbered
from vggcalc.nets.layers import Axes, Convolution, Shape, is_nonlinearity
from vggcalc.nets.names import ITEMSIZE
from vggcalc.nets.origins import Origin
from vggcalc.nets.replacing import Replacing, merge, replace, split
from vggcalc.nets.shapes import shapes
from vggcalc.results import (
    BlockResult,
    Comparison,
    Infeasible,
    LayerResult,
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

#: Why a variant that replaces nothing is none.
_CHANGES_NOTHING = "it would change nothing: each convolution that was chosen is its own factorization"


def compare_network(
    network: Network,
    factorizations: Mapping[str, Factorization] | None = None,
    replacings: Mapping[str, Replacing] | None = None,
    dtype: str = "float32",
    origin: Origin | None = None,
) -> Comparison:
    """A network against what its convolutions can be factorized into, by the names of the variants.

    With `replacings` it is the network as `given` against what each makes of it, and `replaced` says what every
    single replacement saves; a trace is always compared so. Else the network's runs of convolutions are
    merged, `naive`, against them `factorized` again, or against each of several `factorizations`.
    """
    factorizations = factorizations or {"factorized": Factorization()}
    if replacings is None and (network.layout == "traced" or "factorized" not in factorizations):
        replacings = {name: Replacing(one) for name, one in factorizations.items()}
        if network.layout != "traced":
            return _replaced(renumbered(merge(network)), "naive", replacings, dtype, origin)
    if replacings is not None:
        return _replaced(network, "given", replacings, dtype, origin)
    variants = (
        analyze(renumbered(merge(network)), "naive", dtype),
        analyze(renumbered(split(network, factorizations["factorized"])), "factorized", dtype),
    )
    return compared(network.name, network.input_shape, variants, dtype)


def _replaced(
    given: Network, name: str, replacings: Mapping[str, Replacing], dtype: str, origin: Origin | None
) -> Comparison:
    """`given`, under that name, against what each replacing makes of it.

    Of several only those that replace anything, or the first if none does.
    """
    made = {variant: replace(given, replacing) for variant, replacing in replacings.items()}
    chosen = [variant for variant, one in made.items() if one.pairs] or list(made)[:1]
    variants = [analyze(given, name, dtype, origin=origin)]
    for variant in chosen:
        replacing = replacings[variant]
        variants.append(
            analyze(
                made[variant].network,
                variant,
                dtype,
                family=None if replacing.merge else replacing.factorization.family,
                coverage=coverage_of_all(given, made[variant], replacing),
                origin=origin and origin.replaced_by(replacing),
            )
        )
    kernels = {node.name: node.layer.kernel_size for node in given.nodes if isinstance(node.layer, Convolution)}
    return compared(
        given.name,
        given.input_shape,
        tuple(variants),
        dtype,
        replaced=replacements(variants[0], variants[1], made[chosen[0]]) if len(chosen) == 1 else (),
        skipped=tuple(
            Skipped(skipped, kernels[skipped], reason, variant if len(replacings) > 1 else None)
            for variant in chosen
            for skipped, reason in made[variant].skipped
        ),
        infeasible=tuple(
            Infeasible(variant, one.skipped[0][1] if one.skipped else _CHANGES_NOTHING)
            for variant, one in made.items()
            if variant not in chosen
        ),
    )


def summarize(
    network: Network,
    dtype: str = "float32",
    unit: tuple[str, Axes] | None = None,
    counter: str | None = None,
    origin: Origin | None = None,
) -> Comparison:
    """One network, layer by layer: a comparison with one variant, named after the network.

    `unit` is a layer and a position on its feature map, for which `unit_field` says what of the input it sees;
    `counter` names another tool whose figure `reconciliation` explains. Raises `InputError` for names that are unknown.
    """
    variant = analyze(network, network.name, dtype, origin=origin)
    reconciliation = None
    if counter is not None:
        from vggcalc.analysis.counters.rules import reconcile

        reconciliation = reconcile(variant, counter)
    return compared(
        network.name,
        network.input_shape,
        (variant,),
        dtype,
        unit_field=_unit_field(network, variant, *unit) if unit is not None else None,
        reconciliation=reconciliation,
    )


def _unit_field(network: Network, variant: Variant, layer: str, unit: Axes) -> UnitField:
    seen = unit_span(network, layer, unit)
    found = next((one for one in variant.layers if one.name == layer), None)
    if found is None:  # the input itself
        return UnitField(layer, unit, seen, None, "window")
    return UnitField(layer, unit, seen, found.receptive_field, found.sees)


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
    known = shapes(network)
    fields = receptive_fields(network, known)
    layers = tuple(
        LayerResult(
            node.name,
            node.layer,
            node.inputs,
            context.inputs[0] if context.inputs else (),
            context.output,
            costs(context),
            *_field_and_sees(fields[node.name]),
            node.traced,
        )
        for node, context in zip(network.nodes, layer_contexts(network, known, ITEMSIZE[dtype]), strict=True)
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
    )


def _has_feature_map(layer: LayerResult) -> bool:
    """Whether its output is a feature map: the last such layer's receptive field is the network's.

    What follows a global pooling or a flattening has none, and neither has the adaptive pooling before a
    classifier.
    """
    size = layer.traced.spatial_size if layer.traced is not None else layer.output_shape[2:]
    if layer.sees == "image":
        return prod(size) > 1
    return layer.sees != "nothing" and (layer.type != "AdaptiveAvgPool2d" or layer.sees == "window")


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
) -> Comparison:
    """The first variant, the baseline, against the others; `break_even` are widths by variant."""
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
    )


def _ratio(value: int | float | None, base: int | float | None) -> float | None:
    return value / base if value is not None and base else None
