"""Nodes and networks: layers by name, each with the nodes that it reads."""

from typing import Literal

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.layers import (
    GELU,
    IN_PLACE,
    VIEWS,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    Add,
    Axes,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Concat,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    CustomOperator,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MatrixProduct,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    Opaque,
    Operation,
    ReLU,
    Shape,
    SiLU,
    Window,
)

#: What is made of a user's words has no more layers: so many take seconds, and real networks have fewer.
MOST_LAYERS = 20_000

#: The name of a network's input, which is no node.
INPUT = "input"


#: How training treats an operator: recorded, not recorded (torch.no_grad), or run again in the backward pass.
Autograd = Literal["", "no_grad", "checkpoint"]


class Constant(msgspec.Struct, frozen=True):
    """A tensor made in forward that autograd saves: the number of its storage, which others may share, and its size."""

    storage: int
    elements: int
    itemsize: int = 0


class Traced(msgspec.Struct, frozen=True):
    """What only a trace knows of a node, beside its layer.

    `reach` is on which units of the inputs a unit of the output depends: "pixel" the one at its own position, "window"
    those that kernel, stride and padding give, "image" all, "varies" others from unit to unit, or "unknown".
    `spatial_size` is the output's, () where its axes can no longer be told apart. Each of the
    `parameters` is counted at the first node that uses it. `module` is the path of the module that `rewrite` can
    replace; where it is None, `reason` says why none can be. `weights` is "own" where parameters take part, also
    those that another node counts, "rearranged" where the weight is made of them by what autograd saves nothing for,
    "computed" where it is computed from them, "constant" where it is a tensor made in forward, and "" where none
    do. `trains` says whether training computes the gradient of a "weight", of "both" where two are multiplied, of a
    "bias" alone, or, "", of no parameter here: all are frozen. `trainable` are those of the `parameters` that
    require a gradient, `parameter_bytes` the size of all in their own dtypes. `by_function`: a function computes
    it, and not a module of torch.nn. `autograd` is "no_grad" where training does not record it, "checkpoint" where
    it runs again in the backward pass, and else "". `itemsize` are the bytes of an element of the output where its
    dtype is not that of the network's weights (numbers of tokens, masks), and else 0. `steering` are the positions
    among the node's inputs of those that say which elements are taken (indices, masks), which autograd saves, and
    `constants` what it saves that is made in forward of anything but the input.
    """

    reach: str
    spatial_size: Axes
    parameters: int = 0
    module: str | None = None
    reason: str = ""
    weights: str = ""
    by_function: bool = False
    trains: str = ""
    trainable: int = 0
    parameter_bytes: int | None = None
    autograd: Autograd = ""
    itemsize: int = 0
    steering: tuple[int, ...] = ()
    constants: tuple[Constant, ...] = ()


class Unfused(msgspec.Struct, frozen=True):
    """A linear part of a fused module that stayed: one convolution with that kernel would differ in a border of it."""

    name: str
    kernel: Axes
    border: Axes

    @property
    def reason(self) -> str:
        """Why it stayed."""
        kernel, border = ("×".join(map(str, sizes)) for sizes in (self.kernel, self.border))
        return f"one {kernel} convolution would differ in a border of {border} positions, where a layer pads zeros"


class Tracing(msgspec.Struct, frozen=True):
    """How a module ran when it was traced.

    `ran_with` are tensors without values of the "meta" device, "fake" ones that know constants, or "values", random
    ones. `depends_on_values`: a value that depends on the input steered it, so that for another input other operators
    may run. `integer_inputs`: shapes without a dtype were those of integers, which an embedding takes. `dtype` is that
    of the weights, `itemsize` the bytes of an element of the input where it has another. `unfused` are the parts that
    stayed of one that was fused.
    """

    ran_with: Literal["meta", "fake", "values"] = "meta"
    depends_on_values: bool = False
    integer_inputs: bool = False
    dtype: str = "float32"
    itemsize: int = 0
    unfused: tuple[Unfused, ...] = ()


class Node(msgspec.Struct, frozen=True):
    """A named layer with the names of the nodes that it reads; `input` is the network's input.

    Only in a trace may it read none: a tensor that is computed from weights alone.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    traced: Traced | None = None

    @property
    def block(self) -> str:
        """The first part of the dotted name: nodes that share it are one block."""
        return self.name.partition(".")[0]


class Network(msgspec.Struct, frozen=True):
    """Nodes in topological order; the last one's output is the network's.

    `layout` says where a built module keeps its layers: under the nodes' own names, or where
    torchvision's VGG keeps them (`features.0` … `classifier.6`); "traced" if the nodes are the
    trace of a module, which alone runs them.
    Raises `InputError` where a name occurs twice or is read before it is made, and, but for a
    trace, is never read.
    """

    name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    layout: str = "nodes"
    tracing: Tracing | None = None

    def __post_init__(self) -> None:
        if not self.nodes:
            raise InputError(f"{self.name}: a network needs at least one layer")
        known, read = {INPUT}, set[str]()
        for node in self.nodes:
            missing = [name for name in node.inputs if name not in known]
            if missing or not (node.inputs or self.layout == "traced"):
                raise InputError(f"{node.name} reads {missing or 'nothing'}, which no node before it makes")
            if node.name in known:
                raise InputError(f"two nodes are named {node.name}")
            known.add(node.name)
            read.update(node.inputs)
        unread = known - read - {INPUT, self.nodes[-1].name}
        if unread and self.layout != "traced":
            raise InputError(f"nothing reads {', '.join(sorted(unread))}: only the last node is an output")

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.input_shape))
        return f"<Network {self.name}: {len(self.nodes)} layers, input {shape}>"

    @property
    def dtype(self) -> str:
        """That of the weights; what is built has float32."""
        return self.tracing.dtype if self.tracing is not None else "float32"

    def readers(self) -> dict[str, list[Node]]:
        """For each name, `input` included, the nodes that read it."""
        readers: dict[str, list[Node]] = {name: [] for name in (INPUT, *(node.name for node in self.nodes))}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node)
        return readers

    def up_to(self, name: str) -> "Network":
        """The network that puts out what the node of that name does: it, and all that it reads, however far back."""
        needed, found = {name}, []
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
                found.append(node)
        return msgspec.structs.replace(self, nodes=tuple(reversed(found)))

    def in_place(self) -> frozenset[str]:
        """The activations that overwrite their input: nothing else reads it, nor does backward need it.

        `Flatten` and `Dropout` return, in inference, the tensor that they read; the network's input belongs to the
        caller; and a ReLU saves its output for the backward pass.
        """
        readers, nodes = self.readers(), {node.name: node for node in self.nodes}
        found = set()
        for node in self.nodes:
            if node.traced is not None or type(node.layer) is Operation:
                if getattr(node.layer, "inplace", False):
                    found.add(node.name)  # what was seen, whether wise or not
            elif type(node.layer) in IN_PLACE and node.layer.inplace:  # type: ignore[union-attr]
                source = node.inputs[0]
                while source != INPUT and len(readers[source]) == 1:
                    layer = nodes[source].layer
                    if type(layer) not in VIEWS:
                        if not isinstance(layer, ReLU):
                            found.add(node.name)
                        break
                    source = nodes[source].inputs[0]
        return frozenset(found)


#: How a layer is called within its block; `#` becomes its number among its kind.
KINDS: dict[type, str] = {
    **dict.fromkeys((Conv1d, Conv2d, Conv3d), "conv#"),
    **dict.fromkeys((ConvTranspose1d, ConvTranspose2d, ConvTranspose3d), "up#"),
    **dict.fromkeys((BatchNorm1d, BatchNorm2d, BatchNorm3d), "bn#"),
    LocalResponseNorm: "lrn#",
    ReLU: "relu#",
    GELU: "gelu#",
    SiLU: "silu#",
    **dict.fromkeys((MaxPool1d, MaxPool2d, MaxPool3d), "pool"),
    Window: "window#",
    Operation: "operation#",
    Opaque: "opaque#",
    MatrixProduct: "product#",
    CustomOperator: "custom#",
    **dict.fromkeys((AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d), "avgpool"),
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
    """The same network with its nodes named anew, by block, kind and number."""
    namer = Namer()
    new = {INPUT: INPUT}
    for node in network.nodes:
        new[node.name] = namer.name(node.block, node.layer)
    nodes = tuple(Node(new[node.name], node.layer, tuple(new[name] for name in node.inputs)) for node in network.nodes)
    return msgspec.structs.replace(network, nodes=nodes)
