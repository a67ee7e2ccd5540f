"""From any `nn.Module` to a `Network`, without a weight and without computing a forward pass.

The module runs once on the meta device, where tensors have shapes and no values, under a `TorchDispatchMode` that
sees every operator as it runs: functional calls, shared modules and control flow too. Rules in `operators` say what
layer each is, `recorder` writes them down, `naming` makes nodes of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vggcalc.errors import InputError
from vggcalc.nets.graph import Network
from vggcalc.runtime.trace.formulas import FormulaTypeError
from vggcalc.runtime.trace.recorder import Recorder

Shaped = Sequence[int] | torch.Tensor


class TraceError(InputError):
    """A module raised while it ran on the meta device; its own exception is the cause."""


def trace(module: nn.Module, inputs: Shaped | Sequence[Shaped] = (1, 3, 224, 224), name: str | None = None) -> Network:
    """The network that `module` is for these inputs, in inference, as it would run after `module.eval()`.

    Nodes have the names of the modules that run them, followed by the operator's name where a module runs several.
    Weights are not read, so they may lie on any device, the meta device included; the module is left as it was.

    Args:
        module: any `torch.nn.Module`.
        inputs: a shape, (batch, channels, height, width), of the dtype of the module's weights; or an example tensor,
            of which shape and dtype are used; or a list of these, one for each argument of `forward`. The first
            is the network's input, to which receptive fields refer.
        name: the network's; that of the module's class unless given.

    Raises:
        TypeError: `module` is no module, or `inputs` neither a shape nor a tensor nor a list of these.
        InputError: the module cannot run for these inputs (`TraceError`, in a line that names the submodule that
            raised), or its output does not depend on the input.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, not {type(module).__name__}")
    modules = dict(module.named_modules())
    state = {key: torch.empty_like(tensor, device="meta") for key, tensor in _state(module).items()}
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    recorder = Recorder(modules, {key for key, _ in module.named_parameters()}, state)
    name = name or type(module).__name__
    examples = [_on_meta(example, dtype) for example in _each_input(inputs)]
    with _as_in_inference(module), _reporting_modules(modules, recorder), torch.device("meta"), torch.inference_mode():
        # Made anew: a tensor that was made outside of inference mode is copied there by every view of it.
        tensors = [torch.empty_like(example) for example in examples]
        recorder.begin(tensors)
        try:
            with recorder:
                output = torch.func.functional_call(module, state, tuple(tensors))
        except (InputError, FormulaTypeError):
            raise
        except Exception as error:
            raise _not_traced(error, name, recorder, tensors) from error
    return recorder.network(name, output)


def _each_input(inputs: object) -> list[object]:
    """The inputs one by one. Raises `TypeError`."""
    if isinstance(inputs, torch.Tensor) or _is_shape(inputs):
        return [inputs]
    if isinstance(inputs, list | tuple) and inputs:
        for one in inputs:
            if not (isinstance(one, torch.Tensor) or _is_shape(one)):
                raise _wrong_inputs(one)
        return list(inputs)
    raise _wrong_inputs(inputs)


def _is_shape(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(type(number) is int for number in value)


def _wrong_inputs(value: object) -> TypeError:
    kind = type(value).__name__
    return TypeError(
        "inputs must be a shape such as (1, 3, 224, 224), a tensor, or a list of these for several arguments, not "
        + (f"{value!r}" if isinstance(value, int | float | str | list | tuple) else kind)
    )


def _on_meta(example: Any, dtype: torch.dtype) -> torch.Tensor:
    if isinstance(example, torch.Tensor):
        return torch.empty(example.shape, dtype=example.dtype, device="meta")
    if any(number < 1 for number in example):
        raise InputError(f"inputs {tuple(example)} is no shape: every number must be at least 1")
    return torch.empty(tuple(example), dtype=dtype, device="meta")


def _not_traced(error: Exception, name: str, recorder: Recorder, tensors: list[torch.Tensor]) -> TraceError:
    """What a module raised, in one line with the innermost module that was running."""
    path, kind = recorder.raised_in or ("", name)
    where = f"{path} ({kind})" if path else kind
    shapes = " and ".join(str(tuple(tensor.shape)) for tensor in tensors)
    what = " ".join(str(error).split()) or "no message"
    return TraceError(f"{name} cannot be traced for inputs {shapes}: {where} raised {type(error).__name__}: {what}")


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
            recorder.leave(output)

        handles += [
            part.register_forward_pre_hook(enter, with_kwargs=True),
            part.register_forward_hook(leave, always_call=True),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
