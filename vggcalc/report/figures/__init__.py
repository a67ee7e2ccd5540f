"""Reports as figures: which there are, and how they become SVG, PNG or PDF.

`figures` says what there is to see in a report, `svg` hands out each of its figures for a page,
`save` puts all into one file. matplotlib is the extra `plot` and is imported only to draw.
"""

from vggcalc.report.figures.files import Picture, render, save, svg
from vggcalc.report.figures.kernels import Panel, over_kernels
from vggcalc.report.figures.picture import Figure
from vggcalc.report.figures.selection import figures
from vggcalc.report.figures.sweeps import Lines

__all__ = ["Figure", "Lines", "Panel", "Picture", "figures", "over_kernels", "render", "save", "svg"]
