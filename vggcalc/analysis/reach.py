"""How much of a convolution's window its factorization covers, and how it mixes the channels."""

from collections import Counter

from vggcalc.nets.chains import Branches
from vggcalc.nets.families import FAMILIES
from vggcalc.nets.layers import Conv2d
from vggcalc.nets.paths import chain_positions
from vggcalc.results import CoveredWindow, WindowCoverage


def coverage(conv: Conv2d, branches: Branches, family: str) -> WindowCoverage:
    """How much of the window of `conv` the branches that a family makes of it cover: see `WindowCoverage`."""
    narrowest = min(layer.out_channels for branch in branches for layer in branch)
    mixing = FAMILIES[family].mixing
    if conv.groups == conv.in_channels == conv.out_channels:  # it mixes none itself
        mixing = "full"
    elif mixing == "full" and narrowest < min(conv.in_channels, conv.out_channels):
        mixing = "reduced"
    return WindowCoverage(*covered_window(conv, branches), mixing, narrowest)


def covered_window(conv: Conv2d, branches: Branches) -> tuple[CoveredWindow, int, int]:
    """Which part of the window of `conv` the branches cover: its kind, how many positions, and of how many."""
    rows, columns = chain_positions((conv,))
    seen = [chain_positions(branch) for branch in branches]
    # A row is seen by some of the branches, and in it the columns that any of those sees.
    by = Counter(tuple(columns for rows, columns in seen if row in rows) for row in rows)
    covered = sum(count * len(columns.intersection(frozenset().union(*across))) for across, count in by.items())
    of = len(rows) * len(columns)
    kind: CoveredWindow = "full" if covered == of else "cross" if len(branches) > 1 else "holes"
    return kind, covered, of
