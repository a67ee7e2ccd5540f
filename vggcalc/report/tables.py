"""Comparisons as sections of text cells, which every format for people renders."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from vggcalc.report import units
from vggcalc.results import (
    Comparison,
    Configuration,
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
    "saved_bytes": ("kept for backward", units.size),
    "training_flops": ("training FLOPs", units.count),
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
        "The stack, layer by layer, and its map with padding and without",
        (
            Column("layer", right=False),
            Column("kind", right=False),
            Column("map"),
            Column("with padding"),
            Column("without"),
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
        blocks = _block_latency(comparison)
        if blocks.rows:
            note = "Blocks are timed alone, without their poolings, and do not add up to the whole."
            sections += [blocks, Text((note,), quiet=True)]
        sections.append(Text(tuple(_conditions(comparison)), quiet=True))
    sections += _crosscheck(comparison)
    return sections


_LATENCY_COLUMNS = (
    Column("median"),
    Column("IQR", wide=True),
    Column("GFLOP/s", wide=True),
    Column("of roof"),
    Column("ratio"),
    Column("95% interval"),
    Column("verdict", right=False),
    Column("A/A", wide=True),
    Column("A/A interval", wide=True),
    Column("bound by", right=False, wide=True),
    Column("allocated", wide=True),
)


def _latency_cells(latency: Latency, ratio: LatencyRatio | None) -> tuple[str, ...]:
    gflops = None if latency.flops_per_s is None else latency.flops_per_s / 1e9
    if ratio is None:
        against = ("", "", "", "", "")
    else:
        against = (
            units.ratio(ratio.ratio),
            _interval(ratio.ci95, ratio.rounds),
            ratio.verdict,
            units.ratio(ratio.control_ratio),
            _interval(ratio.control_ci95, ratio.rounds),
        )
    return (
        units.duration(latency.median_s),
        units.duration(latency.iqr_s),
        units.number(gflops),
        units.share(latency.roof_share),
        *against,
        latency.bound or units.UNKNOWN,
        units.size(latency.peak_allocated_bytes),
    )


def _interval(ci95: tuple[float, float] | None, rounds: int) -> str:
    return f"{ci95[0]:.3f}–{ci95[1]:.3f}" if ci95 else f"none: {rounds} rounds"


def how(configuration: Configuration) -> Configuration:
    """The configuration alone, of a latency or a ratio."""
    names = Configuration.__struct_fields__
    return Configuration(**{name: getattr(configuration, name) for name in names})


def label(configuration: Configuration) -> str:
    """A way of running in a few words, what is usual left out."""
    words = [configuration.device]
    if configuration.dtype != "float32":
        words.append(configuration.dtype)
    if configuration.threads != 1:
        words.append(f"{configuration.threads} threads")
    usual = ("inference", "contiguous", "eager")
    words += [
        word
        for word in (configuration.mode, configuration.memory_format, configuration.execution)
        if word not in usual
    ]
    return " ".join(words + ["cold"] * configuration.cold)


Measured = TypeVar("Measured", bound=Configuration)


def _of(measured: Iterable[Measured], configuration: Configuration) -> Measured | None:
    """The one that was measured in that configuration."""
    return next((one for one in measured if how(one) == configuration), None)


def _latency(comparison: Comparison) -> Table:
    rows = []
    for first in comparison.variants[0].latency:
        for i, variant in enumerate(comparison.variants):
            latency = _of(variant.latency, how(first))
            ratios = [r for ratio in comparison.ratios if ratio.variant == variant.name for r in ratio.latency]
            if latency is not None:
                cells = _latency_cells(latency, _of(ratios, how(first)))
                rows.append(Row((label(first) if not i else "", variant.name, *cells), ruled=not i))
    return Table(
        f"Latency of {comparison.name}, one call at batch {comparison.input_shape[0]}",
        (Column("on", right=False), Column("variant", right=False), *_LATENCY_COLUMNS),
        tuple(rows),
    )


def _block_latency(comparison: Comparison) -> Table:
    """Each block alone: kernel against stack on the map that it meets."""
    rows = []
    for block in comparison.variants[0].blocks:
        for first in block.latency:
            for i, variant in enumerate(comparison.variants):
                own = next((other for other in variant.blocks if other.name == block.name), None)
                latency = _of(own.latency, how(first)) if own else None
                ratios = [
                    r
                    for ratio in comparison.ratios
                    for of_block in ratio.blocks
                    if (ratio.variant, of_block.name) == (variant.name, block.name)
                    for r in of_block.latency
                ]
                if own is not None and latency is not None:
                    cells = _latency_cells(latency, _of(ratios, how(first)))
                    name = f"{block.name} {label(first)}" if not i else ""
                    rows.append(Row((name, units.kernels(own.kernels), *cells), ruled=not i))
    return Table(
        f"Latency of the blocks of {comparison.name}",
        (Column("block", right=False), Column("kernels", right=False), *_LATENCY_COLUMNS),
        tuple(rows),
    )


def _conditions(comparison: Comparison) -> list[str]:
    """How each configuration's latencies were measured, and what the roof is."""
    lines = []
    for latency in comparison.variants[0].latency:
        configuration = how(latency)
        threads = f"{latency.threads} thread{'s' * (latency.threads > 1)}"
        words = [threads, latency.dtype, latency.memory_format, latency.mode, latency.execution]
        if latency.mode == "training":
            words.append("forward and backward without an optimizer's step")
        if latency.cold:
            words.append("caches flushed before every call")
        ratio = _of([r for ratio in comparison.ratios for r in ratio.latency], configuration)
        if ratio is not None:
            words += [claim(ratio), f"until {ratio.stopped}", f"seed {ratio.seed}"]
            control = f"A/A {units.ratio(ratio.control_ratio)}"
            words.append(f"{control} [{_interval(ratio.control_ci95, ratio.rounds)}]")
            words.append(f"allocator {ratio.allocator}")
            if ratio.contended is not None:
                words.append(f"{ratio.contended:.0%} of timings waited for a processor")
            if ratio.load is not None:
                words.append(f"load {ratio.load:.2f}")
        both = [found for v in comparison.variants if (found := _of(v.latency, configuration))]
        words.append(f"{'/'.join(str(found.calls_per_round) for found in both)} calls a round")
        words.append(f"{'/'.join(units.number(found.faults_per_call) for found in both)} page faults a call")
        compiled = [units.duration(found.compile_s) for found in both if found.compile_s is not None]
        if compiled:
            words.append(f"compiled in {'/'.join(compiled)}, not counted")
        lines.append(f"{label(latency)}: " + ", ".join(words) + ".")
        roof = _of(comparison.roofs, configuration)
        if roof is not None:
            raised = f", raised by {roof.raised_by}" if roof.raised_by else ""
            lines.append(
                f"Roof: {units.number(roof.flops_per_s / 1e9)} GFLOP/s ({roof.peak_by}{raised}), "
                f"{units.number(roof.bytes_per_s / 1e9)} GB/s (copy)."
            )
        for variant in comparison.variants:
            found = _of(variant.latency, configuration)
            if found is not None and found.kernels:
                lines.append(f"Kernels of {variant.name}: {', '.join(found.kernels)}.")
    return list(dict.fromkeys(lines))


def claim(ratio: LatencyRatio) -> str:
    """What the interval rests on, in words."""
    rounds = f"{ratio.processes} processes × {ratio.rounds} rounds or more"
    if ratio.basis == "processes":
        return f"{rounds}, interval over processes" + _together(ratio)
    if ratio.basis == "process":
        return f"this process only: {ratio.rounds} rounds, exact interval of their median" + _together(ratio)
    return f"no interval: {ratio.rounds} rounds of one process"


def _together(ratio: LatencyRatio) -> str:
    return f", 95% for {ratio.compared} comparisons together" if ratio.compared > 1 else ""


def surroundings(environment: Environment) -> Text:
    """What every latency holds for."""
    lines = [
        f"{environment.cpu}, {environment.instruction_set}, {environment.cores} cores, "
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
        for what in ("parameters", "macs", "activations", "training_flops", "saved_bytes"):
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
