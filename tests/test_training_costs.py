"""What training keeps and computes, against what torch keeps and counts when the built modules run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from conftest import ANY, networks
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.analysis.comparison import analyze
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
from vggcalc.nets.names import ITEMSIZE
from vggcalc.nets.shapes import shapes
from vggcalc.runtime.build import build
from vggcalc.runtime.check.counts import saved_by_autograd

DRAWN = {"chain": networks(branches=False), "branches": networks()}
drawn = pytest.mark.parametrize("form", DRAWN)

PARAMETRIC = (Conv2d, Linear, BatchNorm2d)


def trainable(network: Network) -> bool:
    """It has parameters, and no batch norm over a single value a channel, which torch refuses."""
    known = shapes(network)
    alone = any(
        isinstance(node.layer, BatchNorm2d) and known[node.name][0] * torch.Size(known[node.name][2:]).numel() == 1
        for node in network.nodes
    )
    return not alone and any(isinstance(node.layer, PARAMETRIC) for node in network.nodes)


def block(*nodes: tuple[str, Layer, str]) -> Network:
    """`(name, layer, "what it reads")`."""
    made = tuple(Node(name, layer, tuple(inputs.split())) for name, layer, inputs in nodes)
    return Network("block", (2, 4, 6, 7), made)


@contextmanager
def kept(module: nn.Module) -> Iterator[dict[int, torch.UntypedStorage]]:
    """The storages that autograd keeps meanwhile, by address, but those of parameters and buffers.

    They are held, so that no address is used twice.
    """
    own = {id(tensor): tensor.untyped_storage() for tensor in (*module.parameters(), *module.buffers())}
    addresses = {storage.data_ptr() for storage in own.values()}
    found: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.nbytes() and storage.data_ptr() not in addresses:
            found[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found


def bytes_kept(network: Network, dtype: str = "float32") -> int:
    """By hooks of our own; then backward runs, so that nothing may have been overwritten that it needs."""
    torch.manual_seed(0)
    module = build(network).to(getattr(torch, dtype)).train()
    image = torch.rand(network.input_shape).to(getattr(torch, dtype))
    with kept(module) as storages:
        output = module(image)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    return sum(storage.nbytes() for storage in storages.values())


# What is kept


@drawn
@given(data=st.data())
def test_saved_bytes_are_what_autograd_keeps_and_the_crosscheck_counts(form: str, data: st.DataObject) -> None:
    network = data.draw(DRAWN[form])
    assume(trainable(network))
    found = bytes_kept(network)
    assert analyze(network, "drawn").costs["saved_bytes"] == found
    assert saved_by_autograd(build(network).train(), torch.zeros(network.input_shape)) == found


@pytest.mark.parametrize("dtype", ITEMSIZE)
@settings(max_examples=20)
@given(network=networks(kinds=tuple(kind for kind in ANY if kind != "lrn")))
def test_saved_bytes_in_every_dtype(network: Network, dtype: str) -> None:
    """But for local response norm, which torch has on the CPU for float32 and float64 alone."""
    assume(trainable(network))
    assert analyze(network, "drawn", dtype).costs["saved_bytes"] == bytes_kept(network, dtype)


CONV = Conv2d(4, 4, (3, 3), padding=(1, 1))
ON_8 = Conv2d(8, 1, (1, 1))
MAP = 2 * 4 * 6 * 7 * 4  # bytes of a map


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (block(("a", CONV, INPUT)), {"a": MAP}),
        (block(("a", CONV, INPUT), ("b", CONV, "a")), {"a": MAP, "b": MAP}),
        (block(("a", CONV, INPUT), ("b", CONV, INPUT), ("c", Add(), "a b")), {"a": MAP}),
        (block(("a", CONV, INPUT), ("r", ReLU(), "a"), ("b", CONV, "r")), {"a": MAP, "r": MAP}),
        (block(("a", CONV, INPUT), ("g", GELU(), "a"), ("b", CONV, "g")), {"a": MAP, "g": MAP, "b": MAP}),
        (block(("a", CONV, INPUT), ("s", SiLU(), "a"), ("b", CONV, "s")), {"a": MAP, "s": MAP, "b": MAP}),
        (block(("r", ReLU(), INPUT), ("a", CONV, "r")), {"a": MAP}),
        (block(("m", MaxPool2d(), INPUT), ("a", CONV, "m")), {"a": MAP // 42 * 9}),
        (block(("a", CONV, INPUT), ("m", MaxPool2d(), "a")), {"a": MAP, "m": MAP + MAP // 42 * 9 * 2}),
        (block(("a", CONV, INPUT), ("n", BatchNorm2d(4), "a")), {"a": MAP, "n": MAP + 2 * 4 * 4}),
        (block(("a", CONV, INPUT), ("d", Dropout(), "a")), {"a": MAP, "d": MAP}),
        (block(("d", Dropout(), INPUT), ("a", CONV, "d")), {"a": MAP}),
        (block(("a", CONV, INPUT), ("p", AdaptiveAvgPool2d((1, 1)), "a")), {"a": MAP}),
        (block(("a", CONV, INPUT), ("p", AdaptiveAvgPool2d((2, 1)), "a")), {"a": MAP, "p": MAP}),
        (block(("a", CONV, INPUT), ("c", Concat(), "a input"), ("b", ON_8, "c")), {"a": MAP, "b": 2 * MAP}),
        (block(("a", CONV, INPUT), ("f", Flatten(), "a"), ("l", Linear(168, 3), "f")), {"a": MAP, "l": MAP}),
        (block(("a", CONV, INPUT), ("l", LocalResponseNorm(3), "a")), {"a": MAP, "l": 3 * MAP + MAP // 4 * 6}),
        (block(("l", LocalResponseNorm(3), INPUT), ("a", CONV, "l")), {"a": MAP}),
    ],
    ids=lambda case: " ".join(node.name for node in case.nodes) if isinstance(case, Network) else "",
)  # fmt: skip
def test_what_each_layer_keeps(network: Network, expected: dict[str, int]) -> None:
    """By hand, and by torch; a tensor that two layers keep counts at the first of them."""
    found = {layer.name: layer.costs["saved_bytes"] for layer in analyze(network, "block").layers}
    assert {name: size for name, size in found.items() if size} == expected
    assert sum(expected.values()) == bytes_kept(network)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_of_the_kernel_and_its_stack(activation: str, batch_norm: bool) -> None:
    comparison = vggcalc.factorize(
        7,
        in_channels=3,
        out_channels=4,
        size=9,
        batch=2,
        stride=2,
        batch_norm=batch_norm,
        activation=activation,
    )
    for variant in comparison.variants:
        assert variant.costs["saved_bytes"] == bytes_kept(variant.network)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_causal_convolution_keeps_its_padded_copy(dims: int) -> None:
    made = vggcalc.factorize(5, dims=dims, channels=2, size=7, batch=2, causal=True, into=["stack", "separable"])
    for variant in made.variants:
        assert variant.costs["saved_bytes"] == bytes_kept(variant.network)


@pytest.mark.parametrize("model", ["4,4,M,8,8,M,8@5g2,M", "4@1,M,4,4"])
def test_of_a_network_and_its_stacks(model: str) -> None:
    for variant in vggcalc.compare(model, size=16, batch_norm=True).variants:
        assert variant.costs["saved_bytes"] == bytes_kept(variant.network)
        rows = sum(int(layer.costs["saved_bytes"] or 0) for layer in variant.layers)
        assert variant.costs["saved_bytes"] == rows == sum(int(b.costs["saved_bytes"] or 0) for b in variant.blocks)


# What is computed


def training_flops(network: Network) -> tuple[int, dict[str, bool]]:
    """What torch counts forward and backward, and into which nodes a gradient of their input flows."""
    module = build(network).train()
    needs: dict[str, bool] = {}
    for node in network.nodes:
        part = module.get_submodule(node.name)
        part.register_forward_pre_hook(lambda _, inputs, name=node.name: needs.update({name: inputs[0].requires_grad}))
    with FlopCounterMode(display=False) as counter:
        module(torch.rand(network.input_shape)).sum().backward()
    return counter.get_total_flops(), needs


def without_groups(network: Network) -> Network:
    """The same with every convolution over all channels."""
    nodes = []
    for node in network.nodes:
        layer = node.layer
        if isinstance(layer, Conv2d):
            layer = Conv2d(*(getattr(layer, name) for name in Conv2d.__struct_fields__[:6]), bias=layer.bias)
        nodes.append(Node(node.name, layer, node.inputs))
    return Network(network.name, network.input_shape, tuple(nodes))


@drawn
@given(data=st.data())
def test_training_flops_are_torchs_without_groups(form: str, data: st.DataObject) -> None:
    network = without_groups(data.draw(DRAWN[form]))
    assume(trainable(network))
    counted, _ = training_flops(network)
    assert analyze(network, "drawn").costs["training_flops"] == counted


@drawn
@given(data=st.data())
def test_each_layer_does_its_macs_twice_or_thrice(form: str, data: st.DataObject) -> None:
    """Forward, the weights' gradient, and the input's where autograd asks for one; with groups too."""
    network = data.draw(DRAWN[form])
    assume(trainable(network))
    _, needs = training_flops(network)
    for layer in analyze(network, "drawn").layers:
        macs = layer.costs["macs"]
        assert macs is not None
        assert layer.costs["training_flops"] == 2 * macs * (3 if needs[layer.name] else 2)


def test_the_first_layer_has_no_gradient_of_its_input() -> None:
    for variant in vggcalc.compare("vgg16").variants:
        first, *others = (layer for layer in variant.layers if layer.costs["macs"])
        assert first.costs["training_flops"] == 4 * int(first.costs["macs"] or 0)
        assert all(layer.costs["training_flops"] == 6 * int(layer.costs["macs"] or 0) for layer in others)


def test_every_layer_that_reads_the_image_is_a_first_one() -> None:
    network = block(("a", CONV, INPUT), ("r", ReLU(), INPUT), ("b", CONV, "r"), ("c", Add(), "a b"), ("d", CONV, "c"))
    macs = 2 * 4 * 42 * 4 * 9
    flops = {layer.name: layer.costs["training_flops"] for layer in analyze(network, "block").layers}
    assert flops == {"a": 4 * macs, "r": 0, "b": 4 * macs, "c": 0, "d": 6 * macs}
    assert training_flops(network)[0] == 14 * macs


def test_a_norm_before_the_first_convolution_wants_a_gradient_from_it() -> None:
    network = chain("normed", (2, 4, 6, 7), [("block1", BatchNorm2d(4)), ("block1", CONV)])
    costs = analyze(network, "normed").costs
    assert costs["training_flops"] == 6 * int(costs["macs"] or 0) == training_flops(network)[0]


# What the module's own code leaves out of training


class ThreeConvolutions(nn.Module):
    """Three convolutions, run as `run` says."""

    def __init__(self, run: Callable[["ThreeConvolutions", Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, 8, 3, padding=1) for i in (3, 8, 8))
        self.run = run

    def forward(self, image: Tensor) -> Tensor:
        return self.run(self, image)


@torch.no_grad()
def gate_without_gradient(m: ThreeConvolutions, x: Tensor) -> Tensor:
    return torch.sigmoid(m.b(x)).mean((2, 3), keepdim=True)


class Twice(torch.autograd.Function):
    """A function with a backward of its own, whose forward torch runs without gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x + x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient + gradient


CUT: dict[str, Callable[[ThreeConvolutions, Tensor], Tensor]] = {
    "a frozen backbone under no_grad": lambda m, x: m.c(torch.no_grad()(lambda: m.b(torch.relu(m.a(x))))()),
    "a gate under no_grad": lambda m, x: m.c((y := m.a(x)) * gate_without_gradient(m, y)),
    "a detached feature map": lambda m, x: m.c(m.b(torch.relu(m.a(x))).detach()),
    "its data": lambda m, x: m.c(m.b(torch.relu(m.a(x))).data),
    "a detached weight": lambda m, x: m.c(torch.conv2d(m.a(x), m.b.weight.detach(), padding=1)),
    "a detached weight, and a bias": lambda m, x: m.c(torch.conv2d(m.a(x), m.b.weight.detach(), m.b.bias, padding=1)),
    "a weight made under no_grad": lambda m, x: m.c(
        torch.conv2d(m.a(x), torch.no_grad()(m.b.weight.mul)(2), padding=1)
    ),
    "detached beside": lambda m, x: m.c((y := m.a(x)) + m.b(y.detach())),
    "a custom function": lambda m, x: m.c(Twice.apply(m.b(m.a(x)))),
}


@pytest.mark.parametrize("case", CUT)
def test_what_is_cut_off_has_no_gradient(case: str) -> None:
    module, image = ThreeConvolutions(CUT[case]), torch.rand(2, 3, 6, 6)
    found = vggcalc.summary(module, (2, 3, 6, 6)).variants[0]
    with FlopCounterMode(display=False) as counter:
        module(image).sum().backward()
    assert found.costs["training_flops"] == counter.get_total_flops()
    if "saved_bytes" not in found.partial:
        assert found.costs["saved_bytes"] == saved_by_autograd(module, image)
    else:
        assert case == "a weight made under no_grad"


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_leaves_training_partial_by_name(reentrant: bool) -> None:
    module = ThreeConvolutions(
        lambda m, x: m.c(checkpoint(lambda y: torch.relu(m.b(y)), torch.relu(m.a(x)), use_reentrant=reentrant))
    )
    image = torch.rand(2, 3, 6, 6)
    found = vggcalc.summary(module, (2, 3, 6, 6)).variants[0]
    assert "macs" not in found.partial
    assert found.partial["training_flops"] == ("checkpointed Conv2d",)
    assert found.partial["saved_bytes"] == ("checkpointed Conv2d", "checkpointed ReLU")
    with FlopCounterMode(display=False) as counter:
        module(image).sum().backward()
    assert found.costs["training_flops"] <= counter.get_total_flops()
    assert found.costs["saved_bytes"] <= saved_by_autograd(module, image)


# What steers, and constants


class Tokens(nn.Module):
    """Rows of a table, and of one of positions, by numbers that are an input, a constant and a buffer."""

    def __init__(self, positions: str) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(11, 8), nn.Embedding(6, 8)
        self.register_buffer("numbers", torch.arange(6))
        self.positions, self.out = positions, nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        numbers = torch.arange(ids.shape[1], device=ids.device) if self.positions == "arange" else self.numbers
        return self.out(self.table(ids) + self.places(numbers) * 2)


class Rotary(nn.Module):
    """Rotated by cosines and sines made in forward, twice by the same ones, and scaled by 1 + a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.scale = nn.Parameter(torch.zeros(8))
        self.register_buffer("frequencies", torch.rand(8))

    def forward(self, x: Tensor) -> Tensor:
        angles = torch.arange(x.shape[1], device=x.device)[:, None] * self.frequencies
        cosines, sines = angles.cos(), angles.sin()
        for layer in (self.one, self.two):
            x = layer(x)
            x = x * cosines + x.flip(-1) * sines
        return x * (1.0 + self.scale) / torch.tensor(3.0, device=x.device)


def steered(run: Callable[[Tensor], Tensor]) -> nn.Module:
    class Steered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return run(self.layer(x))

    return Steered()


def best(y: Tensor) -> Tensor:
    values, indices = y.topk(3, dim=-1)
    return values + y.gather(-1, indices)


STEERED: dict[str, Callable[[Tensor], Tensor]] = {
    "a mask of the input's": lambda y: y.masked_fill(y > 0, 0.0),
    "a constant mask": lambda y: y.masked_fill(torch.ones(6, 8, device=y.device).tril() == 0, -1.0),
    "where": lambda y: torch.where(y > 0, y, 2 * y),
    "constant indices": lambda y: y[:, torch.tensor([0, 2], device=y.device)],
    "index_select": lambda y: y.index_select(1, torch.tensor([3, 1], device=y.device)),
    "topk and gather": best,
    "max": lambda y: y.max(dim=-1)[0],
    "sort": lambda y: y.sort(dim=-1)[0],
    "norm": lambda y: y / y.norm(dim=-1, keepdim=True),
    "numbers of the input's have no gradient": lambda y: y * (y.argmax(-1, keepdim=True) * 2),
    "maximum": lambda y: torch.maximum(y, y.flip(-1)),
    "the larger of it and a constant": lambda y: torch.maximum(y, torch.ones(8, device=y.device)),
    "grid_sample": lambda y: nn.functional.grid_sample(
        y[:, None], torch.zeros(2, 3, 3, 2, device=y.device), align_corners=False
    ),
    "2 to the power of": lambda y: 2.0**y,
    "in place": lambda y: (y * 1.0).masked_fill_(y > 0, 0.0) + 1,
}


def same_as_autograds(module: nn.Module, given: Tensor) -> None:
    found = vggcalc.summary(module, given).variants[0]
    assert "saved_bytes" not in found.partial
    assert found.costs["saved_bytes"] == saved_by_autograd(module, given)


@pytest.mark.parametrize("case", STEERED)
def test_what_steers_is_kept_in_its_own_dtype(case: str) -> None:
    same_as_autograds(steered(STEERED[case]), torch.rand(2, 6, 8))


@pytest.mark.parametrize("positions", ["arange", "buffer"])
def test_numbers_of_tokens_and_of_positions_are_kept(positions: str) -> None:
    same_as_autograds(Tokens(positions), torch.zeros(2, 6, dtype=torch.long))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_constants_made_in_forward_are_kept_once(dtype: torch.dtype) -> None:
    same_as_autograds(Rotary().to(dtype), torch.rand(2, 6, 8, dtype=dtype))


class Attention(nn.Module):
    """Four heads, in the ways for which torch has no fused kernel, and with masks of several kinds."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.qkv, self.out = kind, nn.Linear(8, 24), nn.Linear(8, 8)
        self.mask, self.table = nn.Parameter(torch.zeros(4, 6, 6)), nn.Parameter(torch.zeros(11, 4))
        self.register_buffer("distances", torch.arange(6)[:, None] - torch.arange(6) + 5)
        self.by_distance = nn.Conv1d(1, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 4, 2)).permute(2, 0, 3, 1, 4)
        mask = None
        match self.kind:
            case "a parameter":
                mask = self.mask
            case "a table":
                mask = self.table[self.distances].permute(2, 0, 1)
            case "a table, masked":
                later = torch.ones(6, 6, device=x.device).triu(1) > 0
                mask = self.table[self.distances].permute(2, 0, 1).masked_fill(later, -9.0)
            case "constant":
                mask = torch.zeros(6, 6, device=x.device)
            case "made of a constant by a convolution":
                mask = self.by_distance(torch.ones(1, 1, 36, device=x.device)).view(1, 4, 6, 6)
            case "five axes":
                q, k, v = (part[:, None] for part in (q, k, v))
            case "wider values":
                v = torch.cat([v, v], -1)
        made = nn.functional.scaled_dot_product_attention(q, k, v, mask)
        return self.out(made[..., :2].reshape(2, 4, 6, 2).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("kind", [
    "none", "a parameter", "a table", "a table, masked", "constant", "made of a constant by a convolution", "five axes",
    "wider values",
])  # fmt: skip
def test_attention_keeps_what_its_kernel_or_its_parts_do(kind: str) -> None:
    same_as_autograds(Attention(kind), torch.rand(2, 6, 8))
