"""What the findings share: which variants are compared, and the words for amounts, names and reasons."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from vggcalc.nets.layers import Convolution
from vggcalc.report import units
from vggcalc.results import Comparison, Configuration, Costs, LatencyRatio, LayerResult, Variant, Verdict


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


def lacking(partial: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """What is a lower bound, MACs or saved activations, and the operators without whose share."""
    for key, noun in (("macs", "MACs"), ("saved_bytes", "saved activations")):
        if operators := partial.get(key):
            yield noun, units.names(operators, most=6)


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
    """A ratio in words: `45% fewer MACs`, `8.0% more MACs`, from twice as many on `8.04 times as many MACs`.

    `units.change` is the same in a table.
    """
    if ratio == 1:
        return f"as many {noun}"
    if ratio >= 2:
        return f"{units.times(ratio)} times as many {noun}"
    return f"{units.percent(ratio)} {'fewer' if ratio < 1 else 'more'} {noun}"


def compared_by(ratio: float) -> str:
    """The word between an amount and what it is compared with: 45% fewer MACs than, as many MACs as."""
    return "as" if ratio == 1 or ratio >= 2 else "than"


def amount_against(ratio: float, noun: str, baseline: str) -> str:
    """The same with what it is compared with: `45% fewer MACs than naive`, `as many MACs as naive`."""
    return f"{amount_of(ratio, noun)} {compared_by(ratio)} {baseline}"


#: A verdict of a variant against the baseline, in words.
VERDICTS: dict[Verdict, str] = {"faster": "faster", "slower": "slower", "same": "as fast", "unclear": "unclear"}


def verdict_words(measured: LatencyRatio, than: str = "") -> str:
    """A verdict on latencies: `1.57 times faster than the 7×7`."""
    words = {
        "faster": f"{units.times(1 / measured.ratio)} times faster",
        "slower": "slower",
        "same": f"as fast to within {measured.floor:.1%}",
        "unclear": "not shown to be faster or slower",
    }[measured.verdict]
    if not than:
        return words
    if measured.verdict == "same":
        return words.replace("as fast", f"as fast as {than}")
    return f"{words} than {than}"


def speedup_and_interval(measured: LatencyRatio) -> str:
    """The interval, and what is to be known of it; of an unclear verdict the speed-up too.

    Where the interval says that there is a difference and the verdict does not, a copy of the baseline against the
    baseline differed as much.
    """
    if measured.ci95 is None:
        rounds = f"{measured.rounds} round{'s' * (measured.rounds != 1)}"
        return f"{units.times(1 / measured.ratio)} times as fast in {rounds}, too few for an interval"
    interval = f"95% CI {units.speedup_interval(measured.ci95, measured.rounds)}"
    if measured.verdict != "faster":
        interval = f"{units.times(1 / measured.ratio)} times as fast, {interval}"
    if measured.basis != "processes":
        interval = f"{interval}, in one process"
    low, high = measured.ci95
    if measured.verdict in ("unclear", "same") and not low <= 1 <= high:
        interval = f"{interval}; no difference below {units.percent(1 + measured.floor)} can be told here"
    return interval


#: What the devices of a configuration are called in a sentence.
_DEVICES = {"cpu": "this CPU", "cuda": "this GPU", "mps": "this GPU", "xpu": "this GPU"}


def place(configuration: Configuration) -> str:
    """Where something was timed, in a sentence: `this CPU`, `this CPU (bfloat16 2 threads)`."""
    device = _DEVICES.get(configuration.device.partition(":")[0], configuration.device)
    rest = configuration.label.removeprefix(configuration.device).strip()
    return f"{device} ({rest})" if rest else device


#: Numbers that are written as words.
_NUMBER_WORDS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def subject(comparison: Comparison, variant: Variant) -> str:
    """A variant as the subject of the answer: the 7×7, the stack of three 3×3, vgg16 factorized.

    Of several variants it is the one's own name, which stands in the table.
    """
    if comparison.of_models or (len(comparison.variants) > 2 and variant.name != comparison.baseline):
        return variant.name
    if not is_kernel_variant(comparison.variants[0]):
        return f"{comparison.name} {'itself' if variant.name == 'given' else variant.name}"
    if variant.name == comparison.baseline:
        return f"the {comparison.name}"
    kernels = [kernel for block in variant.blocks for kernel in block.kernels]
    if variant.family != "stack" or len(set(kernels)) > 1:
        return f"the {variant.family} factorization ({units.kernels(kernels)})"
    number = _NUMBER_WORDS[len(kernels)] if len(kernels) < len(_NUMBER_WORDS) else str(len(kernels))
    layers = units.window(kernels[0]) if len(kernels[0]) > 1 else f"layers of {kernels[0][0]}"
    return f"the stack of {number} {layers}"


def in_prose(comparison: Comparison, variant: Variant) -> str:
    """The same in a finding: the 7×7, the stack, or the variant's name."""
    if not is_kernel_variant(comparison.variants[0]) or len(comparison.variants) > 2:
        return variant.name
    return f"the {comparison.name}" if variant.name == comparison.baseline else replacement_name(variant)


def capital(text: str) -> str:
    """A sentence with a capital, unless it begins with a name."""
    return text[0].upper() + text[1:] if text.startswith(("the ", "of ", "none ", "a ")) else text


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
