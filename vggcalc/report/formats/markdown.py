"""GitHub's Markdown: the tables of the terminal with every column."""

from collections.abc import Iterable

from vggcalc.report.detail import Detail
from vggcalc.report.escape import markdown_text
from vggcalc.report.formats import Screen
from vggcalc.report.tables import answer_section, counted_sections, measured_sections
from vggcalc.report.tables.cells import Table, Text, at_detail
from vggcalc.results import Report


def render(report: Report, screen: Screen) -> str:
    """The same tables as in the terminal, with every column, in brief without the wide ones, in GitHub's Markdown."""
    parts = []
    sections = answer_section(report) + counted_sections(report) + measured_sections(report)
    for section in at_detail(sections, screen.detail):
        match section:
            case Table():
                if screen.detail is Detail.BRIEF:
                    section = section.with_columns([i for i, one in enumerate(section.columns) if not one.wide])
                parts.append(_markdown_table(section))
            case Text():
                parts.append("\n".join(f"- {markdown_text(line)}" for line in section.lines))
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    lines = [f"### {markdown_text(table.title)}", "", line(markdown_text(column.title) for column in table.columns)]
    lines.append(line("---:" if column.right else ":---" for column in table.columns))
    for row in table.rows:
        shown = ["" if cell.again else markdown_text(cell.text) for cell in row.cells]
        lines.append(line(f"**{cell}**" if cell and row.bold else cell for cell in shown))
    return "\n".join(lines)
