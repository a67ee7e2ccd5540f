"""Reports as figures.

`figures` lists what a report holds, `render` makes an SVG, PNG or PDF of them, and `svg` gives each one for a page.
matplotlib is the extra `plot` and is imported only to draw.
"""

from vggcalc.report.figures.kernels import Panel, over_kernels
from vggcalc.report.figures.picture import Figure
from vggcalc.report.figures.rendering import RENDERERS, elements, render, require, svg
from vggcalc.report.figures.selection import FIGURE_NAMES, FIGURES, distinctly_named, figures
from vggcalc.report.figures.sweeps import Lines

__all__ = [
    "FIGURES",
    "FIGURE_NAMES",
    "RENDERERS",
    "Figure",
    "Lines",
    "Panel",
    "distinctly_named",
    "elements",
    "figures",
    "over_kernels",
    "render",
    "require",
    "svg",
]  # fmt: skip
