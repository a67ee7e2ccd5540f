"""The figures that --plot names a file for."""

import os
from collections.abc import Sequence

from vggcalc.errors import InputError, unknown
from vggcalc.pipeline.files import Output
from vggcalc.report.figures import FIGURE_NAMES, RENDERERS, Figure, render, require

#: Millimetres: the column of a paper with two.
COLUMN_MM = 89.0

#: Millimetres: figures are laid out for widths within these.
WIDTHS_MM = (60.0, 600.0)


class Picture:
    """A figure in a file, or all of them in a PDF with a page for each, written once, whole or not at all.

    `figure` is the name of the one to draw, without which an SVG or PNG holds the first; `width` is in millimetres.
    Raises `InputError` for a name without a suffix of `RENDERERS`, an unknown figure, a width out of range, and where
    matplotlib is missing, `OutputError` for a file that cannot be written: all before anything is measured.
    """

    def __init__(self, path: str, figure: str | None = None, width: float = COLUMN_MM) -> None:
        self.path = path
        self._suffix = os.path.splitext(path)[1].lower().lstrip(".")
        if self._suffix not in RENDERERS:
            raise InputError(f"--plot {path} names no kind of picture: it must end with .svg, .png or .pdf")
        _check_name(figure)
        if not WIDTHS_MM[0] <= width <= WIDTHS_MM[1]:
            raise InputError(f"a width of {width:g} mm is none of a figure: give {WIDTHS_MM[0]:g} to {WIDTHS_MM[1]:g}")
        require()
        self._figure, self._inches = figure, width / 25.4
        self._output = Output(path, "--plot")

    def check(self, figures: Sequence[Figure]) -> None:
        """Raise `InputError` where there are no figures to draw, or not the one that is chosen."""
        chosen_figures(figures, self._figure)

    def draw(self, figures: Sequence[Figure]) -> list[str]:
        """Write the figure or figures. Returns the names of those that there are and that are not drawn.

        Raises `InputError` as `check` does.
        """
        drawn = chosen_figures(figures, self._figure)
        if self._suffix != "pdf":
            drawn = drawn[:1]
        self._output.write(render(drawn, self._suffix, self._inches))
        return [] if self._figure else [figure.name for figure in figures if figure not in drawn]

    def discard(self) -> None:
        """Remove what was not written whole."""
        self._output.discard()


def chosen_figures(figures: Sequence[Figure], name: str | None) -> list[Figure]:
    """The figure of that name, or all. Raises `InputError` where there is none."""
    _check_name(name)
    if not figures:
        raise InputError(
            "there is nothing to draw: figures need one kernel or several sizes, a network with two layers that have a "
            "receptive field, more than two variants, or latencies"
        )
    found = [figure for figure in figures if name in (None, figure.name)]
    if not found:
        raise InputError(f"there is no figure {name} of this: there are {', '.join(one.name for one in figures)}")
    return found


def _check_name(name: str | None) -> None:
    if name is not None and name.rstrip("-0123456789") not in FIGURE_NAMES:
        raise unknown("figure", name, FIGURE_NAMES)
