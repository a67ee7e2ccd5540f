"""Reports as figures: which there are, and how they become SVG, PNG or PDF.

`figures` says what there is to see in a report, `svg` hands out each of its figures for a page,
`save` puts all into one file. matplotlib is the extra `plot` and is imported only to draw.
"""

from vggcalc.report.plots.choice import figures
from vggcalc.report.plots.files import Picture, render, save, svg
from vggcalc.report.plots.kernels import Panel, over_kernels
from vggcalc.report.plots.picture import Figure
from vggcalc.report.plots.sweeps import Lines

__all__ = ["Figure", "Lines", "Panel", "Picture", "figures", "over_kernels", "render", "save", "svg"]
