"""The options that commands share, and how their values are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vggcalc.spec.words import ACTIVATIONS, ITEMSIZE, MEMORY_FORMATS, MODES, STRIDE_AT, WIDEN

if TYPE_CHECKING:
    from vggcalc.spec.layers import Pair

    ParamType = click.ParamType[Any]
    Choice = click.Choice[str]
else:
    Choice = click.Choice
    ParamType = click.ParamType  # generic for type checkers, and in newer clicks only

Command = Callable[..., Any]


class Kernel(ParamType):
    """An odd number."""

    name = "kernel"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if re.fullmatch(r"[+-]?\d{1,30}", value, re.ASCII) is None:
            self.fail(f"{value!r} is no kernel: write one odd number, such as 7 for 7×7")
        return int(value)


class Dtype(Choice):
    """A type of floats."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if re.fullmatch(r"(q|u?)int\d*|bool|long|short|byte", str(value)):
            self.fail(
                f"{value!r} is not one of {', '.join(ITEMSIZE)}: integers have no gradient, and what a "
                "quantized layer costs is another question"
            )
        return super().convert(value, param, ctx)


class Numbers(ParamType):
    """`3:31:2` and `16,64,256`: an axis of a sweep, ascending."""

    name = "n,…|from:to:step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        found: set[int] = set()
        for part in value.split(","):
            match = re.fullmatch(r"(\d{1,18})(?::(\d{1,18})(?::0*([1-9]\d{0,17}))?)?", part, re.ASCII)
            if match is None:
                self.fail(f"{part!r} is no number and no range: write 7, or from:to:step, such as 3:31:2")
            first = int(match[1])
            numbers = range(first, int(match[2] or first) + 1, int(match[3] or 1))
            if not numbers:
                self.fail(f"{part!r} is an empty range: write the smaller end first, such as 3:31:2")
            if len(found) + len(numbers) > MOST_NUMBERS:
                self.fail(f"{part!r} has more than {MOST_NUMBERS:,} numbers: give a larger step")
            found.update(numbers)
        return tuple(sorted(found))


#: An axis of a sweep has no more.
MOST_NUMBERS = 1_000_000


class Sizes(ParamType):
    """`7,14,28x56` and `7:56:7`: sizes as an axis of a sweep, ascending."""

    name = "size,…|from:to:step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Pair, ...]:
        if isinstance(value, tuple):
            return value
        found: set[Pair] = set()
        for part in value.split(","):
            if ":" in part:
                found.update((size, size) for size in Numbers().convert(part, param, ctx))
            else:
                found.add(Size().convert(part, param, ctx))
        return tuple(sorted(found))


class Size(ParamType):
    """`224` or `HxW`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Pair:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,18})(?:[x×](\d{1,18}))?", value, re.ASCII | re.IGNORECASE)
        if match is None:
            self.fail(f"{value!r} is no size: write one number, such as 224, or HEIGHTxWIDTH, such as 224x320")
        return int(match[1]), int(match[2] or match[1])


class Unit(ParamType):
    """`7,7`."""

    name = "y,x"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if re.fullmatch(r"\d{1,18}(,\d{1,18})*", value, re.ASCII) is None:
            self.fail(f"{value!r} is no unit: write its row and column, counted from 0, such as 7,7")
        return tuple(int(place) for place in value.split(","))


class Widths(ParamType):
    """`32,32,64`."""

    name = "n,n,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if re.fullmatch(r"\d{1,18}(,\d{1,18})*", value, re.ASCII) is None:
            self.fail(f"{value!r} is no list of widths: write them with commas, such as 32,32,64")
        return tuple(int(width) for width in value.split(","))


class StrideAt(ParamType):
    """`last`, `first` or a layer's number."""

    name = "last|first|n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        if isinstance(value, int) or value in STRIDE_AT:
            return value
        if re.fullmatch(r"0*[1-9]\d{0,3}", value, re.ASCII) is None:
            self.fail(f"{value!r} is no place of a stride: write last, first, or a layer's number, such as 1")
        return int(value)


class Into(ParamType):
    """`stack,separable` or `all`."""

    name = "family,…|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        from vggcalc.spec.families import FAMILIES

        if isinstance(value, tuple):
            return value
        names = tuple(FAMILIES) if value == "all" else tuple(value.split(","))
        for name in names:
            if name not in FAMILIES:
                self.fail(f"{name!r} is no family: write all, or some of {', '.join(FAMILIES)}")
        return names


class Seconds(ParamType):
    """A positive, finite number."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= 1e6:
            self.fail(f"{value!r} is no time: write seconds, more than 0 and at most a million, such as 30")
        return seconds


class Precision(ParamType):
    """`3%` or `0.03`."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{0,9}\.?\d{1,9})(%?)", value, re.ASCII)
        share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
        if not 0 < share <= 1:
            self.fail(f"{value!r} is no precision: write the interval's full width, such as 3% or 0.03")
        return share


class Threads(ParamType):
    """A number or `all`."""

    name = "n|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "all":
            from vggcalc.measurement.plan import usable_cpus

            return usable_cpus()
        if re.fullmatch(r"0*[1-9]\d{0,3}", value, re.ASCII) is None:
            self.fail(f"{value!r} is no number of threads: write 1 to 9999, or all")
        return int(value)


class Padding(ParamType):
    """`same` or a number of pixels."""

    name = "same|n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or isinstance(value, int):
            return value
        if value == "same":
            return None
        if re.fullmatch(r"\d{1,18}", value, re.ASCII) is None:
            self.fail(f"{value!r} is no padding: write same, which keeps the map, or pixels, such as 3")
        return int(value)


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

    from vggcalc.spec.classics import CLASSICS
    from vggcalc.spec.vgg import ALIASES, CONFIGS

    names = [name for base in (*ALIASES, *CONFIGS) for name in (base, f"{base}_bn")] + list(CLASSICS)
    found = [CompletionItem(name) for name in names if name.lower().startswith(incomplete.lower())]
    return found or [CompletionItem(incomplete, type="file")]


LAYERS = options(
    click.option("--batch-norm", is_flag=True, default=None, help="Batch norm after every convolution."),
    click.option(
        "--activation", type=click.Choice(list(ACTIVATIONS)), help="After every layer.  [default: relu]"
    ),
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
    type=Widths(),
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
        help="Which layer has the stride. Repeatable.  [default: last]",
    ),
    click.option(
        "--widen", type=click.Choice(WIDEN), help="Which layer changes the channels.  [default: first]"
    ),
)

REPLACE = options(
    click.option("--min-kernel", type=int, help="Split kernels of so much or more.  [default: 5]"),
    click.option("--only", metavar="REGEX", help="Replace only convolutions in whose names this is found."),
    click.option("--merge", is_flag=True, help="Merge runs of convolutions instead of splitting kernels."),
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
    click.option(
        "--mode", "modes", type=click.Choice(MODES), multiple=True, help="Repeatable.  [default: inference]"
    ),
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
    click.option(
        "--precision", type=Precision(), metavar="3%", help="Interval that is narrow enough.  [default: 3%]"
    ),
    click.option("--processes", type=click.IntRange(1, 100), help="At most.  [default: 6]"),
    click.option(
        "--rounds", type=click.IntRange(1, 100_000), help="In each process.  [default: until precise]"
    ),
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
    click.option(
        "--plot",
        type=click.Path(),
        metavar="FILE",
        help="Figures too, as .svg, .png or .pdf; needs pip install 'vggcalc[plot]'.",
    ),
)
