"""Reports as text: a module for each format, and a line in `FORMATS`."""

from collections.abc import Callable
from importlib import import_module

import msgspec

from vggcalc.report.detail import Detail
from vggcalc.results import Report


class Screen(msgspec.Struct, frozen=True):
    """What a text is for: its width in columns, whether it may have colours, and whether JSON is ASCII alone.

    `detail` is how much of the tables is shown; JSON, CSV and HTML hold everything.
    `rows` is what the rows of a CSV are of, see `csv.ROW_KINDS`.
    """

    width: int = 80
    colour: bool = False
    ascii_json: bool = False
    rows: str | None = None
    detail: Detail = Detail.NORMAL


Format = Callable[[Report, Screen], str]


def _loaded_when_called(module: str) -> Format:
    """The `render` of a module here, which is imported when it is called: tables need rich, the page Jinja2."""

    def render(report: Report, screen: Screen) -> str:
        text: str = import_module(f"vggcalc.report.formats.{module}").render(report, screen)
        return text

    return render


FORMATS: dict[str, Format] = {
    name: _loaded_when_called(module)
    for name, module in {
        "table": "terminal", "json": "json", "csv": "csv", "markdown": "markdown", "html": "html",
    }.items()
}  # fmt: skip
