"""Networks as ordinary `torch.nn` modules."""

from collections.abc import Iterable
from operator import attrgetter
from typing import assert_never

import msgspec
import torch
from torch import nn

from vggcalc.errors import InputError
from vggcalc.nets.graph import INPUT, Network
from vggcalc.nets.layers import (
    GELU,
    NONLINEARITIES,
    AdaptiveAvgPool,
    Add,
    BatchNorm,
    Concat,
    Convolution,
    CustomOperator,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MatrixProduct,
    MaxPool,
    Opaque,
    Operation,
    PlainConvolution,
    ReLU,
    SiLU,
    Window,
)
from vggcalc.runtime.padded import conv_module


class Sum(nn.Module):
    """Elementwise sum of its arguments."""

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        for other in others:
            first = first + other
        return first


class ConcatChannels(nn.Module):
    """Its arguments side by side along the channels."""

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return torch.cat(tensors, dim=1)


def make(layer: Layer, in_place: bool) -> nn.Module:
    """The module of one layer."""
    match layer:
        case PlainConvolution():
            return conv_module(layer)
        case Convolution() | BatchNorm() | MaxPool() | AdaptiveAvgPool():
            kind: type[nn.Module] = getattr(nn, type(layer).__name__)
            return kind(**msgspec.structs.asdict(layer))
        case LocalResponseNorm():
            return nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
        case ReLU():
            return nn.ReLU(inplace=layer.inplace and in_place)
        case GELU():
            return nn.GELU(layer.approximate)
        case SiLU():
            return nn.SiLU(inplace=layer.inplace and in_place)
        case Flatten():
            return nn.Flatten()
        case Linear():
            return nn.Linear(layer.in_features, layer.out_features, layer.bias)
        case Dropout():
            return nn.Dropout(layer.p)
        case Add():
            return Sum()
        case Concat():
            return ConcatChannels()
        case Operation() if layer.function in NONLINEARITIES:
            made: nn.Module = getattr(nn, NONLINEARITIES[layer.function])(**layer.options)
            if layer.inplace:
                made.inplace = True  # type: ignore[assignment]
            return made
        case Window() | Operation() | Opaque() | MatrixProduct() | CustomOperator():
            raise InputError(f"{layer.function} was seen in a trace and cannot be built from it alone")
        case _:
            assert_never(layer)


class Graph(nn.Module):
    """A network with branches: runs its nodes in order and forgets a tensor after its last reader."""

    def __init__(self, network: Network, modules: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        last: dict[str, int] = {}
        for i, node in enumerate(network.nodes):
            last |= dict.fromkeys(node.inputs, i)
        self._output = network.nodes[-1].name
        self._steps = []
        #: Of each module, in the order in which they run: its path, the nodes that it reads, and its own node.
        self.order: list[tuple[str, tuple[str, ...], str]] = []
        for i, (node, (path, module)) in enumerate(zip(network.nodes, modules, strict=True)):
            _place(self, path, module)
            done = [name for name in dict.fromkeys(node.inputs) if last[name] == i and name != self._output]
            self._steps.append((attrgetter(path), node.inputs, node.name, done))
            self.order.append((path, node.inputs, node.name))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        known = {INPUT: image}
        del image
        for module, inputs, name, done in self._steps:
            known[name] = module(self)(*[known[source] for source in inputs])
            for source in done:
                del known[source]
        return known[self._output]


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module at a dotted path, with a Sequential for every part before the last."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in root._modules:
            _add(root, parent, nn.Sequential(), path)
        root = root.get_submodule(parent)
    _add(root, name, module, path)


def _add(root: nn.Module, name: str, module: nn.Module, path: str) -> None:
    """Add a child, unless the name is taken or `root` is itself a layer."""
    if not isinstance(root, nn.Sequential | Graph) or not name or hasattr(root, name):
        raise InputError(f"{path} cannot be built: another layer, or nn.Module itself, has that name")
    root.add_module(name, module)


def with_module(root: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """The root with another module at that path; of an empty path, which is its own, the module itself."""
    if not path:
        return module
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
    return root


def _torchvision_paths(network: Network) -> list[str]:
    """Where torchvision's VGG keeps its layers: `features.0` …, `avgpool`, `classifier.0` …"""
    paths, counts = [], {"features": 0, "classifier": 0}
    for node in network.nodes:
        if isinstance(node.layer, AdaptiveAvgPool | Flatten):
            paths.append(node.name.rpartition(".")[2])
        else:
            part = "classifier" if node.block == "classifier" else "features"
            paths.append(f"{part}.{counts[part]}")
            counts[part] += 1
    return paths


def paths(network: Network) -> list[str]:
    """Where a built module keeps each node's layer: a dotted path, as its layout says."""
    if network.layout == "torchvision":
        return _torchvision_paths(network)
    return [node.name for node in network.nodes]


def build(network: Network) -> nn.Module:
    """An ordinary module of the network, with torch's own initialization.

    A chain becomes a `nn.Sequential` of `nn.Sequential`s, anything else a `Graph`. For
    a VGG the `state_dict` has torchvision's names and shapes. Takes a tensor of the network's
    input shape and returns one of its output shape; builds on the device and with the dtype that
    are torch's defaults where it is called. Raises `InputError` for a name that no module can have.
    """
    places = paths(network)
    in_place = network.in_place()
    modules = [make(node.layer, node.name in in_place) for node in network.nodes]
    before = [INPUT, *(node.name for node in network.nodes)]
    if all(node.inputs == (source,) for node, source in zip(network.nodes, before, strict=False)):
        root = nn.Sequential()
        for path, module in zip(places, modules, strict=True):
            _place(root, path, module)
        if places == [path for path, module in root.named_modules() if not isinstance(module, nn.Sequential)]:
            return root
    return Graph(network, zip(places, modules, strict=True))
