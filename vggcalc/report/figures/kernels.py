"""Over kernel size: what each variant costs, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure
from vggcalc.report.figures.ticks import Quantity, log_axis
from vggcalc.report.tables.cells import heading
from vggcalc.report.tables.kernels import is_kernel
from vggcalc.results import Comparison, Configuration, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: The costs that are drawn under each other, and how each is written.
DRAWN: dict[str, Quantity] = {"parameters": "count", "macs": "count", "saved_bytes": "bytes"}

#: Inches of one panel and of the axis below the last.
_KERNEL_PANEL, _KERNEL_AXIS = 1.45, 0.4

Series = Mapping[str, Sequence[tuple[int, float]]]


class Panel(msgspec.Struct, frozen=True):
    """One quantity over kernel size: for each name its (kernel size, value).

    `ranges` are the (kernel size, low, high) of the values that have an interval. `reference` is a
    value to compare with, drawn across.
    """

    ylabel: str
    series: Series
    quantity: Quantity = "count"
    ranges: Mapping[str, Sequence[tuple[int, float, float]]] = {}
    reference: float | None = None


def over_kernels(
    title: str, caption: str, panels: Sequence[Panel], styles: Mapping[str, style.Style] | None = None
) -> Figure:
    """Panels under each other that share the axis of kernel sizes and one key.

    A name has one style in all of them, that of `styles` or by the order in which it comes first.
    Values of 0 or less have no place on a logarithmic axis and are left out.
    """
    names = dict.fromkeys(name for panel in panels for name, points in panel.series.items() if points)
    shown = {name: one for name, one in (styles or style.styles(names)).items() if name in names}

    def draw(figure: FigureBase) -> None:
        column = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(column, panels, strict=True):
            _draw(axes, panel, shown)
        _kernel_axis(column[-1], panels)
        style.key(figure, shown)

    height = _KERNEL_PANEL * len(panels) + _KERNEL_AXIS + style.key_height(list(shown))
    return Figure(title, caption, height, draw)


def _draw(axes: Axes, panel: Panel, styles: Mapping[str, style.Style]) -> None:
    if panel.reference is not None:
        axes.axhline(panel.reference, color=style.QUIET, linewidth=0.8)
    for name, one in styles.items():
        points = sorted((kernel, value) for kernel, value in panel.series.get(name, ()) if value > 0)
        if not points:
            continue
        sizes, values = zip(*points, strict=True)
        axes.plot(sizes, values, label=name, **one.properties)
        for kernel, low, high in panel.ranges.get(name, ()):
            axes.plot([kernel] * 2, [low, high], color=one.colour, marker="_", linewidth=0.8, markersize=4)
    axes.set_yscale("log")
    style.label_y(axes, panel.ylabel)
    log_axis(axes.yaxis, panel.quantity, most=5)


def _kernel_axis(axes: Axes, panels: Sequence[Panel]) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    sizes = sorted({size for panel in panels for points in panel.series.values() for size, _ in points})
    even = len({after - before for before, after in pairwise(sizes)}) <= 1
    axes.xaxis.set_major_locator(FixedLocator(sizes, nbins=15) if even else MaxNLocator(8, integer=True))
    axes.xaxis.set_minor_locator(FixedLocator(sizes))
    axes.tick_params(axis="x", which="minor", size=1.5)
    axes.set_xlabel("kernel size")


def kernel_figures(report: Report, styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """Costs, and latencies where they were measured, of kernels of several sizes."""
    kernels = [one for one in report.comparisons if is_kernel(one)]
    if len({len(one.input_shape) for one in kernels}) > 1:  # a size of one dimension is another's not
        return
    if len({compared_kernel_size(one) for one in kernels}) > 1:
        yield cost_figure(kernels, styles)
        yield from latencies(kernels, styles)


def compared_kernel_size(comparison: Comparison) -> int:
    """The size of the kernel that is factorized, along its longest axis."""
    return max(next(kernel for block in comparison.variants[0].blocks for kernel in block.kernels))


def cost_figure(comparisons: Sequence[Comparison], styles: Mapping[str, style.Style]) -> Figure:
    """Parameters, MACs and saved activations."""
    panels = [Panel(heading(key), _series(comparisons, key), quantity) for key, quantity in DRAWN.items()]
    first = comparisons[0]
    what = f"at input {'×'.join(map(str, first.input_shape))}, {first.dtype}"
    caption = f"Costs of each variant over kernel size {what}, on logarithmic axes: counted on paper, exact."
    return over_kernels("Costs over kernel size", caption, panels, styles)


def _series(comparisons: Sequence[Comparison], key: str) -> dict[str, list[tuple[int, float]]]:
    """A cost of each variant by its name, where it is known."""
    series: dict[str, list[tuple[int, float]]] = {}
    for comparison in comparisons:
        for variant in comparison.variants:
            value = variant.costs.get(key)
            if value is not None:
                series.setdefault(variant.name, []).append((compared_kernel_size(comparison), value))
    return series


def latencies(comparisons: Sequence[Comparison], styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """For each configuration, the medians, and the ratios with their intervals."""
    configurations = dict.fromkeys(
        latency.configuration for comparison in comparisons for v in comparison.variants for latency in v.latency
    )
    for configuration in configurations:
        yield _latency_figures(comparisons, configuration, styles)


def _latency_figures(
    comparisons: Sequence[Comparison], configuration: Configuration, styles: Mapping[str, style.Style]
) -> Figure:
    medians: dict[str, list[tuple[int, float]]] = {}
    spread: dict[str, list[tuple[int, float, float]]] = {}
    ratios: dict[str, list[tuple[int, float]]] = {}
    intervals: dict[str, list[tuple[int, float, float]]] = {}
    for comparison in comparisons:
        kernel = compared_kernel_size(comparison)
        for variant in comparison.variants:
            latency = variant.latency_in(configuration)
            if latency is not None:
                medians.setdefault(variant.name, []).append((kernel, latency.median_s))
                if latency.ci95 is not None:
                    spread.setdefault(variant.name, []).append((kernel, *latency.ci95))
        for ratio in comparison.ratios:
            found = ratio.latency_in(configuration)
            if found is not None:
                ratios.setdefault(ratio.variant, []).append((kernel, found.ratio))
                if found.ci95 is not None:
                    intervals.setdefault(ratio.variant, []).append((kernel, *found.ci95))
    median = Panel("latency of one call, median and 95% interval", medians, "seconds", spread)
    return timed(configuration.label, comparisons[0].baseline, median, ratios, intervals, styles)


def timed(
    where: str,
    baseline: str,
    median: Panel,
    ratios: Series,
    intervals: Mapping[str, Sequence[tuple[int, float, float]]],
    styles: Mapping[str, style.Style] | None = None,
) -> Figure:
    """Medians, and under them the ratios to the baseline's with their intervals, where there are any."""
    panels = [median]
    if ratios:
        label = f"latency / {baseline}'s, 95% interval; below 1 is faster"
        panels.append(Panel(label, ratios, "ratio", intervals, reference=1.0))
    caption = (
        f"Latency of one call, {where}, over kernel size, on logarithmic axes: medians, and ratios to "
        f"{baseline}, where below 1 is faster; bars are 95% intervals."
    )
    return over_kernels(f"Latency over kernel size, {where}", caption, panels, styles)
