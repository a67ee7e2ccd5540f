"""A model rewritten in a worker, from weights to weights: what `vggcalc rewrite` does."""

import os
from collections.abc import Callable

import msgspec

from vggcalc.analysis.networks import compare_network
from vggcalc.errors import InputError
from vggcalc.library.comparing import summary
from vggcalc.library.factorizing import FactorizingOptions, ReplacingOptions, replacings
from vggcalc.library.models import Resolved
from vggcalc.measurement.rewriting import rewrite_model
from vggcalc.nets.fitting import Fitting
from vggcalc.nets.graph import Network
from vggcalc.nets.replacing import Replacing
from vggcalc.results import Comparison
from vggcalc.results.fitted import RewrittenModel


class WidthOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How widths are chosen by the weights: a share of each kernel's `energy`, or `budget_macs` of all the network."""

    energy: float | None = None
    budget_macs: int | None = None

    def fitting(self, network: Network) -> Fitting:
        """The same of a network. Raises `InputError` for what is out of its range."""
        saving = None if self.budget_macs is None else macs_of(network) - self.budget_macs
        return Fitting(energy=self.energy, saving=saving)


def macs_of(network: Network) -> int:
    """Multiply-accumulates of a whole network. Raises `InputError` where not all of them are known."""
    macs = summary(network).macs
    if not isinstance(macs, int):
        raise InputError(f"the MACs of {network.name} are not all known: give energy instead of a budget")
    return macs


def rewrite_to_file(
    resolved: Resolved,
    replacing: Replacing,
    fit: bool,
    widths: WidthOptions,
    weights: str | None,
    save: str,
    code: str | None = None,
    fit_on: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> RewrittenModel:
    """Replace a model's large convolutions and write its state dict to the file `save`, and a Python file `code`.

    `fit_on` is a file or folder of inputs by which the fit is weighed; `note` is called with the layer whose
    turn it is. Raises `InputError` for a model in which nothing is replaced.
    """
    network, origin = resolved
    from_file, to_file, in_python, data = (
        None if path is None else os.path.abspath(path) for path in (weights, save, code, fit_on)
    )
    assert to_file is not None
    fitting = widths.fitting(network)
    done = rewrite_model(network, origin, replacing, from_file, to_file, fit, fitting, in_python, data, note)
    return msgspec.structs.replace(done, fit_on=fit_on)


def one_replacing(resolved: Resolved, factorizing: FactorizingOptions, replacing: ReplacingOptions) -> Replacing:
    """What to replace in a model. Raises `InputError` for several families, and for a merge."""
    if replacing.merge:
        raise InputError("rewrite factorizes: leave out merge, or use vggcalc.rewrite(module, merge=True) in Python")
    if replacing.min_kernel is None:
        replacing = msgspec.structs.replace(replacing, min_kernel=5)
    network, origin = resolved
    rules = replacings(network.name, network, origin, factorizing, replacing)
    assert rules is not None  # min_kernel is there
    if len(rules) > 1:
        raise InputError(f"rewrite makes one model, and {', '.join(rules)} are {len(rules)}: give one family")
    (rule,) = rules.values()
    return rule


def before_and_after(resolved: Resolved, replacing: Replacing, done: RewrittenModel) -> Comparison:
    """The model as it was against what it has become, to be timed: with the widths that were chosen by the weights."""
    if done.chosen is not None:
        replacing = msgspec.structs.replace(replacing, by_layer=done.chosen)
    network, origin = resolved
    return compare_network(network, None, {"rewritten": replacing}, network.dtype, origin)
