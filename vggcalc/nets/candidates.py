"""What a name that is no model may have meant: no package is imported for it, and no file is run."""

import ast
import re
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from vggcalc.errors import InputError, nearest
from vggcalc.nets.origins import REGISTRIES
from vggcalc.nets.reader import Kind, read_file

SOURCE = Kind("Python file", "name a file with modules", 10_000_000)

#: How torchvision and timm register a function that makes a model.
_REGISTRATION = re.compile(r"^@register_model\b.*?^def (\w+)", re.MULTILINE | re.DOTALL)


#: What files of models are that are no network, by their endings, and what to give instead.
_OTHER_FILES: dict[tuple[str, ...], str] = {
    (".onnx", ".pb", ".tflite", ".h5", ".keras", ".mlmodel"): (
        "a graph of another framework, which is not read: give the torch module, as net.py:Net, or what "
        "torch.export.save wrote of it, as net.pt2"
    ),
    (".pt", ".pth", ".ckpt", ".bin", ".safetensors"): (
        "weights, or a pickle, whose code would run: give the code that makes the module, as net.py:Net; rewrite reads "
        "weights with --weights"
    ),
    (".yaml", ".yml", ".ipynb"): (
        "not read: give a .toml or .json file with features, or Python with a module, as net.py:Net"
    ),
}


#: A factory with its arguments, as it is called in Python.
_CALL = re.compile(r"(?P<maker>.+:[A-Za-z_][\w.]*)\((?P<arguments>.*)\)", re.DOTALL)


def refuse_lookalikes(model: str) -> None:
    """Raise `InputError` for a file of another kind, by its name, and for a call, with what would be right."""
    for endings, what in _OTHER_FILES.items():
        if model.lower().endswith(endings):
            raise InputError(f"{model} is {what}")
    call = _CALL.fullmatch(model)
    if call is not None:
        given = [part.strip() for part in call["arguments"].split(",") if part.strip()]
        arguments = [f" --arg {part if '=' in part else f'NAME={part}'}" for part in given]
        raise InputError(f"{model} is a call: write {call['maker']}{''.join(arguments)}")


@cache
def registered_models(package: str) -> frozenset[str]:
    """The names of a package's models; none where it is not installed."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # it is half imported
        return frozenset()
    if spec is None or spec.origin is None:
        return frozenset()
    files = Path(spec.origin).parent.joinpath("models").rglob("*.py")
    return frozenset(name for file in files for name in _REGISTRATION.findall(file.read_text("utf-8", "replace")))


def packaged(name: str) -> list[str]:
    """Models of installed packages that are called so, or else nearly so, with their prefixes."""
    by_package = {package: registered_models(package) for package in REGISTRIES}
    same = [f"{package}:{name.lower()}" for package, names in by_package.items() if name.lower() in names]
    if same:
        return same
    near = nearest(name, sorted(frozenset().union(*by_package.values())), cutoff=0.7)
    return [f"{package}:{near}" for package, names in by_package.items() if near in names]


def in_file(path: str) -> list[str]:
    """What in a Python file is a module, its class or a function that makes one, in order, as far as its text says.

    Raises `InputError` where it cannot be read, or is no Python.
    """
    content = read_file(path, SOURCE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its text, such as of an escape in a string that is none
            statements = ast.parse(content, path).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path} is no Python: {error}") from None
    found: list[str] = []
    for statement in statements:
        found += (name for name in _made_by(statement, found) if not name.startswith("_") and name not in found)
    return found


def _made_by(statement: ast.stmt, classes: list[str]) -> Iterator[str]:
    """The names that a statement gives to modules; `classes` are those of modules before it."""
    match statement:
        case ast.ClassDef(name=name, bases=bases) if any(_is_module(base, classes) for base in bases):
            yield name
        case ast.FunctionDef(name=name) if _makes_module(statement, classes):
            yield name
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=made)) if _is_module(made, classes):
            yield name


def _makes_module(function: ast.FunctionDef, classes: list[str]) -> bool:
    """Whether it calls the class of a module, and returns something."""
    parts = list(ast.walk(function))
    returns = any(isinstance(part, ast.Return) and part.value is not None for part in parts)
    return returns and any(isinstance(part, ast.Call) and _is_module(part.func, classes) for part in parts)


def _is_module(named: ast.expr, classes: list[str]) -> bool:
    """Whether it stands in a package `nn`, as `nn.Module` and `torch.nn.Linear` do, or is one of these classes."""
    match named:
        case ast.Name(id=name):
            return name in classes or name.endswith("Module")
        case ast.Attribute(value=ast.Name(id="nn") | ast.Attribute(attr="nn")):
            return True
        case ast.Attribute(attr=name):
            return name.endswith("Module")
    return False
