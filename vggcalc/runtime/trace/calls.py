"""One call of a torch operator, with its arguments by name, and its decomposition into simpler operators."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import msgspec
import torch
from torch.nn import functional

from vggcalc.nets.derivatives import OPERANDS
from vggcalc.nets.layers import Axes
from vggcalc.runtime.trace.nested import tensors_of

CONVOLUTIONS = frozenset(("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"))

#: Products of two matrices or vectors.
PRODUCTS = frozenset((
    "linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "vdot", "_int_mm",
    "_grouped_mm",
))  # fmt: skip

#: Whole recurrent networks; their cells are operators of their own.
RECURRENT_LAYERS = frozenset(("rnn_tanh", "rnn_relu", "lstm", "gru"))

#: What moves, copies or repeats elements and computes none, for which autograd saves nothing.
REARRANGING = frozenset((
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t",
    "contiguous", "clone", "expand", "repeat", "slice", "select", "narrow", "split", "split_with_sizes", "chunk",
    "unbind", "cat", "concat", "stack", "roll", "flip", "alias",
))  # fmt: skip

#: What takes elements by a tensor of their numbers or by a mask, which autograd saves.
TAKING = frozenset(("index", "index_select", "embedding", "masked_fill", "where"))

#: The arguments that say which elements are taken or written; autograd saves them (tools/autograd/derivatives.yaml).
STEERING = {
    "embedding": "indices", "index": "indices", "index_put": "indices", "masked_fill": "mask", "where": "condition",
    **dict.fromkeys(("index_select", "gather", "scatter", "index_copy", "index_fill"), "index"),
}  # fmt: skip

#: What computes of parameters without that autograd saves anything; `mul` and `div` by a number do too.
SAVING_NOTHING = frozenset(("add", "sub", "rsub", "neg", "_to_copy"))

#: The names of the factors of a matrix product; the `self` of addmm and baddbmm is added, not multiplied.
FACTORS = (
    ("input", "weight"),
    ("self", "other"),
    ("mat1", "mat2"),
    ("batch1", "batch2"),
    ("self", "mat2"),
    ("mat", "vec"),
    ("self", "vec"),
    ("self", "tensor"),
)


class Signature(msgspec.Struct, frozen=True):
    """What an operator's schema says: `data` is its first tensor, which its other arguments act on."""

    function: str
    aten: bool
    mutates: bool
    names: tuple[str, ...]
    defaults: dict[str, Any]
    data: str
    pointwise: bool
    composite: bool


@cache
def signature(func: Any) -> Signature:
    """The signature of an overload."""
    schema = func._schema
    name, mutates = func.overloadpacket.__name__, bool(schema.is_mutable)
    return Signature(
        name[:-1] if mutates and name.endswith("_") else name,
        func.namespace == "aten",
        mutates,
        tuple(argument.name for argument in schema.arguments),
        {a.name: a.default_value for a in schema.arguments if a.has_default_value()},
        next((a.name for a in schema.arguments if "Tensor" in str(a.type)), ""),
        torch.Tag.pointwise in func.tags,
        torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"),
    )


class Call:
    """An operator as a dispatch mode meets it: `call["weight"]` is an argument by the name in its schema.

    `active` are those of its `tensors` that depend on the network's input. `weights` says of any other whether it is
    a parameter, "own", "rearranged" from parameters by what autograd saves nothing for, or "computed" from them, a
    "buffer", or a "constant" made in forward.
    """

    def __init__(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tensors: list[torch.Tensor],
        active: list[torch.Tensor],
        weights: Callable[[object], str],
    ) -> None:
        self.func, self.args, self.kwargs, self.tensors, self.active = func, args, kwargs, tensors, active
        self.signature = signature(func)
        self.function = self.signature.function
        self.mutates = self.signature.mutates
        self.arguments: dict[str, Any] = (
            self.signature.defaults | dict(zip(self.signature.names, args, strict=False)) | kwargs
        )
        self._weights = weights

    def __getitem__(self, name: str) -> Any:
        return self.arguments.get(name)

    def depends_on_input(self, name: str) -> bool:
        """Whether that argument is a tensor that depends on the network's input."""
        return self._depends(self[name])

    def kind_of_weight(self, name: str) -> str:
        """What that argument is that does not depend on the network's input; "" for any other."""
        return self._weights(self[name])

    def _depends(self, value: object) -> bool:
        return any(value is tensor for tensor in self.active)

    @property
    def other(self) -> str:
        """What its second operand is: "itself", "another", a "weight", a "buffer", a "constant" or a "number"."""
        one, two = self["self"], self["other"]
        if one is two:
            return "itself"
        if self._depends(one) and self._depends(two):
            return "another"
        if self._depends(two):
            one, two = two, one
        if not isinstance(two, torch.Tensor) or two.dim() == 0:
            return "weight" if self._weights(two) in ("own", "rearranged", "computed") else "number"
        kinds = {"own": "weight", "rearranged": "weight", "buffer": "buffer", "constant": "constant"}
        return kinds.get(self._weights(two), "")

    @property
    def steering(self) -> list[torch.Tensor]:
        """The tensors that say which elements are taken or written."""
        if self.function not in STEERING or not self.signature.aten:
            return []
        return tensors_of([self[STEERING[self.function]]])

    @property
    def saved_constants(self) -> list[torch.Tensor]:
        """The tensors made in forward, of anything but the input, that autograd saves."""
        saved = self.steering
        operands = self.signature.aten and self.function in OPERANDS and len(self.tensors) > 1
        if operands or (self.does_macs and not self.active):
            saved = self.tensors
        elif self.function == "scaled_dot_product_attention" and self.kind_of_weight("attn_mask") == "constant":
            saved = [self["attn_mask"]] * (self["attn_mask"].dtype != torch.bool)
        return [tensor for tensor in saved if self._weights(tensor) in ("constant", "rearranged")]

    @property
    def lends(self) -> bool:
        """Whether of its tensors only shape and dtype are used: `zeros_like`, `new_zeros`."""
        return self.signature.aten and (self.function.endswith("_like") or self.function.startswith("new_"))

    @property
    def rearranges_weights(self) -> bool:
        """Whether autograd saves nothing but `saved_constants` for what it makes of parameters alone."""
        by_number = self.function in ("mul", "div") and len(self.tensors) == 1
        if not self.signature.aten or not (by_number or self.function in REARRANGING | TAKING | SAVING_NOTHING):
            return False
        masked = self.function in ("masked_fill", "where")  # which saves the mask as it is
        kinds = {self._weights(tensor) if masked or tensor.dtype != torch.bool else "" for tensor in self.tensors}
        with_others = self.function in TAKING | SAVING_NOTHING
        return kinds <= {"own", "rearranged"} | ({"buffer", "constant"} if with_others else set())

    @property
    def does_macs(self) -> bool:
        """Whether it is a convolution or a product of two matrices or vectors."""
        return self.signature.aten and (self.function in PRODUCTS or self.function in CONVOLUTIONS)

    def run(self) -> Any:
        """What the operator puts out."""
        if self.function in RECURRENT_LAYERS and self.signature.aten and self._is_recurrent_of_shapes():
            return self._recurrent_outputs()
        if self.function == "_grouped_mm" and self["self"].is_meta:
            return self._grouped_product()
        result = self.func(*self.args, **self.kwargs)
        if self.function == "scaled_dot_product_attention" and result.is_meta and result.shape == self["query"].shape:
            return torch.empty_like(
                self["query"]
            )  # torch's fused kernels keep the query's strides, its meta one does not
        return result

    def _is_recurrent_of_shapes(self) -> bool:
        """Whether it is a recurrent network without values, whose weights fit its input."""
        data = self["data"] if self["data"] is not None else self["input"]
        return bool(data.is_meta and self["params"][0].shape[-1] == data.shape[-1])

    def _recurrent_outputs(self) -> tuple[torch.Tensor, ...]:
        """Outputs and states by their shapes: on the meta device torch runs every step of every sequence."""
        data = self["data"] if self["data"] is not None else self["input"]
        states = tensors_of(self["hx"])
        width = states[0].shape[-1] * (2 if self["bidirectional"] else 1)
        shape = (*data.shape[:-1], width)
        if self["batch_first"]:  # whose kernels compute step by step, and put the batch first by a view
            output = data.new_empty((shape[1], shape[0], width)).transpose(0, 1)
        else:
            output = data.new_empty(shape)
        return (output, *(torch.empty_like(state) for state in states))

    def _grouped_product(self) -> torch.Tensor:
        """A product for each group of rows, by its shape: on the meta device torch has it for bfloat16 alone."""
        one, two = self["self"], self["mat2"]
        groups = one.shape[:-2] if two.dim() == 3 else self["offs"].shape if one.dim() == 2 else ()
        return cast(torch.Tensor, one.new_empty((*groups, one.shape[-2], two.shape[-1]), dtype=self["out_dtype"]))

    def decomposition(self, has_rule: bool) -> Callable[[], Any] | None:
        """The same by simpler operators, or None where there is a rule for this one or it has no parts."""
        if self.function in CONVOLUTIONS and self.signature.aten and isinstance(self["padding"], str):
            return self._padded_in_numbers
        if self.function in ("convolution", "_convolution") and self.signature.aten:
            return self._by_dimensions
        if self.function in ("matmul", "mm", "bmm") and self.signature.aten:
            one, two = factors(self)
            if (
                self.depends_on_input(two)
                and not self.depends_on_input(one)
                and min(self[one].dim(), self[two].dim()) > 1
            ):
                return lambda: torch.matmul(self[two].mT, self[one].mT).mT  # a linear layer on its left
        by_values = (self.function == "where" and self["self"] is None) or (  # which is `nonzero` by another name
            self.function == "repeat_interleave" and isinstance(self["repeats"], torch.Tensor)
        )
        if has_rule and not by_values:
            return None
        if not self.signature.composite:
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
            data = functional.pad(data, [side for n in reversed(total) for side in (0, n % 2)])
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
