"""`vggcalc factorize`."""

from __future__ import annotations

from typing import Any

import click

import vggcalc
from vggcalc.cli.options import GATE, MEASURE, NETWORK, SPLIT, WIDTHS, WRITE
from vggcalc.cli.outputs import deliver, dtype
from vggcalc.cli.types import Kernel, Padding, Size


@click.command(epilog="Example: vggcalc factorize 5 7 9 11 --channels 128 --size 28 --no-latency")
@click.argument("kernels", type=Kernel(), nargs=-1, required=True, metavar="KERNEL...")
@click.option("--channels", type=int, help="Channels in and out.  [default: 64]")
@click.option("--in-channels", type=int, help="Channels in.  [default: 64]")
@click.option("--out-channels", type=int, help="Channels out.  [default: 64]")
@click.option("--size", type=Size(), help="Map: 56 or HxW.  [default: 56]")
@click.option("--stride", type=int, help="[default: 1]")
@click.option("--padding", type=Padding(), default="same", show_default=True, help="Positions, or same: keeps the map.")
@click.option("--dilation", type=int, default=1, show_default=True)
@click.option("--groups", type=int, help="[default: 1]")
@click.option("--depthwise", is_flag=True, help="As many groups as channels in.")
@click.option(
    "--stem",
    is_flag=True,
    help="The first layer of a network: 3 → 64 channels, stride 2, 224×224, in every placement of the "
    "stride, with 64 channels between the layers and with ResNet-C's 32.",
)
@SPLIT
@WIDTHS
@click.option(
    "--verify",
    is_flag=True,
    help="Compose each variant without activations into one kernel, and compare both in float64.",
)
@NETWORK
@MEASURE
@GATE
@WRITE
def factorize(kernels: tuple[int, ...], **given: Any) -> None:
    """One k×k convolution against its stack of 3×3 layers, or what --into names, for every KERNEL."""
    from vggcalc.cli import inputs as asked

    if given["stem"]:
        given = asked.stem(given, max(kernels))
    stride = 1 if given["stride"] is None else given["stride"]
    into, out_of = (64 if n is None else n for n in (given["in_channels"], given["out_channels"]))
    asked.check(given, stride != 1, into != out_of)
    if given["channels"] is not None:
        into = out_of = given["channels"]
    groups = into if given["depthwise"] else given["groups"]
    comparisons = [
        vggcalc.factorize(
            kernel,
            in_channels=into,
            out_channels=out_of,
            size=given["size"] or 56,
            batch=1 if given["batch"] is None else given["batch"],
            stride=stride,
            padding=given["padding"],
            dilation=given["dilation"],
            groups=1 if groups is None else groups,
            bias=given["bias"] is not False,
            batch_norm=bool(given["batch_norm"]),
            activation=given["activation"] or "relu",
            into=asked.into(given),
            dtype=dtype(given),
        )
        for kernel in kernels
    ]
    deliver("factorize", comparisons, given)
