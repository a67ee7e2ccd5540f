"""Costs on paper. Each is a formula over one layer in its network, or follows from other costs.

Conventions: 1 MAC is one multiply-accumulate of a matrix product: of a convolution's or linear layer's weight with
an activation, or of two activations with each other, as in attention. FLOPs = 2 × MACs. Biases, norms, activation
functions, poolings and elementwise products do no MACs. It is over 300 lines long because the formulas stand together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any, assert_never

import msgspec

from vggcalc.analysis import saved as saved_activations
from vggcalc.analysis.liveness import liveness
from vggcalc.nets.graph import Network, Traced
from vggcalc.nets.layers import (
    WEIGHTED,
    WEIGHTLESS,
    BatchNorm,
    Convolution,
    CustomOperator,
    Flatten,
    Layer,
    Linear,
    MatrixProduct,
    Opaque,
    Shape,
    is_view,
)
from vggcalc.nets.names import ITEMSIZE
from vggcalc.results import Costs, LayerResult, Partial
from vggcalc.results.vocabulary import COST_DEFINITIONS, Definition


class LayerContext(msgspec.Struct):
    """A layer in its network, which is all that a formula may read.

    `alive_bytes` are the activations alive while the layer runs in inference, its output included;
    `saved_bytes` those that it adds to the activations saved for the backward pass. `gradients` says of each input
    whether the layer's backward pass computes its gradient, `trained_weights` of how many of the layer's weights, both
    none where no gradient arrives at its output. `own_bytes` is the
    size of its parameters in their own dtypes, None where they are counted in another. `shares` says that its output is
    the memory of its input, as that of a view and of an activation in place.
    """

    layer: Layer
    inputs: list[Shape]
    output: Shape
    itemsize: int
    alive_bytes: int
    saved_bytes: int | None
    gradients: Sequence[bool]
    trained_weights: int
    traced: Traced | None = None
    own_bytes: int | None = None
    shares: bool = False


#: The costs of one layer that come before a cost in `COSTS`, which its formula may build on.
CostRow = dict[str, Any]


class Cost(msgspec.Struct, frozen=True):
    """A cost: what it is called, its formula for one layer, and how that of several layers follows from theirs.

    `total` None: a ratio, whose formula holds for totals as it holds for layers.
    """

    definition: Definition
    formula: Callable[[LayerContext, CostRow], int | float | None]
    total: Callable[[Iterable[int]], int] | None = sum


def parameters(context: LayerContext, row: CostRow) -> int:
    """Learnable scalars, biases and affine norm parameters included, each once in a network.

    Convolution: `Convolution.parameters`; Linear: out·in + out; BatchNorm: 2·features. Of a traced
    layer the scalars of the module itself, at the first node that uses them.
    """
    return context.traced.parameters if context.traced is not None else _own_parameters(context.layer)


def trainable(context: LayerContext, row: CostRow) -> int:
    """Parameters that require a gradient; all of them unless a traced module's are frozen."""
    return context.traced.trainable if context.traced is not None else _own_parameters(context.layer)


def _own_parameters(layer: Layer) -> int:
    match layer:
        case Convolution() | BatchNorm():
            return layer.parameters
        case Linear():
            return layer.out_features * (layer.in_features + layer.bias)
        case _:
            return 0


def macs(context: LayerContext, row: CostRow) -> int | None:
    """Output elements × the weights that each one meets: (in/groups)·∏ kernel, or in_features.

    Of a transposed convolution input elements × (out/groups)·∏ kernel. Padding is counted as if it were input,
    as every counter does; the bias is not a MAC. Of a matrix product output elements × the length that is summed
    over. Unknown where an operator has no formula.
    """
    match context.layer:
        case Convolution() as conv:
            return conv.macs(context.inputs[0], context.output)
        case Linear() as linear:
            return prod(context.output) * linear.in_features
        case MatrixProduct() | CustomOperator() as operator:
            return operator.macs
        case Opaque():
            return None
        case layer if isinstance(layer, WEIGHTLESS):
            return 0
        case layer:
            assert_never(layer)


def product_macs(context: LayerContext, row: CostRow) -> int | None:
    """Those of the MACs that multiply two activations with each other."""
    if isinstance(context.layer, MatrixProduct):
        return context.layer.product_macs
    return None if isinstance(context.layer, Opaque) else 0


def flops(context: LayerContext, row: CostRow) -> int | None:
    """2 × MACs: a multiplication and an addition."""
    macs: int | None = row["macs"]
    return None if macs is None else 2 * macs


def activations(context: LayerContext, row: CostRow) -> int | None:
    """Elements that convolutions, linear layers and matrix products put out (Radosavovic et al. 2020; fvcore, timm).

    And what does MACs by a registered formula.
    """
    if isinstance(context.layer, Opaque):
        return None
    if isinstance(context.layer, MatrixProduct | CustomOperator):
        return prod(context.output) if context.layer.macs else 0
    return prod(context.output) if isinstance(context.layer, WEIGHTED) else 0


def output_bytes(context: LayerContext, row: CostRow) -> int:
    """Bytes of what the layer puts out; none where that is the memory of its input."""
    return 0 if context.shares else prod(context.output) * context.itemsize


def weight_bytes(context: LayerContext, row: CostRow) -> int:
    """Parameters × bytes of an element; of a traced module in its own dtypes."""
    if context.own_bytes is not None:
        return context.own_bytes
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

    No gradient of the input where none flows: in the first layer with parameters. None of frozen weights. Of a
    product of two activations one for each factor through which a gradient flows. What a registered formula counts is
    taken for such a product where there are no weights. How much of a checkpoint runs again is unknown: torch may end
    it early.
    """
    flops: int | None = row["flops"]
    if flops is None or (isinstance(context.layer, MatrixProduct) and context.layer.saves == "state"):
        return None
    if flops and context.traced is not None and context.traced.autograd == "checkpoint":
        return None
    if isinstance(context.layer, MatrixProduct):
        of_products = 2 * context.layer.product_macs
        backward = of_products * sum(context.gradients[:2])
        attends = context.layer.function == "scaled_dot_product_attention"
        if attends and context.layer.product_macs == context.layer.macs:  # QKᵀ, and the product of that with V
            query, key, value = context.gradients[:3]
            with_values = of_products * context.output[-1] // (context.inputs[0][-1] + context.output[-1])
            backward = (of_products - with_values) * (query + key) + with_values * (value + (query or key))
        backward += (flops - of_products) * (context.trained_weights + any(context.gradients))
        return flops + backward
    if isinstance(context.layer, CustomOperator) and not context.trained_weights:
        return flops * (1 + 2 * any(context.gradients))
    return flops * (1 + context.trained_weights + any(context.gradients))


def intensity(context: LayerContext, row: CostRow) -> float | None:
    """FLOPs per byte of compulsory traffic (Williams et al. 2009); unknown where nothing moves."""
    return row["flops"] / row["traffic_bytes"] if row["traffic_bytes"] and row["flops"] is not None else None


#: Ratios look at no layer.
NO_LAYER = LayerContext(Flatten(), [], (), 0, 0, 0, (), 0)

COSTS: dict[str, Cost] = {
    "parameters": Cost(COST_DEFINITIONS["parameters"], parameters),
    "trainable": Cost(COST_DEFINITIONS["trainable"], trainable),
    "macs": Cost(COST_DEFINITIONS["macs"], macs),
    "product_macs": Cost(COST_DEFINITIONS["product_macs"], product_macs),
    "flops": Cost(COST_DEFINITIONS["flops"], flops),
    "activations": Cost(COST_DEFINITIONS["activations"], activations),
    "output_bytes": Cost(COST_DEFINITIONS["output_bytes"], output_bytes),
    "weight_bytes": Cost(COST_DEFINITIONS["weight_bytes"], weight_bytes),
    "traffic_bytes": Cost(COST_DEFINITIONS["traffic_bytes"], traffic_bytes),
    "peak_activation_bytes": Cost(COST_DEFINITIONS["peak_activation_bytes"], peak_activation_bytes, total=max),
    "saved_bytes": Cost(COST_DEFINITIONS["saved_bytes"], saved_bytes),
    "training_flops": Cost(COST_DEFINITIONS["training_flops"], training_flops),
    "intensity": Cost(COST_DEFINITIONS["intensity"], intensity, total=None),
}


_FORMULAS = tuple((key, cost.formula) for key, cost in COSTS.items())

#: The costs of which an operator without a formula leaves the total partial.
_UNKNOWABLE = ("macs", "product_macs", "flops", "activations", "saved_bytes", "training_flops")


def layer_costs(context: LayerContext) -> Costs:
    """Every cost of one layer."""
    row: CostRow = {}
    for key, formula in _FORMULAS:
        row[key] = formula(context, row)
    return row


def total(rows: list[Costs]) -> Costs:
    """Every cost of several layers together, as far as it is known: see `partial_costs`.

    What an earlier version did not count is left out.
    """
    whole: CostRow = {}
    for key, cost in COSTS.items():
        if rows and key not in rows[0]:
            continue
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
        if layer.macs is not None and layer.saved_bytes is not None and layer.training_flops is not None:
            continue
        for key in _UNKNOWABLE:
            if layer.costs[key] is None:
                recomputed = layer.traced is not None and layer.traced.autograd == "checkpoint"
                operator = "checkpointed " * recomputed + (layer.function or layer.type)
                lacking = counts.setdefault(key, {})
                lacking[operator] = lacking.get(operator, 0) + 1
    lacks = {
        key: tuple(f"{operator} ×{n}" if n > 1 else operator for operator, n in lacking.items())
        for key, lacking in counts.items()
    }
    return lacks | ({"intensity": lacks["flops"]} if "flops" in lacks else {})


#: Of how many factors training computes the gradient, by `Traced.trains`.
_TRAINED = {"": 0, "bias": 0, "weight": 1, "both": 2}


def layer_contexts(network: Network, shapes: Mapping[str, Shape], itemsize: int) -> list[LayerContext]:
    """Each node's layer with its context, in order."""
    in_place, as_it_is = network.in_place(), itemsize == ITEMSIZE[network.dtype]
    needs = saved_activations.needs_gradient(network)
    gets = saved_activations.gets_gradient(network, needs)
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
            [gets[node.name] and needs[name] for name in node.inputs],
            0 if not gets[node.name] else 1 if node.traced is None else _TRAINED[node.traced.trains],
            node.traced,
            node.traced.parameter_bytes if node.traced is not None and as_it_is else None,
            is_view(node.layer) or node.name in in_place,
        )
        for i, node in enumerate(network.nodes)
    ]
