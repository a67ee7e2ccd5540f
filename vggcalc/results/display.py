"""How a result is shown: as the command's table, in a notebook, as a document.

This module alone imports the formats, and only when one is asked for: `print(comparison)` shows what the command
prints, and importing results stays cheap.
"""

import os
from typing import TYPE_CHECKING, cast

import msgspec

if TYPE_CHECKING:
    from pandas import DataFrame

    from vggcalc.results.analysis import Comparison
    from vggcalc.results.document import Report
    from vggcalc.results.fleet import Fleet

#: `print` shows so many lines, a screen; the whole is in `to_markdown`.
MOST_SHOWN_LINES = 60

#: The formats that a file's ending names.
ENDINGS = {".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html", ".txt": "table"}


def _file_name_of(path: object) -> str:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path {path!r} is of type {type(path).__name__}: it takes a path")
    return os.fspath(path)


class Display(msgspec.Struct, frozen=True):
    """The methods that show a result; `str` is the command's table, `repr` one line."""

    def _report(self) -> "Report":
        """The document that shows it."""
        raise NotImplementedError

    def _rendered(self, format_: str, width: int = 80, rows: str | None = None, whole: bool = True) -> str:
        from vggcalc.report.detail import Detail
        from vggcalc.report.formats import FORMATS, Screen

        detail = Detail.FULL if whole else Detail.NORMAL
        return FORMATS[format_](self._report(), Screen(width=width, rows=rows, detail=detail))

    def __str__(self) -> str:
        from vggcalc.pipeline.run import screen_of

        lines = self._rendered("table", screen_of(True).width, whole=False).rstrip().splitlines()
        if len(lines) > MOST_SHOWN_LINES:
            more = len(lines) - MOST_SHOWN_LINES + 1
            half = MOST_SHOWN_LINES // 2
            cut = f"… {more} lines more: see to_markdown(), to_pandas(), or save it as a .txt file …"
            lines = [*lines[:half], cut, *lines[half - MOST_SHOWN_LINES + 1 :]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from vggcalc.report.formats.html import fragment

        return fragment(self._report())

    def to_markdown(self) -> str:
        """Every table with every column, in GitHub's Markdown."""
        return self._rendered("markdown")

    def to_html(self) -> str:
        """One self-contained page: tables to sort, figures where matplotlib is installed, the JSON to download."""
        return self._rendered("html")

    def to_json(self) -> str:
        """The JSON document that `vggcalc.load` reads."""
        return self._rendered("json")

    def to_csv(self, rows: str | None = None) -> str:
        """A row for each "total", "block" or "layer" of every variant, or "module" of a summary.

        None is the layers of a summary, the totals of a comparison; of several machines each ratio on each. Totals and
        blocks have a row for each configuration in which they were timed. Raises `InputError` for other rows.
        """
        return self._rendered("csv", rows=rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, whole or not at all; .json, .csv, .md, .html or .txt says the format.

        Raises `InputError` for another ending, `OutputError` where the file cannot be written.
        """
        from vggcalc.errors import InputError
        from vggcalc.pipeline.files import Output

        name = _file_name_of(path)
        ending = os.path.splitext(name)[1].lower()
        if ending not in ENDINGS:
            raise InputError(f"{name} does not say the format: end it with one of {', '.join(ENDINGS)}")
        output = Output(name, "path")
        try:
            output.write(self._rendered(ENDINGS[ending], 160))
        finally:
            output.discard()


class ShownFigures(msgspec.Struct, frozen=True):
    """Figures that a notebook shows: of each the title, the caption and the `<svg>` element."""

    figures: tuple[tuple[str, str, str], ...]

    def __repr__(self) -> str:
        return f"<Figures: {', '.join(title for title, _, _ in self.figures)}>"

    def _repr_html_(self) -> str:
        from vggcalc.report.formats.html import figures_html

        return figures_html(self.figures)


class ComparisonDisplay(Display, frozen=True):
    """What only a comparison can be shown as."""

    def _report(self) -> "Report":
        from vggcalc.pipeline.report import make_report

        return make_report("library", (cast("Comparison", self),))

    def __repr__(self) -> str:
        one = cast("Comparison", self)
        names = ", ".join(variant.name for variant in one.variants)
        return f"<Comparison of {one.name}: {names}; input {'×'.join(map(str, one.input_shape))}, {one.dtype}>"

    def to_pandas(self, rows: str | None = None) -> "DataFrame":
        """A data frame with the rows and columns of `to_csv`.

        Raises `ImportError` where pandas is not installed, `InputError` for other rows.
        """
        from vggcalc.report.formats.csv import records

        try:
            from pandas import DataFrame
        except ImportError:
            raise ImportError("to_pandas needs pandas: pip install pandas") from None
        return DataFrame(list(records(cast("Comparison", self), rows)))

    def plot(
        self, path: str | os.PathLike[str] | None = None, figure: str | None = None, width: float = 89.0
    ) -> "ShownFigures | None":
        """Draw a figure to a file, .svg or .png, or all of them to a .pdf; needs matplotlib.

        Without a `path` the figures are returned, for a notebook to show. `figure` chooses one by its name: "costs",
        "latency", "coverage", "tradeoff", "blocks", "architecture", "receptive-field", "effective-field" or
        "roofline"; `width` is in millimetres.
        Raises `InputError` where matplotlib is missing, the figure is unknown or there is nothing to draw,
        `OutputError` where the file cannot be written.
        """
        from vggcalc.pipeline.picture import Picture, chosen_figures
        from vggcalc.report.figures import elements, figures

        found = figures(self._report())
        if path is None:
            return ShownFigures(tuple(elements(chosen_figures(found, figure), width / 25.4)))
        picture = Picture(_file_name_of(path), figure, width)
        try:
            picture.draw(found)
        finally:
            picture.discard()
        return None


class FleetDisplay(Display, frozen=True):
    """How the same comparison on several machines is shown."""

    def _report(self) -> "Report":
        from vggcalc.pipeline.report import make_report

        return make_report("library", fleet=cast("Fleet", self))
