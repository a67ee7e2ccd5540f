"""A module with its convolutions replaced: what `compare` analyzes, to be trained and used."""

import copy
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from vggcalc.runtime.building import make
from vggcalc.runtime.tracing import trace
from vggcalc.spec.factorization import Replacing, replace
from vggcalc.spec.layers import Layer, Node


def rewrite(
    module: nn.Module, replacing: Replacing = Replacing(), input_shape: Sequence[int] = (1, 3, 224, 224)
) -> nn.Module:
    """A copy of `module` with the convolutions that `replacing` chooses replaced.

    What stands instead has torch's own initialization, the dtype, device and mode of what it
    replaces; everything else keeps its state. Its trace at `input_shape`, (batch, channels, height,
    width), is the network that `vggcalc.compare` analyzes. A stack stands as a `Sequential` in the
    convolution's place; of a merged run the last convolution's, with `Identity` for the others.
    Raises what the module raises when it is traced.
    """
    traced = trace(module, input_shape)
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
                parts = OrderedDict((part[len(name) + 1 :], _like(old, after[part].layer)) for part in came)
                instead = nn.Sequential(parts)
            _put(new, path, instead.train(old.training))
    return new


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


def _put(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
