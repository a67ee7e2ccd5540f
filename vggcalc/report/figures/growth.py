"""How the receptive field grows through a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from vggcalc.nets.graph import INPUT
from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure, Layout
from vggcalc.report.figures.ticks import thinned
from vggcalc.report.tables.kernels import is_kernel
from vggcalc.results import Comparison, LayerResult, Report, Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: Inches: the panel with its axis and label, a name of a block above it, and what a name needs beside it.
_GROWTH_PANEL, _AROUND, _BESIDE = 2.2, 0.7, 0.12


class Growth(msgspec.Struct, frozen=True):
    """The convolutions and poolings of a variant, in order.

    `layers` are (depth, size), `largest` the same for the largest at each depth. `depth` counts the
    layers on the longest path from the input, and `size` is the receptive field's along its longest axis.
    `begins` are the depth and name of each block's first layer; blocks of one layer are left out, unless all are.
    """

    layers: tuple[tuple[int, int], ...]
    largest: tuple[tuple[int, int], ...]
    begins: tuple[tuple[int, str], ...]


def growth(variant: Variant) -> Growth:
    """The growth of one variant. A layer without a receptive field counts for the depth alone."""
    depths = {INPUT: 0}
    found: list[tuple[int, int]] = []
    blocks: dict[str, list[int]] = {}
    for layer in variant.layers:
        depth = max((depths[name] for name in layer.inputs), default=0)
        if _slides(layer):
            depth += 1
            blocks.setdefault(layer.name.partition(".")[0], []).append(depth)
            if layer.receptive_field is not None:
                found.append((depth, max(layer.receptive_field.size)))
        depths[layer.name] = depth
    largest: dict[int, int] = {}
    for depth, size in found:
        largest[depth] = max(size, largest.get(depth, 0))
    order = sorted(largest.items())
    several = {name: members for name, members in blocks.items() if len(members) > 1}
    begins = tuple((members[0], name) for name, members in (several or blocks).items())
    return Growth(tuple(found), tuple(order), begins)


def _slides(layer: LayerResult) -> bool:
    """Whether it is a convolution or a pooling; a padding or a slice is not."""
    kernel = layer.kernel_size
    return kernel is not None and (layer.type != "Window" or max(kernel) > 1)


def growth_figures(report: Report, styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """One for each network in which two layers have a receptive field."""
    for comparison in report.comparisons:
        if not is_kernel(comparison) and any(len(growth(variant).largest) > 1 for variant in comparison.variants):
            yield field_growth(comparison, styles)


def field_growth(comparison: Comparison, styles: Mapping[str, style.Style]) -> Figure:
    """A line of steps for each variant, and the height of the input as a line across."""
    grown = {variant.name: growth(variant) for variant in comparison.variants}
    grown = {name: one for name, one in grown.items() if one.largest}
    shown = {name: styles[name] for name in grown}
    deepest = max(grown, key=lambda name: grown[name].largest[-1][0])
    heights = comparison.input_shape[2:3]

    def draw(figure: FigureBase, width: float) -> None:
        begins = _labelled_blocks(grown[deepest], width)
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        for height in heights:
            _input_height(axes, height)
        scale = min(0.8, 20 / grown[deepest].largest[-1][0])
        for name, one in grown.items():
            _steps(axes, one, shown[name], name, scale)
        axes.set_xlabel("depth (convolutions and poolings on the longest path)")
        axes.set_ylabel("receptive field")
        axes.set_ylim(0, 1.09 * max(*heights, *(size for one in grown.values() for _, size in one.largest)))
        axes.grid(False, axis="x")
        for depth, _ in begins:
            axes.axvline(depth, color=style.GRID, linewidth=0.5, zorder=0)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
        top = axes.secondary_xaxis("top")
        top.set_xticks([depth for depth, _ in begins], [style.cut(name) for _, name in begins])
        top.tick_params(labelsize=style.SMALL, rotation=90, length=2)
        if len(shown) > 1:
            style.key(figure, shown, width)

    above = (
        f"; the names above are those of the blocks of {deepest}, where they begin"
        if len(grown[deepest].begins) > 1
        else ""
    )
    caption = (
        f"Receptive field of the layers of {comparison.name} in input positions, over depth: the line goes "
        f"through the largest at each depth, and the dashed line is the height of the input{above}."
    )

    def layout(width: float) -> Layout:
        names = max((len(style.cut(name)) for _, name in _labelled_blocks(grown[deepest], width)), default=0)
        keys = style.key_height(list(shown), width) if len(shown) > 1 else 0
        height = _GROWTH_PANEL + _AROUND + names * style.CHARACTER + keys
        return Layout(height, lambda figure: draw(figure, width))

    return Figure("receptive-field", f"Receptive field through {comparison.name}", caption, layout)


def _input_height(axes: Axes, height: int) -> None:
    """Draw the height of the input, with its label on the line, in the corner where no layer is yet."""
    axes.axhline(height, color=style.QUIET, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.annotate(
        f"input {height:,}", (0, height), (3, 1.5), ("axes fraction", "data"), textcoords="offset points",
        va="bottom", fontsize=style.SMALL, color=style.QUIET,
    )  # fmt: skip


def _labelled_blocks(one: Growth, width: float) -> list[tuple[int, str]]:
    """The beginnings of blocks whose names have room; none if only one has."""
    last = one.largest[-1][0]
    places = dict(reversed(one.begins))  # of several at one depth the first
    kept = thinned(sorted(places), last * _BESIDE / (width - 0.6))
    return [(int(depth), places[int(depth)]) for depth in kept] if len(one.begins) > 1 else []


def _steps(axes: Axes, one: Growth, how: style.Style, name: str, scale: float) -> None:
    depths, sizes = zip(*one.largest, strict=True)
    arguments = how.properties | {"marker": ""}
    axes.plot(depths, sizes, drawstyle="steps-post", label=name, **arguments)
    arguments = how.properties | {"linestyle": "", "markersize": how.marker_size * scale}
    axes.plot(*zip(*one.layers, strict=True), **arguments)
