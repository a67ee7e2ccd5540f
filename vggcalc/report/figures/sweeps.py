"""A sweep's rows over kernel size: small multiples, a row of panels for each line."""

from collections.abc import Mapping
from typing import Any

from vggcalc.errors import InputError
from vggcalc.report import units
from vggcalc.report.figures.kernels import DRAWN, Panel, over_kernels, timed, timed_panels
from vggcalc.report.figures.picture import Figure
from vggcalc.report.tables.cells import heading

#: More lines make no picture that anyone looks through.
MOST_DRAWN_LINES = 12

#: For each name its points over kernel size.
_Series = dict[str, list[Any]]


class Lines:
    """Takes a sweep's rows, by column, and keeps what is drawn of them.

    A line are the rows with the same channels, groups, feature map, batch, stride and dilation; `lines` says how
    many there will be. Raises `InputError` for too many.
    """

    def __init__(self, path: str, lines: int, kernels: int) -> None:
        if lines > MOST_DRAWN_LINES:
            raise InputError(
                f"--plot {path} draws costs over kernel size for each line, and {lines:,} are more than "
                f"{MOST_DRAWN_LINES}: give fewer channels, sizes, batches, …"
            )
        if kernels < 2:
            raise InputError(f"--plot {path} draws costs over kernel size: give more than one --kernel")
        self._lines: dict[str, dict[str, _Series]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row."""
        of = self._lines.setdefault(_line_name(row), {})

        def put(what: str, *point: Any) -> None:
            if None not in point:
                of.setdefault(what, {}).setdefault(row["variant"], []).append((row["kernel"], *point))

        for key in DRAWN:
            put(key, row[key])
        put("latency", row.get("latency_s"))
        put("ratio", row.get("latency_ratio"))
        put("interval", row.get("ci95_low"), row.get("ci95_high"))

    def figures(self) -> list[Figure]:
        """Costs, and latencies where they were measured."""
        if not self._lines:
            return []
        where = next(iter(self._lines)) if len(self._lines) == 1 else f"of {len(self._lines)} lines"
        caption = f"Costs over kernel size, {where}, on logarithmic axes: counted on paper, exact."
        costs = {name: _cost_panels(of) for name, of in self._lines.items()}
        found = [over_kernels("costs", f"Costs over kernel size, {where}", caption, _titled(costs))]
        times = {name: _timed_panels(of) for name, of in self._lines.items() if of.get("latency")}
        return [*found, timed(where, "naive", _titled(times))] if times else found


def _line_name(row: Mapping[str, Any]) -> str:
    """The axes that are the same along a line, in words."""
    size = units.shape([row[name] for name in ("length", "depth", "height", "width") if name in row])
    words = [f"{row['in_channels']} → {row['out_channels']}, {size}"]
    for name, usual in (("batch", 1), ("groups", 1), ("stride", 1), ("dilation", 1)):
        if row[name] != usual:
            words.append(f"{name} {row[name]}")
    return ", ".join(words)


def _titled(rows: dict[str, list[Panel]]) -> dict[str, list[Panel]]:
    """The rows by their lines' names; the only one's stands in the title of the figure."""
    return rows if len(rows) > 1 else {"": next(iter(rows.values()))}


def _cost_panels(of: Mapping[str, _Series]) -> list[Panel]:
    return [Panel(heading(key), of.get(key, {}), quantity) for key, quantity in DRAWN.items()]


def _timed_panels(of: Mapping[str, _Series]) -> list[Panel]:
    median = Panel("median latency of one call", of["latency"], "seconds")
    return timed_panels("naive", median, of.get("ratio", {}), of.get("interval", {}))
