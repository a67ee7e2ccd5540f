"""`vggcalc summary`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vggcalc.cli.groups import Command, alone
from vggcalc.cli.options import GATE_OF_ONE, INPUTS, MEASURING, MODELS, NETWORK, OUTPUT, TABLE
from vggcalc.cli.types import Parsed, parse_unit

if TYPE_CHECKING:
    from vggcalc.analysis.modules import SummaryOptions
    from vggcalc.cli.structs import GateOptions, InputOptions, MeasuringOptions, OutputOptions
    from vggcalc.library.models import Overrides


@click.command(cls=Command, epilog="Example: vggcalc summary vgg16 --no-latency")
@MODELS
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
    type=Parsed("Y,X", parse_unit),
    help="The unit's position on the layer's feature map, from 0,0: row and column.",
)
@alone(
    "Summary",
    "--as",
    "counter",
    metavar="COUNTER",
    common=True,
    help="What fvcore, torch, torchinfo, ptflops, thop, … would report, and why.",
)
@TABLE
@MEASURING
@GATE_OF_ONE
@OUTPUT
def summary(
    models: tuple[str, ...],
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
    importing one runs its code. Several models, or all that match "timm:convnext*", are counted in a row each,
    not timed; --sort and --top choose among them.
    """
    from vggcalc.analysis.networks import summarize
    from vggcalc.cli.run import finish, finish_models
    from vggcalc.cli.structs import read_standard_input
    from vggcalc.library.many import is_pattern
    from vggcalc.library.models import resolve

    if (receptive_field is None) != (unit is None):
        raise click.UsageError("--receptive-field LAYER and --unit Y,X belong together: give both")
    if len(models) > 1 or is_pattern(models[0]):
        of_one: dict[str, object] = {
            "--unit": unit is not None,
            "--as": counter,
            "--depth": table.depth,
            "--columns": table.columns,
            "--fail-if": gate.fail_if,
            "--against": gate.against,
            "--plot": output.plot,
            "--format html": output.format == "html",
            "--rows": output.rows,
        }
        refused = [name for name, given in of_one.items() if given]
        if refused:
            raise click.UsageError(f"{refused[0]} is for one model")
        finish_models(models, overrides, shape, table, measuring, output)
    (model,) = models
    network, origin = resolve(model, shape.inputs, overrides, read_standard_input, shape.cache)
    place = None if receptive_field is None or unit is None else (receptive_field, unit)
    comparison = summarize(network, measuring.dtype(network.dtype), place, counter, origin, table)
    lost = [name for name, value in (("--as", counter), ("--unit", unit)) if value is not None]
    finish("summary", [comparison], measuring, gate, output, sources=[model], not_in_csv=lost)
