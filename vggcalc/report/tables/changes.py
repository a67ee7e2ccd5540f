"""What has changed since an earlier report, as a table and sentences."""

import math
from collections.abc import Iterable, Iterator

from vggcalc.report import units
from vggcalc.report.tables.cells import EMPTY, Cell, Column, Row, Section, Table, Text, heading
from vggcalc.results import Change, Report


def machine_differences(found: Iterable[Change]) -> str:
    """On which other machine or versions the earlier times were measured, in words; empty where on the same."""
    return "; ".join(
        f"{heading(one.figure)} {_exact_cell(one.before, one).text} then, {_exact_cell(one.after, one).text} now"
        for one in found
        if one.comparison is None
    )


def sections(report: Report) -> list[Section]:
    """What has changed, as a table, or that nothing has; and how far times of another run can be compared."""
    if report.against is None:
        return []
    title = f"Against {report.against}"
    rows = tuple(_rows([one for one in report.changes if one.comparison is not None]))
    names = tuple(Column(name, right=False) for name in ("comparison", "variant", "figure"))
    figures = (Column("before", sortable=False), Column("now", sortable=False), Column("change"))
    found: list[Section] = [Table(title, (*names, *figures), rows, keys=2)] if rows else []
    lines = [] if rows else [f"{title}: nothing changed."]
    if any(variant.latency for comparison in report.comparisons for variant in comparison.variants):
        lines.append(_of_another_run(report.against, report.changes))
    return found + ([Text(tuple(lines), quiet=bool(rows))] if lines else [])


def _of_another_run(file: str, found: Iterable[Change]) -> str:
    where = machine_differences(found)
    apart = f", measured on something else ({where})" if where else ""
    return (
        f"Times in {file} are of another run{apart}; one is called changed only where both, in the "
        "same configuration, have 95% intervals over processes and these do not overlap."
    )


def _rows(found: Iterable[Change]) -> Iterator[Row]:
    last: tuple[str | None, str | None] = (None, None)
    for one in found:
        place = one.comparison, one.variant
        partial = [units.LOWER_BOUND * partial for partial in one.partial]
        before, after = _exact_cell(one.before, one), _exact_cell(one.after, one)
        yield Row(
            (
                Cell(one.comparison or "", again=place[0] == last[0]),
                Cell(one.variant or "", again=place == last),
                Cell(heading(one.figure) + (f" on {one.on}" if one.on else "")),
                Cell(partial[0] + before.text, before.value),
                Cell(partial[1] + after.text, after.value),
                _difference(one),
            ),
            ruled=place != last,
        )
        last = place


def _exact_cell(value: object, change: Change) -> Cell:
    """A figure in full: a change that rounding hides is one nevertheless."""
    match value:
        case None:
            return Cell(units.NO_FIGURE)
        case tuple():
            return Cell(units.shape(value), math.prod(value))
        case float() if change.figure == "latency":
            return Cell.duration(value)
        case float():
            return Cell(units.precise(value), value)
        case int():
            return Cell(units.count(value) + " B" * change.figure.endswith("_bytes"), value)
        case _:
            return Cell(str(value))


def _difference(one: Change) -> Cell:
    old, new = one.before, one.after
    if old is None or new is None:
        return Cell("new" if old is None else "gone")
    if isinstance(old, int | float) and isinstance(new, int | float) and old:
        return Cell.change(new / old)
    return EMPTY
