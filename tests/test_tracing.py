"""Traces of modules written by hand, against torch's own counter, its autograd and arithmetic."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from conftest import networks
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend
from torch.utils.flop_counter import FlopCounterMode
from written import Written

from vggcalc.analysis.comparison import analyze
from vggcalc.analysis.receptive_field import receptive_fields, unit_span
from vggcalc.errors import InputError
from vggcalc.nets.graph import Network, Traced
from vggcalc.nets.layers import (
    Add,
    Dropout,
    Flatten,
    Opaque,
    ReLU,
    SiLU,
)
from vggcalc.nets.shapes import shapes
from vggcalc.results import Variant
from vggcalc.runtime.build import build
from vggcalc.runtime.check.counts import saved_by_autograd
from vggcalc.runtime.time.arms import first_tensor
from vggcalc.runtime.trace.tracer import trace

IMAGE = (2, 4, 12, 12)


def conv(kernel: int | tuple[int, int] = 3, into: int = 4, out: int = 4, **given: Any) -> nn.Conv2d:
    given.setdefault("padding", kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel))
    return nn.Conv2d(into, out, kernel, **given)


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.rand(*shape))


def counted(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates by torch's counter, of attention by its parts: it knows no formula for the fused layer."""
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.nn.attention.sdpa_kernel(SDPBackend.MATH), torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(torch.rand(shape))
    return counter.get_total_flops() // 2


def analyzed(module: nn.Module, shape: tuple[int, ...] = IMAGE) -> Variant:
    return analyze(trace(module, shape), "traced")


def separable() -> nn.Module:
    return nn.Sequential(conv((1, 7)), conv((7, 1)), nn.ReLU())


def loop(self: Any, x: Tensor) -> Tensor:
    for _ in range(x.shape[-1] // 4):
        x = self.a(x).relu_() if x.mean(1).dim() == 3 else x
    return x


def overwritten(self: Any, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, :, 1:] = self.a(x)[:, :, 1:]
    return self.b(y)


def shuffled(self: Any, x: Tensor) -> Tensor:
    one, two = self.a(x).chunk(2, 1)
    y = torch.cat([one, self.b(two)], 1)
    return y.view(2, 2, 2, 12, 12).transpose(1, 2).reshape(2, 4, 12, 12)


def squeezed(self: Any, x: Tensor) -> Tensor:
    return x * self.b(self.a(F.adaptive_avg_pool2d(x, 1)).relu()).sigmoid()


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


#: Keys and values of other widths and numbers, masks: none changes how many MACs there are.
ATTENTION = {
    "alone": lambda y: F.scaled_dot_product_attention(y, y, y),
    "causal": lambda y: F.scaled_dot_product_attention(y, y, y, is_causal=True),
    "masked": lambda y: F.scaled_dot_product_attention(y, y, y, torch.zeros(4, 4)),
    "across": lambda y: F.scaled_dot_product_attention(y[:, :3], y, y),
    "with narrow values": lambda y: F.scaled_dot_product_attention(y, y, y[..., :2]),
}  # fmt: skip

#: What has a law: parameters and MACs are exact.
EXACT: dict[str, nn.Module] = {
    "concatenation": Written(lambda s, x: s.b(torch.cat([x, s.a(x), x], 1)), a=conv(), b=conv(3, 12)),
    "one tensor twice": Written(lambda s, x: s.b(torch.cat([y := s.a(x), y], 1) + torch.cat([y, y], 1)),
                                a=conv(), b=conv(1, 8)),
    "depthwise 31×31": nn.Sequential(conv(31, groups=4), conv(1, out=8), nn.GELU(), conv(1, into=8)),
    "1×7 and 7×1": separable(),
    "channel shuffle": Written(shuffled, a=conv(), b=conv(3, 2, 2)),
    "squeeze and excite": Written(squeezed, a=conv(1, out=2), b=conv(1, into=2)),
    "transposed": nn.Sequential(conv(stride=2), nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2), conv(into=6)),
    "a functional convolution": Written(lambda s, x: F.conv2d(F.conv2d(x, s.w, padding=1), s.w),
                                        w=weight(4, 4, 3, 3)),
    "a repeated weight": Written(lambda s, x: F.conv2d(x, s.w.repeat(1, 2, 1, 1) * 2), w=weight(4, 2, 3, 3)),
    "a constant kernel": Written(lambda s, x: F.conv2d(s.a(x), s.k, groups=4),
                                 a=conv(), k=torch.ones(4, 1, 3, 3)),
    "torch.convolution": Written(lambda s, x: torch.convolution(
        x, s.w, None, [2, 1], [1, 0], [1, 1], False, [0, 0], 1), w=weight(4, 4, 3, 3)),
    "torch.convolution, transposed": Written(lambda s, x: torch.convolution(
        x, s.w, None, [2, 1], [1, 0], [1, 1], True, [1, 0], 2), w=weight(4, 2, 3, 3)),
    "called twice": Written(lambda s, x: s.a(s.a(x)), a=conv()),
    "padding same": nn.Sequential(nn.Conv2d(4, 4, 3, padding="same", dilation=2)),
    "padding same, even": nn.Sequential(nn.Conv2d(4, 4, (4, 3), padding="same")),
    "padding valid": nn.Sequential(nn.Conv2d(4, 4, 4, padding="valid", stride=2)),
    "padding reflect": nn.Sequential(nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect")),
    "in place": Written(lambda s, x: s.b(s.a(x).mul_(2).add_(x).relu_()), a=conv(), b=conv()),
    "written into": Written(overwritten, a=conv(), b=conv()),
    "control flow": Written(loop, a=conv()),
    "conv1d": Written(lambda s, x: s.a(x.flatten(2)), a=nn.Conv1d(4, 5, 3)),
    "conv3d": Written(lambda s, x: s.a(x[:, :, None]), a=nn.Conv3d(4, 5, (1, 3, 3))),
    "linear on the right": Written(lambda s, x: x.permute(0, 2, 3, 1) @ s.w, w=weight(4, 7)),
    "linear on the left": Written(lambda s, x: s.w @ x.flatten(2), w=weight(7, 4)),
    "addmm": Written(lambda s, x: torch.addmm(s.b, x.flatten(1), s.w), w=weight(576, 7), b=weight(7)),
    "linear by einsum": Written(lambda s, x: torch.einsum("oc,bchw->bohw", s.w, x), w=weight(7, 4)),
    "im2col": Written(lambda s, x: s.w @ F.unfold(x, 3, padding=1), w=weight(5, 36)),
    "tensordot": Written(lambda s, x: torch.tensordot(x, s.w, dims=([1], [1])), w=weight(7, 4)),
    "weight norm": Written(lambda s, x: s.a(x), a=nn.utils.parametrizations.weight_norm(conv())),
    "detached": Written(lambda s, x: s.b(s.a(x).data * 2), a=conv(), b=conv()),
    "an autograd function": Written(lambda s, x: s.b(Straight.apply(s.a(x))), a=conv(), b=conv()),
    "a checkpoint": Written(lambda s, x: torch.utils.checkpoint.checkpoint(s.a, x, use_reentrant=False),
                            a=conv()),
    "by position": Written(lambda s, x: s.a(x) + s.p, a=conv(), p=weight(1, 4, 12, 12)),
    "an unused layer": Written(lambda s, x: s.a(x), a=conv(), b=nn.Linear(3, 3)),
    "no batch norm's map": Written(lambda s, x: s.n(x.flatten(1)), n=nn.BatchNorm1d(576)),
    "resized": Written(lambda s, x: s.a(F.interpolate(x, size=(7, 9), mode="nearest-exact")), a=conv()),
    "GRU": Written(lambda s, x: s.a(x.flatten(2))[0], a=nn.GRU(144, 5, batch_first=True)),
    **{f"attention {name}": Written(lambda s, x, run=run: run(s.a(x.flatten(2))), a=nn.Linear(144, 6))
       for name, run in ATTENTION.items()},
    "a Gram matrix": Written(lambda s, x: (y := s.a(x).flatten(2)) @ y.mT, a=conv(1)),
    "channel attention": Written(lambda s, x: (y := s.a(x).flatten(2)) @ (y.mT @ y), a=conv(1)),
    "encoder": Written(lambda s, x: s.a(x.flatten(2).mT), a=nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)),
    "decoder": Written(lambda s, x: s.a(x.flatten(2).mT, x.flatten(2).mT[:, :5]),
                       a=nn.TransformerDecoderLayer(4, 2, 8, batch_first=True)),
    "attention with weights asked for": Written(lambda s, x: s.a(*[x.flatten(2).mT] * 3)[0],
                                                a=nn.MultiheadAttention(4, 2, batch_first=True)),
    "an einsum of activations": Written(lambda s, x: torch.einsum("bchw,bdhw->bcd", s.a(x), x), a=conv(1)),
    "a product of three": Written(lambda s, x: torch.baddbmm(x[:, 0], s.a(x)[:, 1], x[:, 2]), a=conv(1)),
    "broadcast factors": Written(lambda s, x: s.a(x) @ x[:, :1].mT, a=conv(1)),
    "a computed kernel": Written(lambda s, x: F.conv2d(x, s.a(x.mean((0, 2, 3))).view(3, 4, 3, 3)),
                                 a=nn.Linear(4, 108)),
    "a kernel of one group for each image": Written(
        lambda s, x: F.conv2d(x.view(1, 8, 12, 12), s.a(x.mean((2, 3))).view(8, 1, 3, 3), groups=8),
        a=nn.Linear(4, 36)),
    "low rank": Written(lambda s, x: F.linear(x, s.w + s.b @ s.a), w=weight(5, 12), b=weight(5, 2), a=weight(2, 12)),
    "low rank by einsum": Written(lambda s, x: x @ torch.einsum("or,ri->io", s.b, s.a),
                                  b=weight(5, 2), a=weight(2, 12)),
    "a table of positions": Written(
        lambda s, x: s.a(x) + torch.outer(torch.arange(12.0), torch.arange(12.0)) @ torch.ones(12, 12), a=conv()),
    "distances of a few points": Written(lambda s, x: torch.cdist(s.a(x).flatten(2), torch.rand(2, 3, 144)), a=conv(1)),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_parameters_and_macs_are_torchs(name: str) -> None:
    module = EXACT[name]
    found = analyzed(module)
    assert found.costs["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    assert found.costs["macs"] == counted(module, IMAGE)
    assert "macs" not in found.partial


#: What has not: the operators, and the MACs of the rest, by arithmetic.
UNKNOWN: dict[str, tuple[nn.Module, tuple[str, ...], int]] = {
    "a spectrum": (Written(lambda s, x: torch.fft.rfft2(s.a(x)).abs(), a=conv(1)), ("_fft_r2c",), 2 * 144 * 16),
    "an inverse": (Written(lambda s, x: torch.linalg.inv(s.a(x)), a=conv(1)), ("linalg_inv_ex",), 2 * 144 * 16),
    "an inverse of weights": (Written(lambda s, x: x @ torch.linalg.inv(s.w), w=weight(12, 12)),
                              ("linalg_inv_ex",), 2 * 4 * 12 * 144),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_has_no_formula_leaves_the_total_partial(name: str) -> None:
    module, operators, macs = UNKNOWN[name]
    found = analyzed(module)
    assert found.costs["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    assert found.costs["macs"] == macs
    assert found.partial["macs"] == operators


@pytest.mark.parametrize(
    ("module", "macs"),
    [  # torch's counter has no formula for these
        (Written(lambda s, x: x.flatten(1) @ s.w, w=weight(576)), 2 * 576),
        # distances as |x|² + |y|² − 2·x·yᵀ, with a column for each square
        (Written(lambda s, x: torch.cdist(x.flatten(2).mT, s.w), w=weight(2, 30, 4)), 2 * 144 * 30 * (4 + 2)),
        (
            Written(lambda s, x: s.a(x.flatten(1)[0]) * x.flatten(1)[0].dot(x.flatten(1)[1]), a=nn.Linear(576, 1)),
            2 * 576,
        ),
        (  # queries of four heads, keys and values of two
            Written(
                lambda s, x: F.scaled_dot_product_attention(x[:, :, :5], x[:, :2], x[:, :2], enable_gqa=True) + s.w,
                w=weight(12),
            ),
            2 * 4 * 5 * 12 * (12 + 12),
        ),
        (Written(lambda s, x: s.a(x, x), a=nn.Bilinear(12, 12, 5)), 2 * 4 * 12 * 12 * 12 * 5),
        # the kernel's largest singular value, by a matrix and a vector, and two vectors
        (
            Written(lambda s, x: s.a(x), a=nn.utils.parametrizations.spectral_norm(conv())),
            2 * 144 * 4 * 36 + 4 * 36 + 4,
        ),
    ],
    ids=["a vector", "distances", "two vectors", "grouped queries", "bilinear", "spectral norm"],
)
def test_what_torch_counts_none_of(module: nn.Module, macs: int) -> None:
    found = analyzed(module)
    assert found.costs["macs"] == macs
    assert "macs" not in found.partial


def test_an_lstm_is_its_products() -> None:
    """Four gates from the input and the state at each of four steps; torch counts none of them here."""
    module = Written(lambda s, x: s.a(x.flatten(2))[0], a=nn.LSTM(144, 5, batch_first=True))
    assert analyzed(module).costs["macs"] == 2 * 4 * (144 + 5) * 4 * 5


def test_a_wrapper_that_puts_out_no_tensor_names_its_only_part() -> None:
    class Predictor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = conv()

        def forward(self, x: Tensor) -> list[str]:
            return ["a cat"]

    with pytest.raises(InputError, match="there is nothing to count; its only part is model, a Conv2d: give that"):
        trace(Predictor(), (1, 3, 8, 8))


def test_unused_and_shared_parameters_count_once() -> None:
    shared = conv()
    module = Written(lambda s, x: s.a(x) + s.b(x), a=shared, b=shared, c=nn.Linear(3, 5))
    layers = {layer.name: layer.costs["parameters"] for layer in analyzed(module).layers}
    assert layers == {"a": 4 * 4 * 9 + 4, "a_2": 0, "add": 0, "c.unused": 20, "output": 0}
    tied = Written(lambda s, x: s.b(s.a(x)), a=conv(1), b=conv(1))
    tied.b.weight = tied.a.weight
    assert [layer.costs["parameters"] for layer in analyzed(tied).layers] == [20, 4]


def test_names_are_those_of_the_modules() -> None:
    module = nn.Sequential()
    module.add_module("stem", nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU()))
    module.add_module("head", Written(lambda s, x: s.fc(F.relu(x).mean((2, 3)) * 2), fc=nn.Linear(4, 2)))
    names = [layer.name for layer in analyzed(module).layers]
    assert names == ["stem.0", "stem.1", "stem.2", "head.relu", "head.mean", "head.mul", "head.fc"]


def test_the_module_is_left_as_it_was() -> None:
    def run(self: Any, x: Tensor) -> Tensor:
        self.seen = x  # what it keeps of a trace would be of the meta device
        self.register_buffer("kept", x * 2)
        return self.net(x)

    net = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.Dropout(), nn.Sequential(conv()))
    module = Written(run, net=net)
    module.train()
    net[3].eval()
    net[0].weight.requires_grad_(False)
    net[0].register_forward_hook(lambda *_: None)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    identities = [id(parameter) for parameter in module.parameters()]
    trace(module, IMAGE)
    assert [part.training for part in module.modules()] == [True, True, True, True, True, False, False]
    assert [len(part._forward_hooks) for part in module.modules()] == [0, 0, 1, 0, 0, 0, 0]
    assert all(not part._forward_pre_hooks for part in module.modules())
    assert [parameter.requires_grad for parameter in module.parameters()] == [False] + [True] * 5
    assert [id(parameter) for parameter in module.parameters()] == identities
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())
    assert not hasattr(module, "seen")
    assert all(parameter.grad is None for parameter in module.parameters())


def test_the_module_is_left_as_it_was_when_it_raises() -> None:
    module = nn.Sequential(conv(), nn.Linear(5, 5)).train()
    message = r"^Sequential cannot be traced: layer 1: Linear wants 5 features, got 12 from input 2×4×12×12$"
    with pytest.raises(InputError, match=message):
        trace(module, IMAGE)
    assert module.training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_the_module_that_raises_is_named_where_another_one_caught_an_exception() -> None:
    def run(self: Any, x: Tensor) -> Tensor:
        with contextlib.suppress(RuntimeError):
            self.a(x.flatten(1))
        return x.flatten(2) @ x

    with pytest.raises(InputError, match=r"inputs \(2, 4, 12, 12\): Written raised RuntimeError"):
        trace(Written(run, a=nn.Linear(5, 5)), IMAGE)


@pytest.mark.parametrize(
    "inputs",
    [IMAGE, list(IMAGE), torch.rand(IMAGE), [IMAGE], (torch.rand(IMAGE),)],
    ids=["shape", "list", "tensor", "shapes", "tensors"],
)
def test_inputs_are_a_shape_or_a_tensor_or_a_list_of_them(inputs: Any) -> None:
    assert trace(nn.Sequential(conv(out=7)), inputs) == trace(nn.Sequential(conv(out=7)), IMAGE, "Sequential")


def test_several_inputs_with_the_dtypes_of_their_tensors() -> None:
    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 6, 3, padding=1)
            self.embedding = nn.Embedding(10, 6)

        def forward(self, image: Tensor, words: Tensor) -> Tensor:
            return self.conv(image) + self.embedding(words)[:, :, None, None]

    network = trace(Embedded(), [IMAGE, torch.zeros(2, dtype=torch.int64)])
    found = analyze(network, "traced")
    nodes = {node.name: node for node in network.nodes}
    assert network.input_shape == IMAGE
    assert nodes["embedding"].inputs == ("input_2",)
    assert nodes["input_2"].layer.output_shape == (2,)  # type: ignore[union-attr]
    assert nodes["add"].inputs == ("conv", "unsqueeze_2")
    assert found.costs["macs"] == 2 * 6 * 144 * 4 * 9
    assert found.costs["parameters"] == 4 * 6 * 9 + 6 + 60
    assert nodes["conv"].traced == Traced(
        "window", (12, 12), 222, "conv", weights="own", trains="weight", trainable=222, parameter_bytes=4 * 222
    )


@pytest.mark.parametrize(
    "inputs", [3, "1,3,8,8", None, (), {}, {1: IMAGE}, [3, "text"], [IMAGE, b"text"], (1, 4.0)], ids=str
)
def test_other_inputs_are_a_type_error(inputs: Any) -> None:
    with pytest.raises(TypeError, match=r"inputs must be a shape such as \(1, 3, 224, 224\), a tensor, a list"):
        trace(conv(), inputs)


def test_what_is_no_module_or_no_size() -> None:
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module, not int"):
        trace(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 1"):
        trace(conv(), (1, 4, 0, 12))


def test_a_module_larger_than_memory() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Flatten(), nn.Linear(10**6, 10**6))
    assert analyzed(module, (1, 1, 1000, 1000)).costs["macs"] == 10**12


def test_no_map_is_computed() -> None:
    """Of 4·10¹⁰ elements each."""
    assert analyzed(conv(1, bias=False), (10**4, 4, 1000, 1000)).costs["macs"] == 16 * 10**10


def test_without_an_output_of_the_image_there_is_nothing_to_count() -> None:
    with pytest.raises(InputError, match="depends on its input, but a Tensor: there is nothing to count"):
        trace(Written(lambda s, x: s.w * 2, w=weight(3)), IMAGE)
    with pytest.raises(InputError, match="puts out nothing that depends on its input, but None"):
        trace(Written(lambda s, x: [s.a(x)].clear(), a=conv()), IMAGE)  # type: ignore[arg-type, return-value]


def test_the_first_tensor_of_several_outputs_is_the_networks() -> None:
    module = Written(lambda s, x: {"out": s.a(x), "aux": s.b(x)}, a=conv(out=5), b=conv(out=6))  # type: ignore[dict-item, return-value]
    assert analyzed(module).output_shape == (2, 5, 12, 12)
    assert analyzed(module).costs["parameters"] == sum(p.numel() for p in module.parameters())


@dataclass
class Detected:
    score: float
    boxes: Tensor
    more: object = None


class Named(NamedTuple):
    count: int
    boxes: Tensor


class WithSlots:
    __slots__ = ("boxes",)


class OneSlot(WithSlots):
    __slots__ = "__weakref__"


class Plain:
    pass


def with_attribute(made: Any, tensor: Tensor) -> Any:
    made.boxes = tensor
    return made


def in_a_circle(tensor: Tensor) -> Any:
    made = Plain()
    made.itself = [made]  # type: ignore[attr-defined]
    return with_attribute(made, tensor)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: Detected(0.5, t),
        lambda t: Detected(0.5, more=[{"boxes": t}], boxes=None),  # type: ignore[arg-type]
        lambda t: Named(3, t),
        lambda t: with_attribute(WithSlots(), t),
        lambda t: with_attribute(OneSlot(), t),
        lambda t: with_attribute(Plain(), t),
        lambda t: type("Own", (dict,), {})(boxes=t),
        lambda t: type("Own", (list,), {})([None, t]),
        in_a_circle,
    ],
)
def test_tensors_in_objects_are_put_out_too(wrap: Callable[[Tensor], Any]) -> None:
    module = Written(lambda s, x: wrap(s.a(x)), a=conv(out=5))
    assert analyzed(module).output_shape == (2, 5, 12, 12)
    assert first_tensor(module(torch.rand(IMAGE))).shape == (2, 5, 12, 12)


def test_a_module_that_puts_out_no_tensor_cannot_be_timed() -> None:
    with pytest.raises(ValueError, match="puts out no tensor, but NoneType"):
        first_tensor(None)


# A network, built and traced, is the network again


def again(network: Network) -> Network:
    """The trace of the built network."""
    return trace(build(network), network.input_shape)


def step_by_step(network: Network) -> bool:
    """To torch too each node is one operator: sums are of two tensors, and no vector is flattened."""
    known = shapes(network)
    return all(
        len(node.inputs) == 2 if isinstance(node.layer, Add) else len(known[node.inputs[0]]) > 2
        for node in network.nodes
        if isinstance(node.layer, Add | Flatten)
    )


@settings(max_examples=120)
@given(networks(kinds=("conv", "conv", "bn", "relu", "act", "max", "avg", "flatten", "linear", "dropout")))
def test_a_built_network_is_traced_back(network: Network) -> None:
    """Layers, and what they cost. Local response norm is left out: it is several operators to torch.

    Of a map with one channel, each element of which is a unit's, `Flatten` loses no place to a trace.
    """
    traced = again(network)
    one, two = analyze(network, "drawn"), analyze(traced, "drawn")
    same = ["parameters", "macs", "activations", "weight_bytes", "training_flops"]
    if step_by_step(network):
        same += ["traffic_bytes", "peak_activation_bytes", "saved_bytes"]
        assert len(traced.nodes) == len(network.nodes)
        for before, after in zip(network.nodes, traced.nodes, strict=True):
            assert type(before.layer) is type(after.layer)
            in_place = isinstance(before.layer, ReLU | SiLU)  # built so where the network allows it
            assert in_place or before.layer == after.layer
        if not any(isinstance(node.layer, Flatten) for node in network.nodes):
            fields = list(receptive_fields(network, shapes(network)).values())
            assert list(receptive_fields(traced, shapes(traced)).values()) == fields
    assert [two.costs[key] for key in same] == [one.costs[key] for key in same]


# What training keeps, by autograd's own hooks


def between(middle: Callable[[Tensor], Tensor]) -> nn.Module:
    return Written(lambda s, x: s.b(middle(s.a(x))), a=conv(), b=conv())


def normed(norm: nn.Module) -> nn.Module:
    return Written(lambda s, x: s.b(s.n(s.a(x))), a=conv(), n=norm, b=conv())


FUNCTIONS = (
    "hardswish hardsigmoid hardtanh leaky_relu elu celu selu mish softplus sigmoid tanh relu relu6 gelu "
    "silu hardshrink softshrink"
)
IN_PLACE = "hardswish hardsigmoid hardtanh leaky_relu elu celu selu mish relu relu6 silu"


def behind(run: Callable[[Tensor], Tensor]) -> nn.Module:
    """What runs on the output of a convolution, and nothing behind it."""
    return Written(lambda s, x: run(s.a(x)), a=conv())


def heads(y: Tensor) -> list[Tensor]:
    """Query, key and value of two heads each, parts of one tensor, as timm and torchvision cut them."""
    tokens = y.flatten(2).mT.repeat(1, 1, 3)
    return list(tokens.view(2, 144, 3, 2, 2).permute(2, 0, 3, 1, 4).unbind(0))


def written_out(y: Tensor) -> Tensor:
    """Attention by its products."""
    query, key, value = heads(y)
    return ((query @ key.mT).softmax(-1) @ value).transpose(1, 2).reshape(2, 144, 4)


def only_bias(module: nn.Module) -> nn.Module:
    """The module with a frozen weight."""
    module.weight.requires_grad_(False)  # type: ignore[union-attr, operator]
    return module


KEPT: dict[str, nn.Module] = {
    **{name: between(getattr(F, name)) for name in FUNCTIONS.split()},
    **{f"{name}_": Written(lambda s, x, f=getattr(F, name): s.b(f(s.n(s.a(x)), inplace=True)),
                           a=conv(), n=nn.BatchNorm2d(4), b=conv()) for name in IN_PLACE.split()},
    "mul by itself": between(lambda y: y * y),
    "mul by a number": between(lambda y: y * 3),
    "mul by another": between(lambda y: y * y.sigmoid()),
    "mul by the image": Written(lambda s, x: s.b(s.a(x) * x), a=conv(), b=conv()),
    "mul by a weight": Written(lambda s, x: s.b(s.a(x) * s.g), a=conv(), g=weight(4, 1, 1), b=conv()),
    "div by a number": between(lambda y: y / 3),
    "div by another": between(lambda y: y / (y.abs() + 1)),
    "reciprocal": between(lambda y: 1 / (y * y + 1)),
    "sqrt": between(lambda y: (y * y + 1).sqrt()),
    "square": between(lambda y: y**2),
    "clamp": between(lambda y: y.clamp(0, 1)),
    "layer norm": normed(nn.LayerNorm(12)),
    "layer norm of channels": Written(lambda s, x: s.b(s.n(s.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)),
                                      a=conv(), n=nn.LayerNorm(4), b=conv()),
    "layer norm, not affine": normed(nn.LayerNorm([4, 12, 12], elementwise_affine=False)),
    "group norm": normed(nn.GroupNorm(2, 4)),
    "instance norm": normed(nn.InstanceNorm2d(4)),
    "instance norm, affine": normed(nn.InstanceNorm2d(4, affine=True)),
    "rms norm": normed(nn.RMSNorm(12)),
    "batch norm of a row": Written(lambda s, x: s.b(s.n(s.a(x).flatten(2)).reshape(x.shape)),
                                   a=conv(), n=nn.BatchNorm1d(4), b=conv()),
    "reshape that copies": between(lambda y: y.permute(0, 1, 3, 2).reshape(2, 4, 12, 12)),
    "contiguous": between(lambda y: y.permute(0, 1, 3, 2).contiguous()),
    "clone": between(torch.clone),
    "flatten that copies": Written(lambda s, x: s.l(s.a(x).permute(0, 2, 3, 1).flatten(1)),
                                   a=conv(), l=nn.Linear(576, 2)),
    "a slice": between(lambda y: torch.cat([y, y], 1)[:, 2:6]),
    "split": between(lambda y: torch.cat(y.split([1, 3], 1)[::-1], 1)),
    "expand": between(lambda y: y.mean(1, keepdim=True).expand(2, 4, 12, 12)),
    "pad": between(lambda y: F.pad(y, (1, 1))),
    "reflect": between(lambda y: F.pad(y, (1, 1, 1, 1), mode="reflect")),
    "mean": between(lambda y: y * y.mean((2, 3), keepdim=True)),
    "amax": between(lambda y: y + y.amax((2, 3), keepdim=True)),
    "softmax": between(lambda y: y.softmax(1)),
    "average": between(lambda y: F.avg_pool2d(y, 3, 1, 1)),
    "largest": between(lambda y: F.adaptive_max_pool2d(y, 3)),
    "nearest": between(lambda y: F.interpolate(y, scale_factor=2)),
    "bilinear": between(lambda y: F.interpolate(y, scale_factor=2, mode="bilinear")),
    "shuffle": between(lambda y: F.pixel_shuffle(torch.cat([y] * 4, 1), 2)),
    "dropout": between(lambda y: F.dropout(y, 0.0)),
    "prelu": normed(nn.PReLU()),
    "transposed": normed(nn.ConvTranspose2d(4, 4, 2, 2)),
    "two crops": Written(lambda s, x: s.a(x[:, :, :6]) - s.a(x.flip(2)[:, :, :6].contiguous()), a=conv()),
    "linear on the left": Written(lambda s, x: s.l @ s.a(x).flatten(2), a=conv(), l=weight(7, 4)),
    "a Gram matrix": behind(lambda y: y.flatten(2) @ y.flatten(2).mT),
    "a product with the input": Written(lambda s, x: s.a(x) @ x.mT, a=conv()),
    "broadcast factors": behind(lambda y: y @ y[:, :1].mT),
    "heads, written out": behind(written_out),
    "heads, fused": behind(lambda y: F.scaled_dot_product_attention(*heads(y))),
    "causal": behind(lambda y: F.scaled_dot_product_attention(*heads(y), is_causal=True)),
    "three matrices": behind(lambda y: torch.baddbmm(y[:, 0], y[:, 1], y[:, 2])),
    "an einsum": behind(lambda y: torch.einsum("bchw,bdhw->bcd", y, y)),
    "a computed kernel": Written(lambda s, x: F.conv2d(s.b(x), s.a(x.mean((0, 2, 3))).view(3, 4, 3, 3)),
                                 a=nn.Linear(4, 108), b=conv()),
    "a computed kernel on the input": Written(lambda s, x: F.conv2d(x, s.a(x.mean((0, 2, 3))).view(3, 4, 3, 3)),
                                              a=nn.Linear(4, 108)),
    "a detached path": between(lambda y: y * y.detach()),
    "a mask": between(lambda y: y + (y > 0)),
    "where": between(lambda y: torch.where(y > 0, y, y * 0.1)),
    "chosen channels": between(lambda y: y[:, [1, 0, 2, 3]]),
    "encoder": Written(lambda s, x: s.a(x.flatten(2).mT), a=nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True)),
    "frozen before": nn.Sequential(conv().requires_grad_(False), nn.ReLU(), conv()),
    "frozen behind": nn.Sequential(conv(), nn.ReLU(), conv().requires_grad_(False), nn.Flatten(),
                                   nn.Linear(576, 5).requires_grad_(False)),
    "frozen weights": Written(lambda s, x: s.l(s.a(x)), a=conv(), l=only_bias(nn.Linear(12, 5))),
    "all frozen": nn.Sequential(conv(), nn.ReLU(), nn.BatchNorm2d(4)).requires_grad_(False),
    "frozen norm": nn.Sequential(conv(), nn.BatchNorm2d(4).requires_grad_(False), nn.GELU()),
}  # fmt: skip


@pytest.mark.parametrize("name", ["weight norm", "low rank", "a table of positions"])
def test_saved_bytes_of_what_is_computed_of_weights_are_autograds_or_partial(name: str) -> None:
    module = EXACT[name].train()
    found = analyzed(module)
    real = saved_by_autograd(module, torch.rand(IMAGE))
    assert found.costs["saved_bytes"] == real or (found.partial["saved_bytes"] and found.costs["saved_bytes"] <= real)


@pytest.mark.parametrize("constant", [torch.nn.Parameter, torch.clone], ids=["parameter", "made in forward"])
@pytest.mark.parametrize("run", [
    lambda x, k: F.conv2d(x, k), lambda x, k: F.linear(x[..., :3], k[0, :, 0]), lambda x, k: x[:, :, :3, :3] @ k[0, 0],
    lambda x, k: x[:, :, :3, :3] * k[:2], lambda x, k: torch.addmm(k[0, 0, 0], x[0, 0, :3, :3], k[0, 0]),
])  # fmt: skip
def test_constant_kernels_save_what_autograd_saves_or_are_partial(
    run: Callable[[Tensor, Tensor], Tensor], constant: Callable[[Tensor], Tensor]
) -> None:
    """A kernel that is no parameter is saved too, and torch does so in some of the cases."""
    module = Written(lambda s, x: run(s.a(x), constant(torch.ones(1, 4, 3, 12)[..., :3].repeat(4, 1, 1, 1))), a=conv())
    found = analyzed(module)
    real = saved_by_autograd(module.train(), torch.rand(IMAGE))
    assert found.costs["saved_bytes"] == real or (found.partial["saved_bytes"] and found.costs["saved_bytes"] <= real)


@pytest.mark.parametrize("name", KEPT)
def test_saved_bytes_are_autograds(name: str) -> None:
    module = KEPT[name].train()
    found = analyzed(module)
    assert "saved_bytes" not in found.partial
    assert found.costs["saved_bytes"] == saved_by_autograd(module, torch.rand(IMAGE))


@pytest.mark.parametrize("middle", [lambda y: torch.atan2(y, y), torch.nn.functional.logsigmoid])
def test_where_it_is_not_known_the_rest_is_a_lower_bound(middle: Callable[[Tensor], Tensor]) -> None:
    module = between(middle).train()
    found = analyzed(module)
    assert found.partial["saved_bytes"]
    assert int(found.costs["saved_bytes"] or 0) <= saved_by_autograd(module, torch.rand(IMAGE))


def test_what_a_computed_weight_keeps_is_not_known() -> None:
    found = analyzed(EXACT["weight norm"])
    assert found.partial["saved_bytes"] == ("Conv2d",)


# What one unit sees, by the gradient


class UNet(nn.Module):
    """Two steps down and up again, with what is on the same level beside."""

    def __init__(self, up: str) -> None:
        super().__init__()
        self.down = nn.ModuleList([conv(), conv(), conv()])
        self.wide = nn.ModuleList([conv(into=8), conv(into=8)])
        self.up = nn.ConvTranspose2d(4, 4, 2, 2) if up == "transposed" else nn.Upsample(None, 2, up)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.down[0](x)]
        for down in self.down[1:]:
            levels.append(down(F.avg_pool2d(levels[-1], 2)))
        x = levels.pop()
        for wide in self.wide:
            x = wide(torch.cat([self.up(x), levels.pop()], 1))
        return x


PROBED: dict[str, nn.Module] = {
    **{f"U-Net, {up}": UNet(up) for up in ("transposed", "bilinear", "nearest")},
    "dilated": nn.Sequential(nn.Conv2d(4, 4, 3, padding=5, dilation=5), conv(1, stride=2)),
    "transposed": nn.Sequential(conv(stride=2), nn.ConvTranspose2d(4, 4, 4, 3, 1, 1, dilation=2)),
    "transposed, sparse": nn.Sequential(conv(stride=2), nn.ConvTranspose2d(4, 4, 1, 3)),
    "transposed, stride 1": nn.Sequential(conv(stride=2), nn.ConvTranspose2d(4, 4, 5, 1, 1)),
    **{f"{mode}, {size}, {corners}": Written(
        lambda s, x, given=(size, None, mode, corners): F.interpolate(s.a(x), *given), a=conv())
       for mode, corners in (("bilinear", False), ("bilinear", True), ("bicubic", False), ("bicubic", True),
                             ("nearest", None), ("nearest-exact", None), ("area", None))
       for size in ((17, 40), (47, 5))},
    "adaptive": Written(lambda s, x: F.adaptive_avg_pool2d(s.a(x), (7, 5)), a=conv(stride=2)),
    "of rows": Written(lambda s, x: F.adaptive_avg_pool2d(s.a(x), (None, 1)), a=conv(stride=2)),
    "gates": Written(lambda s, x: s.a(x) * F.adaptive_avg_pool2d(x, (None, 1)), a=conv(5)),
    "a cropped gate": Written(lambda s, x: s.a(x) * s.b(x[:, :, :, 2:-3]).mean((2, 3), keepdim=True),
                              a=conv(), b=nn.Conv2d(4, 4, 2, 5)),
    "strided slice": Written(lambda s, x: s.a(x[:, :, 3:-2, 1::3]), a=conv()),
    "cropped": Written(lambda s, x: s.a(x[:, :, :10]), a=conv()),
    "padded": Written(lambda s, x: s.a(F.pad(x, (0, 2, 0, 1))), a=nn.Conv2d(4, 4, 3)),
    **{mode: nn.Sequential(nn.Conv2d(4, 4, 7, padding=3, padding_mode=mode))
       for mode in ("reflect", "replicate", "circular")},
    "same": nn.Sequential(nn.Conv2d(4, 4, (4, 3), padding="same", dilation=(1, 2))),
    "pixel shuffle": nn.Sequential(conv(), nn.PixelShuffle(2), nn.Conv2d(1, 4, 3)),
    "pixel unshuffle": nn.Sequential(conv(), nn.PixelUnshuffle(3), nn.Conv2d(36, 4, 2)),
    "rounded up": nn.Sequential(conv(), nn.AvgPool2d(3, 2, 1, ceil_mode=True)),
    "as tokens": Written(lambda s, x: s.a(x).flatten(2).mT.mT.reshape(x.shape), a=conv()),
    "beyond the border": nn.Sequential(nn.Conv2d(4, 4, 1, padding=3)),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBED)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_one_unit_sees_what_has_a_gradient(name: str) -> None:
    size = (1, 4, 24, 36)
    module = PROBED[name].double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.1)
    network = trace(module, size)
    image = torch.ones(size, dtype=torch.float64, requires_grad=True)
    output = module(image)
    height, width = output.shape[2:]
    for u in {0, 1, 2, height // 2, height - 1} & set(range(height)):
        for v in {0, 1, width // 2, width - 2, width - 1} & set(range(width)):
            (gradient,) = torch.autograd.grad(output[0, :, u, v].sum(), image, retain_graph=True)
            places = (gradient[0].abs().sum(0) > 1e-14).nonzero()
            seen = tuple(zip(places.amin(0).tolist(), places.amax(0).tolist(), strict=True)) if len(places) else ()
            expected = None if seen == ((0, 23), (0, 35)) else seen
            assert unit_span(network, network.nodes[-1].name, (u, v)) == expected, (u, v)


@pytest.mark.parametrize("run", [
    lambda s, x: F.interpolate(s.a(x), scale_factor=1.3), lambda s, x: s.a(x).roll(2, 3),
    lambda s, x: torch.cat([s.a(x)] * 2, 2),
])  # fmt: skip
def test_what_does_not_say_what_it_sees_is_not_guessed(run: Callable[[Any, Tensor], Tensor]) -> None:
    network = trace(Written(run, a=conv()), (1, 4, 24, 36))
    assert receptive_fields(network, shapes(network))[network.nodes[-1].name] == "unknown"
    with pytest.raises(InputError):
        unit_span(network, network.nodes[-1].name, (0, 0))


def test_a_padding_in_words_is_not_opaque() -> None:
    layers = [node.layer for node in trace(EXACT["padding same, even"], IMAGE).nodes]
    assert not any(isinstance(layer, Opaque | Dropout) for layer in layers)
