"""`factorize`: what one convolution and its factorizations cost, on paper."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from vggcalc.analysis.kernels import factorize_kernel
from vggcalc.errors import InputError
from vggcalc.library import arguments, per_axis
from vggcalc.library.factorizing import FactorizingOptions, Into, check_ends
from vggcalc.nets.kernel import Kernel
from vggcalc.nets.layers import Axes, check_dims
from vggcalc.nets.names import ACTIVATIONS
from vggcalc.nets.vgg import INPUT_SIZES
from vggcalc.results import Comparison

if TYPE_CHECKING:
    from torch import Tensor


class KernelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel's arguments as users write them: `channels` for both ends, `depthwise` for the groups.

    None stands for the default of `Kernel`, or with `stem` for that of a network's first layer.
    """

    dims: int | None = None
    channels: int | None = None
    in_channels: int | None = None
    out_channels: int | None = None
    size: Any = None
    batch: int | None = None
    stride: Any = None
    padding: Any = "same"
    causal: bool = False
    dilation: Any = 1
    groups: int | None = None
    depthwise: bool = False
    bias: bool = True
    batch_norm: bool = False
    activation: str = "relu"

    def axes(self, kernel_size: int | Axes) -> int:
        """How many spatial axes there are: `dims`, or as many as an argument has numbers, or two."""
        numbers = (
            kernel_size,
            None if self.size is None else per_axis.parse_size(self.size),
            None if self.stride is None else per_axis.parse_stride(self.stride),
            per_axis.parse_dilation(self.dilation),
            per_axis.parse_padding(self.padding),
        )
        return self.dims or next((len(value) for value in numbers if isinstance(value, tuple)), 2)

    def kernel(self, kernel_size: int | Axes) -> Kernel:
        """The kernel of that size, of options that are checked."""
        both = 64 if self.channels is None else self.channels
        into = both if self.in_channels is None else self.in_channels
        groups = into if self.depthwise else 1 if self.groups is None else self.groups
        return Kernel(
            kernel_size,
            into,
            both if self.out_channels is None else self.out_channels,
            None if self.size is None else per_axis.parse_size(self.size),
            1 if self.batch is None else self.batch,
            1 if self.stride is None else per_axis.parse_stride(self.stride),
            per_axis.parse_padding(self.padding),
            per_axis.parse_dilation(self.dilation),
            groups,
            self.bias,
            self.batch_norm,
            self.activation,
            self.axes(kernel_size),
            self.causal,
        )

    def check(self) -> None:
        """Raise `InputError` for arguments that contradict each other, `TypeError` for a type that is not accepted."""
        arguments.check_whole(
            channels=self.channels,
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            batch=self.batch,
            dims=self.dims,
            groups=self.groups,
        )
        if self.dims is not None:
            check_dims(self.dims)
        arguments.check_flags(depthwise=self.depthwise, causal=self.causal, bias=self.bias, batch_norm=self.batch_norm)
        arguments.word("activation", self.activation, ACTIVATIONS)
        check_ends(self.channels, self.in_channels, self.out_channels, self.depthwise, self.groups)


def factorize(
    kernel: int | str | Sequence[int],
    *,
    dims: int | None = None,
    channels: int | None = None,
    in_channels: int | None = None,
    out_channels: int | None = None,
    size: int | str | Sequence[int] | None = None,
    batch: int = 1,
    stride: int | str | Sequence[int] | None = None,
    padding: int | str | Sequence[int] | None = "same",
    causal: bool = False,
    dilation: int | str | Sequence[int] = 1,
    groups: int | None = None,
    depthwise: bool = False,
    bias: bool = True,
    batch_norm: bool = False,
    activation: str = "relu",
    into: Into = None,
    stride_at: str | int | Sequence[str | int] | None = None,
    widths: int | str | Sequence[int] | Sequence[Sequence[int]] | None = None,
    widen: str | None = None,
    pad_at: str | None = None,
    between: str | None = None,
    stem: bool = False,
    weights: "str | os.PathLike[str] | Tensor | None" = None,
    key: str | None = None,
    dtype: Any = "float32",
) -> Comparison:
    """One convolution, `naive`, against its stack of 3×3 layers, `factorized`, or the families that `into` names.

    Kernel, size, stride, padding and dilation are one number, or one for each spatial axis.

    Args:
        kernel: 7, "1x7", or (5, 7, 7).
        dims: how many spatial axes there are: 1, 2 or 3; as many as one of the arguments has numbers, else 2.
        channels: in and out; 64 unless `in_channels` or `out_channels` say otherwise.
        size: of the input; 56 unless given, in one dimension 3136, in three 16.
        padding: "same", which keeps the size at stride 1, or positions on each side.
        causal: all of the padding that keeps the size is in front of the first axis, which is time: no output
            depends on a later input, as in WaveNet.
        depthwise: as many groups as channels in.
        into: families such as "stack,asymmetric", "all", or factorizations by the names of the variants.
        stride_at: which layer has the stride: "last", "first" of as few as cover the kernel, or its number; several
            make a variant each.
        widths: channels out of each layer, or one number for all but the last; several lists make a variant each.
        widen: which layer changes the channels, "first" or "last".
        pad_at: which layer pads: "each" for its own window, or "first" for all: the maps between are then larger.
        between: the "activation", or "nothing": with that, layers that pad first are one convolution, edges included.
        stem: ask for a network's first layer: 3 → 64 channels, stride 2, 224×224, in every placement of the stride.
        weights: a trained kernel: a tensor, or a .safetensors or .pt file, of which nothing but tensors is unpickled.
            Its shape says channels and groups. Each variant's `fitted` is what its nearest weights say of the kernel.
        key: the kernel's name in the file, such as "features.0.weight"; needed where there are several.
        dtype: in which bytes are counted: a name, an alias such as "fp16", or a torch.dtype.

    Returns:
        A comparison; a family that cannot be made of this kernel is in its `infeasible`.

    Raises:
        TypeError: an argument is of a type that is not accepted.
        InputError: there is no such convolution, or no family can be made of it.

    >>> vggcalc.factorize(7).ratio("factorized").macs
    0.5510204081632653
    >>> vggcalc.factorize(31, depthwise=True, channels=256)["factorized"].parameters
    38400
    >>> vggcalc.factorize(15, dims=1, causal=True)["factorized"].receptive_field
    ReceptiveField(size=(15,), stride=(1,), padding=(14,), aligned=True)
    >>> import torch
    >>> edges = torch.linspace(-1, 1, 7).outer(torch.ones(7)).expand(4, 4, 7, 7)  # of rank 1
    >>> round(vggcalc.factorize(7, weights=edges, into="asymmetric")["asymmetric"].fitted.energy, 6)
    1.0
    """
    kernel_size = per_axis.parse_kernel_size(kernel)
    arguments.check_flags(stem=stem)
    options = KernelOptions(
        dims=dims,
        channels=channels,
        in_channels=in_channels,
        out_channels=out_channels,
        size=size,
        batch=batch,
        stride=stride,
        padding=padding,
        causal=causal,
        dilation=dilation,
        groups=groups,
        depthwise=depthwise,
        bias=bias,
        batch_norm=batch_norm,
        activation=activation,
    )
    factorizing = FactorizingOptions(
        into=into, stride_at=stride_at, widths=widths, widen=widen, pad_at=pad_at, between=between
    )
    counted_in = arguments.parse_dtype(dtype)
    if weights is None and key is None:
        return factorize_options(kernel_size, options, factorizing, stem, counted_in)
    from vggcalc.library.trained import factorize_trained

    if stem:
        raise InputError("stem asks what a first layer costs, and weights are of one: leave out one of them")
    arguments.check_text(key=key)
    return factorize_trained(kernel_size, options, factorizing, weights, key, counted_in)


def factorize_options(
    kernel_size: int | Axes, kernel: KernelOptions, factorizing: FactorizingOptions, stem: bool, dtype: str
) -> Comparison:
    """`factorize` with its options as structs, as the command line has them."""
    kernel.check()
    if stem:
        kernel, factorizing = stem_question(kernel_size, kernel, factorizing)
    one = kernel.kernel(kernel_size)
    return factorize_kernel(one, factorizing.factorizations((one.dims,)), dtype)


def stem_question(
    kernel_size: int | Axes, kernel: KernelOptions, factorizing: FactorizingOptions
) -> tuple[KernelOptions, FactorizingOptions]:
    """The kernel and factorizations of `stem`, a network's first layer: 3 → 64 channels, stride 2, by default 224×224
    or a second of sound or 16 frames of 112×112.

    The stride is in the first of as few layers as cover the kernel, or in each layer of the whole
    stack in turn; between the layers are as many channels as come out, or half of them (ResNet-C: He et
    al. 2018, arXiv 1812.01187, section 4.2).
    """
    if kernel.channels is not None or kernel.depthwise:
        option = "channels" if kernel.channels is not None else "depthwise"
        raise InputError(f"stem has fewer channels in than out: leave out {option}")
    stride = 2 if kernel.stride is None else per_axis.parse_stride(kernel.stride)
    if stride == 1 or (isinstance(stride, tuple) and set(stride) == {1}):
        raise InputError("stem places a stride, and a stride of 1 is none: give 2 or more")
    out = 64 if kernel.out_channels is None else kernel.out_channels
    kernel = msgspec.structs.replace(
        kernel,
        in_channels=3 if kernel.in_channels is None else kernel.in_channels,
        out_channels=out,
        size=INPUT_SIZES[kernel.axes(kernel_size)] if kernel.size is None else kernel.size,
        stride=stride,
    )
    longest = max(kernel_size) if isinstance(kernel_size, tuple) else kernel_size
    places, widths = factorizing.stride_at, factorizing.widths
    if not places:
        places = ("first", *range(1, max(longest // 2, 1) + 1)) if factorizing.into is None else "last"
    if not widths and not factorizing.widen and factorizing.into is None:
        widths = ((out,), (max(out // 2, 1),))
    return kernel, msgspec.structs.replace(factorizing, stride_at=places, widths=widths)
