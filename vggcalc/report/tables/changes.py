"""What has changed since an earlier report, as a table and sentences."""

from collections.abc import Iterable, Iterator

from vggcalc.report import units
from vggcalc.report.tables.cells import Column, Row, Section, Table, Text, heading
from vggcalc.results import Change, Report


def elsewhere(found: Iterable[Change]) -> str:
    """On what else the earlier times were measured, in words; empty where on the same."""
    return "; ".join(
        f"{heading(one.figure)} {_shown(one.before, one)} then, {_shown(one.after, one)} now"
        for one in found
        if one.comparison is None
    )


def sections(report: Report) -> list[Section]:
    """What has changed, as a table, or that nothing has; and what to think of times of another run."""
    if report.against is None:
        return []
    title = f"Against {report.against}"
    rows = [one for one in report.changes if one.comparison is not None]
    found: list[Section] = []
    if rows:
        columns = ("comparison", "variant", "figure", "before", "now", "change")
        found.append(
            Table(title, tuple(Column(name, right=i > 2) for i, name in enumerate(columns)), tuple(_rows(rows)))
        )
    lines = [] if rows else [f"{title}: nothing changed."]
    if any(variant.latency for comparison in report.comparisons for variant in comparison.variants):
        lines.append(_of_another_run(report.against, report.changes))
    return found + ([Text(tuple(lines), quiet=bool(rows))] if lines else [])


def _of_another_run(file: str, found: Iterable[Change]) -> str:
    where = elsewhere(found)
    apart = f", measured on something else ({where})" if where else ""
    return (
        f"Times in {file} are of another run{apart}; one is called changed only where both, in the "
        "same way of running, have 95% intervals over processes and these do not overlap."
    )


def _rows(found: Iterable[Change]) -> Iterator[Row]:
    last: tuple[str | None, str | None] = (None, None)
    for one in found:
        place = one.comparison, one.variant
        cells = (
            (one.comparison or "") if place[0] != last[0] else "",
            (one.variant or "") if place != last else "",
            _called(one),
            ("≥ " if one.partial[0] else "") + _shown(one.before, one),
            ("≥ " if one.partial[1] else "") + _shown(one.after, one),
            _difference(one),
        )
        yield Row(cells, ruled=place != last)
        last = place


def _called(one: Change) -> str:
    return heading(one.figure) + (f" on {one.on}" if one.on else "")


def _shown(value: object, change: Change) -> str:
    """A figure in full: a change that rounding hides is one nevertheless."""
    match value:
        case None:
            return units.UNKNOWN
        case tuple():
            return units.shape(value)
        case float() if change.figure == "latency":
            return units.duration(value)
        case float():
            return f"{value:,.5g}"
        case int():
            return f"{value:,}" + " B" * change.figure.endswith("_bytes")
        case _:
            return str(value)


def _difference(one: Change) -> str:
    old, new = one.before, one.after
    if old is None or new is None:
        return "new" if old is None else "gone"
    if isinstance(old, int | float) and isinstance(new, int | float) and old:
        return units.change(new / old)
    return ""
