"""Chains of convolutions that replace one: which layers get its stride, its padding and its channels."""

from collections.abc import Sequence

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.layers import Axes, Conv, check_number

#: Chains whose outputs are added; a single one is the common case.
Branches = tuple[tuple[Conv, ...], ...]


class Link(msgspec.Struct, frozen=True):
    """A layer of a chain: `dilation` in multiples of the convolution's, () for its own; `groups` None is its."""

    out_channels: int
    kernel: Axes
    dilation: Axes = ()
    groups: int | None = None


def build_chain(conv: Conv, links: Sequence[Link], stride_at: str | int, pad_at: str) -> tuple[Conv, ...]:
    """The chain of convolutions with these links, whose output has the shape of `conv`'s for every input size.

    `stride_at` and `pad_at` are as in `families.Factorization`. Where `conv` pads more on one side than on the other,
    so does the chain: what is causal stays so. Raises `InputError` where no padding does that.
    """
    dilations = [
        tuple(map(int.__mul__, link.dilation, conv.dilation)) if link.dilation else conv.dilation for link in links
    ]
    strides: list[list[int]] = []
    before: list[list[int]] = []
    after: list[list[int]] = []
    for axis in range(conv.axes):
        spans = [d[axis] * (link.kernel[axis] - 1) for link, d in zip(links, dilations, strict=True)]
        at = _stride_index(spans, conv.stride[axis], stride_at)
        strides.append([conv.stride[axis] if i == at else 1 for i in range(len(links))])
        for sides, padding in zip((before, after), _paddings(conv, axis, spans, at, pad_at), strict=True):
            sides.append(padding)
    channels = [conv.in_channels, *(link.out_channels for link in links)]
    by_layer = zip(*(zip(*numbers, strict=True) for numbers in (strides, before, after)), strict=True)
    return tuple(
        msgspec.structs.replace(
            conv.padded(in_front, behind),
            in_channels=channels[i],
            out_channels=link.out_channels,
            kernel_size=link.kernel,
            stride=stride,
            dilation=dilation if max(link.kernel) > 1 else (1,) * conv.axes,
            groups=conv.groups if link.groups is None else link.groups,
        )
        for i, (link, dilation, (stride, in_front, behind)) in enumerate(zip(links, dilations, by_layer, strict=True))
    )


def _stride_index(spans: Sequence[int], stride: int, stride_at: str | int) -> int:
    """The index of the layer with the stride along an axis; `spans` are each layer's dilated kernel − 1."""
    if isinstance(stride_at, int):
        if stride_at > len(spans):
            raise InputError(f"stride_at {stride_at} is no layer: there are {len(spans)}")
        return stride_at - 1
    spanning = [i for i, span in enumerate(spans) if span] or [0]
    return spanning[-1 if stride_at == "last" or stride == 1 else 0]


def _paddings(conv: Conv, axis: int, spans: Sequence[int], at: int, pad_at: str) -> tuple[list[int], list[int]]:
    """The padding of each layer in front of an axis, and behind it; `at` is the index of the layer with the stride s.

    In input positions, padding and window of the layers after the stride count s times (Araujo et al. 2019). The output
    size is that of `conv` for every input size exactly if the sum of padding − window is the same. What is needed
    beyond `conv`'s own padding comes in equal parts on both sides, or where these differ on the larger one alone.
    """
    stride, window = conv.stride[axis], conv.dilation[axis] * (conv.kernel_size[axis] - 1)
    if stride == 1:
        at = len(spans) - 1
    grown = sum(spans[: at + 1]) + stride * sum(spans[at + 1 :]) - window
    sides = [side[axis] for side in conv.sides]
    even = sides[0] == sides[1]
    needed = [side + (grown // 2 if even else grown * (side == max(sides))) for side in sides]
    if (even and grown % 2) or min(needed) < 0:
        least = f"a padding of at least {-(grown // 2)} would" if min(needed) < 0 else "another kernel would"
        raise InputError(
            f"no padding of these layers keeps the size that kernel {conv.kernel_size[axis]} puts out: {least}"
        )
    if pad_at == "first":
        first = next((i for i, span in enumerate(spans[: at + 1]) if span), at)
        near, far = ([side * (i == first) for i in range(len(spans))] for side in needed)
        return near, far
    return _along(needed[0], sum(needed), spans, stride, at), _along(needed[1], sum(needed), spans, stride, at)


def _along(needed: int, of: int, spans: Sequence[int], stride: int, at: int) -> list[int]:
    """One side's padding, `needed` of the `of` on both, by layers: what has no use before the stride comes after it."""
    before, after = spans[: at + 1], spans[at + 1 :]
    useful = sum(before) * needed // of if of else 0
    later = max(0, needed - useful) // stride if any(after) else 0
    return _proportional(needed - stride * later, before) + _proportional(later, after)


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


def given_widths(conv: Conv, layers: int, widths: tuple[int, ...]) -> tuple[int, ...]:
    """Output channels of each layer; a single width is that of all but the last. Raises `InputError`."""
    text = ",".join(map(str, widths))
    after = (*widths * (layers - 1), conv.out_channels) if len(widths) == 1 < layers else widths
    for width in widths:
        check_number(f"widths {text}:", width)
        if width % conv.groups:
            raise InputError(f"widths {text}: {width} is not divisible by the {conv.groups} groups")
    if len(after) != layers:
        raise InputError(
            f"widths {text} name {len(after)} layers, but a {'×'.join(map(str, conv.kernel_size))} "
            f"kernel becomes {layers} here: name {layers} widths"
        )
    if after[-1] != conv.out_channels:
        raise InputError(f"widths {text} must end with out_channels, {conv.out_channels}")
    return after
