"""Which pixels of a convolution's window its factorization sees, and how it mixes the channels."""

from collections.abc import Sequence

from vggcalc.results import Keeps
from vggcalc.spec.families import Branches
from vggcalc.spec.layers import Conv2d

#: Places along an axis: the first one, and a bit for each from there on.
_Places = tuple[int, int]


def keeps(conv: Conv2d, branches: Branches) -> Keeps:
    """What the branches keep of `conv`: see `Keeps`."""
    return Keeps(*window(conv, branches), _mixing(conv, branches))


def window(conv: Conv2d, branches: Branches) -> tuple[str, int, int]:
    """In a word what is seen of the window of `conv`, how many of its pixels, and how many there are.

    Both are what the unit at the origin sees.
    """
    whole = [_places((conv,), axis) for axis in (0, 1)]
    seen = [[_common(whole[axis], _places(branch, axis)) for axis in (0, 1)] for branch in branches]
    pixels = sum(_area(one) for one in seen)
    if len(seen) == 2:
        pixels -= _area([_common(one, two) for one, two in zip(*seen, strict=True)])
    of = _area(whole)
    word = "full" if pixels == of else "cross" if len(branches) > 1 else "holes"
    return word, pixels, of


def _places(chain: Sequence[Conv2d], axis: int) -> _Places:
    """The input pixels that the output unit at 0 reaches through a chain, padding counted as pixels."""
    first, bits = 0, 1
    for conv in reversed(chain):
        stride, step = conv.stride[axis], conv.dilation[axis]
        first = first * stride - conv.padding[axis]
        if stride > 1:
            bits = sum(1 << i * stride for i in range(bits.bit_length()) if bits >> i & 1)
        reached = 0
        for tap in range(conv.kernel_size[axis]):
            reached |= bits << tap * step
        bits = reached
    return first, bits


def _common(one: _Places, two: _Places) -> _Places:
    first = max(one[0], two[0])
    return first, (one[1] >> first - one[0]) & (two[1] >> first - two[0])


def _area(places: Sequence[_Places]) -> int:
    rows, columns = (bits.bit_count() for _, bits in places)
    return rows * columns


def _mixing(conv: Conv2d, branches: Branches) -> str:
    layers = [layer for branch in branches for layer in branch]
    if any(layer.groups > conv.groups for layer in layers):
        return "separable"
    narrow = min(layer.out_channels for layer in layers)
    if narrow < min(conv.in_channels, conv.out_channels):
        return f"reduced to {narrow}"
    return "full" if conv.groups == 1 else f"in {conv.groups} groups"
