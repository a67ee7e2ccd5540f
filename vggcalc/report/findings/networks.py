"""Findings about variants as a whole."""

from collections.abc import Iterator

from vggcalc.nets.layers import Axes
from vggcalc.report import units
from vggcalc.report.findings.wording import (
    amount_of,
    both,
    capital,
    cost_ratio,
    each_pair,
    in_prose,
    is_kernel_variant,
    known_cost,
    lacking,
    models_of,
    only_pair,
)
from vggcalc.results import BlockResult, Comparison, ReceptiveField, Variant


def different_windows(comparison: Comparison) -> Iterator[str]:
    """Of several variants those whose receptive field is not the baseline's, and those that leave out positions."""
    if len(comparison.variants) < 3:
        return
    baseline, *others = comparison.variants
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


def each_against_the_baseline(comparison: Comparison) -> Iterator[str]:
    """Of several networks or models what each does more or less than the baseline; of two the answer says it."""
    if len(comparison.variants) < 3:
        return
    for naive, other in each_pair(comparison):
        if is_kernel_variant(naive):
            continue
        if naive.layers == other.layers:
            yield f"{naive.name} and {other.name} have the same layers."
            continue
        macs = amount_of(cost_ratio(other, naive, "macs"), "MACs")
        parameters = amount_of(cost_ratio(other, naive, "parameters"), "parameters")
        where = "" if comparison.of_models else f" over the whole of {comparison.name}"
        yield f"Compared with {naive.name}, {other.name} does {macs} and has {parameters}{where}."


def nothing_changed(comparison: Comparison) -> str:
    """Why the one variant is the network itself."""
    baseline, other = comparison.variants
    if comparison.of_models:
        return f"{baseline.name} and {other.name} have the same layers."
    if baseline.name != "given":
        return (
            "Both variants are the network itself: there is nothing to merge, because no two convolutions follow each "
            "other without a pooling, a stride or a change of groups between them, and nothing to split, because no "
            "kernel is larger than 3×3."
        )
    if comparison.skipped:
        return (
            f"Nothing was replaced in {comparison.name}: every convolution that was chosen was skipped, for the "
            "reasons below."
        )
    if other.name == "merged":
        return f"Nothing was merged in {comparison.name}: no two convolutions follow each other that one could replace."
    return (
        f"Nothing was replaced in {comparison.name}: it has no convolution with a large enough kernel (5×5 or more, "
        "unless --min-kernel or --only says otherwise); to merge small kernels into large ones, use --merge."
    )


def lower_bounds(comparison: Comparison) -> Iterator[str]:
    """Which totals lack what an operator without a formula costs."""
    seen = set()
    for variant in comparison.variants:
        for noun, operators in lacking(variant.partial):
            if (noun, operators) not in seen:
                seen.add((noun, operators))
                yield f"The {noun} of {variant.name} are a lower bound, without those of {operators}."


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
            part = f"{other.coverage.positions:,} of {other.coverage.of:,} positions of the window"
            yield capital(f"{in_prose(comparison, other)} covers {part}.")
        if before == after and is_kernel_variant(naive):
            continue  # the table has both
        if before == after:
            aligned = "" if before.aligned else "; the paths that meet there have different centres"
            yield f"{both(comparison)} have a receptive field of {_described(before)}{aligned}."
        else:
            yield (
                f"The receptive fields differ: {_described(after)} in {in_prose(comparison, other)}, "
                f"{_described(before)} in {in_prose(comparison, naive)}."
            )


def _described(field: ReceptiveField) -> str:
    return units.shape(field.size) + (f" at stride {units.axes(field.stride)}" if max(field.stride) > 1 else "")


def _without_field(variant: Variant) -> Iterator[str]:
    """What a unit depends on where no one receptive field holds for all."""
    if variant.sees == "image":
        yield f"Every unit of the last feature map of {variant.name} depends on the whole input."
    elif variant.sees == "varies":
        yield (
            f"The receptive field of the last feature map of {variant.name} varies from unit to unit: "
            "vggcalc summary with --receptive-field LAYER --unit POSITION shows that of one unit."
        )


def depth_and_saved_activations(comparison: Comparison) -> Iterator[str]:
    """What a deeper variant brings, and what training has to save for it."""
    for naive, other in only_pair(comparison):
        if naive.convolutions == other.convolutions or is_kernel_variant(naive):  # whose table has both figures
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
            f"{depth}; for the backward pass training keeps {saved} of activations in {other.name}, {base} in "
            f"{naive.name}."
        )
