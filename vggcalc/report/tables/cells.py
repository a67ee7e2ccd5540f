"""Tables of cells, and sentences: what all formats for people render.

A cell has the text that is printed and, for a figure, its exact value, which formats sort and export.
"""

import math
from collections.abc import Container, Iterable, Sequence
from typing import Literal

import msgspec

from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.results import Costs, ModelCosts, Variant
from vggcalc.results.vocabulary import COST_DEFINITIONS

#: How a cost is scaled by its unit; of any other unit it is an exact count.
_SCALED = {"bytes": units.size, "FLOPs/byte": units.number}

#: A total is the sum of the rows; a subtotal, such as that of a block, is the sum of some of them.
Role = Literal["row", "subtotal", "total"]


class Cell(msgspec.Struct, frozen=True):
    """The text of a cell, and its value: a count, bytes, seconds or a ratio; of a shape the product.

    `again` repeats the cell above, which only a sorted table needs to show. `compact` is its text where the terminal
    has no room for every digit.
    """

    text: str = ""
    value: int | float | None = None
    again: bool = False
    compact: str = ""

    @classmethod
    def count(cls, value: int | float | None) -> "Cell":
        """An exact count."""
        return cls(units.count(value), value, compact=units.compact(value))

    @classmethod
    def size(cls, value: int | float | None) -> "Cell":
        """Bytes."""
        return cls(units.size(value), value)

    @classmethod
    def duration(cls, value: float | None) -> "Cell":
        """Seconds."""
        return cls(units.duration(value), value)

    @classmethod
    def number(cls, value: float | None) -> "Cell":
        """A plain figure."""
        return cls(units.number(value), value)

    @classmethod
    def ratio(cls, value: float | None) -> "Cell":
        """variant / baseline."""
        return cls(units.ratio(value), value)

    @classmethod
    def change(cls, value: float | None) -> "Cell":
        """A ratio as the change in percent or, from 2 on, as a factor; the value is the ratio."""
        return cls(units.change(value), value)

    @classmethod
    def speedup(cls, value: float | None) -> "Cell":
        """A ratio of latencies as a speed-up, which is its value."""
        return cls(units.speedup(value), 1 / value if value else None)

    @classmethod
    def speedup_interval(cls, ends: tuple[float, float] | None, rounds: int) -> "Cell":
        """A 95% interval of such a ratio as that of the speed-up, worth its lower end."""
        return cls(units.speedup_interval(ends, rounds), 1 / ends[1] if ends else None)

    @classmethod
    def share(cls, value: float | None) -> "Cell":
        """A share in whole percent."""
        return cls(units.share(value), value)

    @classmethod
    def error(cls, value: float | None) -> "Cell":
        """A relative difference between two computations."""
        return cls(units.error(value), value)

    @classmethod
    def interval(cls, ends: tuple[float, float] | None, rounds: int) -> "Cell":
        """A 95% interval of a ratio, worth its lower end."""
        return cls(units.interval(ends, rounds), ends[0] if ends else None)

    @classmethod
    def shape(cls, value: Sequence[int] | None) -> "Cell":
        """A shape, worth its elements: 64×56×56."""
        return cls(units.shape(value), None if value is None else math.prod(value))

    @classmethod
    def axes(cls, value: Sequence[int]) -> "Cell":
        """One number where all axes agree, worth the product of all."""
        return cls(units.axes(value), math.prod(value))

    @classmethod
    def cost(cls, costs: Costs, key: str, partial: bool = False) -> "Cell":
        """A cost; a `partial` one is a lower bound."""
        scale = _SCALED.get(COST_DEFINITIONS[key].unit if key in COST_DEFINITIONS else "", units.count)
        bound = units.LOWER_BOUND * partial
        short = units.compact(costs[key]) if scale is units.count else ""
        return cls(bound + scale(costs[key]), costs[key], compact=short and bound + short)


class Column(msgspec.Struct, frozen=True):
    """`wide` columns are shown only where there is room; one with figures of several units is not `sortable`.

    `compact` is its title where there is no room for the whole.
    """

    title: str
    right: bool = True
    wide: bool = False
    sortable: bool = True
    compact: str = ""


class Row(msgspec.Struct, frozen=True):
    """`strong` rows are set in bold, as totals are, and a `ruled` one has a line above it."""

    cells: tuple[Cell, ...]
    role: Role = "row"
    strong: bool = False
    ruled: bool = False
    detail: Detail = Detail.NORMAL

    @property
    def bold(self) -> bool:
        """Whether it stands out, as every total does."""
        return self.strong or self.role == "total"


class Table(msgspec.Struct, frozen=True):
    """The first `keys` columns name what a row is of."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    keys: int = 1

    def with_columns(self, chosen: Sequence[int]) -> "Table":
        """The table of these columns alone, in this order."""
        rows = (msgspec.structs.replace(row, cells=tuple(row.cells[i] for i in chosen)) for row in self.rows)
        return msgspec.structs.replace(self, columns=tuple(self.columns[i] for i in chosen), rows=tuple(rows))


class Text(msgspec.Struct, frozen=True):
    """Sentences, one a line; `quiet` ones are printed dim."""

    lines: tuple[str, ...]
    quiet: bool = False
    detail: Detail = Detail.NORMAL


Section = Table | Text

EMPTY = Cell()

#: So many rows at the most are shown at the level `BRIEF`.
MOST_BRIEF_ROWS = 6


def at_detail(sections: Iterable[Section], detail: Detail) -> list[Section]:
    """What is shown at that level: its texts, and its rows, with the tables that have any."""
    found: list[Section] = []
    left = MOST_BRIEF_ROWS
    for section in sections:
        if isinstance(section, Text):
            found += [section] if section.lines and section.detail <= detail else []
            continue
        rows = tuple(row for row in section.rows if row.detail <= detail)
        if detail is Detail.BRIEF:
            rows = rows[:left]
            left -= len(rows)
        found += [msgspec.structs.replace(section, rows=rows)] if rows else []
    return found


def section_at(section: Section, detail: Detail) -> Section:
    """The same text, or table with every row, shown from that level on."""
    if isinstance(section, Text):
        return msgspec.structs.replace(section, detail=detail)
    rows = tuple(msgspec.structs.replace(row, detail=detail) for row in section.rows)
    return msgspec.structs.replace(section, rows=rows)


def shown_costs(variants: Iterable[Variant | ModelCosts]) -> tuple[str, ...]:
    """The costs that say something here: trainable parameters where some are frozen, product MACs where there are any.

    Bytes of outputs, which are most of the traffic, are shown only where they are asked for. An earlier version's
    document has none of these.
    """
    variants = list(variants)
    idle = {"output_bytes"}
    if all(one.costs.get("trainable") in (None, one.costs["parameters"]) for one in variants):
        idle.add("trainable")
    if not any(one.costs.get("product_macs") for one in variants):
        idle.add("product_macs")
    return tuple(key for key in variants[0].costs if key not in idle)


def total_costs(costs: Costs, partial: dict[str, tuple[str, ...]], keys: Sequence[str]) -> tuple[Cell, ...]:
    """Those costs of a total; what lacks an operator without a formula is a lower bound."""
    return tuple(Cell.cost(costs, key, key in partial) for key in keys)


#: The costs that stand in every table; the others where there is room.
ALWAYS = ("parameters", "macs")


#: The headings of costs where there is no room for the whole.
_COMPACT_HEADINGS = {"parameters": "params", "saved_bytes": "saved"}


def heading(key: str) -> str:
    """How a cost is headed."""
    return COST_DEFINITIONS[key].heading if key in COST_DEFINITIONS else key.replace("_", " ")


def cost_columns(keys: Sequence[str], always: Container[str] = ALWAYS) -> tuple[Column, ...]:
    """A column for each of those costs; those of `always` stand there even where there is little room."""
    return tuple(Column(heading(key), wide=key not in always, compact=_COMPACT_HEADINGS.get(key, "")) for key in keys)
