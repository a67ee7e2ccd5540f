"""The kernel's window and what each factorization covers of it: which positions, and by how many paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, prod
from typing import TYPE_CHECKING, NamedTuple

from vggcalc.nets.graph import INPUT
from vggcalc.nets.paths import ChainPaths, PathCounts, network_paths, on_a_plane, path_counts
from vggcalc.report import units
from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure, Layout
from vggcalc.report.figures.ticks import thinned
from vggcalc.report.tables.kernels import is_kernel
from vggcalc.results import Comparison, Report, Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from matplotlib.lines import Line2D

#: Cells along an axis that a panel can show; of larger windows several positions are one cell.
_CELLS = 150

#: Points: the smallest type of a number in a cell; of its size a digit takes so much.
_TYPE, _DIGIT = 4.5, 0.64

#: The frame of the kernel's window and those of the windows after each layer; points.
_FRAME, _FRAME_WIDTH, _THIN = "#D55E00", 1.4, 0.6

#: A larger window, such as of a large dilation, is not drawn.
LARGEST_DRAWN = 10_000

#: Points that the sizes of two windows differ at least if both are framed.
_APART = 16.0

_WINDOW_COLOURS = ("#e3eef8", "#6baed6", "#2171b5", "#08306b")

#: Inches: the lines above each panel, what is between panels, and the scale with the key under all.
_ABOVE, _BETWEEN, _SCALE = 0.36, 0.12, 0.66


class Box(NamedTuple):
    """A rectangle of input positions; the kernel of the unit that is drawn begins at −padding."""

    left: int
    top: int
    width: int
    height: int


def window_figures(report: Report, styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """One for a single kernel whose windows are not too large to be drawn."""
    if len(report.comparisons) == 1 and is_kernel(report.comparisons[0]):
        fields = [variant.receptive_field for variant in report.comparisons[0]]
        if any(field is not None and max(field.size) > LARGEST_DRAWN for field in fields):
            return
        yield windows(report.comparisons[0])


def windows(comparison: Comparison) -> Figure:
    """A panel for each variant of one kernel, all on one grid of input positions."""
    variants = comparison.variants
    dims, window = len(comparison.input_shape) - 2, variants[0].layers[0].kernel_size or ()
    found = {
        variant.name: {node: list(map(on_a_plane, terms)) for node, terms in network_paths(variant.network).items()}
        for variant in variants
    }
    boxes = {name: _box(terms[INPUT]) for name, terms in found.items()}
    kernel, given = boxes[comparison.baseline], found[comparison.baseline][INPUT]
    low, high = _limits(list(boxes.values()))
    step = ceil(max(max(box.width, box.height) for box in boxes.values()) / _CELLS)
    top, bottom = (low, high) if dims > 1 else _around(step, 0.04 * (high - low))

    def layout(width: float) -> Layout:
        columns = min(len(variants), round((2 if len(variants) in (2, 4) else 3) * width / style.WIDTH))
        rows = ceil(len(variants) / columns)
        side = width / columns - _BETWEEN
        points = side * 72 / (high - low)  # of a position

        def draw(figure: FigureBase) -> None:
            grid = figure.subplots(rows, columns, squeeze=False).ravel()
            for axes in grid[len(variants) :]:
                axes.remove()
            for axes, variant in zip(grid, variants, strict=False):
                terms = found[variant.name]
                part = _per_cell(terms[INPUT], step)
                _seen_positions(axes, part, step)
                _crosses(axes, part, _per_cell(given, step), step, points)
                _numbers(axes, part, step, points)
                after = list(dict.fromkeys(_after_each(variant, terms)))
                _frames(axes, kernel, after, points)
                axes.set(xlim=(low, high), ylim=(bottom, top), aspect="equal")
                axes.set_axis_off()
                axes.set_title("\n".join(_lines(variant, prod(window))), fontsize=style.SMALL, linespacing=1.15)
            _scale(figure, list(grid[: len(variants)]))

        return Layout(rows * (side * (bottom - top) / (high - low) + _ABOVE + _BETWEEN) + _SCALE, draw)

    name = units.window(window)
    cells = "" if step == 1 else f" one cell is {step}×{step} positions;"
    caption = (
        f"Which input positions one output unit of each variant depends on, around the {name} window of the kernel "
        "(thick frame): the darker, the more paths lead from there to the unit, as if all feature maps had one channel;"
        f"{cells}{_PROJECTED if dims == 3 else ''} crosses are positions that it does not cover, thin frames the "
        "receptive fields after a layer."
    )
    return Figure("coverage", f"Coverage of the {name} window", caption, layout)


#: What stands for three dimensions.
_PROJECTED = " the paths from all positions of the first axis are added;"


def _per_cell(terms: Sequence[ChainPaths], step: int) -> PathCounts:
    """The counts of every `step` × `step` positions together."""
    return path_counts([(rows.per_cell(step), columns.per_cell(step)) for rows, columns in terms])


def _box(terms: Sequence[ChainPaths]) -> Box:
    """The box around all of them."""
    (top, bottom), (left, right) = (
        (min(term[axis].first for term in terms), max(term[axis].last for term in terms)) for axis in (0, 1)
    )
    return Box(left, top, right - left + 1, bottom - top + 1)


def _limits(boxes: Sequence[Box]) -> tuple[float, float]:
    """The square that holds all, with a margin for the frames."""
    low = min(min(box.left, box.top) for box in boxes)
    high = max(max(box.left + box.width, box.top + box.height) for box in boxes)
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _around(row: int, margin: float) -> tuple[float, float]:
    """The limits around a single row of cells."""
    return -margin, row + margin


def _after_each(variant: Variant, terms: Mapping[str, Sequence[ChainPaths]]) -> Iterator[Box]:
    """For each convolution the window of that unit which stands in the middle of those seen."""
    for layer in variant.layers:
        field = layer.receptive_field
        if field is not None and terms[layer.name] and layer.type.startswith("Conv"):
            seen = _box(terms[layer.name])
            x, y = seen.left + (seen.width - 1) // 2, seen.top + (seen.height - 1) // 2
            (down, across), (above, beside), (height, width) = (
                ((one,) * 2 + along)[-2:] for one, along in ((1, field.stride), (0, field.padding), (1, field.size))
            )
            yield Box(x * across - beside, y * down - above, width, height)


def _seen_positions(axes: Axes, seen: PathCounts, step: int) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    most = max(map(max, seen.rows))
    shares = [[count / most if count else float("nan") for count in row] for row in seen.rows]
    left, top = seen.left * step, seen.top * step
    axes.imshow(
        shares,
        cmap=LinearSegmentedColormap.from_list("paths", _WINDOW_COLOURS),
        vmin=0,
        vmax=1,
        extent=(left, left + seen.width * step, top + seen.height * step, top),
        interpolation="none",
    )


def _crosses(axes: Axes, seen: PathCounts, kernel: PathCounts, step: int, points: float) -> None:
    """Mark the cells that the kernel covers and the variant does not."""
    unseen = [
        ((x + 0.5) * step, (y + 0.5) * step)
        for y, row in enumerate(kernel.rows, kernel.top)
        for x, count in enumerate(row, kernel.left)
        if count and not seen.at(y, x)
    ]
    if unseen:
        size = min(3.0, 0.5 * points * step)
        axes.plot(*zip(*unseen, strict=True), linestyle="", **_CROSS | {"markersize": size})


def _numbers(axes: Axes, seen: PathCounts, step: int, points: float) -> None:
    """Write the counts into the cells, if they all fit."""
    most = max(map(max, seen.rows))
    size = min(style.SMALL, points * step / (_DIGIT * len(str(most)) + 0.4))
    if size < _TYPE:
        return
    for y, row in enumerate(seen.rows, seen.top):
        for x, count in enumerate(row, seen.left):
            if count:
                axes.text(
                    (x + 0.5) * step,
                    (y + 0.5) * step,
                    str(count),
                    fontsize=size,
                    ha="center",
                    va="center_baseline",
                    color=style.ON_DARK if count / most > 0.5 else style.ON_LIGHT,
                )


def _frames(axes: Axes, kernel: Box, after: Sequence[Box], points: float) -> None:
    """Draw the frame of the kernel around its positions, the others on theirs."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    out = (_FRAME_WIDTH / 2 + _THIN) / points
    corner = (kernel.left - out, kernel.top - out)
    thick = Rectangle(corner, kernel.width + 2 * out, kernel.height + 2 * out, fill=False, label="kernel")
    thick.set(edgecolor=_FRAME, linewidth=_FRAME_WIDTH, zorder=4)
    thick.set_path_effects([withStroke(linewidth=_FRAME_WIDTH + 2 * _THIN, foreground="white")])
    axes.add_patch(thick)
    apart = thinned(sorted(box.width + box.height for box in after), _APART / points)
    for box in (box for box in after if box.width + box.height in apart):
        thin = Rectangle((box.left, box.top), box.width, box.height, fill=False, label="after a layer")
        thin.set(edgecolor="black", linewidth=_THIN, zorder=3)
        thin.set_path_effects([withStroke(linewidth=3 * _THIN, foreground="white")])
        axes.add_patch(thin)


def _lines(variant: Variant, of: int) -> list[str]:
    """The name, the windows after each layer, and how many of the kernel's positions are covered."""
    fields = [layer.receptive_field for layer in variant.layers if layer.type.startswith("Conv")]
    sizes = list(dict.fromkeys(units.shape(field.size) for field in fields if field is not None))
    if len(sizes) > 3:
        sizes = [*sizes[:2], "…", sizes[-1]]
    seen = variant.coverage.positions if variant.coverage is not None else of
    return [style.wrapped(variant.name, 24), ", ".join(sizes), f"{seen:,} of {of:,} positions"]


_CROSS: style.Properties = {"color": style.QUIET, "marker": "x", "markersize": 3.0, "markeredgewidth": 0.5}


def _scale(figure: FigureBase, panels: Sequence[Axes]) -> None:
    from matplotlib.lines import Line2D

    bar = figure.colorbar(panels[0].images[0], ax=panels, location="bottom", aspect=45, shrink=0.9, pad=0.02)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0%", "25%", "50%", "75%", "100%"])
    bar.set_label("paths from a position, as a share of the most from any")
    bar.outline.set_linewidth(0.5)
    handles: list[Line2D] = [
        Line2D([], [], color=_FRAME, linewidth=_FRAME_WIDTH, label="the kernel's window"),
        Line2D([], [], color="black", linewidth=_THIN, label="after a layer"),
        Line2D([], [], linestyle="", label="not covered", **_CROSS),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
