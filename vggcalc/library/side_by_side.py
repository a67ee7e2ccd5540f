"""Several models side by side: their names, their inputs, and what makes no sense for more than one."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from vggcalc.analysis.networks import compare_models
from vggcalc.errors import InputError, unknown
from vggcalc.library import arguments
from vggcalc.library.models import Overrides, Resolved, arguments_for, is_of_this_process, module_of, resolve
from vggcalc.nets.names import BETWEEN, PAD_AT, WIDEN
from vggcalc.nets.origins import is_exported, is_import
from vggcalc.results import Comparison, Skipped

if TYPE_CHECKING:
    from vggcalc.measurement.trace import Tracer

#: The defaults that the help states: an option that repeats its own says nothing.
STATED: dict[str, tuple[Any, ...]] = {
    "into": ("stack", ("stack",)),
    "stride_at": ("last", ("last",)),
    "widen": (WIDEN[0],),
    "pad_at": (PAD_AT[0],),
    "between": (BETWEEN[0],),
    "min_kernel": (5,),
    "merge": (False,),
}


def chosen(*options: msgspec.Struct) -> list[str]:
    """The names of the options that say something: they are given, and not as their defaults."""
    given = {name: getattr(one, name) for one in options for name in one.__struct_fields__}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return [name for name, value in given.items() if value not in (None, (), *STATED.get(name, ()))]


def side_by_side(
    models: Sequence[Any],
    names: Sequence[str],
    inputs: Any,
    inputs_of: Mapping[str, Any],
    overrides: Overrides,
    dtype: Any = None,
    standard_input: Callable[[int], bytes] | None = None,
    *,
    fused: bool = False,
    cache: bool = True,
) -> Comparison:
    """Models beside the first of them, under `names` or their own; `inputs` are for all that have none in `inputs_of`.

    `inputs_of` are by name. With `fused` each imported model is followed by itself with its linear parts fused. With
    `cache` traces are kept. Raises `InputError` for names that are not one for each model, a name that there is not,
    or a model that cannot be used.
    """
    from vggcalc.measurement.trace import Tracer

    if [model for model in models if isinstance(model, str)].count("-") > 1:
        raise InputError("- is standard input, which can be read once: save one of the models to a file")
    called = arguments.distinct_names("model", names, [_own_name(model) for model in models])
    for name in inputs_of:
        if name not in called:
            raise unknown("model", name, called)
    own = dict.fromkeys(("size", "batch", "in_channels"))
    found: dict[str, Resolved] = {}
    with Tracer(cache) as tracer:
        for name, model in zip(called, models, strict=True):
            if name in inputs_of:  # which is the whole shape
                apart = msgspec.structs.replace(overrides, **own)
                found[name] = resolve(model, inputs_of[name], apart, standard_input, tracer=tracer)
            else:
                found[name] = resolve(model, inputs, overrides, standard_input, tracer=tracer)
            if fused and found[name].origin is not None:
                label = "fused" if len(called) == 1 else f"{name}-fused"
                found[arguments.numbered([*called, label])[-1]] = _fused(found[name], tracer)
    if fused and len(found) == len(called):
        raise InputError(
            f"{' and '.join(called)}: fusing is for modules and imported models, such as torchvision:vgg16_bn"
        )
    first = next(iter(found.values())).network
    return compare_models(found, arguments.parse_dtype(dtype, first.dtype), _unfused(found))


def _fused(resolved: Resolved, tracer: "Tracer") -> Resolved:
    """The same model with its linear parts fused."""
    network, given = resolved
    assert given is not None
    origin = msgspec.structs.replace(given, fused=True)
    if not is_of_this_process(origin):
        return Resolved(tracer.trace(origin), origin)
    from vggcalc.runtime.fuse.networks import fuse_network
    from vggcalc.runtime.inputs import arguments_of
    from vggcalc.runtime.load.load import without
    from vggcalc.runtime.load.preparing import unwrapped
    from vggcalc.runtime.trace.tracer import trace

    module, called = module_of(given), arguments_for(given) or arguments_of(given.input_shape)
    assert module is not None
    fused, unfused = fuse_network(unwrapped(module), called)
    return Resolved(without(trace(fused, called, network.name), unfused), origin)


def _unfused(found: Mapping[str, Resolved]) -> tuple[Skipped, ...]:
    """What stayed of the fused models, and why."""
    return tuple(
        Skipped(one.name, one.kernel, one.reason, name)
        for name, (network, _) in found.items()
        for one in (network.tracing.unfused if network.tracing is not None else ())
    )


def _own_name(model: Any) -> str:
    """The last part of a name that is imported or of a path, all of any other, or the name of a network or class."""
    if isinstance(model, os.PathLike):
        model = os.fspath(model)
    if isinstance(model, str):
        if is_import(model) and not os.path.exists(model):
            return model.rpartition(":")[2]
        is_path = is_exported(model) or model.endswith((".toml", ".json"))
        return os.path.splitext(os.path.basename(model))[0] if is_path else model
    if isinstance(model, list | tuple):
        return ",".join(map(str, model))
    compiled = getattr(model, "_orig_mod", None)  # of torch.compile
    if compiled is not None:
        return f"{type(compiled).__name__}-compiled"
    name = getattr(model, "name", None)
    return name if isinstance(name, str) else type(model).__name__
