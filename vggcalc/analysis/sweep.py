"""Many convolutions and their factorizations at once: the same families and laws, over arrays.

What `factorize` computes of one convolution holds for arrays of channels, maps and batches as well,
because a law is arithmetic. Where something is to be decided, such as whether groups divide the
channels, the answer must be the same for all of an array; where it is not, the array is parted.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, cast

import msgspec
import numpy as np

from vggcalc.analysis.costs import COSTS, NOWHERE, costs, sites
from vggcalc.analysis.kernels import factorize, followers, kernel_network, padding_of
from vggcalc.analysis.receptive_field import receptive_fields
from vggcalc.analysis.windows import window
from vggcalc.results import Comparison, LeftOut, ReceptiveField
from vggcalc.spec.families import Branches, Splitting, factorized
from vggcalc.spec.layers import KINDS, Conv2d, Pair
from vggcalc.spec.shapes import propagate
from vggcalc.spec.words import ITEMSIZE, SpecError

#: So many points are computed together: enough for numpy, little for the memory.
MOST_POINTS = 1024

#: Up to here float64 holds every integer, so that numpy's quotients are those of Python.
_EXACT = 2**53


class Grid(msgspec.Struct, frozen=True):
    """The axes of a sweep: every kernel with every stride, dilation, channels, groups, size and batch.

    `channels` are those in and out, `sizes` (height, width), groups None as many as channels in.
    `ways` are the variants beside `naive`; the rest is as in `factorize`.
    """

    kernels: tuple[int, ...]
    channels: tuple[Pair, ...] = ((64, 64),)
    sizes: tuple[Pair, ...] = ((56, 56),)
    batches: tuple[int, ...] = (1,)
    strides: tuple[int, ...] = (1,)
    dilations: tuple[int, ...] = (1,)
    groups: tuple[int | None, ...] = (1,)
    ways: Mapping[str, Splitting] = msgspec.field(default_factory=lambda: {"stack": Splitting()})
    padding: int | None = None
    bias: bool = True
    batch_norm: bool = False
    activation: str = "relu"
    dtype: str = "float32"

    def __len__(self) -> int:
        """The number of points, each of which has a row for every variant."""
        outer = len(self.kernels) * len(self.strides) * len(self.dilations)
        return outer * prod(self._inner)

    @property
    def _inner(self) -> tuple[int, ...]:
        return len(self.channels), len(self.groups), len(self.sizes), len(self.batches)

    def comparison(self, row: "Row") -> Comparison:
        """What `factorize` says of the point that a row belongs to. Raises `SpecError`."""
        at = dict(zip(COLUMNS, row, strict=True))
        return self._factorize(*(at[name] for name in POINT))

    def _factorize(
        self, kernel: int, stride: int, dilation: int, into: int, out_of: int, groups: int, height: int,
        width: int, batch: int,
    ) -> Comparison:  # fmt: skip
        return factorize(
            kernel, in_channels=into, out_channels=out_of, size=(height, width), batch=batch, stride=stride,
            padding=self.padding, dilation=dilation, groups=groups, bias=self.bias,
            batch_norm=self.batch_norm, activation=self.activation, into=self.ways, dtype=self.dtype,
        )  # fmt: skip


#: What tells a point from every other.
POINT = ("kernel", "stride", "dilation", "in_channels", "out_channels", "groups", "height", "width", "batch")

#: Of which costs a row has the ratio to those of `naive`.
RATIOS = ("parameters", "macs", "saved_bytes")

#: What stands in a row: receptive field (both axes) in pixels, costs as in `COSTS`, ratios to `naive`.
COLUMNS = (*POINT, "variant", "receptive_field", "window", *COSTS, *(f"{key}_ratio" for key in RATIOS))

Row = tuple[Any, ...]


class Batch(msgspec.Struct, frozen=True):
    """Rows of so many points, or for what is no convolution the reason why there are none.

    `left_out` are the variants that these points do not have.
    """

    points: int
    rows: Sequence[Row] = ()
    refused: str | None = None
    left_out: tuple[LeftOut, ...] = ()


def sweep(grid: Grid, most: int = MOST_POINTS) -> Iterator[Batch]:
    """Every point's rows: `naive`, then the variants; the batches vary fastest, the kernels slowest."""
    inner = prod(grid._inner)
    for kernel, stride, dilation in product(grid.kernels, grid.strides, grid.dilations):
        exact = object if _largest(grid, kernel, stride, dilation) >= _EXACT else np.int64
        for first in range(0, inner, most):
            numbers = np.arange(first, min(first + most, inner))
            yield from _parted(grid, (kernel, stride, dilation), numbers, exact)


def _largest(grid: Grid, kernel: int, stride: int, dilation: int) -> int:
    """No cost of the structure is larger: that of the largest convolution, or, if it is none, infinite."""
    channels = (max(max(pair) for pair in grid.channels),) * 2
    size = max(n for pair in grid.sizes for n in pair)
    try:
        comparison = grid._factorize(kernel, stride, dilation, *channels, 1, size, size, max(grid.batches))
    except SpecError:
        return _EXACT
    found = [cost for variant in comparison.variants for cost in variant.costs.values() if cost is not None]
    return int(max(found)) if not comparison.left_out else _EXACT


class _Mixed(Exception):
    """A question has one answer for some points and another for others."""


class _Many(np.ndarray[Any, np.dtype[Any]]):
    """Numbers of many points; as a truth, what holds for all of them or for none."""

    def __bool__(self) -> bool:
        truths = np.asarray(self).astype(bool)
        if truths.all():
            return True
        if truths.any():
            raise _Mixed
        return False


class _Convolutions(Conv2d, frozen=True):
    """A `Conv2d` whose channels and groups are arrays, which `_evaluated` checks itself."""

    def __post_init__(self) -> None:
        pass


KINDS[_Convolutions] = KINDS[Conv2d]


def _parted(grid: Grid, structure: tuple[int, int, int], numbers: Any, exact: Any) -> Iterator[Batch]:
    """The points of those numbers, in as many parts as their answers ask for."""
    try:
        yield _evaluated(grid, structure, numbers, exact)
    except _Mixed:
        middle = len(numbers) // 2
        yield from _parted(grid, structure, numbers[:middle], exact)
        yield from _parted(grid, structure, numbers[middle:], exact)


def _evaluated(grid: Grid, structure: tuple[int, int, int], numbers: Any, exact: Any) -> Batch:
    kernel, stride, dilation = structure
    channels, groups, sizes, batches = np.unravel_index(numbers, grid._inner)

    def many(values: Sequence[int], places: Any) -> _Many:
        found: _Many = np.array(values, dtype=exact)[places].view(_Many)
        return found

    into, out_of = (many([pair[i] for pair in grid.channels], channels) for i in (0, 1))
    height, width = (many([pair[i] for pair in grid.sizes], sizes) for i in (0, 1))
    batch = many(grid.batches, batches)
    apart = many([group or 0 for group in grid.groups], groups)
    apart = np.where(apart == 0, into, apart).view(_Many)
    point: list[Any] = [kernel, stride, dilation, into, out_of, apart, height, width, batch]
    first = [int(value[0]) if isinstance(value, _Many) else value for value in point]
    try:
        if into % apart or out_of % apart:
            raise SpecError("groups")  # said by `factorize`, as everything else
        padding = padding_of(kernel, dilation, grid.ways.values()) if grid.padding is None else grid.padding
        kernels, strides, paddings, dilations = ((n, n) for n in (kernel, stride, padding, dilation))
        ends = cast(int, into), cast(int, out_of)
        conv = _Convolutions(*ends, kernels, strides, paddings, dilations, cast(int, apart), grid.bias)
        shape = (batch, into, height, width)
        made = {"naive": _columns(grid, conv, ((conv,),), shape)}
    except SpecError:
        return Batch(len(numbers), refused=_reason(grid, first))
    lacking = []
    for name, splitting in grid.ways.items():
        try:
            made[name] = _columns(grid, conv, factorized(conv, splitting), shape)
        except SpecError:
            lacking.append(name)
    fixed = [_listed(value, len(numbers)) for value in point]
    ratios = [[made[name][key] / made["naive"][key] for key in RATIOS] for name in made]
    of_variant = [
        zip(
            *fixed,
            *(_listed(value, len(numbers)) for value in (name, *columns.values(), *ratio)),
            strict=True,
        )
        for (name, columns), ratio in zip(made.items(), ratios, strict=True)
    ]
    rows = [row for rows in zip(*of_variant, strict=True) for row in rows]
    return Batch(len(numbers), rows, None, _left_out(grid, first, lacking) if lacking else ())


def _columns(grid: Grid, conv: Conv2d, branches: Branches, shape: Any) -> dict[str, Any]:
    """A variant's columns: what it sees, and every cost."""
    network = kernel_network(shape, branches, followers(conv.out_channels, grid.batch_norm, grid.activation))
    known = propagate(network, shape)
    rows = [costs(site) for site in sites(network, known, ITEMSIZE[grid.dtype])]
    field = receptive_fields(network, known)[network.nodes[-1].name]
    assert isinstance(field, ReceptiveField)
    columns: dict[str, Any] = {"receptive_field": field.size[0], "window": window(conv, branches)[0]}
    for key, cost in COSTS.items():
        values: list[Any] = [row[key] for row in rows]
        if cost.total is None:
            columns[key] = cost.law(NOWHERE, columns)
        else:
            columns[key] = np.maximum.reduce(values) if cost.total is max else sum(values)
    return columns


def _listed(value: Any, points: int) -> list[Any]:
    """A column as Python's own numbers and words."""
    return value.tolist() if isinstance(value, np.ndarray) else [value] * points


def _reason(grid: Grid, point: Sequence[int]) -> str:
    """Why a point has no rows, in the words of `factorize`."""
    try:
        grid._factorize(*point)
    except SpecError as error:
        return str(error)
    raise AssertionError(f"factorize makes what the sweep does not: {point}")


def _left_out(grid: Grid, point: Sequence[int], names: Sequence[str]) -> tuple[LeftOut, ...]:
    """Why a point lacks these variants, in the words of `factorize`."""
    try:
        found = grid._factorize(*point).left_out
    except SpecError as error:  # it has none at all
        return tuple(LeftOut(name, str(error)) for name in names)
    assert [one.variant for one in found] == list(names), (point, found, names)
    return found
