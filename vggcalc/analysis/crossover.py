"""From where on along an axis a variant wins, for every line of a sweep."""

from collections.abc import Mapping
from typing import Any

from vggcalc.analysis.sweep import POINT, RATIOS
from vggcalc.spec.words import SpecError

#: The axes of a sweep, by the columns that vary along them.
AXES: dict[str, tuple[str, ...]] = {
    "kernel": ("kernel",),
    "channels": ("in_channels", "out_channels"),
    "size": ("height", "width"),
    "batch": ("batch",),
    "stride": ("stride",),
    "dilation": ("dilation",),
    "groups": ("groups",),
}


class Crossovers:
    """From where on the variants win; takes a sweep's rows in order, the axis ascending within each line.

    A line is a variant with everything fixed but one axis. It wins from that value of the axis on at
    which, and at every larger one, it is below `naive`: in each of `RATIOS` and, where it is measured,
    in latency with its whole interval.
    """

    def __init__(self, axis: str, latency: bool) -> None:
        if axis not in AXES:
            raise SpecError(f"axis {axis!r} is none of {', '.join(AXES)}")
        self._along = AXES[axis]
        self._fixed = [name for name in POINT if name not in self._along]
        self._measures = (*RATIOS, "latency") if latency else RATIOS
        self._starts: dict[tuple[Any, ...], dict[str, str | None]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row, by its columns."""
        if row["variant"] == "naive":
            return
        line = (row["variant"], *(row[name] for name in self._fixed))
        starts = self._starts.setdefault(line, dict.fromkeys(self._measures))
        value = "→".join(str(number) for number in dict.fromkeys(row[name] for name in self._along))
        for measure in self._measures:
            if not self._wins(row, measure):
                starts[measure] = None
            elif starts[measure] is None:
                starts[measure] = value

    @staticmethod
    def _wins(row: Mapping[str, Any], measure: str) -> bool:
        if measure == "latency":
            return bool(row["verdict"] == "faster")
        return bool(row[f"{measure}_ratio"] < 1)

    def found(self) -> list[dict[str, Any]]:
        """For each line, in the order in which they began, its variant, what is fixed, and its starts.

        None where it does not win at the largest value.
        """
        return [
            dict(zip(("variant", *self._fixed), line, strict=True))
            | {f"{measure}_from": start for measure, start in starts.items()}
            for line, starts in self._starts.items()
        ]
