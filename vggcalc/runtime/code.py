"""`vggcalc rewrite --code`: a Python file that makes a rewritten module, written and tried."""

import os
import runpy
import sys
from collections.abc import Mapping
from operator import attrgetter
from textwrap import indent
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import vggcalc
from vggcalc.nets.origins import REGISTRIES, Origin, is_exported
from vggcalc.runtime.checkpoints import whole_file
from vggcalc.runtime.inputs import Arguments, own_dtype, random_values
from vggcalc.runtime.load.errors import LoadError, in_one_line
from vggcalc.runtime.load.factories import START, factory, without_pretrained
from vggcalc.runtime.source import NotWritten, SourceWriter

_FILE = '''"""{name} with its large kernels replaced, as vggcalc {version} wrote it; no part of vggcalc is needed."""

{imports}
{classes}
def build():
    """The module, with weights of its own."""
{body}


def load(path={path}):
    """The module with the weights in a file that `vggcalc rewrite` wrote."""
    module = build()
    module.load_state_dict({read})
    return module


if __name__ == "__main__":
    print(load())
'''


def write_code(
    module: nn.Module,
    replaced: Mapping[str, nn.Module],
    origin: Origin | None,
    name: str,
    inputs: Arguments,
    save: str,
    path: str,
) -> None:
    """Write the Python file `path` that makes `module`, whose weights are in the file `save`.

    It is run before it is there: its module must take the weights, and put out what `module` does for random inputs.
    Raises `LoadError` where no such file can be written.
    """
    text = _source(module, replaced, origin, name, save, path)
    with whole_file(path) as part:
        with open(part, "w", encoding="utf-8") as out:
            out.write(text)
        try:
            again = runpy.run_path(part)["load"]()
            wanted, found = (_outputs(one, inputs) for one in (module, again))
            torch.testing.assert_close(found, wanted, equal_nan=True)
        except Exception as error:  # whatever the model's own code raises when it is made otherwise than before
            raise LoadError(f"{path} is not written, since it makes another module: {in_one_line(error)}") from None


def _source(
    module: nn.Module, replaced: Mapping[str, nn.Module], origin: Origin | None, name: str, save: str, path: str
) -> str:
    writer = SourceWriter()
    imports = {"from pathlib import Path", "import torch", "from torch import nn"}
    own: list[str] = []
    try:
        body = f"return {writer.expression(module)}"
    except NotWritten as error:
        if origin is None:
            raise LoadError(f"{name} has a {error}, which is not written as code") from None
        writer = SourceWriter()
        model = _own_factory(origin, path)
        imports |= model.imports
        own = model.lines
        body = f"module = {model.expression}\n{writer.places(replaced)}\nreturn module"
    if save.endswith(".safetensors"):
        imports.add("from safetensors.torch import load_file")
        read = "load_file(path)"
    else:
        read = "torch.load(path, weights_only=True)"
    classes = "".join(f"\n\n{text}" for text in writer.classes)
    if "OrderedDict(" in body + classes:
        imports.add("from collections import OrderedDict")
    return _FILE.format(
        name=name,
        version=vggcalc.__version__,
        imports="\n".join([*sorted(imports, key=_place_of_import), *own]),
        classes=f"{classes}\n",
        body=indent(body, "    "),
        path=_relative_to_file(save, path),
        read=read,
    )


class _Factory(NamedTuple):
    """What is to be imported, lines that then name the model's own factory, and the expression that calls it."""

    imports: set[str]
    lines: list[str]
    expression: str


def _own_factory(origin: Origin, path: str) -> _Factory:
    """How Python makes the model that `origin` names."""
    if is_exported(origin.source):
        raise LoadError(f"{origin.source} is an exported program: no Python makes it, so leave out --code")
    if origin.where in REGISTRIES:
        given = {"torchvision": "torchvision.models.get_model", "timm": "timm.create_model"}[origin.where]
        package, name = sys.modules[origin.where], origin.attribute
        builder = package.models.get_model_builder(name) if origin.where == "torchvision" else package.create_model
        arguments = without_pretrained(builder, origin.arguments)
        return _Factory({f"import {origin.where}"}, [], _call_expression(given, arguments, repr(name)))
    imports, lines = set(), []
    folder, module = START, origin.where
    if origin.is_file:
        folder, file = os.path.split(os.path.join(START, origin.where))
        module = os.path.splitext(file)[0]
    if origin.is_file or (getattr(sys.modules[module], "__file__", None) or "").startswith(START + os.sep):
        imports.add("import sys")
        lines.append(f"sys.path.insert(0, str({_relative_to_file(folder, path)}))")
    first, *rest = origin.attribute.split(".")
    if all(part.isidentifier() for part in module.split(".")):
        lines.append(f"from {module} import {first} as original")
    else:
        imports.add("from importlib import import_module")
        lines.append(f"original = import_module({module!r}).{first}")
    name = ".".join(["original", *rest])
    found = factory(origin)
    if isinstance(found, nn.Module):
        return _Factory(imports | {"from copy import deepcopy"}, lines, f"deepcopy({name})")
    if found is attrgetter(origin.attribute)(sys.modules[module]):
        return _Factory(imports, lines, _call_expression(name, origin.arguments))
    of_transformers = _call_expression(f"{name}.config_class", origin.arguments)  # whose models are made of these
    return _Factory(imports, lines, f"{name}({of_transformers})")


def _place_of_import(line: str) -> tuple[bool, str]:
    """The standard library first, and all by their names."""
    module = line.split()[1]
    return module.partition(".")[0] not in sys.stdlib_module_names, module


def _relative_to_file(other: str, path: str) -> str:
    """Where another file is, seen from the file `path`, in Python."""
    where = os.path.relpath(other, os.path.dirname(path))
    return "Path(__file__).parent" if where == os.curdir else f"Path(__file__).parent / {where!r}"


def _call_expression(function: str, arguments: Mapping[str, Any], *first: str) -> str:
    return f"{function}({', '.join([*first, *(f'{name}={value!r}' for name, value in arguments.items())])})"


def _outputs(module: nn.Module, inputs: Arguments) -> list[Any]:
    """What a module puts out in evaluation mode, for random numbers that are the same at every call."""
    modes = {part: part.training for part in module.modules()}
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    called = inputs.with_tensors(random_values(module, generator), own_dtype(module))
    try:
        with torch.no_grad():
            out = module.eval()(*called.args, **called.kwargs)
    finally:
        for part, training in modes.items():
            part.training = training
    return [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
