"""One call of a torch operator, with its arguments by name, and its decomposition into simpler operators."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from vggcalc.nets.layers import Axes, Shape

CONVOLUTIONS = frozenset(("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"))

#: What does MACs if one factor is a weight, even where nothing of the network's input takes part.
PRODUCTS = CONVOLUTIONS | {"linear", "matmul", "mm", "bmm", "addmm", "baddbmm"}

#: The names of the factors of a matrix product; the `self` of addmm and baddbmm is added, not multiplied.
FACTORS = (("input", "weight"), ("self", "other"), ("mat1", "mat2"), ("batch1", "batch2"), ("self", "mat2"))


class Call:
    """An operator as a dispatch mode meets it: `call["weight"]` is an argument by the name in its schema.

    `depends` says of a value whether it is a tensor that depends on the network's input; `weights` of any other
    tensor whether it is a parameter, "own", "computed" from parameters, or a "buffer".
    """

    def __init__(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        depends: Callable[[object], bool],
        weights: Callable[[object], str],
    ) -> None:
        schema = func._schema
        self.func, self.args, self.kwargs = func, args, kwargs
        self.mutates = bool(schema.is_mutable)
        name = func.overloadpacket.__name__
        self.aten = func.namespace == "aten"
        self.function: str = name[:-1] if self.mutates and name.endswith("_") else name
        names = [argument.name for argument in schema.arguments]
        defaults = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        self.arguments: dict[str, Any] = defaults | dict(zip(names, args, strict=False)) | kwargs
        self._depends, self._weights = depends, weights

    def __getitem__(self, name: str) -> Any:
        return self.arguments.get(name)

    def depends_on_input(self, name: str) -> bool:
        """Whether that argument is a tensor that depends on the network's input."""
        return self._depends(self[name])

    @property
    def other(self) -> str:
        """What its second operand is: "itself", "another", a "weight", a "buffer" or a "number"."""
        one, two = self["self"], self["other"]
        if one is two:
            return "itself"
        if self._depends(one) and self._depends(two):
            return "another"
        if self._depends(two):
            one, two = two, one
        if not isinstance(two, torch.Tensor) or two.dim() == 0:
            return "number" if self._weights(two) in ("", "buffer") else "weight"
        return {"own": "weight", "buffer": "buffer"}.get(self._weights(two), "")

    @property
    def first_factor(self) -> Shape:
        """The shape of what a product multiplies with weights."""
        return tuple(self[factors(self)[0]].shape)

    @property
    def does_macs(self) -> bool:
        """Whether it does MACs if one of its factors is a weight."""
        return self.aten and self.function in PRODUCTS

    @property
    def pointwise(self) -> bool:
        """Whether torch says that it looks at one element at a time."""
        return torch.Tag.pointwise in self.func.tags

    def decomposition(self, has_rule: bool) -> Callable[[], Any] | None:
        """The same by simpler operators, or None where there is a rule for this one or it has no parts."""
        if self.aten and self.function in CONVOLUTIONS and isinstance(self["padding"], str):
            return self._padded_in_numbers
        if self.aten and self.function in ("convolution", "_convolution"):
            return self._by_dimensions
        if self.aten and self.function in ("matmul", "mm", "bmm"):
            one, two = factors(self)
            if (
                self.depends_on_input(two)
                and not self.depends_on_input(one)
                and min(self[one].dim(), self[two].dim()) > 1
            ):
                return lambda: torch.matmul(self[two].mT, self[one].mT).mT  # a linear layer on its left
        if has_rule:
            return None
        if not torch._C._dispatch_has_kernel_for_dispatch_key(self.func.name(), "CompositeImplicitAutograd"):
            return None
        return lambda: self.func.decompose(*self.args, **self.kwargs)

    def _by_dimensions(self) -> torch.Tensor:
        """`torch.convolution` as conv1d … conv_transpose3d."""
        weight, stride, padding, dilation = (self[key] for key in ("weight", "stride", "padding", "dilation"))
        axes, groups = weight.dim() - 2, self["groups"]
        if self["transposed"]:
            made = getattr(torch, f"conv_transpose{axes}d")(
                self["input"], weight, self["bias"], stride, padding, self["output_padding"], groups, dilation
            )
        else:
            made = getattr(torch, f"conv{axes}d")(
                self["input"], weight, self["bias"], stride, padding, dilation, groups
            )
        return cast(torch.Tensor, made)

    def _padded_in_numbers(self) -> torch.Tensor:
        """A convolution with padding "same" or "valid", in numbers: "same" may pad one more on the right."""
        data, weight = self["input"], self["weight"]
        axes = weight.dim() - 2
        dilation = each(self["dilation"], axes)
        needed = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        total = needed if self["padding"] == "same" else [0] * axes
        if any(n % 2 for n in total):
            sides = [side for n in reversed(total) for side in (n // 2, n - n // 2)]
            data, total = functional.pad(data, sides), [0] * axes
        function = getattr(torch, self.function)
        return cast(
            torch.Tensor,
            function(data, weight, self["bias"], self["stride"], [n // 2 for n in total], dilation, self["groups"]),
        )


def factors(call: Call) -> tuple[str, str]:
    """The names of the two factors of a matrix product."""
    return next(pair for pair in FACTORS if set(pair) <= set(call.arguments))


def each(value: Any, axes: int) -> Axes:
    """A number for each axis; one number alone is that of all."""
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    return tuple(int(n) for n in (numbers * axes if len(numbers) == 1 else numbers))


def tensors_of(value: object) -> list[torch.Tensor]:
    """The tensors in nested lists, tuples and dicts."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def output_tensors(output: object) -> Iterator[torch.Tensor]:
    """The tensors that a module puts out, in order: in nested lists, tuples and dicts, and in objects' attributes.

    What leads back to itself is looked into once.
    """
    seen: set[int] = set()
    waiting = [output]
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif id(value) not in seen:
            seen.add(id(value))
            waiting += reversed(_contents(value))


def _contents(value: object) -> list[Any]:
    """The elements of a container, or the attributes of an object: of a dataclass, of one with slots, of any other."""
    match value:
        case Mapping():
            return list(value.values())
        case list() | tuple() | set() | frozenset():
            return list(value)
        case type() | nn.Module() | str() | bytes():
            return []
    slots = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    names = [name for one in slots for name in ((one,) if isinstance(one, str) else one) if not name.startswith("__")]
    return [*(getattr(value, name, None) for name in names), *getattr(value, "__dict__", {}).values()]
