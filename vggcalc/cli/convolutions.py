"""Options of all convolutions of a kernel, a sweep or a VGG."""

from __future__ import annotations

import click

from vggcalc.cli.groups import GroupedOption, option
from vggcalc.cli.types import Word
from vggcalc.nets.names import ACTIVATIONS


def layer_options() -> tuple[GroupedOption, ...]:
    """Options of all convolutions of a kernel or a VGG: bias, batch norm, activation."""
    return (
        option("--batch-norm", is_flag=True, default=None, help="Batch norm after every convolution."),
        option("--activation", type=Word(ACTIVATIONS, {"swish": "silu"}), help="After every layer.  [default: relu]"),
        option("--bias/--no-bias", default=None, help="Convolutions with a bias.  [default: bias]"),
    )


def dims_option(text: str) -> GroupedOption:
    """`--dims`."""
    return option("--dims", type=click.IntRange(1, 3), metavar="1|2|3", help=text)


def causal_option() -> GroupedOption:
    """`--causal`."""
    return option(
        "--causal",
        is_flag=True,
        default=None,
        help="All of the padding in front of the first axis, which is time, as in WaveNet.",
    )
