"""Saved activations: what autograd saves for the backward pass, and through which nodes a gradient flows.

The rules are those of torch's tools/autograd/derivatives.yaml.
"""

from collections.abc import Container, Mapping
from math import prod
from typing import assert_never

from vggcalc.nets.derivatives import BY_OUTPUT, INDEX_BYTES, OPERANDS, SAVES, WITH_INDICES, WITHOUT_GRADIENT
from vggcalc.nets.graph import INPUT, Network, Node
from vggcalc.nets.layers import (
    GELU,
    WEIGHTED,
    AdaptiveAvgPool,
    Add,
    BatchNorm,
    Concat,
    Convolution,
    CustomOperator,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MatrixProduct,
    MaxPool,
    Opaque,
    Operation,
    PlainConvolution,
    ReLU,
    Shape,
    SiLU,
    Window,
    is_view,
)


def needs_gradient(network: Network) -> dict[str, bool]:
    """Whether each node's output requires a gradient: it or a node before it has parameters."""
    needs = {INPUT: False}
    for node in network.nodes:
        layer = node.layer
        if node.traced is not None:
            own = bool(node.traced.trains)
        else:
            own = isinstance(layer, WEIGHTED) or (isinstance(layer, BatchNorm) and layer.affine)
        stops = _is_cut(node) or (isinstance(layer, Operation) and layer.function in WITHOUT_GRADIENT)
        needs[node.name] = not stops and (own or any(needs[name] for name in node.inputs))
    return needs


def gets_gradient(network: Network, needs: Mapping[str, bool]) -> dict[str, bool]:
    """Whether the gradient of each node's output is computed in training; `needs` is what `needs_gradient` says.

    None is where all that reads it is detached from the loss, which may lie behind every output that no node reads.
    """
    gets = {INPUT: False}
    readers: dict[str, list[Node]] = {}
    for node in reversed(network.nodes):
        of = readers.get(node.name, [])
        passes = not of or any(not _is_cut(reader) and (gets[reader.name] or not needs[reader.name]) for reader in of)
        gets[node.name] = needs[node.name] and passes
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    return gets


def _is_cut(node: Node) -> bool:
    """Whether it was detached in so many words: by `detach`, or under `torch.no_grad`."""
    detached = isinstance(node.layer, Operation) and node.layer.function == "detach"
    return detached or (node.traced is not None and node.traced.autograd == "no_grad")


def saved_by_node(
    network: Network,
    shapes: Mapping[str, Shape],
    itemsize: int,
    in_place: Container[str],
    needs: Mapping[str, bool],
) -> list[int | None]:
    """Bytes that each node adds to what autograd saves from the forward to the backward pass.

    `in_place` are the names of the activations that overwrite their input, `needs` what
    `needs_gradient` says. Parameters are not counted, and a tensor that two nodes save counts at
    the first of them. By torch's derivatives (tools/autograd/derivatives.yaml) convolutions, linear
    and norm layers, GELU, SiLU and poolings save their input, ReLU its output, batch norm the
    batch's mean and deviation, max-pooling the indices of its maxima, dropout (on the CPU) its mask,
    local response norm its padded squares and two feature maps more. An average over a whole feature map saves
    nothing, and neither does what no gradient flows through. None where that is not known of an
    operator.
    """
    storage, indices = {INPUT: INPUT}, {}
    itemsizes = {INPUT: (network.tracing.itemsize if network.tracing is not None else 0) or itemsize}
    sharing = {node.name for node in network.nodes if node.inputs and (is_view(node.layer) or node.name in in_place)}
    for node in network.nodes:
        itemsizes[node.name] = (node.traced.itemsize if node.traced is not None else 0) or itemsize
        own_storage = node.name not in sharing or _is_dropout(node.layer)  # dropout makes a tensor in training
        if node.name in sharing and getattr(node.layer, "function", "") in WITH_INDICES:
            own_storage, indices[node.inputs[0]] = True, node.name
        storage[node.name] = node.name if own_storage else storage[node.inputs[0]]
    saved: set[str] = set()
    constants: set[int] = set()
    added: list[int | None] = []
    for node in network.nodes:
        shares = node.name in sharing
        tensors, own = _saved_by(node, shapes, itemsize, shares, needs) if needs[node.name] else ([], 0)
        if own is None:
            added.append(None)
            continue
        if needs[node.name] and node.name in indices:
            tensors = [indices[node.name]]
        for name in tensors:
            if storage[name] not in saved:
                saved.add(storage[name])
                own += prod(shapes[storage[name]]) * itemsizes[storage[name]]  # a view keeps all of its base alive
        for constant in node.traced.constants if node.traced is not None and needs[node.name] else ():
            if constant.storage not in constants:
                constants.add(constant.storage)
                own += constant.elements * (constant.itemsize or itemsize)
        added.append(own)
    return added


def _is_dropout(layer: Layer) -> bool:
    if isinstance(layer, Dropout):
        return layer.p > 0
    return isinstance(layer, Operation) and layer.function.endswith("dropout")


def _saved_by(
    node: Node, shapes: Mapping[str, Shape], itemsize: int, shares: bool, needs: Mapping[str, bool]
) -> tuple[list[str], int | None]:
    """The names of the tensors that a node saves, and the bytes that it saves beside them (None: unknown)."""
    layer, shape = node.layer, shapes[node.name]
    elements = prod(shape)
    if node.traced is not None and (node.traced.autograd == "checkpoint" or _saves_weights(node.traced.weights, layer)):
        return [], None  # a checkpoint saves what goes into it
    if not node.inputs:
        of_parameters = node.traced is not None and isinstance(layer, MatrixProduct) and layer.saves == "factors"
        return [], 0 if of_parameters or getattr(layer, "function", "") in ("unused", "input") else None
    source = node.inputs[0]
    match layer:
        case Convolution() | Linear() if node.traced and node.traced.weights == "constant":
            return [], None  # the weight is no parameter, and torch saves it in some cases
        case PlainConvolution() if layer.padding_after is not None:  # a copy that is padded by itself
            batch, channels, *area = shapes[source]
            sizes = [n + p + q for n, p, q in zip(area, *layer.sides, strict=True)]
            return [], batch * channels * prod(sizes) * itemsize
        case Convolution():
            return [source], 0
        case Linear():  # for the gradient of the weight
            return [source] if node.traced is None or node.traced.trains == "weight" else [], 0
        case MatrixProduct():
            return _saved_by_product(layer, node, shapes, itemsize, needs)
        case ReLU():
            return [node.name], 0
        case SiLU() if shares:
            return [], elements * itemsize
        case GELU() | SiLU():
            return [source], 0
        case BatchNorm():
            return [source], 2 * layer.num_features * itemsize
        case MaxPool():
            return ([source], elements * INDEX_BYTES) if needs[source] else ([], 0)
        case AdaptiveAvgPool():
            return ([source] if set(layer.output_size) != {1} else []), 0
        case Dropout():
            return [], elements * itemsize * (layer.p > 0)
        case LocalResponseNorm():
            batch, channels, *area = shape
            padded = batch * (channels + layer.size - 1) * prod(area)
            return [source], (padded + 2 * elements) * itemsize
        case Flatten() | Add() | Concat():
            return [], 0
        case Opaque() | CustomOperator():
            return [], None
        case Window() | Operation():
            return _saved_by_function(layer, node, shapes, itemsize, needs)
        case _:
            assert_never(layer)


def _saves_weights(weights: str, layer: Layer) -> bool:
    """Whether something is saved of weights that are no parameters: by the layer, or by what computes them."""
    function = getattr(layer, "function", "")
    saves = not isinstance(layer, Add | Concat) and SAVES.get(function) != "nothing" and function not in OPERANDS
    saves = saves and getattr(layer, "saves", "") != "parts"
    return weights == "computed" or (weights == "rearranged" and saves)


def _saved_by_product(
    layer: MatrixProduct, node: Node, shapes: Mapping[str, Shape], itemsize: int, needs: Mapping[str, bool]
) -> tuple[list[str], int | None]:
    """The same for a matrix product: each factor is saved for the gradient of the other."""
    of_attention = layer.saves in ("attention", "parts")
    factors, masks = node.inputs[: 3 if of_attention else 2], node.inputs[3:]
    if layer.saves in ("unknown", "state") or len(factors) < 2:
        return [], None
    if layer.saves == "parts":
        masked = any(needs[mask] for mask in masks) or (node.traced is not None and bool(node.traced.trains))
        if node.traced is not None and node.traced.weights and not masked:  # of a frozen mask, and then it is fused
            return [], None
        query, key, value = (needs[factor] for factor in factors)
        weights, of_value = query or key or masked, layer.copies[3]
        kept = (key, query, weights or value, weights)
        own = sum(size * is_kept for size, is_kept in zip(layer.copies, kept, strict=True))
        return [factors[2]] * (weights and not of_value), own * itemsize
    if of_attention:
        if any(needs[mask] for mask in masks):  # then it is computed in its parts
            return [], None
        *rows, _ = shapes[node.name]
        copied = sum(layer.copies[3:]) * itemsize
        return [*factors, node.name, *([] if copied else masks)], prod(rows) * 4 + copied
    both = layer.function.startswith("conv")  # which saves its kernel even where no gradient flows into its input
    saved, own = [], 0
    for factor, other, copied in zip(factors, reversed(factors), layer.copies, strict=True):
        if both or needs[other]:
            saved += [factor] * (not copied)
            own += copied * itemsize
    return saved, own


def _saved_by_function(
    layer: Window | Operation, node: Node, shapes: Mapping[str, Shape], itemsize: int, needs: Mapping[str, bool]
) -> tuple[list[str], int | None]:
    """The same for an operator that is known by torch's name of its function."""
    elements, source = prod(shapes[node.name]), node.inputs[0]
    options = layer.options if isinstance(layer, Operation) else {}
    in_place = isinstance(layer, Operation) and layer.inplace
    copy = ([], prod(shapes[source]) * itemsize) if in_place else ([source], 0)
    match layer.function:
        case "feature_dropout":  # noise for each channel
            return [], prod(shapes[node.name][:2]) * itemsize
        case _ if layer.view:
            return [], 0
        case "batch_norm" | "layer_norm" | "group_norm" | "instance_norm" | "rms_norm":
            rows = int(options["rows"]) * itemsize
            affine = bool(options.get("affine"))
            if layer.function == "rms_norm":  # as its parts: what was scaled is saved for the weight
                return [source], rows + elements * itemsize * affine
            return [source], (2 + (affine and layer.function == "instance_norm")) * rows
        case "max_pool1d" | "max_pool2d" | "max_pool3d" | "adaptive_max_pool1d" | "adaptive_max_pool2d":
            return [source], elements * INDEX_BYTES
        case "adaptive_avg_pool1d" | "adaptive_avg_pool3d":  # over a whole feature map it is a mean
            axes = int(layer.function[-2])
            return ([source] if set(shapes[node.name][-axes:]) != {1} else []), 0
        case _ if layer.function in WITH_INDICES and shapes[node.name]:
            return [], 0  # the second output, which holds them
        case "pow" if "other" in options:  # as an exponent
            return ([source, node.name], 0) if options["other"] else ([], None)
        case "pow" if len(node.inputs) == 1 and not (node.traced and node.traced.weights):
            return copy
        case "maximum" | "minimum" | "grid_sampler":
            return list(node.inputs), 0
        case "mul" | "div":
            return _saved_by_factors(layer.function, str(options.get("other", "another")), node, copy, needs)
        case function:
            steering = [node.inputs[i] for i in node.traced.steering] if node.traced is not None else []
            match SAVES.get(function):
                case "nothing":
                    return steering, 0
                case "output":
                    return [node.name], 0
                case "both":
                    return [source, node.name], 0
                case "first" if in_place and function in BY_OUTPUT:
                    return [node.name], 0
                case "first":
                    return [*copy[0], *steering], copy[1]
    return [], None


def _saved_by_factors(
    function: str, other: str, node: Node, copy: tuple[list[str], int], needs: Mapping[str, bool]
) -> tuple[list[str], int | None]:
    """The same for `mul` and `div`, where a factor is saved for the gradient of the other, and a divisor in any case.

    `copy` is what the first input takes where it is saved.
    """
    in_place, divides = not copy[0], function == "div"
    if node.traced is not None and node.traced.weights == "rearranged" and not needs[node.inputs[0]]:
        return [], None
    match other:
        case "another" if len(node.inputs) == 2 and not in_place:
            one, two = node.inputs
            return [two] * (needs[one] or divides) + [one] * needs[two], 0
        case "itself":
            return copy
        case "weight":
            return copy if node.traced is None or node.traced.trains else ([], 0)
        case "number" | "buffer" | "constant":
            return [], 0
        case "numberfirst" | "bufferfirst" | "constantfirst" | "weightfirst" if not in_place:
            return copy
    return [], None
