"""A linear stack as the one convolution that it is.

Without activations every layer is an affine map that slides, and so is the whole stack.
"""

from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from vggcalc.errors import InputError
from vggcalc.nets.graph import INPUT
from vggcalc.nets.layers import Axes
from vggcalc.runtime.build import Graph, Sum
from vggcalc.runtime.fuse.affine import Affine, Axis, added, scaling, then
from vggcalc.runtime.padded import PADDED, PaddedConv1d, PaddedConv2d, PaddedConv3d, sides_of
from vggcalc.runtime.trace.calls import each


class _Fused(nn.Module):
    """A convolution that stands for a linear stack.

    `border` has a number for each spatial axis: at most so many output positions from each edge differ from the
    stack's, which pads zeros where this kernel meets products of real positions, or a bias. All 0: none does.
    """

    border: Axes

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, border={self.border}"


class FusedConv1d(_Fused, PaddedConv1d):
    """A `Conv1d` that stands for a linear stack, but for the positions in its `border`."""


class FusedConv2d(_Fused, PaddedConv2d):
    """A `Conv2d` that stands for a linear stack, but for the positions in its `border`."""


class FusedConv3d(_Fused, PaddedConv3d):
    """A `Conv3d` that stands for a linear stack, but for the positions in its `border`."""


_Kind = TypeVar("_Kind", bound=nn.Module)

FusedConv = FusedConv1d | FusedConv2d | FusedConv3d

_FUSED: tuple[type[FusedConv], ...] = (FusedConv1d, FusedConv2d, FusedConv3d)


def fuse(stack: nn.Module) -> FusedConv:
    """The one convolution that a linear stack is in inference, with its batch norms folded in.

    Takes `Conv1d` to `Conv3d`, batch norms with running statistics, `Identity` and dropout, in `Sequential`s
    and in the `Graph`s of `build`, whose branches may be added. It is composed in float64 on the CPU;
    its parameters are new ones, with the dtype and the device of the stack, whose mode it takes. Its
    groups are as many as leave apart what no layer mixes; it has a bias where any layer has one.

    It equals the stack at all output positions but those of its `border`, which is all 0 where only
    the first layer pads. Raises `InputError` that names the submodule which cannot be fused.
    """
    layers = list(_leaves(stack, ""))
    for module, path in layers:
        if not _is_fused(module):
            raise InputError(_why_not(module, path))
    for path, module in stack.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise InputError(f"{_called(path)} has hooks, which may change what it does: remove them first")
    first = next((one for one, _ in layers if isinstance(one, (*CONV_MODULES, *NORM_MODULES))), None)
    if first is None:
        raise InputError("the stack has no convolution: there is nothing to fuse")
    place = next(tensor for tensor in (*first.parameters(), *first.buffers()))
    if not place.is_floating_point():
        raise InputError(f"the weights are {str(place.dtype).partition('.')[2]}: only real floats are fused")
    channels = int(first.in_channels if isinstance(first, CONV_MODULES) else first.num_features)
    with torch.no_grad():
        one = _through(stack, "", scaling(spatial_axes(first), exactly(place.new_ones(channels))))
    return convolution_of(one, place).train(stack.training)


def convolution_of(one: Affine, place: Tensor) -> FusedConv:
    """The convolution that a map is, with the dtype and on the device of `place`."""
    fused = _with_weights(_FUSED[len(one.axes) - 1], one, place)
    fused.border = one.border
    return fused


def plain_convolution_of(one: Affine, place: Tensor) -> nn.Module:
    """The same of torch's own class, unless it pads one side more than the other."""
    plain = CONV_MODULES[len(one.axes) - 1]
    even = all(axis.padding[0] == axis.padding[1] for axis in one.axes)
    return _with_weights(plain if even else PADDED[plain.__name__], one, place)


def _with_weights(kind: type[_Kind], one: Affine, place: Tensor) -> _Kind:
    """A convolution of that class; it is one that pads each side by itself where the map does."""
    kernel, axes = one.kernel, one.axes
    before, after = (tuple(axis.padding[side] for axis in axes) for side in (0, 1))
    made = kind(
        *one.channels,
        tuple(axis.size for axis in axes),
        tuple(axis.stride for axis in axes),
        before if before == after else 0,
        tuple(axis.dilation for axis in axes),
        len(kernel),
        one.bias is not None,
        device="meta",  # which draws no random numbers
    )
    if before != after:
        made.sides = before, after  # type: ignore[assignment]
    made.weight = nn.Parameter(kernel.flatten(0, 1).to(place.device, place.dtype))
    if one.bias is not None:
        made.bias = nn.Parameter(one.bias.to(place.device, place.dtype))
    return made


def exactly(tensor: Tensor) -> Tensor:
    """In float64 on the CPU; one on the meta device has no values and stays there."""
    return tensor.detach().to("meta" if tensor.is_meta else "cpu", torch.float64)


#: The layers that can be fused, by the number of their spatial axes.
CONV_MODULES = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORM_MODULES = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def spatial_axes(layer: nn.Module) -> int:
    """How many spatial axes a convolution or batch norm has."""
    return next(
        n for n, kinds in enumerate(zip(CONV_MODULES, NORM_MODULES, strict=True), 1) if isinstance(layer, kinds)
    )


#: What they are called by.
_METHODS = ("forward", "_conv_forward")


def behaves_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether it does what that kind does: a subclass may do otherwise, and a lazy one nothing yet."""
    return (
        isinstance(module, kind)
        and not isinstance(module, LazyModuleMixin)
        and all(getattr(type(module), name, None) is getattr(kind, name, None) for name in _METHODS)
    )


def _is_fused(module: nn.Module) -> bool:
    """Whether it is a layer that can be fused."""
    kinds = (*CONV_MODULES, *PADDED.values(), *NORM_MODULES, nn.Identity, Sum)
    return any(behaves_as(module, kind) for kind in kinds) or type(module).__module__ == "torch.nn.modules.dropout"


def _is_container(module: nn.Module) -> bool:
    return behaves_as(module, Graph) or behaves_as(module, nn.Sequential)


def _parts(module: nn.Module, path: str) -> Iterator[tuple[nn.Module, str]]:
    """What a container runs, in order, each with its path."""
    if isinstance(module, Graph):
        named = [(name, find(module)) for find, _, name, _ in module._steps]
    else:
        named = [(name, part) for name, part in module._modules.items() if part is not None]
    for name, part in named:
        yield part, f"{path}.{name}".lstrip(".")


def _leaves(module: nn.Module, path: str) -> Iterator[tuple[nn.Module, str]]:
    """All that runs and is no container, in order, each with its path."""
    if not _is_container(module):
        yield module, path
        return
    for part, name in _parts(module, path):
        yield from _leaves(part, name)


def _called(path: str) -> str:
    return path or "the stack"


#: Modules of torch.nn that are no linear maps, beside the activations.
_NONLINEAR = (
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.RMSNorm,
)


def _why_not(module: nn.Module, path: str) -> str:
    kind = type(module).__name__
    what = f"{_called(path)} is {'an' if kind[:1] in 'AEIOU' else 'a'} {kind}"
    if isinstance(module, _NONLINEAR) or type(module).__module__ == "torch.nn.modules.activation":
        return f"{what}: a stack with a nonlinearity is not one convolution"
    return f"{what}: only convolutions, batch norms, Identity and dropout, in Sequentials and sums, are fused"


def _through(module: nn.Module, path: str, before: Affine) -> Affine:
    """The map up to a module's input with the module behind it. Raises `InputError`."""
    if isinstance(module, Graph):
        known = {INPUT: before}
        for (part, name), (_, inputs, node, _) in zip(_parts(module, path), module._steps, strict=True):
            read = [known[source] for source in inputs]
            known[node] = added(read, name) if isinstance(part, Sum) else _through(part, name, read[0])
        return known[module._output]
    if isinstance(module, nn.Sequential):
        for part, name in _parts(module, path):
            before = _through(part, name, before)
        return before
    if isinstance(module, CONV_MODULES):
        layer = map_of_convolution(module, path)
    elif isinstance(module, NORM_MODULES):
        layer = map_of_norm(module, path)
    else:
        return before
    if len(layer.axes) != len(before.axes):
        raise InputError(f"{_called(path)} is {len(layer.axes)}-D, but what comes before it is {len(before.axes)}-D")
    if layer.channels[0] != before.channels[1]:
        came = before.channels[1]
        raise InputError(f"{_called(path)} takes {layer.channels[0]} channels, but {came} come from before it")
    return then(before, layer)


def map_of_convolution(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d, path: str) -> Affine:
    """A layer's own map. Raises `InputError` for a padding other than zeros."""
    if conv.padding_mode != "zeros":
        raise InputError(f"{_called(path)} has a padding of {conv.padding_mode}: only zeros are fused")
    size, stride, dilation = (
        each(given, spatial_axes(conv)) for given in (conv.kernel_size, conv.stride, conv.dilation)
    )
    axes = zip(size, stride, zip(*sides_of(conv), strict=True), dilation, strict=True)
    kernel = exactly(conv.weight).unflatten(0, (conv.groups, -1))
    bias = None if conv.bias is None else exactly(conv.bias)
    return Affine(kernel, bias, tuple(Axis(k, s, (near, far), d) for k, s, (near, far), d in axes))


def map_of_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, path: str) -> Affine:
    """(x − mean) / √(variance + eps) · weight + bias, with the running statistics."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise InputError(
            f"{_called(path)} is a {type(norm).__name__} without running statistics: what it does depends on the batch"
        )
    return of_batch_norm(spatial_axes(norm), mean, variance, norm.weight, norm.bias, norm.eps)


def of_batch_norm(
    axes: int, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Affine:
    """The same from its tensors; without `weight` and `bias` they are 1 and 0."""
    scale = (exactly(variance) + eps).rsqrt()
    if weight is not None:
        scale = scale * exactly(weight)
    shift = -exactly(mean) * scale
    return scaling(axes, scale, shift if bias is None else shift + exactly(bias))
