"""What the reference pages of the site take from the code: mkdocs calls `on_page_markdown` for every page.

A line `<!-- commands -->` becomes every command with its options, as click has them, `<!-- costs -->` what `vggcalc
costs` prints, and `<!-- schema -->` every object of the JSON output.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import click

from vggcalc.cli.app import COMMANDS, cli
from vggcalc.cli.lists import costs_markdown
from vggcalc.report.formats.schema import json_schema


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its markers replaced."""
    return re.sub(r"^<!-- (\w+) -->$", lambda marker: PARTS[marker[1]](), markdown, flags=re.MULTILINE)


def commands() -> str:
    """Every command: what it does, how it is called, and its options under their headings."""
    return "\n".join(line for name in COMMANDS for line in command(name))


def command(name: str) -> Iterable[str]:
    """The section of one command."""
    one = cli.get_command(click.Context(cli), name)
    assert one is not None
    context = click.Context(one, info_name=f"vggcalc {name}")
    yield from (f"## {name}", "", *paragraphs(one.help or ""), "", "```text", one.get_usage(context), "```", "")
    headings: dict[str, list[click.Option]] = {}
    for parameter in one.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden:
            headings.setdefault(getattr(parameter, "heading", "Help"), []).append(parameter)
    for heading, options in headings.items():
        yield from (f"**{heading}**", "", "| option | meaning |", "|---|---|")
        for option in options:
            if record := option.get_help_record(context):
                yield f"| `{cell(record[0])}` | {cell(escaped(record[1]))} |"
        yield ""
    if one.epilog:
        yield from (escaped(one.epilog), "")


def paragraphs(text: str) -> Iterable[str]:
    """A docstring of click's: what follows a `\\b` keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.lstrip().startswith("\b"):
            yield from (
                "```text",
                *(line.strip() for line in paragraph.replace("\b", "").strip().splitlines()),
                "```",
                "",
            )
        else:
            yield from (escaped(" ".join(paragraph.split())), "")


def schema() -> str:
    """Every object of the output, with the type and the default of its members."""
    return "\n".join(line for name, one in json.loads(json_schema())["$defs"].items() for line in definition(name, one))


def definition(name: str, one: dict[str, Any]) -> Iterable[str]:
    """The section of one object."""
    yield from (
        f"## {name}",
        "",
        *paragraphs(one.get("description", "")),
        "| member | type | unless given |",
        "|---|---|---|",
    )
    required = one.get("required", ())
    for member, kind in one.get("properties", {}).items():
        default = "required" if member in required else f"`{json.dumps(kind['default'])}`" if "default" in kind else ""
        yield f"| `{member}` | {cell(type_of(kind))} | {cell(default)} |"
    yield ""


def type_of(kind: dict[str, Any]) -> str:
    """A JSON Schema's type in a few words, with a link to the object that it names."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in kind:
        return " or ".join(type_of(one) for one in kind["anyOf"])
    if "enum" in kind:
        return "one of " + ", ".join(f"`{value}`" for value in kind["enum"])
    if kind.get("type") == "array":
        items = kind.get("items") or {}
        return f"list of {type_of(items)}" if items else "list"
    if kind.get("type") == "object":
        values = kind.get("additionalProperties")
        return f"object of {type_of(values)}" if isinstance(values, dict) and values else "object"
    return str(kind.get("type", "anything"))


def escaped(text: str) -> str:
    """Text that Markdown and HTML take as it is, but for code between backticks."""
    return re.sub(r"(`.*?`)|([*_<\[\]])", lambda found: found[1] or f"\\{found[2]}", text)


def cell(text: str) -> str:
    """Text in a table's cell."""
    return text.replace("|", "\\|")


PARTS: dict[str, Callable[[], str]] = {"commands": commands, "costs": costs_markdown, "schema": schema}
