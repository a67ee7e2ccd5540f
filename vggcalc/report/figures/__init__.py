"""Reports as figures.

`figures` lists what a report holds, `render` makes one SVG, PNG or PDF of them, and `svg` gives each one for a page.
matplotlib is the extra `plot` and is imported only to draw.
"""

from vggcalc.report.figures.kernels import Panel, over_kernels
from vggcalc.report.figures.picture import Figure
from vggcalc.report.figures.rendering import RENDERERS, render, require, svg
from vggcalc.report.figures.selection import FIGURES, figures
from vggcalc.report.figures.sweeps import Lines

__all__ = [
    "FIGURES", "RENDERERS", "Figure", "Lines", "Panel", "figures", "over_kernels", "render", "require", "svg",
]  # fmt: skip
