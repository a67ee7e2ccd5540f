"""`vggcalc sweep`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from vggcalc.cli.convolutions import causal_option, dims_option, layer_options
from vggcalc.cli.groups import Command, group, option
from vggcalc.cli.options import DTYPE, FACTORIZING, PLOTTING, SECONDS_TYPE, THREADS
from vggcalc.cli.types import Parsed, Word
from vggcalc.library import arguments, per_axis
from vggcalc.nets.names import MODES

if TYPE_CHECKING:
    from vggcalc.cli.structs import SweepOutput, SweepTiming
    from vggcalc.library.factorizing import FactorizingOptions
    from vggcalc.library.sweeping import SweepAxes

NUMBERS = Parsed("N,…|FROM:TO:STEP", arguments.parse_numbers)

GRID_AXES = group(
    "axes",
    "Axes",
    "vggcalc.library.sweeping:SweepAxes",
    option("--kernel", "kernels", type=NUMBERS, required=True, common=True, help="Such as 3:31:2."),
    dims_option("Spatial axes: 1, 2 or 3.  [default: 2]"),
    option("--channels", type=NUMBERS, common=True, help="Channels in and out.  [default: 64]"),
    option("--in-channels", type=NUMBERS, help="Channels in, each with every --out-channels.  [default: 64]"),
    option("--out-channels", type=NUMBERS, help="Channels out.  [default: 64]"),
    option(
        "--size",
        "sizes",
        type=Parsed("SIZE,…|FROM:TO:STEP", per_axis.parse_sizes),
        common=True,
        help="Input sizes: 7,14 or HxW,….  [default: 56; 3136 in one dimension, 16 in three]",
    ),
    option("--batch", "batches", type=NUMBERS, help="[default: 1]"),
    option("--stride", "strides", type=NUMBERS, common=True, help="[default: 1]"),
    option("--dilation", "dilations", type=NUMBERS, help="[default: 1]"),
    option("--groups", type=NUMBERS, help="[default: 1]"),
    option("--depthwise", is_flag=True, default=None, common=True, help="As many groups as channels in."),
    option(
        "--padding",
        type=Parsed("same|N", per_axis.parse_padding),
        help="On each side, or same to keep the size.  [default: same]",
    ),
    causal_option(),
    *layer_options(),
    option("--dtype", type=DTYPE, help="[default: float32]"),
)

TIMING = group(
    "timing",
    "Measuring",
    "vggcalc.cli.structs:SweepTiming",
    option("--latency", is_flag=True, default=None, common=True, help="Time every point too."),
    option("--budget", type=SECONDS_TYPE, common=True, help="Seconds for all points together.  [default: 300]"),
    option("--device", type=Parsed("NAME", str.lower), help="cpu, cuda, mps, ….  [default: cpu]"),
    option("--threads", type=THREADS, help="CPU threads.  [default: 1]"),
    option("--mode", type=Word(MODES), help="Forward, or forward and backward.  [default: inference]"),
    option("--processes", type=click.IntRange(1, 100), help="The most processes for each point.  [default: 6]"),
    option("--rounds", type=click.IntRange(1, 100_000), help="Rounds in each process.  [default: until precise]"),
    option("--seed", type=click.IntRange(0, 2**50), help="Seed of weights, input and order.  [default: 0]"),
)

ROWS = group(
    "output",
    "Output",
    "vggcalc.cli.structs:SweepOutput",
    option(
        "--crossover",
        is_flag=False,
        flag_value="kernel",
        type=Parsed("AXIS", str.lower),
        common=True,
        metavar="[AXIS]",
        help="From which kernel (or channels, size, batch, stride, …) on each variant is below naive.",
    ),
    option("--format", "format_", type=Word(("table", "csv", "jsonl")), common=True, help="[default: table]"),
    option(
        "--output",
        "-o",
        type=click.Path(),
        metavar="FILE",
        common=True,
        help="Rows as they are computed: .csv or .jsonl.  [default: standard output]",
    ),
    option("--brief", is_flag=True, default=None, common=True, help="Of a table the answer and at most six rows."),
    option("--resume", is_flag=True, default=None, help="Continue an --output that is not complete."),
    *PLOTTING,
)


@click.command(cls=Command, epilog="Example: vggcalc sweep --kernel 3:31:2 --channels 16,64,256 --into all --crossover")
@GRID_AXES
@FACTORIZING
@TIMING
@ROWS
def sweep(axes: SweepAxes, factorizing: FactorizingOptions, timing: SweepTiming, output: SweepOutput) -> None:
    """Every combination of kernels, channels, sizes and batches: a row for each variant of each."""
    from vggcalc.cli.structs import OutputOptions
    from vggcalc.library.sweeping import grid
    from vggcalc.pipeline.run import screen_of
    from vggcalc.pipeline.sweep import SweepRequest, run_sweep

    if output.resume and output.output in (None, "-"):
        raise click.UsageError("--resume continues a file: give --output FILE too")
    target = OutputOptions(output=output.output, plot=output.plot, figure=output.figure, width=output.width)
    target.check_apart()
    plan = timing.plan(axes.dtype)
    points = grid(axes, factorizing)
    request = SweepRequest(
        output.format_, target.path, output.resume, output.crossover, output.brief, plan, target.picture()
    )
    sys.exit(run_sweep(points, request, screen_of(True)))
