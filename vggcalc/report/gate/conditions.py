"""Reading conditions such as `factorized.macs > 16G`; a wrong one is an error before anything is measured."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

import msgspec

from vggcalc.errors import InputError, unknown
from vggcalc.nets.layers import AXIS_NAMES
from vggcalc.report.gate.values import COUNTS, FIELD, LATENCY, Path
from vggcalc.results import Comparison

COMPARATORS: dict[str, Callable[[Fraction, Fraction], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

_ONE = {"": Fraction(1)}
_DECIMAL = {letter: Fraction(1000) ** i for i, letter in enumerate("kMGT", 1)} | {"K": Fraction(1000)}
_COUNTS = _ONE | _DECIMAL | {f"{letter}i": Fraction(1024) ** i for i, letter in enumerate("KMGT", 1)}
_BYTES = _COUNTS | {f"{unit}B": scale for unit, scale in _COUNTS.items()}
_SECONDS = _ONE | {unit: Fraction(1, 1000**i) for i, unit in enumerate(("s", "ms", "us", "ns"))}
_QUOTIENTS = _ONE | {"%": Fraction(1, 100)}

_CONDITION = re.compile(r"(.*?)\s*(>=|<=|==|!=|≥|≤|≠|>|<|=)\s*([^<>=!≥≤≠]*)", re.DOTALL)

#: 16, 1.5, 1_000_000, 15,470,264,320, 2e9; the unit is what follows.
_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)(\.\d+)?(?:[eE]([+-]?\d{1,2}))?\s*(\D*)", re.ASCII)
_LONGEST = 60


class Condition(msgspec.Struct, frozen=True):
    """`path` `sign` `bound`, the bound exact and in counts, bytes, seconds or as a plain quotient."""

    text: str
    path: Path
    sign: str
    bound: Fraction

    @property
    def in_percent(self) -> bool:
        """Whether the bound is written in percent."""
        return self.text.rstrip().endswith("%")


def parse_condition(text: str, comparisons: Sequence[Comparison], earlier: bool) -> Condition:
    """The condition that the text states about these comparisons; `earlier` if there is a report to compare with.

    Raises `InputError` with one line for what cannot be read, or names what does not exist.
    """
    try:
        match = _CONDITION.fullmatch(text.strip())
        if match is None:
            raise InputError('it is no condition: write one such as "factorized.macs > 16G"')
        left, sign, right = match.groups()
        sign = {"≥": ">=", "≤": "<=", "≠": "!="}.get(sign, sign)
        if sign not in COMPARATORS:
            raise InputError(f"{sign} is no comparison: write one of {' '.join(COMPARATORS)}")
        path = _left_side(left, comparisons)
        if path.against and not earlier:
            raise InputError(
                "against. needs an earlier JSON output: name its file (--against FILE, in Python against=)"
            )
        if sign in ("==", "!=") and path.name in (LATENCY, "intensity"):
            raise InputError(f"{sign} is for exact counts, and {path.name} is none: write one of > >= < <=")
        return Condition(text, path, sign, _bound(right, path))
    except InputError as error:
        raise InputError(f'condition "{text}": {error}') from None


def _left_side(text: str, comparisons: Sequence[Comparison]) -> Path:
    """The path that begins with the longest variant's name that fits; a single variant's may be left out."""
    names = list(dict.fromkeys(variant.name for comparison in comparisons for variant in comparison))
    called = _other_names(comparisons) | {name: name for name in names}
    fitting = sorted((name for name in called if text.startswith(f"{name}.")), key=len, reverse=True)
    split = [(called[name], text[len(name) + 1 :]) for name in fitting]
    if len(names) == 1:
        split.append((names[0], text))
    if not split:
        first = text.partition(".")[0]
        if first in _FIRST_WORDS or first in _cost_names(comparisons):
            raise InputError(f"of which variant? Write {' or '.join(f'{name}.{text}' for name in names[-2:])}")
        raise unknown("variant", first, names)
    other, _, rest = text.partition(".")
    if len(names) == 1 and not fitting and rest and other not in _FIRST_WORDS and other not in _cost_names(comparisons):
        raise InputError(f"there is no variant {other!r} here, where {names[0]} is alone: write {rest}")
    failures = []
    for name, rest in split:
        try:
            return _figure_path(name, rest, [one for one in comparisons if name in one])
        except InputError as error:
            failures.append(error)
    raise failures[0]


#: What a figure without its variant may begin with, beside a cost.
_FIRST_WORDS = (*COUNTS, FIELD, LATENCY, "ratio", "against")


def _cost_names(comparisons: Sequence[Comparison]) -> Iterable[str]:
    return comparisons[0].variants[0].costs


def _other_names(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """What a single factorization may be called too: `factorized`, or by its family, such as `stack`."""
    found: dict[str, str] = {}
    for comparison in comparisons:
        if len(comparison.variants) == 2 and comparison.variants[1].family is not None:
            other = comparison.variants[1]
            found |= {"factorized": other.name, str(other.family): other.name}
    return found


def _figure_path(variant: str, text: str, comparisons: Sequence[Comparison]) -> Path:
    """The path to a figure of the variant, which all these comparisons have."""
    against, rest = text.startswith("against."), text.removeprefix("against.")
    ratio, rest = rest.startswith("ratio."), rest.removeprefix("ratio.")
    name, _, axis = rest.partition(".")
    costs = comparisons[0][variant].costs
    names = [*costs, LATENCY] if ratio else [*costs, *COUNTS, FIELD, LATENCY]
    if name not in names or (axis and name != FIELD):
        more = [] if ratio else ["ratio.COST", "ratio.latency", "against.FIGURE"]
        raise unknown("ratio" if ratio else "figure", rest, [*names, *more])
    if ratio and all(comparison.baseline == variant for comparison in comparisons):
        raise InputError(f"{variant} has no ratio: it is the baseline itself")
    axes = AXIS_NAMES.get(max(len(comparison.input_shape) - 2 for comparison in comparisons), AXIS_NAMES[3])
    if axis and axis not in axes:
        raise InputError(f"{axis} is no axis: there are {', '.join(axes)}")
    return Path(variant, name, ratio, against, axis)


def parse_count(text: str) -> Fraction:
    """A count as conditions have it, exactly: `16G`, `15,470,264,320`, `2e9`."""
    return _in_units(text, _COUNTS, "a count")


def _bound(text: str, path: Path) -> Fraction:
    if text.strip().endswith("%") and not path.is_quotient:
        now, beside = (f"{path.variant}.{of}.{path.name} > 102%" for of in ("against", "ratio"))
        raise InputError(f"a share of what? Write {now} for now / earlier, or {beside} for variant / baseline")
    units = _COUNTS
    if path.is_quotient or path.is_latency:
        units = _QUOTIENTS if path.is_quotient else _SECONDS
    elif path.name.endswith("_bytes"):
        units = _BYTES
    return _in_units(text, units, "a ratio" if path.is_quotient else path.name)


def _in_units(text: str, units: Mapping[str, Fraction], of: str) -> Fraction:
    """The number with its unit, exactly."""
    match = _NUMBER.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if match is None:
        raise InputError(f"{text.strip()!r} is no number: write one such as 16G, 1.5M, 15,470,264,320 or 2e9")
    whole, decimals, exponent, unit = match.groups()
    unit = unit.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    number = Fraction(whole.replace(",", "").replace("_", "") + (decimals or "")) * Fraction(10) ** int(exponent or 0)
    if unit not in units:
        raise InputError(f"{unit!r} is no unit of {of}: write none, or one of {', '.join(filter(None, units))}")
    return number * units[unit]
