"""Chains of convolutions that replace one: which layers get its stride, its padding and its channels."""

from collections.abc import Sequence

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.layers import Axes, Conv2d, Pair, check_number

#: Chains whose outputs are added; a single one is the common case.
Branches = tuple[tuple[Conv2d, ...], ...]


class Link(msgspec.Struct, frozen=True):
    """A layer of a chain: `dilation` in multiples of the convolution's; `groups` None is the convolution's own."""

    out_channels: int
    kernel: Axes
    dilation: Pair = (1, 1)
    groups: int | None = None


def build_chain(conv: Conv2d, links: Sequence[Link], stride_at: str | int) -> tuple[Conv2d, ...]:
    """The chain of convolutions with these links, whose output has the shape of `conv`'s for every input size.

    `stride_at` is as in `families.Factorization`. Raises `InputError` where no padding does that.
    """
    dilations = [(link.dilation[0] * conv.dilation[0], link.dilation[1] * conv.dilation[1]) for link in links]
    strides, paddings = [], []
    for axis in (0, 1):
        spans = [d[axis] * (link.kernel[axis] - 1) for link, d in zip(links, dilations, strict=True)]
        at = _stride_index(spans, conv.stride[axis], stride_at)
        strides.append([conv.stride[axis] if i == at else 1 for i in range(len(links))])
        paddings.append(_paddings(conv, axis, spans, at))
    channels = [conv.in_channels, *(link.out_channels for link in links)]
    return tuple(
        msgspec.structs.replace(
            conv,
            in_channels=channels[i],
            out_channels=link.out_channels,
            kernel_size=link.kernel,
            stride=(strides[0][i], strides[1][i]),
            padding=(paddings[0][i], paddings[1][i]),
            dilation=dilations[i] if link.kernel != (1, 1) else (1, 1),
            groups=conv.groups if link.groups is None else link.groups,
        )
        for i, link in enumerate(links)
    )


def _stride_index(spans: Sequence[int], stride: int, stride_at: str | int) -> int:
    """The index of the layer with the stride along an axis; `spans` are each layer's dilated kernel − 1."""
    if isinstance(stride_at, int):
        if stride_at > len(spans):
            raise InputError(f"stride_at {stride_at} is no layer: there are {len(spans)}")
        return stride_at - 1
    spanning = [i for i, span in enumerate(spans) if span] or [0]
    return spanning[-1 if stride_at == "last" or stride == 1 else 0]


def _paddings(conv: Conv2d, axis: int, spans: Sequence[int], at: int) -> list[int]:
    """The padding of each layer along one axis; `at` is the index of the layer with the stride s.

    In input positions, padding and window of the layers after the stride count s times (Araujo et al. 2019). The output
    size is that of `conv` for every input size exactly if the sum of 2·padding − window is the same.
    """
    stride, window = conv.stride[axis], conv.dilation[axis] * (conv.kernel_size[axis] - 1)
    if stride == 1:
        at = len(spans) - 1
    grown = sum(spans[: at + 1]) + stride * sum(spans[at + 1 :]) - window
    needed = conv.padding[axis] + grown // 2
    if grown % 2 or needed < 0:
        least = f"a padding of at least {-(grown // 2)} would" if needed < 0 else "another kernel would"
        raise InputError(
            f"no padding of these layers keeps the size that kernel {conv.kernel_size[axis]} puts out: {least}"
        )
    later = max(0, needed - sum(spans[: at + 1]) // 2) // stride if any(spans[at + 1 :]) else 0
    return _proportional(needed - stride * later, spans[: at + 1]) + _proportional(later, spans[at + 1 :])


def _proportional(total: int, spans: Sequence[int]) -> list[int]:
    """`total` distributed in proportion to the spans; the first ones get 1 more each of what remains."""
    whole = sum(spans)
    if not whole:
        return [total if not i else 0 for i in range(len(spans))]
    shares = [total * span // whole for span in spans]
    rest = total - sum(shares)
    for i, span in enumerate(spans):
        if span and rest:
            shares[i] += 1
            rest -= 1
    return shares


def given_widths(conv: Conv2d, layers: int, widths: tuple[int, ...]) -> tuple[int, ...]:
    """Output channels of each layer; a single width is that of all but the last. Raises `InputError`."""
    text = ",".join(map(str, widths))
    after = (*widths * (layers - 1), conv.out_channels) if len(widths) == 1 < layers else widths
    for width in widths:
        check_number(f"widths {text}:", width)
        if width % conv.groups:
            raise InputError(f"widths {text}: {width} is not divisible by the {conv.groups} groups")
    if len(after) != layers:
        raise InputError(
            f"widths {text} name {len(after)} layers, but a {conv.kernel_size[0]}×{conv.kernel_size[1]} "
            f"kernel becomes {layers} here: name {layers} widths"
        )
    if after[-1] != conv.out_channels:
        raise InputError(f"widths {text} must end with out_channels, {conv.out_channels}")
    return after
