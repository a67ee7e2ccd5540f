"""What one call of a torch operator is: the layer, what its units see, and where its axes stand.

A function for each kind of operator, and the operators' names at the foot. What is not listed is
asked for its parts, and what has none becomes `Opaque`: nothing that is unknown is taken for nothing.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import cast

import msgspec

from vggcalc.nets.layers import (
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
from vggcalc.runtime.trace.calls import CONVOLUTIONS, PRODUCTS, Call, each, factors
from vggcalc.runtime.trace.spatial_axes import MIXED, TOKENS, Place, joined, kept, lost, regrouped


class OpOutput(msgspec.Struct, frozen=True):
    """One output of a call: see `Traced` for `reach`."""

    layer: Layer
    reach: str
    place: Place


def look(call: Call, inputs: Sequence[tuple[Shape, Place]], outputs: Sequence[Shape]) -> list[OpOutput]:
    """Each output of a call, from the shapes and places of its active inputs and its outputs' shapes."""
    rule = OPERATORS.get(call.function) if call.aten else None  # another library's operator may have the same name
    rule = rule or (_elementwise if call.pointwise else opaque)
    return rule(call, inputs, outputs)


def known(call: Call) -> bool:
    """Whether there is a rule for it, so that it need not be asked for its parts."""
    return (call.aten and call.function in OPERATORS) or call.pointwise


Inputs = Sequence[tuple[Shape, Place]]
Outputs = Sequence[Shape]


def _operation(call: Call, shape: Shape, **options: int | float | bool | str) -> Operation:
    return Operation(call.function, shape, inplace=call.mutates, options=options)


def opaque(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """An operator without a formula: it may do MACs, and nobody says how many."""
    return [OpOutput(Opaque(call.function, shape), "unknown", lost(shape)) for shape in outputs]


def _moving(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """It puts elements elsewhere, no one knows from outside where."""
    return [OpOutput(_operation(call, shape), "unknown", lost(shape)) for shape in outputs]


# BatchedConv2d and matrix products.


def _convolution(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    if not call.depends("input") and call.depends("weight"):
        return opaque(call, inputs, outputs)
    weight, transposed = call["weight"], call.function.startswith("conv_transpose")
    axes = weight.dim() - 2
    groups = int(call["groups"])
    into, out_of = int(weight.shape[1]) * groups, int(weight.shape[0])
    if transposed:
        into, out_of = int(weight.shape[0]), int(weight.shape[1]) * groups
    numbers = {key: each(call[key], axes) for key in ("stride", "padding", "dilation")}
    if transposed:
        numbers["output_padding"] = each(call["output_padding"], axes)
    kind = LAYERS[f"Conv{'Transpose' if transposed else ''}{axes}d"]
    layer = kind(
        in_channels=into,
        out_channels=out_of,
        kernel_size=tuple(map(int, weight.shape[2:])),
        groups=groups,
        bias=call["bias"] is not None,
        **numbers,
    )
    place = inputs[0][1] if inputs else lost(outputs[0])
    slides = place.axes == tuple(range(len(outputs[0]) - axes, len(outputs[0])))
    reach = "window" if slides and len(place.map) == axes else "unknown"
    return [OpOutput(layer, reach, kept(place, outputs[0]) if slides else lost(outputs[0]))]


def _linear(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    return _weighted(call, "input", "weight", call["bias"] is not None, int(call["weight"].shape[0]), inputs, outputs)


def _product(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A matrix product: a linear layer where its second factor does not depend on the image."""
    one, two = factors(call)
    if call[two].dim() < 2:
        return opaque(call, inputs, outputs)
    return _weighted(call, one, two, False, int(call[two].shape[-1]), inputs, outputs)


def _weighted(
    call: Call, one: str, two: str, bias: bool, out_features: int, inputs: Inputs, outputs: Outputs
) -> list[OpOutput]:
    if call.depends(two) or (inputs and not call.depends(one)):
        return opaque(call, inputs, outputs)
    layer = Linear(int(call[one].shape[-1]), out_features, bias)
    if not inputs:
        return [OpOutput(layer, "unknown", lost(outputs[0]))]
    place = inputs[0][1]
    label = place.labels[-1]
    reach = "pixel" if label is None else "image" if label in (TOKENS, MIXED) else "unknown"
    if reach == "unknown" and len(place.map) == 1:  # its only axis
        reach = "image"
    after = Place((*place.labels[:-1], None), place.map) if reach == "pixel" else lost(outputs[0])
    return [OpOutput(layer, reach, after)]


# What slides over the map or shifts it.


def _slid(call: Call, shape: Shape, place: Place, numbers: Sequence[Axes], view: bool = False) -> OpOutput:
    """A window over the last dimensions: kernel, stride, padding and dilation for each of them."""
    begin = len(shape) - len(numbers[0])
    if not place.map or not place.axes:
        return OpOutput(_operation(call, shape), "unknown", lost(shape))
    neutral = (1, 1, 0, 1)
    kernel, stride, padding, dilation = (
        tuple(of[i - begin] if i >= begin else n for i in place.axes) for of, n in zip(numbers, neutral, strict=True)
    )
    if {*kernel, *stride} == {1} and set(padding) == {0} and kept(place, shape).map == place.map:
        return OpOutput(_operation(call, shape), "pixel", kept(place, shape))
    layer = Window(call.function, shape, kernel, stride, padding, dilation, view)
    return OpOutput(layer, "window", kept(place, shape))


def _pool(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    axes = int(call.function.partition("pool")[2][0])
    kernel = each(call["kernel_size"], axes)
    stride = each(call["stride"], axes) if call["stride"] else kernel
    padding = each(call["padding"], axes)
    dilation = each(call["dilation"] or 1, axes)
    (shape, place), ceil = inputs[0], bool(call["ceil_mode"])
    if call.function == "max_pool2d" and place.axes == (len(shape) - 2, len(shape) - 1):
        layer = MaxPool2d(kernel, stride, padding, dilation, ceil)
        return [OpOutput(layer, "window", kept(place, outputs[0]))]
    seen = _slid(call, outputs[0], place, (kernel, stride, padding, dilation))
    return [seen, *(OpOutput(_operation(call, shape), seen.reach, seen.place) for shape in outputs[1:])]


def _adaptive(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    _, place = inputs[0]
    after = kept(place, outputs[0])
    reach = "unknown"
    if place.axes:
        reach = "pixel" if after.map == place.map else "image" if set(after.map) == {1} else "varies"
    layer: Layer = _operation(call, outputs[0])
    if call.function == "adaptive_avg_pool2d":
        layer = AdaptiveAvgPool2d(tuple(outputs[0][-2:]))
    return [OpOutput(layer, reach, after), *(OpOutput(_operation(call, s), reach, after) for s in outputs[1:])]


def _pad(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
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


def _slice(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    shape, place = inputs[0]
    dim = int(call["dim"]) % len(shape)
    start = int(call["start"] or 0)
    start = min(max(start + shape[dim] if start < 0 else start, 0), shape[dim])
    step = int(call["step"] or 1)
    if place.labels[dim] is None or (start == 0 and step == 1 and outputs[0] == shape):
        return [OpOutput(Operation(call.function, outputs[0], view=True), "pixel", kept(place, outputs[0]))]
    ones = (1,) * len(shape)
    stride = tuple(step if i == dim else 1 for i in range(len(shape)))
    shift = tuple(-start if i == dim else 0 for i in range(len(shape)))
    return [_slid(call, outputs[0], place, (ones, stride, shift, ones), view=True)]


def _resize(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    _, place = inputs[0]
    after = kept(place, outputs[0])
    reach = "unknown" if not place.axes else "pixel" if after.map == place.map else "varies"
    aligned = {"align_corners": True} if call["align_corners"] else {}
    factors = call["scale_factors"]
    if factors and reach == "varies" and not aligned:
        rounded = any(f * n != m for f, n, m in zip(factors, place.map, after.map, strict=True))
        reach = "unknown" if rounded else reach  # torch then reckons with the factor, not with the sizes
    return [OpOutput(_operation(call, outputs[0], **aligned), reach, after)]


def _unshuffle(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    factor = (int(call["downscale_factor"]),) * 2
    return [_slid(call, outputs[0], inputs[0][1], (factor, factor, (0, 0), (1, 1)))]


# What looks at one unit.


def _elementwise(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    shape = outputs[0]
    place = joined(inputs, shape)
    reach = "unknown" if place is None else "pixel"
    layer: Layer = _operation(call, shape)
    match call.function:
        case "relu":
            layer = ReLU(call.mutates)
        case "silu":
            layer = SiLU(call.mutates)
        case "gelu":
            layer = GELU(str(call["approximate"]))
        case "add" if not call.mutates and len(inputs) == 2 and inputs[0][0] == inputs[1][0] and call["alpha"] == 1:
            layer = Add()
        case "mul" | "div":
            kind = call.other + "first" * (call.function == "div" and not call.depends("self"))
            layer = _operation(call, shape, **({"other": kind} if kind != "another" else {}))
        case function if function in NONLINEARITIES:
            options = {key: call[key] for key in OPTIONS if call[key] is not None}
            layer = _operation(call, shape, **options)
    return [OpOutput(layer, reach, place or lost(shape)), *_moving(call, inputs, outputs[1:])]


def _norm(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
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
    return [OpOutput(layer, "pixel", place)]


def _dropout(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    layer: Layer = Operation(call.function, outputs[0], view=not call["train"])
    if call.function == "dropout" and not call["train"]:
        layer = Dropout(float(call["p"]))
    return [OpOutput(layer, "pixel", inputs[0][1])]


def _concat(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    shape = outputs[0]
    if call.function == "stack":
        dim = int(call["dim"]) % len(shape)
        inputs = [((*s[:dim], 1, *s[dim:]), Place((*p.labels[:dim], None, *p.labels[dim:]), p.map)) for s, p in inputs]
    dim = int(call["dim"]) % len(shape)
    layer: Layer = _operation(call, shape)
    if call.function == "cat" and dim == 1 and len(inputs) == len(call["tensors"]):
        layer = Concat()
    if any(place.labels[dim] is not None for _, place in inputs):
        return [OpOutput(layer, "unknown", lost(shape))]
    place = joined([((*s[:dim], shape[dim], *s[dim + 1 :]), p) for s, p in inputs], shape)
    return [OpOutput(layer, "unknown" if place is None else "pixel", place or lost(shape))]


# What looks along whole dimensions.


def _over(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
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
        where = place
    elif looked:
        where = lost(after)
    elif len(after) == len(shape):
        where = kept(place, after)
    else:
        where = Place(tuple(label for i, label in enumerate(place.labels) if i not in along), place.map)
    return [OpOutput(_operation(call, each), reach, where if each == after else lost(each)) for each in outputs]


# What only names the elements anew.


def _reshape(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    (shape, place), after = inputs[0], outputs[0]
    labels, whole = regrouped(shape, place, after)
    moved = Place(labels, place.map if whole else ())
    reach = "pixel" if whole or not place.map else "image" if MIXED in labels else "unknown"
    layer: Layer = Operation(call.function, after, view=True)
    if call.function == "flatten" and len(after) == 2 and call["start_dim"] == 1:
        layer = Flatten()
    return [OpOutput(layer, reach, moved)]


def _permute(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
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
    return [OpOutput(Operation(call.function, outputs[0], view=True), "pixel", after)]


def _as_it_is(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """The same elements in the same places, perhaps copied or broadcast."""
    place = joined(inputs[:1], outputs[0])
    return [OpOutput(_operation(call, outputs[0]), "pixel", place or lost(outputs[0]))]


def _unsqueeze(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    labels = list(inputs[0][1].labels)
    labels.insert(int(call["dim"]) % len(outputs[0]), None)
    after = Place(tuple(labels), inputs[0][1].map)
    return [OpOutput(Operation(call.function, outputs[0], view=True), "pixel", after)]


def _parts(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Slices along one dimension, which `select` and `unbind` take away."""
    shape, place = inputs[0]
    dim = int(call["dim"] or 0) % len(shape)
    labels = place.labels
    if len(outputs[0]) < len(shape):
        labels = (*labels[:dim], *labels[dim + 1 :])
    spatial = place.labels[dim] is not None
    return [
        OpOutput(
            Operation(call.function, each, view=True),
            "unknown" if spatial else "pixel",
            lost(each) if spatial else Place(labels, place.map),
        )
        for each in outputs
    ]


Rule = Callable[[Call, Inputs, Outputs], list[OpOutput]]

#: The arguments of nonlinearities, which their `torch.nn` classes call by the same names.
OPTIONS = ("alpha", "beta", "max_val", "min_val", "negative_slope", "threshold")

#: What a padding that is none of zeros is called, by its mode.
PADDINGS = {"reflect": "reflection_pad", "replicate": "replication_pad", "circular": "circular_pad"}

OPERATORS: dict[str, Rule] = (
    dict.fromkeys(PRODUCTS, cast(Rule, _product))
    | dict.fromkeys(CONVOLUTIONS, _convolution)
    | {"linear": _linear, "scaled_dot_product_attention": opaque}
    | {"pad": _pad, "slice": _slice, "pixel_unshuffle": _unshuffle, "unsqueeze": _unsqueeze}
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
    | dict.fromkeys(("index", "index_select", "gather", "roll", "flip", "repeat", "repeat_interleave", "tile",
                     "grid_sampler", "im2col", "col2im", "embedding", "scatter", "index_put", "unfold",
                     "new_zeros", "new_empty", "new_full", "new_ones", "zeros_like", "ones_like", "empty_like",
                     "zero", "fill", "one_hot", "scalar_tensor"), _moving)
)  # fmt: skip
