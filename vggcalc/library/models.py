"""From a model as the user names it to a network: a name, tokens, a file, a `Network` or an `nn.Module`."""

import os
import sys
from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary, finalize

import msgspec

from vggcalc.errors import InputError
from vggcalc.library.arguments import check_flags, check_whole, parse_shape, word, wrong_type
from vggcalc.library.per_axis import parse_size
from vggcalc.nets.graph import Network
from vggcalc.nets.inputs import TensorSpec, tensor_spec
from vggcalc.nets.layers import AXIS_NAMES, Shape, check_dims, check_number
from vggcalc.nets.names import ACTIVATIONS
from vggcalc.nets.origins import OWN, Argument, Origin, is_exported, is_import
from vggcalc.nets.sources import network as specified
from vggcalc.nets.vgg import Config

if TYPE_CHECKING:
    from torch import nn

    from vggcalc.measurement.trace import Tracer
    from vggcalc.runtime.inputs import Arguments

#: What a model may be.
Model = "str | os.PathLike[str] | Sequence[int | str] | Config | Network | nn.Module"

ACCEPTED = (
    'a name such as "vgg16" or "torchvision:resnet50", tokens such as "64,M,128" or [64, "M", 128], the path of a '
    "TOML or JSON file, a vggcalc.Config, a vggcalc.Network, or a torch.nn.Module"
)


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """Values that override those of the model; None leaves the model's own.

    `size` is that of the input, one number or one for each axis; `dims` how many axes there are, where tokens, a file
    or one number do not say; `classes` the width of the last linear layer; `arguments` are those of an imported
    model's factory, `formulas` a Python file that calls `register_formula`, which runs before it is imported.
    """

    size: object = None
    dims: int | None = None
    batch: int | None = None
    in_channels: int | None = None
    classes: int | None = None
    batch_norm: bool | None = None
    activation: str | None = None
    bias: bool | None = None
    arguments: Mapping[str, Argument] | None = None
    formulas: str | os.PathLike[str] | None = None

    def check(self) -> None:
        """Raise `TypeError` for a type that is not accepted, `InputError` for wrong `dims` or `activation`."""
        check_whole(dims=self.dims, batch=self.batch, in_channels=self.in_channels, classes=self.classes)
        check_flags(batch_norm=self.batch_norm, bias=self.bias)
        if self.dims is not None:
            check_dims(self.dims)
        if self.activation is not None:
            word("activation", self.activation, ACTIVATIONS)
        if self.arguments is not None and not isinstance(self.arguments, Mapping):
            raise wrong_type("args", self.arguments, 'arguments by their names, such as {"pretrained": False}')
        if not isinstance(self.formulas, str | os.PathLike | None):
            raise wrong_type("formulas", self.formulas, 'the path of a Python file, such as "formulas.py"')


#: Overrides that act on imported models alone.
_OF_IMPORTED = ("arguments", "formulas")


class InputsFrom(NamedTuple):
    """The inputs of an imported model are what a function returns: "net.py:make_inputs"."""

    source: str


class Resolved(NamedTuple):
    """A network, and where its module comes from unless it is built from the network itself."""

    network: Network
    origin: Origin | None = None


#: The modules of this process by the source of their origin, as long as somebody else holds them.
_MODULES: "WeakValueDictionary[str, nn.Module]" = WeakValueDictionary()
_NUMBERS = count(1)

#: By the same, what `torch.compile` compiles one with that was given compiled.
_COMPILING: "dict[str, Callable[[nn.Module], nn.Module]]" = {}

#: By the same, what they are called with where that is more than one image.
_ARGUMENTS: "dict[str, Arguments]" = {}


def resolve(
    model: Any,
    inputs: Any = None,
    overrides: Overrides = Overrides(),
    standard_input: Callable[[int], bytes] | None = None,
    cache: bool = True,
    tracer: "Tracer | None" = None,
) -> Resolved:
    """The network that `model` names or is, for `inputs`: a shape with the batch first, or a tensor.

    An imported model is traced in a worker process, by a `tracer` that several models share or by one of its own, which
    with `cache` keeps traces; a module is traced in this process.
    Raises `TypeError` for anything else, `InputError` with one line for a model that cannot be used.
    """
    overrides.check()
    if isinstance(model, os.PathLike):
        model = os.fspath(model)
    module = _module(model)
    if module is not None:
        return _of_module(module, inputs, overrides)
    if isinstance(model, list | tuple) and all(isinstance(token, int | str) for token in model):
        model = Config("tokens", tuple(model))
    if isinstance(model, str) and (is_exported(model) or (is_import(model) and not os.path.exists(model))):
        return _imported(_origin(model, inputs, overrides), cache, tracer)
    if not isinstance(model, str | Config | Network):
        raise wrong_type("model", model, ACCEPTED)
    chosen = {key: getattr(overrides, key) for key in overrides.__struct_fields__ if key not in _OF_IMPORTED}
    if chosen["size"] is not None:
        chosen["size"] = parse_size(chosen["size"])
    if inputs is not None:
        _check_alone(overrides)
        chosen["inputs"] = _one_shape(inputs, _name_of(model))
    network = specified(model, standard_input, **chosen)
    if overrides.arguments:
        raise InputError(f"args are for imported models, and {_name_of(model)} is none: leave them out")
    return Resolved(network)


def _name_of(model: "str | Config | Network") -> str:
    return model if isinstance(model, str) else model.name


def _module(model: object) -> "nn.Module | None":
    """The model if it is a module; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(model, type) and issubclass(model, torch.nn.Module):
        raise TypeError(f"model {model.__name__} is a class: make a module of it first, such as {model.__name__}()")
    return model if isinstance(model, torch.nn.Module) else None


def _one_shape(inputs: Any, name: str) -> Shape:
    """`inputs` as the one shape that a network which is built takes."""
    if isinstance(inputs, InputsFrom):
        raise InputError(f"{name} takes one image, and no function makes it: give its shape")
    specs = _tensor_specs(inputs)
    if len(specs) != 1 or specs[0].name is not None:
        raise InputError(f"{name} takes one image: give one shape, without a name")
    if specs[0].dtype not in (None, "float32"):
        raise InputError(
            f"{name} takes an image of its weights' dtype: leave out {specs[0].dtype} there, dtype changes both"
        )
    return specs[0].shape


def _tensor_specs(inputs: Any) -> tuple[TensorSpec, ...]:
    """What an imported model is called with: shapes, texts such as "1x77:int64", tensors, a list or a dict of these."""
    if isinstance(inputs, dict):
        return tuple(msgspec.structs.replace(_tensor_spec(one), name=name) for name, one in inputs.items())
    several = isinstance(inputs, list | tuple) and not all(type(number) is int for number in inputs)
    return tuple(map(_tensor_spec, inputs)) if several else (_tensor_spec(inputs),)


def _tensor_spec(value: Any) -> TensorSpec:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return TensorSpec(tuple(value.shape), str(value.dtype).removeprefix("torch."))
    if isinstance(value, TensorSpec):
        return value
    return tensor_spec(value) if isinstance(value, str) else TensorSpec(parse_shape(value))


def _check_alone(overrides: Overrides) -> None:
    """Raise `InputError` for parts of a shape beside the whole of it."""
    if (overrides.size, overrides.in_channels, overrides.batch) != (None, None, None):
        raise InputError("inputs gives the whole shape: leave out size, in_channels and batch")


def _imported_shape(name: str, inputs: Any, overrides: Overrides) -> Shape:
    """The shape for a module, with `OWN` where its own is meant."""
    for option in ("classes", "batch_norm", "activation", "bias"):
        if getattr(overrides, option) is not None:
            raise InputError(f"{name} is used as it is: {option} cannot change it, its own arguments may")
    if inputs is not None:
        _check_alone(overrides)
        return _tensor_specs(inputs)[0].shape
    size = parse_size(overrides.size) if overrides.size is not None else None
    sizes = size if isinstance(size, tuple) else (size,) * (overrides.dims or 2)
    numbers = {"batch": overrides.batch, "in_channels": overrides.in_channels}
    numbers |= dict(zip(AXIS_NAMES[len(sizes)], sizes, strict=True))
    for what, number in numbers.items():
        if number is not None:
            check_number(what, number)
    return tuple(OWN if number is None else number for number in numbers.values())


def _imported(origin: Origin, cache: bool, tracer: "Tracer | None") -> Resolved:
    from vggcalc.measurement.trace import trace

    network = trace(origin, use_cache=cache) if tracer is None else tracer.trace(origin)
    return Resolved(network, msgspec.structs.replace(origin, input_shape=network.input_shape))


def _origin(model: str, inputs: Any, overrides: Overrides) -> Origin:
    """Where an imported model comes from, and what it is called with.

    A worker reads `.pt` files that this process has pickled for it, so what a user names may be none.
    """
    for named in (model.rpartition(":")[0], inputs.source if isinstance(inputs, InputsFrom) else ""):
        if named.endswith(".pt"):
            raise InputError(f"{named} is a pickle, whose code would run: give the Python file or the package instead")
    arguments, formulas = dict(overrides.arguments or {}), os.fspath(overrides.formulas or "")
    if isinstance(inputs, InputsFrom):
        return Origin(model, (), arguments, inputs_from=inputs.source, formulas=formulas)
    specs = () if inputs is None else _tensor_specs(inputs)
    if len(specs) == 1 and specs[0] == TensorSpec(specs[0].shape):  # one image, as every model takes it
        specs = ()
    shape = _imported_shape(model, inputs, overrides)
    return Origin(model, shape, arguments, inputs=specs, formulas=formulas)


def _of_module(module: "nn.Module", inputs: Any, overrides: Overrides) -> Resolved:
    from vggcalc.runtime.load.errors import in_one_line
    from vggcalc.runtime.load.preparing import lazy_tensor, unwrapped
    from vggcalc.runtime.trace.formulas import FormulaTypeError
    from vggcalc.runtime.trace.tracer import trace

    compiling = getattr(module, "dynamo_ctx", None)
    module = unwrapped(module)
    name = type(module).__name__
    if lazy_tensor(module) is not None:
        raise InputError(f"{name} has lazy modules, which have no shapes yet: run it once before")
    if overrides.arguments:
        raise InputError(f"{name} is made already: args cannot change it")
    if overrides.formulas is not None:
        raise InputError(f"{name} is traced in this process: call vggcalc.register_formula instead of formulas")
    usual = _imported_shape(name, None, overrides)
    if inputs is not None:
        _check_alone(overrides)
    arguments = module_arguments(module, inputs, usual)
    try:
        network = trace(module, arguments, name)
    except (InputError, FormulaTypeError):
        raise
    except Exception as error:  # whatever the user's own code raises, which stays its cause
        raise InputError(f"{name} cannot be traced for inputs {arguments.shapes()}: {in_one_line(error)}") from error
    source = f"module {next(_NUMBERS)}:{name}"
    _MODULES[source] = module
    if compiling is not None:
        _COMPILING[source] = compiling
        finalize(module, _COMPILING.pop, source)
    if len(arguments.tensors()) > 1 or arguments.kwargs or arguments.dtypes() != [None]:
        _ARGUMENTS[source] = arguments
        finalize(module, _ARGUMENTS.pop, source)
    return Resolved(network, Origin(source, network.input_shape))


def module_arguments(module: "nn.Module", inputs: Any, usual: Shape = ()) -> "Arguments":
    """What a module of this process is called with; None is an image of its own size, or of the `usual` shape."""
    from vggcalc.runtime.inputs import arguments_of
    from vggcalc.runtime.load.load import own_shape

    if inputs is None:
        return arguments_of(own_shape(module, usual))
    return arguments_of(tensor_spec(inputs) if isinstance(inputs, str) else inputs)


def module_of(origin: Origin) -> "nn.Module | None":
    """The module of this process that an origin stands for, compiled if it was; None if there is none any more."""
    module = _MODULES.get(origin.source)
    compiling = _COMPILING.get(origin.source)
    return module if module is None or compiling is None else compiling(module)


def arguments_for(origin: Origin) -> "Arguments | None":
    """What a module of this process is called with, None where it is one image of the origin's shape."""
    return _ARGUMENTS.get(origin.source)


def is_of_this_process(origin: Origin | None) -> bool:
    """Whether the origin is an `nn.Module` of this process, not a name that can be imported again."""
    return origin is not None and origin.where.startswith("module ")
