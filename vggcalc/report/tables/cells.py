"""What every format for people renders: tables of text cells, and sentences."""

from collections.abc import Callable

import msgspec

from vggcalc.report import units
from vggcalc.results import Costs


class Column(msgspec.Struct, frozen=True):
    """`wide` columns are shown only where there is room."""

    title: str
    right: bool = True
    wide: bool = False


class Row(msgspec.Struct, frozen=True):
    cells: tuple[str, ...]
    strong: bool = False
    ruled: bool = False


class Table(msgspec.Struct, frozen=True):
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


class Text(msgspec.Struct, frozen=True):
    """Sentences, one a line; `quiet` ones step back."""

    lines: tuple[str, ...]
    quiet: bool = False


Section = Table | Text

#: The costs that stand in every table; the others where there is room.
ALWAYS = ("parameters", "macs")

#: How each cost is headed and scaled; a cost that is not listed is an exact count.
HEADINGS: dict[str, tuple[str, Callable[[int | float | None], str]]] = {
    "parameters": ("parameters", units.count),
    "macs": ("MACs", units.count),
    "flops": ("FLOPs", units.count),
    "activations": ("activations", units.count),
    "weight_bytes": ("weights", units.size),
    "traffic_bytes": ("traffic", units.size),
    "peak_activation_bytes": ("peak activations", units.size),
    "saved_bytes": ("saved activations", units.size),
    "training_flops": ("training FLOPs", units.count),
    "intensity": ("FLOPs/byte", units.number),
}


def heading(key: str) -> str:
    """How a cost is headed."""
    return HEADINGS[key][0] if key in HEADINGS else key.replace("_", " ")


def cost(costs: Costs, key: str) -> str:
    """A cost as it is printed."""
    return HEADINGS[key][1](costs[key]) if key in HEADINGS else units.count(costs[key])
