"""Costs on paper. Each is a formula over one layer in its network, or follows from other costs.

Conventions: 1 MAC is one multiply-accumulate with a weight of a convolution or linear layer, and
nothing else is one; FLOPs = 2 × MACs. Biases, norms, activations and poolings do no MACs.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from math import prod
from typing import Any, assert_never

import msgspec

from vggcalc.analysis import saved as saved_activations
from vggcalc.nets.graph import INPUT, Network, Traced
from vggcalc.nets.layers import (
    WEIGHTED,
    WEIGHTLESS,
    BatchNorm2d,
    Convolution,
    CustomOperator,
    Flatten,
    Layer,
    Linear,
    Opaque,
    Shape,
    Transposed,
    is_view,
)
from vggcalc.results import Costs, LayerResult, Partial


class LayerContext(msgspec.Struct):
    """A layer in its network, which is all that a formula may read.

    `alive_bytes` are the activations alive while the layer runs in inference, its output included;
    `saved_bytes` those that it adds to the activations saved for the backward pass.
    """

    layer: Layer
    inputs: list[Shape]
    output: Shape
    itemsize: int
    alive_bytes: int
    saved_bytes: int | None
    needs_input_gradient: bool
    traced: Traced | None = None


#: The costs of one layer that come before a cost in `COSTS`, which its formula may build on.
CostRow = dict[str, Any]


class Cost(msgspec.Struct, frozen=True):
    """A cost: its formula for one layer, and how that of several layers follows from theirs.

    `total` None: a ratio, whose formula holds for totals as it holds for layers.
    """

    unit: str
    definition: str
    formula: Callable[[LayerContext, CostRow], int | float | None]
    total: Callable[[Iterable[int]], int] | None = sum


def parameters(context: LayerContext, row: CostRow) -> int:
    """Learnable scalars, biases and affine norm parameters included, each once in a network.

    Convolution: `Convolution.parameters`; Linear: out·in + out; BatchNorm2d: 2·features. Of a traced
    layer the scalars of the module itself, at the first node that uses them.
    """
    return context.traced.parameters if context.traced is not None else _own_parameters(context.layer)


def _own_parameters(layer: Layer) -> int:
    match layer:
        case Convolution():
            return layer.parameters
        case Linear():
            return layer.out_features * (layer.in_features + layer.bias)
        case BatchNorm2d():
            return 2 * layer.num_features * layer.affine
        case _:
            return 0


def macs(context: LayerContext, row: CostRow) -> int | None:
    """Output elements × the weights that each one meets: (in/groups)·∏ kernel, or in_features.

    Of a transposed convolution input elements × (out/groups)·∏ kernel. Padding is counted as if it were input,
    as every counter does; the bias is not a MAC. Unknown where an operator has no formula.
    """
    match context.layer:
        case Transposed() as conv:
            return prod(context.inputs[0]) * (conv.out_channels // conv.groups) * prod(conv.kernel_size)
        case Convolution() as conv:
            return prod(context.output) * (conv.in_channels // conv.groups) * prod(conv.kernel_size)
        case Linear() as linear:
            return prod(context.output) * linear.in_features
        case CustomOperator() as custom:
            return custom.macs
        case Opaque():
            return None
        case layer if isinstance(layer, WEIGHTLESS):
            return 0
        case layer:
            assert_never(layer)


def flops(context: LayerContext, row: CostRow) -> int | None:
    """2 × MACs: a multiplication and an addition."""
    macs: int | None = row["macs"]
    return None if macs is None else 2 * macs


def activations(context: LayerContext, row: CostRow) -> int | None:
    """Elements that convolutions and linear layers put out (Radosavovic et al. 2020; fvcore, timm).

    And what does MACs by a registered formula.
    """
    if isinstance(context.layer, Opaque):
        return None
    if isinstance(context.layer, CustomOperator):
        return prod(context.output) if context.layer.macs else 0
    return prod(context.output) if isinstance(context.layer, WEIGHTED) else 0


def weight_bytes(context: LayerContext, row: CostRow) -> int:
    """Parameters × bytes of an element."""
    parameters: int = row["parameters"]
    return parameters * context.itemsize


def traffic_bytes(context: LayerContext, row: CostRow) -> int:
    """Compulsory traffic: inputs and weights read once, output written once.

    A view (Flatten) and dropout, which inference leaves out, move nothing.
    """
    if is_view(context.layer):
        return 0
    elements = sum(prod(shape) for shape in context.inputs) + prod(context.output)
    weights: int = row["parameters"]
    if context.traced is not None:  # also those that another layer was the first to use
        weights = max(weights, _own_parameters(context.layer))
    return (elements + weights) * context.itemsize


def peak_activation_bytes(context: LayerContext, row: CostRow) -> int:
    """The most bytes of activations that are alive at once in inference: see `liveness`."""
    return context.alive_bytes


def saved_bytes(context: LayerContext, row: CostRow) -> int | None:
    """Bytes of activations saved for the backward pass: see `saved_activations.saved_by_node`."""
    return context.saved_bytes


def training_flops(context: LayerContext, row: CostRow) -> int | None:
    """Forward, gradient of the weights and gradient of the input, each as many as the forward's.

    No gradient of the input where none flows: in the first layer with parameters.
    """
    flops: int | None = row["flops"]
    return None if flops is None else flops * (2 + context.needs_input_gradient)


def intensity(context: LayerContext, row: CostRow) -> float | None:
    """FLOPs per byte of compulsory traffic (Williams et al. 2009); unknown where nothing moves."""
    return row["flops"] / row["traffic_bytes"] if row["traffic_bytes"] and row["flops"] is not None else None


#: Ratios look at no layer.
NO_LAYER = LayerContext(Flatten(), [], (), 0, 0, 0, False)

COSTS: dict[str, Cost] = {
    "parameters": Cost("count", "learnable scalars, biases and affine norm parameters included", parameters),
    "macs": Cost(
        "count",
        "multiply-accumulates with a weight of a convolution or linear layer; nothing else is a MAC",
        macs,
    ),
    "flops": Cost("count", "2 × MACs", flops),
    "activations": Cost("elements", "outputs of convolutions and linear layers", activations),
    "weight_bytes": Cost("bytes", "parameters × bytes of an element", weight_bytes),
    "traffic_bytes": Cost("bytes", "inputs and weights read once, outputs written once", traffic_bytes),
    "peak_activation_bytes": Cost("bytes", "activations alive at once in inference", peak_activation_bytes, total=max),
    "saved_bytes": Cost("bytes", "activations that training saves for the backward pass", saved_bytes),
    "training_flops": Cost("count", "forward, weight gradient and input gradient", training_flops),
    "intensity": Cost("FLOPs/byte", "FLOPs / compulsory traffic", intensity, total=None),
}


_FORMULAS = tuple((key, cost.formula) for key, cost in COSTS.items())

#: The costs of which an operator without a formula leaves the total partial.
_UNKNOWABLE = ("macs", "flops", "activations", "saved_bytes", "training_flops")


def costs(context: LayerContext) -> Costs:
    """Every cost of one layer."""
    row: CostRow = {}
    for key, formula in _FORMULAS:
        row[key] = formula(context, row)
    return row


def total(rows: list[Costs]) -> Costs:
    """Every cost of several layers together, as far as it is known: see `partial_costs`."""
    whole: CostRow = {}
    for key, cost in COSTS.items():
        if cost.total is None:
            whole[key] = cost.formula(NO_LAYER, whole)
        else:
            values = [row[key] for row in rows]
            try:
                whole[key] = cost.total(values)  # type: ignore[arg-type]
            except TypeError:  # None among them
                known = [value for value in values if value is not None]
                whole[key] = cost.total(known) if known else 0  # type: ignore[arg-type]
    return whole


def partial_costs(layers: Sequence[LayerResult]) -> Partial:
    """For each cost whose total lacks a layer's, the operators that it lacks, with their number.

    What such a total says is a lower bound. A ratio of totals lacks what they lack.
    """
    counts: dict[str, dict[str, int]] = {}
    for layer in layers:
        if layer.macs is not None and layer.saved_bytes is not None:
            continue
        for key in _UNKNOWABLE:
            if layer.costs[key] is None:
                operator = layer.function or layer.type
                lacking = counts.setdefault(key, {})
                lacking[operator] = lacking.get(operator, 0) + 1
    lacks = {
        key: tuple(f"{operator} ×{n}" if n > 1 else operator for operator, n in lacking.items())
        for key, lacking in counts.items()
    }
    return lacks | ({"intensity": lacks["flops"]} if "flops" in lacks else {})


def layer_contexts(network: Network, shapes: Mapping[str, Shape], itemsize: int) -> list[LayerContext]:
    """Each node's layer with its context, in order."""
    in_place = network.in_place()
    needs = saved_activations.needs_gradient(network)
    alive = liveness(network, shapes, in_place)
    saved = saved_activations.saved_by_node(network, shapes, itemsize, in_place, needs)
    return [
        LayerContext(
            node.layer,
            [shapes[name] for name in node.inputs],
            shapes[node.name],
            itemsize,
            alive[i] * itemsize,
            saved[i],
            needs[node.inputs[0]] if node.inputs else False,
            node.traced,
        )
        for i, node in enumerate(network.nodes)
    ]


def liveness(network: Network, shapes: Mapping[str, Shape], in_place: Container[str]) -> list[int]:
    """Elements alive while each node runs: its inputs, its output and what later nodes still read.

    `in_place` are the names of the activations that overwrite their input. A tensor dies after its
    last reader, the image too. An activation that runs in place, a view and dropout put out the
    tensor that they read.
    """
    storage: dict[str, str] = {INPUT: INPUT}
    last_read: dict[str, int] = {INPUT: -1}
    for i, node in enumerate(network.nodes):
        shares = is_view(node.layer) or node.name in in_place
        storage[node.name] = storage[node.inputs[0]] if shares and node.inputs else node.name
        for name in (*node.inputs, node.name):
            last_read[storage[name]] = i
    dying: dict[int, list[str]] = {}
    for name, i in last_read.items():
        dying.setdefault(i, []).append(name)
    alive, counts = prod(shapes[INPUT]), []
    for i, node in enumerate(network.nodes):
        if storage[node.name] == node.name:
            alive = alive + prod(shapes[node.name])
        counts.append(alive)
        alive = alive - sum(prod(shapes[name]) for name in dying.get(i, ()))
    return counts
