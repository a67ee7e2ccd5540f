"""What each factorization makes of one trained kernel: the weights nearest to it, and what they compose to."""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from vggcalc.nets.chains import Branches
from vggcalc.nets.fitting import KernelVariants
from vggcalc.nets.graph import INPUT, Namer, Network
from vggcalc.nets.layers import Conv
from vggcalc.nets.replacing import branch_nodes
from vggcalc.results.fitted import ChannelPair, FittedKernel, FittedVariant, ReadKernel, Windows
from vggcalc.runtime.build import build
from vggcalc.runtime.fit.carry import carry_over
from vggcalc.runtime.fit.fit import fit
from vggcalc.runtime.fit.problem import axes_of_layer, grouped_shape
from vggcalc.runtime.fuse.affine import Affine, added, then
from vggcalc.runtime.fuse.fuse import exactly
from vggcalc.runtime.padded import conv_module

#: So many channel pairs are shown.
SHOWN_PAIRS = 3


def read_kernel(weight: Tensor, key: str, bias: bool | None) -> ReadKernel:
    """The kernel's shape, and its weights between the channels that hold most of its energy."""
    energies = exactly(weight).square()
    strongest = energies.flatten(2).sum(2).flatten().topk(min(SHOWN_PAIRS, weight.shape[0] * weight.shape[1])).indices
    pairs = []
    for number in strongest.tolist():
        out, into = divmod(number, weight.shape[1])
        plane = int(energies[out, into].flatten(1).sum(1).argmax()) if weight.dim() == 5 else None
        pairs.append(ChannelPair(out, into, plane))
    return ReadKernel(key, tuple(weight.shape), bias, tuple(pairs), _windows_of(weight, pairs))


def fit_variants(
    weight: Tensor, bias: Tensor | None, read: ReadKernel, wanted: KernelVariants
) -> Iterator[FittedVariant]:
    """Of each variant how much of the kernel it explains, and its kernel between the same channels.

    The output's error is that of an input of standard normal numbers, with what stands between the layers. Raises
    `InputError` for a kernel with a number in it that is not finite.
    """
    conv = wanted.convolution
    old = conv_module(conv)
    with torch.no_grad():
        old.weight.copy_(weight)
        if old.bias is not None and bias is not None:
            old.bias.copy_(bias)
    for name, branches, between in wanted.variants:
        found = fit(weight, conv, branches)
        nodes = tuple(branch_nodes(Namer(), "block1", branches, between, INPUT))
        new = build(Network(name, wanted.input_shape, nodes))
        energy, error = carry_over(old, new, conv, branches, read.key, wanted.input_shape, found)
        windows = _windows_of(_composed(conv, branches, found.weights), read.pairs)
        yield FittedVariant(name, FittedKernel(energy, error, windows))


def _composed(conv: Conv, branches: Branches, weights: Sequence[Sequence[Tensor]]) -> Tensor:
    """What the layers compose to without what stands between, in the window of the convolution and its shape."""
    outline = Affine(torch.zeros(grouped_shape(conv), dtype=torch.float64), None, axes_of_layer(conv))
    chains = [
        reduce(then, (Affine(exactly(one).unflatten(0, (layer.groups, -1)), None, axes_of_layer(layer))
                      for one, layer in zip(own, branch, strict=True)))
        for own, branch in zip(weights, branches, strict=True)
    ]  # fmt: skip
    whole = added([outline, *chains], "")
    places: list[Any] = [
        own.taps(axis.padding[0] - own.padding[0], axis.dilation)
        for own, axis in zip(outline.axes, whole.axes, strict=True)
    ]
    assert len(whole.kernel) == conv.groups
    return whole.kernel[..., *places].flatten(0, 1)


def _windows_of(kernel: Tensor, pairs: Sequence[ChannelPair]) -> Windows:
    """The weights between the channels of each pair, as rows."""
    found = []
    for pair in pairs:
        window = kernel[pair.out_channel, pair.in_channel]
        rows = torch.atleast_2d(window if pair.plane is None else window[pair.plane]).tolist()
        found.append(tuple(tuple(float(f"{number:.4g}") for number in row) for row in rows))
    return tuple(found)
