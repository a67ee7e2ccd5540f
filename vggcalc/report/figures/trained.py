"""A trained kernel between its strongest channels, what each factorization makes of it, and the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vggcalc.report import units
from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure, Layout
from vggcalc.results import ChannelPair, Comparison, FittedKernel, Report, TrainedKernel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: From dark for the lowest weight to light for the highest, so that signs are told apart in grey too; Nuñez, Anderton
#: and Renslow (2018, doi 10.1371/journal.pone.0199239).
_WEIGHT_COLOURS = "cividis"

#: Inches: the names of the rows, a column that sets two pairs apart, around every panel, the headings, and the scale.
_ROW_NAMES, _APART_BY, _AROUND_PANEL, _HEADINGS, _WEIGHT_SCALE = 0.75, 0.01, 0.1, 0.3, 0.5

#: Characters of a line of a row's name.
_ROW_CHARACTERS = 14

WindowRows = Sequence[Sequence[float]]


def trained_figures(report: Report, styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """One for each trained kernel that was factorized."""
    for comparison in report.comparisons:
        if comparison.trained is not None:
            yield _kernels(comparison, comparison.trained)


def _kernels(comparison: Comparison, trained: TrainedKernel) -> Figure:
    """A row for each variant, and for each channel pair what it makes of the kernel beside the difference."""
    fits = {variant.name: variant.fitted for variant in comparison if variant.fitted is not None}
    own = fits[comparison.baseline].windows
    largest = [max(abs(weight) for row in window for weight in row) or 1.0 for window in own]

    def layout(width: float) -> Layout:
        pairs = len(own)
        side = (width - _ROW_NAMES - 3 * pairs * _AROUND_PANEL) / (2 * pairs)
        heights = [side * max(len(window) / len(window[0]) for window in own)] * len(fits)
        lines = [_row_name(name, one).count("\n") + 1 for name, one in fits.items()]
        heights = [max(high, 0.8 * style.LINE * most) for high, most in zip(heights, lines, strict=True)]

        def draw(figure: FigureBase) -> None:
            columns = [_ROW_NAMES, *([side, side, _APART_BY] * pairs)[:-1]]
            grid = figure.subplots(len(fits), len(columns), squeeze=False, width_ratios=columns, height_ratios=heights)
            for axes in grid.ravel():
                axes.set_axis_off()
            for (name, fitted), row in zip(fits.items(), grid, strict=True):
                row[0].text(0, 0.5, _row_name(name, fitted), fontsize=style.SMALL, va="center", linespacing=1.15)
                for i, (window, of, most) in enumerate(zip(fitted.windows, own, largest, strict=True)):
                    _window(row[1 + 3 * i], window, most)
                    if name != comparison.baseline:
                        _window(row[2 + 3 * i], _less(window, of), most)
            grid[0, 0].set_title("channels", fontsize=style.SMALL)
            for i, pair in enumerate(trained.pairs):
                grid[0, 1 + 3 * i].set_title(_pair_in_words(pair), fontsize=style.SMALL, linespacing=1.15)
                if len(grid) > 1:
                    grid[1, 2 + 3 * i].set_title("diff.", fontsize=style.SMALL)
            bar = figure.colorbar(grid[0, 1].images[0], ax=grid, location="bottom", aspect=45, shrink=0.8, pad=0.02)
            bar.set_ticks([-1, -0.5, 0, 0.5, 1], labels=["−1", "−0.5", "0", "0.5", "1"])
            bar.set_label("weight, by the largest of the kernel between the same channels")
            bar.outline.set_linewidth(0.5)

        return Layout(sum(heights) + len(heights) * _AROUND_PANEL + _HEADINGS + _WEIGHT_SCALE, draw)

    planes = (
        "; of its planes along the first axis the one with most energy" if trained.pairs[0].plane is not None else ""
    )
    caption = (
        f"{trained.key} between the channels that hold most of its energy{planes}, and the kernel that each "
        "factorization's nearest weights compose to without activations, with the share of the whole kernel's energy "
        "that it explains. Beside each the difference, what it makes less the kernel."
    )
    return Figure("kernel", f"What is left of {trained.key}", caption, layout)


def _row_name(name: str, fitted: FittedKernel) -> str:
    return f"{style.wrapped(name, _ROW_CHARACTERS)}\n{units.share(fitted.energy)}"


def _pair_in_words(pair: ChannelPair) -> str:
    return f"{pair.in_channel} → {pair.out_channel}"


def _less(window: WindowRows, of: WindowRows) -> list[list[float]]:
    return [[one - other for one, other in zip(*rows, strict=True)] for rows in zip(window, of, strict=True)]


def _window(axes: Axes, window: WindowRows, largest: float) -> None:
    """The weights by the largest; beyond it they look like it."""
    shares = [[weight / largest for weight in row] for row in window]
    axes.imshow(shares, cmap=_WEIGHT_COLOURS, vmin=-1, vmax=1, interpolation="none")
