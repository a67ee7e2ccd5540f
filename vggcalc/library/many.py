"""Many models in one command: a line of totals each, all traced in one worker."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vggcalc.analysis.comparison import analyze
from vggcalc.analysis.modules import USUAL_SORT
from vggcalc.errors import InputError
from vggcalc.library.models import Overrides, resolve
from vggcalc.measurement.trace import Tracer
from vggcalc.nets.origins import REGISTRIES
from vggcalc.results import ModelCosts


def is_pattern(model: str) -> bool:
    """Whether it stands for several models of a registry, as `timm:convnext*` does."""
    package, _, name = model.partition(":")
    return package in REGISTRIES and any(sign in name for sign in "*?[")


def matching_models(patterns: Sequence[str], tracer: Tracer) -> list[str]:
    """The models by their names, each once; a pattern is all that match it. Raises `InputError` where none does."""
    found: list[str] = []
    for model in patterns:
        if not is_pattern(model):
            found.append(model)
            continue
        from fnmatch import filter as matching_names

        package, _, pattern = model.partition(":")
        names = tracer.names(package)
        matches = matching_names(names, pattern)
        if not matches:
            raise InputError(f"none of {package}'s {len(names)} models matches {pattern!r}: try {package}:*")
        found += [f"{package}:{name}" for name in matches]
    return list(dict.fromkeys(found))


def summarize_each(
    models: Sequence[str],
    inputs: Any,
    overrides: Overrides,
    dtype: Callable[[str], str],
    tracer: Tracer,
    progress: Callable[[str], None],
) -> Iterator[ModelCosts]:
    """The totals of each model; `dtype` says in which bytes are counted, by the model's own.

    A model that cannot be summarized is a line too. Raises `InputError` for a pattern that nothing matches.
    """
    names = matching_models(models, tracer)
    for number, name in enumerate(names, 1):
        progress(f"tracing: {name}, {number} of {len(names)}")
        try:
            network, origin = resolve(name, inputs, overrides, tracer=tracer)
            bytes_of = dtype(network.dtype)
            found = analyze(network, network.name, bytes_of, origin=origin)
        except InputError as error:
            yield ModelCosts(name, "failed", reason=str(error))
            continue
        yield ModelCosts(
            name,
            "partial" if found.partial else "complete",
            network.input_shape,
            bytes_of,
            found.costs,
            found.partial,
            found.receptive_field,
            found.sees,
        )


def sorted_by(models: Sequence[ModelCosts], cost: str | None, top: int | None) -> list[ModelCosts]:
    """Those with most of a cost first, where one is named or only the `top` are wanted; those without it last."""
    if cost is None and top is None:
        return list(models)
    found = sorted(models, key=lambda model: -(model.costs.get(cost or USUAL_SORT) or -1))
    return found[:top]
