"""A table as HTML: cells carry what they are sorted by, and every row says what it is of."""

from collections.abc import Sequence

from vggcalc.report.escape import html_text
from vggcalc.report.tables.cells import Column, Row, Table

#: Rows from which on a table scrolls in its frame, so that its head stays in sight, and columns
#: from which on it is set smaller in print.
_LONG, _WIDE = 40, 14


def table(content: Table, name: str) -> str:
    """A table in a frame that scrolls sideways; its bodies are sorted, its totals stay at the end."""
    rows = content.rows
    sorts = [_sort(content, i) for i in range(len(content.columns))]
    head = "".join(_head(column, sort) for column, sort in zip(content.columns, sorts, strict=True))
    bodies = "\n".join(
        "\n".join([f"<{tag}>", *(_row(content, row, sorts) for row in part), f"</{tag}>"])
        for tag, role in (("tbody", "row"), ("tbody", "subtotal"), ("tfoot", "total"))
        if (part := [row for row in rows if row.role == role])
    )
    frame = attribute("frame", "long" * (len(rows) >= _LONG), "wide" * (len(content.columns) >= _WIDE))
    return (
        f'<div{frame} tabindex="0" role="region" aria-labelledby="{name}">\n'
        f"<table{attribute('paired' * (content.keys > 1))}>\n"
        f'<caption><span id="{name}">{html_text(content.title)}</span></caption>\n'
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
    if not content.columns[i].sortable:
        return None
    return "number" if any(row.cells[i].value is not None for row in content.rows) else "text"


def _head(column: Column, sort: str | None) -> str:
    if not column.title:
        return "<td></td>"
    how = f' data-sort="{sort}"' if sort else ""
    return f'<th scope="col"{attribute("right" * column.right)}{how}>{html_text(column.title)}</th>'


def _row(content: Table, row: Row, sorts: Sequence[str | None]) -> str:
    """The first cells are the row's headers, where they have text; figures carry their exact values."""
    cells = []
    for i, (column, cell, sort) in enumerate(zip(content.columns, row.cells, sorts, strict=True)):
        value = f' data-value="{cell.value!r}"' if sort == "number" and cell.value is not None else ""
        shown = f'<span class="again">{html_text(cell.text)}</span>' if cell.again else html_text(cell.text)
        tag, scope = ("th", ' scope="row"') if i < content.keys and shown else ("td", "")
        cells.append(f"<{tag}{scope}{attribute('right' * column.right)}{value}>{shown}</{tag}>")
    return f"<tr{attribute('strong' * row.bold, 'ruled' * row.ruled)}>{''.join(cells)}</tr>"
