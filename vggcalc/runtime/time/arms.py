"""Modules ready to be timed: on their device, in their dtype, with weights and an image."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from vggcalc.nets.layers import Shape
from vggcalc.protocol import Subject
from vggcalc.results import Configuration
from vggcalc.runtime.build import build
from vggcalc.runtime.inputs import random_values
from vggcalc.runtime.load.load import call_arguments, loaded
from vggcalc.runtime.time.devices import Device, DeviceUnavailable
from vggcalc.runtime.trace.nested import output_tensors

TORCH_MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

#: The same for feature maps of three axes.
_IN_3D = {torch.contiguous_format: torch.contiguous_format, torch.channels_last: torch.channels_last_3d}


def laid_out(tensor: torch.Tensor, memory_format: torch.memory_format) -> torch.Tensor:
    """A tensor of two or three spatial axes in that memory format; another as it is."""
    if tensor.dim() not in (4, 5):
        return tensor
    return tensor.contiguous(memory_format=memory_format if tensor.dim() == 4 else _IN_3D[memory_format])


_NOISE = 2**20


class Built(msgspec.Struct, frozen=True):
    """One call of a module in a configuration, and its output's shape.

    `eager` is the call that a graph was recorded from, and otherwise the call itself: a graph's
    replay allocates nothing, so the allocator's peak is that of `eager`. `image_bytes` is the size
    of the input, which stays allocated throughout.
    """

    call: Callable[[], object]
    eager: Callable[[], object]
    output_shape: Shape
    image_bytes: int
    compile_s: float | None = None


def context(configuration: Configuration) -> AbstractContextManager[object]:
    """The context in which calls of that mode run."""
    return nullcontext() if configuration.mode == "training" else torch.inference_mode()


def fill(module: nn.Module, noise: torch.Tensor) -> None:
    """Fill the weights with `noise` · 1/√fan-in, repeated: as good to time as torch's initialization, and faster."""
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.reset_parameters()
        elif isinstance(part, _ConvNd | nn.Linear):
            bound = part.weight[0].numel() ** -0.5
            for parameter in part.parameters(recurse=False):
                for piece in parameter.data.view(-1).split(len(noise)):
                    piece.copy_(noise[: len(piece)])
                parameter.data.mul_(bound)


def prepare(subject: Subject, configuration: Configuration, where: Device, seed: int) -> Built:
    """Build a network and an image, and run it once. Raises `DeviceUnavailable`, or what torch raises.

    A network is built without torch's slow initialization; an imported module is as its code makes it.

    In training a call is forward and backward of the sum of the output, without an optimizer.
    """
    dtype = getattr(torch, configuration.dtype)
    memory_format = TORCH_MEMORY_FORMATS[configuration.memory_format]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(_NOISE, generator=generator) * 2 - 1
    network = subject.network
    compiling = None
    if subject.origin is not None:
        module, compiling, _ = loaded(subject.origin)
        module = module.to(where.name, dtype)
    else:
        with torch.device("meta"):
            module = build(network).to(dtype)
        module = module.to_empty(device=where.name)
        fill(module, noise.to(where.name, dtype))
    for part in (*module.parameters(), *module.buffers()):
        part.data = laid_out(part.data, memory_format)
    training = configuration.mode == "training"
    module.train(training)
    draw = random_values(module, generator)

    def tensor(shape: Shape, of: torch.dtype) -> torch.Tensor:
        drawn = draw(shape, of).to(where.name, dtype if of.is_floating_point else of)
        return laid_out(drawn, memory_format)

    inputs = call_arguments(module, subject.origin, network).with_tensors(tensor, torch.float32)
    run: Callable[..., Any] = module
    if configuration.execution == "compiled" or compiling is not None:
        run = _compiled(module, configuration, compiling)

    def infer() -> torch.Tensor:
        return first_tensor(run(*inputs.args, **inputs.kwargs))

    def train() -> torch.Tensor:
        module.zero_grad(set_to_none=True)
        output = first_tensor(run(*inputs.args, **inputs.kwargs))
        output.sum().backward()
        return output

    call = train if training else infer
    start = where.clock()
    output = call()
    first_s = where.clock() - start
    if not torch.isfinite(output).all():
        raise ValueError(f"the output of {network.name} is not finite in {configuration.dtype}")
    shape = tuple(output.shape)
    del output
    timed = where.graph(call) if configuration.execution == "graph" else call
    compile_s = first_s if run is not module else None
    return Built(timed, call, shape, sum(one.nbytes for one in inputs.tensors()), compile_s)


def first_tensor(output: object) -> torch.Tensor:
    """The module's output, or the first tensor in it."""
    found = next(output_tensors(output), None)
    if found is None:
        raise ValueError(f"the module puts out no tensor, but {type(output).__name__}")
    return found


def _compiled(
    module: nn.Module, configuration: Configuration, compiling: Callable[[nn.Module], Callable[..., Any]] | None
) -> Callable[..., Any]:
    """The module compiled, as its owner has done it where he has."""
    if configuration.device == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        raise DeviceUnavailable("torch.compile needs a C++ compiler, such as g++, and finds none")
    # All Sequentials share one code object, and beyond its limit of versions dynamo would go on
    # eagerly without a word; a whole graph or an error, and for this shape alone.
    torch._dynamo.config.recompile_limit = 1000
    if compiling is not None:
        return compiling(module)
    compiled: Callable[..., Any] = torch.compile(module, fullgraph=True, dynamic=False)
    return compiled
