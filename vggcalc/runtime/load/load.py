"""Modules that MODEL names, imported and made. Whatever their code does, it does in this process."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from torch import nn

from vggcalc.nets.graph import Network, Unfused
from vggcalc.nets.layers import Shape
from vggcalc.nets.origins import OWN, Origin, is_exported
from vggcalc.runtime.fuse.networks import fuse_network
from vggcalc.runtime.inputs import Arguments, arguments_of, of_specs, seeded
from vggcalc.runtime.load.constructing import without_weights
from vggcalc.runtime.load.errors import LoadError, one_line_errors
from vggcalc.runtime.load.factories import factory, made_inputs, register_formulas
from vggcalc.runtime.load.preparing import exported, give_shapes, lazy_tensor, unwrapped
from vggcalc.runtime.rewrite import rewrite
from vggcalc.runtime.trace.tracer import trace


class Loaded(NamedTuple):
    """A module, and how it was compiled by `torch.compile`, None if it was not."""

    module: nn.Module
    compile: Callable[[nn.Module], Callable[..., Any]] | None
    unfused: tuple[Unfused, ...] = ()


def load(origin: Origin, meta: bool = False) -> nn.Module:
    """The module that `origin` names, made as it says; with `meta` without allocating weights where that can be.

    Raises `LoadError`, with the last line of its own traceback where its code raises.
    """
    return loaded(origin, meta).module


def loaded(origin: Origin, meta: bool = False) -> Loaded:
    """The same with how it was compiled, and what fusing left of it."""
    if origin.formulas:
        register_formulas(origin.formulas)
    with one_line_errors(origin):
        with seeded():  # counts that depend on the values of weights are the same every time
            given = _named_module(origin, meta)
        module = unwrapped(given)
        if lazy_tensor(module) is not None:
            give_shapes(module, call_arguments(module, origin))
        if origin.replacing is not None:
            module = rewrite(module, origin.replacing, call_arguments(module, origin))
        unfused: tuple[Unfused, ...] = ()
        if origin.fused:
            module, unfused = fuse_network(module, call_arguments(module, origin))
    return Loaded(module, getattr(given, "dynamo_ctx", None), unfused)


def _named_module(origin: Origin, meta: bool) -> nn.Module:
    found = exported(origin.source, meta) if is_exported(origin.source) else factory(origin)
    if isinstance(found, nn.Module):
        if origin.arguments:
            raise LoadError(f"{origin.source} is a module already: it takes no arguments")
        fresh = meta or is_exported(origin.source)
        return found if fresh else copy.deepcopy(found)  # it is moved and run, and the next one too
    module = without_weights(lambda: found(**origin.arguments)) if meta else found(**origin.arguments)
    if not isinstance(module, nn.Module):
        raise LoadError(f"{origin.source} gives {type(module).__name__}, and no torch.nn.Module")
    return module


def traced(origin: Origin, name: str) -> Network:
    """The network that the module of `origin` is. Raises `LoadError`."""
    module, _, unfused = loaded(origin, meta=True)
    with one_line_errors(origin):
        network = trace(module, call_arguments(module, origin), name, lambda: load(origin))
    return without(network, unfused)


def without(network: Network, unfused: tuple[Unfused, ...]) -> Network:
    """The trace of a fused module with what stayed of it."""
    assert network.tracing is not None
    return msgspec.structs.replace(network, tracing=msgspec.structs.replace(network.tracing, unfused=unfused))


def call_arguments(module: nn.Module, origin: Origin | None, network: Network | None = None) -> Arguments:
    """What the module is called with: what its origin says, or without one the input of its `network`.

    Where there is a network already, shapes without a dtype are what they were when it was traced.
    """
    if origin is None:
        assert network is not None
        return arguments_of(network.input_shape)
    if origin.inputs_from:
        found = arguments_of(made_inputs(origin.inputs_from))
    else:
        found = of_specs(origin.inputs) if origin.inputs else arguments_of(own_shape(module, origin.input_shape))
    integers = network is not None and network.tracing is not None and network.tracing.integer_inputs
    return found.of_integers() if integers else found


def own_shape(module: nn.Module, wanted: Shape) -> Shape:
    """The shape that is wanted, and where it says `OWN` the module's own.

    That is the one it was exported with, the size that a model of timm was made for, or 3×224×224.
    """
    made_for = getattr(module, "default_cfg", None)
    size = made_for.get("input_size") if isinstance(made_for, dict) else None
    own: Shape = getattr(module, "exported_shape", None) or (1, *(size or (3, 224, 224)))
    if not any(wanted):
        return own
    return tuple(own[i] if number == OWN else number for i, number in enumerate(wanted))
