"""A network against what it can be factorized into, or alone: what `compare` and `summary` make of a `Network`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vggcalc.analysis.comparison import analyze, compared
from vggcalc.nets.families import Factorization
from vggcalc.nets.graph import Network, renumbered
from vggcalc.nets.layers import Axes, Convolution
from vggcalc.nets.merging import merge
from vggcalc.nets.origins import Origin
from vggcalc.nets.replacing import CUTS_PATCHES, Replacing, cuts_patches, is_large, split
from vggcalc.results import Comparison, Skipped, UnitField, Variant

if TYPE_CHECKING:
    from vggcalc.analysis.modules import SummaryOptions


def compare_network(
    network: Network,
    factorizations: Mapping[str, Factorization] | None = None,
    replacings: Mapping[str, Replacing] | None = None,
    dtype: str = "float32",
    origin: Origin | None = None,
) -> Comparison:
    """A network against what its convolutions can be factorized into, by the names of the variants.

    With `replacings` the baseline is the network itself, called `given`, and each variant what one of them makes of it;
    a traced network is always compared so. Else the baseline is `naive`, the network with its runs of convolutions
    merged, and the variants are that `factorized` again, or by each of several `factorizations`.
    """
    factorizations = factorizations or {"factorized": Factorization()}
    if replacings is None and network.layout != "traced" and "factorized" in factorizations:
        variants = (
            analyze(renumbered(merge(network)), "naive", dtype),
            analyze(renumbered(split(network, factorizations["factorized"])), "factorized", dtype),
        )
        skipped = tuple(
            Skipped(layer.name, layer.layer.kernel_size, CUTS_PATCHES)
            for layer in variants[1].layers
            if isinstance(layer.layer, Convolution) and is_large(layer.layer) and cuts_patches(layer.layer)
        )
        return compared(network.name, network.input_shape, variants, dtype, skipped=skipped)
    from vggcalc.analysis.replacements import compare_replacements  # a plain VGG has no use for it

    if replacings is None and network.layout != "traced":
        network, name = renumbered(merge(network)), "naive"
    else:
        name = "given"
    replacings = replacings or {variant: Replacing(one) for variant, one in factorizations.items()}
    return compare_replacements(network, name, replacings, dtype, origin)


def compare_models(
    models: Mapping[str, tuple[Network, Origin | None]], dtype: str = "float32", skipped: tuple[Skipped, ...] = ()
) -> Comparison:
    """Models by their names side by side, each with its own input; the first is the baseline."""
    variants = tuple(analyze(network, name, dtype, origin=origin) for name, (network, origin) in models.items())
    name = " and ".join(filter(None, (", ".join(list(models)[:-1]), list(models)[-1])))
    return compared(name, variants[0].input_shape, variants, dtype, skipped=skipped, of_models=True)


def summarize(
    network: Network,
    dtype: str = "float32",
    unit: tuple[str, Axes] | None = None,
    counter: str | None = None,
    origin: Origin | None = None,
    options: "SummaryOptions | None" = None,
) -> Comparison:
    """One network, layer by layer: a comparison with one variant, named after the network.

    `unit` is a layer and a position on its feature map, for which `unit_field` says on which part of the input it
    depends; `counter` names another tool whose figure `reconciliation` explains; `options` say which modules and costs
    the table shows. Raises `InputError` for unknown names.
    """
    from vggcalc.analysis.modules import summarize_modules

    variant = analyze(network, network.name, dtype, origin=origin)
    reconciliation = None
    if counter is not None:
        from vggcalc.analysis.counters.rules import reconcile

        reconciliation = reconcile(variant, counter)
    return compared(
        network.name,
        network.input_shape,
        (variant,),
        dtype,
        unit_field=_unit_field(network, variant, *unit) if unit is not None else None,
        reconciliation=reconciliation,
        modules=summarize_modules(variant, options),
    )


def _unit_field(network: Network, variant: Variant, layer: str, unit: Axes) -> UnitField:
    from vggcalc.analysis.receptive_field import unit_span

    seen = unit_span(network, layer, unit)
    found = next((one for one in variant.layers if one.name == layer), None)
    if found is None:  # the input itself
        return UnitField(layer, unit, seen, None, "window")
    return UnitField(layer, unit, seen, found.receptive_field, found.sees)
