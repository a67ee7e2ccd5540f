"""The figures of a comparison by their paths, such as `factorized.ratio.latency`, and the range that each lies in."""

from fractions import Fraction

import msgspec

from vggcalc.nets.layers import AXIS_NAMES
from vggcalc.results import Comparison, Latency, LatencyRatio

COUNTS = ("convolutions", "nonlinearities")
FIELD, LATENCY = "receptive_field", "latency"

#: Why two runs cannot be compared by intervals within one process: another run is another process.
ONE_PROCESS = "one process differs from the next by more than its own interval"


class LowerBound(msgspec.Struct, frozen=True):
    """A total that lacks what some operator costs."""

    value: int | float


Measured = Latency | LatencyRatio
GatedFigure = int | float | str | tuple[int, ...] | LowerBound | Measured


def figures_of(comparison: Comparison, variant: str) -> dict[tuple[str, str], GatedFigure]:
    """Every figure of a variant that is known, by its path and, for times, the label of their configuration."""
    found = comparison[variant]
    field = found.receptive_field
    single: dict[str, GatedFigure | None] = {
        key: LowerBound(value) if value is not None and key in found.partial else value
        for key, value in found.costs.items()
    }
    single |= {key: getattr(found, key) for key in COUNTS}
    if field is not None:
        single |= {FIELD: field.size, f"{FIELD}_stride": field.stride, f"{FIELD}_padding": field.padding}
    single["sees"] = found.sees
    ratios = [one for ratio in comparison.ratios if ratio.variant == variant for one in ratio.latency]
    return (
        {(path, ""): value for path, value in single.items() if value is not None}
        | {(LATENCY, one.label): one for one in found.latency}
        | {(f"ratio.{LATENCY}", one.label): one for one in ratios}
    )


def typical(time: Measured) -> float:
    """The median, or the ratio."""
    return time.median_s if isinstance(time, Latency) else time.ratio


class Path(msgspec.Struct, frozen=True):
    """The left side of a condition: `variant`[.against][.ratio].`name`[.`axis`].

    `ratio` is variant / baseline, `against` now / earlier; without an `axis` each of them is meant.
    """

    variant: str
    name: str
    ratio: bool = False
    against: bool = False
    axis: str = ""

    def __str__(self) -> str:
        parts = [self.variant, "against" * self.against, "ratio" * self.ratio, self.name, self.axis]
        return ".".join(filter(None, parts))

    @property
    def is_latency(self) -> bool:
        """Whether it must be measured."""
        return self.name == LATENCY

    @property
    def is_quotient(self) -> bool:
        """Whether it has no unit."""
        return self.ratio or self.against


class Value(msgspec.Struct, frozen=True):
    """Somewhere in `low` … `high`, both included; `high` is None for a lower bound.

    `basis` is what an interval rests on. Where there is no value, `unknown` says why.
    """

    low: Fraction = Fraction(0)
    high: Fraction | None = None
    typical: Fraction = Fraction(0)
    basis: str = ""
    unknown: str = ""


def values_at(path: Path, comparison: Comparison) -> dict[str, Value]:
    """The values at a path, without regard to `against`: several if there are several axes or configurations.

    They are keyed by what follows the path where one of them is named: ".height", " on cpu".
    """
    variant = comparison[path.variant]
    if path.ratio and path.variant == comparison.baseline:
        return {"": Value(unknown="is the baseline itself")}
    found = figures_of(comparison, path.variant)
    if path.is_latency:
        wanted = f"ratio.{LATENCY}" if path.ratio else LATENCY
        times = {f" on {label}": _value(one, path) for (name, label), one in found.items() if name == wanted}
        return times or {"": Value(unknown="was not measured")}
    figure = found.get((path.name, ""))
    if isinstance(figure, tuple):
        sizes = zip(AXIS_NAMES[len(figure)], figure, strict=True)
        return {"" if path.axis else f".{axis}": _value(n, path) for axis, n in sizes if path.axis in ("", axis)}
    if path.name == FIELD:
        why = {"image": "is the whole image", "varies": "varies from unit to unit"}
        return {"": Value(unknown=why.get(variant.sees, "is not known"))}
    value = _value(figure, path)
    if path.ratio:
        value = over(value, _value(figures_of(comparison, comparison.baseline).get((path.name, "")), path))
    return {"": value}


def _value(figure: GatedFigure | None, path: Path) -> Value:
    if isinstance(figure, LowerBound):
        return Value(Fraction(figure.value))
    if isinstance(figure, int | float):
        exact = Fraction(figure)
        return Value(exact, exact, exact)
    if not isinstance(figure, Measured):
        return Value(unknown="is not known")
    rounds = figure.rounds_per_process
    if figure.ci95 is None:
        few = f": {sum(rounds)} rounds of one process are too few" if rounds else ""
        return Value(unknown=f"has no interval{few}")
    if path.against and len(rounds) < 2:
        return Value(unknown=f"rests on one process, and {ONE_PROCESS}")
    basis = f"over {len(rounds)} processes" if len(rounds) > 1 else "this process only"
    low, high = map(Fraction, figure.ci95)
    return Value(low, high, Fraction(typical(figure)), basis)


def over(value: Value, base: Value) -> Value:
    """value / base. Of two 95% intervals it is the widest that their ends allow, which holds at least 95%."""
    unknown = value.unknown or base.unknown
    if not unknown and (base.high is None or base.low <= 0):
        unknown = "is divided by a lower bound" if base.high is None else "is divided by 0"
    if unknown or base.high is None:
        return msgspec.structs.replace(value, unknown=unknown)
    return Value(
        value.low / base.high,
        None if value.high is None else value.high / base.low,
        value.typical / base.typical,
        f"{value.basis}, {base.basis} before" if value.basis else "",
    )
