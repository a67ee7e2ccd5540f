"""Findings about one kernel and its factorizations."""

from collections.abc import Iterator

from vggcalc.nets.layers import AXIS_NAMES, Convolution
from vggcalc.report import units
from vggcalc.report.findings.wording import (
    amount_against,
    amount_of,
    because,
    capital,
    convolutions_of,
    cost_ratio,
    each_pair,
    in_prose,
    is_kernel_variant,
    only_pair,
    replacement_name,
)
from vggcalc.results import Comparison


def weights_per_channel_pair(comparison: Comparison) -> Iterator[str]:
    """k² weights against those of n 3×3s, 9n, for each pair of an input and an output channel."""
    for naive, stack in only_pair(comparison):
        before, after = naive.weights_per_channel_pair, stack.weights_per_channel_pair
        if before is None or after is None:
            continue
        if stack.convolutions == 1:
            continue
        yield (
            f"For each pair of an input and an output channel the {comparison.name} has {before} weights and "
            f"{replacement_name(stack)} {after}: {amount_of(after / before, '').rstrip()}."
        )


def why_more_macs(comparison: Comparison) -> Iterator[str]:
    """Why a factorization does more MACs than its kernel, where it does."""
    for naive, stack in only_pair(comparison):
        ratio = cost_ratio(stack, naive, "macs")
        if is_kernel_variant(naive) and ratio > 1:
            more = amount_against(ratio, "MACs", f"the {comparison.name}")
            reason = because(convolutions_of(stack, "block1"))
            if reason:
                yield capital(f"{replacement_name(stack)} does {more}{reason}.")


def break_even(comparison: Comparison) -> Iterator[str]:
    """With how many channels between its layers a factorization does as many MACs as the kernel."""
    found: dict[str, dict[str, set[int]]] = {}
    for ratio in comparison.ratios:
        if ratio.break_even_width is not None:
            variant = comparison[ratio.variant]
            channels = {conv.output_shape[1] for conv in convolutions_of(variant, "block1")[:-1]}
            found.setdefault(f"{ratio.break_even_width:,.2f}", {})[in_prose(comparison, variant)] = channels
    for width, variants in found.items():
        one = len(variants) == 1
        does, it_has, its = ("does", "it has", "its") if one else ("do", "they have", "their")
        has = [f"{'it' if one else name} has {min(n)}" for name, n in variants.items() if len(n) == 1]
        yield capital(
            f"{units.names(list(variants))} {does} fewer MACs than {in_prose(comparison, comparison.variants[0])} if "
            f"{it_has} fewer than {width} channels between {its} layers{f'; here {units.names(has)}' if has else ''}."
        )


#: Stems that have been published: channels in and out and the stride of each 3×3.
_PUBLISHED_STEMS: dict[tuple[tuple[int, int, int], ...], str] = {
    ((3, 32, 2), (32, 32, 1), (32, 64, 1)): "the stem of ResNet-C and ResNet-D (He et al. 2018) "
    "and of Inception-v3 (Szegedy et al. 2015)",
}


def published_stems(comparison: Comparison) -> Iterator[str]:
    """Which variant is the stem of a published network."""
    for _, other in each_pair(comparison):
        layers = [
            (conv.input_shape[1], conv.output_shape[1], max(conv.layer.stride))
            for conv in convolutions_of(other, "block1")
            if isinstance(conv.layer, Convolution)
        ]
        if other.family == "stack" and len(other.output_shape) == 4 and tuple(layers) in _PUBLISHED_STEMS:
            yield f"{other.name} is {_PUBLISHED_STEMS[tuple(layers)]}."


def cheaper_stem(comparison: Comparison) -> Iterator[str]:
    """How a network's first convolution is replaced with fewer MACs than by the stack that costs more than it."""
    for stem in comparison.cheaper_stems:
        only = f" --only {stem.name}" if len(comparison.replaced) > 1 else ""
        yield (
            f"{stem.name} is a stem: --stride-at first --widths {stem.width}{only} makes it "
            f"{units.kernels(stem.kernels)}, which does "
            f"{amount_against(stem.macs_ratio, 'MACs', f'its {units.shape(stem.kernel)}')} and has a receptive field "
            f"of {units.shape(stem.receptive_field)}; vggcalc factorize {stem.kernel[0]} --stem shows every placement, "
            "also ResNet-C's."
        )


def shrinking_feature_map(comparison: Comparison) -> Iterator[str]:
    """Why padding is essential: without it each 3 takes 2 dilations off the feature map, along its longest axis."""
    for naive, stack in only_pair(comparison):
        if not is_kernel_variant(naive) or stack.family != "stack":
            continue
        convolutions = convolutions_of(stack, "block1")
        kernels = [layer.kernel_size or () for layer in convolutions]
        spans = [sum(k - 1 for k in along) for along in zip(*kernels, strict=True)]
        axis = spans.index(max(spans))
        size = stack.layers[0].input_shape[2 + axis]
        path = [str(size), *(str(layer.valid_size[axis]) if layer.valid_size else "nothing" for layer in convolutions)]
        if len(path) > 8:
            path[3:-2] = ["…"]
        kept = stack.layers[-1].output_shape[2:] == stack.layers[0].input_shape[2:]
        with_padding = f"; with padding it stays {size}" if kept else ""
        name = AXIS_NAMES[len(spans)][axis]
        yield f"Without padding the feature map's {name} shrinks along the stack, {' → '.join(path)}{with_padding}."
