"""Reading arguments, of Python and of the command line: each function returns the value or says what would be right.

A value of a wrong type is a `TypeError` that names what is accepted, a wrong value an `InputError`. Importing
this costs nothing, so that `vggcalc --help` can use it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from vggcalc.errors import InputError, unknown
from vggcalc.nets.names import ITEMSIZE, STRIDE_AT

T = TypeVar("T")

#: An axis of a sweep has no more values.
MOST_VALUES = 1_000_000

#: Other names of dtypes, as torch and the papers write them.
DTYPE_ALIASES = {
    "fp32": "float32", "float": "float32", "single": "float32", "fp64": "float64", "double": "float64",
    "fp16": "float16", "half": "float16", "bf16": "bfloat16",
}  # fmt: skip

DIGITS = r"[0-9]{1,18}"


def wrong_type(name: str, value: object, accepted: str) -> TypeError:
    """The error for an argument of a type that is not accepted."""
    text = repr(value)
    text = text if len(text) <= 60 else text[:60] + "…"
    return TypeError(f"{name} {text} is of type {type(value).__name__}: it takes {accepted}")


def check_whole(**values: object) -> None:
    """Raise `TypeError` for the first value that is neither None nor a whole number."""
    for name, value in values.items():
        if value is not None and type(value) is not int:
            raise wrong_type(name, value, "a whole number")


def check_flags(**values: object) -> None:
    """Raise `TypeError` for the first value that is neither None nor True or False."""
    for name, value in values.items():
        if value is not None and not isinstance(value, bool):
            raise wrong_type(name, value, "True or False")


def check_text(**values: object) -> None:
    """Raise `TypeError` for the first value that is neither None nor a string."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise wrong_type(name, value, "a string")


def word(name: str, value: object, accepted: Iterable[str]) -> str:
    """One of the accepted words. Raises `TypeError` for anything but a string, `InputError` with the nearest word.

    >>> word("widen", "first", ("first", "last"))
    'first'
    """
    accepted = tuple(accepted)
    if not isinstance(value, str):
        raise wrong_type(name, value, f"one of {', '.join(accepted)}")
    if value not in accepted:
        raise unknown(name, value, accepted)
    return value


def path(value: object, name: str = "path") -> str:
    """A path as a string. Raises `TypeError` for anything else."""
    import os

    if not isinstance(value, str | os.PathLike):
        raise wrong_type(name, value, "a path")
    return os.fspath(value)


def distinct_names(what: str, names: Sequence[str], own: Sequence[str]) -> list[str]:
    """The names that are given, one for each `what`; or their own, with a number behind those that an earlier one has.

    Raises `InputError` for more or fewer, for one that is empty or stands twice.

    >>> distinct_names("model", (), ["vgg16", "net", "vgg16"])
    ['vgg16', 'net', 'vgg16-2']
    """
    if not names:
        return numbered(own)
    if len(names) != len(own):
        count = f"{len(names)} name{'s' * (len(names) != 1)}"
        raise InputError(f"{len(own)} {what}s have {count}: give one for each, in their order, or none")
    for i, name in enumerate(names):
        if not name.strip():
            raise InputError(f"a name is empty: give every {what} one to be told by")
        if name in names[:i]:
            raise InputError(f"two {what}s are named {name}: give each its own name")
    return list(names)


def numbered(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that an earlier one has."""
    found: list[str] = []
    for own in names:
        name, number = own, 1
        while name in found:
            number += 1
            name = f"{own}-{number}"
        found.append(name)
    return found


def _number(name: str, text: str, example: str) -> int:
    if re.fullmatch(DIGITS, text.strip()) is None:
        raise InputError(f"{name} {text!r} is no number: write {example}")
    return int(text)


def parse_dtype(value: object, usual: str = "float32") -> str:
    """The name of a floating-point dtype: "float16", "fp16", "half" or torch.float16; of None `usual`.

    >>> parse_dtype("fp16")
    'float16'
    """
    if value is None:
        return usual
    text = str(value).removeprefix("torch.").lower()
    if not isinstance(value, str) and type(value).__module__.partition(".")[0] != "torch":
        raise wrong_type("dtype", value, f"one of {', '.join(ITEMSIZE)} or a torch.dtype")
    text = DTYPE_ALIASES.get(text, text)
    if re.fullmatch(r"(q|u?)int\d*|bool|long|short|byte", text):
        raise InputError(
            f"dtype {text!r} is none of {', '.join(ITEMSIZE)}: integers have no gradient, and what a quantized "
            "layer costs is another question"
        )
    if text not in ITEMSIZE:
        raise unknown("dtype", text, ITEMSIZE)
    return text


def parse_families(value: object) -> tuple[str, ...] | None:
    """Names of factorization families: "all", "stack,asymmetric" or a list; None stays None.

    >>> parse_families("stack,asymmetric")
    ('stack', 'asymmetric')
    """
    from vggcalc.nets.families import FAMILIES, family_named

    if value is None:
        return None
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.split(","))
        value = tuple(FAMILIES) if "all" in map(str.lower, value) else value
    if not isinstance(value, tuple | list) or not all(isinstance(name, str) for name in value):
        raise wrong_type("into", value, '"all", names such as "stack,asymmetric", or a list of names')
    if not value:
        raise InputError(f"into names no family: there are {', '.join(FAMILIES)}")
    return tuple(dict.fromkeys(map(family_named, value)))


def parse_cost(value: object) -> str:
    """The name of a cost, as in `vggcalc.COSTS`, or how tables head it.

    >>> parse_cost("Macs")
    'macs'
    """
    from vggcalc.analysis.costs import COSTS

    if isinstance(value, str):
        headed = {cost.definition.heading.lower(): name for name, cost in COSTS.items()}
        value = value.lower() if value.lower() in COSTS else headed.get(value.lower(), value.lower())
    return word("cost", value, COSTS)


def parse_costs(value: object) -> tuple[str, ...]:
    """Names of costs: "macs,saved_bytes" or a list."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, tuple | list) or not value:
        raise wrong_type("columns", value, 'names of costs such as "macs,saved_bytes", or a list of them')
    return tuple(dict.fromkeys(map(parse_cost, value)))


def parse_stride_at(value: object) -> str | int:
    """Which layer of a factorization has the stride: "last", "first" or a layer's number from 1."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.lower() in STRIDE_AT:
            return value.lower()
        if re.fullmatch(r"0*[1-9]\d{0,3}", value, re.ASCII):
            return int(value)
        raise InputError(f"stride_at {value!r} is no layer: write last, first, or a layer's number, such as 1")
    raise wrong_type("stride_at", value, '"last", "first" or a layer\'s number from 1')


def parse_widths(value: object) -> tuple[int, ...]:
    """Channels out of each layer: "32,32,64", (32, 32, 64), or one number for every layer but the last."""
    if isinstance(value, str):
        return tuple(_number("widths", part, "them with commas, such as 32,32,64") for part in value.split(","))
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, tuple | list) and value and all(type(width) is int for width in value):
        return tuple(value)
    raise wrong_type("widths", value, "a whole number or a list of them, one for each layer")


def parse_numbers(value: object, name: str = "values") -> tuple[int, ...]:
    """Ascending whole numbers: 7, "3:31:2", "16,64,256", a range or a list.

    >>> parse_numbers("3:7:2,64")
    (3, 5, 7, 64)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        found: set[int] = set()
        for part in value.split(","):
            match = re.fullmatch(r"(\d{1,18})(?::(\d{1,18})(?::0*([1-9]\d{0,17}))?)?", part.strip(), re.ASCII)
            if match is None:
                raise InputError(
                    f"{name}: {part!r} is no number and no range: write 7, or from:to:step, such as 3:31:2"
                )
            first = int(match[1])
            values = range(first, int(match[2] or first) + 1, int(match[3] or 1))
            if not values:
                raise InputError(f"{name}: {part!r} is an empty range: write the smaller end first, such as 3:31:2")
            if len(found) + len(values) > MOST_VALUES:
                raise InputError(f"{name}: {part!r} has more than {MOST_VALUES:,} numbers: give a larger step")
            found.update(values)
        return tuple(sorted(found))
    if isinstance(value, Iterable) and not isinstance(value, dict):
        items = list(value)
        if items and all(type(item) is int for item in items):
            return tuple(sorted(set(items)))
    raise wrong_type(name, value, 'whole numbers: 7, "3:31:2", "16,64", a range or a list')


def parse_shape(value: object, name: str = "inputs") -> tuple[int, ...]:
    """A whole shape, batch first: (1, 3, 224, 224) or "1x3x224x224"."""
    if isinstance(value, str):
        from vggcalc.nets.inputs import input_shape

        return input_shape(value)
    if isinstance(value, tuple | list) and value and all(type(side) is int for side in value):
        return tuple(value)
    raise wrong_type(name, value, "a shape with the batch first, such as (1, 3, 224, 224)")
