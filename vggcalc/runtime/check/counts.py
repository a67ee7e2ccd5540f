"""Counting a network again: its built module by torch, by autograd's own hooks, by fvcore and by a gradient."""

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vggcalc.nets.layers import Convolution
from vggcalc.protocol import GradientExtent, Subject, TorchCounts
from vggcalc.runtime.build import build
from vggcalc.runtime.check.gradient import ProbeError, gradient_extent
from vggcalc.runtime.inputs import own_dtype, random_values
from vggcalc.runtime.load.errors import in_one_line
from vggcalc.runtime.load.load import call_arguments, load
from vggcalc.runtime.trace.nested import exhausted


def torch_counts(subject: Subject, run: bool, dtype: str) -> TorchCounts:
    """Parameters, MACs, training FLOPs by torch; with `run` also what needs the real module to run.

    torch counts on the meta device, without weights; it reports FLOPs = 2 × MACs. Its count of
    the weight gradient does not divide by the groups, so grouped networks get none from it.
    fvcore's "flops" are MACs; only those of convolutions and linear layers are taken, since its
    total adds poolings and norms. What a unit of one of the subject's targets sees is looked at
    last, since that leaves the module with other weights.
    """
    traced = subject.origin is not None
    # A module that needed values or a device when it was traced needs them here too.
    tracing = subject.network.tracing
    where = "meta" if tracing is None or tracing.ran_with == "meta" else "cpu"
    with torch.device(where):
        module = load(subject.origin, meta=where == "meta") if subject.origin else build(subject.network)
        # One that lives in the user's own code is not ours to change.
        alive = traced and not all(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))
        module = (copy.deepcopy(module) if alive else module).to(where)
    arguments = call_arguments(module, subject.origin, subject.network)
    draw = random_values(module, torch.Generator().manual_seed(0))
    if where == "meta":
        inputs = arguments.with_tensors(
            lambda shape, dtype: torch.empty(shape, dtype=dtype, device="meta"), own_dtype(module)
        )
    else:
        inputs = arguments.with_values(draw, own_dtype(module), torch.device(where))
    module.requires_grad_(False)  # else torch's module tracker wants gradients in inference
    torch.backends.mha.set_fastpath_enabled(False)  # torch counts attention in its parts, and not as one operator
    with (
        sdpa_kernel(SDPBackend.MATH),
        calls_of(module) as calls,
        FlopCounterMode(display=False) as forward,
        torch.inference_mode(),
    ):
        exhausted(module.eval()(*inputs.args, **inputs.kwargs))
    module.requires_grad_(True)
    training_flops = None
    if not traced and all(
        node.layer.groups == 1 for node in subject.network.nodes if isinstance(node.layer, Convolution)
    ):
        with FlopCounterMode(display=False) as training:
            module.train()(*inputs.args, **inputs.kwargs).sum().backward()
        training_flops = training.get_total_flops()
    kept = macs = activations = seen = unprobed = refused = real = None
    uncounted: dict[str, int] = {}
    if run or subject.targets:
        real = load(subject.origin) if subject.origin else build(subject.network)
        real = copy.deepcopy(real) if alive else real
    if run and real is not None:
        image = torch.zeros(subject.network.input_shape)
        try:
            if inputs.kwargs:
                raise TypeError("fvcore takes no arguments by name")
            called = arguments.with_values(draw, own_dtype(real), torch.device("cpu"))
            macs, activations, uncounted = _fvcore(real.eval(), called.args)
        except Exception as error:
            if not traced:  # fvcore's own tracer may refuse what ours takes
                raise
            refused = in_one_line(error)
        as_asked = getattr(torch, dtype)
        with suppress(RuntimeError):  # torch has not every operator in every dtype
            kept = None if traced else saved_by_autograd(real.to(as_asked).train(), image.to(as_asked))
    if subject.targets and real is not None:
        seen, unprobed = _seen(subject, real, calls)
    return TorchCounts(
        subject.name,
        sum(parameter.numel() for parameter in module.parameters()),
        forward.get_total_flops() // 2,
        training_flops,
        kept,
        macs,
        activations,
        uncounted,
        seen,
        unprobed,
        refused,
        subject.comparison,
    )


@contextmanager
def calls_of(module: nn.Module) -> Iterator[Counter[str]]:
    """How often each submodule runs within, by its path."""
    calls: Counter[str] = Counter()
    handles = []
    for path, part in module.named_modules():

        def ran(part: nn.Module, arguments: object, output: object, path: str = path) -> None:
            calls[path] += 1

        handles.append(part.register_forward_hook(ran))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _seen(subject: Subject, real: nn.Module, calls: Counter[str]) -> tuple[GradientExtent | None, str | None]:
    """What the gradient shows, or why it shows nothing: no failure of the probe costs the counts."""
    try:
        return gradient_extent(subject, real, calls), None
    except ProbeError as error:
        return None, str(error)
    except Exception as error:  # whatever a module raises when it runs in float64, with other operators
        return None, in_one_line(error)


def saved_by_autograd(module: nn.Module, image: torch.Tensor) -> int:
    """Bytes of the tensors that autograd keeps for the backward pass, parameters and buffers left out.

    Each storage once, whatever views of it are kept.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice

    def pack(tensor: torch.Tensor) -> None:  # there is no backward pass, and a tensor would keep itself alive
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda nothing: nothing):
        module(image)
    return sum(storage.nbytes() for storage in kept.values())


def _fvcore(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[int, int, dict[str, int]]:
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

    with torch.no_grad():
        flops = FlopCountAnalysis(module, inputs).unsupported_ops_warnings(False)
        by_operator = flops.by_operator()
        uncounted = {name: int(number) for name, number in flops.unsupported_ops().items()}
        activations = ActivationCountAnalysis(module, inputs).unsupported_ops_warnings(False).total()
    return int(by_operator["conv"] + by_operator["linear"]), int(activations), uncounted
