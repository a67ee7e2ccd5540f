"""The roofline (Williams, Waterman, Patterson 2009): what bounds each layer, and how near it came to that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

from vggcalc.nets.names import ITEMSIZE
from vggcalc.report import units
from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure, Layout
from vggcalc.report.figures.ticks import log_axis
from vggcalc.results import BlockResult, Comparison, Costs, Report, Roof, Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: Inches of a panel where they stand under each other, of one of two beside each other, and the rest.
_WIDE_PANEL, _NARROW, _ROOF_AXIS, _KEY = 1.75, 1.35, 0.4, 0.45

#: Points: the diameters of the layer that does the most of its variant's FLOPs, and the least one.
_MOST, _LEAST = 11.0, 2.4

_LAYER: style.Properties = {
    "marker": "o", "linestyle": "", "markerfacecolor": "#0072B240", "markeredgecolor": "#0072B2",
    "markeredgewidth": 0.6,
}  # fmt: skip
_RIDGE: style.Properties = {"color": style.QUIET, "linewidth": 0.6, "linestyle": ":"}
_WHOLE: style.Properties = {"marker": "*", "color": "black", "linestyle": "", "markersize": 7.0}


def roofline_figures(report: Report, styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """One for each roof of a single comparison; none for training, whose traffic is unknown, nor without FLOPs."""
    comparison, *others = report.comparisons
    if others:
        return
    for roof in comparison.roofs:
        if roof.mode != "training" and any(layer_intensities(comparison, roof, one) for one in comparison.variants):
            yield roofline(comparison, roof)


def roofline_intensity(costs: Costs, comparison: Comparison, roof: Roof) -> float | None:
    """FLOPs per byte of compulsory traffic in the roof's dtype; None where there are none."""
    flops, traffic = costs["flops"], costs["traffic_bytes"]
    if not flops or not traffic:
        return None
    return flops / (traffic * ITEMSIZE[roof.dtype] / ITEMSIZE[comparison.dtype])


def layer_intensities(comparison: Comparison, roof: Roof, variant: Variant) -> list[tuple[float, float]]:
    """Intensity and share of the variant's FLOPs, for each layer that does any."""
    whole = variant.costs["flops"] or 0
    found = ((roofline_intensity(one.costs, comparison, roof), one.costs["flops"]) for one in variant.layers)
    return [(at, flops / whole) for at, flops in found if at is not None and flops]


def attainable(roof: Roof, at: float) -> float:
    """FLOP/s that the roof allows at an intensity."""
    return min(roof.flops_per_s, at * roof.bytes_per_s)


def roofline(comparison: Comparison, roof: Roof) -> Figure:
    """A panel for each variant, all on the same axes."""
    variants = comparison.variants
    timed = dict.fromkeys(b.name for one in variants for b in one.blocks if measured(comparison, roof, b))
    blocks = dict(list(style.styles(["", *timed]).items())[1:])  # black is the whole

    def layout(width: float) -> Layout:
        columns = min(len(variants), (1 if len(variants) <= 2 else 2) * (1 if width < style.WIDE else 2))
        rows = ceil(len(variants) / columns)

        def draw(figure: FigureBase) -> None:
            grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
            panels = list(grid.ravel())[: len(variants)]
            for axes in grid.ravel()[len(variants) :]:
                axes.remove()
            most = max(share for variant in variants for _, share in layer_intensities(comparison, roof, variant))
            for axes, variant in zip(panels, variants, strict=True):
                for at, share in layer_intensities(comparison, roof, variant):
                    size = max(_MOST * (share / most) ** 0.5, _LEAST)
                    axes.plot(at, attainable(roof, at), zorder=3, **_LAYER | {"markersize": size})
                _measured_points(axes, comparison, roof, variant, _WHOLE)
                for block in variant.blocks:
                    if block.name in blocks:
                        _measured_points(axes, comparison, roof, block, blocks[block.name].hollow(False).properties)
            _draw_roof(panels, roof)
            for axes in panels[-columns:]:
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("FLOPs/byte, log scale")
            for axes, variant in zip(panels, variants, strict=True):
                axes.set_title(style.wrapped(_title(variant, roof), 28))
            for axes in grid[:, 0]:
                axes.set_ylabel("FLOP/s, log scale")
            _legend_key(figure, roof, blocks)

        panel = _WIDE_PANEL if columns == 1 or width >= style.WIDE else _NARROW
        return Layout(panel * rows + _ROOF_AXIS + _KEY + style.LINE * ceil(len(blocks) / 2), draw)

    caption = (
        f"Roofline of {comparison.name} on {roof.label}: the line is what the best rates seen allow at each "
        "intensity (FLOPs per byte of compulsory traffic), every layer stands on it, its area its share of the "
        "FLOPs, and what was measured stands below, blocks by their markers and the whole as a star."
    )
    return Figure("roofline", f"Roofline of {comparison.name}, {roof.label}", caption, layout)


def measured(comparison: Comparison, roof: Roof, one: Variant | BlockResult) -> tuple[float, float] | None:
    """The intensity and the FLOP/s of a variant or block, where it was timed in the roof's configuration."""
    latency = one.latency_in(roof.configuration)
    at = roofline_intensity(one.costs, comparison, roof)
    return (at, latency.flops_per_s) if at is not None and latency and latency.flops_per_s else None


def _measured_points(
    axes: Axes, comparison: Comparison, roof: Roof, one: Variant | BlockResult, properties: style.Properties
) -> None:
    where = measured(comparison, roof, one)
    if where is not None:
        axes.plot(*where, zorder=4, **properties)


def _draw_roof(panels: Sequence[Axes], roof: Roof) -> None:
    """The line, under limits that leave room for it."""
    ridge = roof.flops_per_s / roof.bytes_per_s
    for axes in panels:
        axes.set(xscale="log", yscale="log")
    (left, right), (bottom, _) = panels[0].get_xlim(), panels[0].get_ylim()
    left, right = min(left, ridge) / 1.5, max(right, ridge) * 1.5
    bottom = min(bottom, attainable(roof, left)) / 1.3
    panels[0].set(xlim=(left, right), ylim=(bottom, roof.flops_per_s * 2))
    for axes in panels:
        axes.plot(*zip(*_line(axes, roof), strict=True), color="black", linewidth=1.0, zorder=2)
        axes.axvline(ridge, zorder=1.5, **_RIDGE)
    log_axis(panels[0].xaxis, "ratio")
    log_axis(panels[0].yaxis, "count", most=4)


def _line(axes: Axes, roof: Roof) -> list[tuple[float, float]]:
    left, right = axes.get_xlim()
    return [(at, attainable(roof, at)) for at in (left, roof.flops_per_s / roof.bytes_per_s, right)]


def _title(variant: Variant, roof: Roof) -> str:
    """The name, and how much of the roof the whole reaches."""
    latency = variant.latency_in(roof.configuration)
    reached = latency.roof_share if latency is not None else None
    return variant.name if reached is None else f"{variant.name}: {units.share(reached)} of the roof"


def _legend_key(figure: FigureBase, roof: Roof, blocks: Mapping[str, style.Style]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import EngFormatter

    ridge = roof.flops_per_s / roof.bytes_per_s
    flops, traffic = (EngFormatter(unit, places=1) for unit in ("FLOP/s", "B/s"))
    handles = [
        Line2D([], [], label=f"roof: {flops(roof.flops_per_s)}, {traffic(roof.bytes_per_s)}", color="black"),
        Line2D([], [], label="layer, area: share of FLOPs", **_LAYER | {"markersize": 5.0}),
        Line2D([], [], label=f"memory-bound below {units.number(ridge)}", **_RIDGE),
        Line2D([], [], label="whole, measured", **_WHOLE),
        *(Line2D([], [], label=style.cut(name), **one.hollow(False).properties) for name, one in blocks.items()),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
