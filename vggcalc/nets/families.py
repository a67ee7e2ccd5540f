"""The ways to factorize one large convolution: a function each, and a line in `FAMILIES`.

A way puts out branches: chains of convolutions that read the same map and whose outputs are added.
Every way keeps, for every input size, the output's shape, the channels at both ends and the bias;
what else it keeps, the window, the receptive field and the mixing of channels, is computed of what
it put out (`keeps`), and said in its line of `FAMILIES`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Literal

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.layers import Axes, Conv2d, Pair, check_number
from vggcalc.nets.names import STRIDE_AT, WIDEN

LARGEST_KERNEL = 999

#: Chains whose outputs are added; a single one is the common case.
Branches = tuple[tuple[Conv2d, ...], ...]


class Factorization(msgspec.Struct, frozen=True):
    """How to split a convolution.

    `stride_at` is the layer that has the stride: "last" or "first" of those that span pixels, or its
    number from 1. `widen` is the layer that changes the channels, where `widths` do not name the
    output channels of each layer; a single width is that of every layer but the last.
    Raises `InputError`.
    """

    family: str = "stack"
    stride_at: str | int = "last"
    widen: str = "first"
    widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.widths, int):
            msgspec.structs.force_setattr(self, "widths", (self.widths,))
        if self.family not in FAMILIES:
            raise InputError(f"family {self.family!r} is none of {', '.join(FAMILIES)}")
        if isinstance(self.stride_at, int):
            check_number("stride_at", self.stride_at)
        elif self.stride_at not in STRIDE_AT:
            words = ", ".join(STRIDE_AT)
            raise InputError(f"stride_at {self.stride_at!r} is neither of {words}, nor a layer's number")
        if self.widen not in WIDEN:
            raise InputError(f"widen {self.widen!r} is neither of {', '.join(WIDEN)}")


def check_kernel(kernel_size: int) -> None:
    """Raise `InputError` unless there is something to factorize in a kernel of that size."""
    k = kernel_size
    if type(k) is not int:
        raise InputError(f"kernel {k!r} is not a whole number: a kernel is an odd number, such as 7")
    if k < 1:
        raise InputError(f"kernel {k} is not positive: a kernel is an odd number of 3 or more, such as 7")
    if k == 1:
        raise InputError("kernel 1 sees one pixel: there is nothing to factorize. Try 5 or 7")
    if k > LARGEST_KERNEL:
        raise InputError(f"kernel {k} is too large: the largest is {LARGEST_KERNEL}")


def _odd(conv: Conv2d, what: str = "a stack of 3×3 layers") -> int:
    """The kernel's size. Raises `InputError` unless it is odd, square and larger than 1."""
    k = _square(conv, what)
    if k % 2 == 0:
        tries = f"{k - 1} or {k + 1}" if k > 2 else "3"
        raise InputError(f"kernel {k} is even: {what} always sees an odd window. Try {tries}")
    return k


def _square(conv: Conv2d, what: str) -> int:
    h, w = conv.kernel_size
    if h != w:
        raise InputError(f"kernel {h}×{w} is not square: {what} sees a square. Try {max(h, w)}")
    check_kernel(h)
    return h


class _Link(msgspec.Struct, frozen=True):
    """A layer of a chain to be: `dilation` is in dilations of the given convolution."""

    out_channels: int
    kernel: Axes
    dilation: Pair = (1, 1)
    groups: int | None = None


def _chain(conv: Conv2d, links: Sequence[_Link], stride_at: str | int) -> tuple[Conv2d, ...]:
    """The links as convolutions that together keep the shape of `conv`'s output.

    `groups` None are the given ones. Raises `InputError` where no padding does.
    """
    dilations = [(link.dilation[0] * conv.dilation[0], link.dilation[1] * conv.dilation[1]) for link in links]
    strides, paddings = [], []
    for axis in (0, 1):
        spans = [d[axis] * (link.kernel[axis] - 1) for link, d in zip(links, dilations, strict=True)]
        at = _strided(spans, conv.stride[axis], stride_at)
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


def _strided(spans: Sequence[int], stride: int, stride_at: str | int) -> int:
    """The index of the layer that has the stride along an axis."""
    if isinstance(stride_at, int):
        if stride_at > len(spans):
            raise InputError(f"stride_at {stride_at} is no layer: there are {len(spans)}")
        return stride_at - 1
    spanning = [i for i, span in enumerate(spans) if span] or [0]
    return spanning[-1 if stride_at == "last" or stride == 1 else 0]


def _paddings(conv: Conv2d, axis: int, spans: Sequence[int], at: int) -> list[int]:
    """The padding of each layer along one axis; `at` is the index of the layer with the stride s.

    A pixel of padding behind the stride counts s times, and so does a pixel of window (Araujo et al.
    2019). The output keeps its shape for every input size exactly if twice all of the padding less
    all of the window is what it is for `conv`.
    """
    stride, window = conv.stride[axis], conv.dilation[axis] * (conv.kernel_size[axis] - 1)
    if stride == 1:
        at = len(spans) - 1
    grown = sum(spans[: at + 1]) + stride * sum(spans[at + 1 :]) - window
    needed = conv.padding[axis] + grown // 2
    if grown % 2 or needed < 0:
        least = f"a padding of at least {-(grown // 2)} would" if needed < 0 else "another kernel would"
        raise InputError(f"no padding of these layers keeps the map of kernel {conv.kernel_size[axis]}: {least}")
    later = max(0, needed - sum(spans[: at + 1]) // 2) // stride if any(spans[at + 1 :]) else 0
    return _spread(needed - stride * later, spans[: at + 1]) + _spread(later, spans[at + 1 :])


def _spread(total: int, spans: Sequence[int]) -> list[int]:
    """`total` spread in proportion to the spans, what does not divide given to the first ones."""
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


def _widths(conv: Conv2d, layers: int, factorization: Factorization, between: int | None = None) -> tuple[int, ...]:
    """Channels after each layer; `between` those of all but the last where nothing else is asked for."""
    given = factorization.widths
    if given is None:
        if between is None:
            between = conv.out_channels if factorization.widen == "first" else conv.in_channels
        return (*[between] * (layers - 1), conv.out_channels)
    named = ",".join(str(width) for width in given)
    after = (*given * (layers - 1), conv.out_channels) if len(given) == 1 < layers else given
    for width in given:
        check_number(f"widths {named}:", width)
        if width % conv.groups:
            raise InputError(f"widths {named}: {width} is not divisible by the {conv.groups} groups")
    if len(after) != layers:
        raise InputError(
            f"widths {named} name {len(after)} layers, but a {conv.kernel_size[0]}×{conv.kernel_size[1]} "
            f"kernel becomes {layers} here: name {layers} widths"
        )
    if after[-1] != conv.out_channels:
        raise InputError(f"widths {named} must end with out_channels, {conv.out_channels}")
    return after


def _no_widths(factorization: Factorization) -> None:
    if factorization.widths is not None:
        raise InputError(f"{factorization.family} has no width to choose between its layers: leave out widths")


def _layers(conv: Conv2d, kernel: int, factorization: Factorization) -> int:
    """How many 3×3 see the kernel; with the stride first each later one sees `stride` times as much."""
    needed = (kernel - 1) // 2
    return 1 - (1 - needed) // min(conv.stride) if factorization.stride_at == "first" else needed


def stack(conv: Conv2d, factorization: Factorization) -> Branches:
    """VGG's: n = (k − 1)/2 layers of 3×3 (Simonyan & Zisserman 2014, arXiv 1409.1556, section 2.3).

    With `stride_at="first"` 1 + ceil((k − 3)/(2·stride)) layers cover k; their receptive field may
    then be larger than k.
    """
    layers = _layers(conv, _odd(conv), factorization)
    return (_chain(conv, [_Link(w, (3, 3)) for w in _widths(conv, layers, factorization)], factorization.stride_at),)


def asymmetric(conv: Conv2d, factorization: Factorization) -> Branches:
    """1×k, then k×1 (Szegedy et al. 2015, arXiv 1512.00567, section 3.2). Each has its axis's stride."""
    k = _square(conv, "1×k and k×1")
    widths = _widths(conv, 2, factorization)
    return (_chain(conv, [_Link(widths[0], (1, k)), _Link(widths[1], (k, 1))], factorization.stride_at),)


def separable(conv: Conv2d, factorization: Factorization) -> Branches:
    """Depthwise k×k, then 1×1 (Howard et al. 2017, arXiv 1704.04861, section 3.1)."""
    return _separable(conv, [(conv.kernel_size, (1, 1))], factorization)


def separable_stack(conv: Conv2d, factorization: Factorization) -> Branches:
    """The stack of `stack`, depthwise, then 1×1: both ideas at once."""
    layers = _layers(conv, _odd(conv), factorization)
    return _separable(conv, [((3, 3), (1, 1))] * layers, factorization)


def large_kernel_attention(conv: Conv2d, factorization: Factorization) -> Branches:
    """Depthwise (2d − 1)×(2d − 1), depthwise ⌈k/d⌉×⌈k/d⌉ of dilation d, then 1×1 (Guo et al. 2022,
    arXiv 2202.09741, section 3.1), with the d of 2 or more that has the fewest weights.

    VAN has no activation in between and multiplies its input by what comes out, which is no part of
    the factorization. What it sees may be larger than k.
    """
    k = _square(conv, "large-kernel attention")
    found = [
        (near**2 + far**2, d, near, far)
        for d in range(2, k + 1)
        for near, far in [(2 * d - 1, -(-k // d))]
        if (near + d * (far - 1) - k) % 2 == 0  # as much more on either side
    ]
    if not found:
        raise InputError(f"kernel {k}: no dilation lets large-kernel attention keep its map. Try {k + 1}")
    _, d, near, far = min(found)
    return _separable(conv, [((near, near), (1, 1)), ((far, far), (d, d))], factorization)


def _separable(conv: Conv2d, depthwise: Iterable[tuple[Axes, Pair]], factorization: Factorization) -> Branches:
    """Depthwise layers of these kernels and dilations, then a 1×1, if the convolution mixes channels."""
    _no_widths(factorization)
    into = conv.in_channels
    links = [_Link(into, kernel, dilation, into) for kernel, dilation in depthwise]
    if _is_depthwise(conv):
        if factorization.family != "large-kernel-attention":
            instead = "" if factorization.family == "separable" else ", and its stack is what stack makes"
            raise InputError(f"it is depthwise already{instead}")
    else:
        links.append(_Link(conv.out_channels, (1, 1)))
    return (_chain(conv, links, factorization.stride_at),)


def _is_depthwise(conv: Conv2d) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels


def bottleneck(conv: Conv2d, factorization: Factorization) -> Branches:
    """1×1 to fewer channels, k×k, 1×1 to all (Szegedy et al. 2014, arXiv 1409.4842, section 4, has the
    first two; He et al. 2015, arXiv 1512.03385, figure 5, all three and a quarter of the channels).
    """
    quarter = -(-conv.out_channels // (4 * conv.groups)) * conv.groups
    if factorization.widths is None and quarter >= conv.out_channels:
        groups = f" in {conv.groups} groups" if conv.groups > 1 else ""
        raise InputError(f"a bottleneck{groups} leaves no fewer channels than {conv.out_channels}")
    reduced, inner, out = _widths(conv, 3, factorization, quarter)
    links = [_Link(reduced, (1, 1)), _Link(inner, conv.kernel_size), _Link(out, (1, 1))]
    return (_chain(conv, links, factorization.stride_at),)


def dilated(conv: Conv2d, factorization: Factorization) -> Branches:
    """One 3×3 of dilation (k − 1)/2 (Yu & Koltun 2015, arXiv 1511.07122, section 2): nine of the k² pixels."""
    _no_widths(factorization)
    k = _odd(conv, "a dilated 3×3")
    step = (k - 1) // 2
    return (_chain(conv, [_Link(conv.out_channels, (3, 3), (step, step))], factorization.stride_at),)


def dilated_stack(conv: Conv2d, factorization: Factorization) -> Branches:
    """3×3 of dilation 1, 2, 4, …, the last what is left of (k − 1)/2 (Yu & Koltun 2015, section 3).

    No dilation exceeds the window before it, so that no pixel is left out.
    """
    left, step, steps = (_odd(conv, "a stack of dilated 3×3 layers") - 1) // 2, 1, []
    while left:
        steps.append(min(step, left))
        left -= steps[-1]
        step *= 2
    widths = _widths(conv, len(steps), factorization)
    links = [_Link(width, (3, 3), (step, step)) for width, step in zip(widths, steps, strict=True)]
    return (_chain(conv, links, factorization.stride_at),)


def stripes(conv: Conv2d, factorization: Factorization) -> Branches:
    """k×m and m×k side by side, added (Liu et al. 2022, arXiv 2207.03620, section 4): a cross. SLaK's m is
    5; here it is the largest up to 5 that is below k and odd or even as k is.
    """
    _no_widths(factorization)
    k = _square(conv, "k×5 beside 5×k")
    if k == 2:
        raise InputError("kernel 2 is too small for stripes. Try 3")
    m = next(m for m in range(min(5, k - 1), 0, -1) if (k - m) % 2 == 0)
    return tuple(
        _chain(conv, [_Link(conv.out_channels, kernel)], factorization.stride_at) for kernel in ((k, m), (m, k))
    )


#: How a family mixes the channels.
Mixing = Literal["full", "separable", "reduced"]


class Family(msgspec.Struct, frozen=True):
    """A way to factorize a convolution, and in a sentence what it keeps and what it gives up.

    `mixing` of channels is "full", "separable" from the window, or "reduced" through fewer channels.
    `widens` if the channels between its layers can be chosen, `even` if it takes even kernels too.
    """

    split: Callable[[Conv2d, Factorization], Branches]
    says: str
    mixing: Mixing = "full"
    widens: bool = False
    even: bool = False


FAMILIES: dict[str, Family] = {
    "stack": Family(stack, "3×3 layers, VGG: the full window and all mixing of channels", widens=True),
    "asymmetric": Family(
        asymmetric, "1×k, then k×1, Inception: the full window, in kernels of rank 1", widens=True, even=True
    ),
    "separable": Family(
        separable,
        "depthwise k×k, then 1×1, MobileNet: the full window, channels mixed apart from it",
        "separable",
        even=True,
    ),
    "separable-stack": Family(
        separable_stack,
        "depthwise 3×3 layers, then 1×1: the full window, channels mixed apart from it",
        "separable",
    ),
    "bottleneck": Family(
        bottleneck,
        "1×1, k×k, 1×1, ResNet: the full window through fewer channels",
        "reduced",
        widens=True,
        even=True,
    ),
    "dilated": Family(dilated, "one 3×3 spread over k: nine pixels and holes, all mixing of channels"),
    "dilated-stack": Family(
        dilated_stack,
        "3×3 layers of dilation 1, 2, 4, …: the full window and all mixing, in fewer layers",
        widens=True,
    ),
    "large-kernel-attention": Family(
        large_kernel_attention,
        "depthwise, depthwise dilated, 1×1, VAN: the full window or more, channels mixed apart from it",
        "separable",
        even=True,
    ),
    "stripes": Family(stripes, "k×m beside m×k, m up to 5, SLaK: a cross, all mixing of channels", even=True),
}


def factorized(conv: Conv2d, factorization: Factorization = Factorization()) -> Branches:
    """The branches that a convolution becomes. Raises `InputError` where it cannot become any."""
    return FAMILIES[factorization.family].split(conv, factorization)


def named(
    into: Sequence[str] | Mapping[str, Factorization] | None, factorization: Factorization
) -> dict[str, Factorization]:
    """Splittings by the names of the variants: the one, `factorized`, a family each ("all"), or as given."""
    if into is None:
        return {"factorized": factorization}
    if isinstance(into, str):
        into = tuple(FAMILIES) if into == "all" else (into,)
    if not into:
        raise InputError(f"into names no family: there are {', '.join(FAMILIES)}")
    if not isinstance(into, Mapping):
        return {name: msgspec.structs.replace(factorization, family=name) for name in into}
    for name, one in into.items():
        if name in ("naive", "given"):
            raise InputError(f"{name} is what the others are compared with: give the variant another name")
        if not isinstance(one, Factorization):
            raise InputError(f"into: {name} is {one!r}, which is no Factorization")
    return dict(into)


def factorizations(
    into: Sequence[str],
    stride_at: Sequence[str | int] = ("last",),
    widths: Sequence[tuple[int, ...] | None] = (None,),
    widen: str = "first",
) -> dict[str, Factorization]:
    """Every family with every place of the stride and all widths, by a name that tells them apart.

    A family that has no width to choose stands there once, with its own.
    """
    found = {}
    for family, at in product(dict.fromkeys(into), dict.fromkeys(stride_at)):
        chosen = dict.fromkeys(widths) if FAMILIES[family].widens else (None,)
        for named in chosen:
            words = [family]
            if len(stride_at) > 1:
                words.append(f"stride-{at}")
            if len(chosen) > 1:
                words.append("widths-" + ("-".join(map(str, named)) if named else "own"))
            found[":".join(words)] = Factorization(family, at, widen, named)
    return found
