"""From where on along an axis a variant wins, for every line of a sweep."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from vggcalc.analysis.sweep import POINT, RATIOS, Grid
from vggcalc.spec.words import SpecError

#: The axes of a sweep, by the columns that vary along them, and how their values are written.
AXES: dict[str, tuple[tuple[str, ...], str]] = {
    "kernel": (("kernel",), ""),
    "channels": (("in_channels", "out_channels"), "→"),
    "in_channels": (("in_channels",), ""),
    "out_channels": (("out_channels",), ""),
    "size": (("height", "width"), "×"),
    "batch": (("batch",), ""),
    "stride": (("stride",), ""),
    "dilation": (("dilation",), ""),
    "groups": (("groups",), ""),
}

#: In place of a start: the line is not measured to its end.
NOT_MEASURED = "not measured"


class Crossovers:
    """From where on the variants win; takes a sweep's rows in order, the axis ascending within each line.

    A line is a variant with everything fixed but one axis. It wins from that value of the axis on at
    which, and at every larger one, it is below `naive`: in each of `RATIOS` and, where it is measured,
    in latency with its whole interval. There is one state for each line.
    Raises `SpecError` for an axis that is none, or whose pairs are in no order.
    """

    def __init__(self, axis: str, grid: Grid, latency: bool) -> None:
        if axis not in AXES:
            raise SpecError(f"axis {axis!r} is none of {', '.join(AXES)}")
        pairs = {"channels": grid.channels, "size": grid.sizes}.get(axis, ())
        for one, two in pairwise(pairs):
            if not (one[0] <= two[0] and one[1] <= two[1]):
                sign = AXES[axis][1]
                instead = ": cross in_channels or out_channels" if axis == "channels" else ""
                raise SpecError(
                    f"{axis} such as {one[0]}{sign}{one[1]} and {two[0]}{sign}{two[1]} are in no order{instead}"
                )
        self._along, self._sign = AXES[axis]
        self._fixed = [name for name in POINT if name not in self._along]
        self._measures = (*RATIOS, "latency") if latency else RATIOS
        self._starts: dict[tuple[Any, ...], dict[str, str | None]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row, by its columns."""
        if row["variant"] == "naive":
            return
        line = (row["variant"], *(row[name] for name in self._fixed))
        starts = self._starts.setdefault(line, dict.fromkeys(self._measures))
        numbers = [str(row[name]) for name in self._along]
        value = numbers[0] if len(set(numbers)) == 1 else self._sign.join(numbers)
        for measure in self._measures:
            if measure == "latency":
                wins = row.get("verdict") == "faster"
                if not row.get("verdict") or starts[measure] == NOT_MEASURED:
                    starts[measure] = NOT_MEASURED
                    continue
            else:
                wins = row[f"{measure}_ratio"] < 1
            starts[measure] = (starts[measure] or value) if wins else None

    def found(self) -> list[dict[str, Any]]:
        """For each line, in the order in which they began, its variant, what is fixed, and its starts.

        None where it does not win at the largest value.
        """
        return [
            dict(zip(("variant", *self._fixed), line, strict=True))
            | {f"{measure}_from": start for measure, start in starts.items()}
            for line, starts in self._starts.items()
        ]
