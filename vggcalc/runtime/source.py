"""A module as Python that makes it without vggcalc: what `vggcalc rewrite --code` writes.

A module that is made of `torch.nn`'s own layers, or was built here, is written out. Any other is made by its own
factory, and the layers that were replaced are put in their places. What a layer is made with are its attributes of the
names that the arguments of its class have.
"""

import inspect
import re
from collections.abc import Mapping
from itertools import groupby
from textwrap import indent
from typing import Any

import torch
from torch import nn

from vggcalc.nets.graph import INPUT
from vggcalc.runtime.build import ConcatChannels, Graph, Sum
from vggcalc.runtime.padded import PADDED

#: Columns of a line.
_WIDTH = 100

_PADDED_CLASS = '''class Padded{base}(nn.{base}):
    """Pads its input with zeros, as `torch.nn.functional.pad` has them, and convolves it."""

    def __init__(self, *args, pad, **kwargs):
        super().__init__(*args, **kwargs)
        self.pad = pad

    def forward(self, data):
        return super().forward(nn.functional.pad(data, self.pad))
'''


class NotWritten(Exception):
    """A module is of a class that is not written out."""


class SourceWriter:
    """Writes modules as Python expressions. `classes` are those that they use: their names by their definitions."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}

    def expression(self, module: nn.Module) -> str:
        """What makes a module like it, with weights of its own. Raises `NotWritten`."""
        kind = type(module)
        if kind is nn.Sequential:
            return self._sequential(module)
        if isinstance(module, Graph):
            return f"{self._graph(module)}()"
        for base, padded in PADDED.items():
            if kind is padded:
                return self._padded(module, base)
        if kind.__module__.startswith("torch.nn.modules.") and not module._modules:
            return _call_lines(f"nn.{kind.__name__}", _arguments(module))
        raise NotWritten(kind.__name__)

    def places(self, replaced: Mapping[str, nn.Module]) -> str:
        """Lines that put modules in their places within `module`, those that are alike in a loop."""
        written = [(path, self.expression(one)) for path, one in replaced.items()]
        lines = []
        for made, same in groupby(written, key=lambda one: one[1]):
            paths = [f'"{path}"' for path, _ in same]
            if len(paths) == 1:
                lines.append(_call_lines("module.set_submodule", [*paths, made]))
            else:
                lines.append(f"for path in {_call_lines('', paths)}:")
                lines.append(indent(_call_lines("module.set_submodule", ["path", made]), "    "))
        return "\n".join(lines)

    def _sequential(self, module: nn.Module) -> str:
        made = {name: self.expression(one) for name, one in _written_parts(module)}
        if list(made) == list(map(str, range(len(made)))):
            return _call_lines("nn.Sequential", list(made.values()))
        pairs = [f'"{name}": {one}' for name, one in made.items()]
        return _call_lines("nn.Sequential", [_call_lines("OrderedDict", [_call_lines("", pairs, "{", "}")])])

    def _padded(self, module: nn.Module, base: str) -> str:
        sides: Any = module.sides
        pad = [number for ends in reversed(list(zip(*sides, strict=True))) for number in ends]
        name = self.classes.setdefault(_PADDED_CLASS.format(base=base), f"Padded{base}")
        return _call_lines(name, [*_arguments(module), f"pad={pad}"])

    def _graph(self, graph: Graph) -> str:
        """The name of a class that runs the graph's modules in its order."""
        parts = _written_parts(graph)
        begins = "".join(
            f"        self.{name} = {_indented_after_first(self.expression(one), 8)}\n" for name, one in parts
        )
        names = {INPUT: "data"}
        steps = []
        for path, inputs, node in graph.order:
            names[node] = _variable(node, names)
            steps.append(f"        {names[node]} = {_step(graph, path, [names[source] for source in inputs])}\n")
        body = (
            "(nn.Module):\n"
            f"    def __init__(self):\n        super().__init__()\n{begins}\n"
            f"    def forward(self, data):\n{''.join(steps)}        return {names[graph.order[-1][2]]}\n"
        )
        count = sum(name.startswith("Branches") for name in self.classes.values())
        name = next((name for text, name in self.classes.items() if text.endswith(body)), f"Branches{count + 1}")
        return self.classes.setdefault(f"class {name}{body}", name)


def _written_parts(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Its parts by their names, also where one stands twice; what only adds or joins is written as an operator."""
    return [
        (name, one)
        for name, one in module._modules.items()
        if one is not None and not isinstance(one, Sum | ConcatChannels)
    ]


def _step(graph: nn.Module, path: str, inputs: list[str]) -> str:
    """The call of one module of a graph."""
    module = graph.get_submodule(path)
    if isinstance(module, Sum):
        return " + ".join(inputs)
    if isinstance(module, ConcatChannels):
        return f"torch.cat([{', '.join(inputs)}], dim=1)"
    own = f"self.{path}" if all(part.isidentifier() for part in path.split(".")) else f'self.get_submodule("{path}")'
    return f"{own}({', '.join(inputs)})"


def _variable(node: str, names: Mapping[str, str]) -> str:
    """A name for what a node puts out."""
    name = re.sub(r"\W", "_", node)
    name = name if name.isidentifier() and name != "self" else f"_{name}"
    while name in names.values():
        name += "_"
    return name


def _arguments(module: nn.Module) -> list[str]:
    """What a layer was made with, where it is not the default. Raises `NotWritten` where that cannot be seen."""
    found = []
    base = next(one for one in type(module).__mro__ if one.__module__.startswith("torch.nn.modules."))
    for name, parameter in list(inspect.signature(base).parameters.items()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if any(True for _ in module.parameters()):
                raise NotWritten(base.__name__)
        elif name not in ("device", "dtype") and not name.startswith("_"):
            value = getattr(module, name, _argument_missing)
            if name == "bias" or isinstance(value, torch.Tensor):
                value = value is not None
            if isinstance(value, tuple):
                value = tuple(value)
            if not _is_literal(value):
                raise NotWritten(base.__name__)
            default = parameter.default
            if default is parameter.empty:
                found.append(repr(value))
            elif value != default and not (isinstance(value, tuple) and set(value) == {default}):
                found.append(f"{name}={value!r}")
    weight = next(module.parameters(), None)
    return found if weight is None or weight.dtype == torch.float32 else [*found, f"dtype={weight.dtype}"]


#: Stands for an attribute that there is not: no literal.
_argument_missing = object()


def _is_literal(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, int | str) or (isinstance(value, float) and value - value == 0)


def _call_lines(name: str, arguments: list[str], begin: str = "(", end: str = ")") -> str:
    """A call, or what is in brackets, in one line where that fits."""
    line = f"{name}{begin}{', '.join(arguments)}{end}"
    if len(line) <= _WIDTH - 20 and "\n" not in line:
        return line
    return f"{name}{begin}\n{''.join(indent(one, '    ') + ',' + chr(10) for one in arguments)}{end}"


def _indented_after_first(text: str, columns: int) -> str:
    """Lines after the first moved to the right, to stand behind something."""
    return text.replace("\n", "\n" + " " * columns)
