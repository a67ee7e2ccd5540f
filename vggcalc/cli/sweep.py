"""`vggcalc sweep`."""

from __future__ import annotations

import sys
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from vggcalc.cli.options import LAYERS, PLOT, SPLIT, WIDTHS
from vggcalc.cli.types import MOST_NUMBERS, Dtype, Numbers, Padding, Seconds, Sizes, Threads
from vggcalc.nets.names import ITEMSIZE, MODES

if TYPE_CHECKING:
    from vggcalc.analysis.sweep import Grid
    from vggcalc.pipeline.sweep import SweepRequest


@click.command(epilog="Example: vggcalc sweep --kernel 3:31:2 --channels 16,64,256 --into all --crossover")
@click.option("--kernel", "kernels", type=Numbers(), required=True, help="Such as 3:31:2.")
@click.option("--channels", type=Numbers(), help="Channels in and out.  [default: 64]")
@click.option("--in-channels", type=Numbers(), help="Channels in, each with every --out-channels.")
@click.option("--out-channels", type=Numbers(), help="Channels out.")
@click.option("--size", "sizes", type=Sizes(), default="56", show_default=True, help="Maps: 7,14 or HxW,….")
@click.option("--batch", "batches", type=Numbers(), default="1", show_default=True)
@click.option("--stride", "strides", type=Numbers(), default="1", show_default=True)
@click.option("--dilation", "dilations", type=Numbers(), default="1", show_default=True)
@click.option("--groups", type=Numbers(), help="[default: 1]")
@click.option("--depthwise", is_flag=True, help="As many groups as channels in.")
@click.option("--padding", type=Padding(), default="same", show_default=True, help="Positions, or same: keeps the map.")
@SPLIT
@WIDTHS
@LAYERS
@click.option("--dtype", type=Dtype(list(ITEMSIZE)), default="float32", show_default=True)
@click.option("--latency", is_flag=True, help="Time every point too.")
@click.option("--budget", type=Seconds(), help="For all the timing together.  [default: 300]")
@click.option("--device", help="To time on: cpu, cuda, mps, ….  [default: cpu]")
@click.option("--threads", type=Threads(), help="To time with.  [default: 1]")
@click.option("--mode", type=click.Choice(MODES), help="To time.  [default: inference]")
@click.option("--seed", type=click.IntRange(0, 2**50), help="Of weights, image and order.  [default: 0]")
@click.option(
    "--crossover",
    is_flag=False,
    flag_value="kernel",
    metavar="[AXIS]",
    help="From which kernel (or channels, size, batch, stride, …) on each variant is below naive.",
)
@click.option("--format", "format_", type=click.Choice(("table", "csv", "jsonl")), default="table", show_default=True)
@click.option("--output", type=click.Path(), metavar="FILE", help="Rows as they come: .csv or .jsonl.")
@click.option("--resume", is_flag=True, help="Go on with an --output that is not complete.")
@PLOT
def sweep(**given: Any) -> None:
    """Every combination of kernels, channels, sizes and batches: a row for each variant of each."""
    grid, asked = _grid(given), _asked(given)
    from vggcalc.pipeline import sweep as sweeping
    from vggcalc.pipeline.run import screen_of

    sys.exit(sweeping.run(grid, asked, screen_of(True)))


def _grid(given: dict[str, Any]) -> Grid:
    """The axes of a sweep. Raises `click.UsageError` for options that contradict each other."""
    from vggcalc.analysis.sweep import Grid
    from vggcalc.cli.inputs import check, into
    from vggcalc.nets.families import check_kernel
    from vggcalc.nets.layers import check_number

    both, into_channels, out_channels = (given[name] for name in ("channels", "in_channels", "out_channels"))
    ends = (into_channels or (64,), out_channels or (64,))
    if len(ends[0]) * len(ends[1]) > MOST_NUMBERS:
        raise click.UsageError(
            f"--in-channels with --out-channels make more than {MOST_NUMBERS:,} pairs: give larger steps"
        )
    pairs = [(n, n) for n in both] if both else list(product(*ends))
    check(given, given["strides"] != (1,), any(into != out_of for into, out_of in pairs))
    axes = [given[name] for name in ("batches", "strides", "dilations")] + [sum(given["sizes"], ())]
    for name, numbers in zip(("--batch", "--stride", "--dilation", "--size"), axes, strict=True):
        for number in numbers:
            check_number(name, number)
    for number in (*(both or ()), *(into_channels or ()), *(out_channels or ()), *(given["groups"] or ())):
        check_number("channels and groups:", number)
    for kernel in given["kernels"]:
        check_kernel(kernel)
    chosen = into(given)
    return Grid(
        given["kernels"],
        tuple(pairs),
        given["sizes"],
        given["batches"],
        given["strides"],
        given["dilations"],
        (None,) if given["depthwise"] else given["groups"] or (1,),
        {"stack": chosen["factorized"]} if "factorized" in chosen else chosen,
        given["padding"],
        given["bias"] is not False,
        bool(given["batch_norm"]),
        given["activation"] or "relu",
        given["dtype"],
    )


#: What only the timing of a sweep reads.
_TIMING = ("budget", "device", "threads", "mode", "seed")


def _asked(given: dict[str, Any]) -> SweepRequest:
    """What becomes of a sweep's rows. Raises `click.UsageError` for options that contradict each other."""
    from vggcalc.cli.outputs import check_apart
    from vggcalc.pipeline.sweep import SweepRequest

    if given["resume"] and given["output"] in (None, "-"):
        raise click.UsageError("--resume goes on with a file: give --output FILE too")
    if given["device"] == "auto":
        raise click.UsageError("--device auto may be several: name one, such as cpu")
    plan = None
    if given["latency"]:
        from vggcalc.measurement.plan import Plan

        plan = Plan(
            check=False,
            devices=(given["device"] or "cpu",),
            dtypes=(given["dtype"],),
            threads=(given["threads"] or 1,),
            modes=(given["mode"] or "inference",),
            budget_s=given["budget"] or 300.0,
            seed=given["seed"] or 0,
        )
    for name in _TIMING if plan is None else ():
        if given[name] is not None:
            raise click.UsageError(f"--{name} is for timing: give --latency too, or leave it out")
    path = None if given["output"] == "-" else given["output"]
    check_apart(given["plot"], path)
    return SweepRequest(given["format_"], path, given["resume"], given["crossover"], plan, given["plot"])
