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
from vggcalc.runtime.fuse.affine import Affine, Axis, added, scaling, then
from vggcalc.runtime.fuse.fuse import (
    CONV_MODULES,
    NORM_MODULES,
    behaves_as,
    map_of_convolution,
    map_of_norm,
    of_batch_norm,
)
from vggcalc.runtime.padded import PADDED
from vggcalc.runtime.trace.calls import each

_SUMS = (operator.add, operator.iadd, torch.add)
_SUM_METHODS = ("add", "add_")

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
    """It reads `inputs`; its own map is `layer`, None where it passes its input on or adds two.

    `macs` and `weights` are those of a convolution; nothing else has any that count.
    """

    inputs: tuple[fx.Node, ...]
    layer: Affine | None = None
    macs: int = 0
    weights: int = 0

    @property
    def passes_on(self) -> bool:
        """Whether it does nothing in inference."""
        return self.layer is None and len(self.inputs) == 1

    def behind(self, maps: list[Affine], name: str) -> Affine:
        """The map that it makes of those that come in. Raises `InputError`, beginning with `name`, for no such sum."""
        if len(maps) > 1:
            return added(maps, name)
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
    adds = node.target in (_SUMS if node.op == "call_function" else _SUM_METHODS if node.op == "call_method" else ())
    if adds and len(node.args) == 2 and not node.kwargs:
        terms = tuple(one for one in node.args if isinstance(one, fx.Node))
        zero = len(terms) == 1 and 0 in node.args  # with which Python's own sum begins
        if (len(terms) == 2 or zero) and all(shape_of(one) == shape_of(node) for one in terms):
            return Part(terms)
    return None


def _by_module(node: fx.Node, module: nn.Module, device: str) -> Part | None:
    source = node.args[0] if len(node.args) == 1 and not node.kwargs else None
    if not isinstance(source, fx.Node) or has_hooks(module):
        return None
    try:
        if any(behaves_as(module, kind) for kind in (*CONV_MODULES, *PADDED.values())):
            layer = map_of_convolution(module, "")  # type: ignore[arg-type]
            batch, _, *sizes = shape_of(node)
            weights = layer.kernel.numel()
            return Part((source,), layer, weights * batch * prod(sizes), weights)
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
