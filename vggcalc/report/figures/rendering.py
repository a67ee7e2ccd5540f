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


def render(drawn: Sequence[Figure], suffix: str, width: float = style.WIDTH) -> bytes:
    """A figure as SVG or PNG, figures as a PDF with a page for each; `width` is in inches."""
    return RENDERERS[suffix](drawn, width)


def svg(report: Report) -> list[tuple[str, str, str]]:
    """Title, caption and `<svg>` element of each figure; all of them may stand on one page.

    Raises `InputError` where matplotlib is missing.
    """
    return elements(figures(report))


def elements(drawn: Sequence[Figure], width: float = style.WIDTH) -> list[tuple[str, str, str]]:
    """Title, caption and `<svg>` element of each of these."""
    require()
    return [
        (figure.title, figure.caption, _element(figure, width, f"figure{number}-"))
        for number, figure in enumerate(drawn, 1)
    ]


def _element(figure: Figure, width: float, prefix: str) -> str:
    """The `<svg>` element alone: no style that other elements would meet, no id but with the prefix.

    Its colours are those of the page's CSS properties, where it has them.
    """
    document = _svg(figure, width, titled=False)
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


def _canvas(figure: Figure, width: float, titled: bool) -> Canvas:
    """The figure on a canvas, under its title."""
    from matplotlib.figure import Figure as Canvas

    height, draw = figure.layout(width)
    heights = [_TITLE, height] if titled else [height]
    canvas = Canvas(figsize=(width, sum(heights)), layout="constrained")
    *above, place = canvas.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    draw(place)
    for line in above:
        text = style.cut(figure.title, int(_CHARACTERS * width / style.WIDTH))
        line.text(0.015, 0.2, text, fontsize=style.SIZE + 1, fontweight="bold")
    _settle(canvas)
    return canvas


def _settle(canvas: Canvas) -> None:
    """Lay it out once and for all, without the solver's last digits, which differ from run to run."""
    engine = canvas.get_layout_engine()
    assert engine is not None
    engine.execute(canvas)
    canvas.set_layout_engine("none")
    for place in canvas.subfigs:
        place.bbox_relative.set_points(place.bbox_relative.get_points().round(6))
    for axes in canvas.axes:
        left, bottom, width, height = (round(end, 6) for end in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def _svg(figure: Figure, width: float, titled: bool = True) -> str:
    from matplotlib import rcParams
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.StringIO()
    with style.drawing(**{"svg.hashsalt": "vggcalc"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas = _canvas(figure, width, titled)
        canvas.set_dpi(rcParams["savefig.dpi"])  # of images in it
        picture = FigureCanvasSVG(canvas)  # `savefig` would draw all of it twice
        picture.print_svg(file, metadata=nothing)  # type: ignore[no-untyped-call]
    return file.getvalue()


def _png(figure: Figure, width: float) -> bytes:
    file = io.BytesIO()
    with style.drawing():
        _canvas(figure, width, True).savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _pdf(drawn: Sequence[Figure], width: float) -> bytes:
    from matplotlib.backends.backend_pdf import PdfPages

    file = io.BytesIO()
    with style.drawing():
        nothing = dict.fromkeys(("Creator", "Producer", "CreationDate"))
        with PdfPages(file, metadata=nothing) as pages:
            for figure in drawn:
                pages.savefig(_canvas(figure, width, True))
    return file.getvalue()


#: By the suffix of a file's name; all but a PDF take one figure.
RENDERERS: dict[str, Callable[[Sequence[Figure], float], bytes]] = {
    "svg": lambda drawn, width: _svg(drawn[0], width).encode(),
    "png": lambda drawn, width: _png(drawn[0], width),
    "pdf": _pdf,
}
