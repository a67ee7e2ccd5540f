"""Round numbers on axes, written as people write them: 1 M, 256 KiB, 3 ms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, log2, log10
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from matplotlib.axis import Axis


def si(value: float) -> str:
    """With the prefix of a thousand, a million, …: 1.5 M, 200 k, 0.5. A unit may follow."""
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale:
            return f"{value / scale:,.4g} {prefix}"
    return f"{value:.4g}"


def _bytes(value: float) -> str:
    """In binary units: 1 MiB = 2²⁰ bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:,.4g} TiB"


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale * (1 - 1e-9):
            return f"{value / scale:,.4g} {unit}"
    return f"{value / 1e-9:.4g} ns"


class Quantity(msgspec.Struct, frozen=True):
    """How the numbers of an axis are written, and whether their round numbers are powers of two."""

    write: Callable[[float], str]
    binary: bool = False


COUNT, BYTES, SECONDS = Quantity(si), Quantity(_bytes, True), Quantity(_seconds)
RATIO = Quantity(lambda value: f"{value:.4g}")

_BINARY_STEPS: tuple[tuple[float, ...], ...] = ((1, 1.5), (1, 1.25, 1.5, 1.75))
_STEPS: tuple[tuple[float, ...], ...] = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7))


def log_ticks(low: float, high: float, quantity: Quantity, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high` for a logarithmic axis: three where they fit, `most` at most."""
    apart = log10(high / low) / (1.5 * most)
    found: list[float] = []
    for ticks in _round(low, high, quantity.binary):
        if len(ticks) <= most and all(log10(b / a) >= apart for a, b in pairwise(ticks)):
            found = ticks
        if len(found) >= 3:
            return found
    from matplotlib.ticker import MaxNLocator

    even = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
    linear = {log10(tick): float(tick) for tick in even if low <= tick <= high}
    kept = [linear[place] for place in thinned(sorted(linear), apart)]
    return kept if len(kept) > len(found) else found


def _round(low: float, high: float, binary: bool) -> Iterator[list[float]]:
    """Ever more of them."""
    if binary:
        powers = range(floor(log2(low)), ceil(log2(high)) + 1)
        for step in (10, 5, 4, 3, 2, 1):
            yield [2.0**power for power in powers if power % step == 0 and low <= 2.0**power <= high]
        for factors in _BINARY_STEPS:
            ticks = [factor * 2.0**power for power in powers for factor in factors]
            yield [tick for tick in ticks if low <= tick <= high]
        return
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for step in (6, 3, 2):
        yield [10.0**decade for decade in decades if decade % step == 0 and low <= 10.0**decade <= high]
    for factors in _STEPS:
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        yield [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def log_axis(axis: Axis, quantity: Quantity, most: int = 6, least_span: float = 1.5) -> None:
    """Make an axis logarithmic, once all is drawn, that spans a factor of `least_span` or more."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    low, high = (float(end) for end in axis.get_view_interval())
    if high / low < least_span:
        middle = (low * high) ** 0.5
        low, high = middle / least_span**0.5, middle * least_span**0.5
        axis.set_view_interval(low, high, ignore=True)
    ticks = log_ticks(low, high, quantity, most)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([quantity.write(tick) for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def thinned(places: Sequence[float], least: float) -> list[float]:
    """Of increasing places those that stand `least` apart, the first and the last among them."""
    if not places:
        return []
    kept = [places[0]]
    for place in places[1:]:
        if place - kept[-1] >= least:
            kept.append(place)
    if kept[-1] != places[-1]:
        while len(kept) > 1 and places[-1] - kept[-1] < least:
            kept.pop()
        if places[-1] - kept[-1] >= least:
            kept.append(places[-1])
    return kept
