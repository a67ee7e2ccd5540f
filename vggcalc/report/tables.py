"""Comparisons as sections of text cells, which every format for people renders."""

from collections.abc import Callable, Sequence

import msgspec

from vggcalc.report import units
from vggcalc.results import (
    Comparison,
    Costs,
    Environment,
    Latency,
    LatencyRatio,
    LayerResult,
    ReceptiveField,
    Variant,
)


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

#: How each cost is headed and scaled; a cost that is not listed is an exact count.
HEADINGS: dict[str, tuple[str, Callable[[int | float | None], str]]] = {
    "parameters": ("parameters", units.count),
    "macs": ("MACs", units.count),
    "flops": ("FLOPs", units.count),
    "activations": ("activations", units.count),
    "weight_bytes": ("weights", units.size),
    "traffic_bytes": ("traffic", units.size),
    "peak_activation_bytes": ("peak activations", units.size),
    "intensity": ("FLOPs/byte", units.number),
}

_ALWAYS = ("parameters", "macs")


def _heading(key: str) -> str:
    return HEADINGS[key][0] if key in HEADINGS else key.replace("_", " ")


def _cost(costs: Costs, key: str) -> str:
    return HEADINGS[key][1](costs[key]) if key in HEADINGS else units.count(costs[key])


def _cost_columns(costs: Costs) -> list[Column]:
    return [Column(_heading(key), wide=key not in _ALWAYS) for key in costs]


def _cost_cells(costs: Costs) -> list[str]:
    return [_cost(costs, key) for key in costs]


def _field(field: ReceptiveField | None) -> str:
    return units.axes(field.size) if field else units.UNKNOWN


def is_kernel(comparison: Comparison) -> bool:
    """Whether it compares one kernel with its stack, not whole networks."""
    return comparison.variants[0].weights_per_channel_pair is not None


def counts(comparison: Comparison) -> list[Section]:
    """What is known on paper."""
    if len(comparison.variants) == 1:
        return [_layers(comparison, comparison.variants[0])]
    if is_kernel(comparison):
        return [_kernel(comparison), _stack(comparison)]
    return [_network(comparison)]


def overview(comparisons: Sequence[Comparison]) -> list[Section]:
    """Several kernels at a glance: weights per channel pair, costs, the map without padding."""
    rows = []
    for comparison in comparisons:
        naive, stack = comparison.variants
        one, many = naive.weights_per_channel_pair or 0, stack.weights_per_channel_pair or 0
        rows.append(
            Row(
                (
                    comparison.name,
                    units.kernels([kernel for block in stack.blocks for kernel in block.kernels]),
                    f"{one}/{many}",
                    units.times(one / many),
                    units.change(many / one),
                    units.pair(stack.layers[-1].same_map),
                    units.pair(stack.layers[-1].valid_map),
                    units.ratio(comparison.ratios[0].costs["parameters"]),
                    units.ratio(comparison.ratios[0].costs["macs"]),
                )
            )
        )
    columns = ("kernel", "stack", "weights", "=", "change", "padded map", "without", "params ×", "MACs ×")
    title = "Weights per channel pair and output maps, kernel against stack"
    return [Table(title, tuple(Column(title, right=i > 1) for i, title in enumerate(columns)), tuple(rows))]


def _setting(comparison: Comparison) -> str:
    return f"input {units.shape(comparison.input_shape)}, {comparison.dtype}"


def _kernel(comparison: Comparison) -> Table:
    """A kernel against its stack, a line for each figure."""
    variants = comparison.variants

    def figures(variant: Variant) -> dict[str, str]:
        kernels = [kernel for block in variant.blocks for kernel in block.kernels]
        areas = [height * width for height, width in kernels]
        total = str(sum(areas))
        if 1 < len(areas) <= 3:
            total = f"{' + '.join(map(str, areas))} = {total}"
        elif len(areas) > 3:
            total = f"{len(areas)} · {areas[0]} = {total}"
        field = variant.receptive_field
        return {
            "kernels": units.kernels(kernels),
            "weights per channel pair": total,
            "receptive field": units.pair(field.size) if field else units.UNKNOWN,
            "output": units.shape(variant.output_shape),
            "nonlinearities": units.count(variant.nonlinearities),
        } | {_heading(key): _cost(variant.costs, key) for key in variant.costs}

    columns = [figures(variant) for variant in variants]
    ratios: dict[str, float | None] = {
        _heading(key): value for ratio in comparison.ratios for key, value in ratio.costs.items()
    }
    one, many = (variant.weights_per_channel_pair or 1 for variant in variants)
    ratios["weights per channel pair"] = many / one
    rows = []
    for label in columns[0]:
        ratio = ratios.get(label)
        known = ratio is not None
        rows.append(
            Row(
                (
                    label,
                    *(column[label] for column in columns),
                    units.ratio(ratio) if known else "",
                    units.change(ratio) if known else "",
                )
            )
        )
    conv = variants[0].layers[0].arguments
    words = [f"{conv['in_channels']} → {conv['out_channels']} channels"]
    for key in ("stride", "padding", "dilation"):
        value = conv[key]
        assert isinstance(value, tuple)
        if key == "padding" or value != (1, 1):
            words.append(f"{key} {units.axes(value)}")
    if conv["groups"] != 1:
        words.append(f"{conv['groups']} groups")
    return Table(
        f"{comparison.name} against its stack: {', '.join(words)}, {_setting(comparison)}",
        (
            Column("", right=False),
            *(Column(variant.name) for variant in variants),
            Column("ratio"),
            Column("change"),
        ),
        tuple(rows),
    )


def _stack(comparison: Comparison) -> Table:
    """The stack layer by layer, with the map as padding keeps it and as it shrinks without."""
    variant = comparison.variants[-1]
    image = units.pair(comparison.input_shape[2:])
    blank = [units.UNKNOWN] * len(variant.costs)
    rows = [Row(("input", "", image, image, image, "1", *blank))]
    rows += [
        Row(
            (
                layer.name.rpartition(".")[2],
                _kernel_of(layer),
                units.pair(layer.output_shape[2:]),
                units.pair(layer.same_map),
                units.pair(layer.valid_map),
                _field(layer.receptive_field),
                *_cost_cells(layer.costs),
            )
        )
        for layer in variant.layers
    ]
    rows.append(
        Row(("total", "", "", "", "", _field(variant.receptive_field), *_cost_cells(variant.costs)), True, True)
    )
    return Table(
        "The stack, layer by layer",
        (
            Column("layer", right=False),
            Column("kind", right=False),
            Column("map"),
            Column("padded map"),
            Column("without padding"),
            Column("sees"),
            *_cost_columns(variant.costs),
        ),
        tuple(rows),
    )


def _kernel_of(layer: LayerResult) -> str:
    """A layer in a word: 3×3 for a convolution, with what is not plain about it; else its type."""
    kernel = layer.arguments.get("kernel_size")
    if not isinstance(kernel, tuple):
        return layer.type
    words = [units.pair(kernel)]
    if layer.type != "Conv2d":
        words.append("max-pool")
    stride, groups = layer.arguments["stride"], layer.arguments.get("groups", 1)
    if isinstance(stride, tuple) and stride != (1, 1) and layer.type == "Conv2d":
        words.append(f"/{units.axes(stride)}")
    if groups != 1:
        words.append(f"g{groups}")
    return " ".join(words)


def _network(comparison: Comparison) -> Table:
    """Block by block, the variants under each other; totals with the classifier apart."""
    rows: list[Row] = []
    for block in comparison.variants[0].blocks:
        both = [
            (variant.name, other)
            for variant in comparison.variants
            for other in variant.blocks
            if other.name == block.name
        ]
        if all(other == block for _, other in both):
            both = [("both", block)]
        rows += _beside(
            block.name,
            [(name, units.kernels(b.kernels), b.receptive_field, b.costs) for name, b in both],
        )
    totals = [(v.name, f"{v.convolutions} conv", v.receptive_field, v.costs) for v in comparison.variants]
    rows += _beside("total", totals, strong=True)
    return Table(
        f"{comparison.name}, {_setting(comparison)}",
        (
            Column("block", right=False),
            Column("variant", right=False),
            Column("kernels", right=False),
            Column("sees"),
            *_cost_columns(comparison.variants[0].costs),
            Column("ratio"),
        ),
        tuple(rows),
    )


def _beside(
    label: str, lines: Sequence[tuple[str, str, ReceptiveField | None, Costs]], strong: bool = False
) -> list[Row]:
    """The variants under each other, with the ratio of their MACs to the first one's."""
    rows = []
    base = lines[0][3]["macs"]
    for i, (name, kernels, field, costs) in enumerate(lines):
        macs = costs["macs"]
        ratio = units.ratio(macs / base) if i and macs is not None and base else ""
        cells = (label if not i else "", name, kernels, _field(field), *_cost_cells(costs), ratio)
        rows.append(Row(cells, strong, ruled=not i))
    return rows


def _layers(comparison: Comparison, variant: Variant) -> Table:
    """One network, layer by layer, with the blocks' totals apart."""
    rows = [
        Row(
            (
                layer.name,
                _kernel_of(layer),
                units.shape(layer.output_shape),
                _field(layer.receptive_field),
                *_cost_cells(layer.costs),
            ),
            ruled=i > 0 and _block(layer) != _block(variant.layers[i - 1]),
        )
        for i, layer in enumerate(variant.layers)
    ]
    rows += [
        Row(
            (
                block.name,
                units.kernels(block.kernels),
                units.shape(block.output_shape),
                _field(block.receptive_field),
                *_cost_cells(block.costs),
            ),
            ruled=i == 0,
        )
        for i, block in enumerate(variant.blocks)
    ]
    rows.append(
        Row(
            (
                "total",
                f"{variant.convolutions} conv",
                units.shape(variant.output_shape),
                _field(variant.receptive_field),
                *_cost_cells(variant.costs),
            ),
            strong=True,
            ruled=True,
        )
    )
    return Table(
        f"{comparison.name}, {_setting(comparison)}",
        (
            Column("layer", right=False),
            Column("kind", right=False),
            Column("output"),
            Column("sees"),
            *_cost_columns(variant.costs),
        ),
        tuple(rows),
    )


def _block(layer: LayerResult) -> str:
    return layer.name.partition(".")[0]


def measured(comparison: Comparison) -> list[Section]:
    """What the clock and the other counters say."""
    sections: list[Section] = []
    if any(variant.latency for variant in comparison.variants):
        sections.append(_latency(comparison))
        sections.append(Text(tuple(_conditions(comparison)), quiet=True))
    sections += _crosscheck(comparison)
    return sections


def _latency(comparison: Comparison) -> Table:
    rows = []
    baseline, *_ = comparison.variants
    for i, first in enumerate(baseline.latency):
        for variant in comparison.variants:
            latency = variant.latency[i]
            ratio = next((r.latency[i] for r in comparison.ratios if r.variant == variant.name), None)
            rows.append(
                Row(
                    (
                        first.device if variant is baseline else "",
                        variant.name,
                        units.duration(latency.median_s),
                        units.duration(latency.iqr_s),
                        units.number(_rate(variant, latency)),
                        *_ratio_cells(ratio),
                    ),
                    ruled=variant is baseline,
                )
            )
    return Table(
        f"Latency of {comparison.name}, one call at batch {comparison.input_shape[0]} (this process only)",
        (
            Column("device", right=False),
            Column("variant", right=False),
            Column("median"),
            Column("IQR"),
            Column("GMAC/s", wide=True),
            Column("ratio"),
            Column("95% interval"),
            Column("A/A"),
            Column("A/A interval", wide=True),
            Column("verdict", right=False),
        ),
        tuple(rows),
    )


def _rate(variant: Variant, latency: Latency) -> float:
    macs = variant.costs["macs"]
    return (macs or 0) / latency.median_s / 1e9


def _ratio_cells(ratio: LatencyRatio | None) -> tuple[str, ...]:
    if ratio is None:
        return ("",) * 5
    return (
        units.ratio(ratio.ratio),
        _interval(ratio.ci95, ratio.rounds),
        units.ratio(ratio.control_ratio),
        _interval(ratio.control_ci95, ratio.rounds),
        ratio.verdict,
    )


def _interval(ci95: tuple[float, float] | None, rounds: int) -> str:
    return f"{ci95[0]:.3f}–{ci95[1]:.3f}" if ci95 else f"none: {rounds} rounds"


def _conditions(comparison: Comparison) -> list[str]:
    """How each device's latencies were measured."""
    lines = []
    for i, latency in enumerate(comparison.variants[0].latency):
        words = [
            f"{latency.device}: {latency.threads} thread{'s' * (latency.threads > 1)}, {latency.dtype}",
            f"{latency.mode}, eager",
        ]
        for ratio in comparison.ratios[:1]:
            with_it = ratio.latency[i]
            words += [
                f"{with_it.rounds} rounds in random order, until {with_it.stopped}",
                f"seed {with_it.seed}",
                f"allocator {with_it.allocator}",
            ]
            if with_it.contended is not None:
                words.append(f"{with_it.contended:.0%} of timings waited for a processor")
        calls = "/".join(str(variant.latency[i].calls_per_round) for variant in comparison.variants)
        faults = "/".join(units.number(variant.latency[i].faults_per_call) for variant in comparison.variants)
        words += [f"{calls} calls a round", f"{faults} page faults a call"]
        lines.append(", ".join(words))
    return lines


def surroundings(environment: Environment) -> Text:
    """What every latency holds for."""
    load = "" if environment.load is None else f", load {environment.load:.2f}"
    lines = [
        f"{environment.cpu}, {environment.instruction_set}, {environment.cores} cores{load}, "
        f"torch {environment.torch}, fvcore {environment.fvcore}, Python {environment.python}"
    ]
    for device in environment.devices:
        if device.name != "cpu":
            details = "".join(f", {key} {value}" for key, value in device.details.items())
            lines.append(f"{device.name}: {device.model}{details}")
    return Text(tuple(lines), quiet=True)


def _crosscheck(comparison: Comparison) -> list[Section]:
    """One quiet line where all agree; every figure where they do not."""
    checked = [(v, v.crosscheck) for v in comparison.variants if v.crosscheck is not None]
    if not checked:
        return []
    notes = tuple(dict.fromkeys(note for _, check in checked for note in check.notes))
    if all(check.agrees for _, check in checked):
        by = "torch and fvcore" if all(check.macs.fvcore is not None for _, check in checked) else "torch"
        return [
            Text(
                (f"Parameters, MACs and activations of {comparison.name} confirmed by {by}.", *notes),
                quiet=True,
            )
        ]
    rows = []
    for variant, check in checked:
        for what in ("parameters", "macs", "activations"):
            counted = getattr(check, what)
            rows.append(
                Row(
                    (
                        variant.name,
                        _heading(what),
                        units.count(counted.closed_form),
                        units.count(counted.torch),
                        units.count(counted.fvcore),
                        "" if counted.agrees else "differs",
                    ),
                    strong=not counted.agrees,
                )
            )
    columns = ("variant", "cost", "closed form", "torch", "fvcore", "")
    table = Table(
        f"The crosscheck of {comparison.name} disagrees",
        tuple(Column(title, right=2 <= i <= 4) for i, title in enumerate(columns)),
        tuple(rows),
    )
    return [table, Text(notes, quiet=True)]


def reading(comparison: Comparison) -> list[Section]:
    """What follows from the numbers, in sentences."""
    return [Text(tuple(note.text for note in comparison.notes))] if comparison.notes else []
