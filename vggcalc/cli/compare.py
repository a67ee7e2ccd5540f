"""`vggcalc compare`."""

from __future__ import annotations

from typing import Any

import click

import vggcalc
from vggcalc.cli.options import GATE, MEASURE, MODEL, NETWORK, REPLACE, SPLIT, WRITE
from vggcalc.cli.outputs import deliver, dtype


@click.command(epilog='Example: vggcalc compare "64,64,M,128@7,M" --size 64 --no-latency')
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
    from vggcalc.cli import inputs as asked

    network, origin = asked.network(model, given)
    replacings = asked.replacings(model, network, origin, given)
    factorizations = asked.into(given)
    comparison = vggcalc.compare(
        network,
        factorization=next(iter(factorizations.values())),
        into=None if "factorized" in factorizations else factorizations,
        replacing=replacings,
        dtype=dtype(given),
    )
    deliver("compare", [asked.with_origin(comparison, origin, replacings)], given)
