"""Which variant to choose: what each costs in one respect against another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vggcalc.report.figures import style
from vggcalc.report.figures.labels import Label, place
from vggcalc.report.figures.picture import Figure
from vggcalc.report.figures.ticks import BYTES, COUNT, SECONDS, Quantity, log_axis
from vggcalc.report.tables.cells import heading
from vggcalc.results import Comparison, Configuration, Latency, Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: Inches of a panel, and of the axis and the key.
_PANEL, _AXIS, _KEY = 1.85, 0.4, 0.2

#: The points of the Pareto-optimal variants, and those of the others.
_BEST: style.Look = {"marker": "D", "color": "#0072B2", "markersize": 4.0, "linewidth": 0.8}
_OTHER: style.Look = {
    "marker": "o",
    "color": style.QUIET,
    "markersize": 3.5,
    "markerfacecolor": "white",
    "linestyle": "",
}


class _Panel(NamedTuple):
    """What stands upwards: its label, how it is written, a variant's value, and its interval."""

    label: str
    quantity: Quantity
    value: Callable[[Variant], float | int | None]
    interval: Callable[[Variant], tuple[float, float] | None] = lambda variant: None


def tradeoff(comparison: Comparison) -> Figure:
    """Parameters, what is kept for backward and each measured latency, against MACs."""
    best = set(comparison.pareto)
    panels = [panel for panel in _panels(comparison) if _labels(panel, comparison.variants, best)]

    def draw(figure: FigureBase) -> None:
        column = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(column, panels, strict=True):
            _points(axes, panel, comparison.variants, best)
            axes.set(xscale="log", yscale="log")
            axes.margins(0.15, 0.15)
            style.label_y(axes, panel.label)
        column[-1].set_xlabel(heading("macs"))
        log_axis(column[-1].xaxis, COUNT)
        for axes, panel in zip(column, panels, strict=True):
            log_axis(axes.yaxis, panel.quantity, most=5)
        if best:
            _key(figure)
        for axes, panel in zip(column, panels, strict=True):
            labels = _labels(panel, comparison.variants, best)
            place(axes, labels, [sorted((label.x, label.y) for label in labels if label.strong)])

    weighed = "parameters, MACs, saved activations" + (" and latency" if comparison.variants[0].latency else "")
    marked = f"; diamonds on the line, in bold, are those that no other beats in {weighed}" if best else ""
    caption = f"What each variant of {comparison.name} costs against its MACs, on logarithmic axes{marked}."
    height = _PANEL * len(panels) + _AXIS + (_KEY if best else 0)
    return Figure(f"Variants of {comparison.name}: costs against MACs", caption, height, draw)


def _panels(comparison: Comparison) -> Iterator[_Panel]:
    yield _Panel(heading("parameters"), COUNT, lambda variant: variant.costs["parameters"])
    yield _Panel(heading("saved_bytes"), BYTES, lambda variant: variant.costs.get("saved_bytes"))
    for way in dict.fromkeys(latency.configuration for variant in comparison.variants for latency in variant.latency):
        yield _latency(way)


def _latency(way: Configuration) -> _Panel:
    def timed(variant: Variant) -> Latency | None:
        return next((one for one in variant.latency if one.configuration == way), None)

    return _Panel(
        f"latency of one call on {way.label}, median and 95% interval",
        SECONDS,
        lambda variant: one.median_s if (one := timed(variant)) else None,
        lambda variant: one.ci95 if (one := timed(variant)) else None,
    )


def _labels(panel: _Panel, variants: Sequence[Variant], best: set[str]) -> list[Label]:
    """A point for each variant that has both figures."""
    both = ((variant, variant.costs["macs"], panel.value(variant)) for variant in variants)
    return [Label(variant.name, x, y, variant.name in best) for variant, x, y in both if x and y]


def _points(axes: Axes, panel: _Panel, variants: Sequence[Variant], best: set[str]) -> None:
    for variant in variants:
        interval, x = panel.interval(variant), variant.costs["macs"]
        if interval and x:
            axes.plot([x, x], interval, color=style.QUIET, linewidth=0.8, marker="_", markersize=3)
    labels = sorted(_labels(panel, variants, best), key=lambda label: (label.x, label.y))
    for strong, look in ((True, _BEST), (False, _OTHER)):
        places = [(label.x, label.y) for label in labels if label.strong is strong]
        if places:
            axes.plot(*zip(*places, strict=True), **look)


def _key(figure: FigureBase) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label="Pareto-optimal", **_BEST),
        Line2D([], [], label="beaten by another", **_OTHER),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
