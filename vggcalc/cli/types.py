"""How the values of options are written, and what is said of those that are not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from vggcalc.nets.names import ITEMSIZE, STRIDE_AT

if TYPE_CHECKING:
    from vggcalc.nets.layers import Pair

    ParamType = click.ParamType[Any]
    Choice = click.Choice[str]
else:
    Choice = click.Choice
    ParamType = click.ParamType  # generic for type checkers, and in newer clicks only


class Kernel(ParamType):
    """An odd number."""

    name = "kernel"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if re.fullmatch(r"[+-]?\d{1,30}", value, re.ASCII) is None:
            self.fail(f"{value!r} is no kernel: write one odd number, such as 7 for 7×7")
        return int(value)


class Dtype(Choice):
    """A type of floats."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if re.fullmatch(r"(q|u?)int\d*|bool|long|short|byte", str(value)):
            self.fail(
                f"{value!r} is not one of {', '.join(ITEMSIZE)}: integers have no gradient, and what a "
                "quantized layer costs is another question"
            )
        return super().convert(value, param, ctx)


class Numbers(ParamType):
    """`3:31:2` and `16,64,256`: an axis of a sweep, ascending."""

    name = "n,…|from:to:step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        found: set[int] = set()
        for part in value.split(","):
            match = re.fullmatch(r"(\d{1,18})(?::(\d{1,18})(?::0*([1-9]\d{0,17}))?)?", part, re.ASCII)
            if match is None:
                self.fail(f"{part!r} is no number and no range: write 7, or from:to:step, such as 3:31:2")
            first = int(match[1])
            numbers = range(first, int(match[2] or first) + 1, int(match[3] or 1))
            if not numbers:
                self.fail(f"{part!r} is an empty range: write the smaller end first, such as 3:31:2")
            if len(found) + len(numbers) > MOST_NUMBERS:
                self.fail(f"{part!r} has more than {MOST_NUMBERS:,} numbers: give a larger step")
            found.update(numbers)
        return tuple(sorted(found))


#: An axis of a sweep has no more.
MOST_NUMBERS = 1_000_000


class Sizes(ParamType):
    """`7,14,28x56` and `7:56:7`: sizes as an axis of a sweep, ascending."""

    name = "size,…|from:to:step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Pair, ...]:
        if isinstance(value, tuple):
            return value
        found: set[Pair] = set()
        for part in value.split(","):
            if ":" in part:
                found.update((size, size) for size in Numbers().convert(part, param, ctx))
            else:
                found.add(Size().convert(part, param, ctx))
        return tuple(sorted(found))


class Size(ParamType):
    """`224` or `HxW`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Pair:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,18})(?:[x×](\d{1,18}))?", value, re.ASCII | re.IGNORECASE)
        if match is None:
            self.fail(f"{value!r} is no size: write one number, such as 224, or HEIGHTxWIDTH, such as 224x320")
        return int(match[1]), int(match[2] or match[1])


class Integers(ParamType):
    """`32,32,64`: so many as are given; `instead` says what they are and how to write them."""

    def __init__(self, name: str, instead: str) -> None:
        self.name = name
        self._instead = instead

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if re.fullmatch(r"\d{1,18}(,\d{1,18})*", value, re.ASCII) is None:
            self.fail(f"{value!r} is no {self._instead}")
        return tuple(int(number) for number in value.split(","))


class StrideAt(ParamType):
    """`last`, `first` or a layer's number."""

    name = "last|first|n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        if isinstance(value, int):
            return value
        if value in STRIDE_AT:
            return str(value)
        if re.fullmatch(r"0*[1-9]\d{0,3}", value, re.ASCII) is None:
            self.fail(f"{value!r} is no place of a stride: write last, first, or a layer's number, such as 1")
        return int(value)


class Into(ParamType):
    """`stack,separable` or `all`."""

    name = "family,…|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        from vggcalc.nets.families import FAMILIES

        if isinstance(value, tuple):
            return value
        names = tuple(FAMILIES) if value == "all" else tuple(value.split(","))
        for name in names:
            if name not in FAMILIES:
                self.fail(f"{name!r} is no family: write all, or some of {', '.join(FAMILIES)}")
        return names


class Seconds(ParamType):
    """A positive, finite number."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= 1e6:
            self.fail(f"{value!r} is no time: write seconds, more than 0 and at most a million, such as 30")
        return seconds


class Precision(ParamType):
    """`3%` or `0.03`."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{0,9}\.?\d{1,9})(%?)", value, re.ASCII)
        share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
        if not 0 < share <= 1:
            self.fail(f"{value!r} is no precision: write the interval's full width, such as 3% or 0.03")
        return share


class Threads(ParamType):
    """A number or `all`."""

    name = "n|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "all":
            from vggcalc.measurement.plan import usable_cpus

            return usable_cpus()
        if re.fullmatch(r"0*[1-9]\d{0,3}", value, re.ASCII) is None:
            self.fail(f"{value!r} is no number of threads: write 1 to 9999, or all")
        return int(value)


class Padding(ParamType):
    """`same` or a number of pixels."""

    name = "same|n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or isinstance(value, int):
            return value
        if value == "same":
            return None
        if re.fullmatch(r"\d{1,18}", value, re.ASCII) is None:
            self.fail(f"{value!r} is no padding: write same, which keeps the map, or pixels, such as 3")
        return int(value)
