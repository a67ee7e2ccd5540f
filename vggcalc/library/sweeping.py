"""`sweep`: every combination of kernels, channels, sizes and batches, row by row."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from vggcalc.errors import InputError
from vggcalc.library import arguments
from vggcalc.library.factorizing import FactorizingOptions, Into, check_ends


def sweep(
    kernels: int | str | Iterable[int],
    *,
    channels: int | str | Iterable[int] | None = None,
    in_channels: int | str | Iterable[int] | None = None,
    out_channels: int | str | Iterable[int] | None = None,
    size: int | str | Iterable[Any] = 56,
    batch: int | str | Iterable[int] = 1,
    stride: int | str | Iterable[int] = 1,
    dilation: int | str | Iterable[int] = 1,
    groups: int | str | Iterable[int] | None = None,
    depthwise: bool = False,
    padding: int | str | None = "same",
    bias: bool = True,
    batch_norm: bool = False,
    activation: str = "relu",
    into: Into = None,
    stride_at: str | int | Sequence[str | int] | None = None,
    widths: int | str | Sequence[int] | Sequence[Sequence[int]] | None = None,
    widen: str | None = None,
    dtype: Any = "float32",
) -> Iterator[dict[str, Any]]:
    """Every combination of the axes: a row for each variant, `naive` first, as `vggcalc sweep` writes them.

    An axis is a number, "3:31:2" (from, to, step), "16,64", a range or a list; `channels` are both ends, and
    `in_channels` goes with every `out_channels`. Combinations that are no convolution, or that a family cannot take,
    have no rows. The rows are computed as they are taken, 200,000 and more in a second.

    Raises `TypeError` and `InputError`, when the first row is taken, for what no axis is.

    >>> rows = list(vggcalc.sweep(range(3, 8, 2), channels=(16, 64), into="stack,asymmetric"))
    >>> len(rows), rows[1]["variant"], rows[1]["macs_ratio"]
    (18, 'stack', 1.0)
    """
    from vggcalc.analysis.sweep import COLUMNS, Grid, sweep_batches
    from vggcalc.nets.families import check_kernel
    from vggcalc.nets.layers import check_number

    check_ends(channels, in_channels, out_channels, depthwise, groups)
    axes = {
        "batch": arguments.numbers(batch, "batch"),
        "stride": arguments.numbers(stride, "stride"),
        "dilation": arguments.numbers(dilation, "dilation"),
        "groups": (1,) if groups is None else arguments.numbers(groups, "groups"),
    }
    pairs = channel_pairs(channels, in_channels, out_channels)
    sides = arguments.numbers(kernels, "kernels")
    for name, values in (*axes.items(), ("channels", tuple(n for pair in pairs for n in pair))):
        for value in values:
            check_number(name, value)
    for side in sides:
        check_kernel(side)
    chosen = FactorizingOptions(into=into, stride_at=stride_at, widths=widths, widen=widen).factorizations()
    grid = Grid(
        sides,
        pairs,
        arguments.sizes(size),
        axes["batch"],
        axes["stride"],
        axes["dilation"],
        (None,) if depthwise else axes["groups"],
        {"stack": chosen["factorized"]} if "factorized" in chosen else chosen,
        arguments.padding(padding),
        bias,
        batch_norm,
        activation,
        arguments.dtype(dtype),
    )
    for batch_of_points in sweep_batches(grid):
        for rows in batch_of_points.rows:
            for row in rows:
                yield dict(zip(COLUMNS, row, strict=True))


def channel_pairs(channels: Any, in_channels: Any, out_channels: Any) -> tuple[tuple[int, int], ...]:
    """Channels in and out: the same at both ends, or every combination of the two."""
    if channels is not None:
        return tuple((n, n) for n in arguments.numbers(channels, "channels"))
    ends = [
        (64,) if values is None else arguments.numbers(values, name)
        for name, values in (("in_channels", in_channels), ("out_channels", out_channels))
    ]
    if len(ends[0]) * len(ends[1]) > arguments.MOST_VALUES:
        raise InputError(
            f"in_channels with out_channels make more than {arguments.MOST_VALUES:,} pairs: give larger steps"
        )
    return tuple(product(*ends))
