"""`vggcalc models`, `vggcalc families`, `vggcalc costs` and `vggcalc schema`."""

from __future__ import annotations

import click

from vggcalc.cli.types import Word
from vggcalc.pipeline.emit import json_for_stdout


@click.command(epilog="Example: vggcalc models --json | jq -r '.[].name'")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def models(as_json: bool) -> None:
    """What MODEL may be: the published VGG configurations, and how to write one."""
    _print(models_text(as_json), as_json)


@click.command(epilog="Example: vggcalc families --json | jq -r '.[].name'")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def families(as_json: bool) -> None:
    """What --into may be: the ways to factorize a convolution, and what each covers and gives up."""
    _print(families_text(as_json), as_json)


@click.command(epilog="Example: vggcalc costs --format markdown")
@click.option(
    "--format", "format_", type=Word(("table", "json", "markdown"), {"md": "markdown"}), default="table",
    metavar="table|json|markdown", help="[default: table]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
def costs(format_: str, as_json: bool) -> None:
    """What the columns of tables are: of each the key in JSON, the name in --fail-if, unit and definition."""
    form = "json" if as_json else format_
    _print(COSTS_IN[form](), form == "json")


@click.command(epilog="Example: vggcalc schema > vggcalc.schema.json")
@click.option("--json", is_flag=True, expose_value=False, help="As JSON, which it is.")
def schema() -> None:
    """The JSON Schema of the JSON output, version 1."""
    from vggcalc.report.formats.schema import json_schema

    _print(json_schema(), True)


def _print(text: str, is_json: bool) -> None:
    click.echo(json_for_stdout(text) if is_json else text, nl=False)


def families_text(as_json: bool) -> str:
    """Each family of factorizations: what it is and who proposed it."""
    from textwrap import wrap

    from vggcalc.nets.families import FAMILIES

    rows = [
        {
            "name": name,
            "says": family.description,
            "dims": list(family.dims),
            "source": " ".join((family.split.__doc__ or "").split()),
        }
        for name, family in FAMILIES.items()
    ]
    if as_json:
        return _as_json(rows)
    lines = []
    for row in rows:
        source = wrap(str(row["source"]), 78, initial_indent="  ", subsequent_indent="  ")
        dims = FAMILIES[str(row["name"])].dims
        where = "" if len(dims) == 3 else f" ({' and '.join(f'{n}-D' for n in dims)} only)"
        lines += [f"{row['name']}{where}: {row['says']}", *source, ""]
    return "\n".join(lines)


def models_text(as_json: bool) -> str:
    """The built-in networks, the VGGs under all their names, and how to write another."""
    from vggcalc.nets.classics import CLASSICS
    from vggcalc.nets.vgg import ALIASES, CONFIGS, SYNTAX

    torchvision = {net: alias for alias, net in ALIASES.items()}
    rows = [
        {"name": torchvision.get(net, net), "net": net, "features": tokens.split(",")}
        for net, tokens in CONFIGS.items()
    ]
    classics = [
        {
            "name": name,
            "net": name,
            "features": [],
            "source": (make.__doc__ or "").partition("\n")[0].rstrip("."),
        }
        for name, make in CLASSICS.items()
    ]
    if as_json:
        return _as_json([*rows, *classics])
    lines = ["Simonyan & Zisserman 2014, table 1 (with _bn behind the name: batch normalization)", ""]
    lines += [
        f"  {row['net']:6} {row['name'] if row['name'] != row['net'] else '':6} {CONFIGS[str(row['net'])]}"
        for row in rows
    ]
    lines += ["", "beside them, as published", ""]
    lines += [f"  {row['name']:13} {row['source']}" for row in classics]
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


def costs_text() -> str:
    """Every figure in two lines or more, for a terminal."""
    from textwrap import wrap

    from vggcalc.pipeline.run import screen_of
    from vggcalc.results.vocabulary import DEFINITIONS

    width = min(screen_of(True).width, 100)
    lines = [*wrap(f"{NAMES_OF_COSTS} What stands in brackets is in JSON alone.", width), ""]
    for title, definitions in DEFINITIONS.items():
        lines += [title, ""]
        for one in definitions:
            name = one.condition or f"({one.key})"
            lines.append(f"  {one.heading:25}{name:36}{one.unit}".rstrip())
            lines += wrap(one.text, width, initial_indent=" " * 4, subsequent_indent=" " * 4)
        lines.append("")
    return "\n".join(lines)


def costs_markdown() -> str:
    """Every figure in a row of a table."""
    from vggcalc.results.vocabulary import DEFINITIONS

    lines = [NAMES_OF_COSTS]
    for title, definitions in DEFINITIONS.items():
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


def costs_json() -> str:
    """Every figure as an object."""
    import msgspec

    from vggcalc.results.vocabulary import DEFINITIONS

    return _as_json(
        [
            {"of": title} | msgspec.structs.asdict(one)
            for title, definitions in DEFINITIONS.items()
            for one in definitions
        ]
    )


#: `vggcalc costs` in its formats.
COSTS_IN = {"table": costs_text, "markdown": costs_markdown, "json": costs_json}

NAMES_OF_COSTS = (
    "A cost has one name: NAME in JSON (.comparisons[].variants[].costs.NAME), as a column of CSV, in --columns and "
    "--sort; in --fail-if factorized.NAME, and factorized.ratio.NAME for variant / baseline or factorized.against.NAME "
    "for now / earlier."
)
