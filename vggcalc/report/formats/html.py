"""One page that holds everything: tables to sort, figures, the JSON. It loads nothing."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from itertools import count
from string import Template

from vggcalc.errors import InputError
from vggcalc.report import units
from vggcalc.report.escape import html_text, visible
from vggcalc.report.formats.html_table import table
from vggcalc.report.tables.cells import Section, Table, heading
from vggcalc.report.tables.latency import timings
from vggcalc.report.tables.networks import at_a_glance, network_tables
from vggcalc.results import Comparison, Environment, Report

_PAGE = resources.files("vggcalc.report.formats") / "templates"


def html(report: Report, document: str) -> str:
    """The page: what was read from the numbers first, then every table with every column, figures, and
    `document`, the report as JSON.
    """
    script = _file("script.js")
    numbers = count(1)
    chapters = list(_chapters(report, numbers))
    names = ", ".join(comparison.name for comparison in report.comparisons)
    return Template(_file("page.html")).substitute(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        title=html_text(f"{names}: vggcalc {report.command}"),
        style=_file("style.css"),
        script=script,
        command=html_text(report.command),
        heading=html_text(names),
        subject=html_text(_subject(report)),
        facts="\n".join(_pair(term, value) for term, value in _facts(report)),
        file=html_text(_file_name(report)),
        size=html_text(units.size(len(document.encode()))),
        contents="\n".join(f'<li><a href="#{name}">{html_text(title)}</a></li>' for name, title, _ in chapters),
        main="\n".join(_section(*chapter) for chapter in chapters),
        version=html_text(report.vggcalc_version),
        json=document.replace("<", "\\u003c"),  # only strings have one: no end tag, no comment
    )


def fragment(comparison: Comparison) -> str:
    """A comparison's tables and findings as HTML for a notebook, with their own style and no script."""
    found = network_tables(comparison) + timings(comparison)
    content = _reading(comparison) + _sections(found, count(1))
    style = (
        ".vggcalc table{border-collapse:collapse;margin:.5em 0}.vggcalc td,.vggcalc th{padding:.1em .6em;"
        "text-align:left}.vggcalc .right{text-align:right;font-variant-numeric:tabular-nums}"
        ".vggcalc tr.ruled>*{border-top:1px solid #8888}.vggcalc .strong{font-weight:bold}"
        ".vggcalc .quiet,.vggcalc .again{opacity:.6}.vggcalc caption{text-align:left;font-weight:bold}"
    )
    return f'<div class="vggcalc"><style>{style}</style>\n{content}\n</div>'


def _section(name: str, title: str, content: str) -> str:
    head = f'<h2 id="{name}-title">{html_text(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{head}\n{content}\n</section>'


def _file(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """The one script that the page may run, as its Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _file_name(report: Report) -> str:
    words = [report.command, *(comparison.name for comparison in report.comparisons)]
    return "-".join(re.sub(r"[^\w.]+", "-", word).strip("-.") for word in words)[:100] + ".json"


def _subject(report: Report) -> str:
    """Under the heading: what is compared with what."""
    baseline, *others = dict.fromkeys(
        variant.name for comparison in report.comparisons for variant in comparison.variants
    )
    if not any(comparison.ratios for comparison in report.comparisons):
        return "layer by layer"
    return f"{baseline} against {', '.join(others) if len(others) <= 5 else f'{len(others)} variants'}"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    """What the whole page holds for."""
    inputs = dict.fromkeys(units.shape(comparison.input_shape) for comparison in report.comparisons)
    yield "input", ", ".join(inputs)
    yield "dtype", ", ".join(dict.fromkeys(comparison.dtype for comparison in report.comparisons))
    yield "vggcalc", report.vggcalc_version
    if report.environment is not None:
        devices = [device.model for device in report.environment.devices if device.name != "cpu"]
        yield "measured on", ", ".join([report.environment.cpu, *devices])


def _chapters(report: Report, numbers: Iterator[int]) -> Iterator[tuple[str, str, str]]:
    """Each chapter's id, title and content."""
    glance = at_a_glance(report.comparisons)
    if glance:
        yield "overview", "At a glance", _sections(glance, numbers)
    for i, comparison in enumerate(report.comparisons, start=1):
        found = network_tables(comparison) + timings(comparison)
        title = comparison.name if len(report.comparisons) > 1 else "Results"
        yield f"comparison-{i}", title, _reading(comparison) + _sections(found, numbers)
    if report.against is not None:
        from vggcalc.report.tables.changes import sections

        yield "changes", "Changes", _sections(sections(report), numbers)
    drawn = _figures(report)
    if drawn:
        yield "figures", "Figures", drawn
    yield "conventions", "Conventions", _list((heading(key), said) for key, said in report.conventions.items())
    if report.environment is not None:
        yield "environment", "Environment", _list(_surroundings(report.environment))


def _reading(comparison: Comparison) -> str:
    notes = "\n".join(f"<li>{html_text(note.text)}</li>" for note in comparison.findings)
    return f'<ul class="reading">\n{notes}\n</ul>\n' if notes else ""


def _figures(report: Report) -> str:
    """What matplotlib draws, or how to get it."""
    from vggcalc.report.figures import svg

    try:
        drawn = svg(report)
    except InputError as error:  # matplotlib is missing
        return f"<p>There are none here: {html_text(str(error))}</p>"
    return "\n".join(
        f'<figure id="figure-{i}">\n{_seen(element)}\n'
        f"<figcaption><b>{html_text(title)}</b> {html_text(caption)}</figcaption>\n</figure>"
        for i, (title, caption, element) in enumerate(drawn, start=1)
    )


def _seen(element: str) -> str:
    """A drawing, whose labels may hold what a name from outside holds."""
    return "\n".join(visible(line) for line in element.split("\n"))


def _surroundings(environment: Environment) -> Iterator[tuple[str, str]]:
    for name in environment.__struct_fields__:
        value = getattr(environment, name)
        if name != "devices" and value is not None:
            yield name.replace("_", " "), f"{value:.2f}" if isinstance(value, float) else str(value)
    for device in environment.devices:
        details = [f"{key.replace('_', ' ')} {value}" for key, value in device.details.items()]
        yield f"device {device.name}", ", ".join([device.model, *details])


def _list(pairs: Iterable[tuple[str, str]]) -> str:
    lines = "\n".join(_pair(term, value) for term, value in pairs)
    return f'<dl class="terms">\n{lines}\n</dl>'


def _pair(term: str, value: str) -> str:
    said = re.sub(r"`([^`]+)`", r"<code>\1</code>", html_text(value))
    return f"<div><dt>{html_text(term)}</dt><dd>{said}</dd></div>"


def _sections(sections: Sequence[Section], numbers: Iterator[int]) -> str:
    parts = []
    for section in sections:
        if isinstance(section, Table):
            parts.append(table(section, f"table-{next(numbers)}"))
        else:
            quiet = ' class="quiet"' if section.quiet else ""
            parts += [f"<p{quiet}>{html_text(line)}</p>" for line in section.lines]
    return "\n".join(parts)
