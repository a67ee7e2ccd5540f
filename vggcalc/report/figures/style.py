"""The style of all figures: the width of a paper's column, fonts and colours.

No series is told by its colour alone: each has a marker and a line of its own. The colours are those
of Okabe and Ito (2008), which every kind of colour vision tells apart, and three more. matplotlib is
imported where something is drawn and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

import msgspec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: Inches: a column of a paper with two, and from which width on panels stand beside each other.
WIDTH, WIDE = 3.5, 5.0

#: How something is drawn, as matplotlib's arguments.
Properties = dict[str, Any]

#: Points: the type of labels, and of what steps back.
SIZE, SMALL = 7.0, 6.0

#: Inches that one line of type takes, and on average one character.
LINE, CHARACTER = 0.135, 0.056

QUIET = "#666666"

#: Text on grounds that are dark or light whatever the page is.
ON_DARK, ON_LIGHT = "#fefefe", "#010101"
GRID = "#dddddd"

_RC: Properties = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": SIZE,
    "text.parse_math": False,
    "axes.labelsize": SIZE,
    "axes.titlesize": SIZE,
    "axes.titlelocation": "left",
    "axes.titlepad": 3.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.3,
    "legend.borderaxespad": 0.2,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.6,
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


@contextmanager
def drawing(**rc: Any) -> Iterator[None]:
    """Matplotlib's defaults and this style, whatever the user's own settings are."""
    from matplotlib import style

    with style.context(["default", _RC | rc]), catch_warnings():
        filterwarnings("ignore", "Glyph .* missing from font")  # a name of the user's, and only its letters
        yield


class Style(msgspec.Struct, frozen=True):
    """How one series is drawn."""

    colour: str
    marker: str
    line: str | tuple[float, tuple[float, ...]]
    marker_size: float
    filled: bool = True

    def hollow(self, hollow: bool = True) -> Style:
        """The marker alone, and where it is `hollow` only its outline."""
        return msgspec.structs.replace(self, line="", filled=not hollow)

    def bar(self, hollow: bool) -> Style:
        """A square, as a key of bars has it."""
        return msgspec.structs.replace(self, line="", marker="s", filled=not hollow)

    @property
    def properties(self) -> Properties:
        """The properties of a matplotlib `Line2D` with markers."""
        inside = {"markeredgecolor": "white", "markeredgewidth": 0.3}
        outline = {"markerfacecolor": "white", "markeredgecolor": self.colour, "markeredgewidth": 0.8}
        return {
            "color": self.colour, "marker": self.marker, "linestyle": self.line, "markersize": self.marker_size,
        } | (inside if self.filled else outline)  # fmt: skip


_COLOURS = (
    "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777", "#882255",
    "#999933", "#332288",
)  # fmt: skip
#: CSS properties that give these colours on a page, which may be dark; see templates/style.css.
ON_A_PAGE = {"#000000": "--ink", "#ffffff": "--sheet", QUIET: "--quiet", GRID: "--rule"} | {
    colour.lower(): f"--series-{i}" for i, colour in enumerate(_COLOURS) if i
}

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">", "h")
_LINES: tuple[str | tuple[float, tuple[float, ...]], ...] = (
    "-", "--", ":", "-.", (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 0.7)),
)  # fmt: skip


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name, by its place among them: the first, the baseline, is black.

    Markers get smaller, so that of several at one place each shows behind the next.
    """
    return {
        name: Style(
            _COLOURS[i % len(_COLOURS)],
            _MARKERS[i % len(_MARKERS)],
            _LINES[i % len(_LINES)],
            max(5.0 - 0.2 * i, 3.4) * (1.4 if _MARKERS[i % len(_MARKERS)] in "*XP" else 1.0),
        )
        for i, name in enumerate(dict.fromkeys(names))
    }


def label_y(axes: Axes, text: str, width: float) -> None:
    """The label of the vertical axis above a panel `width` inches wide, where it is read without turning the head."""
    axes.set_ylabel(fill(text, int(0.85 * width / CHARACTER)), rotation=0, ha="left", va="bottom")
    axes.yaxis.set_label_coords(0.0, 1.02)


def key_columns(names: Sequence[str], width: float) -> int:
    """How many columns of a key fit the width."""
    longest = max(len(name) for name in names)
    return max(1, min(len(names), int(4 * width / WIDTH), int(width / (longest * CHARACTER * SMALL / SIZE + 0.5))))


def key_height(names: Sequence[str], width: float) -> float:
    """Inches that the key of these takes."""
    return LINE * ceil(len(names) / key_columns(names, width)) + 0.08


def key(figure: FigureBase, names: Mapping[str, Style], width: float, bold: Collection[str] = ()) -> None:
    """The legend of all series above all panels, where it covers no data; the names in `bold` are bold."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=name, **style.properties) for name, style in names.items()]
    legend = figure.legend(handles=handles, loc="outside upper left", ncols=key_columns(list(names), width))
    for text in legend.get_texts():
        text.set_fontweight("bold" if text.get_text() in bold else "normal")


def cut(name: str, most: int = 18) -> str:
    """A name cut to `most` characters."""
    return name if len(name) <= most else name[: most - 1] + "…"


def wrapped(name: str, most: int) -> str:
    """A name broken after its hyphens or colons where it is longer than `most` characters."""
    lines = [""]
    for part in name.replace("-", "-\n").replace(":", ":\n").split("\n"):
        if lines[-1] and len(lines[-1]) + len(part) > most:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)
