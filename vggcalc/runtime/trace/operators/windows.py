"""Operators whose output position sees a window of positions, or that shift or resize a feature map."""

from collections.abc import Sequence

import msgspec

from vggcalc.nets.layers import AdaptiveAvgPool2d, Axes, Layer, MaxPool2d, Operation, Shape, Window
from vggcalc.runtime.trace.calls import Call, each
from vggcalc.runtime.trace.operators.rules import Inputs, OpOutput, Outputs, operation
from vggcalc.runtime.trace.spatial_axes import SpatialAxes, no_axes, resized

#: What a padding that is none of zeros is called, by its mode.
PADDINGS = {"reflect": "reflection_pad", "replicate": "replication_pad", "circular": "circular_pad"}


def sliding(call: Call, shape: Shape, spatial: SpatialAxes, numbers: Sequence[Axes], view: bool = False) -> OpOutput:
    """A window over the last dimensions: kernel, stride, padding and dilation for each of them."""
    begin = len(shape) - len(numbers[0])
    if not spatial.sizes or not spatial.dimensions:
        return OpOutput(operation(call, shape), "unknown", no_axes(shape))
    neutral = (1, 1, 0, 1)
    kernel, stride, padding, dilation = (
        tuple(of[i - begin] if i >= begin else n for i in spatial.dimensions)
        for of, n in zip(numbers, neutral, strict=True)
    )
    if {*kernel, *stride} == {1} and set(padding) == {0} and resized(spatial, shape).sizes == spatial.sizes:
        return OpOutput(operation(call, shape), "pixel", resized(spatial, shape))
    layer = Window(call.function, shape, kernel, stride, padding, dilation, view)
    return OpOutput(layer, "window", resized(spatial, shape))


def pool(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Average and max pooling."""
    dims = int(call.function.partition("pool")[2][0])
    kernel = each(call["kernel_size"], dims)
    stride = each(call["stride"], dims) if call["stride"] else kernel
    padding = each(call["padding"], dims)
    dilation = each(call["dilation"] or 1, dims)
    (shape, spatial), ceil = inputs[0], bool(call["ceil_mode"])
    if call.function == "max_pool2d" and spatial.dimensions == (len(shape) - 2, len(shape) - 1):
        layer = MaxPool2d(kernel, stride, padding, dilation, ceil)
        return [OpOutput(layer, "window", resized(spatial, outputs[0]))]
    seen = sliding(call, outputs[0], spatial, (kernel, stride, padding, dilation))
    return [seen, *(OpOutput(operation(call, shape), seen.reach, seen.spatial) for shape in outputs[1:])]


def adaptive_pool(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """To a given size: what a position sees differs from one to the next, unless one sees all."""
    _, spatial = inputs[0]
    after = resized(spatial, outputs[0])
    reach = "unknown"
    if spatial.dimensions:
        reach = "pixel" if after.sizes == spatial.sizes else "image" if set(after.sizes) == {1} else "varies"
    layer: Layer = operation(call, outputs[0])
    if call.function == "adaptive_avg_pool2d":
        layer = AdaptiveAvgPool2d(tuple(outputs[0][-2:]))
    return [OpOutput(layer, reach, after), *(OpOutput(operation(call, s), reach, after) for s in outputs[1:])]


def pad(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A window of 1 shifted by what is padded on the left; other modes than zeros have their own names."""
    (shape, spatial), sides = inputs[0], list(call["pad"])
    left = [0] * len(shape)
    for i, n in enumerate(sides[::2]):
        left[-1 - i] = int(n)
    ones = (1,) * len(shape)
    seen = sliding(call, outputs[0], spatial, (ones, ones, tuple(left), ones))
    if isinstance(seen.layer, Window) and call["mode"] in PADDINGS:
        layer = msgspec.structs.replace(seen.layer, function=PADDINGS[call["mode"]])
        return [msgspec.structs.replace(seen, layer=layer)]
    return [seen]


def slice_along(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A window of 1 with the slice's step as stride, shifted by its start."""
    shape, spatial = inputs[0]
    dim = int(call["dim"]) % len(shape)
    start = int(call["start"] or 0)
    start = min(max(start + shape[dim] if start < 0 else start, 0), shape[dim])
    step = int(call["step"] or 1)
    if spatial.labels[dim] is None or (start == 0 and step == 1 and outputs[0] == shape):
        return [OpOutput(Operation(call.function, outputs[0], view=True), "pixel", resized(spatial, outputs[0]))]
    ones = (1,) * len(shape)
    stride = tuple(step if i == dim else 1 for i in range(len(shape)))
    shift = tuple(-start if i == dim else 0 for i in range(len(shape)))
    return [sliding(call, outputs[0], spatial, (ones, stride, shift, ones), view=True)]


def resize(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Interpolation and pixel shuffle."""
    _, spatial = inputs[0]
    after = resized(spatial, outputs[0])
    reach = "unknown" if not spatial.dimensions else "pixel" if after.sizes == spatial.sizes else "varies"
    aligned = {"align_corners": True} if call["align_corners"] else {}
    factors = call["scale_factors"]
    if factors and reach == "varies" and not aligned:
        rounded = any(f * n != m for f, n, m in zip(factors, spatial.sizes, after.sizes, strict=True))
        reach = "unknown" if rounded else reach  # torch then computes with the factor, not with the sizes
    return [OpOutput(operation(call, outputs[0], **aligned), reach, after)]


def unshuffle(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Pixel unshuffle: a window as wide as its stride."""
    factor = (int(call["downscale_factor"]),) * 2
    return [sliding(call, outputs[0], inputs[0][1], (factor, factor, (0, 0), (1, 1)))]
