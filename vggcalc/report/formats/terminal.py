"""Tables and sentences for a terminal."""

import re
from collections.abc import Iterable, Iterator, Sequence

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
    """The sections one under the other, no sentence longer than `width`; colours only where asked for."""
    lines: list[str] = []
    for section in sections:
        if isinstance(section, Text):
            for sentence in section.lines:
                lines += _styled(_wrapped(visible(sentence), width), _DIM if section.quiet else "", colour)
        else:
            lines += _styled(_wrapped(visible(section.title), width), _HEADED, colour)
            lines += _table_lines(section, width, colour)
        lines.append("")
    return "\n".join(lines) + "\n"


#: Terminals' codes, between ESC [ and m.
_HEADED, _BOLD, _DIM = "1;36", "1", "2"


def _styled(lines: Iterable[str], style: str, colour: bool) -> list[str]:
    return [f"\x1b[{style}m{line}\x1b[0m" if colour and style and line else line for line in lines]


def _table_lines(table: Table, width: int, colour: bool) -> list[str]:
    """Headings, a rule, and the rows, with an empty line above those that are ruled."""
    shown = _columns_that_fit(table, width)
    columns = [table.columns[i] for i in shown]
    texts = [[_printed(row.cells[i]) for i in shown] for row in table.rows]
    heads = [visible(column.title) for column in columns]
    widths = [max(map(_cells, column)) for column in zip(heads, *texts, strict=True)]

    def line(cells: Sequence[str]) -> str:
        placed = (
            " " * (size - _cells(text)) + text if column.right else text + " " * (size - _cells(text))
            for text, size, column in zip(cells, widths, columns, strict=True)
        )
        return _GAP.join(placed).rstrip()

    lines = _styled([line(heads)], _BOLD, colour)
    lines.append("─" * (sum(widths) + len(_GAP) * (len(widths) - 1)))
    for number, (row, cells) in enumerate(zip(table.rows, texts, strict=True)):
        if row.ruled and number:
            lines.append("")
        lines += _styled([line(cells)], _BOLD if row.bold else "", colour)
    return lines


#: Between two columns.
_GAP = "  "


def _wrapped(text: str, width: int) -> Iterator[str]:
    """The text in lines no longer than that, broken between words, and within those that are longer themselves."""
    line = ""
    for word in re.findall(r"\s*\S+\s*", text):
        if _cells(line) + _cells(word.rstrip()) <= width:
            line += word
            continue
        if line:
            yield line.rstrip()
        line = word
        while _cells(line.rstrip()) > width:
            end = next(n for n in range(len(line), 0, -1) if _cells(line[:n]) <= width)
            yield line[:end]
            line = line[end:]
    yield line.rstrip()


def _cells(text: str) -> int:
    """How many cells of a terminal the text takes: two for a wide letter, none for an accent of its own."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum((east_asian_width(letter) in "WF") + (not combining(letter)) for letter in text)


def _printed(cell: Cell) -> str:
    return "" if cell.again else visible(cell.text)


def _columns_width(table: Table, shown: Sequence[int]) -> int:
    """The width of these columns: of each its longest text, and two spaces between."""
    columns = ((visible(table.columns[i].title), *(_printed(row.cells[i]) for row in table.rows)) for i in shown)
    return sum(max(map(_cells, texts)) + len(_GAP) for texts in columns)


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
