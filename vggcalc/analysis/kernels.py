"""One k×k convolution against what it can be factorized into."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod

import msgspec

from vggcalc.analysis.comparison import analyze, compared
from vggcalc.analysis.pareto import break_even_width
from vggcalc.analysis.reach import keeps
from vggcalc.errors import InputError
from vggcalc.nets.families import FAMILIES, Branches, Factorization, check_kernel, factorized, named
from vggcalc.nets.graph import (
    INPUT,
    Namer,
    Network,
    Node,
)
from vggcalc.nets.layers import (
    BatchNorm2d,
    Conv2d,
    Layer,
    Pair,
    Shape,
    spatial,
)
from vggcalc.nets.replacing import fragment
from vggcalc.nets.shapes import map_sizes
from vggcalc.nets.vgg import activation as activation_layer
from vggcalc.results import Comparison, Infeasible, Variant


def factorize(
    kernel_size: int,
    *,
    in_channels: int = 64,
    out_channels: int = 64,
    size: int | Pair = 56,
    batch: int = 1,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
    batch_norm: bool = False,
    activation: str = "relu",
    factorization: Factorization = Factorization(),
    into: Sequence[str] | Mapping[str, Factorization] | None = None,
    dtype: str = "float32",
) -> Comparison:
    """One k×k convolution, `naive`, against its stack of 3×3s, `factorized`, or what `into` names.

    `size` is the map, one number or (height, width); `padding=None` keeps the map at stride 1. With
    `into`, names of families or factorizations by the names of the variants, there is a variant for
    each; one that cannot be made is in `infeasible`.
    Raises `InputError` with one line for what cannot be factorized in any way.
    """
    comparison = attempted(
        kernel_size, in_channels=in_channels, out_channels=out_channels, size=size, batch=batch, stride=stride,
        padding=padding, dilation=dilation, groups=groups, bias=bias, batch_norm=batch_norm,
        activation=activation, factorizations=named(into, factorization), dtype=dtype,
    )  # fmt: skip
    if len(comparison.variants) == 1:
        raise InputError(comparison.infeasible[0].reason)
    return comparison


def attempted(
    kernel_size: int,
    *,
    in_channels: int,
    out_channels: int,
    size: int | Pair,
    batch: int,
    stride: int,
    padding: int | None,
    dilation: int,
    groups: int,
    bias: bool,
    batch_norm: bool,
    activation: str,
    factorizations: Mapping[str, Factorization],
    dtype: str,
) -> Comparison:
    """What `factorize` says, but for a convolution of which nothing can be made, which is then alone."""
    check_kernel(kernel_size)
    if padding is None:
        padding = padding_of(kernel_size, dilation, factorizations.values())
    conv = Conv2d(
        in_channels,
        out_channels,
        (kernel_size, kernel_size),
        (stride, stride),
        (padding, padding),
        (dilation, dilation),
        groups,
        bias,
    )
    following = followers(out_channels, batch_norm, activation)
    shape = (batch, in_channels, *spatial(size))
    variants, infeasible = [_analyzed("naive", shape, ((conv,),), following, dtype)], []
    for name, factorization in factorizations.items():
        try:
            branches = factorized(conv, factorization)
            variant = _analyzed(name, shape, branches, following, dtype)
        except InputError as error:
            infeasible.append(Infeasible(name, str(error)))
            continue
        kept = keeps(conv, branches, factorization.family)
        variants.append(msgspec.structs.replace(variant, family=factorization.family, coverage=kept))
    comparison = compared(f"{kernel_size}×{kernel_size}", shape, tuple(variants), dtype)
    ratios = tuple(
        msgspec.structs.replace(ratio, break_even_width=break_even_width(variants[0], variant))
        for ratio, variant in zip(comparison.ratios, variants[1:], strict=True)
    )
    return msgspec.structs.replace(comparison, ratios=ratios, infeasible=tuple(infeasible))


def padding_of(kernel_size: int, dilation: int, wanted: Iterable[Factorization]) -> int:
    """The padding that keeps the map at stride 1.

    Raises `InputError` where none does; for families that take no such kernel they say so themselves.
    """
    beside = dilation * (kernel_size - 1) if isinstance(dilation, int) else 0
    if beside % 2 and any(FAMILIES[one.family].even for one in wanted):
        raise InputError(
            f"kernel {kernel_size} is even: no padding keeps the map. Give a padding, such as "
            f"{beside // 2}, or try {kernel_size - 1} or {kernel_size + 1}"
        )
    return beside // 2


def followers(features: int, batch_norm: bool, activation: str) -> list[Layer]:
    """What follows a convolution: batch norm and activation, if any."""
    chosen = activation_layer(activation)
    layers: list[Layer] = [BatchNorm2d(features)] if batch_norm else []
    return layers if chosen is None else [*layers, chosen]


def kernel_network(shape: Shape, branches: Branches, following: Sequence[Layer]) -> Network:
    """The branches on an image, with batch norm and activation behind every layer."""
    namer = Namer()
    nodes = fragment(namer, "block1", branches, following, INPUT)
    for layer in following:
        nodes.append(Node(namer.name("block1", layer), layer, (nodes[-1].name,)))
    return Network("kernel", shape, tuple(nodes))


def _analyzed(name: str, shape: Shape, branches: Branches, following: Sequence[Layer], dtype: str) -> Variant:
    """A variant with what only a factorized kernel has: 49 for 7×7, 9 + 9 + 9 for its stack, and the maps.

    Weights for each pair of channels have no meaning where a layer is depthwise or a 1×1.
    """
    network = kernel_network(shape, branches, following)
    variant = analyze(network, name, dtype)
    same, valid = (map_sizes(network, padding) for padding in ("same", "valid"))
    layers = [layer for branch in branches for layer in branch]
    dense = len({layer.groups for layer in layers}) == 1 and all(layer.kernel_size != (1, 1) for layer in layers)
    return msgspec.structs.replace(
        variant,
        weights_per_channel_pair=sum(prod(layer.kernel_size) for layer in layers) if dense else None,
        layers=tuple(
            msgspec.structs.replace(layer, same_size=same[layer.name], valid_size=valid[layer.name])
            for layer in variant.layers
        ),
    )
