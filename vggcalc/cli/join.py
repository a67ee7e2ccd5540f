"""`vggcalc join`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vggcalc.cli.groups import Command, alone
from vggcalc.cli.options import WRITTEN

if TYPE_CHECKING:
    from vggcalc.cli.structs import OutputOptions


@click.command(cls=Command, epilog="Example: vggcalc join laptop.json server.json --host laptop --host server")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@alone(
    "Machines",
    "--host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="What a machine is called, in the order of the files. Repeatable.  [default: its processor and accelerators]",
)
@WRITTEN
def join(files: tuple[str, ...], hosts: tuple[str, ...], output: OutputOptions) -> None:
    """What several machines measured of the same comparison: each with its verdict, and where they disagree.

    Each FILE is what compare or factorize wrote on one machine with --output FILE.json. Two machines
    disagree where their 95% intervals, both over processes, do not overlap. Nothing is averaged over machines.
    """
    from vggcalc.library.documents import join as joined
    from vggcalc.pipeline.emit import message
    from vggcalc.pipeline.report import make_report
    from vggcalc.pipeline.run import write_report

    output.check_apart(*files)
    report = make_report("join", fleet=joined(files, hosts))
    write_report(report, output.format, output.path, output.detail)
    if output.mismatch:
        message(output.mismatch)
