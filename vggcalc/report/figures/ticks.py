"""Logarithmic axes with round numbers, by matplotlib's own locators and formatters: 1 M, 256 KiB, 3 ms."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.ticker import Formatter, Locator

#: What an axis counts, which says how its numbers are written; round numbers of bytes are powers of two.
Quantity = Literal["count", "bytes", "seconds", "ratio"]

#: Where a span of so many decades ends, the mantissas of its ticks; the last are those of any longer span.
_MANTISSAS: dict[float, tuple[float, ...]] = {
    0.34: (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), 0.7: (1, 1.5, 2, 3, 4, 5, 7), 1.4: (1, 2, 5), 2.5: (1, 3), 99: (1,)
}  # fmt: skip
_BINARY_MANTISSAS: dict[float, tuple[float, ...]] = {0.4: (1, 1.25, 1.5, 1.75), 0.8: (1, 1.5), 99: (1,)}


def _bytes(value: float, position: int | None = None) -> str:
    """In binary units: 1 MiB = 2²⁰ bytes. `position`, that of the tick, is what matplotlib hands to a formatter."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:,.4g} TiB"


def formatter(quantity: Quantity) -> Formatter:
    """How the numbers of a quantity are written."""
    from matplotlib.ticker import EngFormatter, FuncFormatter

    match quantity:
        case "bytes":
            return FuncFormatter(_bytes)
        case "ratio":
            return FuncFormatter(lambda value, position: f"{value:.4g}")
    return EngFormatter(unit="s" if quantity == "seconds" else "")


def log_locator(low: float, high: float, quantity: Quantity, most: int = 6) -> Locator:
    """Round numbers on a logarithmic axis from `low` to `high`: at most `most` powers of the base."""
    from matplotlib.ticker import LogLocator

    binary, decades = quantity == "bytes", log10(high / low)
    mantissas = _BINARY_MANTISSAS if binary else _MANTISSAS
    subs = next(subs for end, subs in mantissas.items() if decades < end)
    return LogLocator(2 if binary else 10, subs=subs, numticks=most)


def log_axis(axis: Axis, quantity: Quantity, most: int = 6, least_span: float = 1.5) -> None:
    """Give a logarithmic axis its ticks, once all is drawn, and a span of a factor of `least_span` or more."""
    from matplotlib.ticker import NullLocator

    low, high = (float(end) for end in axis.get_view_interval())
    if high / low < least_span:
        middle = (low * high) ** 0.5
        low, high = middle / least_span**0.5, middle * least_span**0.5
        axis.set_view_interval(low, high, ignore=True)
    axis.set_major_locator(log_locator(low, high, quantity, most))
    axis.set_major_formatter(formatter(quantity))
    axis.set_minor_locator(NullLocator())


def thinned(positions: Sequence[float], least: float) -> list[float]:
    """Of increasing positions those that stand `least` apart, the last one among them."""
    kept: list[float] = []
    for position in reversed(positions):
        if not kept or kept[-1] - position >= least:
            kept.append(position)
    return kept[::-1]
