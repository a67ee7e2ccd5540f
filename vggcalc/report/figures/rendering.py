"""Figures rendered as SVG, PNG and PDF: the same bytes for the same report."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from vggcalc.errors import InputError
from vggcalc.report.figures import style
from vggcalc.report.figures.picture import Figure
from vggcalc.report.figures.selection import figures
from vggcalc.results import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

#: Inches that a title takes above its figure.
_TITLE = 0.22

#: That fit a line of title.
_CHARACTERS = 50


def require() -> None:
    """Raise `InputError` where matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise InputError(f"figures need matplotlib ({error}): pip install matplotlib") from None
    except ValueError as error:  # such as a backend in MPLBACKEND that it does not know
        raise InputError(f"figures need matplotlib, which does not start: {error}") from None


def render(drawn: Sequence[Figure], suffix: str) -> bytes:
    """The figures as one SVG, PNG or PDF."""
    return RENDERERS[suffix](drawn)


def svg(report: Report) -> list[tuple[str, str, str]]:
    """Title, caption and `<svg>` element of each figure; all of them may stand on one page.

    Raises `InputError` where matplotlib is missing.
    """
    require()
    return [
        (figure.title, figure.caption, _element(figure, f"figure{number}-"))
        for number, figure in enumerate(figures(report), 1)
    ]


def _element(figure: Figure, prefix: str) -> str:
    """The `<svg>` element alone: no style that other elements would meet, no id but with the prefix.

    Its colours are those of the page's CSS properties, where it has them.
    """
    document = _svg([figure], titled=False)
    element = re.sub(r"\s*<(metadata|defs)>\s*<(rdf:RDF|style).*?</\1>", "", document, flags=re.DOTALL)
    element = element[element.index("<svg ") :]
    needed = set(re.findall(r'(?:href="|url\()#([^")]+)', element))
    element = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in needed else "", element)
    element = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}", element)
    element = re.sub(r"(?<=: )(#[0-9a-f]{6})\b", _on_a_page, element)
    style_ = f"stroke-linejoin: round; fill: {_on_a_page('#000000')}"
    attributes = f'role="img" aria-label="{escape(figure.caption)}" style="{style_}"'
    return element.replace("<svg ", f"<svg {attributes} ", 1).rstrip()


def _on_a_page(colour: str | re.Match[str]) -> str:
    """A colour of the style as the page's."""
    text = colour if isinstance(colour, str) else colour[1]
    return f"var({style.ON_A_PAGE[text]}, {text})" if text in style.ON_A_PAGE else text


def _column(drawn: Sequence[Figure], titled: bool) -> Canvas:
    """The figures under each other on one canvas."""
    from matplotlib.figure import Figure as Canvas

    heights = [inches for figure in drawn for inches in ((_TITLE, figure.height) if titled else (figure.height,))]
    canvas = Canvas(figsize=(style.WIDTH, sum(heights)), layout="constrained")
    places = canvas.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for figure, place in zip(drawn, places[1::2] if titled else places, strict=True):
        figure.draw(place)
    for figure, place in zip(drawn, places[::2] if titled else (), strict=titled):
        place.text(
            0.015,
            0.2,
            style.cut(figure.title, _CHARACTERS),
            fontsize=style.SIZE + 1,
            fontweight="bold",
        )
    _settle(canvas)
    return canvas


def _settle(canvas: Canvas) -> None:
    """Lay it out once and for all, without the solver's last digits, which differ from run to run."""
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    for place in canvas.subfigs:
        place.bbox_relative.set_points(place.bbox_relative.get_points().round(6))
    for axes in canvas.axes:
        left, bottom, width, height = (round(end, 6) for end in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def _svg(drawn: Sequence[Figure], titled: bool = True) -> str:
    file = io.StringIO()
    with style.drawing(**{"svg.hashsalt": "vggcalc"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        _column(drawn, titled).savefig(file, format="svg", metadata=nothing)
    return file.getvalue()


def _png(drawn: Sequence[Figure]) -> bytes:
    file = io.BytesIO()
    with style.drawing():
        _column(drawn, True).savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _pdf(drawn: Sequence[Figure]) -> bytes:
    from matplotlib.backends.backend_pdf import PdfPages

    file = io.BytesIO()
    with style.drawing():
        nothing = dict.fromkeys(("Creator", "Producer", "CreationDate"))
        with PdfPages(file, metadata=nothing) as pages:
            for figure in drawn:
                pages.savefig(_column([figure], True))
    return file.getvalue()


#: By the suffix of a file's name.
RENDERERS: dict[str, Callable[[Sequence[Figure]], bytes]] = {
    "svg": lambda drawn: _svg(drawn).encode(),
    "png": _png,
    "pdf": _pdf,
}
