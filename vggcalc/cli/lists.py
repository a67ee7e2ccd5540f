"""`vggcalc models`, `vggcalc families`, `vggcalc costs` and `vggcalc schema`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from vggcalc.cli.types import Word
from vggcalc.pipeline.emit import json_for_stdout

if TYPE_CHECKING:
    from vggcalc.results.vocabulary import Definition

NAMES = click.argument("names", metavar="[NAME]...", nargs=-1)


@click.command(epilog="Example: vggcalc models --json | jq -r '.[].name'")
@NAMES
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def models(names: tuple[str, ...], as_json: bool) -> None:
    """What MODEL may be: the published VGG configurations, and how to write one; or those named."""
    _print(models_text(as_json, names), as_json)


@click.command(epilog="Example: vggcalc families asymmetric")
@NAMES
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def families(names: tuple[str, ...], as_json: bool) -> None:
    """What --into may be: the ways to factorize a convolution, and what each covers and gives up; or those named."""
    _print(families_text(as_json, names), as_json)


@click.command(epilog="Example: vggcalc costs macs saved_bytes")
@NAMES
@click.option(
    "--format", "format_", type=Word(("table", "json", "markdown"), {"md": "markdown"}), default="table",
    metavar="table|json|markdown", help="[default: table]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
def costs(names: tuple[str, ...], format_: str, as_json: bool) -> None:
    """What the columns of tables are: of each the key in JSON, the name in --fail-if, unit and definition.

    A NAME is a column's heading, its key in JSON or its name in --fail-if.
    """
    form = "json" if as_json else format_
    _print(COSTS_IN[form](names), form == "json")


@click.command(epilog="Example: vggcalc schema > vggcalc.schema.json")
@click.option("--json", is_flag=True, expose_value=False, help="As JSON, which it is.")
def schema() -> None:
    """The JSON Schema of the JSON output, version 1."""
    from vggcalc.report.formats.schema import json_schema

    _print(json_schema(), True)


def _print(text: str, is_json: bool) -> None:
    click.echo(json_for_stdout(text) if is_json else text, nl=False)


def _chosen(what: str, names: Iterable[str], things: Mapping[str, Any]) -> list[Any]:
    """What these names stand for, each once, in any case of letters; all without a name.

    Raises `InputError` with the nearest name, or with where all of them are shown.
    """
    from vggcalc.errors import InputError, hint

    by_name = {name.lower(): thing for name, thing in things.items()}
    found = []
    for name in names:
        if name.lower() not in by_name:
            raise InputError(f"{what} {name!r} is unknown{hint(name, things, f': vggcalc {what}s shows all')}")
        found.append(by_name[name.lower()])
    ids = {id(thing): thing for thing in found or things.values()}
    return [*ids.values()]


def families_text(as_json: bool, names: Iterable[str] = ()) -> str:
    """Each family of factorizations: what it is and who proposed it; of those that are named also what it takes."""
    from textwrap import wrap

    from vggcalc.nets.families import FAMILIES, family_named

    names = tuple(map(family_named, names))
    rows = [
        {
            "name": name,
            "says": family.description,
            "dims": list(family.dims),
            "source": " ".join((family.split.__doc__ or "").split()),
        }
        for name, family in FAMILIES.items()
        if not names or name in names
    ]
    if as_json:
        return _as_json(rows)
    lines = []
    for row in rows:
        family = FAMILIES[str(row["name"])]
        only = "" if len(family.dims) == 3 else f" ({' and '.join(f'{n}-D' for n in family.dims)} only)"
        lines += wrap(f"{row['name']}{only}: {row['says']}", 80, subsequent_indent="  ")
        details = [str(row["source"])]
        tried = f"--into {_quoted(str(row['name']))}" + " --dims 3" * (2 not in family.dims)
        if names:
            details += [
                "Kernels: odd and even sizes." if family.even else "Kernels: odd sizes.",
                "Channels between its layers: --widths or --widen." if family.widens else "Its channels are fixed.",
                f"To try it: vggcalc factorize 7 {tried} --no-latency",
            ]
        for text in details:
            lines += wrap(text, 78, initial_indent="  ", subsequent_indent="  ")
        lines.append("")
    return "\n".join(lines)


def _quoted(name: str) -> str:
    """The name as a shell takes it."""
    return name if name.replace("-", "").isalnum() else f"'{name}'"


def models_text(as_json: bool, names: Iterable[str] = ()) -> str:
    """The built-in networks, the VGGs under all their names, and how to write another; or those that are named."""
    from vggcalc.nets.classics import CLASSICS
    from vggcalc.nets.vgg import ALIASES, CONFIGS, SYNTAX

    torchvision = {net: alias for alias, net in ALIASES.items()}
    rows: list[dict[str, object]] = [
        {"name": torchvision.get(net, net), "net": net, "features": tokens.split(",")}
        for net, tokens in CONFIGS.items()
    ]
    classics: list[dict[str, object]] = [
        {"name": name, "net": name, "features": [], "source": (make.__doc__ or "").partition("\n")[0].rstrip(".")}
        for name, make in CLASSICS.items()
    ]
    by_name = {str(row[key]): row for row in (*rows, *classics) for key in ("name", "net")}
    wanted = _chosen("model", names, by_name)
    if as_json:
        return _as_json(wanted)
    vggs = [
        f"  {row['net']:6} {row['name'] if row['name'] != row['net'] else '':6} {CONFIGS[str(row['net'])]}"
        for row in wanted
        if row["features"]
    ]
    others = [f"  {row['name']:13} {row['source']}" for row in wanted if not row["features"]]
    if tuple(names):
        return "\n".join((*vggs, *others)) + "\n"
    lines = ["Simonyan & Zisserman 2014, table 1 (with _bn behind the name: batch normalization)", "", *vggs]
    lines += ["", "beside them, as published", "", *others]
    lines += [
        "",
        "or tokens, such as 64,64,M,128@7s2,M:",
        f"  {SYNTAX}",
        "",
        "or a module to import, whose code is run: torchvision:NAME, timm:NAME, package.module:attribute or",
        "path/to/file.py:attribute, where the attribute is a module, its class or a function that makes one",
        "",
        "or a .toml or .json file, or - for standard input, with",
        '  features = [64, 64, "M", "128@7s2", "M"]',
        "and, where they differ from these,",
        '  name = "…"  input = [3, 224, 224]  classifier = []  batch_norm = false',
        '  activation = "relu"  bias = true',
    ]
    return "\n".join(lines) + "\n"


def _as_json(rows: object) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n"


def _definitions(names: Iterable[str]) -> dict[str, list[Definition]]:
    """The definitions that are named by heading, key or condition, by what they are of; all without a name."""
    from vggcalc.results.vocabulary import DEFINITIONS

    every = [one for definitions in DEFINITIONS.values() for one in definitions]
    by_name = {name: one for one in every for name in (one.key, one.heading, one.condition) if name}
    chosen = _chosen("cost", names, by_name)
    found = {title: [one for one in definitions if one in chosen] for title, definitions in DEFINITIONS.items()}
    return {title: definitions for title, definitions in found.items() if definitions}


def costs_text(names: Iterable[str] = ()) -> str:
    """Every figure in two lines or more, for a terminal; or those that are named."""
    from textwrap import wrap

    from vggcalc.pipeline.run import screen_of

    width = min(screen_of(True).width, 100)
    lines = [] if tuple(names) else [*wrap(f"{NAMES_OF_COSTS} What stands in brackets is in JSON alone.", width), ""]
    for title, definitions in _definitions(names).items():
        lines += [title, ""]
        for one in definitions:
            name = one.condition or f"({one.key})"
            lines.append(f"  {one.heading:25}{name:36}{one.unit}".rstrip())
            lines += wrap(one.text, width, initial_indent=" " * 4, subsequent_indent=" " * 4)
        lines.append("")
    return "\n".join(lines)


def costs_markdown(names: Iterable[str] = ()) -> str:
    """Every figure in a row of a table; or those that are named."""
    lines = [NAMES_OF_COSTS]
    for title, definitions in _definitions(names).items():
        lines += [
            "",
            f"**{title}**",
            "",
            "| heading | in JSON | in --fail-if | unit | definition |",
            "|---|---|---|---|---|",
        ]
        for one in definitions:
            condition = f"`{one.condition}`" if one.condition else ""
            lines.append(f"| {one.heading} | `{one.key}` | {condition} | {one.unit} | {one.text} |")
    return "\n".join(lines) + "\n"


def costs_json(names: Iterable[str] = ()) -> str:
    """Every figure as an object; or those that are named."""
    import msgspec

    return _as_json(
        [
            {"of": title} | msgspec.structs.asdict(one)
            for title, definitions in _definitions(names).items()
            for one in definitions
        ]
    )


#: `vggcalc costs` in its formats.
COSTS_IN: dict[str, Callable[[Iterable[str]], str]] = {
    "table": costs_text,
    "markdown": costs_markdown,
    "json": costs_json,
}

NAMES_OF_COSTS = (
    "A cost has one name: NAME in JSON (.comparisons[].variants[].costs.NAME), as a column of CSV, in --columns and "
    "--sort; in --fail-if factorized.NAME, and factorized.ratio.NAME for variant / baseline or factorized.against.NAME "
    "for now / earlier."
)
