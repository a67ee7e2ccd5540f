"""The command line: what may be said, and what is called for it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

import vggcalc
from vggcalc.options import (
    GATE,
    LAYERS,
    MEASURE,
    MODEL,
    NETWORK,
    REPLACE,
    SPLIT,
    WIDTHS,
    WRITE,
    Dtype,
    Kernel,
    Numbers,
    Padding,
    Seconds,
    Size,
    Sizes,
    Threads,
    Unit,
)
from vggcalc.spec.words import ITEMSIZE, MODES, SpecError

if TYPE_CHECKING:
    from vggcalc.measurement.plan import Plan
    from vggcalc.report.gate import Gate
    from vggcalc.results import Comparison


class _Cli(click.Group):
    """Commands that end quietly when the reader of their standard output has gone (`| head`)."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # which click would make exit status 1
            from vggcalc.report.output import nothing_more_to_stdout

            nothing_more_to_stdout()
            return ctx.exit(0)


@click.group(
    cls=_Cli,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 something asked for could not be delivered, 2 wrong use or bad input, "
    "3 the crosscheck or the proof disagrees, 4 a --fail-if condition holds, 130 interrupted.",
)
@click.version_option(vggcalc.__version__, message="vggcalc %(version)s")
def cli() -> None:
    """What it costs to see k pixels, in one large convolution or in a stack of 3×3s.

    \b
    vggcalc factorize 7
    vggcalc compare vgg16 --no-latency
    vggcalc compare vgg16 --json | jq '.comparisons[0].ratios[0].costs.macs'
    """


@cli.command(epilog="Example: vggcalc factorize 5 7 9 11 --channels 128 --size 28 --no-latency")
@click.argument("kernels", type=Kernel(), nargs=-1, required=True, metavar="KERNEL...")
@click.option("--channels", type=int, help="Channels in and out.  [default: 64]")
@click.option("--in-channels", type=int, help="Channels in.  [default: 64]")
@click.option("--out-channels", type=int, help="Channels out.  [default: 64]")
@click.option("--size", type=Size(), help="Map: 56 or HxW.  [default: 56]")
@click.option("--stride", type=int, help="[default: 1]")
@click.option(
    "--padding", type=Padding(), default="same", show_default=True, help="Pixels, or same: keeps the map."
)
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
    "--prove",
    is_flag=True,
    help="Compose each variant without activations into one kernel, and compare both in float64.",
)
@NETWORK
@MEASURE
@GATE
@WRITE
def factorize(kernels: tuple[int, ...], **given: Any) -> None:
    """One k×k convolution against its stack of 3×3 layers, or what --into names, for every KERNEL."""
    from vggcalc import asked

    if given["stem"]:
        given = asked.stem(given)
    into, out_of = _channels(given)
    groups, stride = given["groups"], 1 if given["stride"] is None else given["stride"]
    if given["depthwise"]:
        if groups is not None:
            raise click.UsageError("--depthwise says the groups already: leave out --groups")
        groups = into
    if given["widths"] and given["widen"]:
        raise click.UsageError("--widths name every layer already: leave out --widen")
    if given["stride_at"] and stride == 1:
        raise click.UsageError("--stride-at places a stride, but --stride is 1: give --stride too")
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
            dtype=_dtype(given),
        )
        for kernel in kernels
    ]
    _deliver("factorize", comparisons, given)


def _channels(given: dict[str, Any]) -> tuple[int, int]:
    both, into, out_of = given["channels"], given["in_channels"], given["out_channels"]
    if both is not None and (into is not None or out_of is not None):
        raise click.UsageError("--channels says both ends: leave it out beside --in-channels or --out-channels")
    into = 64 if into is None else into
    return (both, both) if both is not None else (into, 64 if out_of is None else out_of)


def _dtype(given: dict[str, Any]) -> str:
    """The dtype of the counts' bytes."""
    return str(given["dtypes"][0]) if given["dtypes"] else "float32"


@cli.command(epilog='Example: vggcalc compare "64,64,M,128@7,M" --size 64 --no-latency')
@MODEL
@NETWORK
@SPLIT
@REPLACE
@MEASURE
@GATE
@WRITE
def compare(model: str, **given: Any) -> None:
    """A network with its runs of convolutions merged into large kernels against it as 3×3 stacks.

    MODEL is a name (see vggcalc models), tokens such as 64,M,128, a TOML or JSON file, - for
    standard input, or a module to import: torchvision:resnet50, timm:convnext_tiny,
    package.module:attribute, path/to/file.py:attribute. Importing a model runs its code.

    A model that is imported, AlexNet and GoogLeNet are compared as given with their large kernels
    split; with --min-kernel, --only or --merge every other is too.
    """
    from vggcalc import asked

    network, origin = asked.network(model, given)
    replacings = asked.replacings(model, network, origin, given)
    ways = asked.into(given)
    comparison = vggcalc.compare(
        network,
        splitting=next(iter(ways.values())),
        into=None if "factorized" in ways else ways,
        replacing=replacings,
        dtype=_dtype(given),
    )
    _deliver("compare", [asked.with_origin(comparison, origin, replacings)], given)


@cli.command(epilog="Example: vggcalc summary vgg16 --no-latency")
@MODEL
@NETWORK
@click.option("--receptive-field", metavar="LAYER", help="With --unit: which pixels a unit of LAYER sees.")
@click.option("--unit", type=Unit(), help="Its place on the layer's map, from 0,0: row and column.")
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
    from vggcalc import asked

    network, origin = asked.network(model, given)
    if (given["receptive_field"] is None) != (given["unit"] is None):
        raise click.UsageError("--receptive-field LAYER and --unit Y,X belong together: give both")
    comparison = vggcalc.summary(network, dtype=_dtype(given))
    if given["unit"] is not None:
        from vggcalc.analysis.comparison import with_pixels

        comparison = with_pixels(comparison, network, given["receptive_field"], given["unit"])
    if given["counter"] is not None:
        from msgspec import structs

        from vggcalc.analysis.counters import reconcile

        reconciliation = reconcile(comparison.variants[0], given["counter"])
        comparison = structs.replace(comparison, reconciliation=reconciliation)
    _deliver("summary", [asked.with_origin(comparison, origin)], given)


@cli.command(epilog="Example: vggcalc sweep --kernel 3:31:2 --channels 16,64,256 --into all --crossover")
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
@click.option(
    "--padding", type=Padding(), default="same", show_default=True, help="Pixels, or same: keeps the map."
)
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
@click.option(
    "--format", "format_", type=click.Choice(("table", "csv", "jsonl")), default="table", show_default=True
)
@click.option("--output", type=click.Path(), metavar="FILE", help="Rows as they come: .csv or .jsonl.")
@click.option("--resume", is_flag=True, help="Go on with an --output that is not complete.")
def sweep(**given: Any) -> None:
    """Every combination of kernels, channels, sizes and batches: a row for each variant of each."""
    from vggcalc import asked, sweeping
    from vggcalc.delivery import screen_of

    grid, what = asked.grid(given), asked.of_sweep(given)
    sys.exit(sweeping.run(grid, what, screen_of(True)))


@cli.command(epilog="Example: vggcalc models --json | jq -r '.[].name'")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def models(as_json: bool) -> None:
    """What MODEL may be: the published VGG configurations, and how to write one."""
    from vggcalc.report.listing import listing

    click.echo(listing(as_json), nl=False)


@cli.command(epilog="Example: vggcalc families --json | jq -r '.[].name'")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def families(as_json: bool) -> None:
    """What --into may be: the ways to factorize a convolution, and what each keeps and gives up."""
    from vggcalc.report.listing import families as listed

    click.echo(listed(as_json), nl=False)


@cli.command(epilog="Example: vggcalc schema > vggcalc.schema.json")
def schema() -> None:
    """The JSON Schema of the JSON output, version 1."""
    from vggcalc.report.schema import schema as document

    click.echo(document(), nl=False)


#: Options that only a measuring reads, by their parameter.
_OF_LATENCY = {
    "devices": "device", "threads": "threads", "modes": "mode", "memory_formats": "memory-format",
    "compiled": "compile", "cold": "cold", "budget": "budget", "precision": "precision",
    "processes": "processes", "rounds": "rounds", "quick": "quick", "seed": "seed", "allocator": "allocator",
}  # fmt: skip


def _deliver(command: str, comparisons: Sequence[Comparison], given: dict[str, Any]) -> None:
    """Hand the comparisons to be measured and written, and exit with what became of it."""
    from vggcalc.delivery import deliver

    format_ = given["format_"] or ("json" if given["as_json"] else _format_of(given["output"]))
    if given["as_json"] and format_ != "json":
        raise click.UsageError(f"--json and --format {format_} contradict each other")
    if format_ == "csv" and (given.get("counter") or given.get("unit")):
        raise click.UsageError("--as and --unit are no rows of a CSV: choose another format, or leave them out")
    if format_ == "csv" and given["against"]:
        raise click.UsageError("--against makes no rows of a CSV: choose another format, or leave it out")
    if not given["latency"]:
        for parameter, name in _OF_LATENCY.items():
            if given[parameter] not in (None, False, ()) and not (name == "seed" and given.get("prove")):
                raise click.UsageError(f"--{name} is for measuring: leave it out beside --no-latency")
    if given["quick"] and given["processes"] not in (None, 1):
        raise click.UsageError("--quick is one process: leave it out beside --processes")
    check = given["latency"] if given["check"] is None else given["check"]
    plan = _plan(given, check) if given["latency"] or check or given.get("prove") else None
    gate = _gate(comparisons, given) if given["fail_if"] or given["against"] else None
    path = None if given["output"] == "-" else given["output"]
    plot = given["plot"]
    if plot is not None and path is not None and os.path.realpath(plot) == os.path.realpath(path):
        raise click.UsageError(f"--plot and --output both name {plot}: give two files")
    sys.exit(deliver(command, comparisons, plan, format_, path, gate, plot))


def _gate(comparisons: Sequence[Comparison], given: dict[str, Any]) -> Gate:
    from vggcalc.report.gate import gate

    return gate(given["fail_if"], given["against"], comparisons, given["latency"])


def _format_of(output: str | None) -> str:
    """The format that a file's name asks for; a table where it asks for none."""
    suffix = os.path.splitext(output or "")[1].lower()
    return {".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html"}.get(suffix, "table")


def _plan(given: dict[str, Any], check: bool) -> Plan:
    from vggcalc.measurement.plan import Plan

    quick = given["quick"]
    chosen = {
        "devices": given["devices"] or None,
        "threads": tuple(dict.fromkeys(given["threads"])) or None,
        "modes": given["modes"] or None,
        "memory_formats": given["memory_formats"] or None,
        "executions": ("eager", "compiled") if given["compiled"] else None,
        "budget_s": given["budget"] or (5.0 if quick else None),
        "precision": given["precision"],
        "processes": 1 if quick else given["processes"],
        "rounds": given["rounds"],
        "seed": given["seed"],
    }
    return Plan(
        latency=given["latency"],
        check=check,
        prove=bool(given.get("prove")),
        dtypes=given["dtypes"] or ("float32",),
        cold=given["cold"],
        pin_allocator=given["allocator"] != "default",
        **{key: value for key, value in chosen.items() if value is not None},
    )


def main() -> None:
    """The console script: every error of the user's is one line and exit status 2."""
    gc.set_threshold(100_000)  # what is made here lives to the end: looking for garbage is in vain

    from vggcalc.report.output import OutputError, nothing_more_to_stdout

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it is open as long as we run
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        cli.main(prog_name="vggcalc", standalone_mode=False)
    except (SpecError, OutputError) as error:
        _fail(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.NoSuchOption as error:
        _fail(_negative(error) or error.format_message())
    except click.ClickException as error:
        _fail(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except OSError as error:
        nothing_more_to_stdout()
        _fail(f"standard output cannot be written: {error.strerror or error}")


def _negative(error: click.NoSuchOption) -> str | None:
    """`vggcalc factorize -3` is a negative kernel, not an option."""
    number = next((a for a in sys.argv if a.startswith(error.option_name) and a[1:2].isdigit()), None)
    return f"{number} is negative: a kernel is an odd number of 3 or more, such as 7" if number else None


def _fail(message: str) -> None:
    click.echo("vggcalc: error: " + " ".join(message.split()), err=True)
    sys.exit(2)
