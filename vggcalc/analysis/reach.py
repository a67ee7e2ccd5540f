"""How much of a convolution's window its factorization covers, and how it mixes the channels."""

from collections import Counter
from collections.abc import Sequence
from math import prod

from vggcalc.nets.chains import Branches
from vggcalc.nets.families import FAMILIES
from vggcalc.nets.layers import Conv
from vggcalc.nets.paths import chain_positions
from vggcalc.results import CoveredWindow, WindowCoverage


def coverage(conv: Conv, branches: Branches, family: str) -> WindowCoverage:
    """How much of the window of `conv` the branches that a family makes of it cover: see `WindowCoverage`."""
    narrowest = min(layer.out_channels for branch in branches for layer in branch)
    mixing = FAMILIES[family].mixing
    if conv.groups == conv.in_channels == conv.out_channels:  # it mixes none itself
        mixing = "full"
    elif mixing == "full" and narrowest < min(conv.in_channels, conv.out_channels):
        mixing = "reduced"
    return WindowCoverage(*covered_window(conv, branches), mixing, narrowest)


def covered_window(conv: Conv, branches: Branches) -> tuple[CoveredWindow, int, int]:
    """Which part of the window of `conv` the branches cover: its kind, how many positions, and of how many."""
    window = chain_positions((conv,))
    covered, of = _covered(window, [chain_positions(branch) for branch in branches]), prod(map(len, window))
    kind: CoveredWindow = "full" if covered == of else "cross" if len(branches) > 1 else "holes"
    return kind, covered, of


def _covered(window: Sequence[frozenset[int]], seen: Sequence[Sequence[frozenset[int]]]) -> int:
    """How many positions of the window are in any of the products `seen`; all have a set for each axis."""
    if not window:
        return 1
    (first, *others) = window
    by = Counter(tuple(i for i, one in enumerate(seen) if position in one[0]) for position in first)
    return sum(count * _covered(others, [seen[i][1:] for i in which]) for which, count in by.items() if which)
