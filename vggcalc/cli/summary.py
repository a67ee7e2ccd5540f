"""`vggcalc summary`."""

from __future__ import annotations

from typing import Any

import click

import vggcalc
from vggcalc.cli.options import GATE, MEASURE, MODEL, NETWORK, WRITE
from vggcalc.cli.outputs import deliver, dtype
from vggcalc.cli.types import Integers


@click.command(epilog="Example: vggcalc summary vgg16 --no-latency")
@MODEL
@NETWORK
@click.option("--receptive-field", metavar="LAYER", help="With --unit: which pixels a unit of LAYER sees.")
@click.option(
    "--unit",
    type=Integers("y,x", "unit: write its row and column, counted from 0, such as 7,7"),
    help="Its place on the layer's map, from 0,0: row and column.",
)
@click.option(
    "--as",
    "counter",
    metavar="COUNTER",
    help="What fvcore, torch, torchinfo, ptflops, thop, … would report, and why.",
)
@MEASURE
@GATE
@WRITE
def summary(model: str, **given: Any) -> None:
    """One network, layer by layer. MODEL is what compare takes; importing one runs its code."""
    from vggcalc.cli import inputs as asked

    network, origin = asked.network(model, given)
    if (given["receptive_field"] is None) != (given["unit"] is None):
        raise click.UsageError("--receptive-field LAYER and --unit Y,X belong together: give both")
    comparison = vggcalc.summary(network, dtype=dtype(given))
    if given["unit"] is not None:
        from vggcalc.analysis.comparison import with_pixels

        comparison = with_pixels(comparison, network, given["receptive_field"], given["unit"])
    if given["counter"] is not None:
        from msgspec import structs

        from vggcalc.analysis.counters.rules import reconcile

        reconciliation = reconcile(comparison.variants[0], given["counter"])
        comparison = structs.replace(comparison, reconciliation=reconciliation)
    deliver("summary", [asked.with_origin(comparison, origin)], given)
