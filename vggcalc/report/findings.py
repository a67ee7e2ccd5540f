"""The findings: a few sentences about a comparison, each derived from its numbers by a rule.

A rule is a function from a comparison to its sentences, none where it has nothing to say. Its
name in `RULES` is the finding's code.
It is over 300 lines long because the rules stand side by side, in the order in which they are printed.
"""

from collections.abc import Callable, Iterator

from vggcalc.nets.layers import Axes, Convolution
from vggcalc.report import units
from vggcalc.results import (
    BlockResult,
    Comparison,
    Configuration,
    Costs,
    Finding,
    LatencyRatio,
    LayerResult,
    Replacement,
    Variant,
)


def read(comparison: Comparison) -> tuple[Finding, ...]:
    """Every sentence that follows from the comparison, in the order of `RULES`."""
    return tuple(Finding(code, text) for code, rule in RULES.items() for text in rule(comparison))


def _amount(costs: Costs, key: str) -> int | float:
    value = costs[key]
    assert value is not None, key
    return value


def _pairs(comparison: Comparison) -> Iterator[tuple[Variant, Variant]]:
    """The baseline beside each other variant."""
    baseline, *others = comparison.variants
    for other in others:
        yield baseline, other


def _pair(comparison: Comparison) -> Iterator[tuple[Variant, Variant]]:
    """The baseline beside the other variant, where there is but one: of many the table says it all."""
    if len(comparison.variants) == 2:
        yield from _pairs(comparison)


def _it(variant: Variant) -> str:
    """What a kernel has become, in words."""
    return variant.family or "stack"


def _the(variant: Variant) -> str:
    """The same as the subject of a sentence."""
    return "the stack" if _it(variant) == "stack" else _it(variant)


def _times_work(value: int | float, base: int | float, what: str = "MACs") -> str:
    if value == base:
        return f"as many {what} as"
    if abs(value / base - 1) < 0.1:
        return f"{_percent(value / base)} {what} than"
    if value < base:
        return f"{units.times(base / value)} times fewer {what} than"
    return f"{units.times(value / base)} times the {what} of"


def _percent(ratio: float) -> str:
    change = units.change(ratio)
    return f"{change.lstrip('+−')} {'fewer' if ratio < 1 else 'more'}"


def _convolutions(variant: Variant, block: str) -> list[LayerResult]:
    return [x for x in variant.layers if x.type == "Conv2d" and x.name.partition(".")[0] == block]


def _because(convolutions: list[LayerResult]) -> str:
    """Why a stack costs more than its kernel: its channels, a 1×1, or a stride that comes late."""
    if len(convolutions) < 2:
        return ""
    last = convolutions[-1]
    reasons = []
    channels = [convolutions[0].input_shape[1], *(conv.output_shape[1] for conv in convolutions)]
    if channels[0] < channels[1] == channels[-1]:
        reasons.append(f"the widening {channels[0]} → {channels[1]} happens in its first layer")
    elif len(set(channels)) > 1:
        reasons.append(f"its channels go {' → '.join(map(str, channels))}")
    if any(conv.kernel_size == (1, 1) for conv in convolutions):
        reasons.append("its 1×1 adds work and no pixels")
    assert isinstance(last.layer, Convolution)
    stride = last.layer.stride
    if max(stride) > 1:
        where = f"stride {units.axes(stride)} stands in its last layer"
        reasons.append(f"{where}, so those before work on the full map")
    return ", because " + " and ".join(reasons) if reasons else ""


def weights(comparison: Comparison) -> Iterator[str]:
    """k² against 9n weights for each pair of an input and an output channel (TRUTH: 49/27)."""
    for naive, stack in _pair(comparison):
        one, many = naive.weights_per_channel_pair, stack.weights_per_channel_pair
        if one is None or many is None:
            continue
        if stack.convolutions == 1:
            if stack.family == "stack":
                yield f"A {comparison.name} is its own stack: there is nothing to factorize."
            continue
        saved = (
            f"{(one / many - 1):.0%} more), so {_the(stack)} saves {(1 - many / one):.1%} of them"
            if many < one
            else f"{(1 - one / many):.0%} fewer)"
        )
        yield (
            f"For each pair of an input and an output channel the {comparison.name} has {one}/{many} = "
            f"{units.times(one / many)} times the weights of its {_it(stack)} ({saved}."
        )


def kernel_macs(comparison: Comparison) -> Iterator[str]:
    """What the channels and the stride make of that saving."""
    for naive, stack in _pair(comparison):
        if naive.weights_per_channel_pair is None or (stack.family, stack.convolutions) == ("stack", 1):
            continue
        macs, base = _amount(stack.costs, "macs"), _amount(naive.costs, "macs")
        because = _because(_convolutions(stack, "block1")) if macs > base else ""
        yield (
            f"With these channels and this map {_the(stack)} does {_times_work(macs, base)} the "
            f"{comparison.name}{because}."
        )


def choice(comparison: Comparison) -> Iterator[str]:
    """Of many variants the one with the fewest MACs, and those that see something else than the kernel."""
    if len(comparison.variants) < 3:
        return
    baseline, *others = comparison.variants
    for key, what in (("macs", "MACs"), ("parameters", "parameters")):
        least = min(comparison.variants, key=lambda variant: _amount(variant.costs, key))
        if least is not baseline:
            change = _times_work(_amount(least.costs, key), _amount(baseline.costs, key), what)
            yield f"{least.name} has the fewest {what}: {change} {baseline.name}."
    fields: dict[Axes, list[str]] = {}
    for variant in comparison.variants:
        if variant.receptive_field is not None:
            fields.setdefault(variant.receptive_field.size, []).append(variant.name)
    own = baseline.receptive_field
    for size, names in fields.items():
        if own is not None and size != own.size:
            verb = "sees" if len(names) == 1 else "see"
            yield f"{_listed(names)} {verb} {units.pair(size)} pixels, not {units.pair(own.size)}."
    partly = [other.name for other in others if other.coverage and other.coverage.positions < other.coverage.of]
    if partly:
        verb = "leaves" if len(partly) == 1 else "leave"
        yield f"{_listed(partly)} {verb} out pixels within the window: see the column."


def _listed(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def break_even(comparison: Comparison) -> Iterator[str]:
    """With how many channels between its layers a factorization does as many MACs as the kernel."""
    found: dict[str, list[str]] = {}
    for ratio in comparison.ratios:
        if ratio.break_even_width is not None:
            channels = {conv.output_shape[1] for conv in _convolutions(comparison[ratio.variant], "block1")[:-1]}
            has = f" (it has {next(iter(channels))})" if len(channels) == 1 else ""
            found.setdefault(f"{ratio.break_even_width:,.2f}", []).append(ratio.variant + has)
    for width, names in found.items():
        does, its = ("does", "its") if len(names) == 1 else ("do", "their")
        yield (
            f"{_listed(names)} {does} fewer MACs than {comparison.baseline} with fewer than {width} channels between "
            f"{its} layers."
        )


#: Stems that the literature names: channels in and out and the stride of each 3×3.
_KNOWN: dict[tuple[tuple[int, int, int], ...], str] = {
    ((3, 32, 2), (32, 32, 1), (32, 64, 1)): "the stem of ResNet-C and ResNet-D (He et al. 2018) "
    "and of Inception-v3 (Szegedy et al. 2015)",
}


def known(comparison: Comparison) -> Iterator[str]:
    """Which variant the literature knows by a name."""
    for _, other in _pairs(comparison):
        layers = [
            (conv.input_shape[1], conv.output_shape[1], max(conv.layer.stride))
            for conv in _convolutions(other, "block1")
            if isinstance(conv.layer, Convolution)
        ]
        if other.family == "stack" and tuple(layers) in _KNOWN:
            yield f"{other.name} is {_KNOWN[tuple(layers)]}."


def whole(comparison: Comparison) -> Iterator[str]:
    """The change over a whole network, whichever sign it has."""
    for naive, other in _pairs(comparison):
        if naive.weights_per_channel_pair is not None:
            continue
        if naive.layers == other.layers and naive.name == "given":
            if comparison.skipped:
                yield (
                    f"Nothing was replaced in {comparison.name}: every convolution that was chosen was skipped, for "
                    "the reasons above."
                )
                continue
            yield (
                f"Nothing was replaced in {comparison.name}: it has no convolution with a kernel as large as "
                "asked for (5×5 and more, unless --min-kernel or --only says otherwise). "
                "--merge goes the other way."
                if other.name != "merged"
                else f"Nothing was merged in {comparison.name}: no two convolutions follow each other so that "
                "one could stand for both."
            )
            continue
        if naive.layers == other.layers:
            yield (
                "There is nothing to merge and nothing to split: no run of convolutions is longer than one (a "
                "pooling, a stride or other groups end a run), and no kernel is larger than 3×3. Both variants "
                "are the given network."
            )
            continue
        macs, parameters = (
            _percent(_amount(other.costs, key) / _amount(naive.costs, key)) for key in ("macs", "parameters")
        )
        yield (
            f"Over the whole of {comparison.name}, {other.name} does {macs} MACs and has {parameters} "
            f"parameters than {naive.name}."
        )


def blocks(comparison: Comparison) -> Iterator[str]:
    """Where factorizing costs MACs, with the reason, and where it saves most."""
    for naive, other in _pair(comparison):
        if naive.weights_per_channel_pair is not None or naive.name == "given":
            continue
        best: tuple[float, BlockResult, BlockResult] | None = None
        for one, many in _matching(naive, other):
            base, macs = _amount(one.costs, "macs"), _amount(many.costs, "macs")
            if macs > 1.01 * base:
                yield (
                    f"{many.name} alone costs {_times_work(macs, base)} its {units.kernels(one.kernels)}"
                    f"{_because(_convolutions(other, many.name))}."
                )
            if best is None or base / macs > best[0]:
                best = base / macs, one, many
        if best is not None and best[0] > 1.01:
            saving, one, many = best
            yield (
                f"{many.name} saves most: its {_it(other)} does {units.times(saving)} times fewer MACs than "
                f"its {units.kernels(one.kernels)}."
            )


def replaced(comparison: Comparison) -> Iterator[str]:
    """The replacings that cost most, with the reason, and the one that saves most."""
    if not comparison.replaced:
        return
    layers = {layer.name: layer for layer in comparison.variants[-1].layers}

    def change(one: Replacement) -> float:
        return _amount(one.costs[1], "macs") / (_amount(one.costs[0], "macs") or 1)

    ordered = sorted(comparison.replaced, key=change)
    for one in (ordered[-1],) if change(ordered[-1]) > 1.01 else ():
        came = [layers[name] for name in one.after if layers[name].type == "Conv2d"]
        yield (
            f"{one.name} alone costs {_times_work(change(one), 1)} its {units.kernels(one.kernels[0])}{_because(came)}."
        )
    if change(ordered[0]) < 0.99:
        yield (
            f"{ordered[0].name} saves the largest share: {units.times(1 / change(ordered[0]))} times fewer "
            f"MACs than its {units.kernels(ordered[0].kernels[0])}."
        )


def partial(comparison: Comparison) -> Iterator[str]:
    """What totals lack, so that they are lower bounds."""
    said = set()
    for variant in comparison.variants:
        for keys, what in ((("macs",), "MACs"), (("saved_bytes",), "saved activations")):
            lacking = next((variant.partial[key] for key in keys if key in variant.partial), ())
            if lacking and (what, lacking) not in said:
                said.add((what, lacking))
                listed = ", ".join(lacking[:6]) + (f" and {len(lacking) - 6} others" if len(lacking) > 6 else "")
                yield f"The {what} of {variant.name} are a lower bound, without those of {listed}."


def unused(comparison: Comparison) -> Iterator[str]:
    """Parameters that the module has and inference does not touch."""
    for layer in comparison.variants[0].layers:
        if layer.function == "unused":
            count = units.count(layer.costs["parameters"])
            owner = layer.name.rpartition(".")[0] or f"{comparison.name} itself"
            yield f"{owner} has {count} parameters that take no part in inference."


def _matching(naive: Variant, other: Variant) -> Iterator[tuple[BlockResult, BlockResult]]:
    """The blocks that both have and that have convolutions."""
    by_name = {block.name: block for block in other.blocks}
    for block in naive.blocks:
        if block.kernels and block.name in by_name:
            yield block, by_name[block.name]


def classifier(comparison: Comparison) -> Iterator[str]:
    """What the linear layers hold, which no factorizing of kernels touches."""
    variant = comparison.variants[-1]
    for block in variant.blocks:
        if block.name == "classifier":
            parameters, macs = (
                _share(_amount(block.costs, key), _amount(variant.costs, key)) for key in ("parameters", "macs")
            )
            yield (
                f"The classifier of {variant.name} holds {parameters} of the parameters and does {macs} of the MACs."
            )


def _share(part: int | float, whole: int | float) -> str:
    share = part / whole if whole else 0.0
    return f"{share:.1%}" if share >= 0.001 or not part else "less than 0.1%"


def receptive_field(comparison: Comparison) -> Iterator[str]:
    """Whether the variants see the same pixels, and if not by how much not."""
    if len(comparison.variants) == 1 and comparison.variants[0].receptive_field is None:
        yield from _without_field(comparison.variants[0])
    for naive, other in _pair(comparison):
        one, many = naive.receptive_field, other.receptive_field
        if one is None or many is None:
            yield from _without_field(other)
            continue
        if other.coverage is not None and other.coverage.positions < other.coverage.of:
            looks = f"{other.name} looks at {other.coverage.positions:,}"
            yield f"Of the {other.coverage.of:,} pixels in its window {looks}."
        if one == many:
            stride = f" at stride {units.axes(one.stride)}" if max(one.stride) > 1 else ""
            aligned = "" if one.aligned else "; the centres of the paths that meet there differ"
            yield f"Both variants see {units.pair(one.size)} pixels{stride}{aligned}."
        else:
            yield (
                f"The receptive fields differ: {many.size[0]} against {one.size[0]} pixels "
                f"({many.size[0] - one.size[0]:+d}) for {other.name} against {naive.name}."
            )


def _without_field(variant: Variant) -> Iterator[str]:
    """In words, what a unit sees where no one receptive field holds for all."""
    if variant.sees == "image":
        yield f"Every unit of the last map of {variant.name} sees the whole image."
    elif variant.sees == "varies":
        yield (
            f"What a unit of the last map of {variant.name} sees varies from unit to unit: vggcalc summary "
            "with --receptive-field LAYER --unit Y,X tells it for one."
        )


def maps(comparison: Comparison) -> Iterator[str]:
    """Why padding is essential: the map shrinks by 2 dilations at every 3×3 without it."""
    for naive, stack in _pair(comparison):
        if naive.weights_per_channel_pair is None or stack.family != "stack":
            continue
        height = stack.layers[0].input_shape[2]
        after = [layer.valid_size for layer in _convolutions(stack, "block1")]
        path = [str(height), *(str(size[0]) if size else "nothing" for size in after)]
        if len(path) > 8:
            path[3:-2] = ["…"]
        kept = stack.layers[-1].output_shape[2:] == stack.layers[0].input_shape[2:]
        keeps = "; padding keeps it" if kept else ""
        yield f"Without padding the map's height shrinks along the stack, {' → '.join(path)}{keeps}."


def depth(comparison: Comparison) -> Iterator[str]:
    """What a deeper variant brings, and what it makes training keep."""
    for naive, other in _pair(comparison):
        if naive.convolutions == other.convolutions:
            continue
        kept, base = (
            ("at least " if "saved_bytes" in variant.partial else "")
            + units.size(_amount(variant.costs, "saved_bytes"))
            for variant in (other, naive)
        )
        deeper = f"{other.name} has {other.nonlinearities} nonlinearities against {naive.nonlinearities}; training"
        many = "nonlinearities" if naive.nonlinearities != 1 else "nonlinearity"
        same = f"Both variants have {naive.nonlinearities} {many}; training {other.name}"
        yield (
            f"{same if other.nonlinearities == naive.nonlinearities else deeper} keeps {kept} of activations "
            f"for its backward pass against {base}."
        )


def latency(comparison: Comparison) -> Iterator[str]:
    """The measured verdict beside the count, and why the one follows the other or does not."""
    for naive, other in _pairs(comparison):
        for ratio in comparison.ratios:
            if ratio.variant != other.name:
                continue
            for measured in ratio.latency:
                training = measured.mode == "training"
                key, what = ("training_flops", "FLOPs") if training else ("macs", "MACs")
                work = _times_work(_amount(other.costs, key), _amount(naive.costs, key), what)
                verdict = _verdict(measured, other.name, naive.name)
                yield f"{verdict}; it does {work} {naive.name}{_why(measured, other, naive)}."


def _verdict(measured: LatencyRatio, other: str, naive: str) -> str:
    where = f"On {measured.label}"
    if measured.ci95 is None:
        return (
            f"{where} {other} took {units.times(measured.ratio)} times as long as {naive}, without an "
            f"interval: one process of {measured.rounds} rounds holds none"
        )
    low, high = measured.ci95
    only = "" if measured.basis == "processes" else ", this process only"
    gain = f"95% CI {units.times(1 / high)}–{units.times(1 / low)}{only}"
    loss = f"{units.times(measured.ratio)} times as long, 95% CI {units.times(low)}–{units.times(high)}{only}"
    said = {
        "faster": f"{other} is {units.times(1 / measured.ratio)} times faster ({gain}) than {naive}",
        "slower": f"{other} takes longer than {naive} ({loss})",
        "same": f"{other} takes as long as {naive}, within the {measured.floor:.1%} that can be told ({loss})",
        "unclear": f"it is unclear whether {other} or {naive} is faster ({other} takes {loss})",
    }
    return f"{where} {said[measured.verdict]}"


def _why(measured: LatencyRatio, other: Variant, naive: Variant) -> str:
    """How near each comes to the roof, where that is known."""
    shares = [
        f"{found.roof_share:.0%} of its {found.bound} roof"
        for variant in (other, naive)
        for found in variant.latency
        if found.configuration == measured.configuration and found.roof_share is not None
    ]
    if len(shares) != 2:
        return ""
    moved = _amount(other.costs, "traffic_bytes") / _amount(naive.costs, "traffic_bytes")
    bytes_ = f", moves {units.times(moved)} times the bytes" if moved > 1.1 else ""
    return f"{bytes_} and runs at {shares[0]}, {naive.name} at {shares[1]}"


def block_latency(comparison: Comparison) -> Iterator[str]:
    """The block in which the time changes most."""
    for naive, other in _pairs(comparison):
        of_other = {block.name: block for block in other.blocks}
        changes: dict[Configuration, list[tuple[float, str, BlockResult]]] = {}
        for block in naive.blocks:
            for before in block.latency:
                for after in of_other[block.name].latency:
                    if before.configuration == after.configuration:
                        change = after.median_s - before.median_s
                        changes.setdefault(before.configuration, []).append((change, block.name, block))
        for configuration, found in changes.items():
            change, name, block = max(found, key=lambda entry: abs(entry[0]))
            way = "longer" if change > 0 else "less"
            yield (
                f"On {configuration.label} the time changes most in {name}: alone its {_it(other)} takes "
                f"{units.duration(abs(change))} {way} than its {units.kernels(block.kernels)}."
            )


RULES: dict[str, Callable[[Comparison], Iterator[str]]] = {
    "weights": weights,
    "kernel_macs": kernel_macs,
    "choice": choice,
    "break_even": break_even,
    "known": known,
    "whole": whole,
    "blocks": blocks,
    "replaced": replaced,
    "classifier": classifier,
    "partial": partial,
    "unused": unused,
    "receptive_field": receptive_field,
    "maps": maps,
    "depth": depth,
    "latency": latency,
    "block_latency": block_latency,
}
