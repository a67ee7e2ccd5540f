"""Which figures a report holds."""

from collections.abc import Iterator

from vggcalc.report.figures import growth, kernels, roofline, style, tradeoff, windows
from vggcalc.report.figures.picture import Figure
from vggcalc.report.tables.networks import is_kernel
from vggcalc.results import Report


def figures(report: Report) -> list[Figure]:
    """What there is to see, in the order in which it is shown; nothing is drawn yet."""
    return list(_figures(report))


def _figures(report: Report) -> Iterator[Figure]:
    comparisons = report.comparisons
    styles = style.styles(variant.name for one in comparisons for variant in one.variants)
    of_kernels = [one for one in comparisons if is_kernel(one)]
    if len({kernels.kernel_size(one) for one in of_kernels}) > 1:
        yield kernels.costs(of_kernels, styles)
        yield from kernels.latencies(of_kernels, styles)
    elif len(of_kernels) == 1 == len(comparisons):
        yield windows.windows(of_kernels[0])
    for comparison in comparisons:
        if not is_kernel(comparison) and growth.grows(comparison):
            yield growth.field_growth(comparison, styles)
        if len(comparisons) == 1 and len(comparison.variants) > 2:
            yield tradeoff.tradeoff(comparison)
        if len(comparisons) == 1:
            yield from roofline.rooflines(comparison)
