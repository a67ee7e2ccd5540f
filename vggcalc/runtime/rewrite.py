"""A module with its convolutions replaced: what `compare` analyzes, to be trained and used."""

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import torch
from torch import nn

from vggcalc.errors import InputError
from vggcalc.nets.families import factorized
from vggcalc.nets.graph import INPUT, Network, Node
from vggcalc.nets.layers import Add, Layer, PlainConvolution
from vggcalc.nets.replacing import Replacing, replace
from vggcalc.nets.shapes import shapes
from vggcalc.results.fitted import FittedLayer
from vggcalc.runtime.build import Graph, make, with_module
from vggcalc.runtime.fit.carry import carry_over, describe
from vggcalc.runtime.trace.tracer import trace


class Rewritten(msgspec.Struct, frozen=True):
    """A module with its convolutions replaced, and what stands for each but where they were merged.

    `places` are the modules that came into it, by their paths.
    """

    module: nn.Module
    layers: tuple[FittedLayer, ...] = ()
    places: Mapping[str, nn.Module] = {}


def rewrite(module: nn.Module, replacing: Replacing = Replacing(), inputs: Any = (1, 3, 224, 224)) -> nn.Module:
    """A copy of `module` with the convolutions that `replacing` chooses replaced.

    What stands instead has torch's own initialization, the dtype, device and mode of what it
    replaces; everything else keeps its state. Its trace for `inputs`, as `trace` takes them, is the network that
    `vggcalc.compare` analyzes. What a convolution becomes stands in its place as a `Sequential`, or with branches as a
    `Graph`; of a merged run the last one's, with `Identity` for the others.
    Raises what the module raises when it is traced.
    """
    return rewrite_fitting(module, replacing, inputs, False).module


def rewrite_fitting(module: nn.Module, replacing: Replacing, inputs: Any, fit: bool = True) -> Rewritten:
    """The same; with `fit` the new layers have the weights whose composition is nearest to the old kernels.

    Raises `InputError` for a merge, which composes weights and approximates none.
    """
    if fit and replacing.merge:
        raise InputError(
            "fit finds the weights of a factorization, and merge goes the other way: leave out one of them"
        )
    traced = trace(module, inputs)
    shape_of = shapes(traced) if fit else {}
    layers, places = [], {}
    replaced = replace(traced, replacing)
    before = {node.name: node for node in traced.nodes}
    after = {node.name: node for node in replaced.network.nodes}
    new = copy.deepcopy(module)
    for went, came in replaced.pairs:
        for name in went:
            path = _path(before[name])
            old = new.get_submodule(path)
            if replacing.merge:
                instead = _like(old, after[name].layer) if name in came else nn.Identity()
            else:
                instead = _instead(old, name, [after[part] for part in came])
            instead.train(old.training)
            if not replacing.merge:
                node, own = before[name], module.get_submodule(path)
                assert isinstance(node.layer, PlainConvolution)
                if fit:
                    branches, shape = factorized(node.layer, replacing.factorization), shape_of[node.inputs[0]]
                    layers.append(carry_over(own, instead, node.layer, branches, name, shape))
                else:
                    layers.append(describe(own, instead, node.layer, name))
            places[path] = instead
            new = with_module(new, path, instead)
    return Rewritten(new, tuple(layers), places)


def _instead(old: nn.Module, name: str, came: Sequence[Node]) -> nn.Module:
    """What stands for the convolution of that name, its parts under their names within it."""
    own = {node.name: node.name[len(name) + 1 :] for node in came}
    nodes = tuple(
        Node(own[node.name], node.layer, tuple(own.get(source, INPUT) for source in node.inputs)) for node in came
    )
    modules = OrderedDict((node.name, _like(old, node.layer)) for node in nodes)
    if any(isinstance(node.layer, Add) for node in nodes):
        return Graph(Network(name, (), nodes), modules.items())
    return nn.Sequential(modules)


def _path(node: Node) -> str:
    assert node.traced is not None
    assert node.traced.module is not None
    return node.traced.module


def _like(old: nn.Module, layer: Layer) -> nn.Module:
    """The module of a layer, where and in the dtype that `old` is."""
    tensor = next(old.parameters(), None)
    if tensor is None:
        return make(layer, True)
    with torch.device(tensor.device):
        return make(layer, True).to(tensor.dtype)
