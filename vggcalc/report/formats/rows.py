"""A sweep's rows as text: written as they are computed, and read again by --resume."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import msgspec

from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.tables.cells import Cell, Column, Row, Section, Table, Text, at_detail, heading, section_at
from vggcalc.results.vocabulary import COST_DEFINITIONS

Rows = Iterable[Sequence[Any]]

#: No row takes as many bytes.
LONGEST_LINE = 100_000


def write_csv(file: IO[str], columns: Sequence[str], rows: Rows) -> None:
    """A line for each row, without a header."""
    csv.writer(file, lineterminator="\n").writerows(rows)


def write_jsonl(file: IO[str], columns: Sequence[str], rows: Rows) -> None:
    """A JSON object for each row, a line each."""
    encode = msgspec.json.Encoder().encode
    file.writelines(encode(dict(zip(columns, row, strict=True))).decode() + "\n" for row in rows)


#: How rows are written as they come.
STREAMED: dict[str, Callable[[IO[str], Sequence[str], Rows], None]] = {"csv": write_csv, "jsonl": write_jsonl}


def header(format_: str, columns: Sequence[str]) -> str:
    """The text before the first row."""
    return ",".join(columns) + "\n" if format_ == "csv" else ""


def read(file: IO[bytes], format_: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Every complete row, as text by column, with the offset in the file where it ends.

    A last line that was cut off is left out, and so is a header. Raises `ValueError` for a line that is no row.
    """
    end = 0
    begins = (header(format_, columns) or f'{{"{columns[0]}":').encode()
    for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
        if len(line) == LONGEST_LINE:
            raise ValueError(f"line {number} is longer than any row")
        if number == 1 and not (line.startswith(begins) or begins.startswith(line)):
            raise ValueError("line 1 has other columns")
        if not line.endswith(b"\n"):
            return
        end += len(line)
        if format_ == "jsonl":
            try:
                found = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise ValueError(f"line {number}: {error}") from None
            names, values = list(found), ["" if value is None else str(value) for value in found.values()]
        else:
            (values,) = csv.reader([line.decode()])
            names = list(columns) if len(values) == len(columns) else []
            if number == 1:
                names, values = values, []
        if names != list(columns):
            raise ValueError(f"line {number} has other columns")
        if values:
            yield end, dict(zip(columns, values, strict=True))


def format_of(path: str | None) -> str:
    """The format that the ending of a file's name stands for; a table for any other."""
    return {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(os.path.splitext(path or "")[1].lower(), "table")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A table of rows; columns with the same value in all of them go into the title."""
    fixed = [
        i
        for i, name in enumerate(columns)
        if _kind(name) == "place" and name != "variant" and len({row[i] for row in rows}) == 1
    ]
    words = [title, *(f"{_head(columns[i])} {rows[0][i]}" for i in fixed if rows[0][i] is not None)]
    shown = [i for i in range(len(columns)) if i not in fixed]
    heads = tuple(
        Column(
            _SHORT_HEADINGS.get(columns[i], _head(columns[i])),
            right=not isinstance(rows[0][i], str) or _kind(columns[i]) == "from",
            wide=columns[i] in _WIDE,
        )
        for i in shown
    )
    lines = [Row(tuple(_cell(columns[i], row[i]) for i in shown)) for row in rows]
    return Table(", ".join(words), heads, tuple(lines))


#: Where a variant is not below naive from some value on, what stands in a table instead.
_STATES = {
    "lost": "never", "not_to_the_end": "not to the end", "not_shown": "not shown", "not_measured": "not measured",
}  # fmt: skip


def crossover_table(title: str, lines: Sequence[Mapping[str, Any]]) -> Table:
    """A table of crossovers, each a value or, by its state, why there is none."""
    columns = [name for name in lines[0] if not name.endswith("_crossover")]
    shown = [
        [_STATES.get(str(line.get(f"{name.removesuffix('_from')}_crossover")), line[name]) for name in columns]
        for line in lines
    ]
    return table(title, columns, shown)


def sweep_sections(answer: str, rows: Table, notes: Sequence[str], detail: Detail) -> list[Section]:
    """A sweep's answer, its table, of which the first rows are brief, and what its words mean, at a level of detail."""
    said = Text((answer,) * bool(answer), detail=Detail.BRIEF)
    return at_detail([said, section_at(rows, Detail.BRIEF), Text(tuple(notes), quiet=True)], detail)


def crossover_notes(lines: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What the words of such a table mean that are not plain."""
    states = {line.get("latency_crossover") for line in lines}
    notes = {
        "not_shown": "not shown: at the end of the sweep the intervals do not say which is faster; a larger --budget "
        "or more --rounds may.",
        "not_measured": "not measured: some points have no latency.",
    }
    return tuple(text for state, text in notes.items() if state in states)


#: Headings that are shorter than their columns' names.
_SHORT_HEADINGS = {"in_channels": "in", "out_channels": "out", "receptive_field": "RF", "window": "coverage"}

#: What a table shows only where there is room.
_WIDE = frozenset(COST_DEFINITIONS) - {"parameters", "macs"} | {
    "parameters_ratio", "saved_bytes_ratio", "saved_bytes_from", "window", "ci95_low", "ci95_high", "basis",
}  # fmt: skip


def _kind(name: str) -> str:
    """What a column holds: a "cost", a "ratio", a "time", "from" where something begins, or an axis: "place"."""
    endings = {"_ratio": "ratio", "_low": "ratio", "_high": "ratio", "_s": "time", "_from": "from"}
    if name in COST_DEFINITIONS:
        return "cost"
    return next((kind for ending, kind in endings.items() if name.endswith(ending)), "place")


def _head(name: str) -> str:
    """A column's heading."""
    for ending, mark in (("_ratio", "×"), ("_from", "from")):
        if name.endswith(ending):
            return f"{heading(name.removesuffix(ending))} {mark}"
    return heading(name.removesuffix("_s"))


def _cell(name: str, value: Any) -> Cell:
    kind = _kind(name)
    if kind == "cost":
        return Cell.cost({name: value}, name)
    if value is None:
        return Cell(units.NO_FIGURE)
    if kind == "ratio":
        return Cell.ratio(value)
    if kind == "time":
        return Cell.duration(value)
    return Cell(str(value), value if isinstance(value, int | float) else None)
