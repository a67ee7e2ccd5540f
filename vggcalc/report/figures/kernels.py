"""Over kernel size: what each variant costs, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from textwrap import fill
from typing import TYPE_CHECKING

import msgspec

from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure, Layout
from vggcalc.report.figures.ticks import Quantity, log_axis
from vggcalc.report.tables.cells import heading
from vggcalc.report.tables.kernels import is_kernel
from vggcalc.results import Comparison, Configuration, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: The costs that are drawn under each other, and how each is written.
DRAWN: dict[str, Quantity] = {"parameters": "count", "macs": "count", "saved_bytes": "bytes"}

#: Inches of one panel, of one of several rows, of the axis below the last, and above a row.
_KERNEL_PANEL, _KERNEL_ROW, _KERNEL_AXIS, _KERNEL_ABOVE = 1.45, 0.95, 0.4, 0.15

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
    name: str,
    title: str,
    caption: str,
    rows: Mapping[str, Sequence[Panel]],
    styles: Mapping[str, style.Style] | None = None,
) -> Figure:
    """Rows of panels that share the axis of kernel sizes and one key; in a narrow figure one row is a column.

    A column of several rows has one scale. A series has one style in all panels, that of `styles` or by the order in
    which it comes first. Values of 0 or less have no place on a logarithmic axis and are left out.
    """
    panels = [panel for row in rows.values() for panel in row]
    names = dict.fromkeys(name for panel in panels for name, points in panel.series.items() if points)
    shown = {name: one for name, one in (styles or style.styles(names)).items() if name in names}
    across = max(map(len, rows.values()))

    def layout(width: float) -> Layout:
        stacked = len(rows) == 1 and width < style.WIDE
        columns = 1 if stacked else across
        down = across if stacked else len(rows)

        def draw(figure: FigureBase) -> None:
            grid = figure.subplots(down, columns, sharex=True, sharey=False if stacked else "col", squeeze=False)
            places = grid.ravel()[: len(panels)]
            for axes in grid.ravel()[len(panels) :]:
                axes.remove()
            for axes, panel in zip(places, panels, strict=True):
                _draw(axes, panel, shown)
            for i, (axes, panel) in enumerate(zip(places, panels, strict=True)):
                if stacked:
                    style.label_y(axes, f"{panel.ylabel}, log scale", width)
                else:
                    _panel_heading(axes, list(rows)[i // across], panel, i, across, width)
                log_axis(axes.yaxis, panel.quantity, most=5)
            for axes in places[-columns:]:
                _kernel_axis(axes, panels, int(13 * width / columns / style.WIDTH) + 2)
            style.key(figure, shown, width)

        each = _KERNEL_PANEL if len(rows) == 1 else _KERNEL_ROW
        above = 0.0 if stacked else _KERNEL_ABOVE * (len(rows) + 2)
        return Layout(each * down + above + _KERNEL_AXIS + style.key_height(list(shown), width), draw)

    return Figure(name, title, caption, layout)


def _panel_heading(axes: Axes, row: str, panel: Panel, i: int, across: int, width: float) -> None:
    """Above the first panel of a row what the row is of, above those of the first row what they show."""
    quantity = fill(f"{panel.ylabel}, log scale", int(0.85 * width / across / style.CHARACTER))
    lines = [row if i % across == 0 else " "] if row else []
    axes.set_title("\n".join([*lines, quantity] if i < across else lines), fontsize=style.SMALL)


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


def _kernel_axis(axes: Axes, panels: Sequence[Panel], most: int) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    sizes = sorted({size for panel in panels for points in panel.series.values() for size, _ in points})
    even = len({after - before for before, after in pairwise(sizes)}) <= 1
    axes.xaxis.set_major_locator(FixedLocator(sizes, nbins=most) if even else MaxNLocator(most // 2, integer=True))
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
    return over_kernels("costs", "Costs over kernel size", caption, {"": panels}, styles)


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
    panels = timed_panels(comparisons[0].baseline, median, ratios, intervals)
    return timed(configuration.label, comparisons[0].baseline, {"": panels}, styles)


def timed_panels(
    baseline: str, median: Panel, ratios: Series, intervals: Mapping[str, Sequence[tuple[int, float, float]]]
) -> list[Panel]:
    """Medians, and beside them the ratios to the baseline's with their intervals, where there are any."""
    label = f"latency / {baseline}'s, 95% interval; below 1 is faster"
    return [median, Panel(label, ratios, "ratio", intervals, reference=1.0)] if ratios else [median]


def timed(
    where: str, baseline: str, rows: Mapping[str, Sequence[Panel]], styles: Mapping[str, style.Style] | None = None
) -> Figure:
    """The figure of these rows of panels."""
    caption = (
        f"Latency of one call, {where}, over kernel size, on logarithmic axes: medians, and ratios to "
        f"{baseline}, where below 1 is faster; bars are 95% intervals."
    )
    return over_kernels("latency", f"Latency over kernel size, {where}", caption, rows, styles)
