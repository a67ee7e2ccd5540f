"""From which value of an axis on a variant costs less than `naive`, with everything else in a sweep fixed."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec

from vggcalc.analysis.sweep import RATIOS, Grid
from vggcalc.errors import InputError, unknown
from vggcalc.nets.layers import AXIS_NAMES

#: The axes of a sweep, by the columns that vary along them, and how their values are written; those of the size are
#: as many as there are spatial axes.
CROSSOVER_AXES: dict[str, tuple[tuple[str, ...], str]] = {
    "kernel": (("kernel",), ""),
    "channels": (("in_channels", "out_channels"), "→"),
    "in_channels": (("in_channels",), ""),
    "out_channels": (("out_channels",), ""),
    "size": ((), "×"),
    "batch": (("batch",), ""),
    "stride": (("stride",), ""),
    "dilation": (("dilation",), ""),
    "groups": (("groups",), ""),
}

#: Whether a variant costs less than `naive` along an axis. "won": from some value on, up to the end of the axis.
#: "lost": at no value. "not_to_the_end": not at the last value, but it does or may before. "not_shown": at the last
#: value the interval of latencies says neither. "not_measured": there are values without a latency.
CrossoverState = Literal["won", "lost", "not_to_the_end", "not_shown", "not_measured"]

#: Whether a variant is faster by its verdict, None where that is unclear; what is as fast costs no less.
_WINS: dict[str, bool | None] = {"faster": True, "slower": False, "same": False, "unclear": None}

#: More lines would take too much memory, since each has a state of its own.
MOST_CROSSOVERS = 200_000


def axis_columns(grid: Grid, axis: str) -> tuple[str, ...]:
    """The columns that vary along an axis."""
    return CROSSOVER_AXES[axis][0] or AXIS_NAMES[grid.dims]


def axis_values(grid: Grid, axis: str) -> Sequence[Any]:
    """The values of a grid along an axis. Raises `InputError` for a name that is no axis."""
    if axis not in CROSSOVER_AXES:
        raise unknown("axis", axis, CROSSOVER_AXES)
    values: dict[str, Sequence[Any]] = {
        "kernel": grid.kernels,
        "channels": grid.channels,
        "in_channels": sorted({into for into, _ in grid.channels}),
        "out_channels": sorted({out_of for _, out_of in grid.channels}),
        "size": grid.sizes,
        "batch": grid.batches,
        "stride": grid.strides,
        "dilation": grid.dilations,
        "groups": grid.groups,
    }
    return values[axis]


def only_axis(grid: Grid) -> tuple[str, Sequence[Any]] | None:
    """The column that varies from point to point, with its values, where there is one alone."""
    along = {name: axis_values(grid, name) for name, (columns, _) in CROSSOVER_AXES.items() if len(columns) == 1}
    found = [(name, values) for name, values in along.items() if len(values) == len(grid) > 1]
    return found[0] if len(found) == 1 else None


class _Along(msgspec.Struct):
    """One measure of a variant along the axis so far: its state, and where the run of wins began that still goes on."""

    state: CrossoverState | None = None
    start: int | str | None = None

    def add(self, value: int | str, wins: bool | None) -> None:
        """Take the next value, at which the variant costs less or not; None where that is not shown."""
        if wins:
            self.start = value if self.state != "won" else self.start
            self.state = "won"
        elif wins is None:
            self.state, self.start = "not_shown", None
        else:
            self.state, self.start = "lost" if self.state in (None, "lost") else "not_to_the_end", None


class Crossovers:
    """From which value of an axis on each variant costs less than `naive`, found while a sweep's rows come by.

    A line is a variant with everything fixed but that axis, along which its rows come in ascending order. Its start is
    the value from which on it is below `naive` up to the end of the axis: in each of `RATIOS` and, where it is
    measured, in latency by its verdict. Where there is none, a `CrossoverState` says why.
    Raises `InputError` for a name that is no axis, or pairs of channels or sizes that have no order.
    """

    def __init__(self, axis: str, grid: Grid, latency: bool) -> None:
        values = axis_values(grid, axis)
        if len(values) < 2:
            raise InputError(f"a crossover along {axis} needs more than one value there")
        lines = len(grid) // len(values) * len(grid.factorizations)
        if lines > MOST_CROSSOVERS:
            raise InputError(f"{lines:,} lines are too many for crossovers: give fewer than {MOST_CROSSOVERS:,}")
        for one, two in pairwise(values if axis in ("channels", "size") else ()):
            if not all(a <= b for a, b in zip(one, two, strict=True)):
                sign = CROSSOVER_AXES[axis][1]
                instead = ": cross in_channels or out_channels" if axis == "channels" else ""
                raise InputError(
                    f"{axis} such as {sign.join(map(str, one))} and {sign.join(map(str, two))} are in no order{instead}"
                )
        self._along, self._sign = axis_columns(grid, axis), CROSSOVER_AXES[axis][1]
        follows = ("groups",) if grid.groups == (None,) and "in_channels" in self._along else ()
        self._fixed = [name for name in grid.point if name not in (*self._along, *follows)]
        self._measures = (*RATIOS, "latency") if latency else RATIOS
        self._lines: dict[tuple[Any, ...], dict[str, _Along]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one more row, by its columns."""
        if row["variant"] == "naive":
            return
        line = (row["variant"], *(row[name] for name in self._fixed))
        if line not in self._lines:
            self._lines[line] = {measure: _Along() for measure in self._measures}
        numbers = [row[name] for name in self._along]
        value = numbers[0] if len(set(numbers)) == 1 else self._sign.join(map(str, numbers))
        for measure, along in self._lines[line].items():
            if measure != "latency":
                along.add(value, row[f"{measure}_ratio"] < 1)
            elif not row.get("verdict") or along.state == "not_measured":
                along.state, along.start = "not_measured", None
            else:
                along.add(value, _WINS[row["verdict"]])

    def found(self) -> list[dict[str, Any]]:
        """For each line, in the order of their first rows, its variant, what is fixed, its states and starts.

        A start is a number or, of a pair, text; None unless the state is "won".
        """
        return [
            dict(zip(("variant", *self._fixed), line, strict=True))
            | {f"{measure}_from": along.start for measure, along in measures.items()}
            | {f"{measure}_crossover": along.state for measure, along in measures.items()}
            for line, measures in self._lines.items()
        ]
