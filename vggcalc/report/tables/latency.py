"""What the clock and the other counters say, as tables and sentences."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from vggcalc.nets.names import ITEMSIZE
from vggcalc.report import units
from vggcalc.report.tables.cells import Column, Row, Section, Table, Text, heading
from vggcalc.report.tables.variants import marked
from vggcalc.report.tables.verification import verifications
from vggcalc.results import (
    AllocatorState,
    Comparison,
    Configuration,
    Crosscheck,
    Environment,
    GradientProbe,
    Latency,
    LatencyRatio,
    StopReason,
    Variant,
)

#: Why measuring ended, in words.
STOPPED: dict[StopReason, str] = {
    "precise": "until each process was precise enough",
    "budget": "until the budget was spent",
    "rounds": "until the rounds asked for were done",
    "failed": "until a worker failed",
    "interrupted": "until interrupted",
}

#: What became of malloc's thresholds, in words.
ALLOCATOR: dict[AllocatorState, str] = {
    "pinned": "pinned",
    "default": "default",
    "no_glibc": "default, no glibc to pin",
    "refused": "default, glibc refused to be pinned",
}


def timings(comparison: Comparison) -> list[Section]:
    """What the clock and the other counters say."""
    found: list[Section] = []
    if any(variant.latency for variant in comparison.variants):
        found.append(_latency(comparison))
        blocks = _block_latency(comparison)
        if blocks.rows:
            note = (
                "Blocks are timed alone, without their poolings, and do not add up to the whole; "
                "their verdicts take the whole's A/A for their own."
            )
            found += [blocks, Text((note,), quiet=True)]
        elif _could_have_blocks(comparison):
            found.append(Text(("The budget held no time for the blocks: give a larger --budget.",), quiet=True))
        found.append(Text(tuple(_conditions(comparison)), quiet=True))
    return found + verifications(comparison) + _crosscheck(comparison)


_OWN_COLUMNS = (
    Column("median"),
    Column("IQR", wide=True),
    Column("GFLOP/s", wide=True),
    Column("of roof"),
    Column("bound by", right=False, wide=True),
)
_RATIO_COLUMNS = (
    Column("ratio"),
    Column("95% interval"),
    Column("verdict", right=False),
    Column("A/A", wide=True),
    Column("A/A interval", wide=True),
)


def _own_cells(latency: Latency) -> tuple[str, ...]:
    gflops = None if latency.flops_per_s is None else latency.flops_per_s / 1e9
    return (
        units.duration(latency.median_s),
        units.duration(latency.iqr_s),
        units.number(gflops),
        units.share(latency.roof_share),
        latency.bound or units.UNKNOWN,
    )


def _ratio_cells(ratio: LatencyRatio | None) -> tuple[str, ...]:
    if ratio is None:
        return ("",) * len(_RATIO_COLUMNS)
    return (
        units.ratio(ratio.ratio),
        _interval(ratio.ci95, ratio.rounds),
        ratio.verdict,
        units.ratio(ratio.control_ratio),
        _interval(ratio.control_ci95, ratio.rounds),
    )


def _interval(ci95: tuple[float, float] | None, rounds: int) -> str:
    return f"{ci95[0]:.3f}–{ci95[1]:.3f}" if ci95 else f"none: {rounds} rounds"


Measured = TypeVar("Measured", bound=Configuration)


def _of(measured: Iterable[Measured], configuration: Configuration) -> Measured | None:
    """The one that was measured in that configuration."""
    return next((one for one in measured if one.configuration == configuration), None)


def _latency(comparison: Comparison) -> Table:
    rows = []
    for first in comparison.variants[0].latency:
        for i, variant in enumerate(comparison.variants):
            latency = _of(variant.latency, first.configuration)
            ratios = [r for ratio in comparison.ratios if ratio.variant == variant.name for r in ratio.latency]
            if latency is not None:
                cells = _own_cells(latency)
                if comparison.ratios:
                    cells += _ratio_cells(_of(ratios, first.configuration))
                name = marked(comparison, variant)
                rows.append(Row((first.label if not i else "", name, *cells), ruled=not i))
    return Table(
        f"Latency of {comparison.name}, one call at batch {comparison.input_shape[0]}",
        (
            Column("on", right=False),
            Column("variant", right=False),
            *_OWN_COLUMNS,
            *(_RATIO_COLUMNS if comparison.ratios else ()),
        ),
        tuple(rows),
    )


def _could_have_blocks(comparison: Comparison) -> bool:
    """Whether there are variants that differ in some of several blocks."""
    baseline, *others = comparison.variants
    if baseline.origin is not None:  # no one can cut out the blocks of an imported module
        return False
    kernels = [block.kernels for block in baseline.blocks if block.kernels]
    return len(kernels) > 1 and any(other.blocks != baseline.blocks for other in others)


def _block_latency(comparison: Comparison) -> Table:
    """Each block alone: kernel against stack on the map that it meets."""
    rows = []
    for block in comparison.variants[0].blocks:
        for first in block.latency:
            for i, variant in enumerate(comparison.variants):
                own = next((other for other in variant.blocks if other.name == block.name), None)
                latency = _of(own.latency, first.configuration) if own else None
                ratios = [
                    r
                    for ratio in comparison.ratios
                    for of_block in ratio.blocks
                    if (ratio.variant, of_block.name) == (variant.name, block.name)
                    for r in of_block.latency
                ]
                if own is not None and latency is not None:
                    cells = _own_cells(latency) + _ratio_cells(_of(ratios, first.configuration))
                    name = f"{block.name} {first.label}" if not i else ""
                    rows.append(Row((name, units.kernels(own.kernels), *cells), ruled=not i))
    return Table(
        f"Latency of the blocks of {comparison.name}",
        (Column("block", right=False), Column("kernels", right=False), *_OWN_COLUMNS, *_RATIO_COLUMNS),
        tuple(rows),
    )


def _conditions(comparison: Comparison) -> list[str]:
    """How each configuration's latencies were measured, and what was found beside them."""
    lines = []
    for first in comparison.variants[0].latency:
        configuration = first.configuration
        both = [(v, found) for v in comparison.variants if (found := _of(v.latency, configuration))]
        ratio = _of([r for ratio in comparison.ratios for r in ratio.latency], configuration)
        words = [*_way(first), *(_trust(ratio) if ratio is not None else ())]
        if ratio is None:
            words.append(f"{len(first.times_s)} rounds")
        calls = "/".join(str(found.calls_per_round) for _, found in both)
        faults = "/".join(units.number(found.faults_per_call) for _, found in both)
        names = "/".join(variant.name for variant, _ in both)
        words.append(f"for {names} {calls} calls a round and {faults} page faults a call")
        compiled = [units.duration(found.compile_s) for _, found in both if found.compile_s is not None]
        if compiled:
            words.append(f"compiled in {'/'.join(compiled)}, not counted")
        lines.append(f"{first.label}: {', '.join(words)}.")
        roof = _of(comparison.roofs, configuration)
        if roof is not None:
            raised = f", raised by {roof.raised_by}" if roof.raised_by else ""
            lines.append(
                f"Roof: {units.number(roof.flops_per_s / 1e9)} GFLOP/s ({roof.peak_by}{raised}), "
                f"{units.number(roof.bytes_per_s / 1e9)} GB/s (copy)."
            )
        lines += [line for variant, found in both for line in _within_one_call(variant, found, comparison.dtype)]
    return list(dict.fromkeys(lines))


def _way(latency: Latency) -> list[str]:
    """How the modules were run."""
    threads = f"{latency.threads} thread{'s' * (latency.threads > 1)}"
    words = [threads, latency.dtype, latency.memory_format, latency.mode, latency.execution]
    if latency.mode == "training":
        words.append("forward and backward without an optimizer's step")
    if latency.cold:
        words.append("caches flushed before every call")
    return words


def _trust(ratio: LatencyRatio) -> list[str]:
    """What the ratio rests on."""
    words = [
        claim(ratio),
        STOPPED[ratio.stopped],
        f"seed {ratio.seed}",
        f"A/A {units.ratio(ratio.control_ratio)} [{_interval(ratio.control_ci95, ratio.rounds)}]",
        f"allocator {ALLOCATOR[ratio.allocator]}",
    ]
    if ratio.contended is not None:
        words.append(f"{ratio.contended:.0%} of timings waited for a processor")
    if ratio.load is not None:
        words.append(f"load {ratio.load:.2f}")
    return words


def _within_one_call(variant: Variant, latency: Latency, dtype: str) -> list[str]:
    """The kernels that ran, and the memory that was allocated beside what the law says.

    `dtype` is that of the comparison, in which the costs' bytes are.
    """
    lines = []
    if latency.kernels:
        lines.append(f"Kernels of {variant.name}: {', '.join(latency.kernels)}.")
    if latency.peak_allocated_bytes is not None:
        training = latency.mode == "training"
        law = variant.costs["saved_bytes" if training else "peak_activation_bytes"] or 0
        law *= ITEMSIZE[latency.dtype] / ITEMSIZE[dtype]
        beside = f"{units.size(law)} saved for backward" if training else f"lower bound {units.size(law)}"
        held = units.size(latency.peak_allocated_bytes)
        lines.append(f"Allocated within a call of {variant.name}, image included: {held} ({beside}).")
    return lines


def claim(ratio: LatencyRatio) -> str:
    """What the interval rests on, in words."""
    more = " or more" if len(set(ratio.rounds_per_process)) > 1 else ""
    rounds = f"{ratio.processes} processes × {ratio.rounds} round{'s' * (ratio.rounds > 1)}{more}"
    if ratio.basis == "processes":
        return f"{rounds}, interval over processes" + _together(ratio)
    if ratio.basis == "process":
        return f"this process only: {ratio.rounds} rounds, exact interval of their median" + _together(ratio)
    return f"no interval: {ratio.rounds} round{'s' * (ratio.rounds > 1)} of one process"


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


#: What the crosscheck looks at; parameters as they are called in a sentence.
_CHECKED = {
    "parameters": "parameters",
    "macs": "MACs",
    "activations": "activations",
    "training_flops": "training FLOPs",
    "saved_bytes": "saved activations",
}


def _crosscheck(comparison: Comparison) -> list[Section]:
    """One quiet line where all agree, which names what was counted; every figure where they do not.

    A gradient is torch's.
    """
    checked = [(v, v.crosscheck) for v in comparison.variants if v.crosscheck is not None]
    if not checked:
        return []
    notes = tuple(dict.fromkeys(note for _, check in checked for note in check.notes))
    if all(check.agrees for _, check in checked):
        counted = {key: [getattr(check, key) for _, check in checked] for key in _CHECKED}
        by_torch = {key for key, found in counted.items() if all(one.torch is not None for one in found)}
        by_fvcore = {key for key, found in counted.items() if all(one.fvcore is not None for one in found)}
        words = [word for key, word in _CHECKED.items() if key in by_torch | by_fvcore]
        whom = comparison.name
        if len(checked) < len(comparison.variants):
            whom += f" ({', '.join(variant.name for variant, _ in checked)} only)"
        by = "torch and fvcore" if by_fvcore else "torch"
        listed = " and ".join(", ".join(part) for part in (words[:-1], words[-1:]) if part)
        said = f"{listed[:1].upper()}{listed[1:]} of {whom} confirmed by {by}." + _confirmed_field(checked)
        return [Text((said, *notes), quiet=True)]
    rows = []
    for variant, check in checked:
        for what in _CHECKED:
            counted = getattr(check, what)
            rows.append(
                Row(
                    (
                        variant.name,
                        heading(what),
                        units.count(counted.closed_form),
                        units.count(counted.torch),
                        units.count(counted.fvcore),
                        "" if counted.agrees else "differs",
                    ),
                    strong=not counted.agrees,
                )
            )
        probe = check.receptive_field
        if probe is not None:
            what = f"pixels of {_unit(probe)}"
            differs = "" if probe.agrees else "differs"
            ends = (_pixels(probe.expected), _pixels(probe.seen), "")
            rows.append(Row((variant.name, what, *ends, differs), strong=not probe.agrees))
    columns = ("variant", "cost", "closed form", "torch", "fvcore", "")
    table = Table(
        f"The crosscheck of {comparison.name} disagrees",
        tuple(Column(title, right=2 <= i <= 4) for i, title in enumerate(columns)),
        tuple(rows),
    )
    return [table, Text(notes, quiet=True)]


def _confirmed_field(checked: Sequence[tuple[Variant, Crosscheck]]) -> str:
    """The sentence on the receptive fields that a gradient has confirmed, empty if none has."""
    units: dict[str, list[str]] = {}
    for variant, check in checked:
        if check.receptive_field is not None:
            units.setdefault(_unit(check.receptive_field), []).append(variant.name)
    if not units:
        return ""
    by_all = [len(checked)] == [len(names) for names in units.values()]
    named = [unit if by_all else f"{unit} ({', '.join(names)})" for unit, names in units.items()]
    return f" Receptive field confirmed by the gradient of {' and of '.join(named)}."


def _unit(probe: GradientProbe) -> str:
    return f"{probe.layer} at {','.join(map(str, probe.unit))}"


def _pixels(spans: tuple[tuple[int, int], ...] | None) -> str:
    """`6…217 × 6…217`, since an end before the image has a minus sign."""
    return " × ".join(f"{first}…{last}" for first, last in spans) if spans is not None else "none"
