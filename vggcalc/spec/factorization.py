"""Factorizing a large convolution into a stack of 3×3s, and merging a stack back.

Simonyan & Zisserman 2014 (arXiv 1409.1556), section 2.3: n = (k − 1)/2 layers of 3×3 see the
same k×k pixels as one k×k layer.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import overload

import msgspec

from vggcalc.spec.layers import (
    Axes,
    BatchNorm2d,
    Conv2d,
    Convolution,
    Layer,
    Namer,
    Network,
    Node,
    Operation,
    Shape,
    check_number,
    is_nonlinearity,
)
from vggcalc.spec.shapes import output_shape, shapes
from vggcalc.spec.words import STRIDE_AT, WIDEN, SpecError

LARGEST_KERNEL = 999


def check_kernel(kernel_size: int) -> None:
    """Raise `SpecError` unless a stack of 3×3 layers can see exactly `kernel_size` pixels."""
    k = kernel_size
    if type(k) is not int:
        raise SpecError(f"kernel {k!r} is not a whole number: a kernel is an odd number, such as 7")
    if k < 1:
        raise SpecError(f"kernel {k} is not positive: a kernel is an odd number of 3 or more, such as 7")
    if k == 1:
        raise SpecError("kernel 1 sees one pixel: there is nothing to factorize. Try 5 or 7")
    if k > LARGEST_KERNEL:
        raise SpecError(f"kernel {k} is too large: the largest is {LARGEST_KERNEL}")
    if k % 2 == 0:
        tries = f"{k - 1} or {k + 1}" if k > 2 else "3"
        raise SpecError(f"kernel {k} is even: a stack of 3×3 layers always sees an odd window. Try {tries}")


class Splitting(msgspec.Struct, frozen=True):
    """How to split a convolution. `widths`, if given, are the output channels of each layer."""

    stride_at: str = "last"
    widen: str = "first"
    widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.stride_at not in STRIDE_AT:
            raise SpecError(f"stride_at {self.stride_at!r} is neither of {', '.join(STRIDE_AT)}")
        if self.widen not in WIDEN:
            raise SpecError(f"widen {self.widen!r} is neither of {', '.join(WIDEN)}")


def _widths(conv: Conv2d, layers: int, splitting: Splitting) -> tuple[int, ...]:
    """Channels before the first layer and after each layer."""
    if splitting.widths is None:
        wide = splitting.widen == "first"
        between = conv.out_channels if wide else conv.in_channels
        after = (*[between] * (layers - 1), conv.out_channels)
    else:
        after = splitting.widths
        named = ",".join(str(width) for width in after)
        for width in after:
            check_number(f"widths {named}:", width)
            if width % conv.groups:
                raise SpecError(f"widths {named}: {width} is not divisible by the {conv.groups} groups")
        if len(after) != layers:
            raise SpecError(
                f"widths {named} name {len(after)} layers, but a {conv.kernel_size[0]}×{conv.kernel_size[1]} "
                f"kernel becomes {layers} here: name {layers} widths"
            )
        if after[-1] != conv.out_channels:
            raise SpecError(f"widths {named} must end with out_channels, {conv.out_channels}")
    return (conv.in_channels, *after)


def _spread(total: int, layers: int) -> list[int]:
    """`total` spread over the layers, what does not divide given to the first ones."""
    share, rest = divmod(total, layers)
    return [share + (i < rest) for i in range(layers)]


def _paddings(padding: int, dilation: int, stride: int, layers: int, needed: int) -> list[int]:
    """The padding of each layer along one axis; `stride` is that of the first layer.

    Without one all paddings count alike, so their sum is the original's.
    With stride s in the first of m layers a later pixel of padding counts s times (Araujo et al.
    2019), and the window grows by e = s·(m − 1) − (n − 1) dilations on each side; the output
    keeps its shape for every input size exactly if p₁ + s·Σp_later = p + dilation·e.
    """
    if stride == 1:
        return _spread(padding, layers)
    grown = padding + dilation * (stride * (layers - 1) - (needed - 1))
    later = max(0, grown - dilation) // stride
    return [grown - stride * later, *_spread(later, layers - 1)] if layers > 1 else [grown]


def stack(conv: Conv2d, splitting: Splitting = Splitting()) -> tuple[Conv2d, ...]:
    """VGG's stack: n = (k − 1)/2 layers of 3×3 (Simonyan & Zisserman 2014, section 2.3).

    With `stride_at="first"` the stride stands in the first layer, and 1 + ceil((k − 3)/(2·stride))
    layers cover k; their receptive field may then be larger than k.
    """
    if conv.kernel_size[0] != conv.kernel_size[1]:
        h, w = conv.kernel_size
        raise SpecError(f"kernel {h}×{w} is not square: a stack of 3×3 layers sees a square. Try {max(h, w)}")
    check_kernel(conv.kernel_size[0])
    needed = (conv.kernel_size[0] - 1) // 2
    first = splitting.stride_at == "first" and conv.stride != (1, 1)
    layers = 1 - (1 - needed) // min(conv.stride) if first else needed
    widths = _widths(conv, layers, splitting)
    paddings = zip(
        *(
            _paddings(p, d, s if first else 1, layers, needed)
            for p, d, s in zip(conv.padding, conv.dilation, conv.stride, strict=True)
        ),
        strict=True,
    )
    return tuple(
        msgspec.structs.replace(
            conv,
            in_channels=widths[i],
            out_channels=widths[i + 1],
            kernel_size=(3, 3),
            stride=conv.stride if i == (0 if first else layers - 1) else (1, 1),
            padding=padding,
        )
        for i, padding in enumerate(paddings)
    )


Family = Callable[[Conv2d, Splitting], tuple[Conv2d, ...]]

FAMILIES: dict[str, Family] = {"stack": stack}


class Replacing(msgspec.Struct, frozen=True):
    """Which convolutions of a network to replace, and by what.

    Those with a kernel of `min_kernel` or more, if `only`, a regular expression, is found in their
    names, are split; with `merge` runs of convolutions become one instead, whatever their kernels.
    Raises `SpecError` for a `min_kernel` below 5 and for a malformed expression.
    """

    splitting: Splitting = Splitting()
    family: str = "stack"
    min_kernel: int = 5
    only: str | None = None
    merge: bool = False

    def __post_init__(self) -> None:
        check_number("min_kernel", self.min_kernel, 5)
        if self.family not in FAMILIES:
            raise SpecError(f"family {self.family!r} is none of {', '.join(FAMILIES)}")
        try:
            re.compile(self.only or "")
        except re.error as error:
            raise SpecError(f"only {self.only!r} is no regular expression: {error}") from None

    def chooses(self, name: str) -> bool:
        """Whether `only` allows that node."""
        return self.only is None or re.search(self.only, name) is not None


class Replaced(msgspec.Struct, frozen=True):
    """A network after replacing.

    `pairs` are the names of the nodes that went beside those that came, `kept` the convolutions
    that were chosen and had to stay, each with the reason.
    """

    network: Network
    pairs: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    kept: tuple[tuple[str, str], ...] = ()


@overload
def split(given: Conv2d, splitting: Splitting = ..., family: str = ...) -> tuple[Conv2d, ...]: ...
@overload
def split(given: Network, splitting: Splitting = ..., family: str = ...) -> Network: ...
def split(
    given: Conv2d | Network, splitting: Splitting = Splitting(), family: str = "stack"
) -> tuple[Conv2d, ...] | Network:
    """Split one k×k convolution, or every one of 5×5 or more in a network.

    Keeps for every input size the output shape, the channels at both ends, bias, groups and
    dilation, and with the stride in the last layer the receptive field and its padding too.
    In a network the batch norm and activation that alone read the convolution follow every layer.
    Raises `SpecError` for a kernel that is even, 1, too large or not square.
    """
    if isinstance(given, Conv2d):
        if family not in FAMILIES:
            raise SpecError(f"family {family!r} is none of {', '.join(FAMILIES)}")
        return FAMILIES[family](given, splitting)
    replaced = replace(given, Replacing(splitting, family))
    for _, reason in replaced.kept:
        raise SpecError(reason)
    return replaced.network


def replace(given: Network, replacing: Replacing) -> Replaced:
    """The network with the convolutions that `replacing` chooses split, or its runs merged.

    A stack's layers are named within the convolution's own name (`conv1.conv1`, `conv1.relu1`,
    `conv1.conv2`); the batch norm and activation behind it stay and so follow its last layer.
    """
    if replacing.merge:
        return _merged(given, replacing)
    readers = given.readers()
    known: dict[str, Shape] = {}
    nodes: list[Node] = []
    new_names: dict[str, str] = {}
    pairs, kept = [], []
    for node in given.nodes:
        inputs = tuple(new_names.get(name, name) for name in node.inputs)
        parts: tuple[Conv2d, ...] = ()
        if is_large(node.layer, replacing.min_kernel) and replacing.chooses(node.name):
            try:
                parts = _parts(node, replacing)
            except SpecError as error:
                kept.append((node.name, str(error)))
        if not parts:
            nodes.append(msgspec.structs.replace(node, inputs=inputs))
            continue
        known = known or shapes(given)
        namer = Namer()
        following = [after.layer for after in _following(node, readers)]
        shape, begin = known[node.inputs[0]], len(nodes)
        for i, conv in enumerate(parts, 1):
            shape = output_shape(conv, [shape])
            for layer in (conv, *(following if i < len(parts) else ())):
                name = namer.name(node.name, layer)
                nodes.append(Node(name, _fitted(layer, shape), inputs))
                inputs = (name,)
        new_names[node.name] = inputs[0]
        pairs.append(((node.name,), tuple(new.name for new in nodes[begin:])))
    return Replaced(msgspec.structs.replace(given, nodes=tuple(nodes)), tuple(pairs), tuple(kept))


def _parts(node: Node, replacing: Replacing) -> tuple[Conv2d, ...]:
    """What a convolution is split into. Raises `SpecError` with the reason why it cannot be."""
    if node.traced is not None and node.traced.module is None:
        raise SpecError(node.traced.why)
    if not isinstance(node.layer, Conv2d):
        kind = type(node.layer).__name__
        raise SpecError(f"a {kind} is not factorized: only a Conv2d is")
    return split(node.layer, replacing.splitting, replacing.family)


def is_large(layer: Layer, min_kernel: int = 5) -> bool:
    """Whether it is a convolution with a kernel of that or more along an axis."""
    return isinstance(layer, Convolution) and max(layer.kernel_size) >= min_kernel


def has_large_kernels(network: Network) -> bool:
    """Whether `split` would change anything."""
    return any(is_large(node.layer) for node in network.nodes)


def _fitted(layer: Layer, shape: Shape) -> Layer:
    """A batch norm or an activation for maps of another shape."""
    match layer:
        case BatchNorm2d():
            return msgspec.structs.replace(layer, num_features=shape[1])
        case Operation():
            return msgspec.structs.replace(layer, output_shape=shape)
    return layer


def _following(node: Node, readers: dict[str, list[Node]]) -> list[Node]:
    """The batch norm and activation behind a convolution, up to the first node that is neither."""
    found: list[Node] = []
    while len(readers[node.name]) == 1:
        (node,) = readers[node.name]
        if not isinstance(node.layer, BatchNorm2d) and not is_nonlinearity(node.layer):
            break
        found.append(node)
    return found


@overload
def merge(given: Sequence[Conv2d]) -> Conv2d: ...
@overload
def merge(given: Network) -> Network: ...
def merge(given: Sequence[Conv2d] | Network) -> Conv2d | Network:
    """Merge a run of convolutions, or every run in a network, into one with the same window.

    The kernel is 1 + Σ(kᵢ − 1), so a 1×1 adds nothing; dilation and groups are the run's, the
    padding is its total, the stride its last one's. In a network a run ends at every node that
    is neither batch norm nor activation, at a stride, at a branch, and where groups or dilation
    change; what follows its last convolution stays, what stood in between goes.
    Raises `SpecError` for a sequence that is no such run.
    """
    if isinstance(given, Network):
        return _merged(given, Replacing(merge=True)).network
    if not given:
        raise SpecError("nothing to merge: a run has at least one convolution")
    for before, after in pairwise(given):
        if not _continues(before, after, _dilation(given)):
            raise SpecError(f"{after} does not continue a run after {before}")
    first, last = given[0], given[-1]
    return msgspec.structs.replace(
        last,
        in_channels=first.in_channels,
        kernel_size=_along(given, lambda conv, axis: conv.kernel_size[axis] - 1, 1),
        padding=_along(given, lambda conv, axis: conv.padding[axis], 0),
        dilation=_dilation(given),
        bias=any(conv.bias for conv in given),
    )


def _along(run: Sequence[Conv2d], of: Callable[[Conv2d, int], int], start: int) -> Axes:
    return start + sum(of(conv, 0) for conv in run), start + sum(of(conv, 1) for conv in run)


def _dilation(run: Sequence[Conv2d]) -> Axes:
    """The dilation of a run: that of its first kernel larger than 1×1, whose dilation is none."""
    return next((conv.dilation for conv in run if conv.kernel_size != (1, 1)), run[0].dilation)


def _continues(before: Conv2d, after: Conv2d, dilation: Axes) -> bool:
    return (
        before.stride == (1, 1)
        and before.groups == after.groups
        and before.out_channels == after.in_channels
        and all(conv.kernel_size == (1, 1) or conv.dilation == dilation for conv in (before, after))
    )


def _merged(given: Network, replacing: Replacing) -> Replaced:
    readers = given.readers()
    merged: dict[str, Node] = {}
    gone: set[str] = set()
    pairs = []
    for node in given.nodes:
        if node.name in gone or not isinstance(node.layer, Conv2d) or not _may_go(node, replacing):
            continue
        run, interior = [node.layer], [node.name]
        end = node
        while True:
            between = _following(end, readers)
            tail = between[-1] if between else end
            after = readers[tail.name][0] if len(readers[tail.name]) == 1 else None
            if after is None or not isinstance(after.layer, Conv2d):
                break
            if not all(_may_go(part, replacing) for part in (*between, after)):
                break
            if not _continues(run[-1], after.layer, _dilation([*run, after.layer])):
                break
            run.append(after.layer)
            interior += [part.name for part in between] + [after.name]
            end = after
        if len(run) > 1:
            gone.update(interior)
            new = merge(run)
            traced = end.traced and msgspec.structs.replace(end.traced, parameters=new.parameters)
            merged[end.name] = Node(end.name, new, node.inputs, traced)
            pairs.append((tuple(interior), (end.name,)))
    nodes = tuple(
        merged.get(node.name, node) for node in given.nodes if node.name not in gone or node.name in merged
    )
    return Replaced(msgspec.structs.replace(given, nodes=nodes), tuple(pairs))


def _may_go(node: Node, replacing: Replacing) -> bool:
    """Whether the node can be taken out: a convolution that is chosen, or what stands between two."""
    chosen = not isinstance(node.layer, Conv2d) or replacing.chooses(node.name)
    return chosen and (node.traced is None or node.traced.module is not None)
