"""Factorizing the large convolutions of a network, or merging runs of them."""

from collections.abc import Iterator, Sequence
from typing import overload

import msgspec

from vggcalc.errors import InputError, unknown
from vggcalc.nets.chains import Branches
from vggcalc.nets.families import Factorization, factorized
from vggcalc.nets.fewer import check_fewer
from vggcalc.nets.graph import MOST_LAYERS, Namer, Network, Node
from vggcalc.nets.layers import (
    Add,
    BatchNorm,
    Conv,
    Convolution,
    Layer,
    Operation,
    PlainConvolution,
    Shape,
    check_number,
)
from vggcalc.nets.merging import Pairs, Reasons, following_layers, merge_runs
from vggcalc.nets.names import IF_FEWER
from vggcalc.nets.patterns import check_pattern, found_in
from vggcalc.nets.shapes import output_shape, shapes


class Replacing(msgspec.Struct, frozen=True):
    """Which convolutions of a network to replace, and by what.

    Convolutions with a kernel of `min_kernel` or more are factorized; with `merge` runs of convolutions become one
    instead, whatever their kernels. `only` is a regular expression that must be found in the names of the layers.
    With `by_layer`, factorizations by the layers' names, each of these has its own, and all others stay.
    With `if_fewer`, "macs" or "parameters", what would not lower that cost stays. A 3×3 is its own stack and stays, and
    so does a kernel no larger than its stride. Raises `InputError` for a `min_kernel` below 2, a malformed expression
    and another cost.
    """

    factorization: Factorization = Factorization()
    min_kernel: int = 5
    only: str | None = None
    merge: bool = False
    if_fewer: str | None = None
    by_layer: tuple[tuple[str, Factorization], ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.factorization, Factorization):
            raise TypeError(f"factorization {self.factorization!r} is no vggcalc.Factorization")
        check_number("min_kernel", self.min_kernel, 2)
        check_pattern(self.only or "")
        if self.if_fewer not in (None, *IF_FEWER):
            raise unknown("if_fewer", self.if_fewer, IF_FEWER)

    def chosen(self, network: Network) -> frozenset[str]:
        """The names of the convolutions that `only` allows."""
        names = tuple(node.name for node in network.nodes if isinstance(node.layer, Convolution))
        found = frozenset(names) if self.only is None else found_in(self.only, names)
        return found if self.by_layer is None else found.intersection(name for name, _ in self.by_layer)

    def factorization_of(self, name: str) -> Factorization:
        """That of the layer of this name."""
        return dict(self.by_layer or ()).get(name, self.factorization)


class Replaced(msgspec.Struct, frozen=True):
    """A network after replacing.

    `pairs` are the names of the replaced nodes with those of their replacements, `skipped` the convolutions that
    were chosen and are not replaced, each with the reason.
    """

    network: Network
    pairs: Pairs
    skipped: Reasons = ()


@overload
def split(original: Conv, factorization: Factorization = ...) -> tuple[Conv, ...]: ...
@overload
def split(original: Network, factorization: Factorization = ...) -> Network: ...
def split(original: Conv | Network, factorization: Factorization = Factorization()) -> tuple[Conv, ...] | Network:
    """Split one convolution of one to three dimensions, or every one of 5×5 or more in a network.

    For every input size the output shape stays, and so do the channels at both ends and the bias; in a stack also
    groups and dilation, and with the stride in the last layer the receptive field and its padding.
    In a network the batch norm and activation that alone read the convolution follow every layer, or by `between` the
    last alone.
    In a network a kernel no larger than its stride stays: see `cuts_patches`.
    Raises `InputError` for a kernel that the family cannot take, such as an even one for a stack, and
    for one convolution of a family with branches, which are no chain: see `families.factorized`.

    >>> from vggcalc import Conv2d, Conv3d
    >>> [conv.kernel_size for conv in split(Conv2d(64, 64, (7, 7), padding=(3, 3)))]
    [(3, 3), (3, 3), (3, 3)]
    >>> [conv.kernel_size for conv in split(Conv3d(64, 64, (3, 5, 5), padding=(1, 2, 2)))]
    [(3, 3, 3), (1, 3, 3)]
    """
    if isinstance(original, PlainConvolution):
        branches = factorized(original, factorization)
        if len(branches) > 1:
            raise InputError(f"{factorization.family} has {len(branches)} branches, which are no chain of layers")
        return branches[0]
    if not isinstance(original, Network):
        raise TypeError(
            f"{original!r} is of type {type(original).__name__}: split takes a vggcalc.Conv1d, Conv2d, Conv3d "
            "or Network"
        )
    replaced = replace(original, Replacing(factorization))
    for _, reason in replaced.skipped:
        if reason != CUTS_PATCHES:
            raise InputError(reason)
    return replaced.network


def branch_nodes(namer: Namer, block: str, branches: Branches, between: Sequence[Layer], source: str) -> list[Node]:
    """The nodes of branches that read `source`, the last one's output theirs.

    The batch norm and activation in `between` stand between the layers of a branch.
    """
    nodes: list[Node] = []
    ends = []
    for branch in branches:
        end = source
        for i, conv in enumerate(branch, 1):
            for layer in (conv, *(between if i < len(branch) else ())):
                if isinstance(layer, BatchNorm):
                    layer = msgspec.structs.replace(layer, num_features=conv.out_channels)
                nodes.append(Node(namer.name(block, layer), layer, (end,)))
                end = nodes[-1].name
        ends.append(end)
    total = ends[0]
    for end in ends[1:]:  # two at a time, as it is run
        nodes.append(Node(namer.name(block, Add()), Add(), (total, end)))
        total = nodes[-1].name
    return nodes


def replace(network: Network, replacing: Replacing) -> Replaced:
    """The network with the convolutions that `replacing` chooses split, or its runs merged.

    The new layers are named below the convolution (`conv1.conv1`, `conv1.relu1`, `conv1.conv2`); the batch norm and
    activation after it stay where they are, after the last of them.
    """
    if replacing.merge:
        return Replaced(*merge_runs(network, replacing.chosen(network), replacing.if_fewer))
    readers = network.readers()
    shape_of: dict[str, Shape] = {}
    nodes: list[Node] = []
    new_names: dict[str, str] = {}
    pairs, skipped = [], []
    chosen = replacing.chosen(network)
    for node in network.nodes:
        came: list[Node] = []
        if is_large(node.layer, replacing.min_kernel) and node.name in chosen:
            try:
                factorization = replacing.factorization_of(node.name)
                branches = _branches(node, factorization)
                if branches != ((node.layer,),):  # it is its own factorization
                    shape_of = shape_of or shapes(network)
                    following = [after.layer for after in following_layers(node, readers)]
                    source = new_names.get(node.inputs[0], node.inputs[0])
                    between = factorization.between_layers(following)
                    came = branch_nodes(Namer(), node.name, branches, between, source)
                    known = {source: shape_of[node.inputs[0]], node.name: shape_of[node.name]}
                    came = list(_with_new_shapes(came, known))
                    check_fewer([node], came, known, replacing.if_fewer)
            except InputError as error:
                skipped.append((node.name, str(error)))
                came = []
        if not came:
            inputs = tuple(new_names.get(name, name) for name in node.inputs)
            nodes.append(msgspec.structs.replace(node, inputs=inputs))
            continue
        nodes += came
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
    if not isinstance(node.layer, PlainConvolution):
        raise InputError(f"a {type(node.layer).__name__} is not factorized: it is transposed")
    if cuts_patches(node.layer):
        raise InputError(CUTS_PATCHES)
    return factorized(node.layer, factorization)


#: Why a kernel no larger than its stride stays.
CUTS_PATCHES = "its kernel is no larger than its stride: it cuts patches, and a stack would run between them too"


def cuts_patches(layer: Layer) -> bool:
    """Whether it is a convolution whose windows do not overlap: a ViT's or ConvNeXt's first, a ConvMixer's 7×7/7.

    A stack in its place computes its first layers at every position, the kernel its own at one of stride².
    """
    return isinstance(layer, Convolution) and all(
        kernel <= stride for kernel, stride in zip(layer.kernel_size, layer.stride, strict=True)
    )


def is_large(layer: Layer, min_kernel: int = 5) -> bool:
    """Whether it is a convolution with a kernel of that or more along an axis."""
    return isinstance(layer, Convolution) and max(layer.kernel_size) >= min_kernel
