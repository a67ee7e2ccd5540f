"""What a printed figure is worth, so that a page can sort by it: the way back from `units`."""

import math
import re
from typing import NamedTuple


class Quantity(NamedTuple):
    """`kind` is what may be compared with each other: "number", "bytes", "seconds" or "percent"."""

    kind: str
    value: float


#: Unit → kind and scale. A figure without a unit is a number.
_UNITS = {
    "": ("number", 1.0),
    "B": ("bytes", 1.0),
    "KiB": ("bytes", 2.0**10),
    "MiB": ("bytes", 2.0**20),
    "GiB": ("bytes", 2.0**30),
    "TiB": ("bytes", 2.0**40),
    "s": ("seconds", 1.0),
    "ms": ("seconds", 1e-3),
    "µs": ("seconds", 1e-6),
    "%": ("percent", 1.0),
}

_FIGURE = re.compile(
    r"(?:≥ )?"  # a lower bound
    r"(?:[\d,. +·]+ = )?"  # how a sum comes about: 9 + 9 + 9 = 27
    r"(?P<sign>[+−-]?)(?P<digits>\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)"
    r"(?P<more>(?:×\d+)*)(?: ×(?P<times>\d+))?"  # a shape, 64×56×56, and a run of kernels, 3×3 ×2
    r"(?: ?(?P<unit>[KMGT]?iB|B|s|ms|µs|%))?"
    r"(?:[/–][\d,.]+)?"  # what it is set against, 49/27, or the end of an interval, 0.61–0.64
)


def quantity(text: str) -> Quantity | None:
    """The figure that a cell begins with, None where it holds none; a shape is worth its product."""
    match = _FIGURE.fullmatch(text)
    if match is None:
        return None
    kind, scale = _UNITS[match["unit"] or ""]
    value = float(match["digits"].replace(",", ""))
    value *= math.prod(float(n) for n in match["more"].split("×")[1:]) * float(match["times"] or 1)
    return Quantity(kind, (-value if match["sign"] in ("−", "-") else value) * scale)
