"""One page that holds everything: tables to sort, figures, the JSON. It loads nothing.

The markup stands in `templates/`, which Jinja2 fills with every name escaped; here is what it is filled with.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from vggcalc.errors import InputError
from vggcalc.report import units
from vggcalc.report.blocks import drawing_of
from vggcalc.report.escape import visible
from vggcalc.report.formats import FORMATS, Screen
from vggcalc.report.tables.cells import Section, Table, heading
from vggcalc.report.tables.fleet import fleet_tables
from vggcalc.report.tables.latency import timings
from vggcalc.report.tables.networks import at_a_glance, network_tables
from vggcalc.results import Environment, Finding, Report

if TYPE_CHECKING:
    from jinja2 import Environment as Templates


class Chapter(msgspec.Struct, frozen=True):
    """A part of the page: findings, tables and sentences, figures with title and caption, or terms with their text."""

    id: str
    title: str
    findings: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    figures: tuple[tuple[str, str, str], ...] = ()
    terms: tuple[tuple[str, str], ...] = ()


def render(report: Report, screen: Screen) -> str:
    """The page: what was found first, then every table with every column, figures, and the JSON document."""
    document = FORMATS["json"](report, screen)
    templates = _templates()
    script = templates.get_template("script.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return templates.get_template("page.html").render(
        report=report,
        heading=", ".join(_comparison_names(report)),
        drawing=drawing_of(report.comparisons),
        subject=_subject(report),
        facts=list(_facts(report)),
        chapters=list(_chapters(report)),
        script=script,
        script_hash=f"sha256-{digest}",  # the one script that the page's Content-Security-Policy lets run
        file=_file_name(report),
        size=units.size(len(document.encode())),
        json=document.replace("<", "\\u003c"),  # only strings have one: no end tag, no comment
        numbers=count(1),
    )


def fragment(report: Report) -> str:
    """The tables and findings of a comparison or a fleet as HTML for a notebook, with their own style and no script."""
    chapter = next(_result_chapters(report))
    drawing = drawing_of(report.comparisons)
    filled = _templates().get_template("fragment.html")
    return filled.render(answer=report.answer, drawing=drawing, chapter=chapter, numbers=count(1))


def figures_html(figures: Sequence[tuple[str, str, str]]) -> str:
    """Figures as they stand on the page, for a notebook: of each the title, the caption and the `<svg>` element."""
    chapter = Chapter("figures", "Figures", figures=tuple(figures))
    return _templates().get_template("fragment.html").render(answer="", drawing=None, chapter=chapter, numbers=count(1))


def table_html(table: Table, id: str) -> str:
    """One table as it stands on the page."""
    module = _templates().get_template("chapter.html").module
    return str(module.table(table, id))  # type: ignore[attr-defined]


@cache
def _templates() -> "Templates":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("vggcalc.report.formats"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # not what is markup already
    )
    templates.globals |= {"widest_last": _widest_last, "sort_of": _sort_of, "next_number": next}
    return templates


def _widest_last(table: Table) -> Table:
    """The columns that the terminal always shows before those that it shows where there is room."""
    return table.with_columns(
        sorted(range(len(table.columns)), key=lambda i: i >= table.keys and table.columns[i].wide)
    )


def _sort_of(table: Table, i: int) -> str | None:
    """How a column is sorted: by its "number", by its "text", or not, where it has several units."""
    column = table.columns[i]
    if not column.right:
        return "text"
    if not column.sortable:
        return None
    return "number" if any(row.cells[i].value is not None for row in table.rows) else "text"


def _file_name(report: Report) -> str:
    words = [report.command, *_comparison_names(report)]
    return "-".join(re.sub(r"[^\w.]+", "-", word).strip("-.") for word in words)[:100] + ".json"


def _comparison_names(report: Report) -> list[str]:
    return [one.name for one in (report.comparisons if report.fleet is None else report.fleet.comparisons)]


def _subject(report: Report) -> str:
    """The line under the heading: what is compared with what."""
    if report.fleet is not None:
        baseline, *others = dict.fromkeys(name for one in report.fleet.comparisons for name in one.variants)
        where = f" on {len(report.fleet.machines)} machines"
    else:
        baseline, *others = dict.fromkeys(variant.name for one in report.comparisons for variant in one.variants)
        where = ""
        if not any(comparison.ratios for comparison in report.comparisons):
            return "layer by layer"
    return f"{baseline} against {', '.join(others) if len(others) <= 5 else f'{len(others)} variants'}{where}"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    """Input, dtype, version and machine, which hold for the whole page."""
    fleet = report.fleet.comparisons if report.fleet is not None else ()
    shapes = [variant.input_shape for one in report.comparisons for variant in one.variants]
    shapes += [one.input_shape for one in fleet]
    yield "input", ", ".join(dict.fromkeys(map(units.shape, shapes)))
    dtypes = [one.dtype for one in report.comparisons] + [one.dtype for one in fleet]
    yield "dtype", ", ".join(dict.fromkeys(dtypes))
    yield "vggcalc", report.vggcalc_version
    if report.environment is not None:
        devices = [device.model for device in report.environment.devices if device.name != "cpu"]
        yield "measured on", ", ".join([report.environment.cpu, *devices])


def _chapters(report: Report) -> Iterator[Chapter]:
    glance = at_a_glance(report.comparisons)
    if glance:
        yield Chapter("overview", "At a glance", sections=tuple(glance))
    yield from _result_chapters(report)
    if report.against is not None:
        from vggcalc.report.tables.changes import sections

        yield Chapter("changes", "Changes", sections=tuple(sections(report)))
    figures = _drawings(report)
    if figures is not None:
        yield figures
    conventions = tuple((heading(key), text) for key, text in report.conventions.items())
    yield Chapter("conventions", "Conventions", terms=conventions)
    if report.environment is not None:
        yield Chapter("environment", "Environment", terms=tuple(_measured_on(report.environment)))
    for i, machine in enumerate(report.fleet.machines if report.fleet is not None else (), start=1):
        yield Chapter(f"machine-{i}", machine.name, terms=tuple(_measured_on(machine.environment)))


def _result_chapters(report: Report) -> Iterator[Chapter]:
    """A chapter for each comparison, or one for all machines."""
    for i, comparison in enumerate(report.comparisons, start=1):
        title = comparison.name if len(report.comparisons) > 1 else "Results"
        sections = network_tables(comparison) + timings(comparison)
        yield Chapter(f"comparison-{i}", title, _texts(comparison.findings), tuple(sections))
    if report.fleet is not None:
        yield Chapter("machines", "Results", _texts(report.fleet.findings), tuple(fleet_tables(report.fleet)))


def _texts(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(finding.text for finding in findings)


#: Figures of what stands at the head of the page already.
_DRAWN_BY_THE_PAGE = ("blocks", "architecture")


def _drawings(report: Report) -> Chapter | None:
    """The figures, or how to install matplotlib; None where there is nothing to draw."""
    from vggcalc.report.figures import elements, figures

    try:
        drawn = elements([figure for figure in figures(report) if figure.name not in _DRAWN_BY_THE_PAGE])
    except InputError as error:  # matplotlib is missing
        from vggcalc.report.tables.cells import Text

        return Chapter("figures", "Figures", sections=(Text((f"There are none here: {error}",)),))
    shown = tuple((title, caption, _visible_lines(element)) for title, caption, element in drawn)
    return Chapter("figures", "Figures", figures=shown) if shown else None


def _visible_lines(element: str) -> str:
    """A drawing with invisible characters in its labels, which may come from outside, escaped."""
    return "\n".join(visible(line) for line in element.split("\n"))


def _measured_on(environment: Environment) -> Iterator[tuple[str, str]]:
    for name in environment.__struct_fields__:
        value = getattr(environment, name)
        if name != "devices" and value is not None:
            yield name.replace("_", " "), f"{value:.2f}" if isinstance(value, float) else str(value)
    for device in environment.devices:
        details = [f"{key.replace('_', ' ')} {value}" for key, value in device.details.items()]
        yield f"device {device.name}", ", ".join([device.model, *details])
