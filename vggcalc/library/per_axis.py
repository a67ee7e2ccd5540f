"""Reading arguments of which there is one number for every spatial axis, or one for each: as `arguments` does."""

import re
from collections.abc import Iterable

from vggcalc.errors import InputError
from vggcalc.library.arguments import DIGITS, parse_numbers, wrong_type


def parse_kernel_size(value: object) -> int | tuple[int, ...]:
    """One number for every axis, 7 or "7", or one for each: "7x7", "5x7x7" or (5, 7, 7).

    >>> parse_kernel_size("5x7x7")
    (5, 7, 7)
    """
    if isinstance(value, str):
        if re.fullmatch(r"[+-]?\d{1,30}([x×*][+-]?\d{1,30}){0,2}", value.strip(), re.ASCII | re.IGNORECASE) is None:
            raise InputError(
                f"kernel {value!r} is no kernel: write one odd number, such as 7 for 7×7, or one for each axis, "
                "such as 1x7 or 5x7x7"
            )
        return _one_or_each([int(side) for side in re.split("[xX×*]", value.strip())])
    if type(value) is int:
        return value
    if isinstance(value, tuple | list) and 1 <= len(value) <= 3 and all(type(side) is int for side in value):
        return tuple(value)
    raise wrong_type("kernel", value, 'a whole number such as 7, or one for each axis: "1x7", (5, 7, 7)')


def _one_or_each(numbers: list[int]) -> int | tuple[int, ...]:
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def parse_axes(value: object, name: str) -> int | tuple[int, ...]:
    """One number for every spatial axis, 2 or "2", or one for each: "1x2x2" or (1, 2, 2).

    >>> parse_axes("1x2x2", "stride")
    (1, 2, 2)
    """
    if isinstance(value, str):
        sides = re.split("[xX×]", value.strip())
        if len(sides) > 3 or not all(re.fullmatch(DIGITS, side) for side in sides):
            raise InputError(f"{name} {value!r} is no {name}: write one number, such as 2, or one for each axis: 1x2x2")
        return _one_or_each([int(side) for side in sides])
    if type(value) is int:
        return value
    if isinstance(value, tuple | list) and 1 <= len(value) <= 3 and all(type(side) is int for side in value):
        return tuple(value)
    raise wrong_type(name, value, "a whole number, or one for each axis, such as (1, 2, 2)")


def parse_stride(value: object) -> int | tuple[int, ...]:
    """`parse_axes` for the stride."""
    return parse_axes(value, "stride")


def parse_dilation(value: object) -> int | tuple[int, ...]:
    """`parse_axes` for the dilation."""
    return parse_axes(value, "dilation")


def parse_size(value: object, name: str = "size") -> int | tuple[int, ...]:
    """One number for every spatial axis, 224 or "224", or one for each: "224x320" or (16, 112, 112).

    >>> parse_size("224x320")
    (224, 320)
    """
    if isinstance(value, str):
        sides = re.split("[xX×]", value.strip())
        if len(sides) > 3 or not all(re.fullmatch(DIGITS, side) for side in sides):
            raise InputError(
                f"{name} {value!r} is no size: write one number, such as 224, or HEIGHTxWIDTH, such as 224x320; in "
                "three dimensions 16x112x112"
            )
        return _one_or_each([int(side) for side in sides])
    if type(value) is int:
        return value
    if isinstance(value, tuple | list) and 1 <= len(value) <= 3 and all(type(side) is int for side in value):
        return tuple(value)
    raise wrong_type(name, value, 'a whole number such as 224, "224x320" or a pair (height, width)')


def parse_padding(value: object) -> int | tuple[int, ...] | None:
    """None for "same", which keeps the size of the feature map at stride 1, else positions on each side.

    "valid" is none, as in torch.
    """
    if value is None or (isinstance(value, str) and value.lower() == "same"):
        return None
    if isinstance(value, str) and value.lower() == "valid":
        return 0
    if isinstance(value, str) and re.fullmatch(rf"{DIGITS}([xX×]{DIGITS}){{0,2}}", value.strip()) is None:
        raise InputError(
            f"padding {value!r} is no number: write same, which keeps the size, or positions on each side, such as 3"
        )
    if isinstance(value, bool) or not isinstance(value, str | int | tuple | list):
        raise wrong_type("padding", value, '"same", a whole number, or one for each axis')
    return parse_axes(value, "padding")


def parse_sizes(value: object, name: str = "size") -> tuple[int | tuple[int, ...], ...]:
    """Sizes as an axis, ascending: 56, "7,14,28x56", "7:56:7", (7, 14), or a list of pairs or triples."""
    if isinstance(value, str):
        found: set[int | tuple[int, ...]] = set()
        for part in value.split(","):
            found.update(parse_numbers(part, name) if ":" in part else (parse_size(part, name),))
    elif isinstance(value, Iterable) and not isinstance(value, dict):
        found = {parse_size(item, name) for item in value}
    else:
        found = {parse_size(value, name)}
    return tuple(sorted(found, key=lambda size: size if isinstance(size, tuple) else (size, size)))
