"""Modules that MODEL names, imported and made. Whatever their code does, it does in this process."""

import copy
import importlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from vggcalc.errors import InputError
from vggcalc.nets.graph import Network
from vggcalc.nets.layers import Shape
from vggcalc.nets.origins import OWN, Origin
from vggcalc.runtime.rewrite import rewrite
from vggcalc.runtime.trace.tracer import TraceError, trace

#: What the optional packages are installed with.
OPTIONAL = ("torchvision", "timm")


#: What a trace cannot give a module, by what torch says then.
HINTS = {
    "meta tensor": ": a trace has shapes and no values, so nothing can depend on them",
    "Tensors of type Long": ": the input is an image of floats, integers have no receptive field",
    "types: Long, Int": ": the input is an image of floats, not of integers such as an embedding takes",
}


#: Of what an exception says, in letters.
LONGEST = 400

#: Where the process was started: a model's code may change the folder.
START = os.getcwd()


class LoadError(Exception):
    """MODEL could not be made, in one line that the user can act on."""


def load(origin: Origin, meta: bool = False) -> nn.Module:
    """The module that `origin` names, rewritten as it says; with `meta` without allocating weights.

    Raises `LoadError`, with the last line of its own traceback where its code raises.
    """
    with _reported(origin):
        made = _factory(origin)
        if isinstance(made, nn.Module):
            if origin.arguments:
                raise LoadError(f"{origin.source} is a module already: it takes no arguments")
            module = made if meta else copy.deepcopy(made)  # it is moved and run, and the next one too
        else:
            module = _without_weights(lambda: made(**origin.arguments)) if meta else made(**origin.arguments)
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
    with _reported(origin):
        return trace(module, own_shape(module, origin.input_shape), name)


def own_shape(module: nn.Module, wanted: Shape) -> Shape:
    """The shape that is wanted, and where it says `OWN` the size that a model of timm was made for, or 3×224×224."""
    made_for = getattr(module, "default_cfg", None)
    own = made_for.get("input_size") if isinstance(made_for, dict) else None
    usual = (1, *(own or (3, 224, 224)))
    return tuple(usual[i] if number == OWN else number for i, number in enumerate(wanted))


@contextmanager
def _reported(origin: Origin) -> Iterator[None]:
    """What user code raises, whatever it is, as one line with the place in its own code."""
    try:
        yield
    except LoadError:
        raise
    except TraceError as error:
        raise LoadError(f"{origin.source} raised {said(error.__cause__ or error)}") from None
    except InputError as error:  # ours: what it makes is no network
        text = str(error)
        raise LoadError(text if origin.source in text else f"{origin.source}: {text}") from None
    except SystemExit as error:
        raise LoadError(f"{origin.source} ended the process with status {error.code}") from None
    except BaseException as error:
        raise LoadError(f"{origin.source} raised {said(error)}") from None


def said(error: BaseException) -> str:
    """An exception in one line, cut where it is long, with the place at which it was raised."""
    what = "".join(traceback.format_exception_only(error)) if not isinstance(error, SyntaxError) else ""
    what = what or f"{type(error).__name__}: {error.msg}"  # type: ignore[attr-defined]
    text = " ".join(what.split()).encode(errors="replace").decode()
    text = "".join(letter for letter in text if letter.isprintable())
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return text + _where_raised(error) + next((why for sign, why in HINTS.items() if sign in text), "")


def _where_raised(error: BaseException) -> str:
    """The innermost line that is neither ours nor torch's, if there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    ours, torchs = os.path.dirname(os.path.dirname(os.path.abspath(__file__))), os.path.dirname(torch.__file__)
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not os.path.abspath(frame.filename).startswith(ours)]
    outside = [frame for frame in outside if not frame.filename.startswith("<")]
    own = [frame for frame in outside if not frame.filename.startswith(torchs)] or outside
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def _factory(origin: Origin) -> Any:
    """What the name stands for: a module, its class or a function that makes one."""
    with _tolerant_of_operators():
        match origin.where:
            case "torchvision":
                models = _import("torchvision").models
                return _from_registry(origin, models.list_models(), models.get_model)
            case "timm":
                package = _import("timm")
                return _from_registry(origin, package.list_models(), package.create_model)
        if origin.where.endswith(".pt"):  # a module of the parent's, which it has saved there
            return _saved(origin.where)
        found: Any = _file(origin.where) if origin.is_file else _import(origin.where)
    for name in origin.attribute.split("."):
        if not hasattr(found, name):
            near = get_close_matches(name, [n for n in dir(found) if not n.startswith("_")], n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise LoadError(f"{origin.where} has no {name!r}{hint}")
        found = getattr(found, name)
    if not callable(found):
        kind = type(found).__name__
        raise LoadError(f"{origin.source} is of type {kind}: neither a module nor what makes one")
    return found


def _saved(path: str) -> Any:
    """A module that the parent has saved, beside it the parent's search path: its classes are imported from there."""
    with open(f"{path}.json", "rb") as file:
        sys.path += [folder for folder in json.load(file) if folder not in sys.path]
    return torch.load(path, weights_only=False)


def _from_registry(origin: Origin, known: list[str], create: Callable[..., Any]) -> Callable[..., Any]:
    """A model of a package's own registry, without pretrained weights unless an argument asks for them."""
    name = origin.attribute
    if name.partition(".")[0] not in known:
        near = get_close_matches(name, known, n=1)
        hint = f": did you mean {near[0]}?" if near else f", which has {len(known)} others"
        raise LoadError(f"{name!r} is no model of {origin.where}{hint}")
    return lambda **arguments: create(name, **arguments)


def _import(name: str) -> ModuleType:
    if START not in sys.path:
        sys.path.append(START)  # last, so that no file of the user's hides a library
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in OPTIONAL:
            raise LoadError(f"{error.name} is not installed: pip install {error.name}") from None
        if error.name == name or (error.name and name.startswith(f"{error.name}.")):
            raise LoadError(f"there is no module {name!r} here: check the name, or install it") from None
        raise


def _file(path: str) -> ModuleType:
    path = os.path.join(START, path)
    if not os.path.isfile(path):
        raise LoadError(f"there is no file {os.path.relpath(path, START)}")
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.append(folder)
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)  # so that its classes can be found by name
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing is left in the user's folder
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


def _without_weights(make: Callable[[], Any]) -> Any:
    """What `make` makes, on the meta device; where it needs values as it is made, only its parameters."""
    try:
        with torch.device("meta"):
            return make()
    except (NotImplementedError, RuntimeError):
        with _parameters_on_meta():
            return make()


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Every parameter goes to the meta device as it is registered, before anything fills it."""
    register = nn.Module.register_parameter

    def on_meta(self: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            parameter = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
        register(self, name, parameter)

    nn.Module.register_parameter = on_meta  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


@contextmanager
def _tolerant_of_operators() -> Iterator[None]:
    """A torchvision made for another torch: its own operators, for detection, do not load, its models do."""
    register = torch.library.register_fake

    def tolerant(name: Any, function: Any = None, /, **options: Any) -> Any:
        def decorate(function: Any) -> Any:
            try:
                return register(name, function, **options)
            except RuntimeError as error:
                if not str(name).startswith("torchvision::") or "does not exist" not in str(error):
                    raise
                return function

        return decorate if function is None else decorate(function)

    torch.library.register_fake = tolerant
    try:
        yield
    finally:
        torch.library.register_fake = register
