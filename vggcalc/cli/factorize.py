"""`vggcalc factorize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vggcalc.cli.convolutions import causal_option, dims_option, layer_options
from vggcalc.cli.groups import Command, alone, group, option
from vggcalc.cli.options import FACTORIZING, GATE, MEASURING, OUTPUT, SIZE_TYPE
from vggcalc.cli.types import Parsed, parse_kernels
from vggcalc.library import per_axis

if TYPE_CHECKING:
    from vggcalc.cli.structs import GateOptions, MeasuringOptions, OutputOptions
    from vggcalc.library.factorizing import FactorizingOptions
    from vggcalc.library.kernels import KernelOptions
    from vggcalc.results import Comparison

KERNEL = group(
    "kernel",
    "Kernel",
    "vggcalc.library.kernels:KernelOptions",
    option("--channels", type=int, common=True, help="Channels in and out.  [default: 64]"),
    option("--in-channels", type=int, help="Channels in.  [default: 64]"),
    option("--out-channels", type=int, help="Channels out.  [default: 64]"),
    dims_option("Spatial axes: 1, 2 or 3.  [default: as many as KERNEL has numbers, or 2]"),
    option(
        "--size",
        type=SIZE_TYPE,
        common=True,
        help="Of the input feature map.  [default: 56; 3136 in one dimension, 16 in three]",
    ),
    option("--batch", type=int, help="Batch size.  [default: 1]"),
    option(
        "--stride", type=Parsed("N|NxN", per_axis.parse_stride), common=True, help="2, or by axis 1x2x2.  [default: 1]"
    ),
    option("--dilation", type=Parsed("N|NxN", per_axis.parse_dilation), help="[default: 1]"),
    option("--groups", type=int, help="[default: 1]"),
    option("--depthwise", is_flag=True, default=None, help="As many groups as channels in."),
    option(
        "--padding",
        type=Parsed("same|N|NxN", per_axis.parse_padding),
        help="On each side, or same to keep the size.  [default: same]",
    ),
    causal_option(),
    *layer_options(),
)


@click.command(cls=Command, epilog="Example: vggcalc factorize 5 7 9 11 --channels 128 --size 28 --no-latency")
@click.argument("kernel_sizes", type=Parsed("kernel", parse_kernels), nargs=-1, required=True, metavar="KERNEL...")
@KERNEL
@alone(
    "Kernel",
    "--stem",
    is_flag=True,
    common=True,
    help="The first layer of a network: 3 → 64 channels, stride 2, 224×224, in every placement of the "
    "stride, with 64 channels between the layers and with ResNet-C's 32.",
)
@alone(
    "Kernel",
    "--weights",
    metavar="FILE",
    common=True,
    help="A trained kernel, of a .safetensors or .pt file: what of it each family can say. Its shape says channels "
    "and groups: where a channel reads one, it is depthwise.",
)
@alone("Kernel", "--key", metavar="NAME", help="The kernel's name in --weights, such as features.0.weight.")
@FACTORIZING
@alone(
    "Measuring",
    "--verify",
    is_flag=True,
    help="Compose each variant without activations into one kernel, and compare both in float64.",
)
@MEASURING
@GATE
@OUTPUT
def factorize(
    kernel_sizes: tuple[tuple[int | tuple[int, ...], ...], ...],
    stem: bool,
    weights: str | None,
    key: str | None,
    verify: bool,
    kernel: KernelOptions,
    factorizing: FactorizingOptions,
    measuring: MeasuringOptions,
    gate: GateOptions,
    output: OutputOptions,
) -> None:
    """One convolution against its stack of 3×3 layers, or what --into names, for every KERNEL.

    KERNEL is a number, 7 for 7×7, or one for each axis: 1x7, 5x5x5, 3x7x7; with --dims 7 is 7 or 7×7×7.
    """
    from vggcalc.cli.run import finish
    from vggcalc.library.kernels import factorize_options
    from vggcalc.nets.graph import MOST_LAYERS

    if weights is not None or key is not None:
        comparison = _trained_comparison(kernel_sizes, stem, weights, key, kernel, factorizing, measuring)
        finish("factorize", [comparison], measuring, gate, output, verify=verify, sources=[weights or ""])
        return
    sizes = list(dict.fromkeys(size for several in kernel_sizes for size in several))
    comparisons = []
    for size in sizes:
        comparisons.append(factorize_options(size, kernel, factorizing, stem, measuring.dtype()))
        if sum(len(variant.layers) for one in comparisons for variant in one) > MOST_LAYERS:
            raise click.UsageError(f"so many kernels have more than {MOST_LAYERS:,} layers: ask for fewer, or sweep")
    finish("factorize", comparisons, measuring, gate, output, verify=verify)


def _trained_comparison(
    kernel_sizes: tuple[tuple[int | tuple[int, ...], ...], ...],
    stem: bool,
    weights: str | None,
    key: str | None,
    kernel: KernelOptions,
    factorizing: FactorizingOptions,
    measuring: MeasuringOptions,
) -> Comparison:
    """What of one trained kernel each family can say."""
    from vggcalc.library.trained import factorize_trained
    from vggcalc.pipeline.progress import Progress

    sizes = [size for several in kernel_sizes for size in several]
    if weights is None:
        raise click.UsageError(f"--key {key} is in a file of weights: give --weights FILE too")
    if len(sizes) > 1 or stem:
        what = "--stem asks what a first layer costs" if stem else f"{len(sizes)} kernels are asked for"
        raise click.UsageError(f"{what}, and --weights holds one: leave out one of them")
    progress = Progress()
    try:
        return factorize_trained(sizes[0], kernel, factorizing, weights, key, measuring.dtype(), progress)
    finally:
        progress.close()
