"""Traces against an independent walk: `make_fx` writes down the operators, and what each costs and sees is said here.

It knows nothing of layers, names or our operators' table: a MAC is a multiplication in `aten.convolution`, `mm` or
`addmm`, and a unit's field follows from the windows alone (Araujo et al. 2019).
"""

from math import prod
from typing import Any

import msgspec
import pytest
import torch
from conftest import SPATIAL, networks
from hypothesis import given, settings
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F
from written import Written

from vggcalc.analysis.comparison import analyze
from vggcalc.nets.graph import Network
from vggcalc.runtime.build import build
from vggcalc.runtime.trace.tracer import trace

aten = torch.ops.aten


class Field(msgspec.Struct, frozen=True):
    """Along each axis unit u sees u·stride − before … u·stride − before + size − 1."""

    size: tuple[int, ...] = (1, 1)
    stride: tuple[int, ...] = (1, 1)
    before: tuple[int, ...] = (0, 0)

    def through(self, kernel: Any, stride: Any, padding: Any, dilation: Any) -> "Field":
        """Behind a window that slides over what this sees."""
        reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return Field(
            tuple(size + n * step for size, n, step in zip(self.size, reach, self.stride, strict=True)),
            tuple(step * by for step, by in zip(self.stride, stride, strict=True)),
            tuple(before + p * step for before, p, step in zip(self.before, padding, self.stride, strict=True)),
        )

    def beside(self, other: "Field") -> "Field | None":
        """What both see together; None where they step differently."""
        if self.stride != other.stride:
            return None
        before = tuple(map(max, self.before, other.before))
        ends = [max(s - b, t - c) for s, b, t, c in zip(self.size, self.before, other.size, other.before, strict=True)]
        return Field(tuple(b + end for b, end in zip(before, ends, strict=True)), self.stride, before)


def pair(numbers: Any) -> tuple[int, ...]:
    return tuple(numbers) * (1 if len(numbers) == 2 else 2)


def recorded(module: nn.Module, shape: tuple[int, ...]) -> GraphModule:
    """What the module runs on an input of that shape, its last placeholder, in operators of aten with their shapes."""
    state = {**dict(module.eval().named_parameters()), **dict(module.named_buffers())}

    def run(state: dict[str, Tensor], image: Tensor) -> Tensor:
        found: Tensor = functional_call(module, state, (image,))
        return found

    with torch.no_grad():
        return make_fx(run, tracing_mode="fake")(state, torch.zeros(shape))


def result(graph: GraphModule) -> Node:
    """What the graph ends with."""
    (found,) = next(node for node in graph.graph.nodes if node.op == "output").all_input_nodes
    return found


def macs(graph: GraphModule) -> int:
    """By the shapes that stand in the graph."""
    total = 0
    for node in graph.graph.nodes:
        values = [arg.meta["val"] for arg in node.args if isinstance(arg, Node)]
        shapes = [tuple(value.shape) for value in values if isinstance(value, Tensor)]
        if node.target is aten.convolution.default:
            image, weight = shapes[:2]
            transposed = node.args[6]
            units = prod(image) if transposed else prod(node.meta["val"].shape)
            total += units * prod(weight[1:])
        elif node.target in (aten.mm.default, aten.addmm.default):
            (rows, inner), (_, columns) = shapes[-2:]
            total += rows * inner * columns
        else:
            assert not any(word in str(node.target) for word in ("conv", "mm", "linear", "einsum", "attention", "dot"))
    return total


#: Operators whose every element sees what the same element of what they read sees.
ELEMENTWISE = (
    "add", "relu", "relu_", "gelu", "silu", "silu_", "clone", "detach", "native_batch_norm", "cudnn_batch_norm",
    "_native_batch_norm_legit_no_training", "cat", "getitem",
)  # fmt: skip


def seen(graph: GraphModule) -> Field | None:
    """What a unit of the output sees; None where that varies."""
    image = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    fields: dict[Node, Field | None] = {image: Field()}
    for node in graph.graph.nodes:
        if node.op == "output":
            return fields[result(graph)]
        if node.op == "call_function":
            name = str(getattr(node.target, "__name__", node.target)).partition(".")[0]
            read = [fields[one] for one in node.all_input_nodes if one in fields]
            if not read:
                continue  # made of weights alone
            found = read[0]
            for other in read[1:]:
                found = found.beside(other) if found is not None and other is not None else None
            match name:
                case "convolution":
                    assert not node.args[6], "transposed"
                    kernel = node.args[1].meta["val"].shape[2:]
                    window = (kernel, *map(pair, node.args[3:6]))
                    fields[node] = found and found.through(*window)
                case "max_pool2d_with_indices" | "avg_pool2d":
                    kernel, stride, padding, dilation = (*node.args[1:], *[None] * 4)[:4]
                    dilation = dilation if name.startswith("max") else None
                    window = (pair(kernel), pair(stride or kernel), pair(padding or (0,)), pair(dilation or (1,)))
                    fields[node] = found and found.through(*window)
                case _:
                    assert name in ELEMENTWISE, name
                    fields[node] = found
    return fields[result(graph)]


def conv(into: int, out: int, *arguments: Any, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(into, out, *arguments, **options)


MODULES: dict[str, nn.Module] = {
    "chain": nn.Sequential(conv(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(True), nn.MaxPool2d(3, 2, 1), conv(8, 6, 3)),
    "grouped and dilated": nn.Sequential(conv(3, 9, (1, 5), groups=3), conv(9, 9, 3, dilation=(2, 3), groups=9)),
    "residual": Written(lambda s, x: F.relu(s.b(F.relu(s.a(x))) + s.c(x)),
                        a=conv(3, 4, 5, 2, 2), b=conv(4, 4, 3, padding=1), c=conv(3, 4, 1, 2)),
    "inception": Written(lambda s, x: torch.cat([s.a(x), s.c(s.b(x)), s.d(x)], 1), a=conv(3, 4, 1),
                         b=conv(3, 2, 1), c=conv(2, 3, 5, padding=2), d=nn.MaxPool2d(3, 1, 1)),
    "averages": nn.Sequential(conv(3, 4, 3), nn.AvgPool2d(3, 2), nn.GELU(), nn.AvgPool2d((2, 3))),
}  # fmt: skip

HEADS: dict[str, nn.Module] = {
    "classifier": nn.Sequential(conv(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.Linear(5, 2)),
    "without bias": nn.Sequential(conv(3, 4, 5, 3), nn.Flatten(), nn.Linear(4 * 9 * 9, 7, bias=False)),
    "transposed": nn.Sequential(conv(3, 4, 3, 2), nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2), conv(6, 2, 1)),
    "tokens": Written(lambda s, x: s.b(F.gelu(s.a(x.flatten(2)))), a=nn.Linear(29 * 29, 5), b=nn.Linear(5, 3)),
    "one dimension": Written(lambda s, x: s.a(x.flatten(2)), a=nn.Conv1d(3, 4, 5, 2, dilation=3)),
}  # fmt: skip

IMAGE = (2, 3, 29, 29)


def hold(module: nn.Module, network: Network, with_field: bool) -> None:
    """The trace is the network's graph: shape, MACs and what a unit of the output sees."""
    graph, variant = recorded(module, network.input_shape), analyze(network, "traced")
    assert variant.output_shape == tuple(result(graph).meta["val"].shape)
    assert variant.costs["macs"] == macs(graph)
    if with_field:
        field, found = seen(graph), variant.receptive_field
        if field is None:
            assert found is None
        else:
            assert found is not None
            assert (found.size, found.stride, found.padding) == (field.size, field.stride, field.before)


@pytest.mark.parametrize("name", [*MODULES, *HEADS])
def test_a_trace_is_what_make_fx_writes_down(name: str) -> None:
    module = MODULES[name] if name in MODULES else HEADS[name]
    hold(module, trace(module, IMAGE), name in MODULES)


@settings(max_examples=25)
@given(networks(kinds=SPATIAL))
def test_the_trace_of_any_network_is_what_make_fx_writes_down(network: Network) -> None:
    module = build(network)
    hold(module, trace(module, network.input_shape), True)
