"""Networks side by side, block by block: the layers as boxes, and bars of what the blocks cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from vggcalc.report.blocks import Drawing, DrawnBlock, LayerBox, drawing_of
from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure, Layout
from vggcalc.report.tables.kernels import is_kernel
from vggcalc.results import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: Inches: a box with what is between two, what is between two blocks, and the column of the blocks' names.
_BOX, _GAP, _NAME_COLUMN = 0.18, 0.14, 0.85

#: Inches: a bar, what is between two blocks of bars, their axis, and the key or names above.
_BAR, _BETWEEN_BARS, _BARS_AXIS = 0.12, 0.06, 0.4

#: More variants do not fit beside each other.
_MOST_BESIDE = 3

#: The ground of the boxes: of the baseline, then of the others; they differ in grey too.
_GROUNDS = ("#eeeeee", "#cfe3f5", "#e3d3ea")


def block_bar_figures(report: Report, styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """Bars of each block of one network, with a factorization of it or alone."""
    drawing = drawing_of(report.comparisons)
    if drawing is not None and not is_kernel(report.comparisons[0]) and len(_real_blocks(drawing)) > 1:
        yield block_bars(report.comparisons[0].name, drawing, styles)


def architecture_figures(report: Report, styles: Mapping[str, style.Style]) -> Iterator[Figure]:
    """The layers of one network or kernel, with those of its factorization beside them."""
    drawing = drawing_of(report.comparisons)
    if drawing is None or len(report.comparisons) > 1 or len(drawing.variants) > _MOST_BESIDE:
        return
    if sum(len(line.boxes) for block in _real_blocks(drawing) for line in block.lines) > 1:
        yield architecture(report.comparisons[0].name, drawing)


def _real_blocks(drawing: Drawing) -> list[DrawnBlock]:
    return [block for block in drawing.blocks if not block.total]


def block_bars(name: str, drawing: Drawing, styles: Mapping[str, style.Style]) -> Figure:
    """A panel for each cost, and in each a group of bars for each block."""
    blocks, titles, baseline = _real_blocks(drawing), drawing.headings, drawing.variants[0]

    def draw(figure: FigureBase, width: float) -> None:
        from matplotlib.ticker import MaxNLocator

        from vggcalc.report.figures.ticks import formatter

        row = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        for i, (axes, title) in enumerate(zip(row, titles, strict=True)):
            middles = _bars_of_panel(axes, blocks, i, styles)
            axes.set_title(title)
            axes.tick_params(axis="y", length=0)
            axes.margins(x=0.45)  # for the changes, which stand behind the bars
            axes.set_xlim(left=0)
            axes.grid(False, axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.xaxis.set_major_formatter(formatter("seconds" if i > 1 else "count"))
        row[0].set_yticks(middles, [style.cut(block.name, 14) for block in blocks])
        row[0].invert_yaxis()
        if len(drawing.variants) > 1:
            style.key(figure, {one: styles[one].bar(one == baseline) for one in drawing.variants}, width)

    def layout(width: float) -> Layout:
        lines = sum(len(block.lines) for block in blocks)
        above = style.LINE + (style.key_height(list(drawing.variants), width) if len(drawing.variants) > 1 else 0)
        height = lines * _BAR + len(blocks) * _BETWEEN_BARS + _BARS_AXIS + above
        return Layout(height, lambda figure: draw(figure, width))

    change = f"; behind the bars the change from {baseline}" if len(drawing.variants) > 1 else ""
    caption = f"What the blocks of {name} cost, on linear axes from 0{change}."
    return Figure("blocks", f"Costs of {name}, block by block", caption, layout)


def _filling(how: style.Style, hollow: bool) -> style.Properties:
    """Of a bar: the baseline's is hollow, which can be told in grey too."""
    return {"facecolor": "white" if hollow else how.colour, "edgecolor": how.colour}


def _bars_of_panel(axes: Axes, blocks: list[DrawnBlock], i: int, styles: Mapping[str, style.Style]) -> list[float]:
    """Draw the bars of one cost. Returns where the middle of each block is."""
    at, middles = 0.0, []
    for block in blocks:
        first = block.lines[0] if len(block.lines) > 1 else None
        for line in block.lines:
            bar = line.bars[i]
            if bar.value is not None:
                axes.barh(
                    at,
                    bar.value,
                    height=0.8,
                    label=line.variant,
                    linewidth=0.6,
                    **_filling(styles[line.variant], line is first),
                )
                axes.annotate(
                    bar.change, (bar.value, at), (1.5, 0), textcoords="offset points", va="center",
                    fontsize=style.SMALL - 1,
                )  # fmt: skip
            at += 1
        middles.append(at - (len(block.lines) + 1) / 2)
        at += _BETWEEN_BARS / _BAR
    return middles


def architecture(name: str, drawing: Drawing) -> Figure:
    """A column of boxes for each variant, whose blocks stand beside each other."""
    blocks = [block for block in _real_blocks(drawing) if any(line.boxes for line in block.lines)]
    high = [max(len(line.boxes) for line in block.lines) for block in blocks]

    def draw(figure: FigureBase, width: float, height: float) -> None:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        column = (width - _NAME_COLUMN) / len(drawing.variants)
        for i, variant in enumerate(drawing.variants):
            middle = _NAME_COLUMN + (i + 0.45) * column
            axes.text(middle, _BOX / 2, style.cut(variant, int(column / style.CHARACTER)), ha="center", va="center",
                      fontweight="bold")  # fmt: skip
        top = _BOX + _GAP / 2
        for block, boxes in zip(blocks, high, strict=True):
            bottom = top + boxes * _BOX
            axes.text(0, (top + bottom) / 2, f"{style.cut(block.name, 14)}\n{style.cut(block.output, 14)}", va="center",
                      fontsize=style.SMALL, linespacing=1.2)  # fmt: skip
            for i, line in enumerate(block.lines):
                left = _NAME_COLUMN + i * column
                for row, box in enumerate(line.boxes):
                    _layer_box(axes, box, (left, top + row * _BOX), 0.9 * column, _GROUNDS[i])
                if block is not blocks[-1] and line.boxes:
                    _arrow(axes, left + 0.45 * column, top + len(line.boxes) * _BOX, bottom + _GAP)
            top = bottom + _GAP

    def layout(width: float) -> Layout:
        height = _BOX + _GAP / 2 + sum(high) * _BOX + len(blocks) * _GAP
        return Layout(height, lambda figure: draw(figure, width, height))

    caption = (
        f"The convolutions and linear layers of {name} in order, with their kernels and channels; at the left each "
        "block with the shape that it puts out."
    )
    return Figure("architecture", f"Architecture of {name}", caption, layout)


def _layer_box(axes: Axes, box: LayerBox, corner: tuple[float, float], width: float, ground: str) -> None:
    from matplotlib.patches import Rectangle

    x, y = corner
    edge = Rectangle((x, y), width, 0.86 * _BOX, facecolor=ground, edgecolor="black", linewidth=0.5)
    axes.add_patch(edge)
    text = style.cut(f"{box.label}, {box.channels}", int(width / style.CHARACTER))
    axes.text(x + width / 2, y + 0.43 * _BOX, text, ha="center", va="center_baseline", fontsize=style.SMALL,
              color=style.ON_LIGHT)  # fmt: skip


def _arrow(axes: Axes, x: float, top: float, bottom: float) -> None:
    """From one block to the next."""
    axes.annotate(
        "", (x, bottom), (x, top - 0.14 * _BOX),
        arrowprops={
            "arrowstyle": "-|>,head_width=0.12,head_length=0.25", "color": "black", "linewidth": 0.5, "shrinkA": 0,
            "shrinkB": 0,
        },
    )  # fmt: skip
