"""Conditions as they are written, `factorized.macs > 16G`, and what they ask.

Whatever is unknown in one is told before anything is measured, with what there is.
"""

import operator
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

import msgspec

from vggcalc.errors import InputError
from vggcalc.results import Comparison, Variant

OPERATORS: dict[str, Callable[[Fraction, Fraction], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

FIELD, LATENCY = "receptive_field", "latency"

#: Figures of a variant beside its costs.
COUNTS = ("convolutions", "nonlinearities")

_SCALES = {letter: Fraction(1000) ** i for i, letter in enumerate("kMGT", 1)} | {"K": Fraction(1000)}
_BINARY = {f"{letter}i": Fraction(1024) ** i for i, letter in enumerate("KMGT", 1)}
_COUNTED = {"": Fraction(1)} | _SCALES | _BINARY
_BYTES = _COUNTED | {f"{unit}B": scale for unit, scale in _COUNTED.items()}
_SECONDS = {"": Fraction(1)} | {unit: Fraction(1, 1000**i) for i, unit in enumerate(("s", "ms", "us", "ns"))}
_SHARES = {"": Fraction(1), "%": Fraction(1, 100)}

#: 16, 1.5, 1_000_000, 15,470,264,320, 2e9; the unit is what follows.
_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)(\.\d+)?(?:[eE]([+-]?\d{1,2}))?\s*(\D*)", re.ASCII)
_LONGEST = 60


class Figure(msgspec.Struct, frozen=True):
    """What a condition looks at: a cost, a count, the receptive field's size or the latency of a variant.

    `ratio` is against the comparison's baseline, `against` now / earlier; `axis` counts from the last,
    which is -1, None for every axis.
    """

    variant: str
    name: str
    ratio: bool = False
    against: bool = False
    axis: int | None = None

    @property
    def is_latency(self) -> bool:
        return self.name == LATENCY

    @property
    def is_exact(self) -> bool:
        """Whether it is a whole number, or a ratio of two."""
        return not self.is_latency and self.name != "intensity"

    @property
    def is_share(self) -> bool:
        return self.ratio or self.against


class Condition(msgspec.Struct, frozen=True):
    """`figure` `sign` `bound`, the bound exact and in counts, bytes, seconds or as a plain ratio."""

    text: str
    figure: Figure
    sign: str
    bound: Fraction


#: Axes by what they are called, from the last.
AXES = {"width": -1, "height": -2, "depth": -3}


def axis_name(axis: int) -> str:
    """`height` for -2."""
    return next(name for name, place in AXES.items() if place == axis)


def parse(text: str, comparisons: Sequence[Comparison], earlier: bool) -> Condition:
    """The condition that the text states about these comparisons; `earlier` if there is an --against.

    Raises `InputError` with one line for what cannot be read, or names nothing that there is.
    """
    try:
        return _parse(text, comparisons, earlier)
    except InputError as error:
        raise InputError(f'--fail-if "{text}": {error}') from None


def _parse(text: str, comparisons: Sequence[Comparison], earlier: bool) -> Condition:
    match = re.fullmatch(r"(.*?)\s*(>=|<=|==|!=|≥|≤|≠|>|<|=)\s*([^<>=!≥≤≠]*)", text.strip(), re.DOTALL)
    if match is None:
        raise InputError('it is no condition: write one such as "factorized.macs > 16G"')
    left, sign, right = match.groups()
    sign = {"≥": ">=", "≤": "<=", "≠": "!="}.get(sign, sign)
    if sign not in OPERATORS:
        raise InputError(f"{sign} is no comparison: write one of {' '.join(OPERATORS)}")
    figure = _figure(left, comparisons)
    if figure.against and not earlier:
        raise InputError("against. needs --against FILE, an earlier JSON output")
    if sign in ("==", "!=") and not figure.is_exact:
        raise InputError(f"{sign} is for exact counts, and {figure.name} is none: write one of > >= < <=")
    return Condition(text, figure, sign, _bound(right, figure))


def _figure(text: str, comparisons: Sequence[Comparison]) -> Figure:
    """The variant, by the longest of the names that fits, and the figure of it."""
    named = {variant.name: variant for comparison in comparisons for variant in comparison.variants}
    fitting = sorted((name for name in named if text.startswith(f"{name}.")), key=len, reverse=True)
    split = [(name, text[len(name) + 1 :]) for name in fitting]
    if len(named) == 1:
        split.append((next(iter(named)), text))
    if not split:
        raise InputError(f"it begins with the name of no variant: there are {', '.join(named)}")
    failures = []
    for name, rest in split:
        of = [c for c in comparisons if any(variant.name == name for variant in c.variants)]
        try:
            return _named(name, rest, named[name], of)
        except InputError as error:
            failures.append(error)
    raise failures[0]


def _named(variant: str, text: str, found: Variant, comparisons: Sequence[Comparison]) -> Figure:
    """The figure of that variant, which is in these comparisons."""
    against, rest = text.startswith("against."), text.removeprefix("against.")
    ratio, rest = rest.startswith("ratio."), rest.removeprefix("ratio.")
    name, _, axis = rest.partition(".")
    there = [*found.costs, LATENCY] if ratio else [*found.costs, *COUNTS, FIELD, LATENCY]
    if name not in there or (axis and name != FIELD):
        figure = f"ratio.{rest}" if ratio else rest
        more = "" if ratio else ", ratio.COST, ratio.latency, and behind against. each of these"
        raise InputError(f"{variant} has no figure {figure}: there are {', '.join(there)}{more}")
    if ratio and all(comparison.baseline == variant for comparison in comparisons):
        raise InputError(f"{variant} has no ratio: it is the baseline itself")
    if axis and axis not in _axes(comparisons, variant):
        raise InputError(f"{axis} is no axis: there are {', '.join(_axes(comparisons, variant))}")
    return Figure(variant, name, ratio, against, AXES[axis] if axis else None)


def _axes(comparisons: Sequence[Comparison], variant: str) -> list[str]:
    """The axes of the map, the first one first."""
    dimensions = max(len(comparison.input_shape) - 2 for comparison in comparisons)
    return [name for name, place in reversed(AXES.items()) if -place <= dimensions]


def _bound(text: str, figure: Figure) -> Fraction:
    """The number with its unit, exactly."""
    match = _NUMBER.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if match is None:
        raise InputError(f"{text.strip()!r} is no number: write one such as 16G, 1.5M, 15,470,264,320 or 2e9")
    whole, decimals, exponent, unit = match.groups()
    unit = unit.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    number = Fraction(whole.replace(",", "").replace("_", "") + (decimals or ""))
    number *= Fraction(10) ** int(exponent or 0)
    units = _units(figure)
    if unit not in units:
        of = "a ratio" if figure.is_share else figure.name
        raise InputError(f"{unit!r} is no unit of {of}: write none, or one of {', '.join(filter(None, units))}")
    return number * units[unit]


def _units(figure: Figure) -> dict[str, Fraction]:
    if figure.is_share:
        return _SHARES
    if figure.is_latency:
        return _SECONDS
    return _BYTES if figure.name.endswith("_bytes") else _COUNTED
