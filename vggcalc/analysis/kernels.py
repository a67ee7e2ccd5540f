"""One k×k convolution against what it can be factorized into."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from vggcalc.analysis.choosing import break_even_width
from vggcalc.analysis.comparison import analyze, compared
from vggcalc.analysis.windows import keeps
from vggcalc.results import Comparison, LeftOut, Variant
from vggcalc.spec.factorization import fragment
from vggcalc.spec.families import FAMILIES, Branches, Splitting, check_kernel, factorized, named
from vggcalc.spec.layers import INPUT, BatchNorm2d, Conv2d, Layer, Namer, Network, Node, Pair, Shape, spatial
from vggcalc.spec.shapes import map_sizes
from vggcalc.spec.vgg import activation as activation_layer
from vggcalc.spec.words import SpecError


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
    splitting: Splitting = Splitting(),
    into: Sequence[str] | Mapping[str, Splitting] | None = None,
    dtype: str = "float32",
) -> Comparison:
    """One k×k convolution, `naive`, against its stack of 3×3s, `factorized`, or what `into` names.

    `size` is the map, one number or (height, width); `padding=None` keeps the map at stride 1. With
    `into`, names of families or splittings by the names of the variants, there is a variant for
    each; one that cannot be made is in `left_out`.
    Raises `SpecError` with one line for what cannot be factorized in any way.
    """
    wanted = named(into, splitting)
    check_kernel(kernel_size)
    if padding is None:
        padding = padding_of(kernel_size, dilation, wanted.values())
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
    naive = _of_kernel(analyze(kernel_network(shape, ((conv,),), following), "naive", dtype), True)
    variants, left_out = [naive], []
    for name, one in wanted.items():
        try:
            branches = factorized(conv, one)
            kept = keeps(conv, branches)
            variant = analyze(kernel_network(shape, branches, following), name, dtype)
        except SpecError as error:
            left_out.append(LeftOut(name, str(error)))
            continue
        variant = _of_kernel(variant, kept.mixing == "full" or one.family == "stack")
        variants.append(msgspec.structs.replace(variant, family=one.family, keeps=kept))
    if len(variants) == 1:
        raise SpecError(left_out[0].reason)
    comparison = compared(f"{kernel_size}×{kernel_size}", shape, tuple(variants), dtype)
    ratios = tuple(
        msgspec.structs.replace(ratio, break_even_width=break_even_width(naive, variant))
        for ratio, variant in zip(comparison.ratios, variants[1:], strict=True)
    )
    return msgspec.structs.replace(comparison, ratios=ratios, left_out=tuple(left_out))


def padding_of(kernel_size: int, dilation: int, wanted: Iterable[Splitting]) -> int:
    """The padding that keeps the map at stride 1.

    Raises `SpecError` where none does; for families that take no such kernel they say so themselves.
    """
    check_kernel(kernel_size)
    beside = dilation * (kernel_size - 1) if isinstance(dilation, int) else 0
    if beside % 2 and any(FAMILIES[one.family].even for one in wanted):
        raise SpecError(
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


def _of_kernel(variant: Variant, per_pair: bool) -> Variant:
    """What only a factorized kernel has: 49 for 7×7, 9 + 9 + 9 for its stack, and the maps."""
    same, valid = (map_sizes(variant.network, padding) for padding in ("same", "valid"))
    weights = sum(h * w for block in variant.blocks for h, w in block.kernels)
    return msgspec.structs.replace(
        variant,
        weights_per_channel_pair=weights if per_pair else None,
        layers=tuple(
            msgspec.structs.replace(layer, same_map=same[layer.name], valid_map=valid[layer.name])
            for layer in variant.layers
        ),
    )
