"""Factorizing the large convolutions of a network, and merging runs of convolutions back."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.families import Factorization, factorized
from vggcalc.nets.graph import MOST_LAYERS, Namer, Network, Node
from vggcalc.nets.layers import (
    Add,
    Axes,
    BatchNorm2d,
    Conv2d,
    Convolution,
    Layer,
    Operation,
    Shape,
    check_number,
    is_nonlinearity,
)
from vggcalc.nets.patterns import check_pattern, found_in
from vggcalc.nets.shapes import output_shape, shapes


class Replacing(msgspec.Struct, frozen=True):
    """Which convolutions of a network to replace, and by what.

    Convolutions with a kernel of `min_kernel` or more are factorized; with `merge` runs of convolutions become one
    instead, whatever their kernels. `only` is a regular expression that must be found in the names of the layers.
    A 3×3 is its own stack and stays. Raises `InputError` for a `min_kernel` below 2
    and for a malformed expression.
    """

    factorization: Factorization = Factorization()
    min_kernel: int = 5
    only: str | None = None
    merge: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.factorization, Factorization):
            raise TypeError(f"factorization {self.factorization!r} is no vggcalc.Factorization")
        check_number("min_kernel", self.min_kernel, 2)
        check_pattern(self.only or "")

    def chosen(self, network: Network) -> frozenset[str]:
        """The names of the convolutions that `only` allows."""
        names = tuple(node.name for node in network.nodes if isinstance(node.layer, Convolution))
        return frozenset(names) if self.only is None else found_in(self.only, names)


class Replaced(msgspec.Struct, frozen=True):
    """A network after replacing.

    `pairs` are the names of the replaced nodes with those of their replacements, `skipped` the convolutions that
    were chosen and cannot be replaced, each with the reason.
    """

    network: Network
    pairs: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    skipped: tuple[tuple[str, str], ...] = ()


@overload
def split(original: Conv2d, factorization: Factorization = ...) -> tuple[Conv2d, ...]: ...
@overload
def split(original: Network, factorization: Factorization = ...) -> Network: ...
def split(original: Conv2d | Network, factorization: Factorization = Factorization()) -> tuple[Conv2d, ...] | Network:
    """Split one k×k convolution, or every one of 5×5 or more in a network.

    For every input size the output shape stays, and so do the channels at both ends and the bias; in a stack also
    groups and dilation, and with the stride in the last layer the receptive field and its padding.
    In a network the batch norm and activation that alone read the convolution follow every layer.
    Raises `InputError` for a kernel that the family cannot take, such as an even one for a stack, and
    for one convolution of a family with branches, which are no chain: see `families.factorized`.

    >>> [conv.kernel_size for conv in split(Conv2d(64, 64, (7, 7), padding=(3, 3)))]
    [(3, 3), (3, 3), (3, 3)]
    """
    if isinstance(original, Conv2d):
        branches = factorized(original, factorization)
        if len(branches) > 1:
            raise InputError(f"{factorization.family} has {len(branches)} branches, which are no chain of layers")
        return branches[0]
    if not isinstance(original, Network):
        raise TypeError(
            f"{original!r} is of type {type(original).__name__}: split takes a vggcalc.Conv2d or a vggcalc.Network"
        )
    replaced = replace(original, Replacing(factorization))
    for _, reason in replaced.skipped:
        raise InputError(reason)
    return replaced.network


def branch_nodes(namer: Namer, block: str, branches: Branches, following: Sequence[Layer], source: str) -> list[Node]:
    """The nodes of branches that read `source`, the last one's output theirs.

    The batch norm and activation in `following` stand between the layers of a branch.
    """
    nodes: list[Node] = []
    ends = []
    for branch in branches:
        end = source
        for i, conv in enumerate(branch, 1):
            for layer in (conv, *(following if i < len(branch) else ())):
                if isinstance(layer, BatchNorm2d):
                    layer = msgspec.structs.replace(layer, num_features=conv.out_channels)
                nodes.append(Node(namer.name(block, layer), layer, (end,)))
                end = nodes[-1].name
        ends.append(end)
    if len(ends) > 1:
        nodes.append(Node(namer.name(block, Add()), Add(), tuple(ends)))
    return nodes


def replace(network: Network, replacing: Replacing) -> Replaced:
    """The network with the convolutions that `replacing` chooses split, or its runs merged.

    The new layers are named below the convolution (`conv1.conv1`, `conv1.relu1`, `conv1.conv2`); the batch norm and
    activation after it stay where they are, after the last of them.
    """
    if replacing.merge:
        return _merged(network, replacing)
    readers = network.readers()
    shape_of: dict[str, Shape] = {}
    nodes: list[Node] = []
    new_names: dict[str, str] = {}
    pairs, skipped = [], []
    chosen = replacing.chosen(network)
    for node in network.nodes:
        branches: Branches = ()
        if is_large(node.layer, replacing.min_kernel) and node.name in chosen:
            try:
                branches = _branches(node, replacing.factorization)
            except InputError as error:
                skipped.append((node.name, str(error)))
        if not branches or branches == ((node.layer,),):  # not chosen, or its own factorization
            inputs = tuple(new_names.get(name, name) for name in node.inputs)
            nodes.append(msgspec.structs.replace(node, inputs=inputs))
            continue
        shape_of = shape_of or shapes(network)
        following = [after.layer for after in _following(node, readers)]
        source = new_names.get(node.inputs[0], node.inputs[0])
        came = branch_nodes(Namer(), node.name, branches, following, source)
        nodes += _with_new_shapes(came, {source: shape_of[node.inputs[0]]})
        if len(nodes) > MOST_LAYERS:
            raise InputError(f"{network.name} would become more than {MOST_LAYERS:,} layers: replace fewer of them")
        new_names[node.name] = came[-1].name
        pairs.append(((node.name,), tuple(new.name for new in came)))
    return Replaced(msgspec.structs.replace(network, nodes=tuple(nodes)), tuple(pairs), tuple(skipped))


def _with_new_shapes(nodes: Sequence[Node], shape_of: dict[str, Shape]) -> Iterator[Node]:
    """The nodes, with the output shapes that a trace has recorded for activations replaced by their new ones."""
    for node in nodes:
        inputs = [shape_of[name] for name in node.inputs]
        if isinstance(node.layer, Operation):
            node = msgspec.structs.replace(node, layer=msgspec.structs.replace(node.layer, output_shape=inputs[0]))
        shape_of[node.name] = output_shape(node.layer, inputs)
        yield node


def _branches(node: Node, factorization: Factorization) -> Branches:
    """What a convolution is split into. Raises `InputError` with the reason why it cannot be."""
    if node.traced is not None and node.traced.module is None:
        raise InputError(node.traced.reason)
    if not isinstance(node.layer, Conv2d):
        kind = type(node.layer).__name__
        raise InputError(f"a {kind} is not factorized: only a Conv2d is")
    return factorized(node.layer, factorization)


def is_large(layer: Layer, min_kernel: int = 5) -> bool:
    """Whether it is a convolution with a kernel of that or more along an axis."""
    return isinstance(layer, Convolution) and max(layer.kernel_size) >= min_kernel


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
def merge(original: Sequence[Conv2d]) -> Conv2d: ...
@overload
def merge(original: Network) -> Network: ...
def merge(original: Sequence[Conv2d] | Network) -> Conv2d | Network:
    """Merge a run of convolutions, or every run in a network, into one with the same window.

    The kernel is 1 + Σ(kᵢ − 1), so a 1×1 adds nothing; dilation and groups are the run's, the
    padding is its total, the stride its last one's. In a network a run ends at every node that
    is neither batch norm nor activation, at a stride, at a branch, and where groups or dilation
    change; what follows its last convolution stays, what stood in between goes.
    Raises `InputError` for a sequence that is no such run.

    >>> merge(split(Conv2d(64, 64, (7, 7), padding=(3, 3)))).kernel_size
    (7, 7)
    """
    if isinstance(original, Network):
        return _merged(original, Replacing(merge=True)).network
    if not isinstance(original, Sequence) or not all(isinstance(one, Conv2d) for one in original):
        raise TypeError(
            f"merge takes a vggcalc.Network or a sequence of vggcalc.Conv2d, and no {type(original).__name__}"
        )
    if not original:
        raise InputError("nothing to merge: a run has at least one convolution")
    for before, after in pairwise(original):
        if not _continues(before, after, _dilation(original)):
            raise InputError(f"{after} does not continue a run after {before}")
    first, last = original[0], original[-1]
    return msgspec.structs.replace(
        last,
        in_channels=first.in_channels,
        kernel_size=_along(original, lambda conv, axis: conv.kernel_size[axis] - 1, 1),
        padding=_along(original, lambda conv, axis: conv.padding[axis], 0),
        dilation=_dilation(original),
        bias=any(conv.bias for conv in original),
    )


def _along(run: Sequence[Conv2d], of: Callable[[Conv2d, int], int], start: int) -> Axes:
    return start + sum(of(conv, 0) for conv in run), start + sum(of(conv, 1) for conv in run)


def _dilation(run: Sequence[Conv2d]) -> Axes:
    """The dilation of a run: that of its first kernel larger than 1×1 (the dilation of a 1×1 means nothing)."""
    return next((conv.dilation for conv in run if conv.kernel_size != (1, 1)), run[0].dilation)


def _continues(before: Conv2d, after: Conv2d, dilation: Axes) -> bool:
    return (
        before.stride == (1, 1)
        and before.groups == after.groups
        and before.out_channels == after.in_channels
        and all(conv.kernel_size == (1, 1) or conv.dilation == dilation for conv in (before, after))
    )


def _merged(network: Network, replacing: Replacing) -> Replaced:
    readers, chosen = network.readers(), replacing.chosen(network)
    merged: dict[str, Node] = {}
    gone: set[str] = set()
    pairs = []
    for node in network.nodes:
        if node.name in gone or not isinstance(node.layer, Conv2d) or not _removable(node, chosen):
            continue
        run, interior = [node.layer], [node.name]
        end = node
        while True:
            between = _following(end, readers)
            tail = between[-1] if between else end
            after = readers[tail.name][0] if len(readers[tail.name]) == 1 else None
            if after is None or not isinstance(after.layer, Conv2d):
                break
            if not all(_removable(part, chosen) for part in (*between, after)):
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
    nodes = tuple(merged.get(node.name, node) for node in network.nodes if node.name not in gone or node.name in merged)
    return Replaced(msgspec.structs.replace(network, nodes=nodes), tuple(pairs))


def _removable(node: Node, chosen: frozenset[str]) -> bool:
    """Whether the node can be removed: a convolution that is chosen, or a layer between two of them."""
    return (not isinstance(node.layer, Conv2d) or node.name in chosen) and (
        node.traced is None or node.traced.module is not None
    )
