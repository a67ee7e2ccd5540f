"""From a module as it is given to one that can be traced."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from vggcalc.errors import InputError
from vggcalc.runtime.inputs import Arguments
from vggcalc.runtime.load.factories import existing_file


def unwrapped(module: nn.Module) -> nn.Module:
    """The module itself, without what runs it on several devices or compiles it. Raises `InputError`.

    Refused is what no trace can run, with what would be right.
    """
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):  # of torch.compile
            module = inner
        else:
            break
    for path, part in module.named_modules():
        where = f"{path} ({type(part).__name__})" if path else type(part).__name__
        if isinstance(part, torch.jit.ScriptModule):
            raise InputError(f"{where} is a ScriptModule, which has no Python: give the nn.Module that it was made of")
        if type(part).__module__.startswith(_QUANTIZED) and type(part).__name__ not in _OF_FLOATS:
            raise InputError(
                f"{where} is quantized, and its kernels need values: give the module before its conversion, "
                "which does as many MACs"
            )
    if "eval" in vars(module):  # torch.export replaces it with one that raises
        raise InputError(
            f"{type(module).__name__} is a program's flat graph: give torch.export.unflatten(program), or its .pt2 file"
        )
    return module


#: Where torch's modules with integer weights are defined; those that only pretend, for training, are elsewhere.
_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")

#: What is there too and computes with floating-point numbers, in models that can be quantized later.
_OF_FLOATS = ("FloatFunctional", "FXFloatFunctional")


def lazy_tensor(module: nn.Module) -> torch.Tensor | None:
    """A parameter or buffer that has no shape yet, if there is one."""
    held = (tensor for part in module.modules() for tensor in (*part._parameters.values(), *part._buffers.values()))
    return next((tensor for tensor in held if tensor is not None and is_lazy(tensor)), None)


def give_shapes(module: nn.Module, arguments: Arguments) -> None:
    """Run a module that has lazy parts once for these inputs, which gives them their shapes."""
    lazy = lazy_tensor(module)
    if lazy is None:
        return
    training = {part: part.training for part in module.modules()}
    module.eval()
    call = arguments.with_tensors(lambda shape, dtype: torch.zeros(shape, dtype=dtype, device=lazy.device), lazy.dtype)
    with torch.no_grad():
        module(*call.args, **call.kwargs)
    for part, mode in training.items():
        part.training = mode


def exported(path: str, meta: bool) -> nn.Module:
    """The module of a program that `torch.export.save` wrote, with the submodules that it was exported from.

    Its `exported_shape` is that of the input it was exported with.
    """
    program = torch.export.load(existing_file(path))
    if meta:
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, "meta")
    module = torch.export.unflatten(program)
    inputs = program.example_inputs[0] if program.example_inputs else ()
    if inputs and isinstance(inputs[0], torch.Tensor):
        module.exported_shape = tuple(inputs[0].shape)  # type: ignore[assignment]
    return module
