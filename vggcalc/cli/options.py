"""The options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from vggcalc.cli.types import (
    Dtype,
    Integers,
    Into,
    Precision,
    Seconds,
    Size,
    StrideAt,
    Threads,
)
from vggcalc.nets.names import ACTIVATIONS, ITEMSIZE, MEMORY_FORMATS, MODES, WIDEN

Command = Callable[..., Any]


def options(*which: Command) -> Command:
    """Several options as one decorator, in the order given."""

    def decorate(command: Command) -> Command:
        for option in reversed(which):
            command = option(command)
        return command

    return decorate


def _models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """What MODEL may be, for the shell: the published names, and files."""
    from click.shell_completion import CompletionItem

    from vggcalc.nets.classics import CLASSICS
    from vggcalc.nets.vgg import ALIASES, CONFIGS

    names = [name for base in (*ALIASES, *CONFIGS) for name in (base, f"{base}_bn")] + list(CLASSICS)
    found = [CompletionItem(name) for name in names if name.lower().startswith(incomplete.lower())]
    return found or [CompletionItem(incomplete, type="file")]


LAYERS = options(
    click.option("--batch-norm", is_flag=True, default=None, help="Batch norm after every convolution."),
    click.option("--activation", type=click.Choice(list(ACTIVATIONS)), help="After every layer.  [default: relu]"),
    click.option("--bias/--no-bias", default=None, help="Convolutions with a bias.  [default: bias]"),
)

NETWORK = options(
    click.option("--batch", type=int, help="Images at once.  [default: 1]"),
    LAYERS,
    click.option(
        "--dtype",
        "dtypes",
        type=Dtype(list(ITEMSIZE)),
        multiple=True,
        help="Repeatable; the counts' bytes are the first's.  [default: float32]",
    ),
)

WIDTHS = click.option(
    "--widths",
    type=Integers("n,n,…", "list of widths: write them with commas, such as 32,32,64"),
    multiple=True,
    help="Channels out of each layer, or one number for all but the last. Repeatable.",
)

MODEL = options(
    click.argument("model", shell_complete=_models),
    click.option("--size", type=Size(), help="Image: 224 or HxW.  [default: the model's own, or 224]"),
    click.option(
        "--input",
        "input_",
        metavar="NxCxHxW",
        help="Of an imported model: its whole shape, such as 1x3x224x224.",
    ),
    click.option(
        "--arg",
        "args",
        metavar="NAME=VALUE",
        multiple=True,
        help="Of an imported model: an argument of its factory, such as pretrained=false. Repeatable.",
    ),
    click.option("--in-channels", type=int, help="Channels of the image.  [default: the model's own]"),
    click.option("--classes", type=int, help="Width of the last linear layer."),
)

SPLIT = options(
    click.option(
        "--into",
        type=Into(),
        metavar="all|FAMILY,…",
        help="Ways to factorize, side by side: see vggcalc families.  [default: stack]",
    ),
    click.option(
        "--stride-at",
        type=StrideAt(),
        multiple=True,
        metavar="last|first|N",
        help="Which layer has the stride: the last, the first of as few as cover the kernel, or the Nth "
        "of all. Repeatable.  [default: last]",
    ),
    click.option("--widen", type=click.Choice(WIDEN), help="Which layer changes the channels.  [default: first]"),
)

REPLACE = options(
    click.option("--min-kernel", type=int, help="Split kernels of so much or more.  [default: 5]"),
    click.option("--only", metavar="REGEX", help="Replace only convolutions in whose names this is found."),
    click.option("--merge", is_flag=True, help="Merge runs of convolutions instead of factorization kernels."),
)

MEASURE = options(
    click.option("--latency/--no-latency", default=True, show_default=True, help="Time the built modules."),
    click.option(
        "--check/--no-check", default=None, help="Count again with torch and fvcore.  [default: with latency]"
    ),
    click.option(
        "--device",
        "devices",
        multiple=True,
        help="cpu, cuda, mps, …; auto is the CPU and an accelerator. Repeatable.  [default: auto]",
    ),
    click.option("--threads", type=Threads(), multiple=True, help="On the CPU. Repeatable.  [default: 1]"),
    click.option("--mode", "modes", type=click.Choice(MODES), multiple=True, help="Repeatable.  [default: inference]"),
    click.option(
        "--memory-format",
        "memory_formats",
        type=click.Choice(MEMORY_FORMATS),
        multiple=True,
        help="Repeatable.  [default: contiguous]",
    ),
    click.option("--compile", "compiled", is_flag=True, help="torch.compile's modules beside the eager ones."),
    click.option("--cold", is_flag=True, help="Flush the caches before every call."),
    click.option("--budget", type=Seconds(), help="For each comparison and way of running.  [default: 30]"),
    click.option("--precision", type=Precision(), metavar="3%", help="Interval that is narrow enough.  [default: 3%]"),
    click.option("--processes", type=click.IntRange(1, 100), help="At most.  [default: 6]"),
    click.option("--rounds", type=click.IntRange(1, 100_000), help="In each process.  [default: until precise]"),
    click.option("--quick", is_flag=True, help="One process and 5 s: a claim for this process only."),
    click.option("--seed", type=click.IntRange(0, 2**50), help="Of weights, image and order.  [default: 0]"),
    click.option(
        "--allocator", type=click.Choice(("pinned", "default")), help="malloc's thresholds.  [default: pinned]"
    ),
)

GATE = options(
    click.option(
        "--fail-if",
        metavar="CONDITION",
        multiple=True,
        help='End with exit status 4 if it holds: "factorized.macs > 16G", "factorized.ratio.latency >= 90%". '
        "Repeatable.",
    ),
    click.option(
        "--against",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="An earlier JSON output: show what has changed since.",
    ),
)

PLOT = click.option(
    "--plot",
    type=click.Path(),
    metavar="FILE",
    help="Figures too, as .svg, .png or .pdf; needs pip install 'vggcalc[plot]'.",
)

WRITE = options(
    click.option(
        "--format",
        "format_",
        type=click.Choice(("table", "json", "csv", "markdown", "html")),
        help="[default: table]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Short for --format json."),
    click.option(
        "--output",
        type=click.Path(),
        metavar="FILE",
        help="Written whole or not at all; .json, .csv, .md, .html say the format.",
    ),
    PLOT,
)
