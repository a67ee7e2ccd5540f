"""Where the image's axes stand in a tensor, and what becomes of them when it is broadcast or reshaped."""

from collections.abc import Sequence
from math import prod

import msgspec

from vggcalc.nets.layers import Axes, Shape

#: What a dimension of a tensor is: one of the image's axes, by number; all of them in one, row by
#: row; all of them together with channels; or none.
TOKENS, MIXED = "tokens", "mixed"
Label = int | str | None


class Place(msgspec.Struct, frozen=True):
    """What each dimension of a tensor is, and the sizes of its map; () where an axis is lost."""

    labels: tuple[Label, ...]
    map: Axes

    @property
    def axes(self) -> tuple[int, ...]:
        """The dimensions of the axes, in order; () unless each axis has its own."""
        found = tuple(self.labels.index(axis) for axis in range(len(self.map)) if axis in self.labels)
        return found if len(found) == len(self.map) else ()


def kept(place: Place, shape: Shape) -> Place:
    """The same dimensions on a map of another size."""
    if len(place.labels) != len(shape):
        return Place((None,) * len(shape), ())
    return Place(place.labels, tuple(shape[i] for i in place.axes) or place.map)


def lost(shape: Shape) -> Place:
    return Place((None,) * len(shape), ())


def joined(inputs: Sequence[tuple[Shape, Place]], shape: Shape) -> Place | None:
    """Where the axes stand after broadcasting; None where two inputs disagree.

    An input that has lost its axes says nothing against another that has them, such as a gate that
    was broadcast over the map: what its units see went with it.
    """
    inputs = [one for one in inputs if one[1].map] or inputs
    labels: list[Label] = [None] * len(shape)
    fixed = [False] * len(shape)
    sizes: Axes = ()
    for each, place in inputs:
        for i in range(1, len(each) + 1):
            label = place.labels[-i]
            if each[-i] == 1 and shape[-i] != 1:
                continue
            if fixed[-i] and labels[-i] != label and each[-i] != 1:
                return None
            if not fixed[-i] or label is not None:
                labels[-i], fixed[-i] = label, True
        if place.map and prod(place.map) >= prod(sizes):
            sizes = place.map
    place = Place(tuple(labels), sizes)
    return kept(place, shape) if place.axes or TOKENS in labels else Place(tuple(labels), ())


def regrouped(shape: Shape, place: Place, after: Shape) -> tuple[tuple[Label, ...], bool]:
    """What each dimension is after a reshape, and whether every axis is still in its place."""
    labels: list[Label] = []
    axes = list(range(len(place.map)))
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
        group = [(n, place.labels[begin + k]) for k, n in enumerate(shape[begin:i])]
        labels += _labels_of(group, after[start:j], axes, place.map)
    found = [label for label in labels if isinstance(label, int)]
    return tuple(labels), bool(place.map) and (sorted(found) == axes or TOKENS in labels)


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
