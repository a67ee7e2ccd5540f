"""What one call of a torch operator is: the layer, what its units see, and where its axes stand.

A function for each kind of operator, and the operators' names at the foot. What is not listed is
asked for its parts, and what has none becomes `Opaque`: nothing that is unknown is taken for nothing.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import Any, cast

import msgspec
import torch
from torch.nn import functional

from vggcalc.spec.layers import (
    GELU,
    LAYERS,
    NONLINEARITIES,
    AdaptiveAvgPool2d,
    Add,
    Axes,
    BatchNorm2d,
    Concat,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Opaque,
    Operation,
    ReLU,
    Shape,
    SiLU,
    Window,
)

#: What a dimension of a tensor is: one of the image's axes, by number; all of them in one, row by
#: row; all of them together with channels; or none.
TOKENS, MIXED = "tokens", "mixed"
Label = int | str | None


class Place(msgspec.Struct, frozen=True):
    """What each dimension of a tensor is, and the sizes of its map; () where an axis is lost."""

    labels: tuple[Label, ...]
    map: Axes

    @property
    def axes(self) -> tuple[int, ...]:
        """The dimensions of the axes, in order; () unless each axis has its own."""
        found = tuple(self.labels.index(axis) for axis in range(len(self.map)) if axis in self.labels)
        return found if len(found) == len(self.map) else ()


class Seen(msgspec.Struct, frozen=True):
    """One output of a call: see `Traced` for `reach`."""

    layer: Layer
    reach: str
    place: Place


class Call:
    """An operator with its arguments by name.

    `active` are those tensors that depend on the image, `weights` says of any other whether it is a
    parameter, "own", "computed" from some, or a "buffer".
    """

    def __init__(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        active: Callable[[object], bool],
        weights: Callable[[object], str] = lambda value: "",
    ) -> None:
        schema = func._schema
        self.func, self.args, self.kwargs = func, args, kwargs
        self.mutates = bool(schema.is_mutable)
        name = func.overloadpacket.__name__
        self.function: str = name[:-1] if self.mutates and name.endswith("_") else name
        names = [argument.name for argument in schema.arguments]
        defaults = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        self.arguments: dict[str, Any] = defaults | dict(zip(names, args, strict=False)) | kwargs
        self._active, self._weights = active, weights

    def __getitem__(self, name: str) -> Any:
        return self.arguments.get(name)

    def depends(self, name: str) -> bool:
        """Whether that argument is a tensor that depends on the image."""
        return self._active(self[name])

    @property
    def other(self) -> str:
        """What its second operand is: "itself", "another", a "weight", a "buffer" or a "number"."""
        one, two = self["self"], self["other"]
        if one is two:
            return "itself"
        if self._active(one) and self._active(two):
            return "another"
        if self._active(two):
            one, two = two, one
        if not isinstance(two, torch.Tensor) or two.dim() == 0:
            return "number" if self._weights(two) in ("", "buffer") else "weight"
        return {"own": "weight", "buffer": "buffer"}.get(self._weights(two), "")

    @property
    def first_factor(self) -> Shape:
        """The shape of what a product multiplies with weights."""
        return tuple(self[_factors(self)[0]].shape)

    @cached_property
    def does_macs(self) -> bool:
        return self.function in PRODUCTS

    @property
    def known(self) -> bool:
        return self.function in OPERATORS or torch.Tag.pointwise in self.func.tags

    def in_other_words(self) -> Callable[[], Any] | None:
        """The same by other operators, or None where this one is looked at as it is."""
        if self.function in CONVOLUTIONS and isinstance(self["padding"], str):
            return self._padded
        if self.function in ("convolution", "_convolution"):
            return self._named
        if self.function in ("matmul", "mm", "bmm"):
            one, two = _factors(self)
            if self.depends(two) and not self.depends(one) and min(self[one].dim(), self[two].dim()) > 1:
                return lambda: torch.matmul(self[two].mT, self[one].mT).mT  # a linear layer on its left
        if self.known:
            return None
        if not torch._C._dispatch_has_kernel_for_dispatch_key(self.func.name(), "CompositeImplicitAutograd"):
            return None
        return lambda: self.func.decompose(*self.args, **self.kwargs)

    def _named(self) -> torch.Tensor:
        """A convolution of any number of axes by the function that has its name."""
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

    def _padded(self) -> torch.Tensor:
        """A convolution whose padding is said in words: "same" may pad one more on the right."""
        image, weight = self["input"], self["weight"]
        axes = weight.dim() - 2
        dilation = _each(self["dilation"], axes)
        needed = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        total = needed if self["padding"] == "same" else [0] * axes
        if any(n % 2 for n in total):
            sides = [side for n in reversed(total) for side in (n // 2, n - n // 2)]
            image, total = functional.pad(image, sides), [0] * axes
        function = getattr(torch, self.function)
        return cast(
            torch.Tensor,
            function(
                image, weight, self["bias"], self["stride"], [n // 2 for n in total], dilation, self["groups"]
            ),
        )


def look(call: Call, inputs: Sequence[tuple[Shape, Place]], outputs: Sequence[Shape]) -> list[Seen]:
    """Each output of a call, from the shapes and places of its active inputs and its outputs' shapes."""
    rule = OPERATORS.get(call.function, _elementwise if call.known else _opaque)
    return rule(call, inputs, outputs)


Inputs = Sequence[tuple[Shape, Place]]
Outputs = Sequence[Shape]


def _each(value: Any, axes: int) -> Axes:
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    return tuple(int(n) for n in (numbers * axes if len(numbers) == 1 else numbers))


def _kept(place: Place, shape: Shape) -> Place:
    """The same dimensions on a map of another size."""
    if len(place.labels) != len(shape):
        return Place((None,) * len(shape), ())
    return Place(place.labels, tuple(shape[i] for i in place.axes) or place.map)


def _lost(shape: Shape) -> Place:
    return Place((None,) * len(shape), ())


def _operation(call: Call, shape: Shape, **options: int | float | bool | str) -> Operation:
    return Operation(call.function, shape, inplace=call.mutates, options=options)


def _opaque(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    """An operator without a law."""
    return [Seen(Opaque(call.function, shape), "unknown", _lost(shape)) for shape in outputs]


def _moving(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    """It puts elements elsewhere, no one knows from outside where."""
    return [Seen(_operation(call, shape), "unknown", _lost(shape)) for shape in outputs]


# Convolutions and matrix products.


def _convolution(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    if not call.depends("input") and call.depends("weight"):
        return _opaque(call, inputs, outputs)
    weight, transposed = call["weight"], call.function.startswith("conv_transpose")
    axes = weight.dim() - 2
    groups = int(call["groups"])
    into, out_of = int(weight.shape[1]) * groups, int(weight.shape[0])
    if transposed:
        into, out_of = int(weight.shape[0]), int(weight.shape[1]) * groups
    numbers = {key: _each(call[key], axes) for key in ("stride", "padding", "dilation")}
    if transposed:
        numbers["output_padding"] = _each(call["output_padding"], axes)
    kind = LAYERS[f"Conv{'Transpose' if transposed else ''}{axes}d"]
    layer = kind(
        in_channels=into,
        out_channels=out_of,
        kernel_size=tuple(map(int, weight.shape[2:])),
        groups=groups,
        bias=call["bias"] is not None,
        **numbers,
    )
    place = inputs[0][1] if inputs else _lost(outputs[0])
    slides = place.axes == tuple(range(len(outputs[0]) - axes, len(outputs[0])))
    reach = "window" if slides and len(place.map) == axes else "unknown"
    return [Seen(layer, reach, _kept(place, outputs[0]) if slides else _lost(outputs[0]))]


def _linear(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    return _weighted(
        call, "input", "weight", call["bias"] is not None, int(call["weight"].shape[0]), inputs, outputs
    )


def _product(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    """A matrix product: a linear layer where its second factor does not depend on the image."""
    one, two = _factors(call)
    if call[two].dim() < 2:
        return _opaque(call, inputs, outputs)
    return _weighted(call, one, two, False, int(call[two].shape[-1]), inputs, outputs)


def _factors(call: Call) -> tuple[str, str]:
    return next(pair for pair in FACTORS if set(pair) <= set(call.arguments))


def _weighted(
    call: Call, one: str, two: str, bias: bool, out_features: int, inputs: Inputs, outputs: Outputs
) -> list[Seen]:
    if call.depends(two) or (inputs and not call.depends(one)):
        return _opaque(call, inputs, outputs)
    layer = Linear(int(call[one].shape[-1]), out_features, bias)
    if not inputs:
        return [Seen(layer, "unknown", _lost(outputs[0]))]
    place = inputs[0][1]
    match place.labels[-1]:
        case None:
            reach = "pixel"
        case "tokens" | "mixed":
            reach = "image"
        case _:
            reach = "image" if len(place.map) == 1 else "unknown"
    after = Place((*place.labels[:-1], None), place.map) if reach == "pixel" else _lost(outputs[0])
    return [Seen(layer, reach, after)]


# What slides over the map or shifts it.


def _slid(call: Call, shape: Shape, place: Place, numbers: Sequence[Axes], view: bool = False) -> Seen:
    """A window over the last dimensions: kernel, stride, padding and dilation for each of them."""
    begin = len(shape) - len(numbers[0])
    if not place.map or not place.axes:
        return Seen(_operation(call, shape), "unknown", _lost(shape))
    neutral = (1, 1, 0, 1)
    kernel, stride, padding, dilation = (
        tuple(of[i - begin] if i >= begin else n for i in place.axes)
        for of, n in zip(numbers, neutral, strict=True)
    )
    if {*kernel, *stride} == {1} and set(padding) == {0} and _kept(place, shape).map == place.map:
        return Seen(_operation(call, shape), "pixel", _kept(place, shape))
    layer = Window(call.function, shape, kernel, stride, padding, dilation, view)
    return Seen(layer, "window", _kept(place, shape))


def _pool(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    axes = int(call.function.partition("pool")[2][0])
    kernel = _each(call["kernel_size"], axes)
    stride = _each(call["stride"], axes) if call["stride"] else kernel
    padding = _each(call["padding"], axes)
    dilation = _each(call["dilation"] or 1, axes)
    (shape, place), ceil = inputs[0], bool(call["ceil_mode"])
    if call.function == "max_pool2d" and place.axes == (len(shape) - 2, len(shape) - 1):
        layer = MaxPool2d(kernel, stride, padding, dilation, ceil)
        return [Seen(layer, "window", _kept(place, outputs[0]))]
    seen = _slid(call, outputs[0], place, (kernel, stride, padding, dilation))
    return [seen, *(Seen(_operation(call, shape), seen.reach, seen.place) for shape in outputs[1:])]


def _adaptive(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    _, place = inputs[0]
    after = _kept(place, outputs[0])
    reach = "unknown"
    if place.axes:
        reach = "pixel" if after.map == place.map else "image" if set(after.map) == {1} else "varies"
    layer: Layer = _operation(call, outputs[0])
    if call.function == "adaptive_avg_pool2d":
        layer = AdaptiveAvgPool2d(tuple(outputs[0][-2:]))
    return [Seen(layer, reach, after), *(Seen(_operation(call, s), reach, after) for s in outputs[1:])]


def _pad(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    (shape, place), sides = inputs[0], list(call["pad"])
    left = [0] * len(shape)
    for i, n in enumerate(sides[::2]):
        left[-1 - i] = int(n)
    ones = (1,) * len(shape)
    seen = _slid(call, outputs[0], place, (ones, ones, tuple(left), ones))
    if isinstance(seen.layer, Window) and call["mode"] in PADDINGS:
        layer = msgspec.structs.replace(seen.layer, function=PADDINGS[call["mode"]])
        return [msgspec.structs.replace(seen, layer=layer)]
    return [seen]


def _slice(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    shape, place = inputs[0]
    dim = int(call["dim"]) % len(shape)
    start = int(call["start"] or 0)
    start = min(max(start + shape[dim] if start < 0 else start, 0), shape[dim])
    step = int(call["step"] or 1)
    if place.labels[dim] is None or (start == 0 and step == 1 and outputs[0] == shape):
        return [Seen(Operation(call.function, outputs[0], view=True), "pixel", _kept(place, outputs[0]))]
    ones = (1,) * len(shape)
    stride = tuple(step if i == dim else 1 for i in range(len(shape)))
    shift = tuple(-start if i == dim else 0 for i in range(len(shape)))
    return [_slid(call, outputs[0], place, (ones, stride, shift, ones), view=True)]


def _resize(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    _, place = inputs[0]
    after = _kept(place, outputs[0])
    reach = "unknown" if not place.axes else "pixel" if after.map == place.map else "varies"
    aligned = {"align_corners": True} if call["align_corners"] else {}
    factors = call["scale_factors"]
    if factors and reach == "varies" and not aligned:
        rounded = any(f * n != m for f, n, m in zip(factors, place.map, after.map, strict=True))
        reach = "unknown" if rounded else reach  # torch then reckons with the factor, not with the sizes
    return [Seen(_operation(call, outputs[0], **aligned), reach, after)]


def _unshuffle(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    factor = (int(call["downscale_factor"]),) * 2
    return [_slid(call, outputs[0], inputs[0][1], (factor, factor, (0, 0), (1, 1)))]


# What looks at one unit.


def _joined(inputs: Inputs, shape: Shape) -> Place | None:
    """Where the axes stand after broadcasting; None where two inputs disagree.

    An input that has lost its axes says nothing against another that has them, such as a gate that
    was broadcast over the map: what its units see went with it.
    """
    inputs = [one for one in inputs if one[1].map] or inputs
    labels: list[Label] = [None] * len(shape)
    fixed = [False] * len(shape)
    sizes: Axes = ()
    for each, place in inputs:
        for i in range(1, len(each) + 1):
            label = place.labels[-i]
            if each[-i] == 1 and shape[-i] != 1:
                continue
            if fixed[-i] and labels[-i] != label and each[-i] != 1:
                return None
            if not fixed[-i] or label is not None:
                labels[-i], fixed[-i] = label, True
        if place.map and prod(place.map) >= prod(sizes):
            sizes = place.map
    place = Place(tuple(labels), sizes)
    return _kept(place, shape) if place.axes or TOKENS in labels else Place(tuple(labels), ())


def _elementwise(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    shape = outputs[0]
    place = _joined(inputs, shape)
    reach = "unknown" if place is None else "pixel"
    layer: Layer = _operation(call, shape)
    match call.function:
        case "relu":
            layer = ReLU(call.mutates)
        case "silu":
            layer = SiLU(call.mutates)
        case "gelu":
            layer = GELU(str(call["approximate"]))
        case "add" if (
            not call.mutates and len(inputs) == 2 and inputs[0][0] == inputs[1][0] and call["alpha"] == 1
        ):
            layer = Add()
        case "mul" | "div":
            kind = call.other + "first" * (call.function == "div" and not call.depends("self"))
            layer = _operation(call, shape, **({"other": kind} if kind != "another" else {}))
        case function if function in NONLINEARITIES:
            keys = set(call.arguments) & set(OPTIONS)
            options = {OPTIONS[key]: call[key] for key in sorted(keys) if call[key] is not None}
            layer = _operation(call, shape, **options)
    return [Seen(layer, reach, place or _lost(shape)), *_moving(call, inputs, outputs[1:])]


def _norm(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    """Statistics count as looking at one unit, as in every probe of receptive fields."""
    shape, place = inputs[0]
    sizes = {
        "batch_norm": shape[1:2],
        "instance_norm": shape[:2],
        "group_norm": (*shape[:1], int(call["num_groups"] or 1)),
    }
    rows = sizes.get(call.function, shape[: len(shape) - len(call["normalized_shape"] or ())])
    options = {"rows": prod(rows)} | ({"affine": True} if call["weight"] is not None else {})
    layer: Layer = _operation(call, shape, **options)
    if call.function == "batch_norm" and len(shape) == 4:
        layer = BatchNorm2d(shape[1], float(call["eps"]), float(call["momentum"]), call["weight"] is not None)
    return [Seen(layer, "pixel", place)]


def _dropout(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    layer: Layer = Operation(call.function, outputs[0], view=not call["train"])
    if call.function == "dropout" and not call["train"]:
        layer = Dropout(float(call["p"]))
    return [Seen(layer, "pixel", inputs[0][1])]


def _concat(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    shape = outputs[0]
    if call.function == "stack":
        dim = int(call["dim"]) % len(shape)
        inputs = [
            ((*s[:dim], 1, *s[dim:]), Place((*p.labels[:dim], None, *p.labels[dim:]), p.map)) for s, p in inputs
        ]
    dim = int(call["dim"]) % len(shape)
    layer: Layer = _operation(call, shape)
    if call.function == "cat" and dim == 1 and len(inputs) == len(call["tensors"]):
        layer = Concat()
    if any(place.labels[dim] is not None for _, place in inputs):
        return [Seen(layer, "unknown", _lost(shape))]
    place = _joined([((*s[:dim], shape[dim], *s[dim + 1 :]), p) for s, p in inputs], shape)
    return [Seen(layer, "unknown" if place is None else "pixel", place or _lost(shape))]


# What looks along whole dimensions.


def _over(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    """A reduction, or anything else that looks along whole dimensions, such as a softmax."""
    (shape, place), after = inputs[0], outputs[0]
    if call["other"] is not None:  # the larger of two
        return _elementwise(call, inputs, outputs)
    given = call["dim"]
    dims = given if isinstance(given, list) and given else range(len(shape)) if given is None else [given]
    along = {int(dim) % max(len(shape), 1) for dim in dims or range(len(shape))}
    looked = {place.labels[dim] for dim in along} - {None}
    reach = "pixel"
    if looked:
        whole = looked & {TOKENS, MIXED} or looked >= set(range(len(place.map)))
        reach = "image" if whole and call.function != "cumsum" else "unknown"
    if after == shape:
        kept = place
    elif looked:
        kept = _lost(after)
    elif len(after) == len(shape):
        kept = _kept(place, after)
    else:
        kept = Place(tuple(label for i, label in enumerate(place.labels) if i not in along), place.map)
    return [Seen(_operation(call, each), reach, kept if each == after else _lost(each)) for each in outputs]


# What only names the elements anew.


def _reshape(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    (shape, place), after = inputs[0], outputs[0]
    labels, whole = _regrouped(shape, place, after)
    moved = Place(labels, place.map if whole else ())
    reach = "pixel" if whole or not place.map else "image" if MIXED in labels else "unknown"
    layer: Layer = Operation(call.function, after, view=True)
    if call.function == "flatten" and len(after) == 2 and call["start_dim"] == 1:
        layer = Flatten()
    return [Seen(layer, reach, moved)]


def _regrouped(shape: Shape, place: Place, after: Shape) -> tuple[tuple[Label, ...], bool]:
    """What each dimension is after a reshape, and whether every axis is still in its place."""
    labels: list[Label] = []
    axes = list(range(len(place.map)))
    i = j = 0
    while i < len(shape) or j < len(after):
        begin, start = i, j
        one, two = 1, 1
        if i < len(shape):
            one, i = shape[i], i + 1
        if j < len(after):
            two, j = after[j], j + 1
        while one != two:
            if one < two:
                one, i = one * shape[i], i + 1
            else:
                two, j = two * after[j], j + 1
        group = [(n, place.labels[begin + k]) for k, n in enumerate(shape[begin:i])]
        labels += _labels_of(group, after[start:j], axes, place.map)
    found = [label for label in labels if isinstance(label, int)]
    return tuple(labels), bool(place.map) and (sorted(found) == axes or TOKENS in labels)


def _labels_of(group: list[tuple[int, Label]], after: Shape, axes: list[int], sizes: Axes) -> list[Label]:
    """The labels of the dimensions that a group of dimensions of the same size becomes."""
    labels = [label for _, label in group]
    if len(group) == len(after) == 1:
        return labels
    named = [(n, label) for n, label in group if label is not None]
    if not named:
        return [None] * len(after)
    plain = prod(n for n, label in group if label is None) == 1
    if len(after) == 1:
        if [label for _, label in named] == axes:
            return [TOKENS if plain else MIXED]
        if len(named) == 1 and plain:
            return [named[0][1]]
        return [MIXED] if {TOKENS, MIXED} & {label for _, label in named} else [None]
    if plain and len(named) == 1:
        size, label = named[0]
        wide = [k for k, n in enumerate(after) if n != 1]
        if label == TOKENS and tuple(after[k] for k in wide) == tuple(n for n in sizes if n != 1):
            given: list[Label] = [None] * len(after)
            for k, axis in zip(wide, [a for a, n in enumerate(sizes) if n != 1], strict=True):
                given[k] = axis
            return given
        if wide == [k for k, n in enumerate(after) if n == size]:
            return [label if k in wide else None for k in range(len(after))]
    return [None] * len(after)


def _permute(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    shape, place = inputs[0]
    order = list(range(len(shape)))
    if call.function == "permute":
        order = [int(dim) % len(shape) for dim in call["dims"]]
    elif call.function == "t":
        order = order[::-1]
    else:
        one, two = (int(call[key]) % len(shape) for key in ("dim0", "dim1"))
        order[one], order[two] = order[two], order[one]
    after = Place(tuple(place.labels[dim] for dim in order), place.map)
    return [Seen(Operation(call.function, outputs[0], view=True), "pixel", after)]


def _as_it_is(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    """The same elements in the same places, perhaps copied or broadcast."""
    place = _joined(inputs[:1], outputs[0])
    return [Seen(_operation(call, outputs[0]), "pixel", place or _lost(outputs[0]))]


def _unsqueeze(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    labels = list(inputs[0][1].labels)
    labels.insert(int(call["dim"]) % len(outputs[0]), None)
    after = Place(tuple(labels), inputs[0][1].map)
    return [Seen(Operation(call.function, outputs[0], view=True), "pixel", after)]


def _parts(call: Call, inputs: Inputs, outputs: Outputs) -> list[Seen]:
    """Slices along one dimension, which `select` and `unbind` take away."""
    shape, place = inputs[0]
    dim = int(call["dim"] or 0) % len(shape)
    labels = place.labels
    if len(outputs[0]) < len(shape):
        labels = (*labels[:dim], *labels[dim + 1 :])
    spatial = place.labels[dim] is not None
    return [
        Seen(
            Operation(call.function, each, view=True),
            "unknown" if spatial else "pixel",
            _lost(each) if spatial else Place(labels, place.map),
        )
        for each in outputs
    ]


Rule = Callable[[Call, Inputs, Outputs], list[Seen]]

#: The arguments of a nonlinearity, and what its `torch.nn` class calls them.
OPTIONS = {
    "min_val": "min_val", "max_val": "max_val", "negative_slope": "negative_slope", "alpha": "alpha",
    "beta": "beta", "threshold": "threshold",
}  # fmt: skip

#: What a padding that is none of zeros is called, by its mode.
PADDINGS = {"reflect": "reflection_pad", "replicate": "replication_pad", "circular": "circular_pad"}

#: The factors of a matrix product, by what their operators call them.
FACTORS = (("input", "weight"), ("self", "other"), ("self", "mat2"), ("mat1", "mat2"), ("batch1", "batch2"))

CONVOLUTIONS: dict[str, Rule] = dict.fromkeys(
    ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _convolution
)

#: What does MACs if one factor is a weight; of no part of the image too.
PRODUCTS: dict[str, Rule] = (
    CONVOLUTIONS | {"linear": _linear} | dict.fromkeys(("matmul", "mm", "bmm", "addmm", "baddbmm"), _product)
)

OPERATORS: dict[str, Rule] = (
    PRODUCTS
    | {"scaled_dot_product_attention": _opaque, "pad": _pad, "slice": _slice, "pixel_unshuffle": _unshuffle}
    | dict.fromkeys((f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)), _pool)
    | dict.fromkeys(("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices"), _pool)
    | dict.fromkeys((f"adaptive_{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)), _adaptive)
    | dict.fromkeys(
        ("pixel_shuffle", *(f"upsample_{how}" for how in (
            "nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d", "trilinear3d")),
         *(f"_upsample_{how}" for how in (
             "nearest_exact1d", "nearest_exact2d", "nearest_exact3d", "bilinear2d_aa", "bicubic2d_aa"))),
        _resize,
    )
    | dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"), _norm)
    | dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), _dropout)
    | dict.fromkeys(("relu", "silu", "gelu", "mish", "softplus", "masked_fill", "prelu", "where", "lerp",
                     "addcmul", "addcdiv", "copy", "nan_to_num", *NONLINEARITIES), _elementwise)
    | dict.fromkeys(("cat", "concat", "stack"), _concat)
    | dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "norm", "prod",
                     "linalg_vector_norm", "logsumexp", "argmax", "argmin", "softmax", "log_softmax", "cumsum",
                     "topk", "sort", "all", "any", "median"), _over)
    | dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "view_as",
                     "reshape_as"), _reshape)
    | dict.fromkeys(("permute", "transpose", "t"), _permute)
    | dict.fromkeys(("contiguous", "clone", "to", "_to_copy", "type_as", "alias", "detach", "expand",
                     "expand_as", "channel_shuffle"), _as_it_is)
    | dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind", "select", "narrow", "tensor_split"),
                    _parts)
    | {"unsqueeze": _unsqueeze}
    | dict.fromkeys(("index", "index_select", "gather", "roll", "flip", "repeat", "repeat_interleave", "tile",
                     "grid_sampler", "im2col", "col2im", "embedding", "scatter", "index_put", "unfold",
                     "new_zeros", "new_empty", "new_full", "new_ones", "zeros_like", "ones_like", "empty_like",
                     "zero", "fill", "one_hot", "scalar_tensor"), _moving)
)  # fmt: skip
