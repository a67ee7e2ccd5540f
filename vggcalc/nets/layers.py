"""Every type of layer, in one module because together they are one tagged union, `Layer`.

A layer is a frozen Struct with the name and the arguments of its `torch.nn` class, so that
building it is a call with the same arguments. Shapes are `(batch, channels, height, width)`, and what there is for
each spatial axis is `(height, width)`; of 1-D layers it is `(length,)`, of 3-D ones `(depth, height, width)`.
Operators of a traced model that have no such class are an `Operation`, a `Window` or, without a formula, `Opaque`.
It is over 300 lines long because the members of a union must be in one module; each is only its fields.
"""

from collections.abc import Callable
from math import prod
from typing import ClassVar, Literal, Self

import msgspec

from vggcalc.errors import InputError

Pair = tuple[int, int]
#: One number for each spatial axis: (height, width), (length,) or (depth, height, width).
Axes = tuple[int, ...]
Shape = tuple[int, ...]

#: Beyond this no torch tensor has a dimension that its kernels can index.
LARGEST_DIMENSION = 2**31 - 1


class _Layer(msgspec.Struct, frozen=True, tag=True):
    pass


_SEQUENCES = (tuple, list)


def _expand_axes(layer: msgspec.Struct, argument: str, least: int, axes: int = 2) -> None:
    """Let one integer stand for every axis, as torch does. Raises `InputError` below `least`."""
    given = value = getattr(layer, argument)
    if isinstance(value, int):
        value = (value,) * axes
    if not isinstance(value, _SEQUENCES) or len(value) != axes:
        raise InputError(f"{argument} {value!r} is neither a number nor {_FOR_EACH_AXIS[axes]}")
    for number in value:
        if type(number) is not int or not least <= number <= LARGEST_DIMENSION:
            check_number(argument, number, least)
    if type(given) is not tuple:
        msgspec.structs.force_setattr(layer, argument, tuple(value))


def check_number(what: str, number: int, least: int = 1) -> None:
    """Raise `InputError` unless `number` is an integer of `least` … `LARGEST_DIMENSION`."""
    if type(number) is not int:
        raise InputError(f"{what} {number!r} is not a whole number")
    if not least <= number <= LARGEST_DIMENSION:
        bound = f"at least {least}" if number < least else f"at most {LARGEST_DIMENSION:,}"
        raise InputError(f"{what} {number} is out of range: it must be {bound}")


#: What the spatial axes are called, by how many there are; in torch's order.
AXIS_NAMES: dict[int, tuple[str, ...]] = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
_FOR_EACH_AXIS = {1: "(length,)", 2: "a pair (height, width)", 3: "(depth, height, width)"}


def check_dims(dims: object) -> None:
    """Raise `InputError` unless there are as many spatial axes as a convolution can have."""
    if type(dims) is not int or dims not in AXIS_NAMES:
        raise InputError(f"dims {dims!r} is none of 1, 2, 3")


def spatial(size: int | Axes, axes: int = 2) -> Axes:
    """A size along each spatial axis, from one number or all of them. Raises `InputError`."""
    found = (size,) * axes if isinstance(size, int) else size
    names = AXIS_NAMES[axes]
    if not isinstance(found, tuple | list) or len(found) != axes:
        raise InputError(f"size {size!r} is neither a number nor {_FOR_EACH_AXIS[axes]}")
    for what, number in zip(names, found, strict=True):
        check_number(what, number)
    return tuple(found)


class Convolution(_Layer, frozen=True):
    """The arguments that all convolutions have. An integer given for `Axes` stands for every axis.

    Raises `InputError` where a number is out of range or the groups do not divide the channels.
    """

    in_channels: int
    out_channels: int
    kernel_size: Axes
    stride: Axes = 1  # type: ignore[assignment]
    padding: Axes = 0  # type: ignore[assignment]
    dilation: Axes = 1  # type: ignore[assignment]
    groups: int = 1
    bias: bool = True

    axes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_number("in_channels", self.in_channels)
        check_number("out_channels", self.out_channels)
        check_number("groups", self.groups)
        _expand_axes(self, "kernel_size", 1, self.axes)
        _expand_axes(self, "stride", 1, self.axes)
        _expand_axes(self, "padding", 0, self.axes)
        _expand_axes(self, "dilation", 1, self.axes)
        for what, channels in (("in", self.in_channels), ("out", self.out_channels)):
            if channels % self.groups:
                raise InputError(
                    f"{self.groups} groups do not divide {what}_channels {channels}: "
                    f"groups must divide both in_channels and out_channels"
                )

    @property
    def parameters(self) -> int:
        """out·(in/groups)·∏ kernel, and out for the bias."""
        weights = self.out_channels * (self.in_channels // self.groups) * prod(self.kernel_size)
        return weights + self.out_channels * self.bias

    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Output elements × (in/groups)·∏ kernel, the weights that each one meets; padding counts as input."""
        return prod(output_shape) * (self.in_channels // self.groups) * prod(self.kernel_size)


class PlainConvolution(Convolution, frozen=True):
    """One that is not transposed. `padding` is on both sides of each axis, or in front of it where `padding_after`
    says what is behind it: a causal convolution has none there."""

    padding_after: Axes | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding_after is not None:
            _expand_axes(self, "padding_after", 0, self.axes)
            if self.padding_after == self.padding:
                msgspec.structs.force_setattr(self, "padding_after", None)

    @property
    def sides(self) -> tuple[Axes, Axes]:
        """The padding in front of each axis, and behind it."""
        return self.padding, self.padding if self.padding_after is None else self.padding_after

    def padded(self, before: Axes, after: Axes) -> Self:
        """The same with that padding in front of each axis, and behind it."""
        # until msgspec 0.21 nothing is checked in what replaces, so an `after` that says nothing is left out here
        return msgspec.structs.replace(self, padding=before, padding_after=None if after == before else after)


class Conv1d(PlainConvolution, frozen=True):
    """`torch.nn.Conv1d`."""

    axes: ClassVar[int] = 1


class Conv2d(PlainConvolution, frozen=True):
    """`torch.nn.Conv2d`."""


class Conv3d(PlainConvolution, frozen=True):
    """`torch.nn.Conv3d`."""

    axes: ClassVar[int] = 3


#: A convolution that is not transposed, of one to three dimensions.
Conv = Conv1d | Conv2d | Conv3d


class Transposed(Convolution, frozen=True):
    """The arguments that all transposed convolutions have: `stride`, `padding` and `dilation` are those of the
    convolution whose gradient it is."""

    output_padding: Axes = 0  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        _expand_axes(self, "output_padding", 0, self.axes)

    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Input elements × (out/groups)·∏ kernel."""
        return prod(input_shape) * (self.out_channels // self.groups) * prod(self.kernel_size)


class ConvTranspose1d(Transposed, frozen=True):
    """`torch.nn.ConvTranspose1d`."""

    axes: ClassVar[int] = 1


class ConvTranspose2d(Transposed, frozen=True):
    """`torch.nn.ConvTranspose2d`."""


class ConvTranspose3d(Transposed, frozen=True):
    """`torch.nn.ConvTranspose3d`."""

    axes: ClassVar[int] = 3


class BatchNorm(_Layer, frozen=True):
    """The arguments that all batch norms have, with running statistics."""

    num_features: int
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True

    @property
    def parameters(self) -> int:
        """A scale and a shift for each feature."""
        return 2 * self.num_features * self.affine


class BatchNorm1d(BatchNorm, frozen=True):
    """`torch.nn.BatchNorm1d` on `(batch, channels, length)`."""


class BatchNorm2d(BatchNorm, frozen=True):
    """`torch.nn.BatchNorm2d`."""


class BatchNorm3d(BatchNorm, frozen=True):
    """`torch.nn.BatchNorm3d`."""


class LocalResponseNorm(_Layer, frozen=True):
    """`torch.nn.LocalResponseNorm`; the defaults are those of Krizhevsky et al. 2012, section 3.3."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0


class ReLU(_Layer, frozen=True):
    """`torch.nn.ReLU`, in place where nothing else reads its input, as in torchvision's VGG."""

    inplace: bool = True


class GELU(_Layer, frozen=True):
    """`torch.nn.GELU`."""

    approximate: str = "none"


class SiLU(_Layer, frozen=True):
    """`torch.nn.SiLU`, in place where nothing else reads its input."""

    inplace: bool = True


class MaxPool(_Layer, frozen=True):
    """The arguments that all max-poolings have; they round down, or with `ceil_mode` up."""

    kernel_size: Axes = 2  # type: ignore[assignment]
    stride: Axes = 2  # type: ignore[assignment]
    padding: Axes = 0  # type: ignore[assignment]
    dilation: Axes = 1  # type: ignore[assignment]
    ceil_mode: bool = False

    axes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _expand_axes(self, "kernel_size", 1, self.axes)
        _expand_axes(self, "stride", 1, self.axes)
        _expand_axes(self, "padding", 0, self.axes)
        _expand_axes(self, "dilation", 1, self.axes)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise InputError(f"pool padding {self.padding} is more than half of {self.kernel_size}")


class MaxPool1d(MaxPool, frozen=True):
    """`torch.nn.MaxPool1d`."""

    axes: ClassVar[int] = 1


class MaxPool2d(MaxPool, frozen=True):
    """`torch.nn.MaxPool2d`."""


class MaxPool3d(MaxPool, frozen=True):
    """`torch.nn.MaxPool3d`."""

    axes: ClassVar[int] = 3


class AdaptiveAvgPool(_Layer, frozen=True):
    """An average pooling to a given size."""

    output_size: Axes

    axes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _expand_axes(self, "output_size", 1, self.axes)


class AdaptiveAvgPool1d(AdaptiveAvgPool, frozen=True):
    """`torch.nn.AdaptiveAvgPool1d`."""

    axes: ClassVar[int] = 1


class AdaptiveAvgPool2d(AdaptiveAvgPool, frozen=True):
    """`torch.nn.AdaptiveAvgPool2d`."""


class AdaptiveAvgPool3d(AdaptiveAvgPool, frozen=True):
    """`torch.nn.AdaptiveAvgPool3d`."""

    axes: ClassVar[int] = 3


class Flatten(_Layer, frozen=True):
    """`torch.nn.Flatten`: a view, which moves nothing."""


class Linear(_Layer, frozen=True):
    """`torch.nn.Linear` on `(…, in_features)`."""

    in_features: int
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_number("in_features", self.in_features)
        check_number("out_features", self.out_features)


class Dropout(_Layer, frozen=True):
    """`torch.nn.Dropout`: nothing in inference."""

    p: float = 0.5


class Add(_Layer, frozen=True):
    """Elementwise sum of two or more tensors of one shape."""


class Concat(_Layer, frozen=True):
    """Concatenation of two or more tensors along the channels."""


class Window(_Layer, frozen=True):
    """An operator without weights that slides over the feature map or shifts it; `function` is torch's name.

    An average pooling, a padding (kernel 1, `padding` on the left) or a slice (kernel 1, its step as the stride
    and minus its start as the padding). Its output has `output_shape`; a `view` moves no data.
    """

    function: str
    output_shape: Shape
    kernel_size: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    view: bool = False


class Operation(_Layer, frozen=True):
    """An operator that does no MACs: `function` is torch's name for it.

    Its output has `output_shape`; a `view` moves no data, and `inplace` overwrites its first input.
    `options` are those of its arguments that formulas and rebuilding need.
    """

    function: str
    output_shape: Shape
    view: bool = False
    inplace: bool = False
    options: dict[str, int | float | bool | str] = {}


class Opaque(_Layer, frozen=True):
    """An operator without a formula: only its parameters and its shapes are known."""

    function: str
    output_shape: Shape


class MatrixProduct(_Layer, frozen=True):
    """An operator that multiplies matrices and is no Linear layer nor a convolution with weights.

    A product of two activations (attention's QKᵀ, `matmul`, a convolution whose kernel is computed from the input),
    or several products with weights in one operator (an LSTM). Of its `macs` multiply-accumulates `product_macs`
    multiply two activations with each other. `saves` says what autograd saves: its "factors"; "attention", which
    are query, key, value, output and a float32 for each row; attention's "parts", where torch has no fused kernel for
    it: query and key scaled, the softmax's output, and value; or it is "unknown", also how often training multiplies
    with the "state" of a recurrent network. `copies` are the elements that torch copies of each factor, and of
    attention's mask, expanded, made contiguous or numbers of booleans; 0 where it takes it as it is. Of attention's
    parts they are those of query, key, the softmax's output, and the value where it is copied.
    """

    function: str
    output_shape: Shape
    macs: int
    product_macs: int = 0
    saves: Literal["factors", "attention", "parts", "state", "unknown"] = "unknown"
    copies: tuple[int, ...] = ()


class CustomOperator(_Layer, frozen=True):
    """An operator, or a module as a whole, whose MACs come from a formula of the user's: see `register_formula`."""

    function: str
    output_shape: Shape
    macs: int


#: The functions of `Operation`s that are nonlinearities without parameters, and their `torch.nn` classes.
NONLINEARITIES: dict[str, str] = {
    "celu": "CELU",
    "elu": "ELU",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "hardtanh": "Hardtanh",
    "leaky_relu": "LeakyReLU",
    "mish": "Mish",
    "selu": "SELU",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "tanh": "Tanh",
}


def is_nonlinearity(layer: "Layer") -> bool:
    """Whether it is an activation function without parameters."""
    kind = type(layer)
    return kind in _ACTIVATIONS or (kind is Operation and layer.function in NONLINEARITIES)  # type: ignore[union-attr]


_ACTIVATIONS = frozenset((ReLU, GELU, SiLU))


Layer = (
    Conv1d
    | Conv2d
    | Conv3d
    | ConvTranspose1d
    | ConvTranspose2d
    | ConvTranspose3d
    | BatchNorm1d
    | BatchNorm2d
    | BatchNorm3d
    | LocalResponseNorm
    | ReLU
    | GELU
    | SiLU
    | MaxPool1d
    | MaxPool2d
    | MaxPool3d
    | AdaptiveAvgPool1d
    | AdaptiveAvgPool2d
    | AdaptiveAvgPool3d
    | Flatten
    | Linear
    | Dropout
    | Add
    | Concat
    | Window
    | Operation
    | Opaque
    | MatrixProduct
    | CustomOperator
)

#: The kinds that do no MACs, by definition.
WEIGHTLESS = (
    ReLU,
    BatchNorm,
    MaxPool,
    Operation,
    Window,
    Add,
    Concat,
    Dropout,
    Flatten,
    AdaptiveAvgPool,
    LocalResponseNorm,
    GELU,
    SiLU,
)

#: By name, which for all but the last five is that of its `torch.nn` class.
LAYERS: dict[str, Callable[..., Layer]] = {kind.__name__: kind for kind in Layer.__args__}


def is_view(layer: Layer) -> bool:
    """Whether its output is, in inference, the same memory as its input."""
    kind = type(layer)
    return kind in VIEWS or (kind in _TRACED and layer.view)  # type: ignore[union-attr]


IN_PLACE = frozenset((ReLU, SiLU))
VIEWS, _TRACED = frozenset((Flatten, Dropout)), frozenset((Window, Operation))


def in_axes(kind: str, axes: int) -> Callable[..., Layer]:
    """The class of a kind that there is for one to three spatial axes: "Conv", "BatchNorm", "MaxPool" and others.

    >>> in_axes("Conv", 3).__name__
    'Conv3d'
    """
    return LAYERS[f"{kind}{axes}d"]


#: What has weights that every output element meets.
WEIGHTED = (Convolution, Linear)
