"""Tables and sentences for a terminal, by rich, which is slow to import."""

import io
from collections.abc import Sequence
from typing import Literal

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text as Rich

from vggcalc.report.detail import Detail
from vggcalc.report.escape import visible
from vggcalc.report.formats import Screen
from vggcalc.report.tables import answer_section, counted_sections, measured_sections
from vggcalc.report.tables.cells import Cell, Section, Table, Text, at_detail
from vggcalc.results import Report


def render(report: Report, screen: Screen) -> str:
    """The answer, then the tables and sentences of the level of detail."""
    sections = [*counted_sections(report), *measured_sections(report)]
    return _at_level([*answer_section(report), *sections, *_more(report, sections, screen)], screen)


def first_part(report: Report, screen: Screen) -> str:
    """The answer on paper, and the tables that need no measuring."""
    return _at_level([*answer_section(report), *counted_sections(report)], screen)


def second_part(report: Report, screen: Screen) -> str:
    """The answer, what was measured, and the findings."""
    counted, measured = counted_sections(report), measured_sections(report)
    return _at_level([*answer_section(report), *measured, *_more(report, [*counted, *measured], screen)], screen)


def _more(report: Report, sections: Sequence[Section], screen: Screen) -> list[Section]:
    """How to see what is not shown of these sections."""
    if at_detail(sections, screen.detail) == at_detail(sections, Detail.FULL):
        return []
    how = "to_markdown()" if report.command == "library" else "--details"
    return [Text((f"More: {how}.",), quiet=True, detail=Detail.BRIEF)]


def _at_level(sections: Sequence[Section], screen: Screen) -> str:
    """The sections at the level of detail; with all details every column, those that have no room below the others."""
    shown = at_detail(sections, screen.detail)
    if screen.detail is Detail.FULL:
        shown = [part for section in shown for part in _parts_that_fit(section, screen.width)]
    return draw(shown, screen.width, screen.colour)


def _parts_that_fit(section: Section, width: int) -> list[Section]:
    """A table as several that fit, each with the columns that name its rows; no figure is compact there."""
    if isinstance(section, Text):
        return [section]
    found, keys = [], list(range(section.keys))
    rest = [*keys, *sorted(range(section.keys, len(section.columns)), key=lambda i: section.columns[i].wide)]
    while len(rest) > len(keys):
        fits = [n for n in range(len(keys) + 1, len(rest) + 1) if _columns_width(section, rest[:n]) <= width]
        end = max(fits, default=len(keys) + 1)  # a column that is too wide for any part stands alone
        found.append(_in_full(section.with_columns(rest[:end])))
        rest = [*keys, *rest[end:]]
    return [*found]


def _in_full(table: Table) -> Table:
    """The table with every column and every digit, whatever room there is."""
    replace = msgspec.structs.replace
    columns = tuple(replace(column, wide=False) for column in table.columns)
    rows = (replace(row, cells=tuple(replace(cell, compact="") for cell in row.cells)) for row in table.rows)
    return replace(table, columns=columns, rows=tuple(rows))


def draw(sections: Sequence[Section], width: int, colour: bool) -> str:
    """The sections one under the other, no line longer than `width`; colours only where asked for."""
    text = io.StringIO()
    console = Console(
        file=text,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        emoji=False,
        markup=False,
        _environ={},  # COLUMNS and the like are read by `screen_of` alone
    )
    for section in sections:
        if isinstance(section, Text):
            for line in section.lines:
                console.print(Rich(visible(line), style="dim" if section.quiet else ""))
            console.print()
            continue
        section = _with_short_names(_compact(section, width), width)
        shown = _columns_that_fit(section, width)
        grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for i in shown:
            column = section.columns[i]
            justify: Literal["right", "left"] = "right" if column.right else "left"
            grid.add_column(Rich(visible(column.title)), justify=justify, no_wrap=True)
        for row, following in zip(section.rows, (*section.rows[1:], None), strict=True):
            grid.add_row(
                *(Rich(_printed(row.cells[i])) for i in shown),
                style="bold" if row.bold else "",
                end_section=following is not None and following.ruled,
            )
        console.print(Rich(visible(section.title), style="bold cyan"))
        console.width = max(width, _columns_width(section, shown) + _COLUMN_GAP)
        console.print(grid)
        console.width = width
        console.print()
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _printed(cell: Cell) -> str:
    return "" if cell.again else visible(cell.text)


#: Spaces between two columns.
_COLUMN_GAP = 2


def _columns_width(table: Table, shown: Sequence[int]) -> int:
    """The width of these columns: of each its longest text, and two spaces between."""
    columns = ((visible(table.columns[i].title), *(_printed(row.cells[i]) for row in table.rows)) for i in shown)
    return sum(max(map(len, texts)) + _COLUMN_GAP for texts in columns) - _COLUMN_GAP


def _compact(table: Table, width: int) -> Table:
    """The table with every digit, or where its columns that are not wide do not fit, with compact figures and titles.

    A figure is never cut: where those are too wide still, names are, see `_with_short_names`.
    """
    if _columns_width(table, [i for i, column in enumerate(table.columns) if not column.wide]) <= width:
        return table
    replace = msgspec.structs.replace
    columns = tuple(replace(column, title=column.compact or column.title) for column in table.columns)
    rows = (
        replace(row, cells=tuple(replace(cell, text=cell.compact or cell.text) for cell in row.cells))
        for row in table.rows
    )
    return replace(table, columns=columns, rows=tuple(rows))


#: So many signs of a name are left in any case.
_SHORTEST_NAME = 24


def _with_short_names(table: Table, width: int) -> Table:
    """The table with long names in its first column as their ends, where its columns would not fit otherwise."""
    narrow = [i for i, column in enumerate(table.columns) if not column.wide]
    over = _columns_width(table, narrow) - width
    if over <= 0 or table.columns[0].right:
        return table
    most = max(_SHORTEST_NAME, _columns_width(table, [0]) - over)
    replace = msgspec.structs.replace

    def shortened(cell: Cell) -> Cell:
        text = visible(cell.text)
        return cell if len(text) <= most else replace(cell, text="…" + text[len(text) - most + 1 :])

    rows = (replace(row, cells=(shortened(row.cells[0]), *row.cells[1:])) for row in table.rows)
    return replace(table, rows=tuple(rows))


def _columns_that_fit(table: Table, width: int) -> list[int]:
    """The columns to show: all that are not wide, and the wide ones, from the left, while they fit."""
    shown = [i for i, column in enumerate(table.columns) if not column.wide]
    for i, column in enumerate(table.columns):
        if column.wide:
            if _columns_width(table, [*shown, i]) > width:
                break
            shown.append(i)
    return sorted(shown)
