"""What training keeps and computes: which gradients flow, and which tensors wait for them."""

from collections.abc import Container, Mapping
from math import prod

from vggcalc.spec.layers import (
    GELU,
    INPUT,
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Network,
    ReLU,
    Shape,
    SiLU,
)

#: torch keeps the place of each maximum as an int64.
INDEX_BYTES = 8


def needs_gradient(network: Network) -> dict[str, bool]:
    """Whether a gradient flows into each node's output: there are parameters in it or before it."""
    needs = {INPUT: False}
    for node in network.nodes:
        own = isinstance(node.layer, Conv2d | Linear | BatchNorm2d)
        needs[node.name] = own or any(needs[name] for name in node.inputs)
    return needs


def saved_bytes(
    network: Network,
    shapes: Mapping[str, Shape],
    itemsize: int,
    in_place: Container[str],
    needs: Mapping[str, bool],
) -> list[int]:
    """Bytes that each node adds to what autograd keeps from the forward to the backward pass.

    `in_place` are the names of the activations that overwrite their input, `needs` what
    `needs_gradient` says. Parameters are not counted, and a tensor that two nodes keep counts at
    the first of them. By torch's derivatives (tools/autograd/derivatives.yaml) convolutions, linear
    and norm layers, GELU, SiLU and poolings keep their input, ReLU its output, batch norm the
    batch's mean and deviation, max-pooling the places of its maxima, dropout (on the CPU) its mask,
    local response norm its padded squares and two maps more. An average over a whole map keeps
    nothing, and neither does what no gradient flows through.
    """
    storage = {INPUT: INPUT}
    kept: set[str] = set()
    added = []
    for node in network.nodes:
        layer, source, shape = node.layer, node.inputs[0], shapes[node.name]
        elements = prod(shape)
        shares = isinstance(layer, Flatten) or node.name in in_place
        storage[node.name] = storage[source] if shares else node.name
        keeps: list[str] = []
        own = 0
        if needs[node.name]:
            match layer:
                case Conv2d() | Linear():
                    keeps = [source]
                case ReLU():
                    keeps = [node.name]
                case SiLU() if shares:
                    own = elements * itemsize
                case GELU() | SiLU():
                    keeps = [source]
                case BatchNorm2d():
                    keeps, own = [source], 2 * layer.num_features * itemsize
                case MaxPool2d() if needs[source]:
                    keeps, own = [source], elements * INDEX_BYTES
                case AdaptiveAvgPool2d() if layer.output_size != (1, 1):
                    keeps = [source]
                case Dropout():
                    own = elements * itemsize
                case LocalResponseNorm():
                    batch, channels, *area = shape
                    padded = batch * (channels + layer.size - 1) * prod(area)
                    keeps, own = [source], (padded + 2 * elements) * itemsize
                case _:
                    pass
        for name in keeps:
            if storage[name] not in kept:
                kept.add(storage[name])
                own += prod(shapes[name]) * itemsize
        added.append(own)
    return added
