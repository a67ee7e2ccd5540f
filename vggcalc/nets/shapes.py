"""The shape of every tensor in a network, as torch computes it."""

from collections.abc import Iterable
from typing import assert_never

from vggcalc.errors import FeatureMapTooSmall, InputError
from vggcalc.nets.graph import INPUT, Network
from vggcalc.nets.layers import (
    AXIS_NAMES,
    GELU,
    LARGEST_DIMENSION,
    AdaptiveAvgPool,
    Add,
    Axes,
    BatchNorm,
    Concat,
    Convolution,
    CustomOperator,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MatrixProduct,
    MaxPool,
    Opaque,
    Operation,
    PlainConvolution,
    ReLU,
    Shape,
    SiLU,
    Transposed,
    Window,
    check_number,
)


def window_extent(layer: Convolution | MaxPool | Window) -> Axes:
    """The dilated kernel along each axis: dilation × (kernel − 1) + 1 positions."""
    return tuple([d * (k - 1) + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)])


def _slide(layer: Convolution | MaxPool, size: Shape) -> Shape:
    """The size after a sliding window: floor((size + 2·padding − window) / stride) + 1 (torch's rule).

    With `ceil_mode` it is rounded up, but a window must begin within the input or its left padding.
    """
    if len(size) != len(layer.stride):
        needed = ", ".join(AXIS_NAMES[layer.axes])
        raise InputError(f"it needs (batch, channels, {needed}), but the feature map is {size}")
    before, after = layer.sides if isinstance(layer, PlainConvolution) else (layer.padding, layer.padding)
    numbers = zip(size, before, after, layer.stride, layer.kernel_size, layer.dilation, strict=True)
    if isinstance(layer, MaxPool) and layer.ceil_mode:
        found = [_ceiled(n, p, s, n + p + q - d * (k - 1) - 1) for n, p, q, s, k, d in numbers]
    else:
        found = [(n + p + q - d * (k - 1) - 1) // s + 1 for n, p, q, s, k, d in numbers]
    for n in found:
        if n < 1:
            raise _too_small(layer, size)
    return tuple(found)


def _ceiled(size: int, padding: int, stride: int, span: int) -> int:
    steps = -(-span // stride)
    return 0 if span < 0 else steps + (steps * stride < size + padding)


def _too_small(layer: Convolution | MaxPool, size: Shape) -> FeatureMapTooSmall:
    before, after = layer.sides if isinstance(layer, PlainConvolution) else (layer.padding, layer.padding)
    padded = f", padded to {_by(map(sum, zip(size, before, after, strict=True)))},"
    return FeatureMapTooSmall(
        f"a {_by(size)} feature map{padded * any((*before, *after))} is smaller than the "
        f"{_by(window_extent(layer))} window"
    )


def _by(numbers: Iterable[int]) -> str:
    return "×".join(map(str, numbers))


def _transposed(layer: Transposed, size: Shape) -> Shape:
    """(size − 1)·stride − 2·padding + dilation·(kernel − 1) + output padding + 1 (torch's rule)."""
    return tuple(
        (n - 1) * s - 2 * p + w + extra
        for n, s, p, w, extra in zip(
            size, layer.stride, layer.padding, window_extent(layer), layer.output_padding, strict=True
        )
    )


#: The types that record their output's shape.
_RECORDED = frozenset((Window, Operation, Opaque, MatrixProduct, CustomOperator))


def output_shape(layer: Layer, inputs: list[Shape]) -> Shape:
    """The shape that `layer` makes of its inputs' shapes; raises `InputError` where they do not fit."""
    if type(layer) in _RECORDED:
        return layer.output_shape  # type: ignore[union-attr]
    first = inputs[0]
    match layer:
        case Convolution():
            lead = len(first) - layer.axes - 1
            if lead < 0 or first[lead] != layer.in_channels:
                raise InputError(f"in_channels is {layer.in_channels}, but the input is {first}")
            area = first[lead + 1 :]
            area = _transposed(layer, area) if isinstance(layer, Transposed) else _slide(layer, area)
            return (*first[:lead], layer.out_channels, *area)
        case ReLU() | GELU() | SiLU() | Dropout() | LocalResponseNorm():
            return first
        case BatchNorm():
            if first[1] != layer.num_features:
                raise InputError(f"num_features is {layer.num_features}, but the input is {first}")
            return first
        case MaxPool():
            return (*first[: -layer.axes], *_slide(layer, first[-layer.axes :]))
        case AdaptiveAvgPool():
            if len(first) <= layer.axes:
                needed = ", ".join(AXIS_NAMES[layer.axes])
                raise InputError(f"it needs (batch, channels, {needed}), but the input is {first}")
            return (*first[: -layer.axes], *layer.output_size)
        case Flatten():
            size = 1
            for n in first[1:]:
                size *= n
            return first[0], size
        case Linear():
            if first[-1] != layer.in_features:
                raise InputError(f"in_features is {layer.in_features}, but the input is {first}")
            return (*first[:-1], layer.out_features)
        case Add():
            if any(shape != first for shape in inputs):
                raise InputError(f"shapes differ: {inputs}")
            return first
        case Concat():
            if any((shape[0], *shape[2:]) != (first[0], *first[2:]) for shape in inputs):
                raise InputError(f"shapes differ beside their channels: {inputs}")
            return (first[0], sum(shape[1] for shape in inputs), *first[2:])
        case Window() | Operation() | Opaque() | MatrixProduct() | CustomOperator():
            return layer.output_shape
        case _:
            assert_never(layer)


def shapes(network: Network) -> dict[str, Shape]:
    """The shape of every node's output, and of `input`.

    Raises `InputError` naming the node, and, where a feature map shrank to nothing, the input size needed.
    """
    axes = AXIS_NAMES.get(len(network.input_shape) - 2, ())
    if not axes and network.layout != "traced":
        raise InputError(f"input_shape {network.input_shape} is not (batch, channels, height, width), nor 1-D or 3-D")
    for what, number in zip(("batch", "channels", *axes), network.input_shape, strict=False):
        check_number(what, number)
    try:
        return propagate(network, network.input_shape)
    except FeatureMapTooSmall as error:
        raise FeatureMapTooSmall(f"{error}{_size_needed(network)}") from None


def map_sizes(network: Network, padding: str) -> dict[str, Axes | None]:
    """Every node's spatial size if all convolutions had torch's padding="same", or padding="valid".

    "same" is dilation·(k − 1) in all, which keeps the size at stride 1; "valid" is no padding. None where there is no
    feature map: behind a `Flatten`, or where it has shrunk to nothing.
    """
    known: dict[str, Shape] = {INPUT: network.input_shape}
    sizes: dict[str, Axes | None] = {}
    for node in network.nodes:
        layer = node.layer
        if isinstance(layer, PlainConvolution):
            total = [(w - 1) * (padding == "same") for w in window_extent(layer)]
            before = tuple(n // 2 for n in total)
            after = tuple(n - n // 2 for n in total)
            layer = layer.padded(before, after)
        try:
            shape = output_shape(layer, [known[name] for name in node.inputs])
        except (KeyError, InputError):  # its input has no feature map, or too small a one
            sizes[node.name] = None
        else:
            known[node.name] = shape
            sizes[node.name] = shape[2:] or None
    return sizes


def propagate(network: Network, input_shape: Shape) -> dict[str, Shape]:
    """As `shapes`, for an input shape that the caller chooses and that is not checked. Raises `InputError`."""
    known: dict[str, Shape] = {INPUT: input_shape}
    for node in network.nodes:
        try:
            known[node.name] = output_shape(node.layer, [known[name] for name in node.inputs])
        except InputError as error:
            raise type(error)(f"{node.name}: {error}") from None
    return known


def _size_needed(network: Network) -> str:
    """The smallest input, as large along every axis, that passes; sizes grow with it, so bisection finds it."""
    axes = len(network.input_shape) - 2

    def passes(size: int) -> bool:
        try:
            propagate(network, (*network.input_shape[:2], *(size,) * axes))
        except FeatureMapTooSmall:
            return False
        except InputError:  # past all windows: a linear layer met another size than its own
            return True
        return True

    low, high = 0, 1
    while not passes(high):
        low, high = high, high * 2
        if high > LARGEST_DIMENSION:
            return ""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return f"; the input must be at least {_by([high] * axes)}"
