"""How the energy of a unit's gradient is spread over the squares around the middle of its receptive field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure, Layout
from vggcalc.results import Comparison, EffectiveReceptiveField, Report

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

#: Inches: the panel with its axis and labels.
_PANEL_AND_LABELS = 2.4

#: The shares whose sides the table says.
_MARKED = (0.5, 0.95)


def effective_figures(report: Report, styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """One for each comparison of which a variant's gradient was looked at."""
    for comparison in report.comparisons:
        found = {variant.name: variant.effective for variant in comparison.variants if variant.effective is not None}
        if found:
            yield _energies(comparison, found, {name: styles[name] for name in found})


def _energies(
    comparison: Comparison, found: Mapping[str, EffectiveReceptiveField], shown: Mapping[str, style.Style]
) -> Figure:
    """A line for each variant with its interval as a band, and where its theoretical field ends."""

    def draw(figure: FigureBase, width: float) -> None:
        axes = figure.subplots()
        for share in _MARKED:
            axes.axhline(share, color=style.QUIET, linewidth=0.6, linestyle=(0, (4, 2)))
            axes.annotate(
                f"{share:.0%}", (1, share), (-2, 1), ("axes fraction", "data"), textcoords="offset points",
                ha="right", va="bottom", fontsize=style.SMALL, color=style.QUIET,
            )  # fmt: skip
        for name, one in found.items():
            how = shown[name]
            axes.plot(one.sides, one.shares, label=name, **how.properties)
            if one.shares_ci95 is not None:
                low, high = zip(*one.shares_ci95, strict=True)
                axes.fill_between(one.sides, low, high, color=how.colour, alpha=0.2, linewidth=0)
            if one.theoretical is not None:
                axes.axvline(max(one.theoretical), color=how.colour, linewidth=0.8, linestyle=how.line)
        axes.set_xlabel("side in input positions")
        style.label_y(axes, "share of the gradient's energy within", width)
        axes.set_ylim(0, 1.04)
        axes.set_xlim(left=0)
        if len(shown) > 1:
            style.key(figure, shown, width)

    samples = max(one.samples for one in found.values())
    caption = (
        f"Effective receptive field in {comparison.name}: the share of one unit's squared gradient that lies within so "
        f"many input positions around the middle of its field, over {samples} random inputs, with its 95% interval. "
        "An upright line is the theoretical receptive field."
    )

    def layout(width: float) -> Layout:
        height = _PANEL_AND_LABELS + (style.key_height(list(shown), width) if len(shown) > 1 else 0)
        return Layout(height, lambda figure: draw(figure, width))

    return Figure("effective-field", f"Effective receptive field in {comparison.name}", caption, layout)
