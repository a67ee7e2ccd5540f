"""What was replaced in a network: how much of the windows is covered, and what each single replacement saves."""

from collections.abc import Mapping

from vggcalc.analysis.comparison import analyze, compared, kernels_of
from vggcalc.analysis.costs import total
from vggcalc.analysis.reach import coverage
from vggcalc.analysis.stems import cheaper_stems
from vggcalc.nets.families import Mixing, factorized
from vggcalc.nets.graph import Network
from vggcalc.nets.layers import Convolution, PlainConvolution
from vggcalc.nets.origins import Origin
from vggcalc.nets.replacing import Replaced, Replacing, replace
from vggcalc.results import Comparison, Costs, Infeasible, Replacement, Skipped, Variant, WindowCoverage

#: Why a variant that replaces nothing is none.
_CHANGES_NOTHING = "it would change nothing: each convolution that was chosen is its own factorization"


def compare_replacements(
    network: Network, name: str, replacings: Mapping[str, Replacing], dtype: str, origin: Origin | None
) -> Comparison:
    """`network`, under that name, against what each replacing makes of it.

    Of several only those that replace anything, or the first if none does.
    """
    replaced = {variant: replace(network, replacing) for variant, replacing in replacings.items()}
    chosen = [variant for variant, one in replaced.items() if one.pairs] or list(replaced)[:1]
    variants = [analyze(network, name, dtype, origin=origin)]
    for variant in chosen:
        replacing = replacings[variant]
        variants.append(
            analyze(
                replaced[variant].network,
                variant,
                dtype,
                family=None if replacing.merge else replacing.factorization.family,
                coverage=coverage_of_all(network, replaced[variant], replacing),
                origin=origin and origin.replaced_by(replacing),
            )
        )
    kernels = {node.name: node.layer.kernel_size for node in network.nodes if isinstance(node.layer, Convolution)}
    single = replacements(variants[0], variants[1], replaced[chosen[0]]) if len(chosen) == 1 else ()
    return compared(
        network.name,
        network.input_shape,
        tuple(variants),
        dtype,
        replaced=single,
        cheaper_stems=cheaper_stems(variants[0], single) if variants[1].family == "stack" else (),
        skipped=tuple(
            Skipped(skipped, kernels[skipped], reason, variant if len(replacings) > 1 else None)
            for variant in chosen
            for skipped, reason in replaced[variant].skipped
        ),
        infeasible=tuple(
            Infeasible(variant, one.skipped[0][1] if one.skipped else _CHANGES_NOTHING)
            for variant, one in replaced.items()
            if variant not in chosen
        ),
    )


def coverage_of_all(network: Network, replaced: Replaced, replacing: Replacing) -> WindowCoverage | None:
    """The window coverage of all convolutions that were replaced together; None where they were merged."""
    if replacing.merge or not replaced.pairs:
        return None
    convolutions = {node.name: node.layer for node in network.nodes if isinstance(node.layer, PlainConvolution)}
    factorization = replacing.factorization
    found = [
        coverage(conv, factorized(conv, factorization), factorization.family)
        for conv in (convolutions[name] for (name, *_), _ in replaced.pairs)
    ]
    least = min(found, key=lambda one: one.positions / one.of)
    mixing: Mixing = next((one.mixing for one in found if one.mixing != "full"), "full")
    positions, of = sum(one.positions for one in found), sum(one.of for one in found)
    return WindowCoverage(least.window, positions, of, mixing, min(one.narrowest for one in found))


def replacements(baseline: Variant, variant: Variant, replaced: Replaced) -> tuple[Replacement, ...]:
    """What each single replacement saves, the largest change of MACs first."""
    before, after = ({layer.name: layer for layer in one.layers} for one in (baseline, variant))
    found = []
    for went, came in replaced.pairs:
        old, new = [before[name] for name in went], [after[name] for name in came]
        found.append(
            Replacement(
                went[0] if len(went) == 1 else f"{went[0]} … {went[-1]}",
                went,
                came,
                (kernels_of(old), kernels_of(new)),
                (total([layer.costs for layer in old]), total([layer.costs for layer in new])),
            )
        )
    return tuple(sorted(found, key=lambda one: _change_of_macs(one.costs), reverse=True))


def _change_of_macs(costs: tuple[Costs, Costs]) -> int:
    before, after = (int(side["macs"] or 0) for side in costs)
    return abs(after - before)
