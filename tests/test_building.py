"""Built modules against the specs, and against networks written by hand in torch."""

import weakref
from collections.abc import Iterator, Sequence

import pytest
import torch
from conftest import networks, pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.errors import FeatureMapTooSmall, InputError
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
    ReLU,
    SiLU,
)
from vggcalc.nets.shapes import shapes
from vggcalc.runtime.build import Graph, build

DRAWN = {"chain": networks(branches=False), "branches": networks()}
drawn = pytest.mark.parametrize("form", DRAWN)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """The same weights in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def on_meta(network: Network) -> nn.Module:
    with torch.device("meta"):
        return build(network).eval()


def real(network: Network) -> nn.Module:
    """In inference and float64, with norms that do something."""
    module = build(network).eval().double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.normal_(part.weight)
    return module


def image(network: Network) -> Tensor:
    return torch.randn(network.input_shape, dtype=torch.float64)


def apply(layer: Layer, module: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """The layer by torch's functions, never in place, with the module's weights."""
    x = inputs[0]
    match layer:
        case Conv2d():
            options = (layer.stride, layer.padding, layer.dilation, layer.groups)
            return F.conv2d(x, module.weight, module.bias if layer.bias else None, *options)
        case BatchNorm2d():
            scale = module.weight / (module.running_var + 1e-5).sqrt()
            return (x - module.running_mean[:, None, None]) * scale[:, None, None] + module.bias[:, None, None]
        case LocalResponseNorm():
            return F.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)
        case ReLU():
            return x.clamp(min=0)
        case GELU():
            return F.gelu(x)
        case SiLU():
            return x * x.sigmoid()
        case MaxPool2d():
            return F.max_pool2d(x, layer.kernel_size, layer.stride, layer.padding)
        case AdaptiveAvgPool2d():
            return F.adaptive_avg_pool2d(x, layer.output_size)
        case Flatten():
            return x.reshape(len(x), -1)
        case Linear():
            return x @ module.weight.T + (module.bias if layer.bias else 0)
        case Dropout():
            return x.clone()
        case Add():
            return sum(inputs)
        case Concat():
            return torch.cat(inputs, 1)


def by_hand(network: Network, module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Every node's output."""
    known = {INPUT: x.clone()}
    for node in network.nodes:
        inputs = [known[name] for name in node.inputs]
        known[node.name] = apply(node.layer, module.get_submodule(node.name), inputs)
    return known


def assert_computes(network: Network) -> None:
    """The module's output is right, and the image is what it was."""
    module, x = real(network), image(network)
    with torch.inference_mode():
        expected = by_hand(network, module, x)
        torch.testing.assert_close(module(x), expected[network.nodes[-1].name])
    torch.testing.assert_close(x, expected[INPUT], rtol=0, atol=0)


# Any network


@drawn
@given(data=st.data())
def test_shapes_are_torchs(form: str, data: st.DataObject) -> None:
    network = data.draw(DRAWN[form])
    known = shapes(network)
    module = on_meta(network)
    seen: dict[str, tuple[int, ...]] = {}
    for node in network.nodes:
        module.get_submodule(node.name).register_forward_hook(
            lambda _module, _inputs, output, name=node.name: seen.update({name: tuple(output.shape)})
        )
    output = module(torch.empty(network.input_shape, device="meta"))
    assert {INPUT: network.input_shape, **seen} == known
    assert tuple(output.shape) == known[network.nodes[-1].name]


@drawn
@given(data=st.data())
def test_parameters_and_macs_are_torchs(form: str, data: st.DataObject) -> None:
    network = data.draw(DRAWN[form])
    module = on_meta(network)
    costs = vggcalc.summary(network).variants[0].costs
    assert costs["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(torch.empty(network.input_shape, device="meta"))
    assert costs["macs"] == counter.get_total_flops() // 2
    assert costs["flops"] == counter.get_total_flops()


@drawn
@settings(max_examples=60)
@given(data=st.data())
def test_modules_compute_what_functions_compute(form: str, data: st.DataObject) -> None:
    assert_computes(data.draw(DRAWN[form]))


@drawn
@given(data=st.data())
def test_parameters_stand_under_the_names_of_the_nodes(form: str, data: st.DataObject) -> None:
    network = data.draw(DRAWN[form])
    learnable = {node.name for node in network.nodes if isinstance(node.layer, Conv2d | Linear | BatchNorm2d)}
    assert {key.rpartition(".")[0] for key in on_meta(network).state_dict()} == learnable


@given(data=st.data())
def test_too_small_a_map_is_refused_where_torch_refuses_it(data: st.DataObject) -> None:
    height, width = data.draw(pairs(1, 9))
    layer: Layer = Conv2d(
        1,
        1,
        data.draw(pairs(1, 5)),
        data.draw(pairs(1, 3)),
        data.draw(pairs(0, 2)),
        data.draw(pairs(1, 3)),
    )
    if data.draw(st.booleans()):
        layer = MaxPool2d(data.draw(pairs(2, 5)), data.draw(pairs(1, 3)), data.draw(pairs(0, 1)))
    network = chain("one", (1, 1, height, width), [("block1", layer)])
    try:
        expected = tuple(build(network)(torch.empty(network.input_shape)).shape)
    except RuntimeError:
        with pytest.raises(FeatureMapTooSmall):
            shapes(network)
    else:
        assert list(shapes(network).values())[-1] == expected


def test_networks_are_built_on_the_default_device_and_in_the_default_dtype() -> None:
    network = chain("one", (1, 1, 4, 4), [("block1", Conv2d(1, 1, (3, 3)))])
    assert {parameter.device.type for parameter in on_meta(network).parameters()} == {"meta"}
    assert {parameter.dtype for parameter in build(network).parameters()} == {torch.float32}


def test_variants_can_be_built() -> None:
    comparison = vggcalc.compare("8,8,M,16,16,16,M", size=16)
    for variant in comparison.variants:
        module = on_meta(variant.network)
        assert sum(parameter.numel() for parameter in module.parameters()) == variant.costs["parameters"]
        output = module(torch.empty(comparison.input_shape, device="meta"))
        assert tuple(output.shape) == variant.output_shape == (1, 16, 4, 4)


# torchvision's VGG

#: As torchvision writes them in `torchvision/models/vgg.py`; it has neither A-LRN nor C.
TORCHVISION: dict[str, list[int | str]] = {
    "vgg11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg13": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg16": [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"],
    "vgg19": [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
    "C": [64, 64, "M", 128, 128, "M", 256, 256, "256@1", "M", *[512, 512, "512@1", "M"] * 2],
    "A-LRN": [64, "LRN", "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
}


def torchvision_state(config: Sequence[int | str], batch_norm: bool) -> dict[str, tuple[int, ...]]:
    """Keys and shapes as `make_layers` and `VGG` of torchvision lay them out."""
    state: dict[str, tuple[int, ...]] = {}
    index, channels = 0, 3
    for word in config:
        if word in ("M", "LRN"):
            index += 1
            continue
        filters, _, kernel = str(word).partition("@")
        state[f"features.{index}.weight"] = (int(filters), channels, int(kernel or 3), int(kernel or 3))
        state[f"features.{index}.bias"] = (int(filters),)
        channels = int(filters)
        index += 2  # itself and its ReLU
        if batch_norm:
            for key in ("weight", "bias", "running_mean", "running_var"):
                state[f"features.{index - 1}.{key}"] = (channels,)
            state[f"features.{index - 1}.num_batches_tracked"] = ()
            index += 1
    for index, (out, wide) in {0: (4096, 512 * 7 * 7), 3: (4096, 4096), 6: (1000, 4096)}.items():
        state[f"classifier.{index}.weight"] = (out, wide)
        state[f"classifier.{index}.bias"] = (out,)
    return state


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", TORCHVISION)
def test_state_of_a_vgg_is_torchvisions(name: str, batch_norm: bool) -> None:
    module = on_meta(vggcalc.network(name + "_bn" * batch_norm))
    state = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    assert state == torchvision_state(TORCHVISION[name], batch_norm)
    assert list(state) == list(torchvision_state(TORCHVISION[name], batch_norm))
    assert [type(module.classifier[i]) for i in range(7)] == [
        nn.Linear,
        nn.ReLU,
        nn.Dropout,
        nn.Linear,
        nn.ReLU,
        nn.Dropout,
        nn.Linear,
    ]


@pytest.mark.parametrize(("paper", "name"), [("A", "vgg11"), ("B", "vgg13"), ("D", "vgg16"), ("E", "vgg19")])
def test_the_papers_names_are_torchvisions(paper: str, name: str) -> None:
    assert vggcalc.network(paper).nodes == vggcalc.network(name).nodes


def test_vgg_computes_what_torchvisions_computes() -> None:
    """A small one: features, average pooling to the native map, flatten, classifier."""
    config = vggcalc.Config("small", ("4", "M", "6", "M"), (3, 16, 16), (8, 5), batch_norm=True)
    network = vggcalc.network(config, size=21, batch=2)
    module, x = real(network), image(network)
    conv, norm = nn.Conv2d, nn.BatchNorm2d
    expected = nn.Sequential()
    expected.features = nn.Sequential(
        *(conv(3, 4, 3, padding=1), norm(4), nn.ReLU(True), nn.MaxPool2d(2, 2)),
        *(conv(4, 6, 3, padding=1), norm(6), nn.ReLU(True), nn.MaxPool2d(2, 2)),
    )
    expected.avgpool = nn.AdaptiveAvgPool2d((4, 4))
    expected.flatten = nn.Flatten()
    expected.classifier = nn.Sequential(nn.Linear(96, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 5))
    expected.eval().double().load_state_dict(module.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(module(x), expected(x))


# Branches


def block(*nodes: tuple[str, Layer, str]) -> Network:
    """`(name, layer, "what it reads")`."""
    made = tuple(Node(name, layer, tuple(inputs.split())) for name, layer, inputs in nodes)
    return Network("block", (2, 4, 8, 9), made)


def test_a_block_written_by_hand() -> None:
    """A bottleneck with a skip, then two paths side by side, as torch users write it."""
    network = block(
        ("stem.conv", Conv2d(4, 6, (3, 3), (2, 2), (1, 1)), INPUT),
        ("stem.norm", BatchNorm2d(6), "stem.conv"),
        ("stem.relu", ReLU(), "stem.norm"),
        ("path.conv1", Conv2d(6, 3, (1, 1), bias=False), "stem.relu"),
        ("path.act", SiLU(), "path.conv1"),
        ("path.conv2", Conv2d(3, 6, (3, 3), (1, 1), (1, 1), groups=3), "path.act"),
        ("path.add", Add(), "path.conv2 stem.relu"),
        ("path.relu", ReLU(), "path.add"),
        ("wide.pool", MaxPool2d((3, 3), (1, 1), (1, 1)), "path.relu"),
        ("wide.cat", Concat(), "path.relu wide.pool stem.conv"),
        ("head.pool", AdaptiveAvgPool2d((1, 1)), "wide.cat"),
        ("head.flatten", Flatten(), "head.pool"),
        ("head.linear", Linear(18, 5), "head.flatten"),
    )
    module, x = real(network), image(network)
    stem, path, head = module.stem, module.path, module.head
    with torch.inference_mode():
        first = F.conv2d(x, stem.conv.weight, stem.conv.bias, stride=2, padding=1)
        norm = stem.norm
        normed = F.batch_norm(first, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        skip = normed.relu()
        inner = F.silu(F.conv2d(skip, path.conv1.weight))
        inner = F.conv2d(inner, path.conv2.weight, path.conv2.bias, padding=1, groups=3)
        summed = (inner + skip).relu()
        wide = torch.cat([summed, F.max_pool2d(summed, 3, 1, 1), first], 1)
        expected = F.linear(wide.mean((2, 3)), head.linear.weight, head.linear.bias)
        torch.testing.assert_close(module(x), expected)


CONV = Conv2d(4, 4, (3, 3), (1, 1), (1, 1))


@pytest.mark.parametrize("activation", [ReLU(), SiLU()])
@pytest.mark.parametrize(
    "nodes",
    [
        [("one", CONV, INPUT), ("act", ..., "one"), ("sum", Add(), "act one")],
        [("one", CONV, INPUT), ("act", ..., "one"), ("two", CONV, "act"), ("cat", Concat(), "two one")],
        [("act", ..., INPUT)],
        [("act", ..., INPUT), ("two", CONV, "act"), ("sum", Add(), "two input")],
        [("out", Dropout(), INPUT), ("act", ..., "out")],
        [("view", Flatten(), INPUT), ("act", ..., "view")],
        [
            ("one", CONV, INPUT),
            ("out", Dropout(), "one"),
            ("act", ..., "out"),
            ("sum", Add(), "act one"),
        ],
        [
            ("one", CONV, INPUT),
            ("view", Flatten(), "one"),
            ("act", ..., "view"),
            ("other", Flatten(), "one"),
            ("sum", Add(), "act other"),
        ],
    ],
    ids=["sum", "concat", "image", "skip", "dropout of image", "view of image", "dropout", "view"],
)
def test_in_place_activations_change_nothing_that_is_read_elsewhere(
    nodes: list[tuple[str, Layer, str]], activation: Layer
) -> None:
    assert_computes(block(*((name, activation if x is ... else x, inputs) for name, x, inputs in nodes)))


def test_activations_are_in_place_where_nothing_else_reads() -> None:
    network = block(
        ("act0", ReLU(), INPUT),
        ("one", CONV, "act0"),
        ("act1", ReLU(), "one"),
        ("two", CONV, "act1"),
        ("act2", ReLU(inplace=False), "two"),
        ("three", CONV, "act2"),
        ("act3", ReLU(), "three"),
        ("sum", Add(), "act3 three"),
    )
    module = build(network)
    in_place = {name: module.get_submodule(name).inplace for name in ("act0", "act1", "act2", "act3")}
    assert in_place == {"act0": False, "act1": True, "act2": False, "act3": False}


@settings(max_examples=60)
@given(network=networks())
def test_tensors_are_forgotten_after_their_last_reader(network: Network) -> None:
    """When a node of a graph begins, what is alive is what it or a later node reads."""
    module = on_meta(network)
    if not isinstance(module, Graph):  # a nn.Sequential, which holds its input until it ends
        return
    x = torch.empty(network.input_shape, device="meta")
    made: dict[str, weakref.ref[Tensor]] = {INPUT: weakref.ref(x)}
    last = {name: i for i, node in enumerate(network.nodes) for name in node.inputs}

    def begin(index: int) -> None:
        # An activation in place and dropout put out the tensor that they read: one tensor, two names.
        needed = [x, *(made[name]() for name, i in last.items() if i >= index and name in made)]
        for name, tensor in made.items():
            assert tensor() is None or any(tensor() is other for other in needed), name

    for index, node in enumerate(network.nodes):
        part = module.get_submodule(node.name)
        part.register_forward_pre_hook(lambda *_, index=index: begin(index))
        part.register_forward_hook(
            lambda _module, _inputs, output, name=node.name: made.update({name: weakref.ref(output)})
        )
    with torch.inference_mode():
        module(x)
    assert len(made) == 1 + len(network.nodes)


@pytest.mark.parametrize("names", [("one", "one.act"), ("one.conv", "one")])
def test_a_name_within_a_name(names: tuple[str, str]) -> None:
    """Refused or right."""
    try:
        network = block((names[0], CONV, INPUT), (names[1], ReLU(), names[0]))
        module = build(network).eval()
    except InputError:
        return
    assert (module(torch.randn(network.input_shape)) >= 0).all()
