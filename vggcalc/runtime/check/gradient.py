"""Which pixels one unit of a real module sees: those along which its gradient is not zero.

Every weight becomes positive, so that no two paths cancel; every operator that could hide a path,
a maximum or a saturating function, is replaced by one that hides none. The operators are met where
Python calls them, as a module, a function or a method, in place or not.
"""

import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vggcalc.nets.graph import Network
from vggcalc.protocol import GradientExtent, ProbeTarget, Subject
from vggcalc.runtime.build import paths
from vggcalc.runtime.trace.calls import each

#: What looks at one unit alone, or is taken to: activations, norms, and what does nothing in inference.
_POINTWISE = frozenset(
    word
    for words in (
        "celu clamp clamp_max clamp_min clip elu erf gelu hardshrink hardsigmoid hardswish hardtanh",
        "leaky_relu log_sigmoid logsigmoid mish prelu relu relu6 round rrelu selu sigmoid sign silu",
        "softplus softshrink softsign tanh tanhshrink threshold _threshold",
        "batch_norm group_norm instance_norm layer_norm local_response_norm rms_norm",
        "alpha_dropout dropout dropout1d dropout2d dropout3d feature_alpha_dropout feature_dropout",
    )
    for word in words.split()
)


class ProbeError(Exception):
    """No unit could be probed, in one line that says why."""


def gradient_extent(subject: Subject, module: nn.Module, calls: Mapping[str, int]) -> GradientExtent:
    """The first of the subject's targets that is what a submodule puts out, and what its unit sees.

    `calls` is how often each submodule runs. The module is left in float64 with other weights.
    Raises `ProbeError`, or whatever the module's own code raises.
    """
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise ProbeError("torch.jit has compiled it, and what it calls cannot be replaced")
    target, path = first_target(subject, calls)
    traced = subject.network.layout == "traced"
    shape = subject.network.input_shape if traced else (1, *subject.network.input_shape[1:])
    image = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    _make_positive(module.double().eval().requires_grad_(False))
    check_one_input(subject)
    with _Open():
        output = output_of(module, path, lambda: module(image * 1))  # a copy, which may be written to
    gradient = _gradient(output, target, image)
    return GradientExtent(target.layer, target.unit, _extent(gradient))


def first_target(subject: Subject, calls: Mapping[str, int]) -> tuple[ProbeTarget, str]:
    """The first of the subject's targets that is what a submodule puts out, and its path. Raises `ProbeError`."""
    for target in subject.targets:
        path = _module_path(subject.network, target.layer, calls)
        if path is not None:
            return target, path
    raise ProbeError("no layer with a window is what a module that runs once puts out")


def check_one_input(subject: Subject) -> None:
    """Raise `ProbeError` for a module with inputs beside its image."""
    if subject.origin is not None and (len(subject.origin.inputs) > 1 or subject.origin.inputs_from):
        raise ProbeError("it takes several inputs: give a module that takes the image alone and makes the others")


def _module_path(network: Network, layer: str, calls: Mapping[str, int]) -> str | None:
    """The submodule that puts out what the layer does, if there is one that runs once."""
    if network.layout != "traced":
        places = zip(network.nodes, paths(network), strict=True)
        return next(path for node, path in places if node.name == layer)
    node = next(node for node in network.nodes if node.name == layer)
    if node.traced is not None and node.traced.module is not None:
        return node.traced.module if calls.get(node.traced.module) == 1 else None
    path = layer
    while path:
        path = path.rpartition(".")[0]
        if calls.get(path) == 1 and _leaving(network, path) == {layer}:
            return path
    return None


def _leaving(network: Network, path: str) -> set[str]:
    """The nodes that run within a module and are read outside of it: what it puts out."""
    inner = {node.name for node in network.nodes if not path or node.name.startswith(f"{path}.")}
    read = {name for node in network.nodes if node.name not in inner for name in node.inputs}
    return inner & (read | {network.nodes[-1].name})


def _make_positive(module: nn.Module) -> None:
    """Weights of about 1/fan-in, all different, no bias, and scales of 1: activations stay about 1."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        if not parameter.is_floating_point():
            continue
        if name.rpartition(".")[2].endswith("bias"):
            parameter.zero_()
        elif parameter.dim() < 2:
            parameter.fill_(1)
        else:
            fan_in = max(parameter[0].numel(), 1)
            parameter.uniform_(0.5 / fan_in, 1.5 / fan_in, generator=generator)


class _Reached(BaseException):
    """The submodule has put out what was wanted: the rest need not run. No user code catches it."""


def output_of(module: nn.Module, path: str, run: Callable[[], object]) -> Tensor:
    """What the submodule at a path puts out while `run` runs, which goes no further. Raises `ProbeError`."""
    kept: list[object] = []

    def keep(part: nn.Module, arguments: object, output: object) -> None:
        kept.append(output)
        raise _Reached

    handle = module.get_submodule(path).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            run()
    except _Reached:
        pass
    finally:
        handle.remove()
    if not kept or not isinstance(kept[0], Tensor):
        raise ProbeError(f"{path or 'the module'} puts out no tensor")
    return kept[0]


def _gradient(output: Tensor, target: ProbeTarget, image: Tensor) -> Tensor:
    """The image's gradient of one unit, all of its channels together."""
    return gradient_of(output, target, image, lambda n: torch.linspace(0.5, 1.5, n, dtype=output.dtype))


def gradient_of(output: Tensor, target: ProbeTarget, image: Tensor, weigh: Callable[[int], Tensor]) -> Tensor:
    """The image's gradient of the channels of one unit, each with its weight. Raises `ProbeError`."""
    if tuple(output.shape[1:]) != target.shape[1:]:
        raise ProbeError(f"{target.layer} puts out {tuple(output.shape)} here and {target.shape} elsewhere")
    if not output.requires_grad:
        raise ProbeError(f"{target.layer} has no gradient: the model's own code turns gradients off")
    weights = torch.zeros_like(output)
    place: list[int | slice] = [0, *[slice(None)] * (output.dim() - 1)]
    place[target.axis : target.axis + len(target.unit)] = target.unit
    weights[tuple(place)] = weigh(weights[tuple(place)].numel())
    (gradient,) = torch.autograd.grad(output, image, weights)
    if not bool(gradient.isfinite().all()):
        raise ProbeError(f"the gradient of {target.layer} is not finite")
    return gradient


def _extent(gradient: Tensor) -> tuple[tuple[int, int], ...] | None:
    """Along each axis the first and last pixel with a gradient; None if none has one."""
    seen = (gradient != 0).flatten(0, 1).any(0)
    if not bool(seen.any()):
        return None
    places = seen.nonzero()
    return tuple(zip(places.amin(0).tolist(), places.amax(0).tolist(), strict=True))


class _Straight(torch.autograd.Function):
    """Puts out ones and hands the gradient on as it is: whatever is computed stays about 1."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return torch.ones_like(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _Open(TorchFunctionMode):
    """Within it no operator hides a path from the image to its output."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").partition(".")[0].removesuffix("_")
        if name == "_set_grad_enabled":
            return None  # torch.no_grad() in the module's own code
        first = args[0] if args else kwargs.get("input")
        if not isinstance(first, Tensor) or not first.requires_grad:
            return func(*args, **kwargs)
        if name in _CONVOLUTIONS:
            return _positive_convolution(func, dict(zip(_CONVOLUTION, args, strict=False)) | kwargs)
        if name in _POINTWISE:
            return _Straight.apply(first)  # type: ignore[no-untyped-call]
        if name == "detach":
            return first
        result = func(*args, **kwargs)
        largest = result if isinstance(result, Tensor) else result[0] if isinstance(result, tuple) else None
        if largest is None:
            return result
        pool = _MAX_POOL.fullmatch(name)
        if pool is not None:
            axes = int(pool["axes"])
            if pool["adaptive"]:
                mean = getattr(F, f"adaptive_avg_pool{axes}d")(first, tuple(largest.shape[-axes:]))
            else:
                mean = _average_pool(axes, first, largest.shape, dict(zip(_POOL, args, strict=False)) | kwargs)
        elif name in _EXTREMES:
            mean = _mean(first, largest.shape, dict(zip(_REDUCTION, args, strict=False)) | kwargs)
        else:
            return result
        return mean if isinstance(result, Tensor) else type(result)((mean, *result[1:]))


_CONVOLUTIONS = frozenset(("conv1d", "conv2d", "conv3d"))
_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


def _positive_convolution(convolve: Any, arguments: dict[str, Any]) -> Any:
    """A grouped convolution as one of a batch of its groups, all with the first one's weights.

    Torch takes the groups one by one in float64, a hundred times as long for a depthwise convolution.
    """
    groups = arguments.get("groups", 1)
    if groups == 1:
        return convolve(**arguments)
    image, weight = arguments["input"], arguments["weight"]
    batch, channels = image.shape[:2]
    arguments |= {
        "input": image.reshape(batch * groups, channels // groups, *image.shape[2:]),
        "weight": weight[: len(weight) // groups],
        "bias": None,
        "groups": 1,
    }
    output: Tensor = convolve(**arguments)
    return output.reshape(batch, len(weight), *output.shape[2:])


_MAX_POOL = re.compile(r"_?(?P<adaptive>adaptive_)?max_pool(?P<axes>[123])d(_with_indices)?")
_EXTREMES = frozenset(("amax", "amin", "max", "maximum", "min", "minimum"))

#: The arguments of a max pooling and of a maximum, by name and in torch's order.
_REDUCTION = ("input", "dim", "keepdim")
_POOL = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")


def _average_pool(axes: int, tensor: Tensor, shape: torch.Size, arguments: dict[str, Any]) -> Tensor:
    """The mean over each window of a max pooling, which puts out `shape`.

    By a convolution of every channel alone, since no average pooling of torch's is dilated.
    """

    kernel = each(arguments["kernel_size"], axes)
    stride = each(arguments.get("stride") or kernel, axes)
    padding, dilation = each(arguments.get("padding", 0), axes), each(arguments.get("dilation", 1), axes)
    size, output_size = tensor.shape[-axes:], shape[-axes:]
    beside: list[int] = []  # what rounding up looks at beyond the padding is padded too
    for k, s, p, d, n, m in zip(kernel, stride, padding, dilation, size, output_size, strict=True):
        beside = [p, max((m - 1) * s + d * (k - 1) + 1 - n - p, 0), *beside]
    planes = F.pad(tensor.reshape(-1, 1, *size), beside)
    weight = tensor.new_full((1, 1, *kernel), 1 / prod(kernel))
    mean: Tensor = getattr(F, f"conv{axes}d")(planes, weight, None, stride, 0, dilation)
    kept: list[Any] = [..., *map(slice, output_size)]  # of the last stride all that fits
    return mean[tuple(kept)].reshape(shape)


def _mean(tensor: Tensor, shape: torch.Size, arguments: dict[str, Any]) -> Tensor:
    """Of a maximum or minimum: over all, over axes, or of two tensors, a weighted one lest they cancel."""
    other = arguments.get("other", arguments.get("dim"))
    if isinstance(other, Tensor):
        return (tensor + 2 * other) / 3
    if other is None or other == ():
        return tensor.mean().reshape(shape)
    return tensor.mean(other, keepdim=bool(arguments.get("keepdim", False)))
