"""What a condition's figure is in a comparison: exactly, at least, or within an interval."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import msgspec

from vggcalc.report.gate.changes import ONE_PROCESS, Earlier, typical
from vggcalc.report.gate.conditions import COUNTS, FIELD, Figure
from vggcalc.results import Comparison, Latency, LatencyRatio, Variant


class Value(msgspec.Struct, frozen=True):
    """Somewhere in `low` … `high`, both included; `high` None: no one knows how much more it is.

    `axis` counts from the last, `on` is a configuration's label and `basis` what its interval rests
    on. Where there is no value `unknown` says why.
    """

    low: Fraction = Fraction(0)
    high: Fraction | None = None
    typical: Fraction = Fraction(0)
    axis: int | None = None
    on: str = ""
    basis: str = ""
    unknown: str = ""


def values(figure: Figure, comparison: Comparison, earlier: Earlier | None = None) -> list[Value]:
    """One for each axis that differs, and one for each configuration that was timed."""
    if figure.against:
        assert earlier is not None
        then = {(one.axis, one.on): one for one in before(figure, comparison, earlier)}
        other = then.get((None, "")) or Value(unknown=f"has nothing to be held against in {earlier.file}")
        found = [_over(one, then.get((one.axis, one.on), other)) for one in _values(figure, comparison)]
    else:
        found = list(_values(figure, comparison))
    if figure.axis is None and len({(one.low, one.high, one.unknown) for one in found if not one.on}) == 1:
        found = [msgspec.structs.replace(found[0], axis=None)]
    return found


def before(figure: Figure, comparison: Comparison, earlier: Earlier) -> list[Value]:
    """What the figure was in the earlier report."""

    def nothing(why: str) -> Value:
        return Value(unknown=f"has nothing to be held against: {why}")

    other = earlier.counterpart(comparison)
    if other is None:
        return [nothing(f"{earlier.file} has no {comparison.name} with this input and dtype")]
    if not any(variant.name == figure.variant for variant in other.variants):
        return [nothing(f"{earlier.file} has no variant {figure.variant} of {comparison.name}")]
    return [nothing(f"in {earlier.file} it {one.unknown}") if one.unknown else one for one in _values(figure, other)]


def _values(figure: Figure, comparison: Comparison) -> Iterator[Value]:
    variant = comparison[figure.variant]
    if figure.ratio and variant.name == comparison.baseline:
        yield Value(unknown="is the baseline itself")
    elif figure.is_latency:
        yield from _timed(figure, comparison, variant)
    elif figure.name == FIELD:
        yield from _sizes(figure, variant)
    elif figure.ratio:
        yield _over(_cost(figure.name, variant), _cost(figure.name, comparison[comparison.baseline]))
    elif figure.name in COUNTS:
        yield _exactly(getattr(variant, figure.name))
    else:
        yield _cost(figure.name, variant)


def _exactly(value: int | float, axis: int | None = None) -> Value:
    exact = Fraction(value)
    return Value(exact, exact, exact, axis)


def _cost(key: str, variant: Variant) -> Value:
    """A total; where it lacks an operator it is a lower bound."""
    value = variant.costs.get(key)
    if value is None:
        return Value(unknown="is not known")
    exact = _exactly(value)
    return msgspec.structs.replace(exact, high=None) if key in variant.partial else exact


def _sizes(figure: Figure, variant: Variant) -> Iterator[Value]:
    """Of the receptive field, along the axis that is asked for or along each."""
    field = variant.receptive_field
    if field is None:
        why = {"image": "is the whole image", "varies": "varies from unit to unit"}
        yield Value(unknown=why.get(variant.sees, "is not known"))
        return
    for axis, size in enumerate(field.size, -len(field.size)):
        if figure.axis in (None, axis):
            yield _exactly(size, axis)


def _timed(figure: Figure, comparison: Comparison, variant: Variant) -> Iterator[Value]:
    """In each configuration."""
    measured: Sequence[Latency | LatencyRatio] = variant.latency
    if figure.ratio:
        ratios = [ratio for ratio in comparison.ratios if ratio.variant == variant.name]
        measured = [one for ratio in ratios for one in ratio.latency]
    if not measured:
        yield Value(unknown="was not measured")
    for one in measured:
        rounds = one.rounds_per_process
        if one.ci95 is None:
            few = f": {sum(rounds)} rounds of one process are too few" if rounds else ""
            yield Value(on=one.label, unknown=f"has no interval{few}")
            continue
        low, high = map(Fraction, one.ci95)
        if figure.against and len(rounds) < 2:
            yield Value(on=one.label, unknown=f"rests on one process, and {ONE_PROCESS}")
            continue
        basis = f"over {len(rounds)} processes" if len(rounds) > 1 else "this process only"
        yield Value(low, high, Fraction(typical(one)), on=one.label, basis=basis)


def _over(now: Value, base: Value) -> Value:
    """now / base. Of two intervals it is the widest that their ends allow: it holds at least 95%."""
    if now.unknown or base.unknown:
        return msgspec.structs.replace(now, unknown=now.unknown or base.unknown)
    if base.high is None or base.low <= 0:
        why = "is held against a lower bound" if base.high is None else "is held against 0"
        return msgspec.structs.replace(now, unknown=why)
    return msgspec.structs.replace(
        now,
        low=now.low / base.high,
        high=None if now.high is None else now.high / base.low,
        typical=now.typical / base.typical,
        basis=f"{now.basis}, {base.basis} before" if now.basis else "",
    )
