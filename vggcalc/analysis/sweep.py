"""Costs of a whole grid of convolutions and their factorizations, computed over NumPy arrays.

The families and formulas are those of a single convolution. Kernel, stride and dilation decide which layers there are,
so each combination of them is evaluated by itself; channels, groups, sizes and batches are arrays: see `batched`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, cast

import msgspec
import numpy as np

from vggcalc.analysis.batched import BATCHED, BatchedInts, MixedAnswers
from vggcalc.analysis.costs import COSTS, NO_LAYER, layer_contexts, layer_costs
from vggcalc.analysis.kernels import try_factorizations
from vggcalc.analysis.reach import covered_window
from vggcalc.analysis.receptive_field import receptive_fields
from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.families import Factorization, check_kernel, factorized
from vggcalc.nets.kernel import Kernel, following, kernel_network, same_padding
from vggcalc.nets.layers import AXIS_NAMES, Axes, Conv, Pair, in_axes
from vggcalc.nets.names import ITEMSIZE
from vggcalc.nets.shapes import propagate
from vggcalc.results import PARETO_COSTS, Comparison, ReceptiveField

#: The most points that are computed together: enough to be fast, few enough for little memory.
MOST_POINTS = 1024

#: float64 holds every integer up to this one, so that NumPy's quotients are those of Python.
_EXACT = 2**53


class Grid(msgspec.Struct, frozen=True):
    """The axes of a sweep: every kernel with every stride, dilation, channels, groups, size and batch.

    `channels` are (in, out), `sizes` have a number for each of `dims` spatial axes, along which kernel, stride and
    dilation are the same; None among `groups` stands for as many as channels in.
    `factorizations` are the variants beside `naive`; the rest is as in `factorize`.
    """

    kernels: tuple[int, ...]
    channels: tuple[Pair, ...] = ((64, 64),)
    sizes: tuple[Axes, ...] = ((56, 56),)
    batches: tuple[int, ...] = (1,)
    strides: tuple[int, ...] = (1,)
    dilations: tuple[int, ...] = (1,)
    groups: tuple[int | None, ...] = (1,)
    factorizations: Mapping[str, Factorization] = msgspec.field(default_factory=lambda: {"stack": Factorization()})
    padding: int | None = None
    bias: bool = True
    batch_norm: bool = False
    activation: str = "relu"
    dtype: str = "float32"
    dims: int = 2
    causal: bool = False

    def __len__(self) -> int:
        """The number of points, each of which has a row for every variant."""
        outer = len(self.kernels) * len(self.strides) * len(self.dilations)
        return outer * prod(self._inner)

    @property
    def _inner(self) -> tuple[int, ...]:
        return len(self.channels), len(self.groups), len(self.sizes), len(self.batches)

    def comparison(self, row: "SweepRow") -> Comparison:
        """The comparison that `factorize` makes of the point of a row."""
        return self._attempted(*row[: len(self.point)])

    @property
    def point(self) -> tuple[str, ...]:
        """The columns that tell one point from another."""
        return (*CONVOLUTION_COLUMNS, *AXIS_NAMES[self.dims], "batch")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row: its point, and what one variant sees and costs."""
        return (*self.point, *VARIANT_COLUMNS)

    def _attempted(
        self, kernel: int, stride: int, dilation: int, into: int, out_of: int, groups: int, *last: int
    ) -> Comparison:
        *size, batch = last
        point = Kernel(
            kernel, into, out_of, tuple(size), batch, stride, self.padding, dilation, groups, self.bias,
            self.batch_norm, self.activation, self.dims, self.causal,
        )  # fmt: skip
        return try_factorizations(point, self.factorizations, self.dtype)


#: The columns of a point that say what the convolution is; its size, by axis, and the batch follow.
CONVOLUTION_COLUMNS = ("kernel", "stride", "dilation", "in_channels", "out_channels", "groups")

#: The costs that a row has as a ratio to those of `naive` too.
RATIOS = PARETO_COSTS

#: The costs in a row: convolutions alone have no products of activations, nothing in them is frozen, and what they put
#: out is most of their traffic.
SWEPT = tuple(key for key in COSTS if key not in ("trainable", "product_macs", "output_bytes"))

#: The columns of a variant: receptive field along each axis in input positions, costs as in `COSTS`, ratios to `naive`.
VARIANT_COLUMNS = ("variant", "receptive_field", "window", *SWEPT, *(f"{key}_ratio" for key in RATIOS))

SweepRow = tuple[Any, ...]


class Batch(msgspec.Struct, frozen=True):
    """The rows of some points: a sequence for each point that is a valid convolution, `naive` first.

    `refused` is how many points are no valid convolution, with the reason for the first of them; `infeasible` is the
    same for each variant that cannot be made of every point, by its name.
    """

    points: int
    rows: Sequence[Sequence[SweepRow]]
    refused: tuple[int, str] | None = None
    infeasible: Mapping[str, tuple[int, str]] = {}


def sweep_batches(grid: Grid, most: int = MOST_POINTS) -> Iterator[Batch]:
    """The rows of every point, `naive` first; batches vary fastest, kernels slowest."""
    inner = prod(grid._inner)
    axes = {exact: _Axes(grid, exact) for exact in (np.int64, object)}
    for structure in product(grid.kernels, grid.strides, grid.dilations):
        exact = object if _largest(grid, *structure) >= _EXACT else np.int64
        for first in range(0, inner, most):
            found = _Found()
            numbers = np.arange(first, min(first + most, inner))
            _evaluate(grid, axes[exact], structure, numbers, found)
            yield found.batch(len(numbers))


def _largest(grid: Grid, kernel: int, stride: int, dilation: int) -> int:
    """The largest cost with this kernel, stride and dilation, or `_EXACT` where the largest point cannot be made."""
    channels = (max(max(pair) for pair in grid.channels),) * 2
    size = max(n for pair in grid.sizes for n in pair)
    try:
        sizes = (size,) * grid.dims
        comparison = grid._attempted(kernel, stride, dilation, *channels, 1, *sizes, max(grid.batches))
    except InputError:
        return _EXACT
    if any(grid.factorizations[one.variant].widths for one in comparison.infeasible):
        return _EXACT  # with fewer channels it might be made
    return int(max(cost for variant in comparison.variants for cost in variant.costs.values() if cost is not None))


class _Axes:
    """The axes of a grid that are computed as arrays, of 64-bit or of Python's unlimited integers."""

    def __init__(self, grid: Grid, exact: Any) -> None:
        def array(values: Sequence[int]) -> Any:
            return np.array(values, dtype=exact)

        self._shape = grid._inner
        self._channels = [array([pair[i] for pair in grid.channels]) for i in (0, 1)]
        self._sizes = [array(along) for along in zip(*grid.sizes, strict=True)]
        self._groups = array([group or 0 for group in grid.groups])
        self._batches = array(grid.batches)

    def at(self, numbers: Any) -> list[BatchedInts]:
        """Channels in and out, groups, the size along each axis and batch of the points with these numbers."""
        channels, groups, sizes, batches = np.unravel_index(numbers, self._shape)
        into, out_of = (axis[channels] for axis in self._channels)
        apart = self._groups[groups]
        apart = np.where(apart == 0, into, apart)
        found = [into, out_of, apart, *(axis[sizes] for axis in self._sizes), self._batches[batches]]
        return [array.view(BatchedInts) for array in found]


class _Found:
    """The rows of a chunk of points, collected part by part."""

    def __init__(self) -> None:
        self._parts: list[tuple[Any, list[tuple[SweepRow, ...]]]] = []
        self._refused: tuple[int, str] | None = None
        self._left_out: dict[str, tuple[int, str]] = {}

    def add(self, numbers: Any, rows: list[tuple[SweepRow, ...]]) -> None:
        self._parts.append((numbers, rows))

    def refuse(self, points: int, why: Callable[[], str]) -> None:
        before = self._refused or (0, why())
        self._refused = before[0] + points, before[1]

    def leave_out(self, points: int, why: Callable[[], Mapping[str, str]], names: Iterable[str]) -> None:
        new = [name for name in names if name not in self._left_out]
        self._left_out |= {name: (0, reason) for name, reason in (why() if new else {}).items() if name in new}
        for name in names:
            self._left_out[name] = (self._left_out[name][0] + points, self._left_out[name][1])

    def batch(self, points: int) -> Batch:
        rows = self._parts[0][1] if self._parts else []
        if len(self._parts) > 1:  # in the order of the points again
            numbers = np.concatenate([numbers for numbers, _ in self._parts])
            every = [one for _, part in self._parts for one in part]
            rows = [every[i] for i in np.argsort(numbers)]
        return Batch(points, rows, self._refused, self._left_out)


def _evaluate(grid: Grid, axes: _Axes, structure: tuple[int, int, int], numbers: Any, found: _Found) -> None:
    """Compute the points with these numbers, split in parts where they differ in the answer to a condition."""
    try:
        _evaluate_uniform(grid, axes, structure, numbers, found)
    except MixedAnswers as mixed:
        for part in (numbers[mixed.truths], numbers[~mixed.truths]):
            _evaluate(grid, axes, structure, part, found)


def _evaluate_uniform(grid: Grid, axes: _Axes, structure: tuple[int, int, int], numbers: Any, found: _Found) -> None:
    kernel, stride, dilation = structure
    into, out_of, groups, *size, batch = inner = axes.at(numbers)
    first = [*structure, *(int(array[0]) for array in inner)]
    shape: Any = (batch, into, *size)
    try:
        check_kernel(kernel)
        before = after = (grid.padding or 0,) * grid.dims
        if grid.padding is None:
            along = ((kernel,) * grid.dims, (dilation,) * grid.dims)
            before, after = same_padding(*along, tuple(grid.factorizations.values()), grid.causal)
        one: Any = in_axes("Conv", grid.dims)(1, 1, kernel, stride, before, dilation, padding_after=after)
        if into % groups or out_of % groups:
            raise InputError("groups")  # `_reason` gives the words of `factorize`
        conv = BATCHED[grid.dims](
            cast(int, into), cast(int, out_of), one.kernel_size, one.stride, one.padding, one.dilation,
            cast(int, groups), grid.bias, one.padding_after,
        )  # fmt: skip
        made = {"naive": _columns(grid, conv, ((conv,),), shape)}
    except InputError:
        found.refuse(len(numbers), lambda: _reason(grid, first))
        return
    lacking = []
    for name, factorization in grid.factorizations.items():
        try:
            made[name] = _columns(grid, conv, factorized(conv, factorization), shape, factorization)
        except InputError:
            lacking.append(name)
    fixed = [_as_list(value, len(numbers)) for value in (*structure, *inner)]
    of_variant = []
    for name, columns in made.items():
        ratios = (columns[key] / made["naive"][key] for key in RATIOS)
        values = (_as_list(value, len(numbers)) for value in (name, *columns.values(), *ratios))
        of_variant.append(zip(*fixed, *values, strict=True))
    found.add(numbers, list(zip(*of_variant, strict=True)))
    if lacking:
        found.leave_out(
            len(numbers),
            lambda: {one.variant: one.reason for one in grid._attempted(*first).infeasible},
            lacking,
        )


def _columns(
    grid: Grid, conv: Conv, branches: Branches, shape: Any, factorization: Factorization = Factorization()
) -> dict[str, Any]:
    """A variant's columns: receptive field, window coverage, and every cost."""
    followers = following(conv.out_channels, grid.batch_norm, grid.activation, grid.dims)
    network = kernel_network(shape, branches, followers, factorization)
    known = propagate(network, shape)
    rows = [layer_costs(context) for context in layer_contexts(network, known, ITEMSIZE[grid.dtype])]
    field = receptive_fields(network, known)[network.nodes[-1].name]
    assert isinstance(field, ReceptiveField)
    columns: dict[str, Any] = {"receptive_field": field.size[0], "window": covered_window(conv, branches)[0]}
    for key in SWEPT:
        cost = COSTS[key]
        values: list[Any] = [row[key] for row in rows]
        if cost.total is None:
            columns[key] = cost.formula(NO_LAYER, columns)
        else:
            columns[key] = np.maximum.reduce(values) if cost.total is max else sum(values)
    return columns


def _as_list(value: Any, points: int) -> list[Any]:
    """A column as a list of Python's own numbers and strings."""
    return value.tolist() if isinstance(value, np.ndarray) else [value] * points


def _reason(grid: Grid, point: Sequence[int]) -> str:
    """Why a point has no rows, in the words of `factorize`."""
    try:
        grid._attempted(*point)
    except InputError as error:
        return str(error)
    raise AssertionError(f"factorize makes what the sweep does not: {point}")
