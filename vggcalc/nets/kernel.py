"""One convolution to be factorized: its arguments, which the command, the library and the sweep share."""

from collections.abc import Iterable, Sequence

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.families import FAMILIES, Factorization, by_times, check_kernel
from vggcalc.nets.graph import INPUT, Namer, Network, Node
from vggcalc.nets.layers import Axes, Conv, Layer, PlainConvolution, Shape, check_dims, check_number, in_axes, spatial
from vggcalc.nets.replacing import branch_nodes
from vggcalc.nets.vgg import activation as activation_layer

#: Sizes of the input unless others are given, by the number of spatial axes: about as many positions in each.
USUAL_SIZES = {1: 3136, 2: 56, 3: 16}


class Kernel(msgspec.Struct, frozen=True):
    """A convolution with its input and what follows it; the defaults are those of `vggcalc factorize`.

    `dims` is the number of its spatial axes; of what there is for each of them one number stands for all. `size` is
    that of the input's feature map; `padding` None keeps that size at stride 1 (torch's padding="same"), and with
    `causal` all of it is in front of the first axis, which is time. Batch norm and activation follow every layer.
    Raises `InputError` for what is no convolution.
    """

    kernel_size: int | Axes
    in_channels: int = 64
    out_channels: int = 64
    size: int | Axes | None = None
    batch: int = 1
    stride: int | Axes = 1
    padding: int | Axes | None = None
    dilation: int | Axes = 1
    groups: int = 1
    bias: bool = True
    batch_norm: bool = False
    activation: str = "relu"
    dims: int = 2
    causal: bool = False

    def __post_init__(self) -> None:
        check_dims(self.dims)
        for k in self.each("kernel_size"):
            check_kernel(k, least=1)
        check_kernel(max(self.each("kernel_size")))
        size = USUAL_SIZES[self.dims] if self.size is None else self.size
        msgspec.structs.force_setattr(self, "size", spatial(size, self.dims))
        activation_layer(self.activation)
        if self.causal and self.padding is not None:
            raise InputError("causal says the padding already: all in front, none behind. Leave out padding")

    def each(self, argument: str) -> Axes:
        """What there is for each spatial axis of that argument. Raises `InputError` for another number of them."""
        value: int | Axes = getattr(self, argument)
        if not isinstance(value, tuple | list):
            return (value,) * self.dims
        if len(value) != self.dims:
            numbers = f"{len(value)} number{'s' * (len(value) != 1)}"
            raise InputError(f"{argument} {by_times(tuple(value))} has {numbers} for {self.dims} axes")
        return tuple(value)

    @property
    def name(self) -> str:
        """The kernel in words: 7×7, 5×7×7; of one axis "1-D 7"."""
        return by_times(self.each("kernel_size")) if self.dims > 1 else f"1-D {self.each('kernel_size')[0]}"

    @property
    def input_shape(self) -> Shape:
        """(batch, channels, height, width), or with one size or three."""
        return (self.batch, self.in_channels, *self.each("size"))

    def convolution(self, factorizations: Iterable[Factorization] = ()) -> Conv:
        """The convolution. Raises `InputError` for an even kernel that a family takes and no padding keeps the size."""
        kernel, dilation = self.each("kernel_size"), self.each("dilation")
        for number in dilation:
            check_number("dilation", number)
        if self.padding is not None:
            sides = self.each("padding"), self.each("padding")
        else:
            sides = same_padding(kernel, dilation, tuple(factorizations), self.causal)
        made = in_axes("Conv", self.dims)(
            self.in_channels, self.out_channels, kernel, self.each("stride"), sides[0], dilation, self.groups,
            self.bias, sides[1],
        )  # fmt: skip
        assert isinstance(made, PlainConvolution)
        return made

    def network(self, branches: Branches, factorization: Factorization = Factorization()) -> Network:
        """The network of the branches that replace it, with norm and activation where `factorization` has them."""
        followers = following(self.out_channels, self.batch_norm, self.activation, self.dims)
        return kernel_network(self.input_shape, branches, followers, factorization)


def same_padding(
    kernel: Axes, dilation: Axes, factorizations: Sequence[Factorization], causal: bool = False
) -> tuple[Axes, Axes]:
    """The padding in front of each axis and behind it that keeps the size at stride 1; `causal`, along the first
    axis, has all of it in front.

    Raises `InputError` where there is none, unless no family takes an even kernel: each then gives its own reason.
    """
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    before, after = ([n // 2 for n in total] for _ in range(2))
    if causal:
        before[0], after[0] = total[0], 0
    takes_even = any(len(kernel) in FAMILIES[one.family].dims and FAMILIES[one.family].even for one in factorizations)
    for k, n, p, q in zip(kernel, total, before, after, strict=True):
        if p + q != n and takes_even:
            raise InputError(
                f"kernel {k} is even: no padding keeps the size. Give a padding, such as {n // 2}, or try {k - 1} or "
                f"{k + 1}"
            )
    return tuple(before), tuple(after)


def following(features: int, batch_norm: bool, activation: str, dims: int) -> list[Layer]:
    """What follows a convolution of so many spatial axes: batch norm and activation, if any."""
    chosen = activation_layer(activation)
    layers: list[Layer] = [in_axes("BatchNorm", dims)(features)] if batch_norm else []
    return layers if chosen is None else [*layers, chosen]


def kernel_network(
    shape: Shape, branches: Branches, followers: Sequence[Layer], factorization: Factorization = Factorization()
) -> Network:
    """Branches on an input of that shape, with the followers behind their sum, and behind every layer as it says."""
    namer = Namer()
    nodes = branch_nodes(namer, "block1", branches, factorization.between_layers(followers), INPUT)
    for layer in followers:
        nodes.append(Node(namer.name("block1", layer), layer, (nodes[-1].name,)))
    return Network("kernel", shape, tuple(nodes))
