"""How often each pixel reaches one unit of a factorized kernel: the number of paths, exactly.

With one channel and all weights 1 it is the gradient of the unit. Going back from the unit, a layer
with kernel k, stride s, dilation d and padding p reads for its place u the places u·s − p + d·i,
i = 0 … k − 1, along each axis for itself: so along a chain the counts are the product of a row and
a column, and of branches that meet they add up.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from vggcalc.nets.graph import INPUT
from vggcalc.nets.layers import Axes
from vggcalc.results import LayerResult, Variant


class Line(NamedTuple):
    """Along one axis: how many paths from each place, the first of which is `first`."""

    first: int
    counts: tuple[int, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.counts) - 1


#: The counts along height and width, whose products are those of the places.
Term = tuple[Line, Line]


class Window(msgspec.Struct, frozen=True):
    """What one unit sees of a map: the counts from (top, left) on, row by row; 0 is not seen."""

    top: int
    left: int
    counts: tuple[tuple[int, ...], ...]

    @property
    def height(self) -> int:
        return len(self.counts)

    @property
    def width(self) -> int:
        return len(self.counts[0])

    def count(self, y: int, x: int) -> int:
        """At a place, also beside the window."""
        inside = 0 <= y - self.top < self.height and 0 <= x - self.left < self.width
        return self.counts[y - self.top][x - self.left] if inside else 0


def paths(variant: Variant) -> dict[str, tuple[Term, ...]]:
    """For the input and each layer how often its places reach the unit at 0, 0 of the output."""
    terms: dict[str, tuple[Term, ...]] = dict.fromkeys((INPUT, *(layer.name for layer in variant.layers)), ())
    terms[variant.layers[-1].name] = ((Line(0, (1,)), Line(0, (1,))),)
    for layer in reversed(variant.layers):
        read = tuple(_read(layer, term) for term in terms[layer.name])
        for name in layer.inputs:
            terms[name] += read
    return terms


def _read(layer: LayerResult, term: Term) -> Term:
    """What the places of a layer's output read of its input."""
    if layer.kernel_size is None:
        return term
    height, width = (_taps(layer, line, axis) for axis, line in enumerate(term))
    return height, width


def _taps(layer: LayerResult, line: Line, axis: int) -> Line:
    kernel, stride, padding, dilation = (
        _number(layer, name, axis) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    counts = [0] * ((len(line.counts) - 1) * stride + (kernel - 1) * dilation + 1)
    for place, count in enumerate(line.counts):
        for tap in range(kernel):
            counts[place * stride + tap * dilation] += count
    return Line(line.first * stride - padding, tuple(counts))


def _number(layer: LayerResult, argument: str, axis: int) -> int:
    value: Axes = getattr(layer.layer, argument)
    return value[axis]


def window(terms: Sequence[Term]) -> Window:
    """The counts of all terms together."""
    top, left = (min(term[axis].first for term in terms) for axis in (0, 1))
    bottom, right = (max(term[axis].last for term in terms) for axis in (0, 1))
    counts = [[0] * (right - left + 1) for _ in range(bottom - top + 1)]
    for rows, columns in terms:
        for y, row in enumerate(rows.counts, rows.first - top):
            for x, column in enumerate(columns.counts, columns.first - left):
                counts[y][x] += row * column
    return Window(top, left, tuple(map(tuple, counts)))


def coarse(terms: Sequence[Term], step: int) -> list[Term]:
    """The counts of every `step` × `step` places together, cut at the multiples of `step`."""
    return [(_coarse(rows, step), _coarse(columns, step)) for rows, columns in terms]


def _coarse(line: Line, step: int) -> Line:
    first = line.first // step
    counts = [0] * (line.last // step - first + 1)
    for place, count in enumerate(line.counts, line.first):
        counts[place // step - first] += count
    return Line(first, tuple(counts))
