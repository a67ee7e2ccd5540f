"""Which dimensions of a tensor are the input's spatial axes, through broadcasts, reshapes and permutations.

A receptive field needs to know where height and width are: in (batch, height, width, channels) after a permutation,
or in one dimension of height·width tokens. Each dimension carries a label; an operator's rule moves the labels as the
operator moves the dimensions.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import msgspec

from vggcalc.nets.layers import Axes, Shape

#: A dimension's label: one of the input's spatial axes, by number; TOKENS, all of them in one dimension, row by row;
#: MIXED, all of them together with channels; or None.
TOKENS, MIXED = "tokens", "mixed"
Label = int | str | None


class SpatialAxes(msgspec.Struct, frozen=True):
    """A label for each dimension, and the sizes of the spatial axes; () where an axis cannot be told any more."""

    labels: tuple[Label, ...]
    sizes: Axes

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The dimension of each spatial axis, in order; () unless each has its own."""
        return _dimensions(self.labels, len(self.sizes))

    @property
    def tracked(self) -> bool:
        """Whether each axis has a dimension of its own, or all of them have one together."""
        return bool(self.dimensions) or TOKENS in self.labels or MIXED in self.labels


@lru_cache
def _dimensions(labels: tuple[Label, ...], axes: int) -> tuple[int, ...]:
    """Where the numbers below `axes` stand among the labels; () unless all of them do."""
    found = tuple(labels.index(axis) for axis in range(axes) if axis in labels)
    return found if len(found) == axes else ()


def resized(spatial: SpatialAxes, shape: Shape) -> SpatialAxes:
    """The same axes in a tensor of as many dimensions and other sizes."""
    if len(spatial.labels) != len(shape):
        return SpatialAxes((None,) * len(shape), ())
    return SpatialAxes(spatial.labels, tuple(shape[i] for i in spatial.dimensions) or spatial.sizes)


def no_axes(shape: Shape) -> SpatialAxes:
    """No dimension of it is known to be a spatial axis."""
    return SpatialAxes((None,) * len(shape), ())


def broadcast(inputs: Sequence[tuple[Shape, SpatialAxes]], shape: Shape) -> SpatialAxes | None:
    """Where the axes stand after broadcasting; None where two inputs disagree.

    An input without known axes does not contradict one that has them, such as a gate that is broadcast over a
    feature map: what its own units see is part of its reach.
    """
    inputs = [one for one in inputs if one[1].sizes] or inputs
    labels: list[Label] = [None] * len(shape)
    fixed = [False] * len(shape)
    sizes: Axes = ()
    for each, spatial in inputs:
        for i in range(1, len(each) + 1):
            label = spatial.labels[-i]
            if each[-i] == 1 and shape[-i] != 1:
                continue
            if fixed[-i] and labels[-i] != label and each[-i] != 1:
                return None
            if not fixed[-i] or label is not None:
                labels[-i], fixed[-i] = label, True
        if spatial.sizes and prod(spatial.sizes) >= prod(sizes):
            sizes = spatial.sizes
    spatial = SpatialAxes(tuple(labels), sizes)
    return resized(spatial, shape) if spatial.tracked else SpatialAxes(tuple(labels), ())


def reshaped(shape: Shape, spatial: SpatialAxes, after: Shape) -> tuple[tuple[Label, ...], bool]:
    """What each dimension is after a reshape, and whether every axis is still in its spatial."""
    labels: list[Label] = []
    axes = list(range(len(spatial.sizes)))
    i = j = 0
    while i < len(shape) or j < len(after):
        begin, start = i, j
        one, two = 1, 1
        if i < len(shape):
            one, i = shape[i], i + 1
        if j < len(after):
            two, j = after[j], j + 1
        while one != two:
            if one < two:
                one, i = one * shape[i], i + 1
            else:
                two, j = two * after[j], j + 1
        group = [(n, spatial.labels[begin + k]) for k, n in enumerate(shape[begin:i])]
        labels += _labels_of(group, after[start:j], axes, spatial.sizes)
    found = [label for label in labels if isinstance(label, int)]
    stays = TOKENS in labels or (MIXED in labels and MIXED in spatial.labels)
    return tuple(labels), bool(spatial.sizes) and (sorted(found) == axes or stays)


def _labels_of(group: list[tuple[int, Label]], after: Shape, axes: list[int], sizes: Axes) -> list[Label]:
    """The labels of the dimensions that a group of dimensions of the same size becomes."""
    labels = [label for _, label in group]
    if len(group) == len(after) == 1:
        return labels
    named = [(n, label) for n, label in group if label is not None]
    if not named:
        return [None] * len(after)
    plain = prod(n for n, label in group if label is None) == 1
    if len(after) == 1:
        if [label for _, label in named] == axes:
            return [TOKENS if plain else MIXED]
        if len(named) == 1 and plain:
            return [named[0][1]]
        return [MIXED] if {TOKENS, MIXED} & {label for _, label in named} else [None]
    if plain and len(named) == 1:
        size, label = named[0]
        wide = [k for k, n in enumerate(after) if n != 1]
        if label == TOKENS and tuple(after[k] for k in wide) == tuple(n for n in sizes if n != 1):
            given: list[Label] = [None] * len(after)
            for k, axis in zip(wide, [a for a, n in enumerate(sizes) if n != 1], strict=True):
                given[k] = axis
            return given
        if wide == [k for k, n in enumerate(after) if n == size]:
            return [label if k in wide else None for k in range(len(after))]
    return [None] * len(after)
