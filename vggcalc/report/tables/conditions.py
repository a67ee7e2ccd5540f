"""How latencies were measured, in sentences: what a ratio rests on, what bounds it, and on what machine."""

import re

from vggcalc.nets.names import ITEMSIZE
from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.tables.cells import Text
from vggcalc.results import (
    AllocatorState,
    Comparison,
    Environment,
    Latency,
    LatencyRatio,
    Roof,
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

#: CUDA's kernels are C++ signatures of up to 2,000 characters; JSON has them whole.
LONGEST_KERNEL = 72


def bases(comparison: Comparison) -> list[Text]:
    """For each configuration what its intervals rest on, and why measuring ended: first where that is less than asked.

    That is where an interval holds for one process only, or measuring did not come to its end.
    """
    lines: dict[Detail, list[str]] = {Detail.NORMAL: [], Detail.FULL: []}
    for first in comparison.variants[0].latency:
        ratio = next(iter(comparison.ratios_in(first.configuration).values()), None)
        rests = f"{claim(ratio)}, {STOPPED[ratio.stopped]}" if ratio is not None else f"{len(first.times_s)} rounds"
        weak = ratio is not None and (ratio.basis != "processes" or ratio.stopped in ("failed", "interrupted"))
        lines[Detail.NORMAL if weak else Detail.FULL].append(f"{first.label}: {rests}.")
    return [Text(tuple(found), quiet=True, detail=detail) for detail, found in lines.items() if found]


def conditions(comparison: Comparison) -> list[str]:
    """How each configuration's latencies were measured, and what was found beside them."""
    lines = []
    for first in comparison.variants[0].latency:
        configuration = first.configuration
        both = [(v, found) for v in comparison.variants if (found := v.latency_in(configuration))]
        ratio = next(iter(comparison.ratios_in(configuration).values()), None)
        words = [*_setting(first), *(_control(ratio) if ratio is not None else ())]
        calls = "/".join(str(found.calls_per_round) for _, found in both)
        faults = "/".join(units.number(found.faults_per_call) for _, found in both)
        names = "/".join(variant.name for variant, _ in both)
        words.append(f"for {names} {calls} calls a round and {faults} page faults a call")
        compiled = [units.duration(found.compile_s) for _, found in both if found.compile_s is not None]
        if compiled:
            words.append(f"compiled in {'/'.join(compiled)}, not counted")
        lines.append(f"{first.label}: {', '.join(words)}.")
        roof = Roof.find(comparison.roofs, configuration)
        if roof is not None:
            raised = f", raised by {roof.raised_by}" if roof.raised_by else ""
            lines.append(
                f"Roof: {units.number(roof.flops_per_s / 1e9)} GFLOP/s ({roof.peak_by}{raised}), "
                f"{units.number(roof.bytes_per_s / 1e9)} GB/s (copy)."
            )
        lines += [line for variant, found in both for line in _within_one_call(variant, found, comparison.dtype)]
    return list(dict.fromkeys(lines))


def _setting(latency: Latency) -> list[str]:
    """How the modules were run."""
    threads = f"{latency.threads} thread{'s' * (latency.threads > 1)}"
    words = [threads, latency.dtype, latency.memory_format, latency.mode, latency.execution]
    if latency.mode == "training":
        words.append("forward and backward without an optimizer's step")
    if latency.cold:
        words.append("caches flushed before every call")
    return words


def _control(ratio: LatencyRatio) -> list[str]:
    """What the ratio was measured with, and what a second copy of the baseline took beside it."""
    words = [
        f"seed {ratio.seed}",
        f"A/A {units.ratio(ratio.control_ratio)} [{units.interval(ratio.control_ci95, ratio.rounds)}]",
        f"allocator {ALLOCATOR[ratio.allocator]}",
    ]
    if ratio.contended is not None:
        words.append(f"{units.share(ratio.contended)} of timings waited for a processor")
    if ratio.load is not None:
        words.append(f"load {ratio.load:.2f}")
    return words


def _within_one_call(variant: Variant, latency: Latency, dtype: str) -> list[str]:
    """The kernels that ran, and the memory that was allocated beside that of the formula.

    `dtype` is that of the comparison, in which the costs' bytes are.
    """
    lines = []
    if latency.kernels:
        lines.append(f"Kernels of {variant.name}: {', '.join(map(short_kernel, latency.kernels))}.")
    if latency.peak_allocated_bytes is not None:
        training = latency.mode == "training"
        predicted = (variant.saved_bytes if training else variant.peak_activation_bytes) or 0
        predicted *= ITEMSIZE[latency.dtype] / ITEMSIZE[dtype]
        size = units.size(predicted)
        beside = f"{size} saved for backward" if training else f"lower bound {size}"
        held = units.size(latency.peak_allocated_bytes)
        lines.append(f"Allocated within a call of {variant.name}, input included: {held} ({beside}).")
    return lines


def short_kernel(name: str) -> str:
    """A kernel's name without namespaces and, where it is long, without the end of its signature.

    >>> short_kernel("void at::native::elementwise_kernel<128, 2, at::native::CUDAFunctor_add<float>>(int) ×3")
    'elementwise_kernel<128, 2, CUDAFunctor_add<float>>(int) ×3'
    """
    name, times, number = name.partition(" ×")
    name = re.sub(r"(?:\w+|\(anonymous namespace\))::", "", name.removeprefix("void "))
    return (name if len(name) <= LONGEST_KERNEL else f"{name[: LONGEST_KERNEL - 1]}…") + times + number


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


def environment_text(environment: Environment) -> Text:
    """The machine and the versions that every latency holds for."""
    lines = [
        f"{environment.cpu}, {environment.instruction_set}, {environment.cores} cores, "
        f"torch {environment.torch}, fvcore {environment.fvcore}, Python {environment.python}"
    ]
    for device in environment.devices:
        if device.name != "cpu":
            details = "".join(f", {key} {value}" for key, value in device.details.items())
            lines.append(f"{device.name}: {device.model}{details}")
    return Text(tuple(lines), quiet=True, detail=Detail.FULL)
