"""The families of factorizations of one large convolution: a function each, and a line in `FAMILIES`.

A family's function returns branches: chains of convolutions that read the same feature map and whose outputs are
added. It chooses kernels, dilations, groups and widths; `chains.build_chain` places the stride and the padding so
that, for every input size, the output has the shape of the convolution's. Channels at both ends and the bias stay
too. The window coverage, the receptive field and the mixing of channels are computed from the branches
(`analysis.reach.coverage`). It is over 300 lines long because the families stand side by side.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Literal

import msgspec

from vggcalc.errors import InputError, unknown
from vggcalc.nets.chains import Branches, Link, build_chain, given_widths
from vggcalc.nets.layers import Axes, Conv2d, Pair, check_number
from vggcalc.nets.names import STRIDE_AT, WIDEN

LARGEST_KERNEL = 999


class Factorization(msgspec.Struct, frozen=True):
    """A family and its options.

    `stride_at` is the layer that takes the convolution's stride: the "last" or the "first" of those with a kernel
    larger than 1, or its number from 1. `widths` are the output channels of each layer; a single one is that of
    every layer but the last. Without them `widen` says whether the "first" or the "last" layer changes the
    channels from in to out. Raises `InputError`.
    """

    family: str = "stack"
    stride_at: str | int = "last"
    widen: str = "first"
    widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.widths, int):
            msgspec.structs.force_setattr(self, "widths", (self.widths,))
        if self.family not in FAMILIES:
            raise unknown("family", self.family, FAMILIES)
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
        raise InputError("kernel 1 covers one position: there is nothing to factorize. Try 5 or 7")
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


def _widths(conv: Conv2d, layers: int, factorization: Factorization, between: int | None = None) -> tuple[int, ...]:
    """Output channels of each layer; `between` is the default for all but the last one."""
    if factorization.widths is not None:
        return given_widths(conv, layers, factorization.widths)
    if between is None:
        between = conv.out_channels if factorization.widen == "first" else conv.in_channels
    return (*[between] * (layers - 1), conv.out_channels)


def _no_widths(factorization: Factorization) -> None:
    if factorization.widths is not None:
        raise InputError(f"{factorization.family} has no width to choose between its layers: leave out widths")


def _layers(conv: Conv2d, kernel: int, factorization: Factorization) -> int:
    """How many 3×3 layers cover the kernel; one after the stride covers `stride` times as much."""
    needed = (kernel - 1) // 2
    return 1 - (1 - needed) // min(conv.stride) if factorization.stride_at == "first" else needed


def stack(conv: Conv2d, factorization: Factorization) -> Branches:
    """VGG's: n = (k − 1)/2 layers of 3×3 (Simonyan & Zisserman 2014, arXiv 1409.1556, section 2.3).

    With `stride_at="first"` 1 + ceil((k − 3)/(2·stride)) layers cover k; their receptive field may
    then be larger than k.
    """
    layers = _layers(conv, _odd(conv), factorization)
    return (
        build_chain(conv, [Link(w, (3, 3)) for w in _widths(conv, layers, factorization)], factorization.stride_at),
    )


def asymmetric(conv: Conv2d, factorization: Factorization) -> Branches:
    """1×k, then k×1 (Szegedy et al. 2015, arXiv 1512.00567, section 3.2). Each has its axis's stride."""
    k = _square(conv, "1×k and k×1")
    widths = _widths(conv, 2, factorization)
    return (build_chain(conv, [Link(widths[0], (1, k)), Link(widths[1], (k, 1))], factorization.stride_at),)


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
    the factorization. Its receptive field may be larger than k.
    """
    k = _square(conv, "large-kernel attention")
    found = [
        (near**2 + far**2, d, near, far)
        for d in range(2, k + 1)
        for near, far in [(2 * d - 1, -(-k // d))]
        if (near + d * (far - 1) - k) % 2 == 0  # as much more on either side
    ]
    if not found:
        raise InputError(f"kernel {k}: no dilation lets large-kernel attention keep its output size. Try {k + 1}")
    _, d, near, far = min(found)
    return _separable(conv, [((near, near), (1, 1)), ((far, far), (d, d))], factorization)


def _separable(conv: Conv2d, depthwise: Iterable[tuple[Axes, Pair]], factorization: Factorization) -> Branches:
    """Depthwise layers of these kernels and dilations, then a 1×1, if the convolution mixes channels."""
    _no_widths(factorization)
    into = conv.in_channels
    links = [Link(into, kernel, dilation, into) for kernel, dilation in depthwise]
    if conv.groups == conv.in_channels == conv.out_channels:
        if factorization.family != "large-kernel-attention":
            instead = "" if factorization.family == "separable" else ", and its stack is what stack makes"
            raise InputError(f"it is depthwise already{instead}")
    else:
        links.append(Link(conv.out_channels, (1, 1)))
    return (build_chain(conv, links, factorization.stride_at),)


def bottleneck(conv: Conv2d, factorization: Factorization) -> Branches:
    """1×1 to fewer channels, k×k, 1×1 to all (Szegedy et al. 2014, arXiv 1409.4842, section 4, has the
    first two; He et al. 2015, arXiv 1512.03385, figure 5, all three and a quarter of the channels).
    """
    quarter = -(-conv.out_channels // (4 * conv.groups)) * conv.groups
    if factorization.widths is None and quarter >= conv.out_channels:
        groups = f" in {conv.groups} groups" if conv.groups > 1 else ""
        raise InputError(f"a bottleneck{groups} leaves no fewer channels than {conv.out_channels}")
    reduced, inner, out = _widths(conv, 3, factorization, quarter)
    links = [Link(reduced, (1, 1)), Link(inner, conv.kernel_size), Link(out, (1, 1))]
    return (build_chain(conv, links, factorization.stride_at),)


def dilated(conv: Conv2d, factorization: Factorization) -> Branches:
    """One 3×3 of dilation (k − 1)/2 (Yu & Koltun 2015, arXiv 1511.07122, section 2): nine of the k² positions."""
    _no_widths(factorization)
    k = _odd(conv, "a dilated 3×3")
    step = (k - 1) // 2
    return (build_chain(conv, [Link(conv.out_channels, (3, 3), (step, step))], factorization.stride_at),)


def dilated_stack(conv: Conv2d, factorization: Factorization) -> Branches:
    """3×3 of dilation 1, 2, 4, …, the last what is left of (k − 1)/2 (Yu & Koltun 2015, section 3).

    No dilation exceeds the window before it, so that the window has no holes.
    """
    left, step, steps = (_odd(conv, "a stack of dilated 3×3 layers") - 1) // 2, 1, []
    while left:
        steps.append(min(step, left))
        left -= steps[-1]
        step *= 2
    widths = _widths(conv, len(steps), factorization)
    links = [Link(width, (3, 3), (step, step)) for width, step in zip(widths, steps, strict=True)]
    return (build_chain(conv, links, factorization.stride_at),)


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
        build_chain(conv, [Link(conv.out_channels, kernel)], factorization.stride_at) for kernel in ((k, m), (m, k))
    )


#: How channels are mixed: with the window as in the convolution, separately from it, or through fewer channels.
Mixing = Literal["full", "separable", "reduced"]


class Family(msgspec.Struct, frozen=True):
    """A function that factorizes, and in a sentence what it covers and how it mixes channels.

    `widens` if the channels between its layers can be chosen, `even` if it takes even kernels too.
    """

    split: Callable[[Conv2d, Factorization], Branches]
    description: str
    mixing: Mixing = "full"
    widens: bool = False
    even: bool = False


FAMILIES: dict[str, Family] = {
    "stack": Family(stack, "3×3 layers, as in VGG; full window, full channel mixing", widens=True),
    "asymmetric": Family(
        asymmetric, "1×k, then k×1, as in Inception; full window, but only kernels of rank 1", widens=True, even=True
    ),
    "separable": Family(
        separable,
        "depthwise k×k, then 1×1, as in MobileNet; full window, channels mixed by the 1×1 alone",
        "separable",
        even=True,
    ),
    "separable-stack": Family(
        separable_stack,
        "depthwise 3×3 layers, then 1×1; full window, channels mixed by the 1×1 alone",
        "separable",
    ),
    "bottleneck": Family(
        bottleneck,
        "1×1, k×k, 1×1, as in ResNet; full window, channels mixed through fewer",
        "reduced",
        widens=True,
        even=True,
    ),
    "dilated": Family(dilated, "one 3×3 dilated to k×k; nine positions of the window, full channel mixing"),
    "dilated-stack": Family(
        dilated_stack,
        "3×3 layers of dilation 1, 2, 4, …; full window, full channel mixing, fewer layers than a stack",
        widens=True,
    ),
    "large-kernel-attention": Family(
        large_kernel_attention,
        "depthwise, depthwise dilated, 1×1, as in VAN; full window or more, channels mixed by the 1×1 alone",
        "separable",
        even=True,
    ),
    "stripes": Family(
        stripes, "k×m beside m×k, m up to 5, as in SLaK; a cross of the window, full channel mixing", even=True
    ),
}


def factorized(conv: Conv2d, factorization: Factorization = Factorization()) -> Branches:
    """The branches that replace a convolution. Raises `InputError` where the family cannot take it."""
    for k in conv.kernel_size:
        if k > LARGEST_KERNEL:
            check_kernel(k)
    return FAMILIES[factorization.family].split(conv, factorization)


def factorization_grid(
    families: Sequence[str],
    stride_at: Sequence[str | int] = ("last",),
    widths: Sequence[tuple[int, ...] | None] = (None,),
    widen: str = "first",
) -> dict[str, Factorization]:
    """Every combination of family, stride placement and widths, named after what differs among them.

    A family without widths to choose is there once for each stride placement.
    """
    found = {}
    for family, at in product(dict.fromkeys(families), dict.fromkeys(stride_at)):
        family_widths = dict.fromkeys(widths) if FAMILIES[family].widens else (None,)
        for chosen in family_widths:
            words = [family]
            if len(stride_at) > 1:
                words.append(f"stride-{at}")
            if len(family_widths) > 1:
                words.append("widths-" + ("-".join(map(str, chosen)) if chosen else "own"))
            found[":".join(words)] = Factorization(family, at, widen, chosen)
    return found
