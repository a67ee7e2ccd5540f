"""From a network to its variants, their costs and their ratios."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Unpack

import msgspec

from vggcalc.analysis.costs import COSTS, costs, partial, sites, total
from vggcalc.analysis.pareto import pareto
from vggcalc.analysis.reach import keeps
from vggcalc.analysis.receptive_field import pixels, receptive_fields
from vggcalc.errors import InputError
from vggcalc.nets.families import Factorization, Mixing, factorized, named
from vggcalc.nets.graph import Network, Node, renumbered
from vggcalc.nets.layers import (
    Axes,
    Conv2d,
    Convolution,
    Shape,
    is_nonlinearity,
)
from vggcalc.nets.names import ITEMSIZE
from vggcalc.nets.replacing import Replaced, Replacing, merge, replace, split
from vggcalc.nets.shapes import shapes
from vggcalc.nets.sources import Overrides, network
from vggcalc.nets.vgg import Config
from vggcalc.results import (
    BlockResult,
    Comparison,
    Costs,
    Infeasible,
    LayerResult,
    Ratio,
    ReceptiveField,
    Replacement,
    Sees,
    Skipped,
    UnitField,
    Variant,
    WindowCoverage,
)


def compare(
    model: str | Config | Network,
    *,
    factorization: Factorization = Factorization(),
    into: Sequence[str] | Mapping[str, Factorization] | None = None,
    replacing: Replacing | Mapping[str, Replacing] | None = None,
    dtype: str = "float32",
    **overrides: Unpack[Overrides],
) -> Comparison:
    """A network with its runs of convolutions merged, `naive`, against them split, `factorized`.

    With `into`, names of families or factorizations by the names of the variants, there is a variant for
    each. With `replacing` it is the network as `given` against what that makes of it, `factorized` or
    `merged` or what it is called, and `replaced` says what each single replacing saves; a trace is
    always compared so.
    `model` and the overrides (size, batch, in_channels, classes, batch_norm, activation, bias)
    are those of `vggcalc.network`.
    Raises `InputError` with one line for what is no such network.
    """
    given = network(model, **overrides)
    if isinstance(replacing, Replacing):
        replacing = {"merged" if replacing.merge else "factorized": replacing}
    if replacing is not None:
        return _replaced(given, "given", replacing, dtype)
    if into is None and given.layout != "traced":
        variants = _analyzed(merge(given), split(given, factorization), dtype)
        return compared(given.name, given.input_shape, variants, dtype)
    wanted = {name: Replacing(one) for name, one in named(into, factorization).items()}
    if given.layout == "traced":
        return _replaced(given, "given", wanted, dtype)
    return _replaced(renumbered(merge(given)), "naive", wanted, dtype)


def _replaced(given: Network, name: str, wanted: Mapping[str, Replacing], dtype: str) -> Comparison:
    """`given`, under that name, against what each replacing makes of it.

    Of several only those that replace anything, or the first if none does.
    """
    made = {variant: replace(given, replacing) for variant, replacing in wanted.items()}
    chosen = [variant for variant, one in made.items() if one.pairs] or list(made)[:1]
    variants = (
        analyze(given, name, dtype),
        *(
            msgspec.structs.replace(
                analyze(made[variant].network, variant, dtype),
                family=None if wanted[variant].merge else wanted[variant].factorization.family,
                coverage=_keeps(given, made[variant], wanted[variant]),
            )
            for variant in chosen
        ),
    )
    comparison = compared(given.name, given.input_shape, variants, dtype)
    if len(wanted) == 1:
        return _with_replacements(comparison, made[chosen[0]])
    kernels = {node.name: node.layer.kernel_size for node in given.nodes if isinstance(node.layer, Convolution)}
    comparison = msgspec.structs.replace(
        comparison,
        infeasible=tuple(
            Infeasible(variant, one.skipped[0][1] if one.skipped else _NOTHING)
            for variant, one in made.items()
            if variant not in chosen
        ),
        skipped=tuple(
            Skipped(name, kernels[name], reason, variant)
            for variant in chosen
            for name, reason in made[variant].skipped
        ),
    )
    if len(chosen) > 1:
        return comparison
    return msgspec.structs.replace(_with_replacements(comparison, made[chosen[0]]), skipped=comparison.skipped)


def _keeps(given: Network, made: Replaced, replacing: Replacing) -> WindowCoverage | None:
    """What is kept of all convolutions that were replaced together; None where they were merged."""
    if replacing.merge or not made.pairs:
        return None
    convolutions = {node.name: node.layer for node in given.nodes if isinstance(node.layer, Conv2d)}
    factorization = replacing.factorization
    found = [
        keeps(conv, factorized(conv, factorization), factorization.family)
        for conv in (convolutions[name] for (name, *_), _ in made.pairs)
    ]
    least = min(found, key=lambda one: one.positions / one.of)
    mixing: Mixing = next((one.mixing for one in found if one.mixing != "full"), "full")
    pixels, of = sum(one.positions for one in found), sum(one.of for one in found)
    return WindowCoverage(least.window, pixels, of, mixing, min(one.narrowest for one in found))


#: Why a variant that replaces nothing is none.
_NOTHING = "it would change nothing: each convolution that was chosen is its own factorization"


def _with_replacements(comparison: Comparison, made: Replaced) -> Comparison:
    """The comparison with what each single replacing saves."""
    before, after = ({layer.name: layer for layer in variant.layers} for variant in comparison.variants)
    replaced = []
    for went, came in made.pairs:
        old, new = [before[name] for name in went], [after[name] for name in came]
        replaced.append(
            Replacement(
                went[0] if len(went) == 1 else f"{went[0]} … {went[-1]}",
                went,
                came,
                (_kernels(old), _kernels(new)),
                (total([layer.costs for layer in old]), total([layer.costs for layer in new])),
            )
        )
    replaced.sort(key=lambda one: _change(one.costs), reverse=True)
    return msgspec.structs.replace(
        comparison,
        replaced=tuple(replaced),
        skipped=tuple(Skipped(name, _kernels([before[name]])[0], reason) for name, reason in made.skipped),
    )


def _kernels(layers: Sequence[LayerResult]) -> tuple[Axes, ...]:
    return tuple(layer.layer.kernel_size for layer in layers if isinstance(layer.layer, Convolution))


def _change(costs: tuple[Costs, Costs]) -> int:
    """By how many MACs two differ."""
    before, after = (int(side["macs"] or 0) for side in costs)
    return abs(after - before)


def summary(model: str | Config | Network, *, dtype: str = "float32", **overrides: Unpack[Overrides]) -> Comparison:
    """One network, layer by layer: a comparison with one variant, named after the model."""
    given = network(model, **overrides)
    return compared(given.name, given.input_shape, (analyze(given, given.name, dtype),), dtype)


def with_pixels(comparison: Comparison, network: Network, layer: str, unit: Axes) -> Comparison:
    """The summary of `network` with what one unit of a layer sees. Raises `InputError`: see `pixels`."""
    seen = pixels(network, layer, unit)
    found = next((one for one in comparison.variants[0].layers if one.name == layer), None)
    field = found.receptive_field if found else None
    return msgspec.structs.replace(
        comparison, unit_field=UnitField(layer, unit, seen, field, found.sees if found else "window")
    )


def analyze(network: Network, name: str, dtype: str = "float32") -> Variant:
    """What one network costs, by layer, by block and in total."""
    if dtype not in ITEMSIZE:
        raise InputError(f"dtype {dtype!r} is none of {', '.join(ITEMSIZE)}")
    known = shapes(network)
    fields = receptive_fields(network, known)
    layers = tuple(
        LayerResult(
            node.name,
            node.layer,
            node.inputs,
            site.inputs[0] if site.inputs else (),
            site.output,
            costs(site),
            *_field_and_sees(fields[node.name]),
            node.traced,
        )
        for node, site in zip(network.nodes, sites(network, known, ITEMSIZE[dtype]), strict=True)
    )
    lacking = partial([(node.layer, layer.costs) for node, layer in zip(network.nodes, layers, strict=True)])
    members: dict[str, list[tuple[Node, LayerResult]]] = {}
    for node, layer in zip(network.nodes, layers, strict=True):
        members.setdefault(node.block, []).append((node, layer))
    blocks = tuple(
        BlockResult(
            name,
            total([layer.costs for _, layer in rows]),
            rows[-1][1].receptive_field,
            rows[-1][1].output_shape,
            tuple(node.layer.kernel_size for node, _ in rows if isinstance(node.layer, Convolution)),
            sees=rows[-1][1].sees,
            partial=partial([(node.layer, layer.costs) for node, layer in rows]) if lacking else {},
        )
        for name, rows in members.items()
    )
    last = next((layer for layer in reversed(layers) if _on_a_map(layer)), layers[-1])
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
    )


def _on_a_map(layer: LayerResult) -> bool:
    """Whether the layer is one of those of which the last one's receptive field is the network's.

    What follows a global pooling or a flattening is not, and neither is the adaptive pooling before
    a classifier.
    """
    size = layer.traced.map if layer.traced is not None else layer.output_shape[2:]
    if layer.sees == "image":
        return prod(size) > 1
    return layer.sees != "nothing" and (layer.type != "AdaptiveAvgPool2d" or layer.sees == "window")


def _field_and_sees(seen: ReceptiveField | Sees) -> tuple[ReceptiveField | None, Sees]:
    return (seen, "window") if isinstance(seen, ReceptiveField) else (None, seen)


def _analyzed(naive: Network, factorized: Network, dtype: str) -> tuple[Variant, ...]:
    return (
        analyze(renumbered(naive), "naive", dtype),
        analyze(renumbered(factorized), "factorized", dtype),
    )


def compared(name: str, input_shape: Shape, variants: tuple[Variant, ...], dtype: str) -> Comparison:
    """The first variant, the baseline, against the others."""
    baseline, *others = variants
    ratios = tuple(
        Ratio(other.name, {key: _ratio(other.costs[key], baseline.costs[key]) for key in COSTS}) for other in others
    )
    comparison = Comparison(name, input_shape, dtype, baseline.name, variants, ratios)
    return msgspec.structs.replace(comparison, pareto=pareto(comparison)) if len(others) > 1 else comparison


def _ratio(value: int | float | None, base: int | float | None) -> float | None:
    return value / base if value is not None and base else None
