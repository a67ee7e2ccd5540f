"""Reading arguments, of Python and of the command line: each function returns the value or says what would be right.

A value of a wrong type is a `TypeError` that names what is accepted, a wrong value an `InputError`. Importing
this costs nothing, so that `vggcalc --help` can use it.
"""

import re
from collections.abc import Iterable
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

_DIGITS = r"[0-9]{1,18}"


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


def _number(name: str, text: str, example: str) -> int:
    if re.fullmatch(_DIGITS, text.strip()) is None:
        raise InputError(f"{name} {text!r} is no number: write {example}")
    return int(text)


def parse_kernel_size(value: object) -> int:
    """One side of a square kernel: 7, "7", "7x7" or (7, 7).

    >>> parse_kernel_size("7x7")
    7
    """
    if isinstance(value, str):
        if re.fullmatch(r"[+-]?\d{1,30}([x×*][+-]?\d{1,30})?", value.strip(), re.ASCII | re.IGNORECASE) is None:
            raise InputError(f"kernel {value!r} is no kernel: write one odd number, such as 7 for 7×7")
        sides = [int(side) for side in re.split("[xX×*]", value.strip())]
    else:
        sides = list(value) if isinstance(value, tuple | list) else [value]  # type: ignore[list-item]
        if len(sides) not in (1, 2) or not all(type(side) is int for side in sides):
            raise wrong_type("kernel", value, 'a whole number such as 7, "7x7" or a pair (7, 7)')
    if len(set(sides)) > 1:
        raise InputError(f"kernel {'×'.join(map(str, sides))} is not square: give one number, such as {max(sides)}")
    return sides[0]


def parse_size(value: object, name: str = "size") -> tuple[int, int]:
    """(height, width): 224, "224", "224x320" or (224, 320).

    >>> parse_size("224x320")
    (224, 320)
    """
    if isinstance(value, str):
        sides = re.split("[xX×]", value.strip())
        if len(sides) > 2 or not all(re.fullmatch(_DIGITS, side) for side in sides):
            raise InputError(
                f"{name} {value!r} is no size: write one number, such as 224, or HEIGHTxWIDTH, such as 224x320"
            )
        return int(sides[0]), int(sides[-1])
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, tuple | list) and len(value) == 2 and all(type(side) is int for side in value):
        return value[0], value[1]
    raise wrong_type(name, value, 'a whole number such as 224, "224x320" or a pair (height, width)')


def parse_padding(value: object) -> int | None:
    """None for "same", which keeps the size of the feature map at stride 1, else a number of positions."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str):
        if value.lower() == "same":
            return None
        return _number("padding", value, "same, which keeps the size, or positions on each side, such as 3")
    raise wrong_type("padding", value, '"same" or a whole number')


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
    from vggcalc.nets.families import FAMILIES

    if value is None:
        return None
    if isinstance(value, str):
        value = tuple(FAMILIES) if value.lower() == "all" else tuple(part.strip() for part in value.split(","))
    if not isinstance(value, tuple | list) or not all(isinstance(name, str) for name in value):
        raise wrong_type("into", value, '"all", names such as "stack,asymmetric", or a list of names')
    value = [name.lower() for name in value]
    for name in value:
        if name not in FAMILIES:
            raise unknown("family", name, FAMILIES)
    if not value:
        raise InputError(f"into names no family: there are {', '.join(FAMILIES)}")
    return tuple(dict.fromkeys(value))


def parse_cost(value: object) -> str:
    """The name of a cost, as in `vggcalc.COSTS`.

    >>> parse_cost("Macs")
    'macs'
    """
    from vggcalc.analysis.costs import COSTS

    return word("cost", value.lower() if isinstance(value, str) else value, COSTS)


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


def parse_sizes(value: object, name: str = "size") -> tuple[tuple[int, int], ...]:
    """Sizes as an axis, ascending: 56, "7,14,28x56", "7:56:7", (7, 14), or a list of pairs."""
    if isinstance(value, str):
        found: set[tuple[int, int]] = set()
        for part in value.split(","):
            if ":" in part:
                found.update((side, side) for side in parse_numbers(part, name))
            else:
                found.add(parse_size(part, name))
        return tuple(sorted(found))
    if isinstance(value, Iterable) and not isinstance(value, dict):
        return tuple(sorted({parse_size(item, name) for item in value}))
    return (parse_size(value, name),)


def parse_shape(value: object, name: str = "inputs") -> tuple[int, ...]:
    """A whole shape, batch first: (1, 3, 224, 224) or "1x3x224x224"."""
    if isinstance(value, str):
        from vggcalc.nets.inputs import input_shape

        return input_shape(value)
    if isinstance(value, tuple | list) and value and all(type(side) is int for side in value):
        return tuple(value)
    raise wrong_type(name, value, "a shape with the batch first, such as (1, 3, 224, 224)")
