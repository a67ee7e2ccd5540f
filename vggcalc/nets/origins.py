"""MODEL where it is a module to be imported: `torchvision:resnet50`, `net.py:Net`, `package.module:make`, `net.pt2`."""

import math
import os
import re
from collections.abc import Sequence

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.inputs import TensorSpec
from vggcalc.nets.layers import Shape
from vggcalc.nets.replacing import Replacing

#: What the arguments of a factory may be: Python literals, also true, false and none, or words.
Argument = int | float | bool | str | None | list[int | float | bool | str | None]

_SOURCE = re.compile(r"(?P<where>.+):(?P<attribute>[A-Za-z_][\w.\-/]*)")


#: The packages that have a registry of models.
REGISTRIES = ("torchvision", "timm")

#: In the shape of an image: what the model itself says, or else that of 3×224×224.
OWN = 0


class Origin(msgspec.Struct, frozen=True):
    """Where the module of a traced network comes from, so that it can be built again.

    `source` is MODEL, `arguments` are what its factory is called with, `replacing` what was
    replaced in it. Importing it runs its code. `OWN` in the shape stands for the size that the model itself states.
    Where it takes more than one image, `inputs` are all that it is called with, or `inputs_from` names what makes them.
    `formulas` is a Python file that calls `register_formula`, run before the module is imported. With
    `fused` its linear parts became one convolution each.
    """

    source: str
    input_shape: Shape
    arguments: dict[str, Argument] = {}
    replacing: Replacing | None = None
    inputs: tuple[TensorSpec, ...] = ()
    inputs_from: str = ""
    formulas: str = ""
    fused: bool = False

    def __post_init__(self) -> None:
        for text in (self.source, *(value for value in self.arguments.values() if isinstance(value, str))):
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InputError(f"{text!a} is not UTF-8: no model has such a name or argument") from None

    def replaced_by(self, replacing: Replacing) -> "Origin":
        """The same with convolutions replaced."""
        return msgspec.structs.replace(self, replacing=replacing)

    @property
    def where(self) -> str:
        """The package, module or file."""
        return self.source.rpartition(":")[0]

    @property
    def attribute(self) -> str:
        """The name of the module or factory there."""
        return self.source.rpartition(":")[2]

    @property
    def is_file(self) -> bool:
        """Whether it is a file rather than an importable name."""
        return self.where.endswith(".py")


class Sources(msgspec.Struct, frozen=True):
    """The files of installed packages that a module was made of: while they stay as they are, so does its trace.

    `folders` are the files' names by folder; `search_path` says what could be imported from each of its folders.
    `packages` are the top-level packages in lower case. Nothing may have changed since `began_ns`, when the process
    began that read them.
    """

    folders: dict[str, tuple[str, ...]]
    search_path: dict[str, tuple[str, ...]]
    packages: tuple[str, ...]
    began_ns: int


def importable(folder: str) -> tuple[str, ...]:
    """What can be imported from a folder of the search path, and what is installed there, by the files' names."""
    from importlib.machinery import all_suffixes

    endings = (*all_suffixes(), ".dist-info", ".egg-info")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return ()
    return tuple(
        name
        for name in names
        if (name.isidentifier() and name != "__pycache__") or (name.endswith(endings) and name.isprintable())
    )


def is_import(model: str) -> bool:
    """Whether MODEL names something to be imported."""
    match = _SOURCE.fullmatch(model)
    return match is not None and not match["where"].isdigit() and "," not in model


def is_exported(model: str) -> bool:
    """Whether MODEL is a file that `torch.export.save` wrote, by its name."""
    return model.endswith(".pt2")


def arguments(texts: Sequence[str]) -> dict[str, Argument]:
    """`name=value` for each argument. Raises `InputError` for what is not so."""
    import ast
    import warnings

    found: dict[str, Argument] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"argument {text!r} is not name=value, such as pretrained=false")
        if name in found:
            raise InputError(f"argument {name!r} is given twice")
        constants: dict[str, Argument] = {"true": True, "false": False, "none": None}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is then a word, such as 1if
                found[name] = constants[value.lower()] if value.lower() in constants else ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[name] = value
        if isinstance(found[name], tuple | list):
            found[name] = list(found[name])  # type: ignore[arg-type]
        one = found[name]
        for item in one if isinstance(one, list) else [one]:
            if isinstance(item, float) and not math.isfinite(item):
                raise InputError(f"argument {text!r}: the number is not finite")
            if not isinstance(item, int | float | bool | str | None):
                raise InputError(f"argument {text!r}: a value is a number, a word, true, false, none or a list of them")
    return found
