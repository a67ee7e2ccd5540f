"""What a node of a traced graph does as a part of a linear region: it slides, adds, or passes on."""

import operator
from inspect import signature
from math import prod
from typing import Any

import msgspec
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from vggcalc.errors import InputError
from vggcalc.runtime.fuse.affine import Affine, Axis, added, negative, scaling, then
from vggcalc.runtime.fuse.fuse import (
    CONV_MODULES,
    NORM_MODULES,
    behaves_as,
    exactly,
    map_of_convolution,
    map_of_norm,
    of_batch_norm,
)
from vggcalc.runtime.padded import PADDED
from vggcalc.runtime.trace.calls import each

#: What computes with two operands, by what it does with them: functions, and methods of a tensor.
_ARITHMETIC: dict[Any, str] = {
    called: kind
    for kind, every in {
        "add": (operator.add, operator.iadd, torch.add, "add", "add_"),
        "sub": (operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_", "subtract"),
        "mul": (operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_", "multiply"),
        "div": (operator.truediv, operator.itruediv, torch.div, torch.divide, "div", "div_", "divide"),
    }.items()
    for called in every
}

#: Methods that only give a tensor of the module another shape.
_RESHAPING = ("view", "reshape", "unsqueeze", "squeeze")

_CONV_FUNCTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
_CONV_ARGUMENTS: dict[str, Any] = {
    "input": None, "weight": None, "bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1
}  # fmt: skip

#: Python's augmented assignments, which change the tensor that they are given: `x += y`.
ASSIGNMENTS = (
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    operator.ifloordiv,
    operator.imod,
    operator.ipow,
)


class Part(msgspec.Struct, frozen=True):
    """It reads `inputs`; its own map is `layer`, None where it passes its input on or adds two, or `subtracts` one.

    `macs` and `weights` are those of a convolution, `place` is the name of its kernel; nothing else has any that count.
    """

    inputs: tuple[fx.Node, ...]
    layer: Affine | None = None
    macs: int = 0
    weights: int = 0
    place: str = ""
    subtracts: bool = False

    @property
    def passes_on(self) -> bool:
        """Whether it does nothing in inference."""
        return self.layer is None and len(self.inputs) == 1

    def behind(self, maps: list[Affine], name: str) -> Affine:
        """The map that it makes of those that come in. Raises `InputError`, beginning with `name`, for no such sum."""
        if len(maps) > 1:
            return added([maps[0], negative(maps[1])] if self.subtracts else maps, name)
        return maps[0] if self.layer is None else then(maps[0], self.layer)


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Of the tensor that the node makes; () where it makes none, or several."""
    return tuple(node.meta.get("shape", ()))


def memory_of(node: fx.Node) -> int | None:
    """A number that two nodes share whose tensors lie in the same memory; None for a node that makes no tensor."""
    memory: int | None = node.meta.get("memory")
    return memory


def axes_of(node: fx.Node) -> int:
    """How many spatial axes the tensor has that a node makes, behind batch and channels; 0 for no feature map."""
    return len(shape_of(node)) - 2 if 3 <= len(shape_of(node)) <= 5 else 0


def part_of(node: fx.Node, root: nn.Module, device: str) -> Part | None:
    """What it does to batches of feature maps; None for what is not linear, or is no such map.

    `device` is where the tensors of `root` lie once they are exact: "cpu", or "meta" for shapes alone.
    """
    axes = axes_of(node)
    found = _part_of(node, root, device) if axes else None
    return found if found is not None and all(axes_of(one) == axes for one in found.inputs) else None


def _part_of(node: fx.Node, root: nn.Module, device: str) -> Part | None:
    if node.op == "call_module":
        return _by_module(node, root.get_submodule(str(node.target)), device)
    if node.op == "call_function" and node.target is functional.batch_norm:
        return _norm_by_function(node, root)
    if node.op == "call_function" and node.target in _CONV_FUNCTIONS:
        return _convolution_by_function(node, root)
    if node.op in ("call_function", "call_method") and len(node.args) == 2 and not node.kwargs:
        return _by_arithmetic(node, root, device)
    return None


def _by_arithmetic(node: fx.Node, root: nn.Module, device: str) -> Part | None:
    """Two feature maps added or subtracted; or one with a number for each channel, or one number for all."""
    kind = _ARITHMETIC.get(node.target)
    one, two = node.args
    maps = [side for side in node.args if isinstance(side, fx.Node) and shape_of(side) == shape_of(node)]
    if kind in ("add", "sub") and len(maps) == 2:
        return Part((maps[0], maps[1]), subtracts=kind == "sub")
    if kind is None or len(maps) != 1 or (kind == "div" and maps[0] is not one):
        return None
    constant = two if maps[0] is one else one
    if kind == "add" and isinstance(constant, int | float) and constant == 0:  # with which Python's own sum begins
        return Part((maps[0],))
    other = _by_channel(constant, node, root, device)
    if other is None:
        return None
    ones = torch.ones_like(other)
    if kind in ("mul", "div"):
        return Part((maps[0],), scaling(axes_of(node), other if kind == "mul" else 1 / other))
    first = maps[0] is one
    scale, shift = ones if kind == "add" or first else -ones, -other if kind == "sub" and first else other
    return Part((maps[0],), scaling(axes_of(node), scale, shift))


def _by_channel(value: Any, node: fx.Node, root: nn.Module, device: str) -> Tensor | None:
    """A number, or a tensor of the module that is broadcast over a feature map, as a number for each channel."""
    channels = shape_of(node)[1]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return torch.full((channels,), float(value), dtype=torch.float64, device=device)
    found = constant_of(value, root)
    if found is None or found.dim() > axes_of(node) + 2:
        return None
    shape = (1,) * (axes_of(node) + 2 - found.dim()) + tuple(found.shape)
    if {shape[0], *shape[2:]} != {1} or shape[1] not in (1, channels):
        return None
    return exactly(found).reshape(-1).expand(channels)


def constant_of(value: Any, root: nn.Module) -> Tensor | None:
    """The tensor of the module that a node is, perhaps in another shape; None for any other."""
    if not isinstance(value, fx.Node):
        return None
    if value.op == "get_attr":
        return _tensor(value, root)
    reshapes = value.op == "call_method" and value.target in _RESHAPING
    if not (reshapes or value.target is operator.getitem) or len(value.all_input_nodes) != 1 or value.kwargs:
        return None
    found = constant_of(value.args[0], root)
    if found is None:
        return None
    shown: Any = value.args[1:]
    made: Tensor = getattr(found, str(value.target))(*shown) if reshapes else found[shown[0]]
    return made


def _convolution_by_function(node: fx.Node, root: nn.Module) -> Part | None:
    """`functional.conv2d` and its like with a kernel and a bias that are the module's own."""
    given: dict[str, Any] = _CONV_ARGUMENTS | dict(zip(_CONV_ARGUMENTS, node.args, strict=False)) | node.kwargs
    source, (weight, bias) = given["input"], (_tensor(given[name], root) for name in ("weight", "bias"))
    padding, axes = given["padding"], axes_of(node)
    unknown = weight is None or (bias is None and given["bias"] is not None)
    if weight is None or unknown or not isinstance(source, fx.Node) or padding == "same":
        return None
    numbers = [each(given[name], axes) for name in ("stride", "dilation")]
    sides = each(0 if padding == "valid" else padding, axes)
    kernel = exactly(weight).unflatten(0, (given["groups"], -1))
    along = tuple(
        Axis(size, stride, (pad, pad), dilation)
        for size, stride, dilation, pad in zip(weight.shape[2:], *numbers, sides, strict=True)
    )
    layer = Affine(kernel, None if bias is None else exactly(bias), along)
    batch, _, *sizes = shape_of(node)
    weights = kernel.numel()
    return Part((source,), layer, weights * batch * prod(sizes), weights, str(given["weight"].target))


def _by_module(node: fx.Node, module: nn.Module, device: str) -> Part | None:
    source = node.args[0] if len(node.args) == 1 and not node.kwargs else None
    if not isinstance(source, fx.Node) or has_hooks(module):
        return None
    try:
        if any(behaves_as(module, kind) for kind in (*CONV_MODULES, *PADDED.values())):
            layer = map_of_convolution(module, "")  # type: ignore[arg-type]
            batch, _, *sizes = shape_of(node)
            weights = layer.kernel.numel()
            return Part((source,), layer, weights * batch * prod(sizes), weights, f"{node.target}.weight")
        if any(behaves_as(module, kind) for kind in NORM_MODULES):
            return Part((source,), map_of_norm(module, ""))  # type: ignore[arg-type]
    except InputError:  # a padding that no one convolution has, or statistics of the batch
        return None
    if any(behaves_as(module, kind) for kind in _POOLS):
        pooling = _average(module, axes_of(node), shape_of(node)[1], device)  # type: ignore[arg-type]
        return None if pooling is None else Part((source,), pooling)
    if behaves_as(module, nn.Identity) or type(module).__module__ == "torch.nn.modules.dropout":
        return Part((source,))
    return None


#: torch.nn's own average poolings.
_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


def _average(pool: nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d, axes: int, channels: int, device: str) -> Affine | None:
    """An average pooling as a depthwise convolution; None where its windows differ at the borders."""
    size, stride, padding = (each(given, axes) for given in (pool.kernel_size, pool.stride, pool.padding))
    if pool.ceil_mode or (max(padding) and not pool.count_include_pad):
        return None
    share = 1 / (getattr(pool, "divisor_override", None) or prod(size))
    kernel = torch.full((channels, 1, 1, *size), share, dtype=torch.float64, device=device)
    return Affine(kernel, None, tuple(Axis(k, s, (p, p)) for k, s, p in zip(size, stride, padding, strict=True)))


def _norm_by_function(node: fx.Node, root: nn.Module) -> Part | None:
    """`functional.batch_norm` with statistics and weights that are the module's own."""
    bound = signature(functional.batch_norm).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    given = bound.arguments
    tensors = [_tensor(given[name], root) for name in ("running_mean", "running_var", "weight", "bias")]
    mean, variance, weight, bias = tensors
    source = given["input"]
    if given["training"] or mean is None or variance is None or not isinstance(source, fx.Node):
        return None
    return Part((source,), of_batch_norm(axes_of(node), mean, variance, weight, bias, float(given["eps"])))


def _tensor(value: Any, root: nn.Module) -> Tensor | None:
    """The tensor that a node gets from the module; None for none."""
    if not isinstance(value, fx.Node) or value.op != "get_attr":
        return None
    owner, _, name = str(value.target).rpartition(".")
    found = getattr(root.get_submodule(owner), name)
    return found if isinstance(found, Tensor) else None


def identity(node: fx.Node, device: str) -> Affine:
    """What a node makes as a map of itself."""
    return scaling(axes_of(node), torch.ones(shape_of(node)[1], dtype=torch.float64, device=device))


def has_hooks(module: nn.Module) -> bool:
    """Whether something may change what it does when it is called."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def overwrites(node: fx.Node, root: nn.Module) -> bool:
    """Whether a call changes a tensor that it is given."""
    if node.op == "call_module":
        return bool(getattr(root.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    name = getattr(node.target, "__name__", "")
    return (
        node.target in ASSIGNMENTS
        or node.kwargs.get("inplace") is True
        or node.kwargs.get("out") is not None
        or (name.endswith("_") and not name.endswith("__") and not name.startswith("_"))
    )
