"""The groups of options that commands share, each with the struct that it becomes.

It is over 300 lines long because the groups stand together.
"""

from __future__ import annotations

from typing import Any

import click

from vggcalc.cli import types
from vggcalc.cli.convolutions import dims_option, layer_options
from vggcalc.cli.groups import Decorator, group, option
from vggcalc.cli.types import Parsed, Word
from vggcalc.library import arguments, per_axis
from vggcalc.nets.names import BETWEEN, IF_FEWER, MEMORY_FORMATS, MODES, PAD_AT, WIDEN

DTYPE = Parsed("float32|float64|bfloat16|float16", arguments.parse_dtype)
SIZE_TYPE = Parsed("N|HxW|TxHxW", per_axis.parse_size)
SECONDS_TYPE = Parsed("SECONDS", types.parse_seconds)
THREADS = Parsed("N|all", types.parse_threads)


def _models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Completions of MODEL for the shell: the published names, and files."""
    from click.shell_completion import CompletionItem

    from vggcalc.nets.classics import CLASSICS
    from vggcalc.nets.vgg import ALIASES, CONFIGS

    names = [name for base in (*ALIASES, *CONFIGS) for name in (base, f"{base}_bn")] + list(CLASSICS)
    found = [CompletionItem(name) for name in names if name.lower().startswith(incomplete.lower())]
    return found or [CompletionItem(incomplete, type="file")]


def _parse_arguments(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> Any:
    """`NAME=VALUE`s as a dictionary."""
    if not values:
        return None
    from vggcalc.nets.origins import arguments as parsed

    return parsed(values)


MODEL = click.argument("model", shell_complete=_models)
MODELS = click.argument("models", metavar="MODEL...", nargs=-1, required=True, shell_complete=_models)

NETWORK = group(
    "overrides",
    "Model",
    "vggcalc.library.models:Overrides",
    option("--size", type=SIZE_TYPE, common=True, help="Of the input.  [default: the model's own, or 224]"),
    dims_option("Spatial axes of tokens or of --size: 1, 2 or 3.  [default: the model's own, or 2]"),
    option("--batch", type=int, help="Batch size.  [default: 1]"),
    option("--in-channels", type=int, help="Channels of the input.  [default: the model's own]"),
    option("--classes", type=int, help="Width of the last linear layer.  [default: the model's own]"),
    *layer_options(),
    option(
        "--arg",
        "arguments",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_parse_arguments,
        help="An argument of an imported model's factory, such as pretrained=false. Repeatable.",
    ),
    option(
        "--formulas",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE.py",
        help="MACs of operators or module classes of an imported model: a file that calls vggcalc.register_formula.",
    ),
)

INPUTS = group(
    "shape",
    "Model",
    "vggcalc.cli.structs:InputOptions",
    option(
        "--input",
        "tensors",
        metavar="[NAME=]NxCxHxW[:DTYPE]",
        multiple=True,
        common=True,
        help="The whole shape that the model takes, such as 1x3x224x224. Repeatable, in the order of the arguments, or "
        "with their names: context=1x77x768, ids=1x77:int64.  [default: by --size and --batch]",
    ),
    option(
        "--inputs",
        "made_by",
        metavar="FILE.py:FUNCTION",
        help="What the model is called with, as a function returns it: a list of arguments, or a dict by their names.",
    ),
    option(
        "--cache/--no-cache",
        default=None,
        help="Keep traces of installed packages' models, see vggcalc cache.  [default: cache]",
    ),
)

FACTORIZING = group(
    "factorizing",
    "Factorizing",
    "vggcalc.library.factorizing:FactorizingOptions",
    option(
        "--into",
        type=Parsed("all|FAMILY,…", arguments.parse_families),
        common=True,
        help="Families, side by side: see vggcalc families.  [default: stack]",
    ),
    option(
        "--stride-at",
        type=Parsed("last|first|N", arguments.parse_stride_at),
        multiple=True,
        help="Which layer has the stride: the last, the first of as few as cover the kernel, or the Nth "
        "of all. Repeatable.  [default: last]",
    ),
    option(
        "--widths",
        type=Parsed("N,N,…", arguments.parse_widths),
        multiple=True,
        help="Channels out of each layer, or one number for all but the last. Repeatable.  [default: by --widen]",
    ),
    option("--widen", type=Word(WIDEN), help="Which layer changes the channels.  [default: first]"),
    option(
        "--pad-at",
        type=Word(PAD_AT),
        help="Which layer pads: each, or the first for all, so that none sees zeros between.  [default: each]",
    ),
    option(
        "--between",
        type=Word(BETWEEN),
        help="What stands between the layers: batch norm and activation, or nothing.  [default: activation]",
    ),
)

REPLACING = group(
    "replacing",
    "Factorizing",
    "vggcalc.library.factorizing:ReplacingOptions",
    option("--min-kernel", type=int, common=True, help="Split kernels of this size or larger.  [default: 5]"),
    option("--only", metavar="REGEX", help="Replace only convolutions in whose names this is found.  [default: all]"),
    option("--if-fewer", type=Word(IF_FEWER), help="Replace only where that lowers this cost.  [default: always]"),
    option("--merge", is_flag=True, default=None, help="Merge runs of convolutions instead of splitting kernels."),
)

TABLE = group(
    "table",
    "Table",
    "vggcalc.analysis.modules:SummaryOptions",
    option(
        "--depth", type=click.IntRange(1), common=True, help="Modules down to this depth.  [default: as fits a screen]"
    ),
    option(
        "--columns",
        type=Parsed("COST,…", arguments.parse_costs),
        help="These costs alone, such as macs,saved_bytes: see vggcalc costs.  [default: as many as fit]",
    ),
    option(
        "--sort",
        type=Parsed("COST", arguments.parse_cost),
        common=True,
        help="Rows with most of this cost first.  [default: in order, or with --top macs]",
    ),
    option("--top", type=click.IntRange(1), common=True, help="So many rows.  [default: all]"),
    option(
        "--all-rows",
        is_flag=True,
        default=None,
        help="Rows without any cost too, and equal modules apart.  [default: left out, and folded with ×N]",
    ),
)

MEASURING = group(
    "measuring",
    "Measuring",
    "vggcalc.cli.structs:MeasuringOptions",
    option("--latency/--no-latency", default=None, common=True, help="Time the built modules.  [default: latency]"),
    option(
        "--check/--no-check",
        default=None,
        help="Count again with torch and fvcore.  [default: with latency, but not with --quick]",
    ),
    option(
        "--erf",
        "effective",
        is_flag=True,
        default=None,
        help="Effective receptive field (Luo et al. 2016): the squares that hold 50% and 95% of the gradient's energy.",
    ),
    option(
        "--erf-samples",
        "effective_samples",
        type=click.IntRange(1, 1000),
        help="Random inputs over which --erf is averaged.  [default: 20]",
    ),
    option(
        "--device",
        "devices",
        type=Parsed("NAME", str.lower),
        multiple=True,
        common=True,
        help="cpu, cuda, mps, …; auto is the CPU and an accelerator. Repeatable.  [default: auto]",
    ),
    option("--threads", type=THREADS, multiple=True, help="CPU threads. Repeatable.  [default: 1]"),
    option(
        "--dtype",
        "dtypes",
        type=DTYPE,
        metavar="DTYPE",
        multiple=True,
        common=True,
        help="float32, float64, bfloat16, float16; counts' bytes are the first's. Repeatable.  [default: the "
        "model's own, or float32]",
    ),
    option(
        "--mode",
        "modes",
        type=Word(MODES, {"train": "training", "eval": "inference"}),
        multiple=True,
        help="Forward, or forward and backward. Repeatable.  [default: inference]",
    ),
    option(
        "--memory-format",
        "memory_formats",
        type=Word(MEMORY_FORMATS, {"nchw": "contiguous", "nhwc": "channels_last"}),
        multiple=True,
        help="Of input and weights. Repeatable.  [default: contiguous]",
    ),
    option("--compile", "compiled", is_flag=True, default=None, help="torch.compile's modules beside the eager ones."),
    option("--cold", is_flag=True, default=None, help="Flush the caches before every call."),
    option(
        "--budget",
        type=SECONDS_TYPE,
        help="Seconds in all, the workers' start included.  [default: what the claims take, at most 300 each]",
    ),
    option(
        "--precision",
        type=Parsed("PERCENT", types.parse_precision),
        metavar="3%",
        help="Stop once intervals are this narrow (full width).  [default: 3%]",
    ),
    option("--processes", type=click.IntRange(1, 100), help="The most processes.  [default: 6]"),
    option("--rounds", type=click.IntRange(1, 100_000), help="Rounds in each process.  [default: until precise]"),
    option(
        "--quick", is_flag=True, default=None, common=True, help="One process, 10 s: an interval of this process only."
    ),
    option("--seed", type=click.IntRange(0, 2**50), help="Seed of weights, input and order.  [default: 0]"),
    option(
        "--allocator",
        type=Word(("pinned", "default")),
        help="malloc's thresholds.  [default: pinned]",
    ),
)


def _gate(example: str, of_growth: str) -> Decorator:
    """The conditions that fail a build, with examples of the command's own."""
    return group(
        "gate",
        "Gate",
        "vggcalc.cli.structs:GateOptions",
        option(
            "--fail-if",
            metavar="CONDITION",
            multiple=True,
            common=True,
            help=f'End with exit status 4 if it holds: {example}; with --against "{of_growth}". Repeatable.',
        ),
        option(
            "--against",
            type=click.Path(exists=True, dir_okay=False),
            metavar="FILE.json",
            common=True,
            help="An earlier JSON output: show what has changed since.",
        ),
    )


GATE = _gate('"factorized.macs > 16G", "factorized.ratio.latency >= 90%"', "factorized.against.macs > 102%")
GATE_OF_ONE = _gate('"macs > 16G"', "against.macs > 102%")

#: What the rows of a CSV may be of: `report.formats.csv.ROW_KINDS`.
CSV_ROWS = ("total", "block", "layer", "module")

OUTPUT_FORMATS = ("table", "json", "csv", "markdown", "html")


#: The figures beside the report.
PLOTTING = (
    option(
        "--plot",
        type=click.Path(),
        metavar="FILE",
        common=True,
        help="A figure too, .svg or .png, or all in a .pdf; needs matplotlib.",
    ),
    option("--figure", type=Parsed("NAME", str.lower), help="Which one: blocks, architecture, …  [default: the first]"),
    option(
        "--width",
        type=Parsed("MM", types.parse_millimetres),
        help="Its width in millimetres.  [default: 89, a paper's column]",
    ),
)


_WRITTEN = (
    option(
        "--format",
        "format_",
        type=Word(OUTPUT_FORMATS, {"md": "markdown", "txt": "table", "htm": "html"}),
        help="[default: by --output's name, or table]",
    ),
    option("--json", "as_json", is_flag=True, default=None, common=True, help="Short for --format json."),
    option(
        "--output",
        "-o",
        type=click.Path(),
        metavar="FILE",
        common=True,
        help="Written whole or not at all; .json, .csv, .md, .html say the format.  [default: standard output]",
    ),
    option("--brief", is_flag=True, default=None, common=True, help="The answer and at most six rows."),
    option("--details", is_flag=True, default=None, common=True, help="All costs, and how times were measured."),
)

WRITTEN = group("output", "Output", "vggcalc.cli.structs:OutputOptions", *_WRITTEN)

OUTPUT = group(
    "output",
    "Output",
    "vggcalc.cli.structs:OutputOptions",
    *_WRITTEN,
    option(
        "--rows",
        type=Word(CSV_ROWS),
        help="What a CSV has a row for; module is of a summary.  [default: total, of a summary layer]",
    ),
    *PLOTTING,
)
