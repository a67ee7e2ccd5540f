"""The gate: which --fail-if conditions hold, by how much, and which could not be decided."""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from vggcalc.errors import InputError
from vggcalc.report.gate.changes import Earlier, changes, earlier
from vggcalc.report.gate.conditions import OPERATORS, Condition, Figure, axis_name, parse
from vggcalc.report.gate.values import Value, before, values
from vggcalc.report.tables.changes import elsewhere
from vggcalc.results import Comparison, Report


class GateResult(msgspec.Struct, frozen=True):
    """One line for each figure for which a condition holds, and for each that cannot be decided."""

    held: tuple[str, ...]
    undecided: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no condition holds and all could be decided."""
        return not self.held and not self.undecided

    def __bool__(self) -> bool:
        return self.passed


class Gate(msgspec.Struct, frozen=True):
    """The conditions, and the earlier report that this one is held against."""

    conditions: tuple[Condition, ...] = ()
    earlier: Earlier | None = None

    def against(self, report: Report) -> Report:
        """The report with what has changed since the earlier one."""
        if self.earlier is None:
            return report
        return msgspec.structs.replace(report, against=self.earlier.file, changes=changes(self.earlier, report))

    def judge(self, report: Report) -> GateResult:
        """Look at every condition in every comparison that has its variant."""
        held, undecided = [], []
        for condition in self.conditions:
            for comparison in _having(condition.figure, report.comparisons):
                for value in values(condition.figure, comparison, self.earlier):
                    holding = None if value.unknown else holds(condition, value)
                    if holding is None:
                        undecided.append(_undecided(condition, comparison, value))
                    elif holding:
                        held.append(_held(condition, comparison, value) + _then(condition.figure, report))
        return GateResult(tuple(held), tuple(undecided))


def gate(conditions: Sequence[str], against: str | None, comparisons: Sequence[Comparison], latency: bool) -> Gate:
    """What was asked for with --fail-if and --against. Raises `InputError` for what can never be answered.

    `latency` is whether it will be measured.
    """
    then = earlier(against) if against is not None else None
    parsed = tuple(parse(text, comparisons, then is not None) for text in dict.fromkeys(conditions))
    for one in parsed:
        if one.figure.is_latency and not latency:
            raise InputError(f'--fail-if "{one.text}" needs the latency measured: leave out --no-latency')
        if one.figure.against and then is not None:
            found = [value for c in _having(one.figure, comparisons) for value in before(one.figure, c, then)]
            if all(value.unknown for value in found):
                raise InputError(f'--fail-if "{one.text}": {one.figure.variant} {found[0].unknown}')
    return Gate(parsed, then)


def _having(figure: Figure, comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [one for one in comparisons if any(variant.name == figure.variant for variant in one.variants)]


def holds(condition: Condition, value: Value) -> bool | None:
    """Whether the condition holds wherever in its interval the value is.

    None where that hangs on how much a lower bound lacks.
    """
    compare, bound = OPERATORS[condition.sign], condition.bound
    if value.high is not None:
        return compare(value.low, bound) and compare(value.high, bound)
    if condition.sign in (">", ">="):
        return True if compare(value.low, bound) else None
    if condition.sign in ("<", "<="):
        return None if compare(value.low, bound) else False
    return condition.sign == "!=" if value.low > bound else None


def _name(condition: Condition, comparison: Comparison, value: Value) -> str:
    figure = condition.figure
    parts = [figure.variant, *["against"] * figure.against, *["ratio"] * figure.ratio, figure.name]
    axis = figure.axis if figure.axis is not None else value.axis
    name = ".".join(parts + ([axis_name(axis)] if axis is not None else []))
    whole = name if figure.variant == comparison.name else f"{comparison.name} {name}"
    return whole + (f" on {value.on}" if value.on else "")


def _undecided(condition: Condition, comparison: Comparison, value: Value) -> str:
    name = _name(condition, comparison, value)
    why = value.unknown or f"is {_amount(value.low, condition.figure)} or more, which is a lower bound"
    return f'--fail-if "{condition.text}" cannot be decided: {name} {why}'


def _held(condition: Condition, comparison: Comparison, value: Value) -> str:
    """The figure, the bound, and by how much the nearest end is beyond it."""
    figure, bound = condition.figure, condition.bound
    is_, least = f"is {_amount(value.typical, figure)}", ""
    if value.high is None:
        is_, least = f"is {_amount(value.low, figure)} or more", "at least "
    elif value.low != value.high:
        ends = f"{_amount(value.low, figure)} … {_amount(value.high, figure)}"
        is_, least = f"{is_}, 95% interval {ends} ({value.basis})", "at least "
    end = value.low if value.high is None or value.low >= bound else value.high
    name = _name(condition, comparison, value)
    return f'--fail-if "{condition.text}" holds: {name} {is_}: {_beyond(end - bound, bound, figure, least)}'


def _beyond(gap: Fraction, bound: Fraction, figure: Figure, least: str) -> str:
    if not gap:
        return "its nearest end exactly the bound" if least else "exactly the bound"
    side = "above" if gap > 0 else "below"
    percent = f" ({_percent(abs(gap) / bound)})" if bound else ""
    return f"{least}{_amount(abs(gap), figure)}{percent} {side} {_amount(bound, figure)}"


def _then(figure: Figure, report: Report) -> str:
    """That the earlier times were measured on something else, where they were."""
    where = elsewhere(report.changes) if figure.against and figure.is_latency and not figure.ratio else ""
    return f"; measured on something else: {where}" if where else ""


def _percent(share: Fraction) -> str:
    percent = float(100 * share)
    return f"{percent:,.1f}%" if percent >= 1 else f"{percent:.2g}%"


def _amount(value: Fraction, figure: Figure) -> str:
    """In full where it is a count; else to four digits or more."""
    if figure.is_share or figure.name == "intensity":
        return f"{float(value):,.6g}"
    if figure.is_latency:
        return _seconds(float(value))
    count = f"{value.numerator:,}" if value.denominator == 1 else f"{float(value):,.6f}"
    return count + (" bytes" if figure.name.endswith("_bytes") else "")


def _seconds(seconds: float) -> str:
    scale, unit = next(((scale, unit) for scale, unit in ((1, "s"), (1e-3, "ms")) if seconds >= scale), (1e-6, "µs"))
    return f"{seconds / scale:,.4g} {unit}"
