"""Findings about latencies: the measured verdict beside the count, and why the one follows the other or does not."""

from collections.abc import Iterator

from vggcalc.report import units
from vggcalc.report.findings.wording import (
    amount_against,
    amount_of,
    cost_ratio,
    each_pair,
    in_prose,
    replacement_name,
    speedup_and_interval,
    verdict_words,
)
from vggcalc.results import BlockResult, Bound, Comparison, Configuration, LatencyRatio, Variant


def latency_verdicts(comparison: Comparison) -> Iterator[str]:
    """For each variant and configuration which is faster."""
    for naive, other, measured in _measured_pairs(comparison):
        sentence = f"{in_prose(comparison, other)} is {verdict_words(measured, in_prose(comparison, naive))}"
        yield f"On {measured.label} {sentence} ({speedup_and_interval(measured)})."


def work_and_roofline(comparison: Comparison) -> Iterator[str]:
    """For each variant and configuration the work beside the time, and how near each comes to the roofline."""
    for naive, other, measured in _measured_pairs(comparison):
        key, noun = ("training_flops", "FLOPs") if measured.mode == "training" else ("macs", "MACs")
        baseline = in_prose(comparison, naive)
        work = amount_against(cost_ratio(other, naive, key), noun, baseline)
        near = _near_the_roof(measured, other, naive, baseline)
        yield f"On {measured.label} {in_prose(comparison, other)} does {work}{near}."


def _measured_pairs(comparison: Comparison) -> Iterator[tuple[Variant, Variant, LatencyRatio]]:
    """The baseline, each other variant, and its ratio in each configuration."""
    for naive, other in each_pair(comparison):
        for ratio in comparison.ratios:
            if ratio.variant == other.name:
                yield from ((naive, other, measured) for measured in ratio.latency)


def _near_the_roof(measured: LatencyRatio, other: Variant, naive: Variant, baseline: str) -> str:
    """Which share of what the roofline allows each reaches, where that is known."""
    shares = [
        f"{found.roof_share:.0%} of {_BOUNDS[found.bound]}"
        for variant in (other, naive)
        if (found := variant.latency_in(measured.configuration)) is not None
        and found.roof_share is not None
        and found.bound is not None
    ]
    if len(shares) != 2:
        return ""
    moved = cost_ratio(other, naive, "traffic_bytes")
    traffic = f", moves {amount_of(moved, 'bytes')}" if moved > 1.1 else ""
    return f"{traffic} and reaches {shares[0]}, {baseline} {shares[1]}"


#: What bounds a rate on the roofline, in a sentence.
_BOUNDS: dict[Bound, str] = {"compute": "peak compute", "memory": "the memory bandwidth"}


def block_with_largest_change(comparison: Comparison) -> Iterator[str]:
    """The block in which the time changes most."""
    for naive, other in each_pair(comparison):
        changes: dict[Configuration, list[tuple[float, BlockResult]]] = {}
        for block in naive.blocks:
            for before in block.latency:
                matching = other.block(block.name)
                after = matching and matching.latency_in(before.configuration)
                if after:
                    change = after.median_s - before.median_s
                    changes.setdefault(before.configuration, []).append((change, block))
        for configuration, found in changes.items():
            change, block = max(found, key=lambda entry: abs(entry[0]))
            way = "longer" if change > 0 else "less"
            yield (
                f"On {configuration.label} the time changes most in {block.name}: measured alone, "
                f"{replacement_name(other)} takes {units.duration(abs(change))} {way} than its "
                f"{units.kernels(block.kernels)}."
            )
