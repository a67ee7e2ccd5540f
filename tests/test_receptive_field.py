"""Receptive fields against a gradient.

Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019:
output unit u sees pixels u·S − P … u·S − P + r − 1. With positive weights, max-pooling replaced by
average pooling, and norms and activations by the identity, those are the pixels between the first
and the last that have a gradient.
"""

from collections.abc import Sequence

import pytest
import torch
from conftest import SPATIAL, networks
from hypothesis import event, given, settings
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn import functional as F

import vggcalc
from vggcalc.analysis.receptive_field import FieldOrSees, receptive_fields, unit_span
from vggcalc.nets.graph import (
    INPUT,
    Network,
    Node,
    chain,
)
from vggcalc.nets.layers import (
    GELU,
    AdaptiveAvgPool2d,
    Add,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Pair,
    ReLU,
    SiLU,
)
from vggcalc.nets.shapes import shapes
from vggcalc.results import ReceptiveField


def positive(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    """The layer's window with nothing but positive weights."""
    x = inputs[0]
    match layer:
        case Conv2d():
            height, width = layer.kernel_size
            weight = x.new_ones(layer.out_channels, layer.in_channels // layer.groups, height, width)
            return F.conv2d(
                x, weight / weight[0].numel(), None, layer.stride, layer.padding, layer.dilation, layer.groups
            )
        case MaxPool2d():
            return F.avg_pool2d(x, layer.kernel_size, layer.stride, layer.padding)
        case AdaptiveAvgPool2d():
            return F.adaptive_avg_pool2d(x, layer.output_size)
        case Add():
            return torch.stack(list(inputs)).sum(0)
        case Concat():
            return torch.cat(list(inputs), 1)
        case _:
            assert isinstance(layer, BatchNorm2d | LocalResponseNorm | ReLU | GELU | SiLU | Dropout)
            return x


def outputs(network: Network) -> dict[str, Tensor]:
    known = {INPUT: torch.ones(network.input_shape, dtype=torch.float64, requires_grad=True)}
    for node in network.nodes:
        known[node.name] = positive(node.layer, [known[name] for name in node.inputs])
    return known


def extent(image: Tensor, output: Tensor, unit: Pair) -> list[tuple[int, int]]:
    """Per axis the first and last pixel that a unit sees."""
    seen_unit = output[0, :, unit[0], unit[1]].sum()
    (gradient,) = torch.autograd.grad(seen_unit, image, retain_graph=True)
    seen = gradient[0].abs().sum(0)
    lines = [seen.sum(1 - axis).nonzero().flatten() for axis in (0, 1)]
    return [(int(line.min()), int(line.max())) for line in lines]


def inner_unit(field: ReceptiveField, size: Pair, last: bool) -> Pair | None:
    """The first or last unit that sees no pixel beyond the image, None where every one does."""
    unit = []
    for r, stride, padding, pixels in zip(field.size, field.stride, field.padding, size, strict=True):
        first, final = -(-padding // stride), (pixels + padding - r) // stride
        if first > final:
            return None
        unit.append(final if last else first)
    return unit[0], unit[1]


def probe(network: Network) -> int:
    """Hold every node's receptive field to the gradient; how many had a unit far from the border."""
    known = outputs(network)
    fields = receptive_fields(network, shapes(network))
    probed = 0
    for name, field in fields.items():
        if isinstance(field, str):
            continue
        size = network.input_shape[2:]
        for last in (False, True):
            unit = inner_unit(field, size, last)
            if unit is None:
                continue
            probed += 1
            expected = [
                (u * stride - padding, u * stride - padding + r - 1)
                for u, r, stride, padding in zip(unit, field.size, field.stride, field.padding, strict=True)
            ]
            assert extent(known[INPUT], known[name], unit) == expected, name
    return probed


FORMS = {"chain": False, "branches": True}


@pytest.mark.parametrize("form", FORMS)
def test_receptive_field_is_what_has_a_gradient(form: str) -> None:
    probed = []

    @settings(max_examples=60)
    @given(networks(FORMS[form], (*SPATIAL, "lrn", "act"), size=(30, 48), layers=(4, 9)))
    def hold(network: Network) -> None:
        probed.append(probe(network) / (2 * len(network.nodes) + 2))
        event(f"share of nodes probed: {probed[-1]:.1f}")

    hold()
    assert sum(probed) / len(probed) > 0.7


# By hand


def block(*nodes: tuple[str, Layer, str], size: Pair = (64, 60)) -> Network:
    """`(name, layer, "what it reads")`."""
    made = tuple(Node(name, layer, tuple(inputs.split())) for name, layer, inputs in nodes)
    return Network("block", (1, 4, *size), made)


def field_of(network: Network) -> FieldOrSees:
    return receptive_fields(network, shapes(network))[network.nodes[-1].name]


def conv(kernel: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0, dilation: int | Pair = 1) -> Conv2d:
    return Conv2d(4, 4, kernel, stride, padding, dilation)


@pytest.mark.parametrize(
    ("layers", "size", "stride", "padding"),
    [
        ([], (1, 1), (1, 1), (0, 0)),
        ([conv(3, 1, 1)], (3, 3), (1, 1), (1, 1)),
        ([conv((3, 5), (1, 2), (0, 2))], (3, 5), (1, 2), (0, 2)),
        ([conv((3, 5), (2, 1)), conv((1, 3), (1, 2)), conv((5, 3))], (11, 11), (2, 2), (0, 0)),
        ([conv(3, 1, 2, 2)], (5, 5), (1, 1), (2, 2)),
        ([conv(3, 1, (0, 3), (1, 3)), MaxPool2d((2, 3), (2, 3))], (4, 9), (2, 3), (0, 3)),
        ([MaxPool2d((3, 3), (2, 2), (1, 1)), conv(3, 1, 1)], (7, 7), (2, 2), (3, 3)),
        ([conv(3, 2, 1), conv(3, 2, 1), conv(3, 2, 1)], (15, 15), (8, 8), (7, 7)),
        ([conv(1, 3)], (1, 1), (3, 3), (0, 0)),
        ([BatchNorm2d(4), ReLU(), LocalResponseNorm(), Dropout()], (1, 1), (1, 1), (0, 0)),
    ],
)
def test_chains(layers: list[Layer], size: Pair, stride: Pair, padding: Pair) -> None:
    network = chain("chain", (1, 4, 64, 60), [("block1", layer) for layer in (ReLU(), *layers)])
    assert field_of(network) == ReceptiveField(size, stride, padding)
    assert probe(network)


@pytest.mark.parametrize(
    ("one", "two", "size", "padding", "aligned"),
    [
        (conv(3, 1, 1), conv(7, 1, 3), (7, 7), (3, 3), True),
        (conv((1, 7), 1, (0, 3)), conv((7, 1), 1, (3, 0)), (7, 7), (3, 3), True),
        (conv(3, 1, 1), conv(1), (3, 3), (1, 1), True),
        (conv(3, 2, 1), conv(1, 2), (3, 3), (1, 1), True),
        # Not aligned, that is with centres in two places: the union is larger than both.
        (conv(3, 3, 0), conv(3, 3, 1), (4, 4), (1, 1), False),
        (conv(4, 3, 2), conv(4, 3, 1), (5, 5), (2, 2), False),
        (conv(3, 2, 0), conv(2, 2, 0), (3, 3), (0, 0), False),
    ],
)
@pytest.mark.parametrize("join", [Add(), Concat()])
def test_two_paths_see_their_union(
    one: Conv2d, two: Conv2d, size: Pair, padding: Pair, aligned: bool, join: Layer
) -> None:
    # Paths that are not aligned make one map of some sizes, and two that differ of others.
    size_of_image = next((n, n) for n in range(30, 40) if _same_map(one, two, n))
    network = block(("one", one, INPUT), ("two", two, INPUT), ("join", join, "one two"), size=size_of_image)
    assert field_of(network) == ReceptiveField(size, one.stride, padding, aligned)
    assert probe(network) == 2 * 4  # the image and every node, at both ends of the map


def _same_map(one: Conv2d, two: Conv2d, pixels: int) -> bool:
    maps = [shapes(block(("one", conv, INPUT), size=(pixels, pixels)))["one"] for conv in (one, two)]
    return maps[0] == maps[1]


def test_a_path_may_be_the_image_itself() -> None:
    network = block(("one", conv(5, 1, 2), INPUT), ("join", Add(), "one input"), ("two", conv(3, 1, 1), "join"))
    assert field_of(network) == ReceptiveField((7, 7), (1, 1), (3, 3))
    assert probe(network)


def test_three_paths() -> None:
    network = block(
        ("one", conv(3, 1, 1), INPUT),
        ("two", conv((1, 9), 1, (0, 4)), INPUT),
        ("three", conv((5, 1), 1, (2, 0)), "one"),
        ("join", Concat(), "one two three"),
    )
    assert field_of(network) == ReceptiveField((7, 9), (1, 1), (3, 4))
    assert probe(network)


# Where a unit sees the whole image, or another part of it each


def test_what_follows_a_linear_layer_sees_the_whole_image() -> None:
    layers: list[Layer] = [conv(3), Flatten(), Linear(4 * 36, 4), ReLU(), Linear(4, 2), Dropout()]
    network = chain("chain", (1, 4, 8, 8), [("block1", layer) for layer in layers])
    fields = list(receptive_fields(network, shapes(network)).values())
    assert fields == [
        ReceptiveField((1, 1), (1, 1), (0, 0)),
        ReceptiveField((3, 3), (1, 1), (0, 0)),
        *["image"] * 5,
    ]


@pytest.mark.parametrize(
    ("target", "word"), [((1, 1), "image"), ((5, 6), "varies"), ((6, 5), "varies"), ((12, 12), "varies")]
)
def test_adaptive_pooling_that_changes_the_map(target: Pair, word: str) -> None:
    """One unit sees all of the map; of several each sees another part of it."""
    network = block(("one", conv(3), INPUT), ("pool", AdaptiveAvgPool2d(target), "one"), size=(8, 8))
    assert field_of(network) == word
    later = block(("pool", AdaptiveAvgPool2d(target), INPUT), ("one", conv(1), "pool"), size=(8, 8))
    assert field_of(later) == word


def test_adaptive_pooling_to_the_same_map_changes_nothing() -> None:
    network = block(("one", conv((3, 5)), INPUT), ("pool", AdaptiveAvgPool2d((30, 28)), "one"), size=(32, 32))
    assert field_of(network) == ReceptiveField((3, 5), (1, 1), (0, 0))
    assert probe(network)


def test_a_sum_with_what_sees_the_whole_image_sees_it_too() -> None:
    network = block(
        ("one", conv(3, 1, 1), INPUT),
        ("pool", AdaptiveAvgPool2d((1, 1)), "one"),
        ("wide", AdaptiveAvgPool2d((8, 8)), "pool"),
        ("join", Add(), "one wide"),
        size=(8, 8),
    )
    assert field_of(network) == "image"


def test_paths_of_different_strides_have_no_one_receptive_field() -> None:
    """Maps of 3×3 both, of stride 1 and 2: the union is another for each unit."""
    network = block(("one", conv(3), INPUT), ("two", conv(1, 2), INPUT), ("join", Concat(), "one two"), size=(5, 5))
    assert field_of(network) == "varies"
    known = outputs(network)
    spans = [extent(known[INPUT], known["join"], (u, u))[0] for u in range(3)]
    assert spans == [(0, 2), (1, 3), (2, 4)]


@pytest.mark.parametrize("name", ["0", "1", "2"])
def test_where_it_is_unknown_what_an_operator_sees_no_unit_has_a_span(name: str) -> None:
    """Whatever the operator is, also a convolution."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.Conv2d(4, 4, 3, stride=2))
    network = vggcalc.trace(module, (1, 3, 12, 12))
    assert unit_span(network, "2", (1, 2)) == ((2, 6), (4, 8))

    def unknown(node: Node) -> Node:
        assert node.traced is not None
        return replace(node, traced=replace(node.traced, reach="unknown")) if node.name == name else node

    network = replace(network, nodes=tuple(map(unknown, network.nodes)))
    with pytest.raises(vggcalc.InputError, match=f"^{name} is an operator of which it is unknown what a unit sees$"):
        unit_span(network, "2", (1, 2))


@pytest.mark.parametrize(("kernel", "padding", "dilation"), [(3, 0, 1), (5, 2, 1), (3, 2, 2), (1, 0, 1)])
def test_a_transposed_convolution_of_stride_1_is_a_window(kernel: int, padding: int, dilation: int) -> None:
    """Of its kernel, with window − 1 − padding around the image; with a larger stride units differ. By gradient too."""
    module = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1), nn.ConvTranspose2d(1, 1, kernel, padding=padding, dilation=dilation)
    )
    field = vggcalc.summary(module, (1, 1, 15, 15)).variants[0].receptive_field
    extent = dilation * (kernel - 1)
    assert field == ReceptiveField((3 + extent,) * 2, (1, 1), (1 + extent - padding,) * 2)
    image = torch.zeros(1, 1, 15, 15, requires_grad=True)
    for part in module:
        nn.init.ones_(part.weight)
    module(image)[0, 0, 7, 7].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].nonzero()[:, 0]
    first = 7 - field.padding[0]
    assert (int(seen.min()), int(seen.max())) == (first, first + field.size[0] - 1)
    wider = nn.Sequential(module[0], nn.ConvTranspose2d(1, 1, kernel, stride=2))
    assert vggcalc.summary(wider, (1, 1, 15, 15)).variants[0].sees == "varies"
