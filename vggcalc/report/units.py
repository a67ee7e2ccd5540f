"""Numbers as people read them. Results keep integers and seconds; only this module scales."""

from collections.abc import Sequence
from itertools import groupby
from math import floor, log10

NO_FIGURE = "—"

#: Before a total that lacks some operator's cost.
LOWER_BOUND = "≥ "


def count(value: int | float | None) -> str:
    """An exact count, in groups of three digits."""
    return NO_FIGURE if value is None else f"{value:,}"


def size(value: int | float | None) -> str:
    """Bytes in binary units (1 MiB = 2²⁰ bytes), to three digits or more."""
    if value is None:
        return NO_FIGURE
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value} {unit}" if unit == "B" else f"{value:,.{_places(value)}f} {unit}"


def duration(seconds: float | None) -> str:
    """Seconds, scaled to s, ms or µs, with three significant digits."""
    if seconds is None:
        return NO_FIGURE
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.{_places(seconds / scale)}f} {unit}"
    return f"{seconds / 1e-6:.{_places(seconds / 1e-6)}f} µs"


def _places(value: float) -> int:
    """Decimal places that leave three significant digits."""
    return 2 if value < 10 else 1 if value < 100 else 0


def number(value: float | None) -> str:
    """A plain figure such as an intensity, to three significant digits."""
    return NO_FIGURE if value is None else f"{value:,.{_places(value)}f}"


def ratio(value: float | None) -> str:
    """variant / baseline, to four significant digits below ten."""
    if value is None:
        return NO_FIGURE
    return f"{value:.4f}" if value < 1 else f"{value:,.3f}" if value < 100 else f"{value:,.0f}"


def percent(value: float) -> str:
    """How far a ratio is from 1, in two digits of what is gone or of what is left, whichever is less.

    >>> percent(0.551), percent(0.0284), percent(1.08), percent(0.9967)
    ('45%', '97.2%', '8.0%', '0.33%')
    """
    off = abs(value - 1) * 100
    least = min(off, 100 - off) if value < 1 else off
    places = max(0, 1 - floor(log10(least))) if least > 0 else 0
    return f"{off:.{places}f}%"


def times(value: float) -> str:
    """A factor, in a sentence or a table: 1.57, 8.04, 20.3; near 1, where a percent matters, 1.004."""
    return f"{value:,.{_places_of_factor(value)}f}"


def _places_of_factor(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2 if abs(value - 1) > 0.1 and value >= 0.1 else 3


def change(value: float | None) -> str:
    """A ratio in a table, as `amount_of` words it in a sentence: below twice in percent, from there on as a factor.

    0.551 is −45%, 1.08 is +8.0%, and 8.04 is 8.04×.
    """
    if value is None:
        return NO_FIGURE
    if value >= 2:
        return f"{times(value)}×"
    return "0%" if value == 1 else f"{'−' if value < 1 else '+'}{percent(value)}"


def compact(value: int | float | None) -> str:
    """A count to three digits, where there is no room for all of them: 629M."""
    if value is None:
        return NO_FIGURE
    for unit in ("", "k", "M", "G", "T"):
        if value < 999.5 or unit == "T":
            break
        value /= 1000
    return f"{value:g}" if unit == "" else f"{value:.{_places(value)}f}{unit}"


def speedup(value: float | None) -> str:
    """A ratio of latencies, variant / baseline, as how many times as fast the variant is: 0.638 is 1.57×."""
    return NO_FIGURE if value is None else f"{times(1 / value)}×"


def speedup_interval(ends: tuple[float, float] | None, rounds: int) -> str:
    """The ends of a 95% interval of a ratio of latencies as those of the speed-up, both to the same place."""
    if ends is None:
        return f"none: {rounds} rounds"
    low, high = 1 / ends[1], 1 / ends[0]
    places = max(_places_of_factor(low), _places_of_factor(high))
    return f"{low:,.{places}f}–{high:,.{places}f}"


def share(value: float | None) -> str:
    """A share in whole percent."""
    return NO_FIGURE if value is None else f"{value:.0%}"


def error(value: float | None) -> str:
    """A relative error in two digits: 1.2e-7."""
    return NO_FIGURE if value is None else "0" if not value else f"{value:.1e}".replace("e-0", "e-")


def interval(ends: tuple[float, float] | None, rounds: int) -> str:
    """The ends of a 95% interval, or from how few rounds there is none."""
    return f"{ends[0]:.3f}–{ends[1]:.3f}" if ends else f"none: {rounds} rounds"


def precise(value: float) -> str:
    """A figure to five significant digits, for changes that rounding would hide."""
    return f"{value:,.5g}"


def shape(value: Sequence[int] | None) -> str:
    """A kernel, the size of a feature map, or a whole shape: 1×64×56×56."""
    return NO_FIGURE if value is None else "×".join(str(n) for n in value)


def window(kernel: Sequence[int]) -> str:
    """One kernel: `3×3`; in one dimension `k3`, which is no mere number."""
    return shape(kernel) if len(kernel) != 1 else f"k{kernel[0]}"


def kernels(value: Sequence[Sequence[int]]) -> str:
    """Kernels in order, runs counted: `3×3 ×2, 1×1`; of one dimension `k3 ×2, k1`."""
    return runs([window(kernel) for kernel in value])


def runs(value: Sequence[str]) -> str:
    """Words in order, runs counted: `Linear ×2, GELU`."""
    found = [(word, len(list(run))) for word, run in groupby(value)]
    return ", ".join(word + (f" ×{length}" if length > 1 else "") for word, length in found)


def axes(value: Sequence[int]) -> str:
    """One number where all axes agree, `7`, or all: `7×5`."""
    return str(value[0]) if len(set(value)) == 1 else shape(value)


def names(value: Sequence[str], most: int | None = None, last_by: str = "and") -> str:
    """Names in a sentence: `a, b and c`; where there are more than `most`, the first ones `and 3 others`."""
    others = len(value) - most if most is not None else 0
    *first, last = [*value[:most], f"{others} other{'s' * (others > 1)}"] if others > 0 else value or [""]
    return f"{', '.join(first)} {last_by} {last}" if first else last
