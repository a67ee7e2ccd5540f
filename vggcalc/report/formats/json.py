"""The JSON document, schema version 1."""

import msgspec

from vggcalc.report.formats import Screen
from vggcalc.results import Report


def render(report: Report, screen: Screen) -> str:
    """The document, indented by two."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
