"""Merging runs of convolutions, alone or in a network, into one with the same window."""

from collections.abc import Container, Sequence
from math import prod
from typing import overload

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.fewer import check_fewer
from vggcalc.nets.graph import Network, Node
from vggcalc.nets.layers import Axes, BatchNorm, Conv, PlainConvolution, is_nonlinearity
from vggcalc.nets.shapes import shapes


def following_layers(node: Node, readers: dict[str, list[Node]]) -> list[Node]:
    """The batch norm and activation behind a convolution, up to the first node that is neither."""
    found: list[Node] = []
    while len(readers[node.name]) == 1:
        (node,) = readers[node.name]
        if not isinstance(node.layer, BatchNorm) and not is_nonlinearity(node.layer):
            break
        found.append(node)
    return found


@overload
def merge(original: Sequence[Conv]) -> Conv: ...
@overload
def merge(original: Network) -> Network: ...
def merge(original: Sequence[Conv] | Network) -> Conv | Network:
    """Merge a run of convolutions, or every run in a network, into one with the same window.

    The kernel is 1 + Σ(kᵢ − 1) along each axis, so a 1×1 adds nothing; dilation and groups are the run's, the
    padding is its total on each side, the stride that of its last layer along each axis. In a network a run ends at
    every node that is neither batch norm nor activation, at a stride, at a branch, and where groups or dilation
    change; what follows its last convolution stays, what stood in between goes.
    Raises `InputError` for a sequence that is no such run.

    >>> from vggcalc import Conv2d
    >>> merge([Conv2d(64, 64, (3, 3), padding=(1, 1))] * 3).kernel_size
    (7, 7)
    """
    if isinstance(original, Network):
        names = frozenset(node.name for node in original.nodes)
        return merge_runs(original, names)[0]
    if not isinstance(original, Sequence) or not all(isinstance(one, PlainConvolution) for one in original):
        raise TypeError(
            f"merge takes a vggcalc.Network or a sequence of vggcalc.Conv1d, Conv2d or Conv3d, and no "
            f"{type(original).__name__}"
        )
    if not original:
        raise InputError("nothing to merge: a run has at least one convolution")
    for i, after in enumerate(original[1:], 1):
        if not _continues(original[:i], after, _dilation(original)):
            raise InputError(f"{after} does not continue a run after {original[i - 1]}")
    first, last = original[0], original[-1]
    kernels = [conv.kernel_size for conv in original]
    return msgspec.structs.replace(
        last.padded(_padding_of_run(original, 0), _padding_of_run(original, 1)),
        in_channels=first.in_channels,
        kernel_size=tuple(1 + sum(k - 1 for k in along) for along in zip(*kernels, strict=True)),
        stride=_strides_of_run(original),
        dilation=_dilation(original),
        bias=any(conv.bias for conv in original),
    )


def _strides_of_run(run: Sequence[Conv]) -> Axes:
    return tuple(map(prod, zip(*(conv.stride for conv in run), strict=True)))


def _padding_of_run(run: Sequence[Conv], side: int) -> Axes:
    """The padding on one side, 0 in front and 1 behind: that after a stride counts as often (Araujo et al. 2019)."""
    found, steps = (0,) * run[0].axes, (1,) * run[0].axes
    for conv in run:
        found = tuple(p + own * s for p, own, s in zip(found, conv.sides[side], steps, strict=True))
        steps = tuple(map(int.__mul__, steps, conv.stride))
    return found


def _is_pointwise(conv: Conv) -> bool:
    return max(conv.kernel_size) == 1


def _dilation(run: Sequence[Conv]) -> Axes:
    """The dilation of a run: that of its first kernel larger than 1×1 (the dilation of a 1×1 means nothing)."""
    return next((conv.dilation for conv in run if not _is_pointwise(conv)), run[0].dilation)


def _continues(run: Sequence[Conv], after: Conv, dilation: Axes) -> bool:
    """Whether a convolution can be merged with the run in front of it: no kernel is behind a stride along its axis."""
    before = run[-1]
    if before.axes != after.axes:
        return False
    strides = _strides_of_run(run)
    return (
        all(s == 1 for s, k in zip(strides, after.kernel_size, strict=True) if k > 1 or _is_pointwise(after))
        and before.groups == after.groups
        and before.out_channels == after.in_channels
        and all(_is_pointwise(conv) or conv.dilation == dilation for conv in (before, after))
    )


#: The names of nodes with those of what stands instead; the names of nodes that stay, each with the reason.
Pairs = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
Reasons = tuple[tuple[str, str], ...]


def merge_runs(network: Network, chosen: Container[str], if_fewer: str | None = None) -> tuple[Network, Pairs, Reasons]:
    """The network with its runs of chosen convolutions merged; with `if_fewer` those alone that have less of that cost.

    A run that stays is named by its first convolution.
    """
    readers = network.readers()
    shape_of = shapes(network) if if_fewer is not None else {}
    merged: dict[str, Node] = {}
    seen: set[str] = set()
    gone: set[str] = set()
    pairs, skipped = [], []
    for node in network.nodes:
        if node.name in seen or not isinstance(node.layer, PlainConvolution) or not _removable(node, chosen):
            continue
        run, interior = [node.layer], [node.name]
        end = node
        while True:
            between = following_layers(end, readers)
            tail = between[-1] if between else end
            after = readers[tail.name][0] if len(readers[tail.name]) == 1 else None
            if after is None or not isinstance(after.layer, PlainConvolution):
                break
            if not all(_removable(part, chosen) for part in (*between, after)):
                break
            if not _continues(run, after.layer, _dilation([*run, after.layer])):
                break
            run.append(after.layer)
            interior += [part.name for part in between] + [after.name]
            end = after
        if len(run) < 2:
            continue
        seen.update(interior)
        new = merge(run)
        traced = end.traced and msgspec.structs.replace(
            end.traced,
            parameters=new.parameters,
            trainable=new.parameters,  # the new convolution's are not frozen
            trains="weight",
            parameter_bytes=None,
        )
        instead = Node(end.name, new, node.inputs, traced)
        try:
            check_fewer([one for one in network.nodes if one.name in interior], [instead], shape_of, if_fewer)
        except InputError as error:
            skipped.append((node.name, str(error)))
            continue
        gone.update(interior)
        merged[end.name] = instead
        pairs.append((tuple(interior), (end.name,)))
    nodes = tuple(merged.get(node.name, node) for node in network.nodes if node.name not in gone or node.name in merged)
    return msgspec.structs.replace(network, nodes=nodes), tuple(pairs), tuple(skipped)


def _removable(node: Node, chosen: Container[str]) -> bool:
    """Whether the node can be removed: a convolution that is chosen, or a layer between two of them."""
    return (not isinstance(node.layer, PlainConvolution) or node.name in chosen) and (
        node.traced is None or node.traced.module is not None
    )
