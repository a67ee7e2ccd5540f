"""Findings about variants as a whole, and about the blocks and replacements of networks."""

from collections.abc import Iterator

from vggcalc.nets.layers import Axes, Convolution
from vggcalc.report import units
from vggcalc.report.findings.wording import (
    amount_against,
    amount_of,
    because,
    both,
    convolutions_of,
    cost_ratio,
    each_pair,
    is_kernel_variant,
    known_cost,
    models_of,
    only_pair,
    replacement_name,
)
from vggcalc.results import BlockResult, Comparison, ReceptiveField, Replacement, Variant


def fewest_and_different(comparison: Comparison) -> Iterator[str]:
    """Of several variants the one with the fewest MACs, and those that see something else than the baseline."""
    if len(comparison.variants) < 3:
        return
    baseline, *others = comparison.variants
    for key, noun in (("macs", "MACs"), ("parameters", "parameters")):
        least = min(comparison.variants, key=lambda variant: known_cost(variant.costs, key))
        if least is not baseline:
            amount = amount_of(cost_ratio(least, baseline, key), "").rstrip()
            yield f"{least.name} has the fewest {noun}, {amount} than {baseline.name}."
    fields: dict[Axes, list[str]] = {}
    for variant in comparison.variants:
        if variant.receptive_field is not None:
            fields.setdefault(variant.receptive_field.size, []).append(variant.name)
    own = baseline.receptive_field
    for size, names in fields.items():
        if own is not None and size != own.size:
            fields_of, are = ("field of", "is") if len(names) == 1 else ("fields of", "are")
            differ = f"{units.shape(size)}, not {units.shape(own.size)}"
            yield f"The receptive {fields_of} {units.names(names)} {are} {differ}."
    partly = [other.name for other in others if other.coverage and other.coverage.positions < other.coverage.of]
    if partly:
        verb = "covers" if len(partly) == 1 else "cover"
        yield f"{units.names(partly)} {verb} only a part of the kernel's window: see the column coverage."


def whole_network(comparison: Comparison) -> Iterator[str]:
    """The change over a whole network, or between models, whether it costs more or less."""
    for naive, other in each_pair(comparison):
        if is_kernel_variant(naive):
            continue
        if naive.layers == other.layers:
            same = f"{naive.name} and {other.name} have the same layers."
            yield same if comparison.of_models else _nothing_changed(comparison, naive.name, other.name)
            continue
        macs = amount_of(cost_ratio(other, naive, "macs"), "MACs")
        parameters = amount_of(cost_ratio(other, naive, "parameters"), "parameters")
        where = "" if comparison.of_models else f" over the whole of {comparison.name}"
        yield f"Compared with {naive.name}, {other.name} does {macs} and has {parameters}{where}."


def _nothing_changed(comparison: Comparison, baseline: str, other: str) -> str:
    """Why a variant is the network itself."""
    if baseline != "given":
        return (
            "Both variants are the network itself: there is nothing to merge, because no two convolutions follow each "
            "other without a pooling, a stride or a change of groups between them, and nothing to split, because no "
            "kernel is larger than 3×3."
        )
    if comparison.skipped:
        return (
            f"Nothing was replaced in {comparison.name}: every convolution that was chosen was skipped, for the "
            "reasons above."
        )
    if other == "merged":
        return f"Nothing was merged in {comparison.name}: no two convolutions follow each other that one could replace."
    return (
        f"Nothing was replaced in {comparison.name}: it has no convolution with a large enough kernel (5×5 or more, "
        "unless --min-kernel or --only says otherwise). To merge small kernels into large ones, use --merge."
    )


def costliest_and_best_block(comparison: Comparison) -> Iterator[str]:
    """The blocks in which factorizing adds MACs, with the reason, and the one in which it saves the largest share."""
    for naive, other in only_pair(comparison):
        if is_kernel_variant(naive) or naive.name == "given" or comparison.of_models:
            continue
        best: tuple[float, BlockResult] | None = None
        for before, after in _matching_blocks(naive, other):
            ratio = known_cost(after.costs, "macs") / known_cost(before.costs, "macs")
            if ratio > 1.01:
                yield (
                    _macs_replaced(after.name, other, ratio, before.kernels)
                    + because(convolutions_of(other, after.name))
                    + "."
                )
            if best is None or ratio < best[0]:
                best = ratio, before
        if best is not None and best[0] < 1 / 1.01:
            ratio, before = best
            yield f"{_macs_replaced(before.name, other, ratio, before.kernels)}, the largest relative saving."


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
    """What the network would do without the replacements that add MACs, and the option that leaves them out."""
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
    by_name = {block.name: block for block in other.blocks}
    for block in naive.blocks:
        if block.kernels and block.name in by_name:
            yield block, by_name[block.name]


def lower_bounds(comparison: Comparison) -> Iterator[str]:
    """Which totals lack what an operator without a formula costs."""
    seen = set()
    for variant in comparison.variants:
        for key, noun in (("macs", "MACs"), ("saved_bytes", "saved activations")):
            lacking = variant.partial.get(key, ())
            if lacking and (noun, lacking) not in seen:
                seen.add((noun, lacking))
                names = units.names(lacking, most=6)
                yield f"The {noun} of {variant.name} are a lower bound, without those of {names}."


def how_it_was_traced(comparison: Comparison) -> Iterator[str]:
    """Whether a module had to run with values, on which its operators may depend."""
    for given in models_of(comparison):
        if given.tracing is None:
            continue
        if given.tracing.depends_on_values:
            yield (
                f"{given.name} was run with random values, because its code reads some: the counts hold for this "
                "input, and another may need others."
            )
        elif given.tracing.ran_with == "values":
            yield f"{given.name} was run with its weights and random inputs: its code reads values of constants."


def products_of_activations(comparison: Comparison) -> Iterator[str]:
    """How much of the MACs multiplies two activations, which some counters leave out."""
    for variant in models_of(comparison):
        products, macs = variant.costs.get("product_macs"), variant.costs["macs"]
        if products and macs:
            yield (
                f"{units.count(products)} MACs of {variant.name}, {units.share(products / macs)}, multiply two "
                "activations with each other, as attention does: some counters leave them out."
            )


def products_of_weights(comparison: Comparison) -> Iterator[str]:
    """What is computed of weights and constants alone at every call, and could be computed once."""
    for given in models_of(comparison):
        found = sum(int(layer.macs or 0) for layer in given.layers if not layer.inputs)
        if found:
            yield (
                f"{units.count(found)} MACs of {given.name} multiply weights and constants alone, once a call whatever "
                "the batch: what they make could be computed once and stored."
            )


def unused_parameters(comparison: Comparison) -> Iterator[str]:
    """Parameters that the module has and inference does not use."""
    for model in models_of(comparison):
        for layer in model.layers:
            if layer.function == "unused":
                count = units.count(layer.costs["parameters"])
                name = model.name if comparison.of_models else comparison.name
                owner, of = layer.name.rpartition(".")[0], f" of {name}" * comparison.of_models
                yield f"{owner + of if owner else f'{name} itself'} has {count} parameters that inference does not use."


def classifier_share(comparison: Comparison) -> Iterator[str]:
    """What the linear layers hold, which no factorizing of kernels touches."""
    variant = comparison.variants[-1]
    classifier = variant.block("classifier")
    if classifier is not None:
        parameters, macs = (_share_of(classifier, variant, key) for key in ("parameters", "macs"))
        yield f"The classifier of {variant.name} has {parameters} of its parameters and does {macs} of its MACs."


def _share_of(block: BlockResult, variant: Variant, key: str) -> str:
    part, whole = known_cost(block.costs, key), known_cost(variant.costs, key)
    share = part / whole if whole else 0.0
    return f"{share:.1%}" if share >= 0.001 or not part else "less than 0.1%"


def receptive_field_kept(comparison: Comparison) -> Iterator[str]:
    """Whether the variants have the same receptive field, and if not, which each has."""
    if len(comparison.variants) == 1 and comparison.variants[0].receptive_field is None:
        yield from _without_field(comparison.variants[0])
    for naive, other in only_pair(comparison):
        before, after = naive.receptive_field, other.receptive_field
        if before is None or after is None:
            yield from _without_field(other)
            continue
        if other.coverage is not None and other.coverage.positions < other.coverage.of:
            yield f"{other.name} covers {other.coverage.positions:,} of {other.coverage.of:,} positions of the window."
        if before == after:
            aligned = "" if before.aligned else "; the paths that meet there have different centres"
            yield f"{both(comparison)} have a receptive field of {_described(before)}{aligned}."
        else:
            yield (
                f"The receptive fields differ: {_described(after)} in {other.name}, "
                f"{_described(before)} in {naive.name}."
            )


def _described(field: ReceptiveField) -> str:
    return units.shape(field.size) + (f" at stride {units.axes(field.stride)}" if max(field.stride) > 1 else "")


def _without_field(variant: Variant) -> Iterator[str]:
    """What a unit sees where no one receptive field holds for all."""
    if variant.sees == "image":
        yield f"Every unit of the last feature map of {variant.name} sees the whole input."
    elif variant.sees == "varies":
        yield (
            f"The receptive field of the last feature map of {variant.name} varies from unit to unit: "
            "vggcalc summary with --receptive-field LAYER --unit POSITION shows that of one unit."
        )


def depth_and_saved_activations(comparison: Comparison) -> Iterator[str]:
    """What a deeper variant brings, and what training has to save for it."""
    for naive, other in only_pair(comparison):
        if naive.convolutions == other.convolutions:
            continue
        saved, base = (
            ("at least " if "saved_bytes" in variant.partial else "")
            + units.size(known_cost(variant.costs, "saved_bytes"))
            for variant in (other, naive)
        )
        if other.nonlinearities != naive.nonlinearities:
            noun = "nonlinearity" if other.nonlinearities == 1 else "nonlinearities"
            depth = f"{other.name} has {other.nonlinearities} {noun}, {naive.name} {naive.nonlinearities}"
        else:
            noun = "nonlinearity" if naive.nonlinearities == 1 else "nonlinearities"
            depth = f"{both(comparison)} have {naive.nonlinearities} {noun}"
        yield (
            f"{depth}; for the backward pass training saves {saved} of activations in {other.name}, {base} in "
            f"{naive.name}."
        )
