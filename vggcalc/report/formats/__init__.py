"""Reports as text: a function for each format, and a line in `FORMATS`."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from vggcalc.report import units
from vggcalc.report.escape import csv_value, markdown_text
from vggcalc.report.tables.cells import Section, Table, Text
from vggcalc.results import (
    Comparison,
    Costs,
    Latency,
    LatencyRatio,
    Ratio,
    ReceptiveField,
    Report,
    Variant,
    Verification,
)


class Screen(msgspec.Struct, frozen=True):
    """What a text is for: its width in columns, and whether it may have colours."""

    width: int = 80
    colour: bool = False


Format = Callable[[Report, Screen], str]


def json(report: Report, screen: Screen) -> str:
    """The JSON document, schema version 1."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def csv(report: Report, screen: Screen) -> str:
    """One line for each layer, block, total and latency, which the column `level` names."""
    from csv import DictWriter

    rows = [row for comparison in report.comparisons for row in records(comparison)]
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO()
    writer = DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_value(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def records(comparison: Comparison) -> Iterator[dict[str, object]]:
    """A row for each layer, block, total, latency and verification of a comparison, by column."""
    for variant in comparison.variants:
        ratios = next((ratio for ratio in comparison.ratios if ratio.variant == variant.name), None)
        place: dict[str, object] = {"comparison": comparison.name, "variant": variant.name}
        for layer in variant.layers:
            yield (
                place
                | {
                    "level": "layer",
                    "name": layer.name,
                    "type": layer.type,
                    "kernels": units.pair(layer.kernel_size) if layer.kernel_size else "",
                    "output_shape": units.shape(layer.output_shape),
                }
                | _flat(layer.receptive_field, layer.costs)
            )
        for block in variant.blocks:
            yield (
                place
                | {
                    "level": "block",
                    "name": block.name,
                    "kernels": " ".join(units.pair(kernel) for kernel in block.kernels),
                    "output_shape": units.shape(block.output_shape),
                }
                | _flat(block.receptive_field, block.costs)
                | _partial(block.partial)
            )
            yield from _timed(place | {"name": block.name}, block.latency, _of_block(ratios, block.name))
        yield (
            place
            | {
                "level": "total",
                "name": comparison.name,
                "output_shape": units.shape(variant.output_shape),
            }
            | _choice(comparison, variant)
            | _flat(variant.receptive_field, variant.costs)
            | _partial(variant.partial)
        )
        yield from _timed(place | {"name": comparison.name}, variant.latency, ratios.latency if ratios else ())
        if variant.verification is not None:
            yield place | {"level": "verification", "name": comparison.name} | _verified(variant.verification)


def _choice(comparison: Comparison, variant: Variant) -> dict[str, object]:
    """What there is to choose by, in columns that are there where several ways are compared."""
    if len(comparison.variants) < 3:
        return {}
    keeps = variant.coverage
    return {
        "family": variant.family,
        "window": keeps.window if keeps else None,
        "window_pixels": keeps.positions if keeps else None,
        "window_of": keeps.of if keeps else None,
        "mixing": keeps.mixing if keeps else None,
        "pareto": variant.name in comparison.pareto,
    }


def _partial(partial: dict[str, tuple[str, ...]]) -> dict[str, object]:
    """The costs that are lower bounds, in a column that is there where any is."""
    return {"lower_bounds": " ".join(partial)} if partial else {}


def _of_block(ratio: Ratio | None, name: str) -> tuple[LatencyRatio, ...]:
    """The ratios of the block of that name."""
    return next((block.latency for block in ratio.blocks if block.name == name), ()) if ratio else ()


def _timed(
    place: dict[str, object], latencies: Iterable[Latency], ratios: Sequence[LatencyRatio]
) -> Iterator[dict[str, object]]:
    """A line for each way of running, with its ratio where there is one."""
    for latency in latencies:
        row = place | {"level": "latency"} | msgspec.structs.asdict(latency)
        for key in ("times_s", "rounds_per_process", "ci95"):
            del row[key]
        row["kernels"] = "; ".join(latency.kernels)
        for ratio in ratios:
            if ratio.configuration == latency.configuration:
                low, high = ratio.ci95 or (None, None)
                row |= {"ratio": ratio.ratio, "ci95_low": low, "ci95_high": high, "verdict": ratio.verdict}
                for key in ("basis", "processes", "rounds", "control_ratio", "floor", "stopped"):
                    row[key] = getattr(ratio, key)
        yield row


def _verified(verification: Verification) -> dict[str, object]:
    """The one kernel, and how far from it the variant is without activations."""
    flat: dict[str, object] = {"kernels": units.pair(verification.convolution.kernel_size)}
    for what in ("border", "border_seen"):
        height, width = getattr(verification, what)
        flat |= {f"{what}_height": height, f"{what}_width": width}
    for what in ("interior_error", "border_error", "pads_once_error"):
        flat[what] = getattr(verification, what)
    return flat


def _flat(field: ReceptiveField | None, costs: Costs) -> dict[str, object]:
    flat: dict[str, object] = {}
    for what in ("size", "stride", "padding"):
        height, width = getattr(field, what) if field else (None, None)
        flat |= {f"receptive_field_{what}_height": height, f"receptive_field_{what}_width": width}
    return flat | costs


def markdown(report: Report, screen: Screen) -> str:
    """The same tables as in the terminal, with every column, in GitHub's Markdown."""
    parts = []
    for section in _counts(report) + _measured(report):
        match section:
            case Table():
                parts.append(_markdown_table(section))
            case Text():
                parts.append("\n".join(f"- {markdown_text(line)}" for line in section.lines))
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    lines = [f"### {markdown_text(table.title)}", "", line(markdown_text(column.title) for column in table.columns)]
    lines.append(line("---:" if column.right else ":---" for column in table.columns))
    for row in table.rows:
        shown = ["" if cell.again else markdown_text(cell.text) for cell in row.cells]
        lines.append(line(f"**{cell}**" if cell and row.bold else cell for cell in shown))
    return "\n".join(lines)


def table(report: Report, screen: Screen) -> str:
    """Tables and sentences for a terminal."""
    return counts(report, screen) + measured(report, screen)


def counts(report: Report, screen: Screen) -> str:
    """The first part of `table`: what is known before anything is measured."""
    from vggcalc.report.formats.terminal import render

    return render(_counts(report), screen.width, screen.colour)


def measured(report: Report, screen: Screen) -> str:
    """The second part of `table`: what was measured, and the reading of it all."""
    from vggcalc.report.formats.terminal import render

    return render(_measured(report), screen.width, screen.colour)


def _counts(report: Report) -> list[Section]:
    from vggcalc.report.tables.networks import at_a_glance, network_tables

    sections = [section for comparison in report.comparisons for section in network_tables(comparison)]
    return at_a_glance(report.comparisons) + sections


def _measured(report: Report) -> list[Section]:
    from vggcalc.report.tables.conditions import surroundings
    from vggcalc.report.tables.latency import timings

    sections = [section for comparison in report.comparisons for section in timings(comparison)]
    if report.environment is not None:
        sections.append(surroundings(report.environment))
    for comparison in report.comparisons:
        lines = tuple(note.text for note in comparison.findings)
        name = (f"{comparison.name}:",) if len(report.comparisons) > 1 else ()
        sections += [Text((*name, *lines))] if lines else []
    if report.against is None:
        return sections
    from vggcalc.report.tables.changes import sections as changed

    return sections + changed(report)


def html(report: Report, screen: Screen) -> str:
    """One self-contained page: the tables to sort, figures, the JSON to download."""
    from vggcalc.report.formats.html import html as page

    return page(report, json(report, screen))


FORMATS: dict[str, Format] = {"table": table, "json": json, "csv": csv, "markdown": markdown, "html": html}
