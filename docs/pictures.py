"""Writes the pictures of the terminal in docs/images, light and dark, for the README and the site.

    python docs/pictures.py

Each shows what its command prints. What a command counts it counts here; what was measured stands in a document that
`vggcalc … --output docs/images/NAME.json` wrote, so that a picture changes only when the tables do.
tests/test_pictures.py compares the files with what this would write.
"""

import io
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from vggcalc.pipeline.report import make_report
from vggcalc.report.formats import FORMATS, Screen
from vggcalc.results import Report

IMAGES = Path(__file__).parent / "images"

COLUMNS = 80


class Picture(NamedTuple):
    """A command; the measured document that it printed, if it measures; and how many of its lines are shown."""

    command: str
    document: str | None = None
    lines: int | None = None


PICTURES = {
    "factorize-7": Picture("vggcalc factorize 7", document="factorize-7.json"),
    "factorize-5-7-9-11": Picture("vggcalc factorize 5 7 9 11 --no-latency", lines=16),
    "compare-vgg16": Picture("vggcalc compare vgg16 --no-latency"),
}

#: Background, text, and the eight colours of a terminal: black, red, green, yellow, blue, magenta, cyan, white.
THEMES = {
    "light": TerminalTheme(
        (255, 255, 255),
        (31, 35, 40),
        [
            (31, 35, 40), (207, 34, 46), (17, 99, 41), (125, 78, 0), (9, 105, 218), (130, 80, 223), (5, 90, 110),
            (110, 119, 129),
        ],
    ),
    "dark": TerminalTheme(
        (13, 17, 23),
        (230, 237, 243),
        [
            (72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255),
            (86, 212, 221), (177, 186, 196),
        ],
    ),
}  # fmt: skip

#: The frame of the window, which shows on either background.
FRAME = "#8c959f"

#: Rich's own template asks a server for a font, which a picture on a page may not.
TEMPLATE = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{
  font-family: "Fira Code", ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def printed(picture: Picture) -> list[str]:
    """The lines that the command prints, with the codes of their colours."""
    if picture.document is not None:
        document = (IMAGES / picture.document).read_bytes()
    else:
        command = [sys.executable, "-m", *picture.command.split(), "--json"]
        document = subprocess.run(command, check=True, capture_output=True).stdout
    read = msgspec.json.decode(document, type=Report)
    report = make_report(read.command, read.comparisons, read.environment)  # its sentences as they are made today
    lines = FORMATS["table"](report, Screen(COLUMNS, colour=True)).rstrip().splitlines()
    return lines if picture.lines is None else [*lines[: picture.lines], "…"]


def drawn(picture: Picture, theme: TerminalTheme, name: str) -> str:
    """The terminal as SVG."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, _environ={})
    console.print(Text(f"$ {picture.command}", style="bold"))
    for line in printed(picture):
        console.print(Text.from_ansi(line), soft_wrap=True)
    svg = console.export_svg(title="", theme=theme, code_format=TEMPLATE, unique_id=name)
    svg = svg.replace("rgba(255,255,255,0.35)", FRAME)
    return "".join(f"{line.strip()}\n" for line in svg.splitlines() if line.strip())


def pictures() -> dict[Path, str]:
    """The content of every file that there should be."""
    return {
        IMAGES / f"{name}-{theme}.svg": drawn(picture, colours, f"{name}-{theme}")
        for name, picture in PICTURES.items()
        for theme, colours in THEMES.items()
    }


if __name__ == "__main__":
    for path, text in pictures().items():
        path.write_text(text, encoding="utf-8")
