"""The answer of a sweep: at how many points each variant costs less than `naive`, and where it is faster."""

from collections.abc import Mapping, Sequence
from typing import Any

from vggcalc.report import units

#: What is counted of a variant at a point: less of a cost than `naive`, or a verdict.
_MACS, _PARAMETERS, _TIMED, _FASTER, _SLOWER = "macs_ratio", "parameters_ratio", "timed", "faster", "slower"


class SweepAnswer:
    """Takes a sweep's rows as they come by; `sentence` says what they come to.

    `axis` is the only column that varies from point to point, with its values: where a variant costs less is said then.
    """

    def __init__(self, axis: tuple[str, Sequence[Any]] | None) -> None:
        self._axis, self._values = axis or ("", ())
        self._points = 0
        #: By variant, the values of the axis at which something holds; without an axis the numbers of the points.
        self._where: dict[str, dict[str, list[Any]]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Take the next row; `naive` is the first of each point."""
        if row["variant"] == "naive":
            self._points += 1
            return
        where = self._where.setdefault(row["variant"], {})
        value = row[self._axis] if self._axis else self._points
        for ratio in (_MACS, _PARAMETERS):
            if row[ratio] is not None and row[ratio] < 1:
                where.setdefault(ratio, []).append(value)
        verdict = row.get("verdict")
        if verdict is not None:
            where.setdefault(_TIMED, []).append(value)
            where.setdefault(verdict, []).append(value)

    def sentence(self) -> str:
        """Of 15 points the stack does fewer MACs than naive at 14 (from kernel 5 on), …; empty without rows."""
        if not self._where:
            return ""
        points = f"Of {self._points:,} point{'s' * (self._points != 1)}"
        timed = max(len(where.get(_TIMED, ())) for where in self._where.values())
        if len(self._where) == 1:
            ((name, where),) = self._where.items()
            macs, parameters = (self._at(where.get(key, ()), self._points) for key in (_MACS, _PARAMETERS))
            both = f"does fewer MACs and has fewer parameters than naive {macs}"
            each = f"does fewer MACs than naive {macs} and has fewer parameters {parameters}"
            text = f"{points} {'the stack' if name == 'stack' else name} {both if macs == parameters else each}"
            faster, slower = (self._at(where.get(key, ()), timed) for key in (_FASTER, _SLOWER))
            return f"{text}; of {timed:,} timed it is faster {faster} and slower {slower}." if timed else f"{text}."
        text = f"{points} these do fewer MACs than naive: {self._grouped(_MACS, self._points)}"
        return f"{text}; of {timed:,} timed these are faster: {self._grouped(_FASTER, timed)}." if timed else f"{text}."

    def _grouped(self, key: str, of: int) -> str:
        """The variants by where it holds of them: `stack and separable everywhere, dilated at 3`."""
        groups: dict[str, list[str]] = {}
        for name, where in self._where.items():
            groups.setdefault(self._at(where.get(key, ()), of), []).append(name)
        return ", ".join(f"{units.names(names)} {at}" for at, names in groups.items())

    def _at(self, where: Sequence[Any], of: int) -> str:
        """At how many of these points, and on which part of the axis."""
        if len(where) in (0, of):
            return "everywhere" if where else "nowhere"
        at, axis = f"at {len(where):,}", self._axis.replace("_", " ")
        if not axis:
            return at
        if list(where) == list(self._values[-len(where) :]):
            return f"{at} (from {axis} {where[0]} on)"
        if list(where) == list(self._values[: len(where)]):
            return f"{at} (up to {axis} {where[-1]})"
        return f"{at} ({axis} {units.names([str(value) for value in where], most=4)})"
