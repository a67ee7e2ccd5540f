"""The findings: a few sentences about a comparison, each derived from its numbers by a function.

Such a function, in one of these modules, takes a comparison and yields its sentences, none where it has nothing to say.
What the answer or a table says already is for the whole only.
"""

from collections.abc import Callable, Iterator

import msgspec

from vggcalc.report.detail import Detail
from vggcalc.report.findings import blocks, effective, kernels, latency, networks
from vggcalc.results import Comparison, Finding


class FindingRule(msgspec.Struct, frozen=True):
    """How sentences are found, and from which level of detail on they are shown."""

    find: Callable[[Comparison], Iterator[str]]
    detail: Detail = Detail.NORMAL


#: By the finding's code, in the order in which they are printed.
FINDINGS: dict[str, FindingRule] = {
    "weights": FindingRule(kernels.weights_per_channel_pair, Detail.FULL),
    "kernel_macs": FindingRule(kernels.why_more_macs),
    "choice": FindingRule(networks.different_windows),
    "break_even": FindingRule(kernels.break_even, Detail.FULL),
    "known": FindingRule(kernels.published_stems),
    "whole": FindingRule(networks.each_against_the_baseline, Detail.FULL),
    "blocks": FindingRule(blocks.costliest_and_best_block),
    "other_blocks": FindingRule(blocks.other_costlier_blocks, Detail.FULL),
    "replaced": FindingRule(blocks.costliest_and_best_replacement),
    "costlier": FindingRule(blocks.total_without_costlier),
    "stem": FindingRule(kernels.cheaper_stem),
    "classifier": FindingRule(networks.classifier_share, Detail.FULL),
    "partial": FindingRule(networks.lower_bounds),
    "traced_with": FindingRule(networks.how_it_was_traced),
    "products": FindingRule(networks.products_of_activations),
    "foldable": FindingRule(networks.products_of_weights),
    "unused": FindingRule(networks.unused_parameters),
    "receptive_field": FindingRule(networks.receptive_field_kept),
    "effective": FindingRule(effective.energy_within),
    "maps": FindingRule(kernels.shrinking_feature_map, Detail.FULL),
    "depth": FindingRule(networks.depth_and_saved_activations),
    "latency": FindingRule(latency.latency_verdicts, Detail.FULL),
    "roofline": FindingRule(latency.work_and_roofline),
    "block_latency": FindingRule(latency.block_with_largest_change, Detail.FULL),
}


def findings(comparison: Comparison) -> tuple[Finding, ...]:
    """Every sentence that follows from the comparison, in the order of `FINDINGS`."""
    return tuple(Finding(code, text) for code, rule in FINDINGS.items() for text in rule.find(comparison))


#: From which level of detail on findings are shown, by their codes; those about a fleet are not of `FINDINGS`.
_DETAIL_BY_CODE = {code: rule.detail for code, rule in FINDINGS.items()} | {
    "fleet": Detail.FULL, "fleet_basis": Detail.NORMAL, "fleet_disagreement": Detail.NORMAL,
}  # fmt: skip


def detail_of(finding: Finding) -> Detail:
    """From which level of detail on a finding is shown."""
    return _DETAIL_BY_CODE[finding.code]
