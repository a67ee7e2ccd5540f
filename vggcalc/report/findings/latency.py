"""Findings about latencies: the measured verdict beside the count, and why the one follows the other or does not."""

from collections.abc import Iterator

from vggcalc.report import units
from vggcalc.report.findings.wording import amount_against, amount_of, cost_ratio, each_pair, replacement_name
from vggcalc.results import BlockResult, Comparison, Configuration, LatencyRatio, Variant


def latency_verdicts(comparison: Comparison) -> Iterator[str]:
    """For each variant and configuration which is faster, and how that compares with the work that it does."""
    for naive, other in each_pair(comparison):
        for ratio in comparison.ratios:
            if ratio.variant != other.name:
                continue
            for measured in ratio.latency:
                key, noun = ("training_flops", "FLOPs") if measured.mode == "training" else ("macs", "MACs")
                work = amount_against(cost_ratio(other, naive, key), noun, naive.name)
                verdict = _verdict(measured, other.name, naive.name)
                yield f"{verdict}. It does {work}{_why(measured, other, naive)}."


def _verdict(measured: LatencyRatio, other: str, naive: str) -> str:
    ratio = f"{units.ratio(measured.ratio)} times as long"
    if measured.ci95 is None:
        return (
            f"On {measured.label} {other} took {ratio} as {naive}; {measured.rounds} rounds of one process are too few "
            "for a confidence interval"
        )
    only = "" if measured.basis == "processes" else ", this process only"
    takes = f"takes {ratio} (95% CI {units.interval(measured.ci95, measured.rounds)}{only})"
    sentences = {
        "faster": f"{other} is faster than {naive}: it {takes}",
        "slower": f"{other} is slower than {naive}: it {takes}",
        "same": f"{other} is as fast as {naive}, within the {measured.floor:.1%} that can be told apart: it {takes}",
        "unclear": f"it is unclear whether {other} or {naive} is faster: {other} {takes}",
    }
    return f"On {measured.label} {sentences[measured.verdict]}"


def _why(measured: LatencyRatio, other: Variant, naive: Variant) -> str:
    """How near each comes to what the roofline allows, where that is known."""
    shares = [
        f"{found.roof_share:.0%} of its {found.bound} roof"
        for variant in (other, naive)
        if (found := variant.latency_in(measured.configuration)) is not None and found.roof_share is not None
    ]
    if len(shares) != 2:
        return ""
    moved = cost_ratio(other, naive, "traffic_bytes")
    traffic = f", moves {amount_of(moved, 'bytes')}" if moved > 1.1 else ""
    return f"{traffic} and reaches {shares[0]}, {naive.name} {shares[1]}"


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
