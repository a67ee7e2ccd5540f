"""Tables and sentences for a terminal, by rich, which is slow to import."""

import io
from collections.abc import Sequence
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text as Rich

from vggcalc.report.escape import visible
from vggcalc.report.formats import Screen
from vggcalc.report.tables import counted_sections, measured_sections
from vggcalc.report.tables.cells import Cell, Section, Table, Text
from vggcalc.results import Report


def render(report: Report, screen: Screen) -> str:
    """Every table and sentence."""
    return first_part(report, screen) + second_part(report, screen)


def first_part(report: Report, screen: Screen) -> str:
    """The tables that need no measuring."""
    return draw(counted_sections(report), screen.width, screen.colour)


def second_part(report: Report, screen: Screen) -> str:
    """What was measured, and the findings."""
    return draw(measured_sections(report), screen.width, screen.colour)


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
        console.width = max(width, _columns_width(section, shown))
        console.print(grid)
        console.width = width
        console.print()
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _printed(cell: Cell) -> str:
    return "" if cell.again else visible(cell.text)


def _columns_width(table: Table, shown: Sequence[int]) -> int:
    """The width of these columns: of each its longest text, and two spaces between."""
    columns = ((visible(table.columns[i].title), *(_printed(row.cells[i]) for row in table.rows)) for i in shown)
    return sum(max(map(len, texts)) + 2 for texts in columns)


def _columns_that_fit(table: Table, width: int) -> list[int]:
    """The columns to show: all that are not wide, and the wide ones, from the left, while they fit.

    A figure is never cut: where the columns that are not wide are too wide already, so is the table.
    """
    room = width - _columns_width(table, [i for i, column in enumerate(table.columns) if not column.wide])
    shown = []
    for i, column in enumerate(table.columns):
        if column.wide:
            room -= _columns_width(table, [i])
        if not column.wide or room >= 0:
            shown.append(i)
    return shown
