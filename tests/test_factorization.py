"""Factorization and merging as laws.

Simonyan & Zisserman 2014 (arXiv 1409.1556), section 2.3: n = (k − 1)/2 layers of 3×3 see what one
k×k sees. Shapes and receptive fields are computed here by torch's documented rule and by the
recurrences of Araujo et al. 2019, per axis.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

import msgspec
import pytest
import torch
from conftest import SPATIAL, networks, pairs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from vggcalc.analysis.receptive_field import receptive_fields
from vggcalc.errors import InputError
from vggcalc.nets.families import Factorization
from vggcalc.nets.graph import (
    INPUT,
    Network,
    Node,
    chain,
    renumbered,
)
from vggcalc.nets.layers import (
    GELU,
    Add,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Layer,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Shape,
)
from vggcalc.nets.merging import merge
from vggcalc.nets.replacing import split
from vggcalc.nets.shapes import shapes
from vggcalc.results import ReceptiveField
from vggcalc.runtime.build import build

ODD = tuple(range(3, 32, 2))
LAST = Factorization(stride_at="last")
FIRST = Factorization(stride_at="first")


def convolution(kernel: int, channels: tuple[int, int] = (4, 8), **arguments: object) -> Conv2d:
    return Conv2d(*channels, (kernel, kernel), **arguments)


@st.composite
def convolutions(draw: st.DrawFn, kernel: int) -> Conv2d:
    """Any that can be split; the padding goes beyond the window."""
    groups = draw(st.integers(1, 4))
    dilation = draw(pairs(1, 3))
    padding = tuple(draw(st.integers(0, d * (kernel - 1) + 4)) for d in dilation)
    channels = (groups * draw(st.integers(1, 4)), groups * draw(st.integers(1, 4)))
    return convolution(
        kernel,
        channels,
        stride=draw(pairs(1, 5)),
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )


def map_size(layers: Sequence[Conv2d], size: int, axis: int) -> int | None:
    """torch's floor((n + 2p − d(k − 1) − 1) / s) + 1 over the layers; None where one does not fit."""
    for conv in layers:
        room = size + 2 * conv.padding[axis] - conv.dilation[axis] * (conv.kernel_size[axis] - 1) - 1
        if room < 0:
            return None
        size = room // conv.stride[axis] + 1
    return size


def field(layers: Sequence[Conv2d], axis: int) -> tuple[int, int, int]:
    """Araujo et al. 2019: (size, stride, padding)."""
    size, stride, padding = 1, 1, 0
    for conv in layers:
        size += conv.dilation[axis] * (conv.kernel_size[axis] - 1) * stride
        padding += conv.padding[axis] * stride
        stride *= conv.stride[axis]
    return size, stride, padding


def assert_same_maps(one: Sequence[Conv2d], two: Sequence[Conv2d]) -> None:
    """For every input size, of either axis, too small ones included."""
    for axis in (0, 1):
        size, stride, _ = field(one, axis)
        for pixels in range(1, size + 3 * stride + 2):
            assert map_size(one, pixels, axis) == map_size(two, pixels, axis), (pixels, axis)


# One convolution


@pytest.mark.parametrize("kernel", ODD)
def test_same_padding_gives_each_layer_its_own(kernel: int) -> None:
    conv = convolution(kernel, padding=(kernel - 1, kernel // 2), dilation=(2, 1))
    layers = split(conv)
    assert len(layers) == (kernel - 1) // 2
    assert {layer.kernel_size for layer in layers} == {(3, 3)}
    assert {layer.padding for layer in layers} == {(2, 1)}
    assert_same_maps([conv], layers)
    assert merge(layers) == conv


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("kernel", ODD)
def test_same_padding_gives_each_layer_its_own_with_the_stride_first(kernel: int, stride: int) -> None:
    conv = convolution(kernel, padding=(kernel - 1, kernel // 2), dilation=(2, 1), stride=stride)
    assert {layer.padding for layer in split(conv, FIRST)} == {(2, 1)}


@pytest.mark.parametrize("kernel", ODD)
@settings(max_examples=12)
@given(data=st.data())
def test_stride_in_the_last_layer_keeps_everything(kernel: int, data: st.DataObject) -> None:
    conv = data.draw(convolutions(kernel))
    layers = split(conv, LAST)
    assert layers[0].in_channels == conv.in_channels
    assert [layer.out_channels for layer in layers] == [conv.out_channels] * len(layers)
    assert {(layer.bias, layer.groups, layer.dilation) for layer in layers} == {(conv.bias, conv.groups, conv.dilation)}
    assert all(one.out_channels == two.in_channels for one, two in pairwise(layers))
    for axis in (0, 1):
        assert field(layers, axis) == field([conv], axis)
    assert_same_maps([conv], layers)
    assert merge(layers) == conv


@pytest.mark.parametrize("kernel", ODD)
@settings(max_examples=12)
@given(data=st.data())
def test_stack_has_n_layers_of_3x3(kernel: int, data: st.DataObject) -> None:
    conv = data.draw(convolutions(kernel))
    layers = split(conv, LAST)
    assert len(layers) == (kernel - 1) // 2
    assert {layer.kernel_size for layer in layers} == {(3, 3)}
    assert {layer.stride for layer in layers[:-1]} <= {(1, 1)}
    assert layers[-1].stride == conv.stride


@pytest.mark.parametrize("kernel", ODD)
@settings(max_examples=12)
@given(data=st.data())
def test_stride_in_the_first_layer_keeps_the_map_and_covers_k(kernel: int, data: st.DataObject) -> None:
    conv = data.draw(convolutions(kernel))
    layers = split(conv, FIRST)
    if conv.stride == (1, 1):
        assert layers == split(conv, LAST)
        return
    assert len(layers) == 1 + ceil((kernel - 3) / (2 * min(conv.stride)))
    assert layers[0].stride == conv.stride
    assert {layer.stride for layer in layers[1:]} <= {(1, 1)}
    assert_same_maps([conv], layers)
    for axis in (0, 1):
        size, jump, padding = field(layers, axis)
        own_size, own_jump, own_padding = field([conv], axis)
        assert jump == own_jump
        assert size >= own_size
        # One 3×3, and 2·stride more for each layer behind the stride that is 3 along this axis, all of them dilated.
        threes = sum(layer.kernel_size[axis] == 3 for layer in layers)
        assert threes == 1 + ceil((kernel - 3) / (2 * conv.stride[axis]))
        assert size == 1 + conv.dilation[axis] * (2 + 2 * conv.stride[axis] * (threes - 1))
        # Araujo et al. 2019: units are centred at u·S − P + (r − 1)/2.
        assert 2 * padding - size == 2 * own_padding - own_size


@pytest.mark.parametrize(
    ("kernel", "stride", "layers", "size"),
    [(7, 2, 2, 7), (11, 4, 2, 11), (5, 2, 2, 7), (9, 2, 3, 11), (11, 2, 3, 11), (3, 2, 1, 3), (31, 2, 8, 31)],
)
def test_receptive_field_with_the_stride_first(kernel: int, stride: int, layers: int, size: int) -> None:
    stack = split(convolution(kernel, stride=stride, padding=kernel // 2), FIRST)
    assert len(stack) == layers
    assert field(stack, 0)[:2] == (size, stride)


def test_alexnet_11x11_with_padding_2() -> None:
    """Krizhevsky et al. 2012, in one tower: 11×11, stride 4, 96 filters."""
    conv = Conv2d(3, 96, (11, 11), (4, 4), (2, 2))
    layers = split(conv)
    assert [layer.padding for layer in layers] == [(1, 1), (1, 1), (0, 0), (0, 0), (0, 0)]
    assert [layer.stride[0] for layer in layers] == [1, 1, 1, 1, 4]
    assert map_size(layers, 224, 0) == 55
    assert merge(layers) == conv


def test_stack_of_one_is_itself() -> None:
    conv = convolution(3, stride=2, padding=1)
    assert split(conv) == split(conv, FIRST) == (conv,)


def test_linear_stack_is_one_convolution_but_for_a_border() -> None:
    """Padding in every layer changes n − 1 pixels at each border; padding once changes none."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [layer.double() for layer in _built(split(convolution(7, (2, 3), padding=3, bias=False)))]
        image = torch.randn(1, 2, 16, 17, dtype=torch.float64)
    kernel = layers[0].weight
    for layer in layers[1:]:  # a convolution of a convolution: the kernels' full convolution
        kernel = F.conv2d(kernel.transpose(0, 1), layer.weight.flip(2, 3), padding=2).transpose(0, 1)
    assert kernel.shape == (3, 2, 7, 7)
    whole = F.conv2d(image, kernel, padding=3)
    stacked = image
    once = F.pad(image, (3, 3, 3, 3))
    for layer in layers:
        stacked = layer(stacked)
        once = F.conv2d(once, layer.weight)
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(once, whole, rtol=0, atol=1e-13)
    torch.testing.assert_close(stacked[inner], whole[inner], rtol=0, atol=1e-13)
    differs = ((stacked - whole).abs() > 1e-9).any(dim=1)[0]
    assert differs[:2].any(dim=1).all()
    assert differs[:, :2].any(dim=0).all()


def _built(layers: Sequence[Conv2d]) -> list[torch.nn.Conv2d]:
    network = chain("stack", (1, layers[0].in_channels, 9, 9), [("block1", layer) for layer in layers])
    return [module for module in build(network).modules() if isinstance(module, torch.nn.Conv2d)]


# Widening


@pytest.mark.parametrize(
    ("factorization", "channels"),
    [
        (Factorization(), [3, 64, 64, 64]),
        (Factorization(widen="first"), [3, 64, 64, 64]),
        (Factorization(widen="last"), [3, 3, 3, 64]),
        (Factorization(widths=(16, 32, 64)), [3, 16, 32, 64]),
        (Factorization(widths=(16, 32, 64), widen="last"), [3, 16, 32, 64]),
    ],
)
def test_widths(factorization: Factorization, channels: list[int]) -> None:
    layers = split(convolution(7, (3, 64), padding=3), factorization)
    assert [layer.in_channels for layer in layers] == channels[:-1]
    assert [layer.out_channels for layer in layers] == channels[1:]
    assert merge(layers) == convolution(7, (3, 64), padding=3)


@pytest.mark.parametrize("kernel", ODD)
@settings(max_examples=12)
@given(data=st.data())
def test_widening_changes_nothing_but_widths(kernel: int, data: st.DataObject) -> None:
    conv, widen = data.draw(convolutions(kernel)), data.draw(st.sampled_from(["first", "last"]))
    inner = (kernel - 1) // 2 - 1
    multiples = data.draw(st.lists(st.integers(1, 5), min_size=inner, max_size=inner))
    widths = (*(conv.groups * multiple for multiple in multiples), conv.out_channels)
    for factorization in (Factorization(widen=widen), Factorization(widths=widths)):
        layers = split(conv, factorization)
        assert merge(layers) == conv
        for layer, own in zip(layers, split(conv), strict=True):
            narrow = {"in_channels": own.in_channels, "out_channels": own.out_channels}
            assert msgspec.structs.replace(layer, **narrow) == own


# What is refused


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (2, "kernel 2 is even.*Try 3"),
        (8, "kernel 8 is even.*Try 7 or 9"),
        (1, "kernel 1 .*5 or 7"),
        (1001, "kernel 1001 is too large"),
        (2**31 - 1, "too large"),
        ((5, 4), "kernel 5×4 is even.*Try 3 or 5 there"),
        ((2, 7), "kernel 2×7 is even.*Try 3 there"),
    ],
)
@pytest.mark.parametrize("factorization", [LAST, FIRST])
def test_kernels_that_no_stack_sees(kernel: int | tuple[int, int], message: str, factorization: Factorization) -> None:
    with pytest.raises(InputError, match=message):
        split(Conv2d(1, 1, kernel, (2, 2)), factorization)


@pytest.mark.parametrize("kernel", [0, -1, -7, 2**31, 10**30, 7.0, "7"])
def test_kernels_that_are_none(kernel: object) -> None:
    with pytest.raises(InputError, match="kernel_size"):
        Conv2d(1, 1, (kernel, kernel))


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((8, 8), "name 3 widths"),
        ((8,) * 4, "name 3 widths"),
        ((), "name 3 widths"),
        ((8, 8, 4), "must end with out_channels, 8"),
        ((3, 8, 8), "3 is not divisible by the 2 groups"),
        ((0, 8, 8), "out of range"),
        ((-2, 8, 8), "out of range"),
        ((2**31, 8, 8), "out of range"),
        ((8.0, 8, 8), "not a whole number"),
    ],
)
def test_wrong_widths(widths: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(convolution(7, groups=2), Factorization(widths=widths))


@pytest.mark.parametrize("arguments", [{"stride_at": "middle"}, {"widen": "both"}])
def test_unknown_words(arguments: dict[str, str]) -> None:
    with pytest.raises(InputError, match="is neither of"):
        Factorization(**arguments)


@pytest.mark.parametrize(
    "run",
    [
        [],
        [convolution(3, (4, 4), stride=2), convolution(3, (4, 4))],
        [convolution(3, (4, 4)), convolution(3, (8, 8))],
        [convolution(3, (4, 4)), convolution(3, (4, 4), groups=2)],
        [convolution(3, (4, 4)), convolution(3, (4, 4), dilation=2)],
    ],
)
def test_sequences_that_are_no_run(run: list[Conv2d]) -> None:
    with pytest.raises(InputError):
        merge(run)


# Merging by hand


@pytest.mark.parametrize(
    ("run", "merged"),
    [
        ([convolution(3, (4, 4), padding=1)] * 3, convolution(7, (4, 4), padding=3)),
        ([convolution(1, (4, 4)), convolution(3, (4, 4))], convolution(3, (4, 4))),
        ([convolution(3, (4, 4), dilation=2), convolution(1, (4, 8))], convolution(3, (4, 8), dilation=2)),
        ([convolution(1, (4, 4)), convolution(3, (4, 8), dilation=2)], convolution(3, (4, 8), dilation=2)),
        ([convolution(1, (4, 2)), convolution(1, (2, 8), stride=2)], convolution(1, (4, 8), stride=2)),
        (
            [Conv2d(4, 4, (1, 3), (1, 1), (0, 1)), Conv2d(4, 4, (3, 1), (1, 1), (1, 0))],
            Conv2d(4, 4, (3, 3), (1, 1), (1, 1)),
        ),
        (
            [convolution(3, (4, 4), bias=False), convolution(5, (4, 4), bias=True)],
            convolution(7, (4, 4), bias=True),
        ),
        (
            [convolution(3, (4, 4), bias=True), convolution(5, (4, 4), bias=False)],
            convolution(7, (4, 4), bias=True),
        ),
        ([convolution(7)], convolution(7)),
    ],
)
def test_merge(run: list[Conv2d], merged: Conv2d) -> None:
    assert merge(run) == merged


RUNS = st.lists(
    st.builds(
        lambda *arguments: Conv2d(2, 2, *arguments),
        st.tuples(st.sampled_from((1, 3)), st.sampled_from((1, 3))), pairs(1, 2), pairs(0, 2),
    ),
    min_size=2, max_size=4,
)  # fmt: skip


@settings(max_examples=300)
@given(run=RUNS)
@example(run=[Conv2d(2, 2, (1, 1), (2, 1)), Conv2d(2, 2, (1, 3), (1, 1), (0, 1)), Conv2d(2, 2, (3, 1), (1, 1), (1, 0))])
def test_what_is_merged_puts_out_and_sees_the_same(run: list[Conv2d]) -> None:
    """No stride in front of a kernel along its axis, however many layers stand between them."""
    if any(
        one.stride[axis] > 1 and any(two.kernel_size[axis] > 1 for two in run[i:])
        for i, one in enumerate(run[:-1], 1)
        for axis in (0, 1)
    ):
        with pytest.raises(InputError):
            merge(run)
        return
    try:
        merged = merge(run)
    except InputError:
        return
    for axis in (0, 1):
        assert field([merged], axis) == field(run, axis)
        sizes = [(pixels, map_size(run, pixels, axis)) for pixels in range(1, 20)]
        assert all(size in (None, map_size([merged], pixels, axis)) for pixels, size in sizes)


# Networks


def of(*layers: Layer, size: int = 48, channels: int = 4) -> Network:
    return chain("chain", (1, channels, size, size), [("block1", layer) for layer in layers])


def kernels(network: Network) -> list[int]:
    return [node.layer.kernel_size[0] for node in network.nodes if isinstance(node.layer, Conv2d)]


def kinds(network: Network) -> str:
    return " ".join(type(node.layer).__name__ for node in network.nodes)


C = convolution(3, (4, 4), padding=1)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([C, ReLU(), C, ReLU(), C, ReLU()], [7]),
        ([C, C, C], [7]),
        ([C, BatchNorm2d(4), GELU(), C, BatchNorm2d(4), GELU()], [5]),
        ([C, ReLU(), C, ReLU(), convolution(1, (4, 4))], [5]),
        ([convolution(1, (4, 4)), C], [3]),
        ([C, MaxPool2d(), C, C], [3, 5]),
        ([C, LocalResponseNorm(), C], [3, 3]),
        ([C, Dropout(), C], [3, 3]),
        ([C, convolution(3, (4, 4), stride=2), C, C], [5, 5]),
        ([convolution(3, (4, 4), stride=(1, 2)), C], [3, 3]),
        ([C, convolution(3, (4, 4), groups=2), convolution(3, (4, 4), groups=2)], [3, 5]),
        ([C, convolution(3, (4, 4), dilation=2), convolution(5, (4, 4), dilation=2)], [3, 7]),
        ([convolution(3, (4, 4), dilation=2), convolution(1, (4, 4)), C], [3, 3]),
    ],
)
def test_where_a_run_ends(layers: list[Layer], expected: list[int]) -> None:
    assert kernels(merge(of(*layers))) == expected


def test_what_stood_between_goes_and_what_follows_stays() -> None:
    between = of(C, BatchNorm2d(4), ReLU(), convolution(3, (4, 6), padding=1), BatchNorm2d(6), ReLU())
    assert renumbered(merge(between)) == of(convolution(5, (4, 6), padding=2), BatchNorm2d(6), ReLU())


def test_split_copies_batch_norm_and_activation() -> None:
    given_network = of(convolution(7, (4, 6), padding=3), BatchNorm2d(6), ReLU(), MaxPool2d())
    layers = [node.layer for node in split(given_network).nodes]
    stack = split(convolution(7, (4, 6), padding=3))
    assert layers == [part for conv in stack for part in (conv, BatchNorm2d(6), ReLU())] + [MaxPool2d()]


@pytest.mark.parametrize(
    ("factorization", "features"),
    [(Factorization(widen="last"), [4, 4, 6]), (Factorization(widths=(8, 2, 6)), [8, 2, 6])],
)
def test_batch_norms_are_as_wide_as_their_layer(factorization: Factorization, features: list[int]) -> None:
    network = split(of(convolution(7, (4, 6), padding=3), BatchNorm2d(6), ReLU()), factorization)
    assert [n.layer.num_features for n in network.nodes if isinstance(n.layer, BatchNorm2d)] == features
    shapes(network)  # raises where the widths do not fit


def test_split_leaves_3x3_and_smaller_alone() -> None:
    small = of(C, ReLU(), convolution(1, (4, 4)), convolution(2, (4, 4)), MaxPool2d())
    assert split(small) == small


def test_split_refuses_what_no_stack_sees() -> None:
    with pytest.raises(InputError, match="even"):
        split(of(convolution(6, (4, 4))))
    with pytest.raises(InputError, match="ConvTranspose2d is not factorized: it is transposed"):
        split(of(ConvTranspose2d(4, 4, (7, 7))))


@pytest.mark.parametrize("stride_at", ["first", "last"])
@pytest.mark.parametrize("head", [[], [ReLU()], [BatchNorm2d(6), ReLU()]])
def test_a_network_comes_back_from_its_stack(stride_at: str, head: list[Layer]) -> None:
    whole = of(convolution(7, (4, 6), padding=3), *head, MaxPool2d(), convolution(5, (6, 6), stride=2), *head)
    parted = split(whole, Factorization(stride_at=stride_at))
    assert shapes(parted)[parted.nodes[-1].name] == shapes(whole)[whole.nodes[-1].name]
    if stride_at == "last":
        assert renumbered(merge(parted)) == whole


# Networks with branches


def block(*nodes: tuple[str, Layer, str]) -> Network:
    """`(name, layer, "what it reads")`."""
    made = tuple(Node(name, layer, tuple(inputs.split())) for name, layer, inputs in nodes)
    return Network("block", (1, 4, 32, 40), made)


RESIDUAL = block(
    ("conv1", convolution(7, (4, 4), padding=3), INPUT),
    ("relu1", ReLU(), "conv1"),
    ("conv2", convolution(5, (4, 4), padding=2), "relu1"),
    ("conv3", C, "conv2"),
    ("add", Add(), "conv3 relu1"),
    ("relu2", ReLU(), "add"),
)
INCEPTION = block(
    ("point", convolution(1, (4, 2)), INPUT),
    ("reduce", convolution(1, (4, 2)), INPUT),
    ("large", convolution(5, (2, 4), padding=2), "reduce"),
    ("norm", BatchNorm2d(4), "large"),
    ("relu", ReLU(), "norm"),
    ("pool", MaxPool2d((3, 3), (1, 1), (1, 1)), INPUT),
    ("cat", Concat(), "point relu pool"),
    ("after", convolution(3, (10, 4), padding=1), "cat"),
)


def test_split_keeps_the_branches_of_a_residual_block() -> None:
    parted = split(RESIDUAL)
    assert kinds(parted) == "Conv2d ReLU Conv2d ReLU Conv2d ReLU Conv2d Conv2d Conv2d Add ReLU"
    nodes = {node.name: node for node in parted.nodes}
    # The sum reads the third convolution and what the first stack puts out.
    kept, skipped = nodes["add"].inputs
    assert kept == "conv3"
    assert isinstance(nodes[skipped].layer, ReLU)
    reading = [node.name for node in parted.nodes if skipped in node.inputs]
    assert len(reading) == 2
    assert nodes[reading[0]].layer == split(convolution(5, (4, 4), padding=2))[0]
    assert shapes(parted)["relu2"] == (1, 4, 32, 40)


def test_merge_keeps_the_branches_of_a_residual_block() -> None:
    merged = merge(RESIDUAL)
    assert kernels(merged) == [7, 7]
    assert kinds(merged) == "Conv2d ReLU Conv2d Add ReLU"
    assert shapes(merged)["relu2"] == (1, 4, 32, 40)


def test_concatenation_of_paths() -> None:
    assert kernels(merge(INCEPTION)) == [1, 5, 3]
    parted = split(INCEPTION)
    assert kernels(parted) == [1, 1, 3, 3, 3]
    assert kinds(parted).count("BatchNorm2d ReLU") == 2
    assert shapes(parted)["after"] == shapes(merge(INCEPTION))["after"] == (1, 4, 32, 40)
    assert {node.name: node.inputs[0] for node in parted.nodes}["after"] == "cat"


def test_a_run_ends_where_another_node_reads_too() -> None:
    shared = block(("one", C, INPUT), ("two", C, "one"), ("add", Add(), "one two"))
    assert merge(shared) == shared
    behind = block(("one", C, INPUT), ("relu", ReLU(), "one"), ("two", C, "relu"), ("add", Add(), "relu two"))
    assert merge(behind) == behind


def test_both_ends_of_a_sum_of_one_node_with_itself() -> None:
    twice = block(("one", convolution(5, (4, 4), padding=2), INPUT), ("add", Add(), "one one"))
    last = split(twice).nodes[-1]
    assert last.inputs[0] == last.inputs[1]
    assert shapes(split(twice))["add"] == (1, 4, 32, 40)


def test_names_that_a_stack_would_take() -> None:
    """VGG's own names: the second 3×3 of block 1 is conv1_2 (Simonyan & Zisserman's released nets)."""
    taken = block(("conv1", convolution(5, (4, 4), padding=2), INPUT), ("conv1_1", C, "conv1"))
    assert kernels(split(taken)) == [3, 3, 3]


def end(network: Network) -> tuple[Shape, ReceptiveField | None]:
    """What the network puts out, and what a unit of it sees."""
    known, last = shapes(network), network.nodes[-1].name
    return known[last], receptive_fields(network, known)[last]


@settings(max_examples=100)
@given(network=networks(kinds=SPATIAL, kernels=(1, 3, 5), size=(9, 16), layers=(4, 10)))
def test_shape_and_receptive_field_of_any_network_stay(network: Network) -> None:
    output, seen = end(network)
    merged = merge(network)
    assert end(merged) == (output, seen)
    assert merge(merged) == merged
    parted = split(network)
    assert end(parted) == end(merge(parted)) == (output, seen)
    assert max(kernels(parted), default=0) <= 3
    assert split(parted) == parted
