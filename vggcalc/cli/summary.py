"""`vggcalc summary`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vggcalc.cli.groups import Command, alone
from vggcalc.cli.options import GATE, INPUTS, MEASURING, MODEL, NETWORK, OUTPUT, TABLE
from vggcalc.cli.types import Parsed, parse_unit

if TYPE_CHECKING:
    from vggcalc.analysis.modules import SummaryOptions
    from vggcalc.cli.structs import GateOptions, InputOptions, MeasuringOptions, OutputOptions
    from vggcalc.library.models import Overrides


@click.command(cls=Command, epilog="Example: vggcalc summary vgg16 --no-latency")
@MODEL
@NETWORK
@INPUTS
@alone(
    "Summary",
    "--receptive-field",
    metavar="LAYER",
    help="With --unit: on which part of the input a unit of LAYER depends.",
)
@alone(
    "Summary",
    "--unit",
    type=Parsed("y,x", parse_unit),
    help="The unit's position on the layer's feature map, from 0,0: row and column.",
)
@alone(
    "Summary",
    "--as",
    "counter",
    metavar="COUNTER",
    help="What fvcore, torch, torchinfo, ptflops, thop, … would report, and why.",
)
@TABLE
@MEASURING
@GATE
@OUTPUT
def summary(
    model: str,
    receptive_field: str | None,
    unit: tuple[int, ...] | None,
    counter: str | None,
    overrides: Overrides,
    shape: InputOptions,
    table: SummaryOptions,
    measuring: MeasuringOptions,
    gate: GateOptions,
    output: OutputOptions,
) -> None:
    """One network, module by module: its layers, or where these are many as deep as fits a screen.

    What is shown adds up to the total; JSON and CSV have every layer in any case. MODEL is what compare takes;
    importing one runs its code.
    """
    from vggcalc.analysis.networks import summarize
    from vggcalc.cli.run import finish
    from vggcalc.cli.structs import read_standard_input
    from vggcalc.library.models import resolve

    if (receptive_field is None) != (unit is None):
        raise click.UsageError("--receptive-field LAYER and --unit Y,X belong together: give both")
    network, origin = resolve(model, shape.inputs, overrides, read_standard_input, shape.cache)
    place = None if receptive_field is None or unit is None else (receptive_field, unit)
    comparison = summarize(network, measuring.dtype(network.dtype), place, counter, origin, table)
    lost = [name for name, value in (("--as", counter), ("--unit", unit)) if value is not None]
    finish("summary", [comparison], measuring, gate, output, sources=[model], not_in_csv=lost)
