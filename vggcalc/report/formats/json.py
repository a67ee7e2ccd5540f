"""The JSON document, schema version 1."""

import msgspec

from vggcalc.report.escape import json_in_ascii, json_visible
from vggcalc.report.formats import Screen
from vggcalc.results import Report


def render(report: Report, screen: Screen) -> str:
    """The document, indented by two."""
    text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
    return json_in_ascii(text) if screen.ascii_json else json_visible(text)
