"""One k×k convolution to be factorized: its arguments, which the command, the library and the sweep share."""

from collections.abc import Iterable, Sequence

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.families import FAMILIES, Factorization, check_kernel
from vggcalc.nets.graph import INPUT, Namer, Network, Node
from vggcalc.nets.layers import BatchNorm2d, Conv2d, Layer, Pair, Shape, spatial
from vggcalc.nets.replacing import branch_nodes
from vggcalc.nets.vgg import activation as activation_layer


class Kernel(msgspec.Struct, frozen=True):
    """A convolution with its input and what follows it; the defaults are those of `vggcalc factorize`.

    `size` is (height, width) of the input's feature map, or one number for both; `padding` None keeps that size at
    stride 1 (torch's padding="same"). Batch norm and activation follow every layer.
    Raises `InputError` for what is no convolution.
    """

    kernel_size: int
    in_channels: int = 64
    out_channels: int = 64
    size: int | Pair = 56
    batch: int = 1
    stride: int = 1
    padding: int | None = None
    dilation: int = 1
    groups: int = 1
    bias: bool = True
    batch_norm: bool = False
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_kernel(self.kernel_size)
        msgspec.structs.force_setattr(self, "size", spatial(self.size))
        activation_layer(self.activation)

    @property
    def input_shape(self) -> Shape:
        """(batch, channels, height, width)."""
        assert isinstance(self.size, tuple)
        return (self.batch, self.in_channels, *self.size)

    def convolution(self, factorizations: Iterable[Factorization] = ()) -> Conv2d:
        """The convolution. Raises `InputError` for an even kernel that a family takes and no padding keeps the size."""
        k, s, d = self.kernel_size, self.stride, self.dilation
        p = same_padding(k, d, factorizations) if self.padding is None else self.padding
        return Conv2d(
            self.in_channels, self.out_channels, (k, k), (s, s), (p, p), (d, d), self.groups, self.bias
        )  # fmt: skip

    def network(self, branches: Branches) -> Network:
        """The network of the branches that replace it, with batch norm and activation behind every layer."""
        return kernel_network(
            self.input_shape, branches, following(self.out_channels, self.batch_norm, self.activation)
        )


def same_padding(kernel_size: int, dilation: int, factorizations: Iterable[Factorization]) -> int:
    """The padding on each side that keeps the size at stride 1.

    Raises `InputError` where there is none, unless no family takes an even kernel: each then gives its own reason.
    """
    total = dilation * (kernel_size - 1) if isinstance(dilation, int) else 0
    if total % 2 and any(FAMILIES[one.family].even for one in factorizations):
        raise InputError(
            f"kernel {kernel_size} is even: no padding keeps the size. Give a padding, such as "
            f"{total // 2}, or try {kernel_size - 1} or {kernel_size + 1}"
        )
    return total // 2


def following(features: int, batch_norm: bool, activation: str) -> list[Layer]:
    """What follows a convolution: batch norm and activation, if any."""
    chosen = activation_layer(activation)
    layers: list[Layer] = [BatchNorm2d(features)] if batch_norm else []
    return layers if chosen is None else [*layers, chosen]


def kernel_network(shape: Shape, branches: Branches, followers: Sequence[Layer]) -> Network:
    """Branches on an input of that shape, with the followers behind every layer and behind their sum."""
    namer = Namer()
    nodes = branch_nodes(namer, "block1", branches, followers, INPUT)
    for layer in followers:
        nodes.append(Node(namer.name("block1", layer), layer, (nodes[-1].name,)))
    return Network("kernel", shape, tuple(nodes))
