"""`vggcalc compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vggcalc.cli.groups import Command
from vggcalc.cli.options import FACTORIZING, GATE, INPUTS, MEASURING, MODEL, NETWORK, OUTPUT, REPLACING

if TYPE_CHECKING:
    from vggcalc.cli.structs import GateOptions, InputOptions, MeasuringOptions, OutputOptions
    from vggcalc.library.factorizing import FactorizingOptions, ReplacingOptions
    from vggcalc.library.models import Overrides


@click.command(cls=Command, epilog='Example: vggcalc compare "64,64,M,128@7,M" --size 64 --no-latency')
@MODEL
@NETWORK
@INPUTS
@FACTORIZING
@REPLACING
@MEASURING
@GATE
@OUTPUT
def compare(
    model: str,
    overrides: Overrides,
    shape: InputOptions,
    factorizing: FactorizingOptions,
    replacing: ReplacingOptions,
    measuring: MeasuringOptions,
    gate: GateOptions,
    output: OutputOptions,
) -> None:
    """A network with its runs of convolutions merged into large kernels against it as 3×3 stacks.

    MODEL is a name (see vggcalc models), tokens such as 64,M,128, a TOML or JSON file, - for
    standard input, or a module to import: torchvision:resnet50, timm:convnext_tiny,
    package.module:attribute, path/to/file.py:attribute. Importing a model runs its code.

    A model that is imported, AlexNet and GoogLeNet are compared as given with their large kernels
    split; with --min-kernel, --only or --merge every other is too.
    """
    from vggcalc.cli.run import finish
    from vggcalc.cli.structs import read_standard_input
    from vggcalc.library.comparing import compare_options
    from vggcalc.library.models import resolve

    resolved = resolve(model, shape.inputs, overrides, read_standard_input)
    comparison = compare_options(model, resolved, factorizing, replacing, measuring.dtype(resolved.network.dtype))
    finish("compare", [comparison], measuring, gate, output, source=model)
