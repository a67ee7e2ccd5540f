"""Costs as laws, against torch's tensors, fvcore's counters and a simulated run."""

import weakref
from collections import Counter

import msgspec
import pytest
import torch
from conftest import networks
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import vggcalc
from vggcalc.analysis.comparison import analyze
from vggcalc.analysis.costs import COSTS
from vggcalc.errors import InputError
from vggcalc.nets.graph import (
    INPUT,
    Network,
    Node,
    chain,
)
from vggcalc.nets.layers import (
    Add,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Shape,
    SiLU,
)
from vggcalc.nets.names import ITEMSIZE
from vggcalc.runtime.build import build

DRAWN = {"chain": networks(branches=False), "branches": networks()}
drawn = pytest.mark.parametrize("form", DRAWN)

#: What adds up over layers; the rest is the most of them, or follows from other costs.
ADDITIVE = ("parameters", "macs", "flops", "activations", "weight_bytes", "traffic_bytes")


def block(*nodes: tuple[str, Layer, str], shape: Shape = (1, 4, 8, 9)) -> Network:
    """`(name, layer, "what it reads")`."""
    made = tuple(Node(name, layer, tuple(inputs.split())) for name, layer, inputs in nodes)
    return Network("block", shape, made)


# Totals


@drawn
@given(data=st.data())
def test_totals_are_sums(form: str, data: st.DataObject) -> None:
    variant = analyze(data.draw(DRAWN[form]), "drawn")
    for key in ADDITIVE:
        assert variant.costs[key] == sum(layer.costs[key] for layer in variant.layers)
        assert variant.costs[key] == sum(row.costs[key] for row in variant.blocks)
    for row in variant.blocks:
        own = [layer.costs for layer in variant.layers if layer.name.split(".")[0] == row.name]
        assert all(row.costs[key] == sum(costs[key] for costs in own) for key in ADDITIVE)
        assert row.costs["peak_activation_bytes"] == max(costs["peak_activation_bytes"] for costs in own)
    assert variant.costs["peak_activation_bytes"] == max(
        layer.costs["peak_activation_bytes"] for layer in variant.layers
    )


@drawn
@given(data=st.data())
def test_what_follows_from_other_costs(form: str, data: st.DataObject) -> None:
    variant = analyze(data.draw(DRAWN[form]), "drawn")
    for row in (variant, *variant.blocks, *variant.layers):
        assert set(row.costs) == set(COSTS)
        assert row.costs["flops"] == 2 * row.costs["macs"]
        assert row.costs["weight_bytes"] == 4 * row.costs["parameters"]
        if row.costs["traffic_bytes"]:
            assert row.costs["intensity"] == row.costs["flops"] / row.costs["traffic_bytes"]
        else:
            assert row.costs["intensity"] is None


# Against torch's tensors


@drawn
@given(data=st.data())
def test_traffic_weights_and_activations_are_those_of_torchs_tensors(form: str, data: st.DataObject) -> None:
    """Bytes of the tensors that each module takes, holds and gives, in every dtype."""
    network = data.draw(DRAWN[form])
    name = data.draw(st.sampled_from(list(ITEMSIZE)))
    with torch.device("meta"):
        module = build(network).to(getattr(torch, name)).eval()
        image = torch.empty(network.input_shape, dtype=getattr(torch, name))
    traffic: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    activations: Counter[str] = Counter()

    def hook(part: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor, node: str) -> None:
        weights[node] = sum(parameter.nbytes for parameter in part.parameters())
        if not isinstance(part, nn.Flatten | nn.Dropout):
            traffic[node] = sum(tensor.nbytes for tensor in inputs) + output.nbytes + weights[node]
        if isinstance(part, nn.Conv2d | nn.Linear):
            activations[node] = output.numel()

    for node in network.nodes:
        part = module.get_submodule(node.name)
        part.register_forward_hook(lambda *call, node=node.name: hook(*call, node))
    module(image)
    for layer in analyze(network, "drawn", name).layers:
        assert layer.costs["traffic_bytes"] == traffic[layer.name]
        assert layer.costs["weight_bytes"] == weights[layer.name]
        assert layer.costs["activations"] == activations[layer.name]


# Against fvcore


@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
@pytest.mark.parametrize(
    "network",
    [
        chain(
            "convolutions",
            (2, 4, 12, 11),
            [
                ("block1", Conv2d(4, 6, (3, 5), (1, 2), (1, 2), groups=2)),
                ("block1", BatchNorm2d(6)),
                ("block1", ReLU()),
                ("block1", Conv2d(6, 6, (3, 3), (2, 1), (2, 2), (2, 2), groups=6, bias=False)),
                ("block1", MaxPool2d()),
                ("head", Flatten()),
                ("head", Linear(54, 7)),
                ("head", Dropout()),
                ("head", Linear(7, 3, bias=False)),
            ],
        ),
        block(
            ("one", Conv2d(4, 4, (3, 3), (1, 1), (1, 1)), INPUT),
            ("two", Conv2d(4, 4, (5, 5), (1, 1), (2, 2), groups=4), "one"),
            ("add", Add(), "one two"),
            ("cat", Concat(), "add one input"),
            ("three", Conv2d(12, 2, (1, 1), bias=False), "cat"),
        ),
        *(variant.network for variant in vggcalc.factorize(7, size=9, stride=2).variants),
        *(variant.network for variant in vggcalc.compare("4,4,M,8,8,8,M,8@5g2,M", size=16).variants),
        vggcalc.network(vggcalc.Config("head", (4, "M", 6), (3, 8, 8), (5, 3), batch_norm=True)),
    ],
    ids=lambda network: network.name,
)
def test_counts_are_fvcores(network: Network) -> None:
    """By operator: fvcore's total adds norms and poolings; its "flops" are MACs."""
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis  # which warns, in torch's name

    module, image = build(network).eval(), torch.zeros(network.input_shape)
    with torch.no_grad():
        operators = FlopCountAnalysis(module, image).unsupported_ops_warnings(False).by_operator()
        activations = ActivationCountAnalysis(module, image).unsupported_ops_warnings(False).total()
    costs = analyze(network, network.name).costs
    assert costs["macs"] == operators["conv"] + operators["linear"]
    assert costs["activations"] == activations


# Memory, by a simulated run


class Tensor:
    """As many bytes of memory, freed when the last reference goes."""

    def __init__(self, size: int) -> None:
        self.size = size


def in_place(network: Network, node: Node) -> bool:
    """An activation overwrites what it reads unless the image, another node or a backward pass needs it."""
    if not isinstance(node.layer, ReLU | SiLU) or not node.layer.inplace:
        return False
    makers = {other.name: other for other in network.nodes}
    source = node.inputs[0]
    while source != INPUT:
        if sum(other.inputs.count(source) for other in network.nodes) > 1:
            return False
        if not isinstance(makers[source].layer, Flatten | Dropout):
            return not isinstance(makers[source].layer, ReLU)  # a ReLU keeps its output
        source = makers[source].inputs[0]  # another name of the same tensor
    return False


def simulated(network: Network, itemsize: int = 4) -> dict[str, int]:
    """Bytes alive while each node runs, where every tensor is dropped after its last reader."""
    variant = analyze(network, network.name)
    heap: weakref.WeakSet[Tensor] = weakref.WeakSet()

    def allocate(shape: Shape) -> Tensor:
        tensor = Tensor(torch.Size(shape).numel() * itemsize)
        heap.add(tensor)
        return tensor

    names = {INPUT: allocate(network.input_shape)}
    peaks = {}
    for i, (node, layer) in enumerate(zip(network.nodes, variant.layers, strict=True)):
        hands_on = isinstance(node.layer, Flatten | Dropout) or in_place(network, node)
        names[node.name] = names[node.inputs[0]] if hands_on else allocate(layer.output_shape)
        peaks[node.name] = sum(tensor.size for tensor in heap)
        later = {name for other in network.nodes[i + 1 :] for name in other.inputs}
        for name in set(names) - later:
            del names[name]
    return peaks


@drawn
@settings(max_examples=60)
@given(data=st.data())
def test_memory_is_that_of_a_simulated_run(form: str, data: st.DataObject) -> None:
    network = data.draw(DRAWN[form])
    expected = simulated(network)
    variant = analyze(network, "drawn")
    assert {layer.name: layer.costs["peak_activation_bytes"] for layer in variant.layers} == expected
    assert variant.costs["peak_activation_bytes"] == max(expected.values())


CONV = Conv2d(4, 4, (3, 3), (1, 1), (1, 1))
MAP = 4 * 4 * 8 * 9


@pytest.mark.parametrize(
    ("nodes", "maps"),
    [
        # A convolution holds what it reads and what it writes, an activation in place only one.
        ([("one", CONV, INPUT), ("act", ReLU(), "one"), ("two", CONV, "act")], [2, 1, 2]),
        ([("one", CONV, INPUT), ("act", ReLU(inplace=False), "one"), ("two", CONV, "act")], [2, 2, 2]),
        # The image is kept, so that nothing runs in place on it.
        ([("act", ReLU(), INPUT), ("one", CONV, "act")], [2, 2]),
        ([("out", Dropout(), INPUT), ("act", ReLU(), "out")], [1, 2]),
        ([("view", Flatten(), INPUT), ("act", SiLU(), "view")], [1, 2]),
        # A skip keeps its tensor until the sum has read it.
        (
            [("one", CONV, INPUT), ("two", CONV, "one"), ("three", CONV, "two"), ("sum", Add(), "three one")],
            [2, 2, 3, 3],
        ),
        # An activation is not in place where its input is read elsewhere, by whatever name.
        ([("one", CONV, INPUT), ("act", ReLU(), "one"), ("sum", Add(), "act one")], [2, 2, 3]),
        (
            [
                ("one", CONV, INPUT),
                ("out", Dropout(), "one"),
                ("act", ReLU(), "out"),
                ("sum", Add(), "act one"),
            ],
            [2, 1, 2, 3],
        ),
        ([("one", CONV, INPUT), ("cat", Concat(), "one input"), ("act", ReLU(), "cat")], [2, 4, 2]),
    ],
)
def test_memory_by_hand(nodes: list[tuple[str, Layer, str]], maps: list[int]) -> None:
    network = block(*nodes)
    layers = analyze(network, "block").layers
    assert [layer.costs["peak_activation_bytes"] / MAP for layer in layers] == maps
    assert simulated(network) == {name: n * MAP for (name, _, _), n in zip(nodes, maps, strict=True)}


def test_memory_of_vgg16() -> None:
    """Its most is in block 1: 64 maps of 224×224 into another 64."""
    comparison = vggcalc.compare("vgg16")
    assert comparison["factorized"].costs["peak_activation_bytes"] == 2 * 64 * 224 * 224 * 4
    for variant in comparison.variants:
        expected = simulated(variant.network)
        assert {layer.name: layer.costs["peak_activation_bytes"] for layer in variant.layers} == expected


# Scaling


@drawn
@given(data=st.data())
def test_bytes_scale_with_the_dtype(form: str, data: st.DataObject) -> None:
    network = data.draw(DRAWN[form])
    single = analyze(network, "drawn").costs
    for dtype, itemsize in {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}.items():
        costs = analyze(network, "drawn", dtype).costs
        assert torch.empty(0, dtype=getattr(torch, dtype)).element_size() == itemsize
        for key in ("weight_bytes", "traffic_bytes", "peak_activation_bytes"):
            assert 4 * costs[key] == itemsize * single[key]
        for key in ("parameters", "macs", "flops", "activations"):
            assert costs[key] == single[key]


def test_unknown_dtype() -> None:
    with pytest.raises(InputError, match="dtype 'float8' is unknown: did you mean float"):
        vggcalc.factorize(7, dtype="float8")


@drawn
@given(data=st.data(), batch=st.integers(2, 9))
def test_all_but_weights_scale_with_the_batch(form: str, data: st.DataObject, batch: int) -> None:
    network = data.draw(DRAWN[form])
    one = analyze(msgspec.structs.replace(network, input_shape=(1, *network.input_shape[1:])), "drawn").costs
    many = analyze(msgspec.structs.replace(network, input_shape=(batch, *network.input_shape[1:])), "drawn").costs
    for key in ("macs", "flops", "activations", "peak_activation_bytes"):
        assert many[key] == batch * one[key]
    for key in ("parameters", "weight_bytes"):
        assert many[key] == one[key]
    moved = [costs["traffic_bytes"] - costs["weight_bytes"] for costs in (one, many)]
    assert moved[1] == batch * moved[0]


# Intensity and ratios


def test_intensity_of_a_convolution_by_hand() -> None:
    layer = analyze(block(("one", Conv2d(4, 2, (3, 3), (1, 1), (1, 1)), INPUT)), "block").layers[0]
    flops = 2 * (2 * 8 * 9) * (4 * 9)
    traffic = 4 * (4 * 8 * 9 + 2 * 8 * 9 + 2 * 4 * 9 + 2)
    assert layer.costs["intensity"] == flops / traffic


def test_intensity_is_unknown_where_nothing_moves_and_zero_where_nothing_is_computed() -> None:
    network = block(
        ("pool", MaxPool2d(), INPUT),
        ("head.flatten", Flatten(), "pool"),
        ("head.drop", Dropout(), "head.flatten"),
    )
    variant = analyze(network, "block")
    assert [layer.costs["intensity"] for layer in variant.layers] == [0, None, None]
    assert [row.costs["intensity"] for row in variant.blocks] == [0, None]
    views = analyze(block(("flatten", Flatten(), INPUT)), "block").costs
    assert (views["traffic_bytes"], views["intensity"]) == (0, None)


@pytest.mark.parametrize(
    "arguments", [{}, {"in_channels": 3}, {"groups": 64}, {"stride": 2}, {"dilation": 2, "bias": False}]
)
def test_ratios_are_of_the_variant_to_the_baseline(arguments: dict[str, int]) -> None:
    comparison = vggcalc.factorize(7, **arguments)
    naive, factorized = comparison["naive"].costs, comparison["factorized"].costs
    (ratio,) = comparison.ratios
    assert (comparison.baseline, ratio.variant) == ("naive", "factorized")
    assert ratio.costs.pop("product_macs") is None  # of none
    assert ratio.costs == {key: factorized[key] / naive[key] for key in COSTS if key != "product_macs"}


def test_ratio_to_nothing_is_unknown() -> None:
    ratio = vggcalc.compare(block(("pool", MaxPool2d(), INPUT))).ratios[0]
    assert ratio.costs["macs"] is None
    assert ratio.costs["parameters"] is None
    assert ratio.costs["traffic_bytes"] == 1


def test_a_summary_has_no_ratios() -> None:
    assert vggcalc.summary("vgg11").ratios == ()


def test_networks_with_branches_are_compared() -> None:
    """An inception block (Szegedy et al. 2014): its 5×5 apart, and two poolings in one block."""
    network = block(
        ("mix.large", Conv2d(4, 4, (5, 5), (1, 1), (2, 2)), INPUT),
        ("mix.act", ReLU(), "mix.large"),
        ("mix.pool", MaxPool2d((3, 3), (1, 1), (1, 1)), INPUT),
        ("mix.cat", Concat(), "mix.act mix.pool"),
        ("mix.down", MaxPool2d(), "mix.cat"),
    )
    naive, factorized = vggcalc.compare(network).variants
    assert (naive.costs["macs"], factorized.costs["macs"]) == (72 * 16 * 25, 72 * 16 * 18)
    assert naive.output_shape == factorized.output_shape == (1, 8, 4, 4)
    assert naive.receptive_field == factorized.receptive_field
