"""`vggcalc compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vggcalc.cli.groups import Command, group, option
from vggcalc.cli.options import FACTORIZING, GATE, INPUTS, MEASURING, MODELS, NETWORK, OUTPUT, REPLACING

if TYPE_CHECKING:
    from vggcalc.cli.structs import GateOptions, InputOptions, MeasuringOptions, OutputOptions, SideBySideOptions
    from vggcalc.library.factorizing import FactorizingOptions, ReplacingOptions
    from vggcalc.library.models import Overrides
    from vggcalc.results import Comparison

SIDE_BY_SIDE = group(
    "several",
    "Several models",
    "vggcalc.cli.structs:SideBySideOptions",
    option(
        "--fused",
        is_flag=True,
        common=True,
        default=None,
        help="Beside each imported model itself for inference: norms folded into its convolutions, parallel branches "
        "added up to one.",
    ),
    option(
        "--name",
        "names",
        metavar="NAME",
        multiple=True,
        help="What a model is called, in the order of the models. Repeatable.  [default: its own name]",
    ),
    option(
        "--input-of",
        "input_of",
        metavar="NAME=INPUT",
        multiple=True,
        help="What the model of that name takes, where it is not what --input or --size says: all of its shape, or "
        "FILE.py:FUNCTION. Repeatable.",
    ),
)


@click.command(cls=Command, epilog='Example: vggcalc compare "64,64,M,128@7,M" --size 64 --no-latency')
@MODELS
@NETWORK
@INPUTS
@SIDE_BY_SIDE
@FACTORIZING
@REPLACING
@MEASURING
@GATE
@OUTPUT
def compare(
    models: tuple[str, ...],
    overrides: Overrides,
    shape: InputOptions,
    several: SideBySideOptions,
    factorizing: FactorizingOptions,
    replacing: ReplacingOptions,
    measuring: MeasuringOptions,
    gate: GateOptions,
    output: OutputOptions,
) -> None:
    """A network's large kernels against stacks of 3×3 layers; or several models, against the first.

    MODEL is a name (see vggcalc models), tokens such as 64,M,128, a TOML or JSON file, - for
    standard input, or a module to import: torchvision:resnet50, timm:convnext_tiny,
    package.module:attribute, path/to/file.py:attribute. Importing a model runs its code.

    A model that is imported, AlexNet and GoogLeNet are compared as given with their large kernels
    split; with --min-kernel, --only or --merge every other is too. A VGG or tokens are compared with
    their runs of convolutions merged into large kernels. Several models, and with --fused one beside
    itself, are compared as they are.
    """
    from vggcalc.cli.run import finish
    from vggcalc.cli.structs import read_standard_input
    from vggcalc.library.comparing import compare_options
    from vggcalc.library.models import resolve

    if len(models) > 1 or several.fused:
        comparison = _compared(models, overrides, shape, several, (factorizing, replacing), measuring)
    else:
        if several.names or several.input_of:
            raise click.UsageError(f"{'--name' if several.names else '--input-of'} is for several models")
        (model,) = models
        resolved = resolve(model, shape.inputs, overrides, read_standard_input, shape.cache)
        comparison = compare_options(model, resolved, factorizing, replacing, measuring.dtype(resolved.network.dtype))
    finish("compare", [comparison], measuring, gate, output, sources=models)


def _compared(
    models: tuple[str, ...],
    overrides: Overrides,
    shape: InputOptions,
    several: SideBySideOptions,
    options: tuple[FactorizingOptions | ReplacingOptions, ...],
    measuring: MeasuringOptions,
) -> Comparison:
    """Models side by side. Raises `click.UsageError` for an option that is for one model."""
    from vggcalc.cli.structs import read_standard_input
    from vggcalc.library.side_by_side import chosen, side_by_side

    lost = chosen(*options)
    if lost:
        why = "is for one model, and here are" if len(models) > 1 else "replaces convolutions, and --fused none"
        number = f" {len(models)}" if len(models) > 1 else ""
        raise click.UsageError(f"--{lost[0].replace('_', '-')} {why}{number}: leave it out")
    return side_by_side(
        models,
        several.names,
        shape.inputs,
        several.inputs_of,
        overrides,
        measuring.dtypes[0] if measuring.dtypes else None,
        read_standard_input,
        fused=several.fused,
        cache=shape.cache,
    )
