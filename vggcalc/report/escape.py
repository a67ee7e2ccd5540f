"""Text from outside (names of models, layers, files) made safe to print, in one place for every format.

What an encoding cannot carry is written in another way here too: nothing becomes `?`.
"""

import re

#: Control characters, line separators, marks that reverse the direction of writing, and lone surrogates.
_UNSEEN = "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"

#: What GitHub's Markdown would read as markup: HTML, entities, cells, code, emphasis, links and their definitions.
_MARKUP = r"[\\|`*]|\](?=[(\[:])"


def visible(text: str) -> str:
    r"""The text with what a terminal would obey or hide escaped: ESC is `\x1b`, a new line `\n`, U+202E `\u202e`."""
    return re.sub(_UNSEEN, lambda match: ascii(match[0])[1:-1], text)


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in a table's cell too."""
    text = re.sub(r"&(?=#?\w+;)", "&amp;", visible(text)).replace("<", "&lt;")
    return re.sub(_MARKUP, lambda match: "\\" + match[0], text)


#: What encoders of JSON leave as it is: they escape only what is below space.
_UNSEEN_IN_JSON = _UNSEEN.replace("\x00-\x1f", "")


def json_visible(text: str) -> str:
    r"""The same JSON with `\u` escapes for what a terminal would obey or hide."""
    return re.sub(_UNSEEN_IN_JSON, _json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(match[0].encode("utf-16")[2:]).cast("H"))


def json_in_ascii(text: str) -> str:
    r"""The same JSON with `\u` escapes for all that is not ASCII, which stands in strings alone."""
    return re.sub(r"[^\x00-\x7f]", _json_escape, text)


#: What stands for a sign of ours where an encoding lacks it.
_IN_ASCII = {
    "×": "x", "−": "-", "–": "-", "—": "-", "─": "-", "…": "...", "→": "->", "·": "*", "≥": ">=", "≤": "<=",
    "≠": "!=", "±": "+/-", "µ": "u", "²": "^2", "½": "1/2", "∏": "product of ", "Σ": "sum of ",
}  # fmt: skip


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: a sign that the encoding lacks in ASCII, any other character as its escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(letter, ascii(letter)[1:-1]) for letter in lacking), error.end


def csv_value(value: object) -> object:
    """Text that a spreadsheet does not take for a formula; numbers stay as they are."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
