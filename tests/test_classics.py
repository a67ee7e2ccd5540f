"""AlexNet and GoogLeNet against their papers, against torchvision and Caffe, and against torch.

Krizhevsky, Sutskever, Hinton 2012; Krizhevsky 2014 (arXiv 1404.5997); Szegedy et al. 2014
(arXiv 1409.4842), table 1. Expected values are typed in from there or worked out by hand.
"""

import json
import subprocess
import sys
from math import prod
from typing import Any

import msgspec
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc import Conv2d, Factorization, InputError, Network, Variant
from vggcalc.analysis.networks import compare_network
from vggcalc.cli.lists import models_text
from vggcalc.errors import FeatureMapTooSmall
from vggcalc.nets.graph import INPUT
from vggcalc.nets.layers import (
    AdaptiveAvgPool2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
)
from vggcalc.nets.shapes import output_shape, shapes
from vggcalc.nets.vgg import ALIASES, CONFIGS
from vggcalc.results import BlockResult, LayerResult, ReceptiveField
from vggcalc.runtime.build import Graph, build

NAMES = ("alexnet", "alexnet2012", "googlenet")


def variant(model: str | Network, **overrides: Any) -> Variant:
    return vggcalc.summary(model, **overrides).variants[0]


def block(of: Variant, name: str) -> BlockResult:
    return next(block for block in of.blocks if block.name == name)


def layer(of: Variant, name: str) -> LayerResult:
    return next(layer for layer in of.layers if layer.name == name)


def square(size: int, stride: int, padding: int) -> ReceptiveField:
    return ReceptiveField((size, size), (stride, stride), (padding, padding))


def convolutions(network: Network) -> dict[str, Conv2d]:
    return {node.name: node.layer for node in network.nodes if isinstance(node.layer, Conv2d)}


# Parameters and MACs


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        # torchvision's metadata of AlexNet_Weights: 61,100,840 and 0.714 G.
        ("alexnet", 61_100_840, 714_188_480),
        # Caffe's bvlc_alexnet, 60,965,224, and the sum of 96·363·55² + 256·1200·27² + 384·2304·13²
        # + 384·1728·13² + 256·1728·13² + 9216·4096 + 4096² + 4096·1000.
        ("alexnet2012", 60_965_224, 724_406_816),
        # Caffe's bvlc_googlenet without its auxiliary classifiers, and the sum of table 1's rows below.
        ("googlenet", 6_998_552, 1_582_671_872),
    ],
)
def test_totals(name: str, parameters: int, macs: int) -> None:
    costs = vggcalc.summary(name)[name].costs
    assert (costs["parameters"], costs["macs"], costs["flops"]) == (parameters, macs, 2 * macs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("splits", [False, True], ids=["given", "split"])
def test_parameters_and_flops_are_torchs(name: str, splits: bool) -> None:
    network = vggcalc.network(name)
    network = vggcalc.split(network) if splits else network
    with torch.device("meta"):
        module = build(network).eval()
        image = torch.empty(network.input_shape)
    assert isinstance(module, Graph) == (name == "googlenet")
    counter = FlopCounterMode(display=False)
    with counter:
        assert module(image).shape == (1, 1000)
    costs = vggcalc.summary(network)[name].costs
    assert costs["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    assert costs["flops"] == counter.get_total_flops()


@pytest.mark.parametrize("name", NAMES)
def test_every_map_is_torchs(name: str) -> None:
    network = vggcalc.network(name, size=(227, 320), batch=2)
    with torch.device("meta"):
        module = build(network).eval()
    known = shapes(network)
    seen: dict[str, tuple[int, ...]] = {}
    for path, part in module.named_modules():
        if not list(part.children()):
            part.register_forward_hook(lambda _, inputs, output, path=path: seen.update({path: output.shape}))
    module(torch.empty(network.input_shape, device="meta"))
    assert sorted(seen.values()) == sorted(known[node.name] for node in network.nodes)
    if network.layout == "nodes":
        assert {INPUT: network.input_shape, **seen} == known


# AlexNet


def test_alexnet_has_torchvisions_state_dict() -> None:
    with torch.device("meta"):
        state = build(vggcalc.network("alexnet")).state_dict()
    weights = {
        "features.0": (64, 3, 11, 11),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216),
        "classifier.4": (4096, 4096),
        "classifier.6": (1000, 4096),
    }
    expected = {f"{path}.weight": shape for path, shape in weights.items()}
    expected |= {f"{path}.bias": shape[:1] for path, shape in weights.items()}
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected


def test_alexnet_of_2012_has_the_papers_layers() -> None:
    """Section 3.5: kernels of 11×11×3 (stride 4), 5×5×48, 3×3×256, 3×3×192 and 3×3×192; section 3.3."""
    network = vggcalc.network("alexnet2012")
    kernels = [
        (conv.out_channels, *conv.kernel_size, conv.in_channels // conv.groups, conv.stride, conv.groups)
        for conv in convolutions(network).values()
    ]
    assert kernels == [
        (96, 11, 11, 3, (4, 4), 1),
        (256, 5, 5, 48, (1, 1), 2),
        (384, 3, 3, 256, (1, 1), 1),
        (384, 3, 3, 192, (1, 1), 2),
        (256, 3, 3, 192, (1, 1), 2),
    ]
    norms = [node.layer for node in network.nodes if isinstance(node.layer, LocalResponseNorm)]
    assert norms == [LocalResponseNorm(5, 1e-4, 0.75, 2.0)] * 2
    pools = [node.layer for node in network.nodes if isinstance(node.layer, MaxPool2d)]
    assert pools == [MaxPool2d((3, 3), (2, 2))] * 3
    assert [type(node.layer).__name__ for node in network.nodes if node.block == "block1"] == [
        "Conv2d",
        "ReLU",
        "LocalResponseNorm",
        "MaxPool2d",
    ]


def test_alexnet_of_2012_has_the_papers_neurons() -> None:
    """Section 3.5: 150,528 – 253,440 – 186,624 – 64,896 – 64,896 – 43,264 – 4096 – 4096 – 1000.

    The second is 55·55·96 = 290,400, if the first layer's 96 filters meet all of its map.
    """
    network = vggcalc.network("alexnet2012")
    assert prod(network.input_shape) == 150_528
    neurons = [row.costs["activations"] for row in variant("alexnet2012").layers if row.type in ("Conv2d", "Linear")]
    assert neurons == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]


@pytest.mark.parametrize("name", ["alexnet", "alexnet2012"])
@pytest.mark.parametrize(
    ("endpoint", "size", "stride", "padding", "map_"),
    [
        ("block1.conv1", 11, 4, 2, 55),
        ("block1.pool", 19, 8, 2, 27),
        ("block2.conv1", 51, 8, 18, 27),
        ("block2.pool", 67, 16, 18, 13),
        ("block3.conv1", 99, 16, 34, 13),
        ("block3.conv2", 131, 16, 50, 13),
        ("block3.conv3", 163, 16, 66, 13),
        ("block3.pool", 195, 32, 66, 6),
    ],
)
def test_receptive_fields_of_alexnet(name: str, endpoint: str, size: int, stride: int, padding: int, map_: int) -> None:
    """r = 11, then + 2·4, + 4·8, + 2·8, + 2·16 four times; 195 and 32 are the literature's."""
    row = layer(variant(name), endpoint)
    assert row.receptive_field == square(size, stride, padding)
    assert row.output_shape[2:] == (map_, map_)


# GoogLeNet


#: Table 1's columns: output, parameters (in 1024s, as the second convolution's 112K shows), operations in
#: millions; and what it says less exactly than by hand: the parameters to one part in a hundred.
TABLE = {
    "conv2": ((192, 56), 112, 360),
    "inception3a": ((256, 28), 159, 128),
    "inception3b": ((480, 28), 380, 304),
    "inception4a": ((512, 14), 364, 73),
    "inception4b": ((512, 14), 437, 88),
    "inception4c": ((512, 14), 463, 100),
    "inception4d": ((528, 14), 580, 119),
    "inception4e": ((832, 14), 840, 170),
    "inception5a": ((832, 7), 1072, 54),
    "inception5b": ((1024, 7), 1388, 71),
}

#: By hand from the table's own filters: in·(1×1 + reduces + projection) + 9·… + 25·… , and its biases.
BY_HAND = {
    "conv2": (64 * 64 + 9 * 64 * 192, 64 + 192),
    "inception3a": (192 * (64 + 96 + 16 + 32) + 9 * 96 * 128 + 25 * 16 * 32, 368),
    "inception3b": (256 * (128 + 128 + 32 + 64) + 9 * 128 * 192 + 25 * 32 * 96, 640),
    "inception4a": (480 * (192 + 96 + 16 + 64) + 9 * 96 * 208 + 25 * 16 * 48, 624),
    "inception4b": (512 * (160 + 112 + 24 + 64) + 9 * 112 * 224 + 25 * 24 * 64, 648),
    "inception4c": (512 * (128 + 128 + 24 + 64) + 9 * 128 * 256 + 25 * 24 * 64, 664),
    "inception4d": (512 * (112 + 144 + 32 + 64) + 9 * 144 * 288 + 25 * 32 * 64, 704),
    "inception4e": (528 * (256 + 160 + 32 + 128) + 9 * 160 * 320 + 25 * 32 * 128, 1024),
    "inception5a": (832 * (256 + 160 + 32 + 128) + 9 * 160 * 320 + 25 * 32 * 128, 1024),
    "inception5b": (832 * (384 + 192 + 48 + 128) + 9 * 192 * 384 + 25 * 48 * 128, 1264),
}


@pytest.mark.parametrize("name", TABLE)
def test_table_1(name: str) -> None:
    """Not its 5a: 54M is what a 5×5 reduce of 48 would do, but the table, as Caffe, says 32; nor 4c's 463K."""
    (channels, size), kilo, mega = TABLE[name]
    weights, biases = BY_HAND[name]
    row = block(variant("googlenet"), name)
    assert row.output_shape == (1, channels, size, size)
    assert row.costs["parameters"] == weights + biases
    assert row.costs["macs"] == weights * size**2
    if name == "inception5a":
        widened = weights + (48 - 32) * (832 + 25 * 128)
        assert widened * size**2 / 1e6 == pytest.approx(mega, abs=0.5)
    else:
        assert row.costs["macs"] / 1e6 == pytest.approx(mega, abs=0.7)
        if name != "inception4c":
            assert weights / 1024 == pytest.approx(kilo, rel=0.02)


def test_the_stem_the_head_and_the_sum_of_the_rows() -> None:
    """The table's 2.7K and 34M for the 7×7 are not those of one 7×7 of 64 filters, 9.2K and 118M."""
    googlenet = variant("googlenet")
    stem, head = block(googlenet, "conv1"), block(googlenet, "classifier")
    assert (stem.costs["parameters"], stem.costs["macs"]) == (49 * 3 * 64 + 64, 49 * 3 * 64 * 112**2)
    assert (head.costs["parameters"], head.costs["macs"]) == (1_025_000, 1_024_000)
    parameters = 9_472 + sum(map(sum, BY_HAND.values()))
    macs = 118_013_952 + sum(BY_HAND[name][0] * TABLE[name][0][1] ** 2 for name in TABLE)
    assert (parameters, macs) == (5_973_552, 1_581_647_872)
    assert googlenet.costs["parameters"] == parameters + 1_025_000
    assert googlenet.costs["macs"] == macs + 1_024_000


def test_blocks_are_the_rows_of_table_1() -> None:
    rows = {row.name: row.output_shape[1:] for row in variant("googlenet").blocks}
    pools = {"maxpool1": (64, 56), "maxpool2": (192, 28), "maxpool3": (480, 14), "maxpool4": (832, 7)}
    assert list(rows) == [
        *("conv1", "maxpool1", "conv2", "maxpool2", "inception3a", "inception3b", "maxpool3"),
        *("inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4"),
        *("inception5a", "inception5b", "classifier"),
    ]
    for name, (channels, size) in pools.items():
        assert rows[name] == (channels, size, size)


def test_googlenet_is_22_deep_with_real_5x5s_and_figure_3s_norms() -> None:
    network = vggcalc.network("googlenet")
    kernels = [conv.kernel_size[0] for conv in convolutions(network).values()]
    assert {k: kernels.count(k) for k in sorted(set(kernels))} == {1: 1 + 9 * 4, 3: 1 + 9, 5: 9, 7: 1}
    depth = {INPUT: 0}
    for node in network.nodes:
        weighted = isinstance(node.layer, Conv2d | Linear)
        depth[node.name] = max(depth[name] for name in node.inputs) + weighted
    assert depth[network.nodes[-1].name] == 22
    order = [node.name for node in network.nodes[:10]]
    assert order == [
        *("conv1.conv7x7", "conv1.relu7x7", "maxpool1.pool", "maxpool1.lrn"),
        *("conv2.conv3x3_reduce", "conv2.relu3x3_reduce", "conv2.conv3x3", "conv2.relu3x3"),
        *("conv2.lrn", "maxpool2.pool"),
    ]
    norms = [node.layer for node in network.nodes if isinstance(node.layer, LocalResponseNorm)]
    assert norms == [LocalResponseNorm(5, 1e-4, 0.75, 1.0)] * 2  # bvlc_googlenet's, with Caffe's default k
    assert [node.layer for node in network.nodes[-4:]] == [
        AdaptiveAvgPool2d((1, 1)),
        Flatten(),
        Dropout(0.4),
        Linear(1024, 1000),
    ]


@pytest.mark.parametrize(
    ("name", "size", "stride", "padding"),
    [
        ("conv1", 7, 2, 3),
        ("maxpool1", 11, 4, 3),
        ("conv2", 19, 4, 7),
        ("maxpool2", 27, 8, 7),
        ("inception3a", 59, 8, 23),
        ("inception3b", 91, 8, 39),
        ("maxpool3", 107, 16, 39),
        ("inception4a", 171, 16, 71),
        ("inception4e", 427, 16, 199),
        ("maxpool4", 459, 32, 199),
        ("inception5a", 587, 32, 263),
        ("inception5b", 715, 32, 327),
    ],
)
def test_receptive_fields_of_googlenet(name: str, size: int, stride: int, padding: int) -> None:
    """By hand: an inception block sees through its 5×5, 4 strides more, and pads 2 strides."""
    googlenet = variant("googlenet")
    assert block(googlenet, name).receptive_field == square(size, stride, padding)
    assert googlenet.receptive_field == square(715, 32, 327)


# Split and merged


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("widen", ["first", "last"])
def test_split_keeps_shapes_and_receptive_fields(name: str, widen: str) -> None:
    given = vggcalc.network(name)
    made = vggcalc.split(given, Factorization(widen=widen))
    assert max(max(conv.kernel_size) for conv in convolutions(made).values()) == 3
    before, after = variant(given), variant(made)
    assert after.receptive_field == before.receptive_field
    assert [(row.name, row.output_shape, row.receptive_field) for row in after.blocks] == [
        (row.name, row.output_shape, row.receptive_field) for row in before.blocks
    ]
    large = [conv.kernel_size[0] for conv in convolutions(given).values() if conv.kernel_size[0] > 3]
    assert after.convolutions - before.convolutions == sum((k - 1) // 2 - 1 for k in large)


@pytest.mark.parametrize("name", [name for name in TABLE if name != "conv2"])
def test_split_5x5_branches(name: str) -> None:
    """Inception-v2's move: from r to c filters 9·(r + c)/(25·r) of the MACs, or 9·(r + c)/(25·c) if the last
    layer widens: 18/25 if r = c, but in GoogLeNet c is two to four times r."""
    given = vggcalc.network("googlenet")
    five = convolutions(given)[f"{name}.conv5x5"]
    r, c = five.in_channels, five.out_channels
    pixels = TABLE[name][0][1] ** 2
    assert 2 <= c / r <= 4
    for widen, between in (("first", c), ("last", r)):
        made = variant(vggcalc.split(given, Factorization(widen=widen)))
        stack = [layer(made, f"{name}.conv5x5.conv{i}").costs["macs"] for i in (1, 2)]
        assert stack == [9 * r * between * pixels, 9 * between * c * pixels]


def test_split_5x5_of_equal_channels_does_18_of_25_macs() -> None:
    """GoogLeNet whose 5×5s have as many filters as their reduces: of the 25·r² 18·r² stay."""
    given = vggcalc.network("googlenet")
    nodes = []
    for node in given.nodes:
        new = node.layer
        if node.name.endswith("conv5x5_reduce"):
            new = msgspec.structs.replace(new, out_channels=convolutions(given)[node.name[:-7]].out_channels)
        elif node.name.endswith("conv5x5"):
            new = msgspec.structs.replace(new, in_channels=new.out_channels)
        nodes.append(msgspec.structs.replace(node, layer=new))
    equal = msgspec.structs.replace(given, nodes=tuple(nodes))
    before, after = variant(equal), variant(vggcalc.split(equal))
    for name in TABLE:
        if name != "conv2":
            stack = [layer(after, f"{name}.conv5x5.conv{i}").costs["macs"] for i in (1, 2)]
            assert 25 * sum(stack) == 18 * layer(before, f"{name}.conv5x5").costs["macs"]


def test_split_stems() -> None:
    """The stride stands in the last layer, so those before it work on the full map."""
    googlenet = variant(vggcalc.split(vggcalc.network("googlenet")))
    stack = [layer(googlenet, f"conv1.conv7x7.conv{i}") for i in (1, 2, 3)]
    assert [row.output_shape[2] for row in stack] == [224, 224, 112]
    assert [row.costs["macs"] for row in stack] == [27 * 64 * 224**2, 576 * 64 * 224**2, 576 * 64 * 112**2]
    alexnet = variant(vggcalc.split(vggcalc.network("alexnet")))
    stack = [layer(alexnet, f"block1.conv1.conv{i}") for i in (1, 2, 3, 4, 5)]
    assert [row.layer.padding for row in stack] == [(1, 1), (1, 1), (0, 0), (0, 0), (0, 0)]
    assert [row.output_shape[2] for row in stack] == [224, 224, 222, 220, 55]
    grouped = convolutions(vggcalc.split(vggcalc.network("alexnet2012")))
    assert [grouped[f"block2.conv1.conv{i}"].groups for i in (1, 2)] == [2, 2]


def test_split_stem_with_the_stride_first() -> None:
    """A 3×3 behind one with stride 2 sees 3 + 2·2 = 7 pixels, behind one with stride 4 3 + 2·4 = 11.

    AlexNet's two pixels of padding stand in the first, so its map is (224 + 4 − 3)/4 + 1 = 57.
    """
    googlenet = variant(vggcalc.split(vggcalc.network("googlenet"), Factorization(stride_at="first")))
    stack = [row for row in googlenet.layers if row.name.startswith("conv1.conv7x7.conv")]
    assert [row.layer.stride for row in stack] == [(2, 2), (1, 1)]
    assert [row.costs["macs"] for row in stack] == [27 * 64 * 112**2, 576 * 64 * 112**2]
    assert googlenet.receptive_field == square(715, 32, 327)
    alexnet = variant(vggcalc.split(vggcalc.network("alexnet"), Factorization(stride_at="first")))
    stack = [row for row in alexnet.layers if row.name.startswith("block1.conv1.conv")]
    assert [row.costs["macs"] for row in stack] == [27 * 64 * 57**2, 576 * 64 * 55**2]
    assert alexnet.receptive_field == square(195, 32, 66)


def test_merged_googlenet_is_the_naive_inception_of_figure_2a() -> None:
    """No reduces: 192·(64 + 9·128 + 25·32 + 32) weights in 3a."""
    naive = compare_network(vggcalc.network("googlenet"))["naive"]
    row = block(naive, "inception3a")
    assert sorted(row.kernels) == [(1, 1), (1, 1), (3, 3), (5, 5)]
    assert row.costs["macs"] == 192 * (64 + 9 * 128 + 25 * 32 + 32) * 28**2
    assert naive.receptive_field == square(715, 32, 327)
    assert [row.kernels for row in compare_network(vggcalc.network("alexnet"))["naive"].blocks[:3]] == [
        ((11, 11),),
        ((5, 5),),
        ((7, 7),),
    ]


# Receptive fields by gradient


def thin(network: Network) -> Network:
    """One filter for each convolution, up to the last node before the classifier."""
    known, nodes = {INPUT: (1, 1, *network.input_shape[2:])}, []
    for node in network.nodes:
        if node.block == "classifier":
            break
        new = node.layer
        if isinstance(new, Conv2d):
            channels = known[node.inputs[0]][1]
            new = msgspec.structs.replace(new, in_channels=channels, out_channels=1, groups=1)
        known[node.name] = output_shape(new, [known[name] for name in node.inputs])
        nodes.append(msgspec.structs.replace(node, layer=new))
    return Network(network.name, known[INPUT], tuple(nodes))


def span_of_gradient(network: Network, unit: tuple[int, int]) -> list[tuple[int, int]]:
    """The first and last pixel with a gradient: positive weights, averages for maxima, no norms."""
    module = build(network).double()
    for path, part in list(module.named_modules()):
        if isinstance(part, nn.Conv2d):
            nn.init.constant_(part.weight, 1 / part.weight[0].numel())
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.MaxPool2d):
            numbers = part.kernel_size, part.stride, part.padding, part.ceil_mode
            module.set_submodule(path, nn.AvgPool2d(*numbers))
        elif isinstance(part, nn.LocalResponseNorm):
            module.set_submodule(path, nn.Identity())
    image = torch.ones(network.input_shape, dtype=torch.float64, requires_grad=True)
    module(image)[0, :, unit[0], unit[1]].sum().backward()
    seen = image.grad[0, 0] > 0
    lines = [seen.any(1 - axis).nonzero().flatten() for axis in (0, 1)]
    return [(int(line[0]), int(line[-1])) for line in lines]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("splits", [False, True], ids=["given", "split"])
def test_receptive_field_is_what_has_a_gradient(name: str, splits: bool) -> None:
    """On the smallest images with a unit far from the border, and one row more."""
    size, stride, padding = (715, 32, 327) if name == "googlenet" else (195, 32, 66)
    unit = -(-padding // stride)
    first = unit * stride - padding
    network = vggcalc.network(name, size=(first + size, first + size + 1))
    network = vggcalc.split(network) if splits else network
    assert variant(network).receptive_field == square(size, stride, padding)
    assert span_of_gradient(thin(network), (unit, unit)) == [(first, first + size - 1)] * 2


# MODEL


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_case(name: str) -> None:
    assert vggcalc.network(name.upper()) == vggcalc.network(name)
    assert vggcalc.network(name).name == name
    assert vggcalc.network(name).input_shape == (1, 3, 224, 224)


@pytest.mark.parametrize("name", NAMES)
def test_overrides(name: str) -> None:
    network = vggcalc.network(name, size=(200, 320), batch=4, in_channels=1, classes=10)
    assert network.input_shape == (4, 1, 200, 320)
    assert variant(network).output_shape == (4, 10)
    kernel = next(iter(convolutions(network).values()))
    assert kernel.in_channels == 1
    # Beside the first kernel and the last layer nothing has another shape.
    first, wide = kernel.parameters - kernel.out_channels, 1024 if name == "googlenet" else 4096
    difference = variant(name).costs["parameters"] - variant(network).costs["parameters"]
    assert difference == 2 * first + 990 * (wide + 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("refused", [{"batch_norm": True}, {"activation": "gelu"}, {"bias": False}])
def test_what_would_not_be_as_published_is_refused(name: str, refused: dict[str, Any]) -> None:
    (key,) = refused
    with pytest.raises(InputError, match=rf"^{name} is built in as published: {key} cannot change it$"):
        vggcalc.network(name, **refused)
    assert vggcalc.network(name, **dict.fromkeys(refused)) == vggcalc.network(name)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"size": 0}, "alexnet: height 0 is out of range"),
        ({"in_channels": 0}, "alexnet: in_channels 0 is out of range"),
        ({"classes": 0}, "alexnet: out_features 0 is out of range"),
    ],
)
def test_numbers_out_of_range(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        vggcalc.network("AlexNet", **overrides)


def test_images_that_are_too_small() -> None:
    with pytest.raises(FeatureMapTooSmall, match="the input must be at least 63×63"):
        vggcalc.summary("alexnet", size=62)
    assert variant("alexnet", size=63).output_shape == (1, 1000)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("alexnt", "alexnet"),
        ("GoogleNets", "googlenet"),
        ("alexnet2013", "alexnet2012"),
        ("vgg17", "vgg1[0-9]"),
    ],
)
def test_did_you_mean(typed: str, meant: str) -> None:
    with pytest.raises(InputError, match=rf"^unknown model '{typed}': did you mean {meant}\?$"):
        vggcalc.network(typed)


def test_other_names_are_told_what_there_is() -> None:
    with pytest.raises(InputError, match=r"^unknown model 'resnet': try vgg11, .*, alexnet, .*, googlenet, tokens"):
        vggcalc.network("resnet")


def test_only_who_asks_for_them_loads_them() -> None:
    code = (
        "import sys, vggcalc; vggcalc.network('vgg16'), vggcalc.network('D'), vggcalc.network('64,M,128');"
        "before = 'vggcalc.nets.classics' in sys.modules; vggcalc.network('alexnet');"
        "print(before, 'vggcalc.nets.classics' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_models_lists_them_after_the_vggs() -> None:
    rows = json.loads(models_text(as_json=True))
    assert [row["net"] for row in rows] == [*CONFIGS, *NAMES]
    assert all(list(row) == ["name", "net", "features"] for row in rows[: len(CONFIGS)])
    assert {row["name"] for row in rows} >= {*ALIASES, *NAMES}
    for row in rows[len(CONFIGS) :]:
        assert (row["name"], row["features"]) == (row["net"], [])
        assert row["source"]
        assert any(line.split() == [row["name"], *row["source"].split()] for line in models_text(False).splitlines())
