"""Findings about the blocks of networks and about what was replaced in them."""

from collections.abc import Iterator

from vggcalc.nets.layers import Axes, Convolution
from vggcalc.report import units
from vggcalc.report.findings.wording import (
    amount_against,
    because,
    convolutions_of,
    is_kernel_variant,
    known_cost,
    only_pair,
    replacement_name,
)
from vggcalc.results import BlockResult, Comparison, Replacement, Variant


def costliest_and_best_block(comparison: Comparison) -> Iterator[str]:
    """The block in which factorizing adds the largest share of MACs, with the reason, and that in which it saves it."""
    ordered = _blocks_by_change(comparison)
    if not ordered:
        return
    (least, best), (most, worst) = ordered[0], ordered[-1]
    if most > 1.01:
        yield _block_replaced(comparison, most, worst)
    if least < 1 / 1.01:
        yield f"{_macs_replaced(best.name, comparison.variants[1], least, best.kernels)}, the largest relative saving."


def other_costlier_blocks(comparison: Comparison) -> Iterator[str]:
    """The other blocks in which factorizing adds MACs, with the reasons."""
    for ratio, block in _blocks_by_change(comparison)[-2::-1]:
        if ratio > 1.01:
            yield _block_replaced(comparison, ratio, block)


def _blocks_by_change(comparison: Comparison) -> list[tuple[float, BlockResult]]:
    """The blocks that both variants have, as they are in the baseline, with the ratios of MACs, the least first."""
    return sorted(
        [
            (known_cost(after.costs, "macs") / known_cost(before.costs, "macs"), before)
            for naive, other in only_pair(comparison)
            if not (is_kernel_variant(naive) or naive.name == "given" or comparison.of_models)
            for before, after in _matching_blocks(naive, other)
        ],
        key=lambda entry: entry[0],
    )


def _block_replaced(comparison: Comparison, ratio: float, block: BlockResult) -> str:
    """What factorizing does in one block, and why."""
    other = comparison.variants[1]
    replaced = _macs_replaced(block.name, other, ratio, block.kernels)
    return f"{replaced}{because(convolutions_of(other, block.name))}."


def costliest_and_best_replacement(comparison: Comparison) -> Iterator[str]:
    """The replacement that adds the largest share of MACs, with the reason, and the one that saves it."""
    if not comparison.replaced:
        return
    last = comparison.variants[-1]
    layers = {layer.name: layer for layer in last.layers}

    def ratio(one: Replacement) -> float:
        return known_cost(one.costs[1], "macs") / (known_cost(one.costs[0], "macs") or 1)

    ordered = sorted(comparison.replaced, key=ratio)
    best, worst = ordered[0], ordered[-1]
    if ratio(worst) > 1.01:
        came = [layers[name] for name in worst.after if isinstance(layers[name].layer, Convolution)]
        yield f"{_macs_replaced(worst.name, last, ratio(worst), worst.kernels[0])}{because(came)}."
    if ratio(best) < 0.99:
        yield f"{_macs_replaced(best.name, last, ratio(best), best.kernels[0])}, the largest relative saving."


def total_without_costlier(comparison: Comparison) -> Iterator[str]:
    """What the network would do without the replacements that add MACs, and how to leave them out."""
    costlier = [
        (one.name, known_cost(one.costs[1], "macs") - known_cost(one.costs[0], "macs")) for one in comparison.replaced
    ]
    costlier = [(name, more) for name, more in costlier if more > 0]
    if not costlier:
        return
    last = comparison.variants[-1]
    names = units.names([name for name, _ in costlier], most=3)
    least = "at least " if "macs" in last.partial else ""
    total = known_cost(last.costs, "macs") - sum(more for _, more in costlier)
    yield (
        f"Without replacing {names}, which adds MACs, {last.name} would do {least}{units.count(total)} MACs: "
        "--if-fewer macs leaves out every replacement that does not lower them."
    )


def _macs_replaced(name: str, variant: Variant, ratio: float, kernels: tuple[Axes, ...]) -> str:
    """What replacing does to the MACs of one block or convolution."""
    return (
        f"In {name} {replacement_name(variant)} does {amount_against(ratio, 'MACs', f'its {units.kernels(kernels)}')}"
    )


def _matching_blocks(naive: Variant, other: Variant) -> Iterator[tuple[BlockResult, BlockResult]]:
    """The blocks that both have and that have convolutions."""
    for block in naive.blocks:
        after = other.block(block.name)
        if block.kernels and after is not None:
            yield block, after
