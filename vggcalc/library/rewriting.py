"""A model rewritten in a worker, from weights to weights: what `vggcalc rewrite` does."""

import os

import msgspec

from vggcalc.errors import InputError
from vggcalc.library.factorizing import FactorizingOptions, ReplacingOptions, replacings
from vggcalc.library.models import Resolved
from vggcalc.measurement.rewriting import rewrite_model
from vggcalc.results.fitted import RewrittenModel


def rewrite_to_file(
    resolved: Resolved,
    factorizing: FactorizingOptions,
    replacing: ReplacingOptions,
    fit: bool,
    weights: str | None,
    save: str,
    code: str | None = None,
) -> RewrittenModel:
    """Replace a model's large convolutions and write its state dict to the file `save`, and a Python file `code`.

    Raises `InputError` for several families, a merge, and a model in which nothing is replaced.
    """
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
    from_file, to_file, in_python = (None if path is None else os.path.abspath(path) for path in (weights, save, code))
    assert to_file is not None
    return rewrite_model(network, origin, rule, from_file, to_file, fit, in_python)
