"""What was replaced in a network: how much of the windows is covered, and what each single replacement saves."""

from collections.abc import Sequence

from vggcalc.analysis.costs import total
from vggcalc.analysis.reach import coverage
from vggcalc.nets.families import Mixing, factorized
from vggcalc.nets.graph import Network
from vggcalc.nets.layers import Axes, Conv2d, Convolution
from vggcalc.nets.replacing import Replaced, Replacing
from vggcalc.results import Costs, LayerResult, Replacement, Variant, WindowCoverage


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


def kernels_of(layers: Sequence[LayerResult]) -> tuple[Axes, ...]:
    """The kernel sizes of the convolutions among those layers."""
    return tuple(layer.layer.kernel_size for layer in layers if isinstance(layer.layer, Convolution))


def _change_of_macs(costs: tuple[Costs, Costs]) -> int:
    before, after = (int(side["macs"] or 0) for side in costs)
    return abs(after - before)
