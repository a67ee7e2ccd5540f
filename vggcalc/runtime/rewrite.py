"""A module with its convolutions replaced: what `compare` analyzes, to be trained and used."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import torch
from torch import nn

from vggcalc.errors import InputError
from vggcalc.nets.families import Factorization, factorized
from vggcalc.nets.fitting import Fitting
from vggcalc.nets.graph import INPUT, Network, Node
from vggcalc.nets.layers import Add, Layer, PlainConvolution, Shape
from vggcalc.nets.replacing import Replacing, replace
from vggcalc.nets.shapes import shapes
from vggcalc.results.fitted import FittedLayer
from vggcalc.runtime.build import Graph, make, with_module
from vggcalc.runtime.fit.carry import carry_over, describe, kernel_of, network_error
from vggcalc.runtime.fit.moments import output_errors, roots
from vggcalc.runtime.fit.widths import Candidate, Chosen, choose_widths
from vggcalc.runtime.inputs import arguments_of
from vggcalc.runtime.trace.tracer import trace


class Rewritten(msgspec.Struct, frozen=True):
    """A module with its convolutions replaced, and what stands for each but where they were merged.

    `places` are the modules that came into it, by their paths; the others are as in `RewrittenModel`.
    """

    module: nn.Module
    layers: tuple[FittedLayer, ...] = ()
    places: Mapping[str, nn.Module] = {}
    output_error: float | None = None
    stays: tuple[tuple[str, str], ...] = ()
    chosen: tuple[tuple[str, Factorization], ...] | None = None


def rewrite(module: nn.Module, replacing: Replacing = Replacing(), inputs: Any = (1, 3, 224, 224)) -> nn.Module:
    """A copy of `module` with the convolutions that `replacing` chooses replaced.

    What stands instead has torch's own initialization, the dtype, device and mode of what it
    replaces; everything else keeps its state. Its trace for `inputs`, as `trace` takes them, is the network that
    `vggcalc.compare` analyzes. What a convolution becomes stands in its place as a `Sequential`, or with branches as a
    `Graph`; of a merged run the last one's, with `Identity` for the others.
    Raises what the module raises when it is traced.
    """
    return rewrite_fitting(module, replacing, inputs, False).module


def rewrite_fitting(
    module: nn.Module,
    replacing: Replacing,
    inputs: Any,
    fit: bool = True,
    fitting: Fitting = Fitting(),
    data: torch.Tensor | None = None,
    note: Callable[[str, int, int], None] = lambda name, number, of: None,
) -> Rewritten:
    """The same; with `fit` the new layers have the weights whose composition is nearest to the old kernels.

    Their widths are chosen by the weights where `fitting` says so. With `data`, a batch of inputs, the layers' outputs
    for it is what is brought near, and all errors are those for it. `note` is called with the name of each layer that
    is replaced, its number, and how many there are. Raises `InputError` for a merge, which composes weights and
    approximates none.
    """
    fit = fit or fitting.chooses or data is not None
    if fit and replacing.merge:
        raise InputError(
            "fit finds the weights of a factorization, and merge goes the other way: leave out one of them"
        )
    traced = trace(module, inputs)
    shape_of = shapes(traced)
    chosen: dict[str, Chosen] = {}
    stays: Mapping[str, str] = {}
    candidates = _candidates(module, traced, replacing, shape_of, data) if fit else {}
    if fitting.chooses:
        chosen, stays = choose_widths(candidates, replacing.factorization, fitting)
        own = tuple((name, one.factorization) for name, one in chosen.items())
        replacing = msgspec.structs.replace(replacing, by_layer=own)
    layers, places = [], {}
    replaced = replace(traced, replacing)
    before = {node.name: node for node in traced.nodes}
    after = {node.name: node for node in replaced.network.nodes}
    after_shapes = shapes(replaced.network)
    new = copy.deepcopy(module)
    for number, (went, came) in enumerate(replaced.pairs, 1):
        for name in went:
            note(name, number, len(replaced.pairs))
            path = _path(before[name])
            old = new.get_submodule(path)
            if replacing.merge:
                instead = _like(old, after[name].layer) if name in came else nn.Identity()
            else:
                instead = _instead(old, name, [after[part] for part in came])
            instead.train(old.training)
            if not replacing.merge:
                node, was = before[name], module.get_submodule(path)
                assert isinstance(node.layer, PlainConvolution)
                macs = node.layer.macs((), shape_of[name]), _macs_of_nodes([after[part] for part in came], after_shapes)
                errors: tuple[float, float] | tuple[None, None] = None, None
                if fit:
                    branches = factorized(node.layer, replacing.factorization_of(name))
                    found = chosen[name].fit if name in chosen else None
                    shape, root = candidates[name].shape, candidates[name].root
                    errors = carry_over(was, instead, node.layer, branches, name, shape, found, root)
                layers.append(describe(was, instead, node.layer, name, macs, errors))
            places[path] = instead
            new = with_module(new, path, instead)
    if data is not None:
        each, error = output_errors(module, new, places, data)
        by_path = zip(layers, each.values(), strict=True)
        layers = [msgspec.structs.replace(layer, output_error=own, kernel_energy=None) for layer, own in by_path]
    else:
        error = network_error(module, new, arguments_of(inputs)) if fit and layers else None
    return Rewritten(new, tuple(layers), places, error, tuple(stays.items()), replacing.by_layer)


def _candidates(
    module: nn.Module,
    traced: Network,
    replacing: Replacing,
    shape_of: Mapping[str, Shape],
    data: torch.Tensor | None,
) -> dict[str, Candidate]:
    """The convolutions that `replacing` would replace."""
    before = {node.name: node for node in traced.nodes}
    found, watched = {}, {}
    for (name,), _ in replace(traced, replacing).pairs:
        node = before[name]
        assert isinstance(node.layer, PlainConvolution)
        weight = kernel_of(module.get_submodule(_path(node)), name)
        found[name] = Candidate(node.layer, weight, shape_of[node.inputs[0]])
        watched[name] = _path(node), node.layer, factorized(node.layer, replacing.factorization_of(name))
    if data is not None:
        found = {name: found[name]._replace(root=root) for name, root in roots(module, watched, data).items()}
    return found


def _macs_of_nodes(nodes: Sequence[Node], shape_of: Mapping[str, Shape]) -> int:
    return sum(node.layer.macs((), shape_of[node.name]) for node in nodes if isinstance(node.layer, PlainConvolution))


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
