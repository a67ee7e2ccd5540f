"""Which pixels of a convolution's window its factorization sees, and how it mixes the channels."""

from collections.abc import Sequence

from vggcalc.nets.families import FAMILIES, Branches
from vggcalc.nets.layers import Conv2d
from vggcalc.results import CoveredWindow, WindowCoverage

#: Places along an axis: the first one, and a bit for each from there on.
_Places = tuple[int, int]


def coverage(conv: Conv2d, branches: Branches, family: str) -> WindowCoverage:
    """What the branches that a family makes of `conv` cover of its window: see `WindowCoverage`."""
    narrowest = min(layer.out_channels for branch in branches for layer in branch)
    mixing = FAMILIES[family].mixing
    if conv.groups == conv.in_channels == conv.out_channels:  # it mixes none itself
        mixing = "full"
    elif mixing == "full" and narrowest < min(conv.in_channels, conv.out_channels):
        mixing = "reduced"
    return WindowCoverage(*window(conv, branches), mixing, narrowest)


def window(conv: Conv2d, branches: Branches) -> tuple[CoveredWindow, int, int]:
    """In a word what is seen of the window of `conv`, how many of its pixels, and how many there are.

    Both are what the unit at the origin sees.
    """
    whole = [_places((conv,), axis) for axis in (0, 1)]
    seen = [[_common(whole[axis], _places(branch, axis)) for axis in (0, 1)] for branch in branches]
    pixels = sum(_area(one) for one in seen)
    if len(seen) == 2:
        pixels -= _area([_common(one, two) for one, two in zip(*seen, strict=True)])
    of = _area(whole)
    word: CoveredWindow = "full" if pixels == of else "cross" if len(branches) > 1 else "holes"
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
