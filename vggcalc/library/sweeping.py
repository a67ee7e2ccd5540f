"""`sweep`: every combination of kernels, channels, sizes and batches, row by row."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec

from vggcalc.errors import InputError
from vggcalc.library import arguments, per_axis
from vggcalc.library.factorizing import FactorizingOptions, Into, check_ends
from vggcalc.nets.layers import Axes
from vggcalc.nets.names import ACTIVATIONS

if TYPE_CHECKING:
    from vggcalc.analysis.sweep import Grid


#: A sweep of so many rows, or of so many layers in its different kernels, takes minutes.
MOST_ROWS, MOST_SWEPT_LAYERS = 20_000_000, 5_000_000


class SweepAxes(msgspec.Struct, frozen=True, kw_only=True):
    """The axes of a sweep, each ascending, and the arguments that are the same for all points."""

    kernels: tuple[int, ...]
    channels: tuple[int, ...] | None = None
    in_channels: tuple[int, ...] | None = None
    out_channels: tuple[int, ...] | None = None
    dims: int = 2
    sizes: tuple[int | Axes, ...] = ()
    batches: tuple[int, ...] = (1,)
    strides: tuple[int, ...] = (1,)
    dilations: tuple[int, ...] = (1,)
    groups: tuple[int, ...] | None = None
    depthwise: bool = False
    padding: int | Axes | None = None
    causal: bool = False
    bias: bool = True
    batch_norm: bool = False
    activation: str = "relu"
    dtype: str = "float32"


def sweep(
    kernels: int | str | Iterable[int],
    *,
    dims: int = 2,
    channels: int | str | Iterable[int] | None = None,
    in_channels: int | str | Iterable[int] | None = None,
    out_channels: int | str | Iterable[int] | None = None,
    size: int | str | Iterable[Any] | None = None,
    batch: int | str | Iterable[int] = 1,
    stride: int | str | Iterable[int] = 1,
    dilation: int | str | Iterable[int] = 1,
    groups: int | str | Iterable[int] | None = None,
    depthwise: bool = False,
    padding: int | str | None = "same",
    causal: bool = False,
    bias: bool = True,
    batch_norm: bool = False,
    activation: str = "relu",
    into: Into = None,
    stride_at: str | int | Sequence[str | int] | None = None,
    widths: int | str | Sequence[int] | Sequence[Sequence[int]] | None = None,
    widen: str | None = None,
    pad_at: str | None = None,
    between: str | None = None,
    dtype: Any = "float32",
) -> Iterator[dict[str, Any]]:
    """Every combination of the axes: a row for each variant, `naive` first, as `vggcalc sweep` writes them.

    An axis is a number, "3:31:2" (from, to, step), "16,64", a range or a list; `channels` are both ends, and
    `in_channels` goes with every `out_channels`. `dims` is the number of spatial axes, along which a kernel is the
    same; `size` is 56 unless given, in one dimension 3136, in three 16. Combinations that are no convolution, or that
    a family cannot take, have no rows. The rows are computed as they are taken.

    Raises `TypeError` for an argument of a type that is not accepted, `InputError` for values that make no axis.

    >>> rows = list(vggcalc.sweep(range(3, 8, 2), channels=(16, 64), into="stack,asymmetric"))
    >>> len(rows), rows[1]["variant"], rows[1]["macs_ratio"]
    (18, 'stack', 1.0)
    """
    arguments.check_flags(depthwise=depthwise, causal=causal, bias=bias, batch_norm=batch_norm)
    arguments.check_whole(dims=dims)
    arguments.word("activation", activation, ACTIVATIONS)

    def axis(name: str, values: Any) -> tuple[int, ...] | None:
        return None if values is None else arguments.parse_numbers(values, name)

    axes = SweepAxes(
        kernels=arguments.parse_numbers(kernels, "kernels"),
        channels=axis("channels", channels),
        in_channels=axis("in_channels", in_channels),
        out_channels=axis("out_channels", out_channels),
        dims=dims,
        sizes=() if size is None else per_axis.parse_sizes(size),
        batches=arguments.parse_numbers(batch, "batch"),
        strides=arguments.parse_numbers(stride, "stride"),
        dilations=arguments.parse_numbers(dilation, "dilation"),
        groups=axis("groups", groups),
        depthwise=depthwise,
        padding=per_axis.parse_padding(padding),
        causal=causal,
        bias=bias,
        batch_norm=batch_norm,
        activation=activation,
        dtype=arguments.parse_dtype(dtype),
    )
    factorizing = FactorizingOptions(
        into=into, stride_at=stride_at, widths=widths, widen=widen, pad_at=pad_at, between=between
    )
    return _rows_of(grid(axes, factorizing))


def _rows_of(points: "Grid") -> Iterator[dict[str, Any]]:
    from vggcalc.analysis.sweep import sweep_batches

    for batch in sweep_batches(points):
        for rows in batch.rows:
            for row in rows:
                yield dict(zip(points.columns, row, strict=True))


def grid(axes: "SweepAxes", factorizing: FactorizingOptions) -> "Grid":
    """The grid of these axes. Raises `InputError` for axes that contradict each other or have no such values."""
    from vggcalc.analysis.sweep import Grid
    from vggcalc.nets.families import check_kernel
    from vggcalc.nets.kernel import USUAL_SIZES
    from vggcalc.nets.layers import check_dims, check_number, spatial

    check_ends(axes.channels, axes.in_channels, axes.out_channels, axes.depthwise, axes.groups)
    if axes.channels is not None:
        pairs = tuple((n, n) for n in axes.channels)
    else:
        ends = (axes.in_channels or (64,), axes.out_channels or (64,))
        if len(ends[0]) * len(ends[1]) > arguments.MOST_VALUES:
            raise InputError(
                f"in_channels with out_channels make more than {arguments.MOST_VALUES:,} pairs: give larger steps"
            )
        pairs = tuple(product(*ends))
    groups = axes.groups or (1,)
    check_dims(axes.dims)
    if isinstance(axes.padding, tuple):
        raise InputError("padding of a sweep is one number for every axis, or same")
    if axes.causal and axes.padding is not None:
        raise InputError("causal says the padding already: all in front, none behind. Leave out padding")
    sizes = tuple(sorted({spatial(size, axes.dims) for size in axes.sizes or (USUAL_SIZES[axes.dims],)}))
    chosen = factorizing.factorizations((axes.dims,))
    structures = sum(axes.kernels) * len(axes.strides) * len(axes.dilations)
    points = len(axes.kernels) * len(axes.strides) * len(axes.dilations) * len(pairs) * len(groups)
    rows = points * len(sizes) * len(axes.batches) * (len(chosen) + 1)
    for what, number, most in (("rows", rows, MOST_ROWS), ("layers", structures * len(chosen), MOST_SWEPT_LAYERS)):
        if number > most:
            raise InputError(f"the sweep has about {number:,} {what}, more than {most:,}: give larger steps, or parts")
    values = {
        "batch": axes.batches,
        "stride": axes.strides,
        "dilation": axes.dilations,
        "channels": tuple({n: None for pair in pairs for n in pair}),
        "groups": groups,
    }
    for name, numbers in values.items():
        for number in numbers:
            check_number(name, number)
    for kernel in axes.kernels:
        check_kernel(kernel)
    return Grid(
        axes.kernels,
        pairs,
        sizes,
        axes.batches,
        axes.strides,
        axes.dilations,
        (None,) if axes.depthwise else groups,
        {"stack": chosen["factorized"]} if "factorized" in chosen else chosen,
        axes.padding,
        axes.bias,
        axes.batch_norm,
        axes.activation,
        axes.dtype,
        axes.dims,
        axes.causal,
    )
