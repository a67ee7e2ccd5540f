"""The page of `--format html`: what stands in it, and how it behaves in a real browser."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from browser import CHROMIUM, Browser
from builders import PLANAR, latency, latency_ratio, report
from hypothesis import given
from hypothesis import strategies as st
from process import invoke

import vggcalc
from vggcalc.report.findings import findings
from vggcalc.report.findings.answer import answer
from vggcalc.report.formats import FORMATS, Screen
from vggcalc.report.tables import counted_sections, measured_sections
from vggcalc.report.tables.cells import Cell, Column, Row, Table
from vggcalc.results import (
    CONVENTIONS,
    Change,
    Comparison,
    DeviceInfo,
    Environment,
    Report,
)

EVIL = """a"b'c&d</script><!--<script>throw 1</script><b onclick="x">"""


def of(command: str, *comparisons: Comparison, environment: Environment | None = None) -> Report:
    with_notes = (msgspec.structs.replace(one, findings=findings(one)) for one in comparisons)
    found = report(*with_notes, command=command, environment=environment)
    return msgspec.structs.replace(found, answer=answer(found))


def timed(comparison: Comparison) -> Comparison:
    """As if it had been measured: 5.25 ms for the baseline, 987 µs for every other."""
    first, *others = comparison.variants
    ratio = latency_ratio(
        0.188, (0.18, 0.2), verdict="faster", basis="processes", processes=6, rounds=30, rounds_per_process=(30,) * 6,
        control_ci95=(0.99, 1.01), control_times_s=(0.005,), contended=0.0, load=0.5,
    )  # fmt: skip
    return msgspec.structs.replace(
        comparison,
        variants=(
            msgspec.structs.replace(first, latency=(latency(5.25e-3, iqr_s=1e-5),)),
            *(msgspec.structs.replace(other, latency=(latency(987e-6, iqr_s=1e-5),)) for other in others),
        ),
        ratios=tuple(msgspec.structs.replace(one, latency=(ratio,)) for one in comparison.ratios),
    )


ENVIRONMENT = Environment(
    python="3.11",
    torch="2.13",
    fvcore="0.1.5",
    platform="Linux",
    cpu="A <processor> & more",
    instruction_set="AVX2",
    cores=2,
    load=0.53125,
    devices=(DeviceInfo("cpu", "A <processor>", {"flushed_bytes": "64"}),),
)

CHANGED = msgspec.structs.replace(
    of("factorize", vggcalc.factorize(7)),
    against="base<line>.json",
    changes=(
        Change("7×7", "naive", "macs", 1, 2),
        Change("7×7", "naive", "saved_bytes", 10, 5),
        Change("7×7", "factorized", "macs", 3, None),
    ),
)

REPORTS = {
    "factorize 7": of("factorize", vggcalc.factorize(7)),
    "factorize 3 5 7 9 11": of("factorize", *(vggcalc.factorize(kernel) for kernel in (3, 5, 7, 9, 11))),
    "compare vgg16": of("compare", vggcalc.compare("vgg16")),
    "compare vgg11, timed": of("compare", timed(vggcalc.compare("vgg11")), environment=ENVIRONMENT),
    "summary vgg19": of("summary", vggcalc.summary("vgg19")),
    "factorize 7 --into all": of(
        "factorize",
        msgspec.structs.replace(timed(vggcalc.factorize(7, into=list(PLANAR))), pareto=("separable", "dilated")),
    ),
    "factorize 7 --against": CHANGED,
    "evil": of("compare", msgspec.structs.replace(vggcalc.compare("64,64,M"), name=EVIL)),
}


every_page = pytest.mark.parametrize("name", REPORTS)

#: Those that are opened in a browser, each in every way: the other two have nothing that these have not.
OPENED = [name for name in REPORTS if name not in ("factorize 7", "compare vgg16")]
#: Pages with several long tables, in which the check of all colours takes as long as all else together.
LONG = ("factorize 3 5 7 9 11", "factorize 7 --into all")


@cache
def page(name: str) -> str:
    return FORMATS["html"](REPORTS[name], Screen())


class Parsed(HTMLParser):
    """Elements as (tag, attributes, text), and the cells of every table; an end tag that does not fit fails."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {tag} {attrs}"
        text: list[str] = []
        self.elements.append((tag, dict(attrs), text))
        if tag not in self.VOID:
            self._open.append((tag, text))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, text in self._open:
            text.append(data)

    def texts(self, *tags: str) -> list[str]:
        return ["".join(text) for tag, _, text in self.elements if tag in tags]

    def tables(self) -> list[tuple[str, list[list[str]]]]:
        """The caption and the rows of each table, its head first."""
        found: list[tuple[str, list[list[str]]]] = []
        for tag, _, text in self.elements:
            if tag == "caption":
                found.append(("".join(text), []))
            elif tag == "tr":
                found[-1][1].append([])
            elif tag in ("th", "td"):
                found[-1][1][-1].append("".join(text))
        return found


@cache
def parsed(name: str) -> Parsed:
    return Parsed(page(name))


# What stands in it


@every_page
def test_it_is_a_sound_document(name: str) -> None:
    document = parsed(name)
    assert page(name).startswith("<!DOCTYPE html>")
    tags = [tag for tag, _, _ in document.elements]
    for tag in ("h1", "title", "main", "header", "nav"):
        assert tags.count(tag) == 1
    assert all(text.strip() for text in document.texts("h1", "h2", "title", "caption", "a"))
    ids = [attributes["id"] for _, attributes, _ in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in document.elements:
        for key in ("aria-labelledby", "href", "xlink:href"):
            value = attributes.get(key) or ""
            if key == "aria-labelledby" and value:
                assert value in ids
            if value.startswith("#"):
                assert value[1:] in ids
        for target in re.findall(r"url\(#([^)]*)\)", " ".join(value or "" for value in attributes.values())):
            assert target in ids
    assert ("html", {"lang": "en"}) in [(tag, attributes) for tag, attributes, _ in document.elements]


@every_page
def test_it_loads_nothing(name: str) -> None:
    for _, attributes, _ in parsed(name).elements:
        for key, value in attributes.items():
            assert not key.startswith("on"), f"{key} is a handler"
            assert key not in ("src", "srcset", "poster", "action", "data"), f"{key} loads {value}"
            if key in ("href", "xlink:href"):
                assert re.match(r"#|data:,$|data:image/png;base64,", value or "")
            elif not key.startswith("xmlns"):
                assert "://" not in (value or "")
    assert "@import" not in page(name)
    assert not re.search(r"url\((?!#)", "".join(parsed(name).texts("style")))


@every_page
def test_it_runs_its_one_script_and_no_other(name: str) -> None:
    document = parsed(name)
    metas = {a.get("http-equiv"): a.get("content") for tag, a, _ in document.elements if tag == "meta"}
    policy = metas["Content-Security-Policy"]
    rules = dict(rule.split(maxsplit=1) for rule in (policy or "").split("; "))
    data, script = document.texts("script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert json.loads(data) == json.loads(FORMATS["json"](REPORTS[name], Screen()))


@every_page
def test_every_section_of_the_terminal_stands_in_it(name: str) -> None:
    """Every cell of every table, those that the terminal leaves out first last, a label that stands above it too."""
    report, document = REPORTS[name], parsed(name)
    sections = counted_sections(report) + measured_sections(report)
    wanted = {}
    for table in sections:
        if isinstance(table, Table):
            wide = [i >= table.keys and column.wide for i, column in enumerate(table.columns)]  # these come last
            order = [i for i in range(len(wide)) if not wide[i]] + [i for i in range(len(wide)) if wide[i]]
            rows = [[table.columns[i].title for i in order]]
            rows += [[row.cells[i].text for i in order] for row in table.rows]
            wanted.setdefault(table.title, []).append(rows)
    found: dict[str, list[list[list[str]]]] = {}
    for title, rows in document.tables():
        found.setdefault(title, []).append(rows)
    assert found == wanted
    said = document.texts("p", "li", "dd")
    lines = [line for section in sections if not isinstance(section, Table) for line in section.lines]
    lines = [line for line in lines if report.environment is None or report.environment.cpu not in line]
    chapters = {f"{comparison.name}:" for comparison in report.comparisons}  # which have headings here
    assert lines
    assert not [line for line in lines if line not in said and line not in chapters]


def test_it_says_what_it_holds_for() -> None:
    pairs = parsed("compare vgg11, timed").texts("dt", "dd")
    facts = dict(zip(pairs[::2], pairs[1::2], strict=True))
    wanted = {
        "input": "1×3×224×224",
        "dtype": "float32",
        "vggcalc": vggcalc.__version__,
        "measured on": "A <processor> & more",
        "cpu": "A <processor> & more",
        "instruction set": "AVX2",
        "load": "0.53",
        "device cpu": "A <processor>, flushed bytes 64",
    }
    assert wanted.items() <= facts.items()
    assert {text.replace("`", "") for text in CONVENTIONS.values()} <= set(facts.values())


def test_names_are_never_markup() -> None:
    document = parsed("evil")
    assert document.texts("h1") == [EVIL]
    assert not [attributes for _, attributes, _ in document.elements if "onclick" in attributes]
    assert json.loads(document.texts("script")[0])["comparisons"][0]["name"] == EVIL
    (link,) = [attributes for _, attributes, _ in document.elements if "download" in attributes]
    assert re.fullmatch(r"[\w.-]+\.json", link["download"] or "")


# What a column is sorted by


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Cell.count(1_849_688_064), Cell("1,849,688,064", 1_849_688_064)),
        (Cell.cost({"macs": 1_234}, "macs", partial=True), Cell("≥ 1,234", 1_234)),
        (Cell.cost({"saved_bytes": 553_430_176}, "saved_bytes"), Cell("528 MiB", 553_430_176)),
        (Cell.cost({"intensity": 12.345}, "intensity"), Cell("12.3", 12.345)),
        (Cell.size(0), Cell("0 B", 0)),
        (Cell.size(4_016_046), Cell("3.83 MiB", 4_016_046)),
        (Cell.duration(4.8712e-3), Cell("4.87 ms", 4.8712e-3)),
        (Cell.duration(None), Cell("—")),
        (Cell.change(27 / 49), Cell("−45%", 27 / 49)),
        (Cell.change(8.04), Cell("8.04×", 8.04)),
        (Cell.speedup(0.625), Cell("1.60×", 1.6)),
        (Cell.speedup_interval((0.5, 0.625), 9), Cell("1.60–2.00", 1.6)),
        (Cell.change(None), Cell("—")),
        (Cell.share(0.987), Cell("99%", 0.987)),
        (Cell.ratio(27 / 49), Cell("0.5510", 27 / 49)),
        (Cell.interval((0.6349, 0.641), 9), Cell("0.635–0.641", 0.6349)),
        (Cell.interval(None, 5), Cell("none: 5 rounds")),
        (Cell.error(1.23e-7), Cell("1.2e-7", 1.23e-7)),
        (Cell.error(0.0), Cell("0", 0.0)),
        (Cell.axes((7, 7)), Cell("7", 49)),
        (Cell.axes((7, 5)), Cell("7×5", 35)),
        (Cell.shape((1, 64, 56, 56)), Cell("1×64×56×56", 64 * 56 * 56)),
        (Cell.shape(None), Cell("—")),
        (Cell("block1", again=True), Cell("block1", None, True)),
    ],
)
def test_a_cell_holds_what_it_is_worth(cell: Cell, expected: Cell) -> None:
    assert (cell.text, cell.value, cell.again) == (expected.text, expected.value, expected.again)


def test_a_count_is_compact_where_there_is_no_room() -> None:
    assert Cell.count(1_849_688_064).compact == "1.85G"
    assert Cell.cost({"macs": 1_234}, "macs", partial=True).compact == "≥ 1.23k"
    assert Cell.size(4_016_046).compact == "", "bytes are short already"


@given(st.integers(0, 10**15), st.floats(1e-9, 1e4), st.floats(1e-3, 1e4))
def test_values_are_exact_whatever_is_printed(n: int, seconds: float, ratio: float) -> None:
    assert (Cell.count(n).value, Cell.size(n).value) == (n, n)
    assert Cell.duration(seconds).value == seconds
    assert Cell.ratio(ratio).value == Cell.change(ratio).value == ratio


def test_a_sum_and_a_change_are_worth_what_they_end_with() -> None:
    """9 + 9 + 9 = 27 is 27; 49 → 27 is the stack's 27."""
    tables = [one for one in counted_sections(REPORTS["factorize 3 5 7 9 11"]) if isinstance(one, Table)]
    found = {cell.text: cell.value for one in tables for row in one.rows for cell in row.cells}
    assert (found["9 + 9 + 9 = 27"], found["5 · 9 = 45"], found["49 → 27"]) == (27, 45, 27)


@every_page
def test_a_cell_that_repeats_equals_the_one_above(name: str) -> None:
    for table in counted_sections(REPORTS[name]) + measured_sections(REPORTS[name]):
        if isinstance(table, Table):
            assert not any(cell.again for cell in table.rows[0].cells)
            for above, row in pairwise(table.rows):
                assert all(cell.text == above.cells[i].text for i, cell in enumerate(row.cells) if cell.again)
                assert all(i < table.keys for i, cell in enumerate(row.cells) if cell.again)


def test_a_column_of_several_units_is_not_sorted() -> None:
    heads = [a for tag, a, _ in parsed("factorize 7").elements if tag == "th" and a.get("scope") == "col"]
    naive, factorized, change = heads[:3]
    assert "data-sort" not in naive | factorized
    assert change["data-sort"] == "number"


def test_values_are_those_of_the_results() -> None:
    """The MACs by which layers are sorted are the layers' MACs; what has none is one row."""
    report = REPORTS["summary vgg19"]
    rows = page("summary vgg19").partition("<tbody>\n")[2].partition("</tbody>")[0]
    layers = [layer for layer in report.comparisons[0].variants[0].layers if layer.macs]
    *rows, others = rows.strip().split("\n")
    assert "27 others" in others  # 18 ReLUs, 5 poolings before the average, it, flattening and 2 dropouts
    for row, layer in zip(rows, layers, strict=True):
        assert f'data-value="{layer.costs["macs"]}">{layer.costs["macs"]:,}<' in row


# What it looks like


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_itself() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_stands_out(scheme: str) -> None:
    """WCAG AA: 4.5 for every colour of text on every ground."""
    style = parsed("evil").texts("style")[0]
    roots = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    blocks = dict(zip(("light", "dark", "print"), roots, strict=True))
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", blocks[scheme]))
    for text in ("ink", "quiet", "link"):
        for ground in ("paper", "head"):
            assert contrast(colours[text], colours[ground]) >= 4.5


def test_figures_stand_in_the_page() -> None:
    pytest.importorskip("matplotlib")
    from vggcalc.report.figures import elements, figures

    drawn = elements([one for one in figures(REPORTS["factorize 7"]) if one.name not in ("blocks", "architecture")])
    assert drawn, "what the page has at its head already is left out"
    document = parsed("factorize 7")
    assert document.texts("figcaption") == [f"{title} {caption}" for title, caption, _ in drawn]
    shown = [attributes for tag, attributes, _ in document.elements if tag == "svg"]
    assert [(one["role"], one["aria-label"]) for one in shown] == [("img", caption) for _, caption, _ in drawn]


def python(source: str) -> str:
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


RUN = """
import sys
{first}
sys.argv = ["vggcalc", "factorize", "7", "--no-latency", "--format", "{format_}"]
from vggcalc.cli.main import main
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
{last}
"""


def test_the_command_line_writes_it(tmp_path: Path) -> None:
    """A name that ends with .html asks for it; the JSON in it is what --json prints, to the letter."""
    path = tmp_path / "page.html"
    command = ("factorize", "5", "7", "--no-latency")
    assert invoke(*command, "--output", str(path)).returncode == 0
    printed = invoke(*command, "--json").stdout
    document = Parsed(path.read_text(encoding="utf-8"))
    assert document.texts("h1") == ["5×5, 7×7"]
    assert document.texts("script")[0] == printed


def test_without_matplotlib_it_says_how_to_get_figures() -> None:
    text = python(RUN.format(first="sys.modules['matplotlib'] = None", format_="html", last=""))
    assert any("pip install matplotlib" in said for said in Parsed(text).texts("p"))
    assert "<figure" not in text


@pytest.mark.parametrize("format_", ["table", "json", "csv", "markdown"])
def test_no_other_format_loads_it(format_: str) -> None:
    text = python(RUN.format(first="", format_=format_, last="print(*sys.modules, sep='\\n')"))
    loaded = set(text.split())
    assert "vggcalc.report.formats" in loaded
    assert not loaded & {
        "vggcalc.report.formats.html",
        "jinja2",
    }


# In a browser

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    paths = {name: folder / f"{i}.html" for i, name in enumerate(REPORTS)}
    for name, path in paths.items():
        path.write_text(page(name), encoding="utf-8")
    return paths


#: A table by its caption, a heading by its text, and the column of texts under it, totals apart.
HELPERS = """
    var table = (title) => [...document.querySelectorAll("table")].find(
        (one) => one.caption.textContent.startsWith(title));
    var heading = (title, text) => [...table(title).tHead.rows[0].cells].find(
        (one) => one.textContent === text);
    var column = (title, text) => [...table(title).tBodies[0].rows].map(
        (row) => row.cells[heading(title, text).cellIndex].textContent);
"""


def until(browser: Browser, expression: str) -> None:
    """Wait for what the browser does in its own time."""
    browser.wait_for(expression)


@in_browser
@pytest.mark.parametrize("name", OPENED)
def test_it_fits_every_window_and_sheet_asks_for_nothing_and_is_accessible(
    name: str, browser: Browser, files: dict[str, Path]
) -> None:
    """On a dark phone and a light desk, accessible on one of the two, and in print."""
    checked = (375, 1280)[OPENED.index(name) % 2]
    for width, scheme in ((375, "dark"), (1280, "light")):
        browser.open(files[name], width, scheme=scheme)
        assert browser.evaluate("document.scrollingElement.scrollWidth") <= width
        assert browser.evaluate("innerWidth") == width
        assert browser.complaints() == []
        assert [url for url in browser.requested() if not url.startswith("data:")] == [files[name].as_uri()]
        dark = browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 26)"
        assert dark == (scheme == "dark")
        if width == checked:
            assert browser.violations(colours=name not in LONG) == []
    in_print(browser)


def in_print(browser: Browser) -> None:
    """Nothing is cut off, on a landscape sheet of US letter within its margins, and nothing is to be pressed."""
    browser.emulate_print(965)
    assert browser.evaluate("document.scrollingElement.scrollWidth") <= 965
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    seen = browser.evaluate("document.body.innerText")
    assert not re.search(r"Download|Skip to|restores the order", seen)
    assert browser.evaluate(
        "[...document.querySelectorAll('.frame')].every((one) => getComputedStyle(one).overflow === 'visible')"
    )
    assert browser.evaluate(
        "[...document.querySelectorAll('button')].every((one) => getComputedStyle(one).display === 'contents')"
    )


@in_browser
@pytest.mark.parametrize(("width", "height"), [(375, 812), (1280, 900)])
def test_the_first_screen_shows_the_verdict_and_both_networks(
    width: int, height: int, browser: Browser, files: dict[str, Path]
) -> None:
    naive, factorized = vggcalc.compare("vgg16").variants
    browser.open(files["compare vgg16"], width, height)
    end = "document.querySelector('{}').getBoundingClientRect().bottom"
    for what in (".verdict", ".net.line-0 .box", ".net.line-1 .box", ".bars .line-1"):
        assert browser.evaluate(end.format(what)) < height
    boxes = "[...document.querySelectorAll('.net.line-{} .box')].map((box) => box.innerText)"
    for i, variant in enumerate((naive, factorized)):
        shown = [text.split()[0] for text in browser.evaluate(boxes.format(i))]
        kernels = [f"{height}×{width}" for block in variant.blocks for height, width in block.kernels]
        assert shown == [*kernels, *["linear"] * 3]
    bars = "[...document.querySelectorAll('.bars:nth-last-child(1) .line-1 i')].map((bar) => bar.offsetWidth)"
    *found, _ = browser.evaluate(bars)  # of the total on a scale of its own
    macs = [block.macs for block in factorized.blocks]
    most = max(max(block.macs for block in naive.blocks), *macs)
    longest = browser.evaluate("Math.max(...[...document.querySelectorAll('.bars i')].map((bar) => bar.offsetWidth))")
    assert found == pytest.approx([longest * one / most for one in macs], abs=2)


@in_browser
def test_figures_are_dark_where_the_page_is(browser: Browser, files: dict[str, Path]) -> None:
    for scheme, paper, ink in (
        ("dark", "rgb(21, 23, 26)", "rgb(232, 231, 227)"),
        ("light", "rgb(255, 255, 255)", None),
    ):
        browser.open(files["factorize 7"], scheme=scheme)
        svg = "getComputedStyle(document.querySelector('figure svg'))"
        assert browser.evaluate(f"{svg}.backgroundColor") == paper
        assert ink is None or browser.evaluate(f"{svg}.fill") == ink


@in_browser
def test_the_checks_can_fail(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    bad = page("evil").replace("</main>", '<script>1</script><img src="https://example.com/a.png"><pre>')
    path.write_text(bad.replace("<pre>", f"<pre>{'wide' * 200}</pre></main>"), encoding="utf-8")
    browser.open(path, 375)
    assert browser.evaluate("document.scrollingElement.scrollWidth") > 375
    assert any("Content Security Policy" in said for said in browser.complaints())
    assert "image-alt" in browser.violations()


@in_browser
def test_a_click_sorts_and_the_third_restores(browser: Browser, files: dict[str, Path]) -> None:
    title = "vgg16, input"
    blocks = [block for variant in vggcalc.compare("vgg16").variants for block in variant.blocks]
    macs = {(block.name, block.costs["macs"]) for block in blocks}
    browser.open(files["compare vgg16"])
    browser.evaluate(HELPERS)
    before = browser.evaluate(f"column('{title}', 'MACs')")
    total = browser.evaluate(f"table('{title}').tFoot.innerText")
    for order in ("descending", "ascending"):
        browser.click(f"heading('{title}', 'MACs').querySelector('button')")
        assert browser.evaluate(f"heading('{title}', 'MACs').ariaSort") == order
        names, texts = (browser.evaluate(f"column('{title}', '{head}')") for head in ("block", "MACs"))
        found = [int(text.replace(",", "")) for text in texts]
        assert found == sorted(found, reverse=order == "descending")
        assert set(zip(names, found, strict=True)) == macs
        assert browser.evaluate(f"table('{title}').lastElementChild.innerText") == total
        assert order in browser.evaluate("document.getElementById('said').textContent")
        assert browser.evaluate("document.querySelectorAll('[aria-sort]').length") == 1
        labels = f"[...table('{title}').querySelectorAll('.again')]"
        assert browser.evaluate(f"{labels}.every((one) => getComputedStyle(one).opacity === '1')")
    browser.click(f"heading('{title}', 'MACs').querySelector('button')")
    assert browser.evaluate(f"column('{title}', 'MACs')") == before
    assert browser.evaluate("document.querySelector('[aria-sort]')") is None
    browser.click(f"heading('{title}', 'kernels').querySelector('button')")
    browser.click(f"heading('{title}', 'traffic').querySelector('button')")
    assert browser.evaluate(f"heading('{title}', 'kernels').ariaSort") is None
    assert browser.evaluate(f"heading('{title}', 'traffic').ariaSort") == "descending"
    assert browser.complaints() == []


@in_browser
def test_layers_and_blocks_are_sorted_apart(browser: Browser, files: dict[str, Path]) -> None:
    layers = [layer for layer in vggcalc.summary("vgg19").variants[0].layers if layer.macs]
    browser.open(files["summary vgg19"])
    browser.evaluate(HELPERS)
    bodies = "[...table('vgg19').tBodies].map((body) => [...body.rows].map((row) => row.cells[0].textContent))"
    named, blocks = browser.evaluate(bodies)
    assert named == [*(layer.name for layer in layers), "27 others"]
    assert blocks == [f"block{i}" for i in range(1, 6)] + ["classifier"]
    browser.click("heading('vgg19', 'parameters').querySelector('button')")
    named, blocks = browser.evaluate(bodies)
    assert named[:2] == ["classifier.linear1", "classifier.linear2"]
    assert blocks[:2] == ["classifier", "block5"]


@in_browser
def test_times_are_sorted_as_times_and_what_is_missing_goes_last(browser: Browser, files: dict[str, Path]) -> None:
    browser.open(files["compare vgg11, timed"])
    browser.evaluate(HELPERS)
    title = "Latency of vgg11"
    for expected in (["5.25 ms", "987 µs"], ["987 µs", "5.25 ms"], ["5.25 ms", "987 µs"]):
        browser.click(f"heading('{title}', 'median').querySelector('button')")
        assert browser.evaluate(f"column('{title}', 'median')") == expected
    for expected in (["5.32×", ""], ["5.32×", ""], ["", "5.32×"]):  # 1 / 0.188
        browser.click(f"heading('{title}', 'speed-up').querySelector('button')")
        assert browser.evaluate(f"column('{title}', 'speed-up')") == expected
    browser.click(f"heading('{title}', 'variant').querySelector('button')")
    assert browser.evaluate(f"column('{title}', 'variant')") == ["factorized", "naive"]


@in_browser
def test_bytes_are_sorted_exactly_where_they_print_alike(browser: Browser, tmp_path: Path) -> None:
    """553,430,176 B and 553,648,128 B are both 528 MiB."""
    from vggcalc.report.formats.html import table_html

    sizes = {"small": 553_430_176, "large": 553_648_128, "middle": 553_430_177}
    rows = tuple(Row((Cell(name), Cell.size(size))) for name, size in sizes.items())
    assert {row.cells[1].text for row in rows} == {"528 MiB"}
    text = page("factorize 7")
    columns = (Column("name", right=False), Column("bytes"))
    path = tmp_path / "bytes.html"
    path.write_text(text.replace("</main>", table_html(Table("Exact", columns, rows), "exact") + "</main>"), "utf-8")
    browser.open(path)
    browser.evaluate(HELPERS)
    for expected in (["large", "middle", "small"], ["small", "middle", "large"], list(sizes)):
        browser.click("heading('Exact', 'bytes').querySelector('button')")
        assert browser.evaluate("column('Exact', 'name')") == expected


@in_browser
def test_the_keyboard_is_enough(browser: Browser, files: dict[str, Path]) -> None:
    browser.open(files["compare vgg16"], 375)
    browser.evaluate(HELPERS)
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.getAttribute('href')") == "#main"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter")
    until(browser, "document.activeElement.id === 'main'")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.getAttribute('role')") == "group"
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("ArrowRight")
    until(browser, "document.activeElement.scrollLeft > 0")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "block"
    for key, order in (("Enter", "ascending"), (" ", "descending"), ("Enter", None)):
        browser.press(key)
        assert browser.evaluate("document.activeElement.parentElement.ariaSort") == order
        assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Tab")
    browser.press("Enter")
    assert browser.evaluate("column('vgg16', 'variant')")[0] == "both"


@in_browser
def test_the_first_column_stays_in_sight(browser: Browser, files: dict[str, Path]) -> None:
    browser.open(files["compare vgg16"], 375)
    browser.evaluate(HELPERS)
    browser.evaluate("table('vgg16').parentElement.scrollLeft = 1e6")
    left, right, last = browser.evaluate(
        """(() => {
            const cells = table("vgg16").tBodies[0].rows[0].cells;
            const box = (cell) => cell.getBoundingClientRect();
            return [box(cells[0]).left, box(cells[0]).right, box(cells[cells.length - 1]).right];
        })()"""
    )
    assert 0 <= left < right < 200
    assert last <= 375


@in_browser
@pytest.mark.parametrize("name", ["compare vgg16", "evil"])
def test_the_json_is_downloaded(name: str, browser: Browser, files: dict[str, Path]) -> None:
    browser.open(files[name])
    file, content = browser.download("document.getElementById('download')")
    assert file == browser.evaluate("document.getElementById('download').download")
    text = content.decode()
    wanted = FORMATS["json"](REPORTS[name], Screen())
    assert json.loads(text) == json.loads(wanted)
    assert text == wanted.replace("<", "\\u003c")
    assert browser.complaints() == []


@in_browser
def test_without_scripts_all_can_be_read(browser: Browser, files: dict[str, Path]) -> None:
    browser.open(files["compare vgg11, timed"], scripts=False)
    seen = browser.evaluate("document.body.innerText")
    assert browser.evaluate("document.querySelector('button')") is None
    assert "The JSON stands in the source of this page" in seen
    assert "Download" not in seen
    assert "restores the order" not in seen
    for _, rows in parsed("compare vgg11, timed").tables():
        assert all(cell in seen for row in rows for cell in row)


@in_browser
def test_it_prints(browser: Browser, files: dict[str, Path]) -> None:
    browser.open(files["compare vgg11, timed"])
    assert browser.pdf().startswith(b"%PDF")
