"""From any `nn.Module` to a `Network`: it runs once, and every operator is written down as it runs.

It runs under a `TorchDispatchMode`, which sees functional calls, shared modules and control flow too. Rules in
`operators` say what layer each operator is, `recorder` writes them down, `naming` makes nodes of them. Three ways are
tried in turn: tensors of the meta device, which have shapes and no values; fake tensors, which also know the values of
small constants and mix with tensors of the CPU; and at last the module itself with random input, since some code looks
at values.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import msgspec
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from vggcalc.errors import InputError
from vggcalc.memory import free_bytes
from vggcalc.nets.graph import Network, Tracing
from vggcalc.nets.layers import Shape
from vggcalc.nets.names import ITEMSIZE
from vggcalc.runtime.inputs import Arguments, arguments_of, own_dtype, seeded
from vggcalc.runtime.trace.formulas import FormulaTypeError
from vggcalc.runtime.trace.misfits import said_to_fit, wants_and_got
from vggcalc.runtime.trace.nested import exhausted
from vggcalc.runtime.trace.recorder import Recorder
from vggcalc.runtime.trace.ways import Way, fake, on_meta, real


class TraceError(InputError):
    """A module raised while it was traced; its own exception is the cause.

    `misfit` says which layer wanted what of its input, where that is why; `fits` is a shape that it takes.
    """

    def __init__(self, text: str, misfit: str = "", fits: Shape = ()) -> None:
        super().__init__(text)
        self.misfit, self.fits = misfit, fits

    def fitting(self, shape: Shape) -> "TraceError":
        """The same with a shape that would be right."""
        found = TraceError(f"{self}{said_to_fit(shape)}", self.misfit, shape)
        found.__cause__ = self.__cause__
        return found


def trace(
    module: nn.Module,
    inputs: Any = (1, 3, 224, 224),
    name: str | None = None,
    with_weights: Callable[[], nn.Module] | None = None,
) -> Network:
    """The network that `module` is for these inputs, in inference, as it would run after `module.eval()`.

    Nodes have the names of the modules that run them, followed by the operator's name where a module runs several.
    Weights are not read unless the module's code cannot run without values; the module is left as it was.

    Args:
        module: any `torch.nn.Module`, its weights on any device.
        inputs: a shape, (batch, channels, height, width), of the dtype of the module's weights; or an example tensor,
            of which shape and dtype are used, and its values where the module's code looks at values; or a list of
            these, one for each argument of `forward`; or a dict of them by the arguments' names. Lists and dicts may
            be nested. The first is the network's input, to which receptive fields refer.
        name: the network's; that of the module's class unless given.
        with_weights: makes the module again with its weights, where `module` has them on the meta device.

    Raises:
        TypeError: `module` is no module, or `inputs` is none of these.
        InputError: the module cannot run for these inputs (`TraceError`, in a line that names the submodule that
            raised), or its output does not depend on the input.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, not {type(module).__name__}")
    arguments = arguments_of(inputs)
    name = name or type(module).__name__
    try:
        return _traced(module, arguments, name, with_weights)
    except TraceError as error:
        if _EMBEDDED not in str(error) or None not in arguments.dtypes():
            fits = _fitting(module, arguments, name, with_weights)
            raise (error.fitting(fits) if fits else error) from error.__cause__
    network = _traced(module, arguments.of_integers(), name, with_weights)
    assert network.tracing is not None
    return msgspec.structs.replace(network, tracing=msgspec.structs.replace(network.tracing, integer_inputs=True))


def _fitting(module: nn.Module, arguments: Arguments, name: str, with_weights: Callable[[], nn.Module] | None) -> Shape:
    """A shape that the module takes, where the only one that was given lacks its batch or has its channels last."""
    if arguments.dtypes() != [None] or arguments.kwargs:
        return ()
    (shape,) = arguments.shapes()
    others = [(1, *shape)] + [(shape[0], shape[-1], *shape[1:-1])] * (len(shape) > 3)
    for other in others:
        try:
            _traced(module, arguments_of(other), name, with_weights)
        except (InputError, FormulaTypeError):
            continue
        return other
    return ()


#: Of what torch says of floating-point numbers where an embedding takes the numbers of its rows.
_EMBEDDED = "argument #1 'indices'"


def _traced(
    module: nn.Module, arguments: Arguments, name: str, with_weights: Callable[[], nn.Module] | None
) -> Network:
    """The network in the first way that shows it. Raises the last way's `TraceError`."""
    raised: list[TraceError] = []
    for way in (on_meta, fake, real):
        if way is real:
            if len({str(error) for error in raised}) == 1:  # with values it would be no other: the inputs do not fit
                break
            state = _state(module).values()
            if any(tensor.is_meta for tensor in state):
                need, free = sum(tensor.nbytes for tensor in state), free_bytes()
                if with_weights is None or (free is not None and need > free):
                    break
                module = with_weights()
        try:
            return _traced_by(way(module), module, arguments, name)
        except TraceError as error:
            raised.append(error)
    raise raised[-1]


def _traced_by(way: Way, module: nn.Module, arguments: Arguments, name: str) -> Network:
    """The network as one way shows it. Raises `TraceError`."""
    modules, dtype = dict(module.named_modules()), own_dtype(module)
    trainable = {key: parameter.requires_grad for key, parameter in module.named_parameters()}
    with way.device:
        state = {key: way.state(tensor) for key, tensor in _state(module).items()}
    recorder = Recorder(modules, trainable, state, dtype, way.name != "values")
    with (
        _rarely_collecting() if way.name != "values" else nullcontext(),
        _as_in_inference(module),
        _reporting_modules(modules, recorder),
        way.device,
        torch.inference_mode(),
        torch.enable_grad(),  # which records nothing there: so that what the module itself sets is seen
        recorder.autograd.followed(),
        seeded() if way.name == "values" else nullcontext(),
    ):
        # Made within: a tensor that was made outside of inference mode is copied there by every view of it.
        if way.name == "values":
            call = arguments.with_values(way.make, dtype, torch.device("cpu"))
        else:
            call = arguments.with_tensors(way.make, dtype)
        tensors = call.tensors()
        recorder.begin(tensors)
        try:
            with recorder, _Leaving(recorder) if way.name == "values" else nullcontext():
                whole = {f"module.{key}": tensor for key, tensor in state.items()}
                output = torch.func.functional_call(_ToItsEnd(module), whole, call.args, call.kwargs)
        except (InputError, FormulaTypeError):
            raise
        except Exception as error:
            raise _not_traced(error, name, recorder, arguments) from error
        network = recorder.network(name, output)
    dtype_name = str(dtype).removeprefix("torch.")
    dtype_name = dtype_name if dtype_name in ITEMSIZE else "float32"
    tracing = Tracing(way.name, recorder.depends_on_values, dtype=dtype_name, itemsize=recorder.itemsize(tensors[0]))
    return msgspec.structs.replace(network, tracing=tracing)


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Within it Python looks for cycles of garbage rarely: what a trace records lives on, and would be looked at."""
    thresholds = gc.get_threshold()
    gc.set_threshold(thresholds[0] and max(thresholds[0], 100_000), *thresholds[1:])  # 0 is never, which it stays
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


class _ToItsEnd(nn.Module):
    """Runs a module, and what it puts out to its end where that is a generator."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return exhausted(self.module(*args, **kwargs))


class _Leaving(TorchFunctionMode):
    """Tells the recorder which tensors become arrays or lists of numbers, which torch's dispatcher does not see."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.tolist):
            self._recorder.leaves_torch(args[0], func is not torch.Tensor.tolist)
        return func(*args, **(kwargs or {}))


def _not_traced(error: Exception, name: str, recorder: Recorder, arguments: Arguments) -> TraceError:
    """What a module raised, or what it wanted of its input, in one line with the innermost module that was running."""
    path, module, shape = recorder.raised_in or ("", None, ())
    kind = name if module is None else type(module).__name__
    what = " ".join(str(error).split()) or "no message"
    wanted = wants_and_got(module, shape, what)
    if wanted:
        inputs = " and ".join("×".join(map(str, shape)) for shape in arguments.shapes())
        misfit = f"{f'layer {path}: ' * bool(path)}{kind} wants {wanted} from input {inputs}"
        return TraceError(f"{name} cannot be traced: {misfit}", misfit)
    where = f"{path} ({kind})" if path else kind
    inputs = " and ".join(map(str, arguments.shapes()))
    return TraceError(f"{name} cannot be traced for inputs {inputs}: {where} raised {type(error).__name__}: {what}")


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, each tensor once."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@contextmanager
def _as_in_inference(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within, and attention as its parts, not as the one fused operator of inference.

    Attributes that the module sets while it runs are removed again: they would be tensors of the meta device.
    """
    parts = [(part, dict(vars(part)), {key: dict(vars(part)[key]) for key in _REGISTERED}) for part in module.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    if any(part.training for part, *_ in parts):
        module.eval()
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part, attributes, registered in parts:
            vars(part).clear()
            vars(part).update(attributes)
            for key, before in registered.items():
                vars(part)[key].clear()
                vars(part)[key].update(before)


#: The attributes in which a module holds what is registered in it.
_REGISTERED = ("_parameters", "_buffers", "_modules")


@contextmanager
def _reporting_modules(modules: dict[str, nn.Module], recorder: Recorder) -> Iterator[None]:
    """Within it the recorder knows which module runs.

    Not torch's own ModuleTracker, which has a set of the modules that run: neither which is innermost nor which call
    of a module it is, one name for a module that stands in two places, and no arguments nor outputs.
    """
    handles = []
    for path, part in modules.items():

        def enter(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], path: str = path) -> None:
            recorder.enter(path, part, args, kwargs)

        def leave(part: nn.Module, arguments: object, output: object) -> None:
            recorder.leave(arguments, output)

        handles += [
            part.register_forward_pre_hook(enter, with_kwargs=True),
            part.register_forward_hook(leave, always_call=True),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
