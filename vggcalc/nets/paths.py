"""How many paths lead from each input position to one output unit, exactly.

With one channel and all weights 1 that is the gradient of the unit with respect to the input. Going back from the
unit, a layer with kernel k, stride s, padding p and dilation d reads for its output position u the input positions
u·s − p + d·i, i = 0 … k − 1, along each axis separately. So along a chain of layers the counts are a product of
those along each axis, and the counts of branches that meet add up. Integers of any size: no count is rounded.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from math import prod
from operator import add
from typing import NamedTuple

from vggcalc.nets.graph import INPUT, Network
from vggcalc.nets.layers import Layer, MaxPool, PlainConvolution, Window


class AxisPaths(NamedTuple):
    """Along one axis, the number of paths from each position on, beginning with position `first`."""

    first: int
    counts: tuple[int, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.counts) - 1

    def per_cell(self, step: int) -> "AxisPaths":
        """The counts of every `step` positions together, in cells that begin at the multiples of `step`."""
        first = self.first // step
        counts = [0] * (self.last // step - first + 1)
        for position, count in enumerate(self.counts, self.first):
            counts[position // step - first] += count
        return AxisPaths(first, tuple(counts))


#: The paths along each spatial axis; the count of a position is the product of all.
ChainPaths = tuple[AxisPaths, ...]

#: The unit itself: one path, from position 0.
UNIT = AxisPaths(0, (1,))


class PathCounts(NamedTuple):
    """The counts of a rectangle of positions, row by row, whose first one is (top, left)."""

    top: int
    left: int
    rows: tuple[tuple[int, ...], ...]

    @property
    def height(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        return len(self.rows[0])

    def at(self, y: int, x: int) -> int:
        """The count of a position, which is 0 outside the rectangle."""
        inside = 0 <= y - self.top < self.height and 0 <= x - self.left < self.width
        return self.rows[y - self.top][x - self.left] if inside else 0


def read_by(paths: AxisPaths, kernel: int, stride: int, padding: int, dilation: int) -> AxisPaths:
    """The paths from a layer's input, where `paths` are those from its output."""
    span = (len(paths.counts) - 1) * stride + 1
    counts = [0] * (span + (kernel - 1) * dilation)
    for tap in range(0, kernel * dilation, dilation):
        read = slice(tap, tap + span, stride)
        counts[read] = map(add, counts[read], paths.counts)
    return AxisPaths(paths.first * stride - padding, tuple(counts))


def _axis(chain: tuple[tuple[int, int, int, int], ...]) -> AxisPaths:
    paths = UNIT
    for arguments in reversed(chain):
        paths = read_by(paths, *arguments)
    return paths


@lru_cache(maxsize=64)  # a sweep and the two axes of a square kernel ask for the same again
def _positions(chain: tuple[tuple[int, int, int, int], ...]) -> frozenset[int]:
    """The positions that at least one path leads from: with large dilations or strides few of those between."""
    found = frozenset((0,))
    for kernel, stride, padding, dilation in reversed(chain):
        taps = range(-padding, dilation * kernel - padding, dilation)
        found = frozenset([unit * stride + tap for unit in found for tap in taps])
    return found


def _axis_arguments(layer: Layer) -> tuple[tuple[int, int, int, int], ...]:
    """Kernel, stride, padding and dilation along each axis; () for a layer that has no kernel."""
    if not isinstance(layer, PlainConvolution | MaxPool | Window):
        return ()
    return tuple(zip(layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True))


def _along_axes(layers: Iterable[Layer]) -> Iterator[tuple[tuple[int, int, int, int], ...]]:
    """For each spatial axis the arguments of the layers that have a kernel."""
    return zip(*filter(None, map(_axis_arguments, layers)), strict=True)


def chain_paths(layers: Iterable[Layer]) -> ChainPaths:
    """Paths from the input of a chain of layers to the output unit at position 0 of every axis."""
    return tuple(map(_axis, _along_axes(layers)))


def chain_positions(layers: Iterable[Layer]) -> tuple[frozenset[int], ...]:
    """Along each axis the positions of the input of a chain of layers that the output unit at 0 sees."""
    return tuple(map(_positions, _along_axes(layers)))


def network_paths(network: Network) -> dict[str, tuple[ChainPaths, ...]]:
    """Paths to the output unit at position 0 of every axis from the input and from each node's output.

    The entries of a node add up.
    """
    found: dict[str, tuple[ChainPaths, ...]] = dict.fromkeys((INPUT, *(node.name for node in network.nodes)), ())
    found[network.nodes[-1].name] = ((UNIT,) * (len(network.input_shape) - 2),)
    for node in reversed(network.nodes):
        branches = found[node.name]
        if arguments := _axis_arguments(node.layer):
            branches = tuple(
                tuple(read_by(paths, *those) for paths, those in zip(branch, arguments, strict=True))
                for branch in branches
            )
        for name in node.inputs:
            found[name] += branches
    return found


def on_a_plane(branch: ChainPaths) -> ChainPaths:
    """The paths along (height, width): of one axis a single row, of three the sum over the first of them."""
    *others, width = branch
    if not others:
        return UNIT, width
    total, height = prod(sum(axis.counts) for axis in others[:-1]), others[-1]
    return AxisPaths(height.first, tuple(count * total for count in height.counts)), width


def path_counts(branches: Sequence[ChainPaths]) -> PathCounts:
    """The sum over all branches of two axes, on the rectangle that holds them."""
    top, left = (min(branch[axis].first for branch in branches) for axis in (0, 1))
    bottom, right = (max(branch[axis].last for branch in branches) for axis in (0, 1))
    counts = [[0] * (right - left + 1) for _ in range(bottom - top + 1)]
    for rows, columns in branches:
        for y, row in enumerate(rows.counts, rows.first - top):
            for x, column in enumerate(columns.counts, columns.first - left):
                counts[y][x] += row * column
    return PathCounts(top, left, tuple(map(tuple, counts)))
