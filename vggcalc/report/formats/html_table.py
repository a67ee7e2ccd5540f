"""A table as HTML: cells carry what they are sorted by, and every row says what it is of."""

from collections.abc import Sequence
from html import escape
from itertools import takewhile

from vggcalc.report.formats.quantities import quantity
from vggcalc.report.tables.cells import Column, Row, Table

#: Rows from which on a table scrolls in its frame, so that its head stays in sight, and columns
#: from which on it is set smaller in print.
_LONG, _WIDE = 40, 14


def table(content: Table, name: str) -> str:
    """A table in a frame that scrolls sideways; its bodies are sorted, its totals stay at the end."""
    rows = content.rows
    sorts = [_sort(content, i) for i in range(len(content.columns))]
    keys = 2 if any(not row.cells[0] for row in rows) else 1
    head = "".join(_head(column, sort) for column, sort in zip(content.columns, sorts, strict=True))
    bodies = "\n".join(
        "\n".join([f"<{tag}>", *(_row(content, row, labels, sorts, keys) for row, labels in part), f"</{tag}>"])
        for tag, part in zip(("tbody", "tbody", "tfoot"), _parts(content), strict=True)
        if part
    )
    frame = attribute("frame", "long" * (len(rows) >= _LONG), "wide" * (len(content.columns) >= _WIDE))
    return (
        f'<div{frame} tabindex="0" role="region" aria-labelledby="{name}">\n'
        f"<table{attribute('paired' * (keys > 1))}>\n"
        f'<caption><span id="{name}">{escape(content.title)}</span></caption>\n'
        f"<thead>\n<tr>{head}</tr>\n</thead>\n{bodies}\n</table>\n</div>"
    )


def attribute(*names: str) -> str:
    """The attribute `class`, where any of the names is not empty."""
    kept = " ".join(name for name in names if name)
    return f' class="{kept}"' if kept else ""


def _sort(content: Table, i: int) -> str | None:
    """How a column is sorted: by its "number", by its "text", or not, where it has several units."""
    if not content.columns[i].right:
        return "text"
    kinds = {found.kind for row in content.rows if (found := quantity(row.cells[i]))}
    return "number" if len(kinds) == 1 else None if kinds else "text"


def _head(column: Column, sort: str | None) -> str:
    if not column.title:
        return "<td></td>"
    how = f' data-sort="{sort}"' if sort else ""
    return f'<th scope="col"{attribute("right" * column.right)}{how}>{escape(column.title)}</th>'


Labelled = tuple[Row, tuple[str, ...]]


def _parts(content: Table) -> tuple[list[Labelled], list[Labelled], list[Labelled]]:
    """Rows with what their empty first cells repeat: the table's own, subtotals after them, totals at the end.

    Totals are the strong rows that a rule parts off. Subtotals are named after the first part of
    the names of several rows (`block1` of `block1.conv1`): among these they would count twice.
    """
    labelled: list[Labelled] = []
    for row in content.rows:
        cells = zip(row.cells, content.columns, strict=True)
        empty = len(list(takewhile(lambda one: not one[0] and one[1].title, cells)))
        labelled.append((row, labelled[-1][1][:empty] + row.cells[empty:] if labelled else row.cells))
    totals = len(list(takewhile(lambda row: row.strong, reversed(content.rows))))
    end = len(labelled) - totals
    if not end or not any(row.ruled for row, _ in labelled[end:]):
        end = len(labelled)
    blocks = {labels[0].partition(".")[0] for _, labels in labelled if "." in labels[0]}
    start = end - len(list(takewhile(lambda one: one[1][0] in blocks, reversed(labelled[:end]))))
    return labelled[:start], labelled[start:end], labelled[end:]


def _row(content: Table, row: Row, labels: Sequence[str], sorts: Sequence[str | None], keys: int) -> str:
    """The first `keys` cells are the row's headers, where they have text."""
    cells = []
    for i, (column, text, sort) in enumerate(zip(content.columns, row.cells, sorts, strict=True)):
        found = quantity(text) if sort == "number" else None
        value = f' data-value="{found.value!r}"' if found else ""
        shown = f'<span class="again">{escape(labels[i])}</span>' if labels[i] and not text else escape(text)
        tag, scope = ("th", ' scope="row"') if i < keys and shown else ("td", "")
        cells.append(f"<{tag}{scope}{attribute('right' * column.right)}{value}>{shown}</{tag}>")
    return f"<tr{attribute('strong' * row.strong, 'ruled' * row.ruled)}>{''.join(cells)}</tr>"
