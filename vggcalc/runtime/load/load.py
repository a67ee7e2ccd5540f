"""Modules that MODEL names, imported and made. Whatever their code does, it does in this process."""

import copy

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from vggcalc.nets.graph import Network
from vggcalc.nets.layers import Shape
from vggcalc.nets.origins import OWN, Origin
from vggcalc.runtime.load.constructing import without_weights
from vggcalc.runtime.load.errors import LoadError, one_line_errors
from vggcalc.runtime.load.factories import factory
from vggcalc.runtime.rewrite import rewrite
from vggcalc.runtime.trace.tracer import trace


def load(origin: Origin, meta: bool = False) -> nn.Module:
    """The module that `origin` names, rewritten as it says; with `meta` without allocating weights where that can be.

    Raises `LoadError`, with the last line of its own traceback where its code raises.
    """
    with one_line_errors(origin):
        found = factory(origin)
        if isinstance(found, nn.Module):
            if origin.arguments:
                raise LoadError(f"{origin.source} is a module already: it takes no arguments")
            module = found if meta else copy.deepcopy(found)  # it is moved and run, and the next one too
        else:
            module = without_weights(lambda: found(**origin.arguments)) if meta else found(**origin.arguments)
        if not isinstance(module, nn.Module):
            raise LoadError(f"{origin.source} gives {type(module).__name__}, and no torch.nn.Module")
        _check(module, origin)
        if origin.replacing is not None:
            module = rewrite(module, origin.replacing, origin.input_shape)
    return module


def _check(module: nn.Module, origin: Origin) -> None:
    """Refuse what cannot be traced, with what would be right."""
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise LoadError(f"{origin.source} is or has a ScriptModule: give the nn.Module that it was made of")
        held = (*part._parameters.values(), *part._buffers.values())
        if any(is_lazy(tensor) for tensor in held if tensor is not None):
            raise LoadError(f"{origin.source} has lazy modules, which have no shapes yet: run it once before")


def traced(origin: Origin, name: str) -> Network:
    """The network that the module of `origin` is. Raises `LoadError`."""
    module = load(origin, meta=True)
    with one_line_errors(origin):
        return trace(module, own_shape(module, origin.input_shape), name)


def own_shape(module: nn.Module, wanted: Shape) -> Shape:
    """The shape that is wanted, and where it says `OWN` the size that a model of timm was made for, or 3×224×224."""
    made_for = getattr(module, "default_cfg", None)
    own = made_for.get("input_size") if isinstance(made_for, dict) else None
    usual = (1, *(own or (3, 224, 224)))
    return tuple(usual[i] if number == OWN else number for i, number in enumerate(wanted))
