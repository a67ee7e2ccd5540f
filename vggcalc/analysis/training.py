"""What training keeps and computes: which gradients flow, and which tensors wait for them."""

from collections.abc import Container, Mapping
from math import prod
from typing import assert_never

from vggcalc.spec.layers import (
    GELU,
    INPUT,
    AdaptiveAvgPool2d,
    Add,
    BatchNorm2d,
    Concat,
    Convolution,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Network,
    Node,
    Opaque,
    Operation,
    ReLU,
    Shape,
    SiLU,
    Window,
    is_view,
)

#: The kinds that have parameters.
_LEARNING = (Convolution, Linear, BatchNorm2d)

#: torch keeps the place of each maximum as an int64.
INDEX_BYTES = 8


def needs_gradient(network: Network) -> dict[str, bool]:
    """Whether a gradient flows into each node's output: there are parameters in it or before it."""
    needs = {INPUT: False}
    for node in network.nodes:
        own = (
            isinstance(node.layer, Convolution | Linear)
            or (isinstance(node.layer, BatchNorm2d) and node.layer.affine)
            if node.traced is None
            else node.traced.parameters > 0
        )
        needs[node.name] = own or any(needs[name] for name in node.inputs)
    return needs


#: What autograd keeps for the functions of `Operation`s and `Window`s: their inputs, the first of
#: them, their output or nothing (tools/autograd/derivatives.yaml).
SAVES: dict[str, str] = (
    dict.fromkeys(("add", "sub", "rsub", "neg", "cat", "stack", "pad", "slice", "mean", "sum", "pixel_shuffle",
                   "pixel_unshuffle", "channel_shuffle", "upsample_nearest2d", "upsample_bilinear2d", "roll",
                   "flip", "select", "alias", "to", "unbind", "chunk", "split", "split_with_sizes"), "nothing")
    | dict.fromkeys(("sigmoid", "tanh", "softmax", "exp", "rsqrt", "relu6"), "output")
    | dict.fromkeys(("hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "mish", "elu", "softplus", "clamp",
                     "avg_pool2d", "avg_pool1d", "pow", "square", "log", "sin", "cos"), "first")
    | dict.fromkeys(("mul", "div"), "inputs")
)  # fmt: skip


def saved_bytes(
    network: Network,
    shapes: Mapping[str, Shape],
    itemsize: int,
    in_place: Container[str],
    needs: Mapping[str, bool],
) -> list[int | None]:
    """Bytes that each node adds to what autograd keeps from the forward to the backward pass.

    `in_place` are the names of the activations that overwrite their input, `needs` what
    `needs_gradient` says. Parameters are not counted, and a tensor that two nodes keep counts at
    the first of them. By torch's derivatives (tools/autograd/derivatives.yaml) convolutions, linear
    and norm layers, GELU, SiLU and poolings keep their input, ReLU its output, batch norm the
    batch's mean and deviation, max-pooling the places of its maxima, dropout (on the CPU) its mask,
    local response norm its padded squares and two maps more. An average over a whole map keeps
    nothing, and neither does what no gradient flows through. None where that is not known of an
    operator.
    """
    storage = {INPUT: INPUT}
    kept: set[str] = set()
    added: list[int | None] = []
    for node in network.nodes:
        shares = bool(node.inputs) and (is_view(node.layer) or node.name in in_place)
        apart = isinstance(node.layer, Dropout) or not shares  # dropout makes a tensor in training
        storage[node.name] = node.name if apart else storage[node.inputs[0]]
        keeps, own = _keeps(node, shapes, itemsize, shares, needs) if needs[node.name] else ([], 0)
        if own is None:
            added.append(None)
            continue
        for name in keeps:
            if storage[name] not in kept:
                kept.add(storage[name])
                own += prod(shapes[name]) * itemsize
        added.append(own)
    return added


def _keeps(
    node: Node, shapes: Mapping[str, Shape], itemsize: int, shares: bool, needs: Mapping[str, bool]
) -> tuple[list[str], int | None]:
    """The tensors that a node's backward keeps, by name, and the bytes that it keeps beside them."""
    layer, shape = node.layer, shapes[node.name]
    elements = prod(shape)
    if not node.inputs:
        return [], None
    source = node.inputs[0]
    match layer:
        case Convolution() | Linear():
            return [source], 0
        case ReLU():
            return [node.name], 0
        case SiLU() if shares:
            return [], elements * itemsize
        case GELU() | SiLU():
            return [source], 0
        case BatchNorm2d():
            return [source], 2 * layer.num_features * itemsize
        case MaxPool2d():
            return ([source], elements * INDEX_BYTES) if needs[source] else ([], 0)
        case AdaptiveAvgPool2d():
            return ([source] if layer.output_size != (1, 1) else []), 0
        case Dropout():
            return [], elements * itemsize
        case LocalResponseNorm():
            batch, channels, *area = shape
            padded = batch * (channels + layer.size - 1) * prod(area)
            return [source], (padded + 2 * elements) * itemsize
        case Flatten() | Add() | Concat():
            return [], 0
        case Opaque():
            return [], None
        case Window() | Operation():
            if layer.view:
                return [], 0
            match SAVES.get(layer.function):
                case "nothing":
                    return [], 0
                case "output":
                    return [node.name], 0
                case "first":
                    return [source], 0
                case "inputs":
                    return list(node.inputs), 0
            return [], None
        case _:
            assert_never(layer)
