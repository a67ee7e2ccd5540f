"""`vggcalc models`, `vggcalc families` and `vggcalc schema`."""

from __future__ import annotations

import click

from vggcalc.pipeline.emit import json_for_stdout


@click.command(epilog="Example: vggcalc models --json | jq -r '.[].name'")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def models(as_json: bool) -> None:
    """What MODEL may be: the published VGG configurations, and how to write one."""
    from vggcalc.report.listing import listing

    _print(listing(as_json), as_json)


@click.command(epilog="Example: vggcalc families --json | jq -r '.[].name'")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def families(as_json: bool) -> None:
    """What --into may be: the ways to factorize a convolution, and what each keeps and gives up."""
    from vggcalc.report.listing import families as listed

    _print(listed(as_json), as_json)


@click.command(epilog="Example: vggcalc schema > vggcalc.schema.json")
def schema() -> None:
    """The JSON Schema of the JSON output, version 1."""
    from vggcalc.report.formats.schema import schema as document

    _print(document(), True)


def _print(text: str, is_json: bool) -> None:
    click.echo(json_for_stdout(text) if is_json else text, nl=False)
