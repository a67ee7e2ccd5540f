"""The file of figures that --plot names."""

import os
from collections.abc import Sequence

from vggcalc.errors import InputError
from vggcalc.pipeline.files import Output
from vggcalc.report.figures import RENDERERS, Figure, render, require


class Picture:
    """A file of figures that is written once, whole or not at all.

    Raises `InputError` for a name without a suffix of `RENDERERS` and where matplotlib is missing, `OutputError`
    for a file that cannot be written: all before anything is measured.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._suffix = os.path.splitext(path)[1].lower().lstrip(".")
        if self._suffix not in RENDERERS:
            raise InputError(f"--plot {path} names no kind of picture: it must end with .svg, .png or .pdf")
        require()
        self._output = Output(path, "--plot")

    def check(self, figures: Sequence[Figure]) -> None:
        """Raise `InputError` where there are no figures to draw."""
        if not figures:
            raise InputError(
                f"--plot {self._path}: there is nothing to draw: figures need one kernel or several sizes, a "
                "network with two layers that have a receptive field, more than two variants, --erf, or latencies"
            )

    def draw(self, figures: Sequence[Figure]) -> bool:
        """Write the figures. Returns whether there are any."""
        if figures:
            self._output.write(render(figures, self._suffix))
        return bool(figures)

    def discard(self) -> None:
        """Remove what was not written whole."""
        self._output.discard()
