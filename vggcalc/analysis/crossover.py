"""From which value of an axis on a variant costs less than `naive`, with everything else in a sweep fixed."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from vggcalc.analysis.sweep import RATIOS, Grid
from vggcalc.errors import InputError
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

#: In place of a value: latencies are missing; or the variant costs less somewhere, but not up to the end of the axis.
NOT_MEASURED, NOT_TO_THE_END = "not measured", "not to the end"

#: More lines would take too much memory, since each has a state of its own.
MOST_CROSSOVERS = 200_000


def axis_columns(grid: Grid, axis: str) -> tuple[str, ...]:
    """The columns that vary along an axis."""
    return CROSSOVER_AXES[axis][0] or AXIS_NAMES[grid.dims]


def axis_values(grid: Grid, axis: str) -> Sequence[Any]:
    """The values of a grid along an axis. Raises `InputError` for a name that is no axis."""
    if axis not in CROSSOVER_AXES:
        raise InputError(f"axis {axis!r} is none of {', '.join(CROSSOVER_AXES)}")
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


#: From which value on a variant costs less, None where it never does.
CrossoverStart = int | str | None


class Crossovers:
    """From which value of an axis on each variant costs less than `naive`, found while a sweep's rows come by.

    A line is a variant with everything fixed but that axis, along which its rows come in ascending order. Its start is
    the value from which on it is below `naive` up to the end of the axis: in each of `RATIOS` and, where it is
    measured, in latency with its whole 95% interval.
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
        self._starts: dict[tuple[Any, ...], dict[str, CrossoverStart]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one more row, by its columns."""
        if row["variant"] == "naive":
            return
        line = (row["variant"], *(row[name] for name in self._fixed))
        starts = self._starts.setdefault(line, dict.fromkeys(self._measures))
        numbers = [row[name] for name in self._along]
        value = numbers[0] if len(set(numbers)) == 1 else self._sign.join(map(str, numbers))
        for measure in self._measures:
            if measure == "latency":
                wins = row.get("verdict") == "faster"
                if not row.get("verdict") or starts[measure] == NOT_MEASURED:
                    starts[measure] = NOT_MEASURED
                    continue
            else:
                wins = row[f"{measure}_ratio"] < 1
            before = starts[measure]
            if not wins:
                starts[measure] = None if before is None else NOT_TO_THE_END
            elif before in (None, NOT_TO_THE_END):
                starts[measure] = value

    def found(self) -> list[dict[str, Any]]:
        """For each line, in the order of their first rows, its variant, what is fixed, and its starts.

        A start is a number or, of a pair, text; None where the variant never costs less.
        """
        return [
            dict(zip(("variant", *self._fixed), line, strict=True))
            | {f"{measure}_from": start for measure, start in starts.items()}
            for line, starts in self._starts.items()
        ]
