"""`vggcalc rewrite`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vggcalc.cli.groups import Command, alone, group, option
from vggcalc.cli.options import FACTORIZING, INPUTS, MODEL, NETWORK, REPLACING
from vggcalc.cli.types import Parsed, parse_amount, parse_share

if TYPE_CHECKING:
    from vggcalc.cli.structs import InputOptions
    from vggcalc.library.factorizing import FactorizingOptions, ReplacingOptions
    from vggcalc.library.models import Overrides
    from vggcalc.library.rewriting import WidthOptions


@click.command(
    cls=Command, epilog="Example: vggcalc rewrite torchvision:alexnet --into asymmetric --fit --save small.pt"
)
@MODEL
@NETWORK
@INPUTS
@FACTORIZING
@REPLACING
@alone(
    "Weights", "--fit", is_flag=True, common=True, help="Give the new layers the weights nearest to the old kernels."
)
@alone(
    "Weights",
    "--weights",
    metavar="FILE",
    common=True,
    help="The model's weights: .safetensors or .pt.  [default: its own]",
)
@alone(
    "Weights", "--save", metavar="OUT", common=True, required=True, help="Write the state dict: .safetensors or .pt."
)
@alone("Weights", "--code", metavar="OUT.py", common=True, help="Write Python that makes the module without vggcalc.")
@group(
    "widths",
    "Weights",
    "vggcalc.library.rewriting:WidthOptions",
    option(
        "--energy",
        type=Parsed("SHARE", parse_share),
        help="Fit, each layer of the smallest width that explains this much of its kernel, such as 95%.",
    ),
    option(
        "--budget-macs",
        type=Parsed("AMOUNT", parse_amount),
        help="Fit, with widths for no more MACs of the whole network, such as 1.5G, spent where they explain most.",
    ),
)
def rewrite(
    model: str,
    overrides: Overrides,
    shape: InputOptions,
    factorizing: FactorizingOptions,
    replacing: ReplacingOptions,
    fit: bool,
    widths: WidthOptions,
    weights: str | None,
    save: str,
    code: str | None,
) -> None:
    """A model's weights with its large kernels replaced: written as a state dict, which vggcalc.rewrite's modules load.

    MODEL is what compare takes; importing one runs its code. A file of weights runs none: nothing but tensors is read.
    """
    import os

    from vggcalc.cli.structs import read_standard_input, same_file
    from vggcalc.library.models import resolve
    from vggcalc.library.rewriting import rewrite_to_file
    from vggcalc.pipeline.run import screen_of
    from vggcalc.report.formats.terminal import draw
    from vggcalc.report.tables.fitted import fitted_tables

    for name, file in (("--save", save), ("--weights", weights)):
        if file is not None and os.path.splitext(file)[1] not in (".pt", ".pth", ".safetensors"):
            raise click.UsageError(f"{name} {file} is neither a .safetensors nor a .pt file")
    if weights is not None and same_file(weights, save):
        raise click.UsageError(f"--save {save} would overwrite what is read: give another file")
    if code is not None:
        if not code.endswith(".py"):
            raise click.UsageError(f"--code {code} is no .py file")
        if same_file(code, model.rpartition(":")[0]):
            raise click.UsageError(f"--code {code} would overwrite the model's own file: give another")
    resolved = resolve(model, shape.inputs, overrides, read_standard_input, shape.cache)
    done = rewrite_to_file(resolved, factorizing, replacing, fit, widths, weights, save, code)
    sections = fitted_tables(resolved.network.name, done)
    screen = screen_of(True)
    click.echo(draw(sections, screen.width, screen.colour), nl=False)
    if code is not None:
        click.echo(f"{code} makes this module without vggcalc: run, it loads {save} and puts out the same.")
