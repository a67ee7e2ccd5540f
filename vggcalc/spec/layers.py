"""Layers, nodes and networks: the words in which everything else is said.

A layer is a frozen Struct with the name and the arguments of its `torch.nn` class, so that
building it is a call with the same arguments. Shapes are `(batch, channels, height, width)`,
spatial pairs `(height, width)`.
"""

from collections.abc import Callable

import msgspec

from vggcalc.spec.words import SpecError

Pair = tuple[int, int]
Shape = tuple[int, ...]

#: Beyond this no torch tensor has a dimension that its kernels can index.
LARGEST_DIMENSION = 2**31 - 1


class _Layer(msgspec.Struct, frozen=True, tag=True):
    pass


def _pair(layer: msgspec.Struct, argument: str, least: int) -> None:
    """Let one integer stand for both axes, as torch does, and hold both to `least`."""
    value = getattr(layer, argument)
    if isinstance(value, int):
        value = (value, value)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise SpecError(f"{argument} {value!r} is neither a number nor a pair (height, width)")
    for number in value:
        check_number(argument, number, least)
    msgspec.structs.force_setattr(layer, argument, tuple(value))


def check_number(what: str, number: int, least: int = 1) -> None:
    """Raise `SpecError` unless `number` is an integer of `least` … `LARGEST_DIMENSION`."""
    if type(number) is not int:
        raise SpecError(f"{what} {number!r} is not a whole number")
    if not least <= number <= LARGEST_DIMENSION:
        bound = f"at least {least}" if number < least else f"at most {LARGEST_DIMENSION:,}"
        raise SpecError(f"{what} {number} is out of range: it must be {bound}")


def spatial(size: int | Pair) -> Pair:
    """(height, width) from one number or both. Raises `SpecError`."""
    both = (size, size) if isinstance(size, int) else size
    if not isinstance(both, tuple | list) or len(both) != 2:
        raise SpecError(f"size {size!r} is neither a number nor a pair (height, width)")
    for what, number in zip(("height", "width"), both, strict=True):
        check_number(what, number)
    return both[0], both[1]


class Conv2d(_Layer, frozen=True):
    """`torch.nn.Conv2d`. An integer given for a pair stands for both axes.

    Raises `SpecError` where a number is out of range or the groups do not divide the channels.
    """

    in_channels: int
    out_channels: int
    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        check_number("in_channels", self.in_channels)
        check_number("out_channels", self.out_channels)
        check_number("groups", self.groups)
        _pair(self, "kernel_size", 1)
        _pair(self, "stride", 1)
        _pair(self, "padding", 0)
        _pair(self, "dilation", 1)
        for what, channels in (("in", self.in_channels), ("out", self.out_channels)):
            if channels % self.groups:
                raise SpecError(
                    f"{self.groups} groups do not divide {what}_channels {channels}: "
                    f"groups must divide both in_channels and out_channels"
                )


class BatchNorm2d(_Layer, frozen=True):
    """`torch.nn.BatchNorm2d`, affine, with running statistics."""

    num_features: int


class LocalResponseNorm(_Layer, frozen=True):
    """`torch.nn.LocalResponseNorm`; the defaults are those of Krizhevsky et al. 2012, section 3.3."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0


class ReLU(_Layer, frozen=True):
    """`torch.nn.ReLU`, in place where nothing else reads its input, as in torchvision's VGG."""

    inplace: bool = True


class GELU(_Layer, frozen=True):
    """`torch.nn.GELU`."""


class SiLU(_Layer, frozen=True):
    """`torch.nn.SiLU`, in place where nothing else reads its input."""

    inplace: bool = True


class MaxPool2d(_Layer, frozen=True):
    """`torch.nn.MaxPool2d`, rounding down."""

    kernel_size: Pair = (2, 2)
    stride: Pair = (2, 2)
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        _pair(self, "kernel_size", 1)
        _pair(self, "stride", 1)
        _pair(self, "padding", 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise SpecError(f"pool padding {self.padding} is more than half of {self.kernel_size}")


class AdaptiveAvgPool2d(_Layer, frozen=True):
    """`torch.nn.AdaptiveAvgPool2d`."""

    output_size: Pair

    def __post_init__(self) -> None:
        _pair(self, "output_size", 1)


class Flatten(_Layer, frozen=True):
    """`torch.nn.Flatten`: a view, which moves nothing."""


class Linear(_Layer, frozen=True):
    """`torch.nn.Linear` on `(batch, in_features)`."""

    in_features: int
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_number("in_features", self.in_features)
        check_number("out_features", self.out_features)


class Dropout(_Layer, frozen=True):
    """`torch.nn.Dropout`: nothing in inference."""

    p: float = 0.5


class Add(_Layer, frozen=True):
    """Elementwise sum of two or more tensors of one shape."""


class Concat(_Layer, frozen=True):
    """Concatenation of two or more tensors along the channels."""


Activation = ReLU | GELU | SiLU
Layer = (
    Conv2d
    | BatchNorm2d
    | LocalResponseNorm
    | ReLU
    | GELU
    | SiLU
    | MaxPool2d
    | AdaptiveAvgPool2d
    | Flatten
    | Linear
    | Dropout
    | Add
    | Concat
)

#: By the name of its `torch.nn` class.
LAYERS: dict[str, Callable[..., Layer]] = {kind.__name__: kind for kind in Layer.__args__}

INPUT = "input"


class Node(msgspec.Struct, frozen=True):
    """A named layer with the names of the nodes that it reads; `input` is the image."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]

    @property
    def block(self) -> str:
        """The first part of the dotted name: nodes that share it are one block."""
        return self.name.partition(".")[0]


class Network(msgspec.Struct, frozen=True):
    """Nodes in topological order; the last one's output is the network's.

    `layout` says where a built module keeps its layers: under the nodes' own names, or where
    torchvision's VGG keeps them (`features.0` … `classifier.6`).
    Raises `SpecError` where a name occurs twice, is read before it is made or never read.
    """

    name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    layout: str = "nodes"

    def __post_init__(self) -> None:
        if not self.nodes:
            raise SpecError(f"{self.name}: a network needs at least one layer")
        known, read = {INPUT}, set[str]()
        for node in self.nodes:
            missing = [name for name in node.inputs if name not in known]
            if missing or not node.inputs:
                raise SpecError(f"{node.name} reads {missing or 'nothing'}, which no node before it makes")
            if node.name in known:
                raise SpecError(f"two nodes are named {node.name}")
            known.add(node.name)
            read.update(node.inputs)
        unread = known - read - {INPUT, self.nodes[-1].name}
        if unread:
            raise SpecError(f"nothing reads {', '.join(sorted(unread))}: only the last node is an output")

    def readers(self) -> dict[str, list[Node]]:
        """For each name, `input` included, the nodes that read it."""
        readers: dict[str, list[Node]] = {name: [] for name in (INPUT, *(node.name for node in self.nodes))}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node)
        return readers

    def in_place(self) -> frozenset[str]:
        """The activations that overwrite their input: nothing else reads it, nor does backward need it.

        What `Flatten` and `Dropout` hand on is, in inference, the tensor that they read; the image
        belongs to the caller; and a ReLU keeps its output for the backward pass.
        """
        readers, nodes = self.readers(), {node.name: node for node in self.nodes}
        found = set()
        for node in self.nodes:
            if isinstance(node.layer, ReLU | SiLU) and node.layer.inplace:
                source = node.inputs[0]
                while source != INPUT and len(readers[source]) == 1:
                    layer = nodes[source].layer
                    if not isinstance(layer, Flatten | Dropout):
                        if not isinstance(layer, ReLU):
                            found.add(node.name)
                        break
                    source = nodes[source].inputs[0]
        return frozenset(found)


#: How a layer is called within its block; `#` becomes its number among its kind.
KINDS: dict[type, str] = {
    Conv2d: "conv#",
    BatchNorm2d: "bn#",
    LocalResponseNorm: "lrn#",
    ReLU: "relu#",
    GELU: "gelu#",
    SiLU: "silu#",
    MaxPool2d: "pool",
    AdaptiveAvgPool2d: "avgpool",
    Flatten: "flatten",
    Linear: "linear#",
    Dropout: "dropout#",
    Add: "add#",
    Concat: "concat#",
}


class Namer:
    """Gives layers their names: `block1.conv1`, `block1.relu1`, `block1.conv2`, `block1.pool`."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def name(self, block: str, layer: Layer) -> str:
        stem = f"{block}.{KINDS[type(layer)]}"
        self._counts[stem] = number = self._counts.get(stem, 0) + 1
        if "#" in stem:
            return stem.replace("#", str(number))
        return stem if number == 1 else f"{stem}{number}"


def chain(name: str, input_shape: Shape, layers: list[tuple[str, Layer]], layout: str = "nodes") -> Network:
    """A plain chain of `(block, layer)`, named by kind."""
    namer = Namer()
    nodes, previous = [], INPUT
    for block, layer in layers:
        node = Node(namer.name(block, layer), layer, (previous,))
        nodes.append(node)
        previous = node.name
    return Network(name, input_shape, tuple(nodes), layout)


def renumbered(network: Network) -> Network:
    """The same network with every node named by its block, its kind and its number."""
    namer = Namer()
    new = {INPUT: INPUT}
    for node in network.nodes:
        new[node.name] = namer.name(node.block, node.layer)
    nodes = tuple(
        Node(new[node.name], node.layer, tuple(new[name] for name in node.inputs)) for node in network.nodes
    )
    return msgspec.structs.replace(network, nodes=nodes)
