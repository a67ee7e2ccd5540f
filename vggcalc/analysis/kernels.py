"""One convolution against what it can be factorized into."""

from collections.abc import Mapping
from math import prod

import msgspec

from vggcalc.analysis.comparison import analyze, compared
from vggcalc.analysis.pareto import break_even_width
from vggcalc.analysis.reach import coverage
from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.families import Factorization, factorized
from vggcalc.nets.kernel import Kernel
from vggcalc.nets.shapes import map_sizes
from vggcalc.results import Comparison, Infeasible, Variant, WindowCoverage


def factorize_kernel(kernel: Kernel, factorizations: Mapping[str, Factorization], dtype: str = "float32") -> Comparison:
    """The convolution, `naive`, against each factorization, by the names of the variants.

    A variant that cannot be made is in `infeasible`. Raises `InputError` where none can.
    """
    comparison = try_factorizations(kernel, factorizations, dtype)
    if len(comparison.variants) == 1:
        raise InputError(comparison.infeasible[0].reason)
    return comparison


def try_factorizations(kernel: Kernel, factorizations: Mapping[str, Factorization], dtype: str) -> Comparison:
    """The same, but where no factorization can be made the comparison has `naive` alone."""
    conv = kernel.convolution(factorizations.values())
    naive = _analyzed(kernel, "naive", ((conv,),), dtype)
    variants, infeasible = [naive], []
    for name, factorization in factorizations.items():
        try:
            branches = factorized(conv, factorization)
            covered = coverage(conv, branches, factorization.family)
            variants.append(_analyzed(kernel, name, branches, dtype, factorization, covered))
        except InputError as error:
            infeasible.append(Infeasible(name, str(error)))
    return compared(
        kernel.name,
        kernel.input_shape,
        tuple(variants),
        dtype,
        break_even={variant.name: break_even_width(naive, variant) for variant in variants[1:]},
        infeasible=tuple(infeasible),
    )


def _analyzed(
    kernel: Kernel,
    name: str,
    branches: Branches,
    dtype: str,
    factorization: Factorization | None = None,
    covered: WindowCoverage | None = None,
) -> Variant:
    """A variant with its weights per channel pair, and each layer's output size with and without padding.

    The weights are 49 for a 7×7 and 9 + 9 + 9 for its stack; None where a layer is depthwise or a 1×1.
    """
    network = kernel.network(branches, factorization or Factorization())
    family = None if factorization is None else factorization.family
    variant = analyze(network, name, dtype, family=family, coverage=covered)
    same, valid = (map_sizes(network, padding) for padding in ("same", "valid"))
    layers = [layer for branch in branches for layer in branch]
    dense = len({layer.groups for layer in layers}) == 1 and all(max(layer.kernel_size) > 1 for layer in layers)
    return msgspec.structs.replace(
        variant,
        weights_per_channel_pair=sum(prod(layer.kernel_size) for layer in layers) if dense else None,
        layers=tuple(
            msgspec.structs.replace(layer, same_size=same[layer.name], valid_size=valid[layer.name])
            for layer in variant.layers
        ),
    )
