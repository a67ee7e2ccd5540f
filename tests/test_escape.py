"""Names from outside, as every format prints them."""

import codecs
import csv
import io
import json
import re

import msgspec
import pytest
from builders import report
from markupsafe import escape

import vggcalc
from vggcalc.errors import LONGEST_MESSAGE, InputError
from vggcalc.report.escape import csv_value, json_in_ascii, json_visible, markdown_text, replace_unencodable, visible
from vggcalc.report.formats import FORMATS, Screen
from vggcalc.report.formats.html import table_html
from vggcalc.report.tables.cells import Column, Table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vgg16 7×7 …", "vgg16 7×7 …"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("\u202e\u2066\u200f\u061c\u2028", r"\u202e\u2066\u200f\u061c\u2028"),
        ("\udc80", r"\udc80"),
    ],
)
def test_what_cannot_be_seen_becomes_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>", "&lt;b>"),
        ("a|b", r"a\|b"),
        ("`x`", r"\`x\`"),
        ("[x](y)", r"[x\](y)"),
        ("[x]: y", r"[x\]: y"),
        ("*x*", r"\*x\*"),
        ("&lt; & a", "&amp;lt; & a"),
        ("\n", r"\\n"),
        ("[0.99–1.01]", "[0.99–1.01]"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, expected: str) -> None:
    assert markdown_text(text) == expected


@pytest.mark.parametrize("sign", "=+-@")
def test_csv_guards_text_and_never_numbers(sign: str) -> None:
    assert csv_value(f"{sign}cmd") == f"'{sign}cmd"
    assert csv_value("a=b") == "a=b"
    assert csv_value("\t=1") == r"\t=1"
    assert (csv_value(-1), csv_value(-0.5), csv_value(None), csv_value(True)) == (-1, -0.5, None, True)


def test_html_escapes_markup_and_controls() -> None:
    shown = table_html(Table("<b \"'&\u202e>", (Column("x"),), ()), "id")
    assert r"&lt;b &#34;&#39;&amp;\u202e&gt;" in shown


EVIL = "=a|b\x1b[2J\n\u202e`<i>`[x](y)"


@pytest.mark.parametrize("format_", ["table", "markdown", "csv", "html"])
def test_every_format_escapes_a_models_name(format_: str) -> None:
    comparison = msgspec.structs.replace(vggcalc.compare("64,64,M"), name=EVIL)
    text = FORMATS[format_](report(comparison), Screen(200))
    if format_ == "html":  # the page's JSON is data, in which the name stays what it is
        before, data, after = re.split(r'<script type="application/json" id="report">(.*?)</script>', text, flags=re.S)
        assert json.loads(data)["comparisons"][0]["name"] == EVIL
        text = before + after
    assert "\x1b" not in text
    assert "\u202e" not in text
    shown = {
        "table": visible(EVIL),
        "markdown": markdown_text(EVIL),
        "csv": "'" + visible(EVIL),
        "html": str(escape(visible(EVIL))),
    }
    assert shown[format_] in text
    if format_ == "csv":
        assert {row["comparison"] for row in csv.DictReader(io.StringIO(text))} == {shown["csv"]}


def test_json_shows_controls_as_escapes_and_stays_the_same() -> None:
    text = json.dumps({"×\x9b": "a\u202eb\x7f\x1b\u2028"}, ensure_ascii=False)
    shown = json_visible(text)
    assert shown.isprintable()
    assert "×" in shown
    assert json.loads(shown) == json.loads(text)


def test_json_in_ascii_is_the_same_json() -> None:
    text = json.dumps({"×": "a→\U0001f600 \\ é"}, ensure_ascii=False)
    assert json_in_ascii(text).isascii()
    assert json.loads(json_in_ascii(text)) == json.loads(text)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "latin-1", "utf-8"])
def test_nothing_becomes_a_question_mark(encoding: str) -> None:
    codecs.register_error("vggcalc", replace_unencodable)
    text = "7×7 → 3×3, −44.9% … ≥ 2 µs ─── \u4e2d \udc80"
    encoded = text.encode(encoding, "vggcalc")
    assert b"?" not in encoded
    if encoding == "ascii":
        assert encoded.decode() == r"7x7 -> 3x3, -44.9% ... >= 2 us --- \u4e2d \udc80"


def test_a_long_message_is_cut_in_its_middle() -> None:
    error = str(InputError("net.toml: " + "x" * 100_000 + ": write 64"))
    assert len(error) <= LONGEST_MESSAGE
    assert error.startswith("net.toml: xxx")
    assert error.endswith("xxx: write 64")
