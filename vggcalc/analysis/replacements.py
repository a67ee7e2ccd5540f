"""What was replaced in a network: how much of the windows is covered, and what each single replacement saves."""

from collections.abc import Mapping

from vggcalc.analysis.comparison import analyze, compared, kernels_of
from vggcalc.analysis.costs import total
from vggcalc.analysis.reach import coverage
from vggcalc.nets.families import Mixing, factorized
from vggcalc.nets.graph import Network
from vggcalc.nets.layers import Conv2d, Convolution
from vggcalc.nets.origins import Origin
from vggcalc.nets.replacing import Replaced, Replacing, replace
from vggcalc.results import Comparison, Costs, Infeasible, Replacement, Skipped, Variant, WindowCoverage

#: Why a variant that replaces nothing is none.
_CHANGES_NOTHING = "it would change nothing: each convolution that was chosen is its own factorization"


def compare_replacements(
    given: Network, name: str, replacings: Mapping[str, Replacing], dtype: str, origin: Origin | None
) -> Comparison:
    """`given`, under that name, against what each replacing makes of it.

    Of several only those that replace anything, or the first if none does.
    """
    made = {variant: replace(given, replacing) for variant, replacing in replacings.items()}
    chosen = [variant for variant, one in made.items() if one.pairs] or list(made)[:1]
    variants = [analyze(given, name, dtype, origin=origin)]
    for variant in chosen:
        replacing = replacings[variant]
        variants.append(
            analyze(
                made[variant].network,
                variant,
                dtype,
                family=None if replacing.merge else replacing.factorization.family,
                coverage=coverage_of_all(given, made[variant], replacing),
                origin=origin and origin.replaced_by(replacing),
            )
        )
    kernels = {node.name: node.layer.kernel_size for node in given.nodes if isinstance(node.layer, Convolution)}
    return compared(
        given.name,
        given.input_shape,
        tuple(variants),
        dtype,
        replaced=replacements(variants[0], variants[1], made[chosen[0]]) if len(chosen) == 1 else (),
        skipped=tuple(
            Skipped(skipped, kernels[skipped], reason, variant if len(replacings) > 1 else None)
            for variant in chosen
            for skipped, reason in made[variant].skipped
        ),
        infeasible=tuple(
            Infeasible(variant, one.skipped[0][1] if one.skipped else _CHANGES_NOTHING)
            for variant, one in made.items()
            if variant not in chosen
        ),
    )


def coverage_of_all(given: Network, made: Replaced, replacing: Replacing) -> WindowCoverage | None:
    """The window coverage of all convolutions that were replaced together; None where they were merged."""
    if replacing.merge or not made.pairs:
        return None
    convolutions = {node.name: node.layer for node in given.nodes if isinstance(node.layer, Conv2d)}
    factorization = replacing.factorization
    found = [
        coverage(conv, factorized(conv, factorization), factorization.family)
        for conv in (convolutions[name] for (name, *_), _ in made.pairs)
    ]
    least = min(found, key=lambda one: one.positions / one.of)
    mixing: Mixing = next((one.mixing for one in found if one.mixing != "full"), "full")
    positions, of = sum(one.positions for one in found), sum(one.of for one in found)
    return WindowCoverage(least.window, positions, of, mixing, min(one.narrowest for one in found))


def replacements(given: Variant, variant: Variant, made: Replaced) -> tuple[Replacement, ...]:
    """What each single replacement saves, the largest change of MACs first."""
    before, after = ({layer.name: layer for layer in one.layers} for one in (given, variant))
    found = []
    for went, came in made.pairs:
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
