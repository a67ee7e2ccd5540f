"""Which figures a report holds."""

from collections.abc import Callable, Iterator, Mapping

from vggcalc.report.figures import effective, growth, kernels, roofline, style, tradeoff, windows
from vggcalc.report.figures.picture import Figure
from vggcalc.results import Report

#: In the order in which they are shown; each yields those figures that the report has the numbers for.
FIGURES: tuple[Callable[[Report, Mapping[str, style.Style]], Iterator[Figure]], ...] = (
    kernels.kernel_figures,
    windows.window_figures,
    growth.growth_figures,
    effective.effective_figures,
    tradeoff.tradeoff_figures,
    roofline.roofline_figures,
)


def figures(report: Report) -> list[Figure]:
    """All figures of a report, which are not drawn yet; none of one without comparisons."""
    if not report.comparisons:
        return []
    styles = style.styles(variant.name for one in report.comparisons for variant in one.variants)
    return [figure for of_kind in FIGURES for figure in of_kind(report, styles)]
