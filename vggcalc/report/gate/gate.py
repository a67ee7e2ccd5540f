"""The gate: which conditions hold, by how much, and which cannot be decided."""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from vggcalc.errors import InputError
from vggcalc.report.escape import visible
from vggcalc.report.gate.changes import Earlier, changes, read_report
from vggcalc.report.gate.conditions import COMPARATORS, Condition, parse_condition
from vggcalc.report.gate.values import FIELD, Path, Value, over, values_at
from vggcalc.report.tables.changes import machine_differences
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
    """The conditions, and the earlier report to compare with."""

    conditions: tuple[Condition, ...] = ()
    earlier: Earlier | None = None

    def against(self, report: Report) -> Report:
        """The report with what has changed since the earlier one."""
        if self.earlier is None:
            return report
        return msgspec.structs.replace(report, against=self.earlier.file, changes=changes(self.earlier, report))

    def judge(self, report: Report) -> GateResult:
        """Decide every condition in every comparison that has its variant."""
        held, undecided = [], []
        for condition in self.conditions:
            for comparison in _comparisons_with(condition.path, report.comparisons):
                for place, value in self._values(condition.path, comparison).items():
                    name = f"{condition.path}{place}"
                    if condition.path.variant != comparison.name:
                        name = f"{comparison.name} {name}"
                    holding = None if value.unknown else holds(condition, value)
                    if holding is None:
                        why = (
                            value.unknown or f"is {_amount(value.low, condition.path)} or more, which is a lower bound"
                        )
                        undecided.append(f'condition "{condition.text}" cannot be decided: {name} {why}')
                    elif holding:
                        change = self._change(condition.path, comparison, place)
                        line = f'condition "{condition.text}" holds: {name} {_beyond_bound(condition, value, change)}'
                        held.append(line + _measured_elsewhere(condition.path, report))
        return GateResult(tuple(held), tuple(undecided))

    def _values(self, path: Path, comparison: Comparison) -> dict[str, Value]:
        """The values of a condition, by axis and configuration where there are several."""
        found = values_at(path, comparison)
        if path.against and self.earlier is not None:
            then = self.earlier.values_at(path, comparison)
            other = then.get("", Value(unknown=f"has nothing to compare with in {self.earlier.file}"))
            found = {place: over(value, then.get(place, other)) for place, value in found.items()}
        if path.name == FIELD and len(set(found.values())) == 1:
            return {"": next(iter(found.values()))}  # all axes agree
        return found

    def _change(self, path: Path, comparison: Comparison, place: str) -> str:
        """From what to what an exact figure has changed, in brackets, where a condition is about that."""
        if not path.against or path.ratio or self.earlier is None:
            return ""
        sides = self.earlier.values_at(path, comparison), values_at(path, comparison)
        then, now = (side.get(place) or next(iter(side.values())) for side in sides)
        if then.low != then.high or now.low != now.high:
            return ""
        plain = msgspec.structs.replace(path, against=False)
        return f" ({_amount(then.low, plain)} → {_amount(now.low, plain)})"


def gate(
    conditions: Sequence[str],
    against: str | None,
    comparisons: Sequence[Comparison],
    latency: bool,
    remedy: str = "call vggcalc.measure first",
) -> Gate:
    """The conditions and the earlier report in the file `against`, if one is named.

    `latency` is whether it is measured, and `remedy` what to do where it is not. Raises `InputError` for what can
    never be decided.
    """
    earlier = Earlier(visible(against), read_report(against)) if against is not None else None
    parsed = tuple(parse_condition(text, comparisons, earlier is not None) for text in dict.fromkeys(conditions))
    for one in parsed:
        if one.path.is_latency and not latency:
            raise InputError(f'condition "{one.text}" needs the latency measured: {remedy}')
        if one.path.against and earlier is not None:
            found = [
                value
                for c in _comparisons_with(one.path, comparisons)
                for value in earlier.values_at(one.path, c).values()
            ]
            if all(value.unknown for value in found):
                raise InputError(f'condition "{one.text}": {one.path.variant} {found[0].unknown}')
    return Gate(parsed, earlier)


def _comparisons_with(path: Path, comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [one for one in comparisons if path.variant in one]


def holds(condition: Condition, value: Value) -> bool | None:
    """Whether the condition holds wherever in its range the value is.

    None where that depends on how much a lower bound lacks.
    """
    compare, bound = COMPARATORS[condition.sign], condition.bound
    if value.high is not None:
        return compare(value.low, bound) and compare(value.high, bound)
    if condition.sign in (">", ">="):
        return True if compare(value.low, bound) else None
    if condition.sign in ("<", "<="):
        return None if compare(value.low, bound) else False
    return condition.sign == "!=" if value.low > bound else None


def _beyond_bound(condition: Condition, value: Value, change: str = "") -> str:
    """The value, the bound, and by how much the nearest end is beyond it; in percent if the bound is."""
    path, bound = condition.path, condition.bound

    def amount(value: Fraction) -> str:
        return f"{float(100 * value):,.4g}%" if condition.in_percent else _amount(value, path)

    low, end = amount(value.low), value.low
    if value.high is None:
        figure = f"{low} or more"
    elif value.low == value.high:
        figure = low
    else:
        figure = f"{amount(value.typical)}, 95% interval {low} … {amount(value.high)} ({value.basis})"
        end = value.low if value.low >= bound else value.high
    exact, gap = value.low == value.high, end - bound
    if not gap:
        return f"is {figure}{change}: {'' if exact else 'its nearest end '}exactly the bound"
    least, side = "" if exact else "at least ", "above" if gap > 0 else "below"
    beyond = f"{float(100 * abs(gap)):,.3g} points" if condition.in_percent else _amount(abs(gap), path)
    percent = f" ({_percent(abs(gap) / bound)})" if bound and not condition.in_percent else ""
    return f"is {figure}{change}: {least}{beyond}{percent} {side} {amount(bound)}"


def _measured_elsewhere(path: Path, report: Report) -> str:
    """On which other machine or versions the earlier times were measured, if any."""
    where = machine_differences(report.changes) if path.against and path.is_latency and not path.ratio else ""
    return f"; measured on something else: {where}" if where else ""


def _percent(share: Fraction) -> str:
    percent = float(100 * share)
    return f"{percent:,.1f}%" if percent >= 1 else f"{percent:.2g}%"


def _amount(value: Fraction, path: Path) -> str:
    """A count in full, any other value to four digits or more."""
    if path.is_quotient or path.name == "intensity":
        return f"{float(value):,.6g}"
    if path.is_latency:
        scales = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
        scale, unit = next((one for one in scales if value >= one[0]), scales[-1])
        return f"{float(value) / scale:,.4g} {unit}"
    count = f"{value.numerator:,}" if value.denominator == 1 else f"{float(value):,.6f}"
    return count + " bytes" * path.name.endswith("_bytes")
