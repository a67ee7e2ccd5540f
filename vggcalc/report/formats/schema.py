"""The JSON Schema of the JSON output, from the types that are written."""

import msgspec

from vggcalc.results import SCHEMA_VERSION, Report


def json_schema() -> str:
    """JSON Schema 2020-12 of `Report`."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"vggcalc output, schema version {SCHEMA_VERSION}",
    } | msgspec.json.schema(Report)
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
