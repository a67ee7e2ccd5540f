"""Findings about one kernel and its factorizations."""

from collections.abc import Iterator

from vggcalc.nets.families import Factorization, factorized
from vggcalc.nets.layers import AXIS_NAMES, Convolution, PlainConvolution
from vggcalc.nets.shapes import output_shape
from vggcalc.report import units
from vggcalc.report.findings.wording import (
    amount_against,
    amount_of,
    because,
    convolutions_of,
    cost_ratio,
    each_pair,
    is_kernel_variant,
    known_cost,
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
            if stack.family == "stack":
                yield f"A {comparison.name} is its own stack: there is nothing to factorize."
            continue
        yield (
            f"For each pair of an input and an output channel the {comparison.name} has {before} weights and "
            f"{replacement_name(stack)} {after}: {amount_of(after / before, '').rstrip()}."
        )


def kernel_macs(comparison: Comparison) -> Iterator[str]:
    """What the channels and the stride make of that saving."""
    for naive, stack in only_pair(comparison):
        if not is_kernel_variant(naive) or (stack.family, stack.convolutions) == ("stack", 1):
            continue
        ratio = cost_ratio(stack, naive, "macs")
        reason = because(convolutions_of(stack, "block1")) if ratio > 1 else ""
        yield (
            f"With these channels and this input size, {replacement_name(stack)} does "
            f"{amount_against(ratio, 'MACs', f'the {comparison.name}')}{reason}."
        )


def break_even(comparison: Comparison) -> Iterator[str]:
    """With how many channels between its layers a factorization does as many MACs as the kernel."""
    found: dict[str, dict[str, set[int]]] = {}
    for ratio in comparison.ratios:
        if ratio.break_even_width is not None:
            channels = {conv.output_shape[1] for conv in convolutions_of(comparison[ratio.variant], "block1")[:-1]}
            found.setdefault(f"{ratio.break_even_width:,.2f}", {})[ratio.variant] = channels
    for width, variants in found.items():
        one = len(variants) == 1
        does, it_has, its = ("does", "it has", "its") if one else ("do", "they have", "their")
        has = [f"{'it' if one else name} has {min(n)}" for name, n in variants.items() if len(n) == 1]
        yield (
            f"{units.names(list(variants))} {does} fewer MACs than {comparison.baseline} if {it_has} fewer than "
            f"{width} channels between {its} layers{f'; here {units.names(has)}' if has else ''}."
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
    """How a network's first convolution is replaced with fewer MACs: the stride first, half of the channels between.

    `factorize --stem` has these among others. It is advised where the stack of such a convolution costs more than it.
    """
    baseline, last = comparison.variants[0], comparison.variants[-1]
    layers = {layer.name: layer for layer in baseline.layers}
    for one in comparison.replaced if last.family == "stack" else ():
        stem, before, after = layers[one.before[0]], *(known_cost(side, "macs") for side in one.costs)
        conv = stem.layer
        if not isinstance(conv, PlainConvolution) or conv.groups > 1 or after <= before:
            continue
        if conv.in_channels >= conv.out_channels or max(conv.stride) == 1 or len(set(conv.kernel_size)) > 1:
            continue
        width = max(conv.out_channels // 2, 1)
        (chain,) = factorized(conv, Factorization(stride_at="first", widths=(width,)))
        macs, size, sees, jump = 0, stem.input_shape, 1, 1
        for part in chain:
            output = output_shape(part, [size])
            macs, size = macs + part.macs(size, output), output
            sees, jump = sees + (part.kernel_size[0] - 1) * part.dilation[0] * jump, jump * part.stride[0]
        if macs >= after:
            continue
        (kernel, *_), dimensions = conv.kernel_size, len(conv.kernel_size)
        only = f" --only {one.name}" if len(comparison.replaced) > 1 else ""
        yield (
            f"{one.name} is a stem: --stride-at first --widths {width}{only} makes it "
            f"{units.kernels([part.kernel_size for part in chain])}, which does "
            f"{amount_against(macs / before, 'MACs', f'its {units.shape(conv.kernel_size)}')} and sees "
            f"{units.shape((sees,) * dimensions)}; vggcalc factorize {kernel} --stem shows every placement, also "
            "ResNet-C's."
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
