"""Affine maps that slide: what a convolution is, what two make one behind the other or side by side.

Size, stride and padding of a composition are those of the receptive field (Araujo, Norris & Sim 2019),
and its kernel is the convolution of both kernels. Kernels are in float64.
"""

from collections.abc import Sequence
from itertools import product
from math import gcd
from typing import Any

import msgspec
import torch
from torch import Tensor

from vggcalc.errors import InputError
from vggcalc.nets.layers import Axes, Pair


class Axis(msgspec.Struct, frozen=True):
    """A map along one axis: output position u reads positions u·stride − padding + j·dilation, j < size.

    `padding` is in front and behind. At the near and at the far edge of what a stack puts out: for `beyond`
    positions outside, the kernel would still meet the input (below 0: so many within it meets none), and `border`
    positions within may differ from the stack's.
    """

    size: int = 1
    stride: int = 1
    padding: Pair = (0, 0)
    dilation: int = 1
    beyond: Pair = (0, 0)
    border: Pair = (0, 0)

    @property
    def reach(self) -> int:
        """From the first position read to the last."""
        return (self.size - 1) * self.dilation

    def then(self, layer: "Axis", biased: bool) -> "Axis":
        """With a layer behind it; `biased` if the map puts out a bias where it meets no input.

        The layer's padding is zeros. The composition sees there what the map puts out beyond its
        edge, which is not zero where it still meets the image or is biased: a border begins, and
        every layer behind widens it. At the far edge up to stride − 1 positions may be left over.
        """
        reach = self.reach + self.stride * layer.reach
        steps = self.dilation * (self.size > 1), self.stride * layer.dilation * (layer.size > 1)
        dilation = gcd(*steps) or 1
        padding, beyond, border = [], [], []
        for side, left_over in enumerate((0, layer.stride - 1)):
            padding.append(self.padding[side] + self.stride * layer.padding[side])
            out = self.beyond[side] + layer.reach - layer.padding[side] + left_over
            beyond.append(out // layer.stride)
            begun = biased or self.beyond[side] > 0 or self.border[side]
            border.append(-(-(self.border[side] + layer.padding[side]) // layer.stride) if begun else 0)
        return Axis(
            reach // dilation + 1,
            self.stride * layer.stride,
            (padding[0], padding[1]),
            dilation,
            (beyond[0], beyond[1]),
            (border[0], border[1]),
        )

    def taps(self, offset: int, dilation: int) -> slice:
        """Where its taps are, `offset` positions further, in a kernel with that dilation."""
        step, first = self.dilation // dilation or 1, offset // dilation
        return slice(first, first + step * (self.size - 1) + 1, step)


class Affine(msgspec.Struct, frozen=True):
    """`kernel` (groups, out / groups, in / groups, …), `bias` (out,), and what it does along each spatial axis."""

    kernel: Tensor
    bias: Tensor | None
    axes: tuple[Axis, ...]

    @property
    def channels(self) -> Pair:
        """In and out."""
        groups, out, into = self.kernel.shape[:3]
        return groups * into, groups * out

    @property
    def kernel_size(self) -> Axes:
        """Along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def border(self) -> Axes:
        """Along each axis, how many positions from either edge may differ from what it was composed of."""
        return tuple(max(axis.border) for axis in self.axes)


def scaling(axes: int, scale: Tensor, shift: Tensor | None = None) -> Affine:
    """Every channel by itself."""
    return Affine(scale.reshape(-1, 1, 1, *(1,) * axes), shift, (Axis(),) * axes)


def negative(one: Affine) -> Affine:
    """What is subtracted, as what is added."""
    return Affine(-one.kernel, None if one.bias is None else -one.bias, one.axes)


def _scales(one: Affine) -> bool:
    """Whether it takes every channel and every position by itself."""
    return set(one.kernel.shape[1:]) == {1}


def then(one: Affine, layer: Affine) -> Affine:
    """A map with a layer behind it.

    The groups are the greatest common divisor of both: of channels in as many runs of equal length
    none reaches another, and of more some do.
    """
    pairs = list(zip(one.axes, layer.axes, strict=True))
    axes = tuple(mine.then(its, one.bias is not None) for mine, its in pairs)
    ones = (1,) * len(axes)
    if _scales(layer):
        kernel = one.kernel * layer.kernel.view(len(one.kernel), -1, 1, *ones)
    elif _scales(one):
        kernel = layer.kernel * one.kernel.view(len(layer.kernel), 1, -1, *ones)
    else:
        groups = gcd(len(one.kernel), len(layer.kernel))
        first, second = grouped(one.kernel, groups), grouped(layer.kernel, groups)
        kernel = first.new_zeros(groups, second.shape[1], first.shape[2], *(axis.size for axis in axes))
        for number, at in enumerate(product(*map(range, second.shape[3:]))):
            places: list[Any] = [
                mine.taps(mine.stride * its.dilation * i, axis.dilation)
                for i, (mine, its), axis in zip(at, pairs, axes, strict=True)
            ]
            tap = second.flatten(3)[..., number]
            kernel[..., *places] += torch.einsum("gom,gmi...->goi...", tap, first)
    bias = layer.bias
    if one.bias is not None:
        sums = layer.kernel.flatten(3).sum(3)
        constant = torch.einsum("gom,gm->go", sums, one.bias.view(len(sums), -1)).flatten()
        bias = constant if bias is None else constant + bias
    return Affine(kernel, bias, axes)


def grouped(kernel: Tensor, groups: int) -> Tensor:
    """The same kernel in fewer groups: zero between those that become one."""
    old, out, into, *window = kernel.shape
    joined = old // groups
    if joined == 1:
        return kernel
    wide = kernel.new_zeros(groups, joined, out, joined, into, *window)
    for i in range(joined):
        wide[:, i, :, i] = kernel[i::joined]
    return wide.flatten(3, 4).flatten(1, 2)


def added(maps: Sequence[Affine], name: str) -> Affine:
    """Parallel maps, added: their kernels in one, aligned by their paddings.

    Raises `InputError`, beginning with `name`, where their strides or channels differ.
    """
    for what, found in (
        ("channels", [one.channels[1] for one in maps]),
        ("strides", [tuple(axis.stride for axis in one.axes) for one in maps]),
    ):
        if len(set(found)) > 1:
            raise InputError(f"{name} adds maps of different {what}: {', '.join(map(str, found))}")
    axes = tuple(_side_by_side(along) for along in zip(*(one.axes for one in maps), strict=True))
    groups = gcd(*(len(one.kernel) for one in maps))
    kernels = [grouped(one.kernel, groups) for one in maps]
    kernel = kernels[0].new_zeros(*kernels[0].shape[:3], *(axis.size for axis in axes))
    for one, part in zip(maps, kernels, strict=True):
        places: list[Any] = [
            mine.taps(axis.padding[0] - mine.padding[0], axis.dilation)
            for mine, axis in zip(one.axes, axes, strict=True)
        ]
        kernel[..., *places] += part
    biases = [one.bias for one in maps if one.bias is not None]
    return Affine(kernel, torch.stack(biases).sum(0) if biases else None, axes)


def _side_by_side(axes: Sequence[Axis]) -> Axis:
    """The axis of a sum, which puts out a map of the same size as the branches wherever these agree."""
    before, after = (max(axis.padding[side] for axis in axes) for side in (0, 1))
    reach = before + after - min(sum(axis.padding) - axis.reach for axis in axes)
    steps = [axis.dilation for axis in axes if axis.size > 1]
    dilation = gcd(reach, *(before - axis.padding[0] for axis in axes), *steps) or 1
    beyond, border = (
        (max(near for near, _ in sides), max(far for _, far in sides))
        for sides in ([axis.beyond for axis in axes], [axis.border for axis in axes])
    )
    return Axis(reach // dilation + 1, axes[0].stride, (before, after), dilation, beyond, border)
