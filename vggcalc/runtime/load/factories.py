"""What the name in MODEL stands for, imported: a module, its class or a function that makes one."""

import importlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import torch

from vggcalc.errors import hint
from vggcalc.nets.origins import REGISTRIES, Argument, Origin
from vggcalc.runtime.load.errors import LoadError, one_line_errors
from vggcalc.runtime.trace.formulas import has_formulas

#: Where the process was started: a model's code may change the folder.
START = os.getcwd()


def factory(origin: Origin) -> Any:
    """What the name stands for: a module, or what makes one. Raises `LoadError`, or what importing it does."""
    if origin.where in REGISTRIES:
        return _from_registry(origin)
    with tolerant_of_operators():
        if origin.where.endswith(".pt"):  # a module of the parent's, which it has saved there
            return _saved(origin.where)
        found: Any = _file(origin.where) if origin.is_file else _import(origin.where)
    for name in origin.attribute.split("."):
        if not hasattr(found, name):
            public = [other for other in dir(found) if not other.startswith("_")]
            raise LoadError(f"{origin.where} has no {name!r}{hint(name, public)}")
        found = getattr(found, name)
    if not callable(found):
        kind = type(found).__name__
        raise LoadError(f"{origin.source} is of type {kind}: neither a module nor what makes one")
    if isinstance(found, type) and callable(config := getattr(found, "config_class", None)):
        return lambda **arguments: found(config(**arguments))  # of transformers, whose models are made of these
    return found


def made_inputs(source: str) -> Any:
    """What the function that `source` names returns, such as `net.py:make_inputs`: the inputs of a model.

    Or what the parent has saved in a file of that name.
    """
    if source.endswith(".inputs.pt"):
        return torch.load(source, weights_only=False)
    return factory(Origin(source, ()))()


def register_formulas(path: str) -> None:
    """Run a Python file that calls `vggcalc.register_formula`. Raises `LoadError` with what it raises itself."""
    with one_line_errors(Origin(path, ())):
        if not path.endswith(".py"):
            raise LoadError(f"{path} is no Python file: --formulas takes one that calls vggcalc.register_formula")
        _file(path)
        if not has_formulas():
            raise LoadError(f"{path} registers no formula: it has to call vggcalc.register_formula")


def _saved(path: str) -> Any:
    """A module that the parent has saved, beside it the parent's search path: its classes are imported from there."""
    with open(f"{path}.json", "rb") as file:
        sys.path += [folder for folder in json.load(file) if folder not in sys.path]
    return torch.load(path, weights_only=False)


def registered(package: str) -> list[str]:
    """The names of the models in a package's own registry. Raises `LoadError` where it is not installed."""
    with tolerant_of_operators():
        found = _import(package)
        names: list[str] = (found.models if package == "torchvision" else found).list_models()
        return names


def _from_registry(origin: Origin) -> Callable[..., Any]:
    """A model of a package's own registry, without pretrained weights unless an argument asks for them."""
    name, names = origin.attribute, registered(origin.where)
    if name.partition(".")[0] not in names:
        others = f", which has {len(names)} others"
        raise LoadError(f"{name!r} is no model of {origin.where}{hint(name, names, others)}")
    package = sys.modules[origin.where]
    build = (
        package.models.get_model_builder(name) if origin.where == "torchvision" else partial(package.create_model, name)
    )
    return lambda **arguments: build(**without_pretrained(build, arguments))


def without_pretrained(build: Callable[..., Any], arguments: Mapping[str, Argument]) -> dict[str, Argument]:
    """The arguments, and for every way to pretrained weights that `build` takes and they do not name: no.

    torchvision's ways are `weights`, also as `pretrained`, which they were before, and for detection and segmentation
    `weights_backbone`, whose default is a download; timm's is `pretrained`.
    """
    found = dict(arguments)
    for name in inspect.signature(build).parameters:
        if name.startswith("weights") and name.replace("weights", "pretrained") not in arguments:
            found.setdefault(name, None)
        elif name.startswith("pretrained") and name.endswith(("pretrained", "backbone")):
            found.setdefault(name, False)
    return found


def _import(name: str) -> ModuleType:
    if name not in REGISTRIES and START not in sys.path:
        sys.path.append(START)  # last, so that no file of the user's hides a library
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in REGISTRIES:
            raise LoadError(f"{error.name} is not installed: pip install {error.name}") from None
        if error.name == name or (error.name and name.startswith(f"{error.name}.")):
            raise LoadError(f"there is no module {name!r} here: check the name, or install it") from None
        raise


def existing_file(path: str) -> str:
    """Where a file is that was named when the process was started. Raises `LoadError`."""
    path = os.path.join(START, path)
    if not os.path.isfile(path):
        raise LoadError(f"there is no file {os.path.relpath(path, START)}")
    return path


def _file(path: str) -> ModuleType:
    path = existing_file(path)
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.append(folder)
    name = os.path.splitext(os.path.basename(path))[0]
    known = sys.modules.get(name)
    if known is not None and os.path.realpath(known.__file__ or "") == os.path.realpath(path):
        return known  # a class is one and the same for the model and for a formula
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


@contextmanager
def tolerant_of_operators() -> Iterator[None]:
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
