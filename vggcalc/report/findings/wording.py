"""What the findings share: which variants are compared, and the words for amounts, names and reasons."""

from collections.abc import Iterator, Sequence
from math import prod

from vggcalc.nets.layers import Convolution
from vggcalc.report import units
from vggcalc.results import Comparison, Costs, LayerResult, Variant


def each_pair(comparison: Comparison) -> Iterator[tuple[Variant, Variant]]:
    """The baseline beside each other variant."""
    baseline, *others = comparison.variants
    for other in others:
        yield baseline, other


def only_pair(comparison: Comparison) -> Iterator[tuple[Variant, Variant]]:
    """The baseline beside the other variant where there is one only: of several the table says it all."""
    if len(comparison.variants) == 2:
        yield from each_pair(comparison)


def models_of(comparison: Comparison) -> tuple[Variant, ...]:
    """What was not made of another: the baseline, or every model that is compared."""
    return comparison.variants if comparison.of_models else comparison.variants[:1]


def both(comparison: Comparison) -> str:
    """The two that are compared, at the beginning of a sentence."""
    return "Both models" if comparison.of_models else "Both variants"


def is_kernel_variant(variant: Variant) -> bool:
    """Whether it is one kernel or its factorization, not a whole network."""
    return variant.weights_per_channel_pair is not None


def known_cost(costs: Costs, key: str) -> int | float:
    """A cost that is never unavailable, as totals are."""
    value = costs[key]
    assert value is not None, key
    return value


def cost_ratio(variant: Variant, baseline: Variant, key: str) -> float:
    """variant / baseline of one cost."""
    return known_cost(variant.costs, key) / known_cost(baseline.costs, key)


def amount_of(ratio: float, noun: str) -> str:
    """A ratio in words: `44.9% fewer MACs`, `8.0% more MACs`, from twice as many on `8.04 times as many MACs`."""
    if ratio == 1:
        return f"as many {noun}"
    if ratio >= 2:
        return f"{units.times(ratio)} times as many {noun}"
    return f"{units.change(ratio).lstrip('+−')} {'fewer' if ratio < 1 else 'more'} {noun}"


def amount_against(ratio: float, noun: str, baseline: str) -> str:
    """The same with what it is compared with: `44.9% fewer MACs than naive`, `as many MACs as naive`."""
    return f"{amount_of(ratio, noun)} {'as' if ratio == 1 or ratio >= 2 else 'than'} {baseline}"


def replacement_name(variant: Variant) -> str:
    """What a kernel has become: the stack, or the name of a family."""
    return f"the {variant.family or 'stack'}" if variant.family in (None, "stack") else variant.family


def convolutions_of(variant: Variant, block: str) -> list[LayerResult]:
    """The convolutions of a block."""
    return [layer for layer in variant.layers if isinstance(layer.layer, Convolution) and layer.block == block]


def because(convolutions: Sequence[LayerResult]) -> str:
    """Why a stack does more MACs than its kernel: its channels, its weights, a 1×1, or a stride in its last layer."""
    if len(convolutions) < 2:
        return ""
    last = convolutions[-1]
    reasons = []
    channels = [convolutions[0].input_shape[1], *(conv.output_shape[1] for conv in convolutions)]
    if channels[0] < channels[1] == channels[-1]:
        reasons.append(f"its first layer already widens the channels {channels[0]} → {channels[1]}")
    elif len(set(channels)) > 1:
        reasons.append(f"its channels go {' → '.join(map(str, channels))}")
    pointwise = next((conv.kernel_size for conv in convolutions if set(conv.kernel_size or ()) == {1}), None)
    if pointwise is not None:
        reasons.append(f"its {units.window(pointwise)} adds MACs without enlarging the receptive field")
    layers = [conv.layer for conv in convolutions if isinstance(conv.layer, Convolution)]
    weights = sum(prod(layer.kernel_size) for layer in layers)
    reach = ([(k - 1) * d for k, d in zip(layer.kernel_size, layer.dilation, strict=True)] for layer in layers)
    window = prod(1 + sum(along) for along in zip(*reach, strict=True))
    if pointwise is None and weights > window:  # as in one dimension, where three of 3 see 7
        reasons.append(f"it has {weights} weights for each pair of channels where the kernel has {window}")
    assert isinstance(last.layer, Convolution)
    stride = last.layer.stride
    if max(stride) > 1:
        where = f"its last layer has the stride of {units.axes(stride)}"
        reasons.append(f"{where}, so that the layers before it run at full resolution")
    return ", because " + " and ".join(reasons) if reasons else ""
