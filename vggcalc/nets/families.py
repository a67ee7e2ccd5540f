"""The families of factorizations of one large convolution: a function each, and a line in `FAMILIES`.

A family's function returns branches: chains of convolutions that read the same feature map and whose outputs are
added. It chooses kernels, dilations, groups and widths, axis by axis, for one to three spatial axes;
`chains.build_chain` places the stride and the padding so that, for every input size, the output has the shape of the
convolution's. Channels at both ends and the bias stay too. The window coverage, the receptive field and the mixing of
channels are computed from the branches (`analysis.reach.coverage`). It is over 300 lines long because the families
stand side by side.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import product, zip_longest
from math import prod
from typing import Literal

import msgspec

from vggcalc.errors import InputError, unknown
from vggcalc.nets.chains import Branches, Link, build_chain, given_widths
from vggcalc.nets.layers import Axes, Conv, Layer, check_number
from vggcalc.nets.names import BETWEEN, PAD_AT, STRIDE_AT, WIDEN

LARGEST_KERNEL = 999


class Factorization(msgspec.Struct, frozen=True):
    """A family and its options.

    `stride_at` is the layer that takes the convolution's stride: the "last" or the "first" of those with a kernel
    larger than 1, or its number from 1. `widths` are the output channels of each layer; a single one is that of
    every layer but the last. Without them `widen` says whether the "first" or the "last" layer changes the
    channels from in to out. With `pad_at` "each" every layer pads for its own window; with "first" all of the padding
    is in the first layer with a window, or the one with the stride where that comes earlier: no later layer sees zeros
    in place of what those before it would put out there. `between` says whether the batch norm and "activation" of the
    convolution follow every layer or the last one alone ("nothing"): with that, the layers that pad first are one
    convolution, at the edges too. Raises `InputError`.
    """

    family: str = "stack"
    stride_at: str | int = "last"
    widen: str = "first"
    widths: tuple[int, ...] | None = None
    pad_at: str = "each"
    between: str = "activation"

    def __post_init__(self) -> None:
        if isinstance(self.widths, int):
            msgspec.structs.force_setattr(self, "widths", (self.widths,))
        if self.family not in FAMILIES:
            msgspec.structs.force_setattr(self, "family", family_named(self.family))
        if isinstance(self.stride_at, int):
            check_number("stride_at", self.stride_at)
        elif self.stride_at not in STRIDE_AT:
            words = ", ".join(STRIDE_AT)
            raise InputError(f"stride_at {self.stride_at!r} is neither of {words}, nor a layer's number")
        choices = (("widen", self.widen, WIDEN), ("pad_at", self.pad_at, PAD_AT), ("between", self.between, BETWEEN))
        for name, value, accepted in choices:
            if value not in accepted:
                raise InputError(f"{name} {value!r} is neither of {', '.join(accepted)}")

    def between_layers(self, following: Sequence[Layer]) -> Sequence[Layer]:
        """What of the batch norm and activation that follow the convolution stands between its layers too."""
        return following if self.between == "activation" else ()


def check_kernel(kernel_size: int, least: int = 2) -> None:
    """Raise `InputError` unless there is something to factorize in a kernel of that size.

    Along one of several axes it may be 1: `least`.
    """
    k = kernel_size
    if type(k) is not int:
        raise InputError(f"kernel {k!r} is not a whole number: a kernel is an odd number, such as 7")
    if k < 1:
        raise InputError(f"kernel {k} is not positive: a kernel is an odd number of 3 or more, such as 7")
    if k < least:
        raise InputError("kernel 1 covers one position: there is nothing to factorize. Try 5 or 7")
    if k > LARGEST_KERNEL:
        raise InputError(f"kernel {k} is too large: the largest is {LARGEST_KERNEL}")


def by_times(kernel: Axes) -> str:
    """A kernel in words: 7×7, 5×7×7; of one axis its number alone."""
    return "×".join(map(str, kernel))


def _threes(conv: Conv) -> str:
    return by_times((3,) * conv.axes) if conv.axes > 1 else "size-3"


def _odd(conv: Conv, what: str) -> Axes:
    """The kernel's size. Raises `InputError` unless it is odd along every axis."""
    even = [k for k in conv.kernel_size if k % 2 == 0]
    if even:
        k = even[0]
        kernel = k if len(set(conv.kernel_size)) == 1 else by_times(conv.kernel_size)
        tries = f"{k - 1} or {k + 1}" if k > 2 else "3"
        raise InputError(
            f"kernel {kernel} is even: {what} always sees an odd window. Try {tries}{'' if kernel == k else ' there'}"
        )
    return conv.kernel_size


def _long_axes(conv: Conv, factorization: Factorization) -> list[int]:
    """The axes along which the kernel is larger than 1. Raises `InputError` unless there are two or more."""
    found = [axis for axis, k in enumerate(conv.kernel_size) if k > 1]
    if len(found) < 2:
        raise InputError(
            f"kernel {by_times(conv.kernel_size)} lies along one axis: {factorization.family} is for two or more"
        )
    return found


def _widths(conv: Conv, layers: int, factorization: Factorization, between: int | None = None) -> tuple[int, ...]:
    """Output channels of each layer; `between` is the default for all but the last one."""
    if factorization.widths is not None:
        return given_widths(conv, layers, factorization.widths)
    if between is None:
        between = conv.out_channels if factorization.widen == "first" else conv.in_channels
    return (*[between] * (layers - 1), conv.out_channels)


def _no_widths(factorization: Factorization) -> None:
    if factorization.widths is not None:
        raise InputError(f"{factorization.family} has no width to choose between its layers: leave out widths")


def _layers_of_three(kernel: Axes, steps: Sequence[Sequence[int]]) -> list[tuple[Axes, Axes]]:
    """Layers of 3 with these dilations along each axis, as (kernel, dilation); 1 along an axis that is covered."""
    found = [tuple(layer) for layer in zip_longest(*steps, fillvalue=0)] or [(0,) * len(kernel)]
    return [(tuple(3 if d else 1 for d in layer), tuple(d or 1 for d in layer)) for layer in found]


def _threes_of(conv: Conv, factorization: Factorization, what: str) -> list[tuple[Axes, Axes]]:
    """Layers of 3 that cover the kernel; along each axis one after the stride covers `stride` times as much."""
    first = factorization.stride_at == "first"
    needed = [(k - 1) // 2 for k in _odd(conv, what)]
    layers = [1 - (1 - n) // s if first and n else n for n, s in zip(needed, conv.stride, strict=True)]
    return _layers_of_three(conv.kernel_size, [[1] * n for n in layers])


def _chain(conv: Conv, links: Sequence[Link], factorization: Factorization) -> tuple[Conv, ...]:
    """The chain of these links with stride and padding where the factorization has them."""
    return build_chain(conv, links, factorization.stride_at, factorization.pad_at)


def _one_chain(
    conv: Conv, layers: Sequence[tuple[Axes, Axes]], widths: Sequence[int], factorization: Factorization
) -> Branches:
    """One chain of layers of these kernels and dilations."""
    links = [Link(width, kernel, dilation) for width, (kernel, dilation) in zip(widths, layers, strict=True)]
    return (_chain(conv, links, factorization),)


def stack(conv: Conv, factorization: Factorization) -> Branches:
    """VGG's: n = (k − 1)/2 layers of 3×3 (Simonyan & Zisserman 2014, arXiv 1409.1556, section 2.3).

    Along each axis as many layers are 3 as cover it; those after are 1 there. With `stride_at="first"`
    1 + ceil((k − 3)/(2·stride)) layers cover k; their receptive field may then be larger than k.
    """
    layers = _threes_of(conv, factorization, f"a stack of {_threes(conv)} layers")
    return _one_chain(conv, layers, _widths(conv, len(layers), factorization), factorization)


def asymmetric(conv: Conv, factorization: Factorization) -> Branches:
    """1×k, then k×1 (Szegedy et al. 2015, arXiv 1512.00567, section 3.2): a layer for each axis, with its stride."""
    axes = _long_axes(conv, factorization)
    layers: list[tuple[Axes, Axes]] = [(_along_axis(conv.kernel_size, axis), ()) for axis in reversed(axes)]
    return _one_chain(conv, layers, _widths(conv, len(layers), factorization), factorization)


def _along_axis(kernel: Axes, axis: int) -> Axes:
    """The kernel along one axis, and 1 along the others."""
    return tuple(k if i == axis else 1 for i, k in enumerate(kernel))


def space_then_time(conv: Conv, factorization: Factorization) -> Branches:
    """1×d×d, then t×1×1 (Tran et al. 2018, arXiv 1711.11248, section 3.5), which have their axes' strides.

    Between them are M = ⌊t·d²·in·out/(d²·in + t·out)⌋ channels, with which both have as many weights as t×d×d;
    of a grouped convolution the largest multiple of the groups up to M.
    """
    t, *space = conv.kernel_size
    area, groups = prod(space), conv.groups
    if t == 1 or area == 1:
        raise InputError(f"kernel {by_times(conv.kernel_size)} has no {'time' if t == 1 else 'space'} to factorize")
    between = t * area * conv.in_channels * conv.out_channels // (area * conv.in_channels + t * conv.out_channels)
    widths = _widths(conv, 2, factorization, between // groups * groups)
    links = [Link(widths[0], (1, *space)), Link(widths[1], (t, 1, 1))]
    return (_chain(conv, links, factorization),)


def separable(conv: Conv, factorization: Factorization) -> Branches:
    """Depthwise k×k, then 1×1 (Howard et al. 2017, arXiv 1704.04861, section 3.1)."""
    return _separable(conv, [(conv.kernel_size, ())], factorization)


def separable_stack(conv: Conv, factorization: Factorization) -> Branches:
    """The stack of `stack`, depthwise, then 1×1: both ideas at once."""
    return _separable(conv, _threes_of(conv, factorization, f"a stack of {_threes(conv)} layers"), factorization)


def large_kernel_attention(conv: Conv, factorization: Factorization) -> Branches:
    """Depthwise (2d − 1)×(2d − 1), depthwise ⌈k/d⌉×⌈k/d⌉ of dilation d, then 1×1 (Guo et al. 2022,
    arXiv 2202.09741, section 3.1), with the d of 2 or more that has the fewest weights.

    VAN has no activation in between and multiplies its input by what comes out, which is no part of
    the factorization. Its receptive field may be larger than k.
    """
    kernel = conv.kernel_size
    found = []
    for d in range(2, max(kernel) + 1):
        near = tuple(2 * d - 1 if k > 1 else 1 for k in kernel)
        far = tuple(-(-k // d) for k in kernel)
        if all((n + d * (f - 1) - k) % 2 == 0 for n, f, k in zip(near, far, kernel, strict=True)):  # on either side
            found.append((prod(near) + prod(far), d, near, far))
    if not found:
        size = kernel[0] if len(set(kernel)) == 1 else by_times(kernel)
        tries = f"Try {size + 1}" if isinstance(size, int) else "Try another"
        raise InputError(f"kernel {size}: no dilation lets large-kernel attention keep its output size. {tries}")
    _, d, near, far = min(found)
    return _separable(conv, [(near, ()), (far, (d,) * conv.axes)], factorization)


def _separable(conv: Conv, depthwise: Iterable[tuple[Axes, Axes]], factorization: Factorization) -> Branches:
    """Depthwise layers of these kernels and dilations, then a 1×1, if the convolution mixes channels."""
    _no_widths(factorization)
    into = conv.in_channels
    links = [Link(into, kernel, dilation, into) for kernel, dilation in depthwise]
    if conv.groups == conv.in_channels == conv.out_channels:
        if factorization.family != "large-kernel-attention":
            instead = "" if factorization.family == "separable" else ", and its stack is what stack makes"
            raise InputError(f"it is depthwise already{instead}")
    else:
        links.append(Link(conv.out_channels, (1,) * conv.axes))
    return (_chain(conv, links, factorization),)


def bottleneck(conv: Conv, factorization: Factorization) -> Branches:
    """1×1 to fewer channels, k×k, 1×1 to all (Szegedy et al. 2014, arXiv 1409.4842, section 4, has the
    first two; He et al. 2015, arXiv 1512.03385, figure 5, all three and a quarter of the channels).
    """
    quarter = -(-conv.out_channels // (4 * conv.groups)) * conv.groups
    if factorization.widths is None and quarter >= conv.out_channels:
        groups = f" in {conv.groups} groups" if conv.groups > 1 else ""
        raise InputError(f"a bottleneck{groups} leaves no fewer channels than {conv.out_channels}")
    reduced, inner, out = _widths(conv, 3, factorization, quarter)
    one = (1,) * conv.axes
    links = [Link(reduced, one), Link(inner, conv.kernel_size), Link(out, one)]
    return (_chain(conv, links, factorization),)


def cp(conv: Conv, factorization: Factorization) -> Branches:
    """1×1, a depthwise k×1 and 1×k, 1×1 (Lebedev et al. 2014, arXiv 1412.6553, section 3): a depthwise layer for each
    axis, with its stride. It is a CP decomposition of the kernel, whose rank is the channels between.
    """
    if conv.groups == conv.in_channels == conv.out_channels:
        raise InputError("it is depthwise already, and a layer for each axis is what asymmetric makes")
    kernels = [_along_axis(conv.kernel_size, axis) for axis, k in enumerate(conv.kernel_size) if k > 1]
    *between, out = _widths(conv, len(kernels) + 2, factorization)
    rank, one = between[0], (1,) * conv.axes
    if any(width != rank for width in between):
        widths = ",".join(map(str, (*between, out)))
        raise InputError(f"widths {widths}: cp's depthwise layers put out the {rank} channels that they read")
    links = [Link(rank, one), *(Link(rank, kernel, (), rank) for kernel in kernels), Link(out, one)]
    return (_chain(conv, links, factorization),)


def dilated(conv: Conv, factorization: Factorization) -> Branches:
    """One 3×3 of dilation (k − 1)/2 (Yu & Koltun 2015, arXiv 1511.07122, section 2): nine of the k² positions."""
    _no_widths(factorization)
    steps = [[(k - 1) // 2] * (k > 1) for k in _odd(conv, f"a dilated {_threes(conv)}")]
    return _one_chain(conv, _layers_of_three(conv.kernel_size, steps), [conv.out_channels], factorization)


def dilated_stack(conv: Conv, factorization: Factorization) -> Branches:
    """3×3 of dilation 1, 2, 4, …, the last what is left of (k − 1)/2 (Yu & Koltun 2015, section 3).

    No dilation exceeds the window before it, so that the window has no holes.
    """
    kernel = _odd(conv, f"a stack of dilated {_threes(conv)} layers")
    layers = _layers_of_three(kernel, [_doubling((k - 1) // 2) for k in kernel])
    return _one_chain(conv, layers, _widths(conv, len(layers), factorization), factorization)


def _doubling(left: int) -> list[int]:
    """1, 2, 4, … and what is left of a sum."""
    steps: list[int] = []
    while left:
        steps.append(min(2 ** len(steps), left))
        left -= steps[-1]
    return steps


def stripes(conv: Conv, factorization: Factorization) -> Branches:
    """k×m and m×k side by side, added (Liu et al. 2022, arXiv 2207.03620, section 4): a cross, in three dimensions
    of three bars. SLaK's m is 5; here it is the largest up to 5 that is below k and odd or even as k is.
    """
    _no_widths(factorization)
    kernel, axes = conv.kernel_size, _long_axes(conv, factorization)
    if 2 in kernel:
        raise InputError("kernel 2 is too small for stripes. Try 3")
    narrow = [next((m for m in range(min(5, k - 1), 0, -1) if (k - m) % 2 == 0), 1) for k in kernel]
    bars = [tuple(k if i == axis else m for i, (k, m) in enumerate(zip(kernel, narrow, strict=True))) for axis in axes]
    return tuple(_chain(conv, [Link(conv.out_channels, bar)], factorization) for bar in bars)


#: How channels are mixed: with the window as in the convolution, separately from it, or through fewer channels.
Mixing = Literal["full", "separable", "reduced"]


class Family(msgspec.Struct, frozen=True):
    """A function that factorizes, and in a sentence what it covers and how it mixes channels.

    `widens` if the channels between its layers can be chosen, `even` if it takes even kernels too; `dims` are the
    numbers of spatial axes in which it means something.
    """

    split: Callable[[Conv, Factorization], Branches]
    description: str
    mixing: Mixing = "full"
    widens: bool = False
    even: bool = False
    dims: tuple[int, ...] = (1, 2, 3)

    def described(self, dims: int) -> str:
        """The description in so many dimensions: of 3×3 layers, 3×3×3 layers, or layers of size 3."""
        window = r"(?<!×)\b([k13])×\1\b(?!×)"
        if dims == 1:
            return re.sub(window, r"size-\1", self.description)
        return re.sub(window, lambda found: "×".join(found[1] * dims), self.description)


FAMILIES: dict[str, Family] = {
    "stack": Family(stack, "3×3 layers, as in VGG; full window, full channel mixing", widens=True),
    "asymmetric": Family(
        asymmetric,
        "a layer for each axis, 1×k, then k×1, as in Inception; full window, but only kernels of rank 1",
        widens=True,
        even=True,
        dims=(2, 3),
    ),
    "(2+1)d": Family(
        space_then_time,
        "1×d×d, then t×1×1 with as many weights as t×d×d, as in R(2+1)D; full window, channels mixed between",
        widens=True,
        even=True,
        dims=(3,),
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
    "cp": Family(
        cp,
        "1×1, a depthwise layer along each axis, 1×1, a CP decomposition; full window, channels mixed by the 1×1s",
        "separable",
        widens=True,
        even=True,
    ),
    "dilated": Family(dilated, "one 3×3 dilated to k×k; 3 positions along each axis, full channel mixing"),
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
        stripes,
        "k along one axis by m along the others, m up to 5, side by side, as in SLaK; a cross of the window, full "
        "channel mixing",
        even=True,
        dims=(2, 3),
    ),
}


def family_named(name: str) -> str:
    """The family of that name, in any case of letters and without its brackets: `2+1d` is `(2+1)d`.

    Raises `InputError` with the nearest name.
    """
    plain = str.maketrans("", "", "()")
    wanted = name.lower().translate(plain)
    found = next((family for family in FAMILIES if family.translate(plain) == wanted), None)
    if found is None:
        raise unknown("family", name, FAMILIES)
    return found


def factorized(conv: Conv, factorization: Factorization = Factorization()) -> Branches:
    """The branches that replace a convolution. Raises `InputError` where the family cannot take it."""
    for k in conv.kernel_size:
        if k > LARGEST_KERNEL:
            check_kernel(k)
    family = FAMILIES[factorization.family]
    if conv.axes not in family.dims:
        only = " and ".join(f"{n}-D" for n in family.dims)
        raise InputError(f"{factorization.family} means nothing in {conv.axes}-D: it is for {only} kernels")
    if max(conv.kernel_size) == 1:
        check_kernel(1)
    return family.split(conv, factorization)


def factorization_grid(
    families: Sequence[str],
    stride_at: Sequence[str | int] = ("last",),
    widths: Sequence[tuple[int, ...] | None] = (None,),
    widen: str = "first",
    pad_at: str = "each",
    between: str = "activation",
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
            found[":".join(words)] = Factorization(family, at, widen, chosen, pad_at, between)
    return found
