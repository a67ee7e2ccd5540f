"""The costs of each variant against its MACs, with the Pareto-optimal ones marked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure, Layout
from vggcalc.report.figures.ticks import Quantity, log_axis
from vggcalc.report.tables.cells import heading
from vggcalc.results import Comparison, Configuration, Report, Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: Inches of a panel, and of the axis below the last.
_TRADEOFF_PANEL, _TRADEOFF_AXIS = 1.6, 0.4


class _Panel(NamedTuple):
    """The vertical axis: its label and quantity, a variant's value, and its 95% interval."""

    label: str
    quantity: Quantity
    value: Callable[[Variant], float | int | None]
    interval: Callable[[Variant], tuple[float, float] | None] = lambda variant: None

    def points(self, comparison: Comparison) -> dict[str, tuple[float, float]]:
        """(MACs, value) of each variant that has both."""
        both = {one.name: (one.costs["macs"], self.value(one)) for one in comparison.variants}
        return {name: (x, y) for name, (x, y) in both.items() if x and y}


def tradeoff_figures(report: Report, styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """One for a single comparison of more than two variants."""
    if len(report.comparisons) == 1 and len(report.comparisons[0].variants) > 2:
        yield tradeoff(report.comparisons[0], styles)


def tradeoff(comparison: Comparison, styles: Mapping[str, style.Style]) -> Figure:
    """Parameters, saved activations and each measured latency, against MACs."""
    best = comparison.pareto
    panels = [panel for panel in _panels(comparison) if panel.points(comparison)]
    shown = {variant.name: styles[variant.name] for variant in comparison.variants}

    def layout(width: float) -> Layout:
        columns = min(len(panels), int(width / style.WIDE * 2)) if width >= style.WIDE else 1
        rows = ceil(len(panels) / columns)

        def draw(figure: FigureBase) -> None:
            grid = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
            for axes in grid[len(panels) :]:
                axes.remove()
            for axes, panel in zip(grid, panels, strict=False):
                _points(axes, panel, comparison, shown)
                axes.set(xscale="log", yscale="log")
                axes.margins(0.08, 0.12)
                style.label_y(axes, f"{panel.label}, log scale", width / columns)
                log_axis(axes.yaxis, panel.quantity, most=5)
            for axes in grid[: len(panels)][-columns:]:
                axes.tick_params(labelbottom=True)
                axes.set_xlabel(f"{heading('macs')}, log scale")
                log_axis(axes.xaxis, "count", most=6 if columns == 1 else 4)
            style.key(figure, {name: shown[name].hollow(name not in best) for name in shown}, width, bold=best)

        return Layout(_TRADEOFF_PANEL * rows + _TRADEOFF_AXIS + style.key_height(list(shown), width), draw)

    weighed = "parameters, MACs, saved activations" + (" and latency" if comparison.variants[0].latency else "")
    marked = f"; filled markers, in bold, are those that no other beats in {weighed}" if best else ""
    caption = f"What each variant of {comparison.name} costs against its MACs, on logarithmic axes{marked}."
    return Figure("tradeoff", f"Variants of {comparison.name}: costs against MACs", caption, layout)


def _panels(comparison: Comparison) -> Iterator[_Panel]:
    yield _Panel(heading("parameters"), "count", lambda variant: variant.costs["parameters"])
    yield _Panel(heading("saved_bytes"), "bytes", lambda variant: variant.costs.get("saved_bytes"))
    for configuration in dict.fromkeys(one.configuration for variant in comparison.variants for one in variant.latency):
        yield _latency_panel(configuration)


def _latency_panel(configuration: Configuration) -> _Panel:
    return _Panel(
        f"latency of one call on {configuration.label}, median and 95% interval",
        "seconds",
        lambda variant: one.median_s if (one := variant.latency_in(configuration)) else None,
        lambda variant: one.ci95 if (one := variant.latency_in(configuration)) else None,
    )


def _points(axes: Axes, panel: _Panel, comparison: Comparison, styles: Mapping[str, style.Style]) -> None:
    points, best = panel.points(comparison), comparison.pareto
    for name, (x, y) in points.items():
        interval = panel.interval(comparison[name])
        if interval:
            axes.plot([x, x], interval, color=style.QUIET, linewidth=0.8, marker="_", markersize=3)
        axes.plot(x, y, label=name, **styles[name].hollow(name not in best).properties)
