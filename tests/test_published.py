"""The figures of the literature, one by one.

VGG: Simonyan & Zisserman 2014 (arXiv 1409.1556v6). Receptive fields: Araujo, Norris, Sim,
"Computing Receptive Fields of Convolutional Neural Networks", Distill 2019. Where a paper gives
no figure, the expected value is worked out by hand from its definition.
"""

from functools import partial
from importlib.util import find_spec
from itertools import accumulate

import pytest

import vggcalc
from vggcalc import Conv2d, Factorization, Network, Node, Variant
from vggcalc.nets.graph import chain
from vggcalc.nets.layers import Add
from vggcalc.results import BlockResult, ReceptiveField

Nets = dict[str, vggcalc.Comparison]

VGG = ("A", "A-LRN", "B", "C", "D", "E")


@pytest.fixture(scope="module")
def nets() -> Nets:
    return {name: vggcalc.compare(name) for name in VGG}


def square(size: int, stride: int, padding: int) -> ReceptiveField:
    return ReceptiveField((size, size), (stride, stride), (padding, padding))


def block(variant: Variant, name: str) -> BlockResult:
    return next(block for block in variant.blocks if block.name == name)


def of_layers(*layers: Conv2d, size: int) -> Variant:
    """A chain of convolutions on a square image."""
    network = chain("chain", (1, layers[0].in_channels, size, size), [("block1", layer) for layer in layers])
    return vggcalc.summary(network).variants[0]


# Simonyan & Zisserman 2014, tables 1 and 2


@pytest.mark.parametrize(
    ("net", "filters"),
    [
        ("A", ["3-64", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"]),
        ("A-LRN", ["3-64", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"]),
        ("B", ["3-64 3-64", "3-128 3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"]),
        ("C", ["3-64 3-64", "3-128 3-128", *[f"3-{n} 3-{n} 1-{n}" for n in (256, 512, 512)]]),
        ("D", ["3-64 3-64", "3-128 3-128", *[f"3-{n} 3-{n} 3-{n}" for n in (256, 512, 512)]]),
        ("E", ["3-64 3-64", "3-128 3-128", *[f"3-{n} 3-{n} 3-{n} 3-{n}" for n in (256, 512, 512)]]),
    ],
)
def test_table_1(net: str, filters: list[str]) -> None:
    network = vggcalc.network(net)
    words: dict[str, list[str]] = {}
    for node in network.nodes:
        if isinstance(node.layer, Conv2d):
            kernel = node.layer.kernel_size[0]
            assert node.layer.stride == (1, 1)
            assert node.layer.padding == (kernel // 2, kernel // 2)
            words.setdefault(node.block, []).append(f"{kernel}-{node.layer.out_channels}")
    assert [" ".join(row) for row in words.values()] == filters
    kinds = [type(node.layer).__name__ for node in network.nodes]
    assert kinds.count("MaxPool2d") == 5
    assert kinds.count("LocalResponseNorm") == (net == "A-LRN")
    linear = [node.layer.out_features for node in network.nodes if hasattr(node.layer, "out_features")]
    assert linear == [4096, 4096, 1000]
    # Every hidden layer is followed by a ReLU, the last linear layer by none.
    assert kinds.count("ReLU") == len(" ".join(filters).split()) + 2


@pytest.mark.parametrize(
    ("net", "millions", "parameters"),
    [
        ("A", 133, 132_863_336),
        ("A-LRN", 133, 132_863_336),
        ("B", 133, 133_047_848),
        ("C", 134, 133_638_952),
        ("D", 138, 138_357_544),
        ("E", 144, 143_667_240),
        ("vgg11", 133, 132_863_336),
        ("vgg13", 133, 133_047_848),
        ("vgg16", 138, 138_357_544),
        ("vgg16_bn", 138, 138_365_992),
        ("vgg19", 144, 143_667_240),
    ],
)
def test_table_2(net: str, millions: int, parameters: int) -> None:
    costs = vggcalc.summary(net).variants[0].costs
    assert costs["parameters"] == parameters
    assert round(parameters / 1e6) == millions


def test_vgg16_has_so_many_macs_in_its_convolutions_and_linear_layers(nets: Nets) -> None:
    layers = nets["D"]["factorized"].layers
    assert sum(layer.costs["macs"] for layer in layers if layer.type == "Conv2d") == 15_346_630_656
    assert sum(layer.costs["macs"] for layer in layers if layer.type == "Linear") == 123_633_664
    assert nets["D"]["factorized"].costs["flops"] == 30_940_528_640
    assert nets["D"]["factorized"].costs["activations"] == 13_556_712


# Simonyan & Zisserman 2014, section 2.3: one kernel against its stack


@pytest.mark.parametrize(
    ("kernel", "single", "stack", "ratio", "saving"),
    [
        (5, 25, 9 + 9, 1.3889, 28.00),
        (7, 49, 9 + 9 + 9, 1.8148, 44.90),
        (9, 81, 4 * 9, 2.25, 55.56),
        (11, 121, 5 * 9, 2.6889, 62.81),
        (31, 961, 15 * 9, 7.1185, 85.95),
    ],
)
def test_weights_per_channel_pair(kernel: int, single: int, stack: int, ratio: float, saving: float) -> None:
    comparison = vggcalc.factorize(kernel, bias=False)
    naive, factorized = comparison.variants
    assert (naive.weights_per_channel_pair, factorized.weights_per_channel_pair) == (single, stack)
    for key in ("parameters", "macs", "flops"):
        assert naive.costs[key] / factorized.costs[key] == pytest.approx(ratio, abs=5e-5)
        assert 100 * (1 - comparison.ratios[0].costs[key]) == pytest.approx(saving, abs=5e-3)


def test_a_7x7_has_81_percent_more_weights_than_three_3x3() -> None:
    naive, factorized = vggcalc.factorize(7, in_channels=512, out_channels=512, bias=False).variants
    assert naive.costs["parameters"] == 49 * 512**2
    assert factorized.costs["parameters"] == 27 * 512**2
    assert naive.costs["parameters"] * 100 // factorized.costs["parameters"] - 100 == 81


@pytest.mark.parametrize(("kernel", "layers"), [(5, 2), (7, 3), (9, 4), (11, 5)])
def test_the_map_shrinks_without_padding_and_stays_with_it(kernel: int, layers: int) -> None:
    naive, factorized = vggcalc.factorize(kernel, activation="none").variants
    assert naive.layers[0].valid_size == (56 - (kernel - 1),) * 2
    assert [layer.valid_size for layer in factorized.layers] == [(56 - 2 * i,) * 2 for i in range(1, layers + 1)]
    assert {layer.same_size for layer in (*naive.layers, *factorized.layers)} == {(56, 56)}
    assert {layer.output_shape for layer in (*naive.layers, *factorized.layers)} == {(1, 64, 56, 56)}


#: A 7×7 on a 56×56 map: parameters without and with bias, MACs, of the kernel and of its stack.
WORKED = {
    "64 to 64": (
        {},
        (200_704, 200_768, 629_407_744),
        (110_592, 110_784, 346_816_512),
        (7, 1),
    ),
    "3 to 64, widened by the first layer": (
        {"in_channels": 3},
        (9_408, 9_472, 29_503_488),
        (75_456, 75_648, 236_630_016),
        (7, 1),
    ),
    "3 to 64, widened by the last layer": (
        {"in_channels": 3, "into": Factorization(widen="last")},
        (9_408, 9_472, 29_503_488),
        (1_890, 1_960, 5_927_040),
        (7, 1),
    ),
    "depthwise": (
        {"groups": 64},
        (3_136, 3_200, 9_834_496),
        (1_728, 1_920, 5_419_008),
        (7, 1),
    ),
    "stride 2 in the last layer": (
        {"stride": 2},
        (200_704, 200_768, 157_351_936),
        (110_592, 110_784, 260_112_384),
        (7, 2),
    ),
    "dilation 2": (
        {"dilation": 2},
        (200_704, 200_768, 629_407_744),
        (110_592, 110_784, 346_816_512),
        (13, 1),
    ),
}


@pytest.mark.parametrize("case", WORKED)
def test_worked_7x7(case: str) -> None:
    arguments, single, stack, (size, stride) = WORKED[case]
    for bias in (False, True):
        for variant, expected in zip(
            vggcalc.factorize(7, bias=bias, **arguments).variants, (single, stack), strict=True
        ):
            assert variant.costs["parameters"] == expected[bias]
            assert variant.costs["macs"] == expected[2]
            assert variant.costs["flops"] == 2 * expected[2]
            assert variant.receptive_field.size == (size, size)
            assert variant.receptive_field.stride == (stride, stride)
            assert variant.output_shape == (1, 64, 56 // stride, 56 // stride)


def test_worked_7x7_with_stride_2_in_the_first_of_three_layers() -> None:
    """A receptive field of 11 = 2k − 3, and a third of the MACs of the stride in the last layer."""
    first = Conv2d(64, 64, (3, 3), (2, 2), (1, 1))
    rest = Conv2d(64, 64, (3, 3), (1, 1), (1, 1))
    variant = of_layers(first, rest, rest, size=56)
    assert variant.costs["parameters"] == 110_784
    assert variant.costs["macs"] == 86_704_128
    assert (variant.receptive_field.size, variant.receptive_field.stride) == ((11, 11), (2, 2))
    assert variant.output_shape == (1, 64, 28, 28)


@pytest.mark.parametrize(("stride", "kernel"), [(2, 7), (4, 11)])
def test_stride_then_one_3x3_sees_k_again(stride: int, kernel: int) -> None:
    factorized = vggcalc.factorize(kernel, stride=stride, into=Factorization(stride_at="first"))["factorized"]
    assert factorized.convolutions == 2
    assert factorized.receptive_field.size == (kernel, kernel)


def test_savings_can_be_negative() -> None:
    widened = vggcalc.factorize(7, in_channels=3, bias=False).ratios[0]
    assert widened.costs["macs"] == pytest.approx(8, abs=0.05)
    strided = vggcalc.factorize(7, stride=2, bias=False).ratios[0]
    assert strided.costs["macs"] == pytest.approx(1.65, abs=0.005)


# The naive VGGs: every run of convolutions between poolings as one


@pytest.mark.parametrize(
    ("net", "kernels", "parameters", "naive", "factorized", "size"),
    [
        ("A", [3, 3, 5, 5, 5], 134_369_384, 7_557_709_824, 7_609_090_048, 150),
        ("B", [5, 5, 5, 5, 5], 134_503_528, 9_356_017_664, 11_308_466_176, 156),
        ("C", [5, 5, 5, 5, 5], 134_503_528, 9_356_017_664, 11_770_888_192, 156),
        ("D", [5, 5, 7, 7, 7], 144_727_144, 15_521_644_544, 15_470_264_320, 212),
        ("E", [5, 5, 9, 9, 9], 158_358_632, 23_742_480_384, 19_632_062_464, 268),
    ],
)
def test_naive_vgg(
    nets: Nets, net: str, kernels: list[int], parameters: int, naive: int, factorized: int, size: int
) -> None:
    comparison = nets[net]
    merged = [kernel for row in comparison["naive"].blocks for kernel in row.kernels]
    assert merged == [(k, k) for k in kernels]
    assert comparison["naive"].costs["parameters"] == parameters
    assert comparison["naive"].costs["macs"] == naive
    assert comparison["factorized"].costs["macs"] == factorized
    for variant in comparison.variants:
        assert variant.output_shape == (1, 1000)
        assert block(variant, "block5").receptive_field.size == (size, size)


@pytest.mark.parametrize(
    ("name", "kernel", "naive_parameters", "stack_parameters", "naive_macs", "stack_macs"),
    [
        ("block1", 5, 4_864, 38_720, 240_844_800, 1_936_392_192),
        ("block2", 5, 204_928, 221_440, 2_569_011_200, 2_774_532_096),
        ("block3", 7, 1_605_888, 1_475_328, 5_035_261_952, 4_624_220_160),
        ("block4", 7, 6_423_040, 5_899_776, 5_035_261_952, 4_624_220_160),
        ("block5", 7, 12_845_568, 7_079_424, 2_517_630_976, 1_387_266_048),
    ],
)
def test_vgg16_block_by_block(
    nets: Nets,
    name: str,
    kernel: int,
    naive_parameters: int,
    stack_parameters: int,
    naive_macs: int,
    stack_macs: int,
) -> None:
    naive, stack = (block(variant, name) for variant in nets["D"].variants)
    assert naive.kernels == ((kernel, kernel),)
    assert set(stack.kernels) == {(3, 3)}
    assert (naive.costs["parameters"], stack.costs["parameters"]) == (naive_parameters, stack_parameters)
    assert (naive.costs["macs"], stack.costs["macs"]) == (naive_macs, stack_macs)
    assert naive.receptive_field == stack.receptive_field


def test_whole_vggs_are_not_what_the_argument_promises(nets: Nets) -> None:
    """Naive D costs 0.33 % more MACs than D; naive B is 17 % cheaper than B."""
    naive_d, naive_b = (1 / nets[net].ratios[0].costs["macs"] for net in "DB")
    assert 100 * (naive_d - 1) == pytest.approx(0.33, abs=0.005)
    assert 100 * (1 - naive_b) == pytest.approx(17, abs=0.5)


# Araujo et al. 2019


@pytest.mark.parametrize(
    ("endpoint", "size", "stride", "padding"),
    [
        ("block1.conv1", 3, 1, 1),
        ("block1.pool", 6, 2, 2),
        ("block2.conv1", 10, 2, 4),
        ("block2.pool", 16, 4, 6),
        ("block3.conv1", 24, 4, 10),
        ("block3.conv2", 32, 4, 14),
        ("block3.pool", 44, 8, 18),
        ("block4.conv1", 60, 8, 26),
        ("block4.conv2", 76, 8, 34),
        ("block4.pool", 100, 16, 42),
        ("block5.conv1", 132, 16, 58),
        ("block5.conv2", 164, 16, 74),
        ("block5.pool", 212, 32, 90),
    ],
)
def test_receptive_fields_of_vgg16(nets: Nets, endpoint: str, size: int, stride: int, padding: int) -> None:
    layer = next(layer for layer in nets["D"]["factorized"].layers if layer.name == endpoint)
    assert layer.receptive_field == square(size, stride, padding)


@pytest.mark.parametrize(
    ("net", "size", "stride", "padding"), [("A", 150, 32, 59), ("A-LRN", 150, 32, 59), ("D", 212, 32, 90)]
)
def test_receptive_fields_after_the_last_pool(nets: Nets, net: str, size: int, stride: int, padding: int) -> None:
    for variant in nets[net].variants:
        assert block(variant, "block5").receptive_field == square(size, stride, padding)
        assert variant.receptive_field == square(size, stride, padding)


# What others say of factorizing


def test_inception_saves_28_percent_with_two_3x3_for_a_5x5() -> None:
    """Szegedy et al. 2015 (arXiv 1512.00567), section 3.1."""
    ratio = vggcalc.factorize(5, bias=False, size=17).ratios[0]
    assert ratio.costs["macs"] == pytest.approx(1 - 0.28)


def test_inception_saves_33_percent_with_1x3_and_3x1_for_a_3x3() -> None:
    """Szegedy et al. 2015 (arXiv 1512.00567), section 3.2; both see the same 3×3."""
    square_kernel = of_layers(Conv2d(8, 8, (3, 3), (1, 1), (1, 1), bias=False), size=17)
    pair = of_layers(
        Conv2d(8, 8, (1, 3), (1, 1), (0, 1), bias=False),
        Conv2d(8, 8, (3, 1), (1, 1), (1, 0), bias=False),
        size=17,
    )
    assert 1 - pair.costs["macs"] / square_kernel.costs["macs"] == pytest.approx(1 / 3)
    assert pair.receptive_field == square_kernel.receptive_field


def test_resnet_c_stem() -> None:
    """He et al. 2018 (arXiv 1812.01187), figure 2: the 7×7 with stride 2 as three 3×3."""
    stem = of_layers(Conv2d(3, 64, (7, 7), (2, 2), (3, 3), bias=False), size=224)
    deep = of_layers(
        Conv2d(3, 32, (3, 3), (2, 2), (1, 1), bias=False),
        Conv2d(32, 32, (3, 3), (1, 1), (1, 1), bias=False),
        Conv2d(32, 64, (3, 3), (1, 1), (1, 1), bias=False),
        size=224,
    )
    assert (stem.costs["macs"], deep.costs["macs"]) == (118_013_952, 357_654_528)
    assert deep.costs["macs"] / stem.costs["macs"] == pytest.approx(3.03, abs=0.005)
    assert (stem.receptive_field.size, deep.receptive_field.size) == ((7, 7), (11, 11))
    assert stem.output_shape == deep.output_shape == (1, 64, 112, 112)


def test_mobilenet_depthwise_separable() -> None:
    """Howard et al. 2017 (arXiv 1704.04861): 3×3, 64 to 128 channels on 112×112."""
    full = of_layers(Conv2d(64, 128, (3, 3), (1, 1), (1, 1), bias=False), size=112)
    separable = of_layers(
        Conv2d(64, 64, (3, 3), (1, 1), (1, 1), groups=64, bias=False),
        Conv2d(64, 128, (1, 1), bias=False),
        size=112,
    )
    assert full.costs["macs"] == 924_844_032
    assert [layer.costs["macs"] for layer in separable.layers] == [7_225_344, 102_760_448]
    assert separable.costs["macs"] == 109_985_792
    assert full.costs["macs"] / separable.costs["macs"] == pytest.approx(8.4, abs=0.05)


def test_replknet_31x31_depthwise_has_107_times_the_macs_of_a_3x3() -> None:
    """Ding et al. 2022 (arXiv 2203.06717)."""
    large = of_layers(Conv2d(64, 64, (31, 31), (1, 1), (15, 15), groups=64, bias=False), size=56)
    small = of_layers(Conv2d(64, 64, (3, 3), (1, 1), (1, 1), groups=64, bias=False), size=56)
    assert large.costs["macs"] / small.costs["macs"] == pytest.approx(107, abs=0.5)


def test_slak_cross_is_reported_as_the_square_that_encloses_it() -> None:
    """Liu et al. 2022 (arXiv 2207.03620): 51×5 and 5×51 in parallel, depthwise."""
    tall = Conv2d(16, 16, (51, 5), (1, 1), (25, 2), groups=16, bias=False)
    wide = Conv2d(16, 16, (5, 51), (1, 1), (2, 25), groups=16, bias=False)
    nodes = (
        Node("tall", tall, ("input",)),
        Node("wide", wide, ("input",)),
        Node("sum", Add(), ("tall", "wide")),
    )
    cross = vggcalc.summary(Network("SLaK", (1, 16, 56, 56), nodes)).variants[0]
    assert cross.costs["parameters"] == 2 * 255 * 16
    assert cross.receptive_field == square(51, 1, 25)


def test_kernels_grow_as_the_stack_says() -> None:
    """The receptive fields of one to fifteen 3×3: 3, 5, 7 … 31."""
    layer = Conv2d(1, 1, (3, 3), (1, 1), (1, 1))
    variant = of_layers(*[layer] * 15, size=56)
    sizes = [row.receptive_field.size[0] for row in variant.layers]
    assert sizes == list(accumulate([2] * 15, initial=1))[1:]


# torchvision


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision not installed")
@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize(("kind", "models"), [("classification", 80), ("segmentation", 6), ("video", 9)])
def test_torchvisions_published_operations(kind: str, models: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`_ops` of the metadata of weights: GMACs to three decimals for the size of their transforms, video of 16 frames.

    All weights of all models, each once for a size; the models are made for the weights, which are not loaded.
    """
    from torch import nn

    from vggcalc.runtime.load.constructing import without_weights
    from vggcalc.runtime.load.factories import tolerant_of_operators
    from vggcalc.runtime.trace.tracer import trace

    with tolerant_of_operators():
        import torchvision
    package = torchvision.models
    monkeypatch.setattr(package.WeightsEnum, "get_state_dict", lambda weights, **options: {})
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda module, state: None)
    found: dict[tuple[str, int, int], float | str] = {}
    published: dict[tuple[str, int, int], float] = {}
    names = package.list_models(package if kind == "classification" else getattr(package, kind))
    for name in names:
        for weights in package.get_model_weights(name):
            sizes = weights.transforms.keywords
            size = sizes.get("crop_size", sizes.get("resize_size"))
            height, width = size if isinstance(size, tuple) else (size, size)
            case = name, height, width
            published[case] = weights.meta["_ops"]
            if case not in found:
                module = without_weights(partial(package.get_model_builder(name), weights=weights))
                network = trace(module, (1, 3, *((16,) if kind == "video" else ()), height, width))
                variant = vggcalc.summary(network).variants[0]
                found[case] = "partial" if variant.partial.get("macs") else round(variant.macs / 1e9, 3)
    assert found == published
    assert len({name for name, *_ in found}) >= models
