"""The findings: a few sentences about a comparison, each derived from its numbers by a function.

Such a function, in one of these modules, takes a comparison and yields its sentences, none where it has nothing to say.
"""

from collections.abc import Callable, Iterator

from vggcalc.report.findings import kernels, latency, networks
from vggcalc.results import Comparison, Finding

#: By the finding's code, in the order in which they are printed.
FINDINGS: dict[str, Callable[[Comparison], Iterator[str]]] = {
    "weights": kernels.weights_per_channel_pair,
    "kernel_macs": kernels.kernel_macs,
    "choice": networks.fewest_and_different,
    "break_even": kernels.break_even,
    "known": kernels.published_stems,
    "whole": networks.whole_network,
    "blocks": networks.costliest_and_best_block,
    "replaced": networks.costliest_and_best_replacement,
    "costlier": networks.total_without_costlier,
    "stem": kernels.cheaper_stem,
    "classifier": networks.classifier_share,
    "partial": networks.lower_bounds,
    "traced_with": networks.how_it_was_traced,
    "products": networks.products_of_activations,
    "foldable": networks.products_of_weights,
    "unused": networks.unused_parameters,
    "receptive_field": networks.receptive_field_kept,
    "maps": kernels.shrinking_feature_map,
    "depth": networks.depth_and_saved_activations,
    "latency": latency.latency_verdicts,
    "block_latency": latency.block_with_largest_change,
}


def findings(comparison: Comparison) -> tuple[Finding, ...]:
    """Every sentence that follows from the comparison, in the order of `FINDINGS`."""
    return tuple(Finding(code, text) for code, find in FINDINGS.items() for text in find(comparison))
