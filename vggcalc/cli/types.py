"""How the command line reads an option's value: the library's own parsers, as click's types."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vggcalc.errors import InputError

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
    Choice = click.Choice[str]
else:
    Choice = click.Choice
    ParamType = click.ParamType  # generic for type checkers, and in newer clicks only


class Parsed(ParamType):
    """A value that a function reads: `parse` returns it, or raises `InputError` with what would be right."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except InputError as error:
            self.fail(str(error))


class Word(Choice):
    """One of several words, in any case, or an alias of one; the error for a near miss names the nearest."""

    def __init__(self, words: tuple[str, ...], aliases: dict[str, str] | None = None) -> None:
        super().__init__(words, case_sensitive=False)
        self._aliases = aliases or {}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from vggcalc.errors import unknown

        word = str(value).lower()
        word = self._aliases.get(word, word)
        word = next((one for one in self.choices if one.replace("_", "-") == word.replace("_", "-")), word)
        if word not in self.choices:
            self.fail(str(unknown(self.name, value, self.choices)))
        return word

    name = "value"


#: Seconds in each unit of time that may stand behind a number.
SECONDS_IN = {"": 1.0, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def parse_seconds(text: str) -> float:
    """A time of more than 0 and at most a million seconds: `30`, `30s`, `2min`."""
    match = re.fullmatch(r"([\d.]+(?:e[+-]?\d+)?)\s*([a-z]*)", text.strip().lower(), re.ASCII)
    number, unit = match.groups() if match else ("", "")
    try:
        value = float(number) * SECONDS_IN.get(unit, 0.0)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise InputError(f"{text!r} is no time: write seconds, more than 0 and at most a million, such as 30 or 2min")
    return value


def parse_precision(text: str) -> float:
    """`3%` or `0.03`."""
    return _part_of_one(text, "precision: write the interval's full width, such as 3% or 0.03")


def parse_share(text: str) -> float:
    """`95%` or `0.95`."""
    return _part_of_one(text, "share: write it as 95% or 0.95")


def _part_of_one(text: str, wanted: str) -> float:
    """More than 0 and at most 1, in percent or as it is."""
    match = re.fullmatch(r"(\d{0,9}\.?\d{1,9})(%?)", text, re.ASCII)
    share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < share <= 1:
        raise InputError(f"{text!r} is no {wanted}")
    return share


def parse_millimetres(text: str) -> float:
    """A length: `85` or `85mm`."""
    match = re.fullmatch(r"(\d{1,9}(\.\d{0,9})?)\s*(mm)?", text.strip().lower(), re.ASCII)
    if match is None:
        raise InputError(f"{text!r} is no width: write it in millimetres, such as 85")
    return float(match[1])


def parse_amount(text: str) -> int:
    """A whole number, written as in --fail-if: `1500000`, `1.5M`, `2G`, `2e9`."""
    from vggcalc.report.gate.conditions import parse_count

    amount = parse_count(text)
    if amount.denominator != 1:
        raise InputError(f"{text!r} is no whole number: write 1500000, 1.5M or 2G")
    return int(amount)


def parse_threads(text: str) -> int:
    """A number, or `all` for as many as this process may use."""
    if text.lower() == "all":
        from vggcalc.measurement.plan import usable_cpus

        return usable_cpus()
    if re.fullmatch(r"0*[1-9]\d{0,3}", text, re.ASCII) is None:
        raise InputError(f"{text!r} is no number of threads: write 1 to 9999, or all")
    return int(text)


def parse_kernels(text: str) -> tuple[int | tuple[int, ...], ...]:
    """One kernel or several with commas: `7`, `1x7`, `7,9`."""
    from vggcalc.library.per_axis import parse_kernel_size

    return tuple(parse_kernel_size(part) for part in text.split(","))


def parse_unit(text: str) -> tuple[int, ...]:
    """A position on a feature map: `7,7`."""
    if re.fullmatch(r"\d{1,18}(,\d{1,18})*", text, re.ASCII) is None:
        raise InputError(f"{text!r} is no unit: write its row and column, counted from 0, such as 7,7")
    return tuple(int(number) for number in text.split(","))
