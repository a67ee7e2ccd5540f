"""Kernels in the frequency domain, where layers one after the other are products of matrices at each frequency."""

from collections.abc import Sequence
from math import gcd, pi

import torch
from torch import Tensor

from vggcalc.runtime.fuse.affine import grouped


def waves_of_taps(taps: Sequence[Sequence[int]], window: Sequence[int]) -> Tensor:
    """exp(−2πi·frequency·tap / size), (taps, frequencies): half of them, since kernels are real."""
    whole = torch.ones(1, 1, dtype=torch.complex128)
    for axis, (places, size) in enumerate(zip(taps, window, strict=True)):
        many = size // 2 + 1 if axis == len(window) - 1 else size
        turns = torch.tensor([[place * f % size for f in range(many)] for place in places], dtype=torch.float64)
        whole = torch.kron(whole, torch.polar(torch.ones_like(turns), -2 * pi / size * turns))
    return whole


def in_frequencies(taps: Tensor, waves: Tensor) -> Tensor:
    """Taps (groups, out, in, taps) in the frequency domain (groups, frequencies, out, in)."""
    parts = torch.view_as_real(waves).flatten(1)
    return torch.view_as_complex((taps @ parts).unflatten(3, (-1, 2))).permute(0, 3, 1, 2).contiguous()  # for products


def grouped_spectrum(spectrum: Tensor, groups: int) -> Tensor:
    """`grouped` for (groups, frequencies, out, in)."""
    if len(spectrum) == groups:
        return spectrum
    return grouped(spectrum.permute(0, 2, 3, 1), groups).permute(0, 3, 1, 2).contiguous()


def behind(one: Tensor, layer: Tensor) -> Tensor:
    """A map with a layer behind it, both (groups, frequencies, out, in), in the groups that neither joins."""
    if layer.shape[2:] == (1, 1):
        return one * layer.reshape(len(one), -1, layer.shape[1]).mT.unsqueeze(3)
    if one.shape[2:] == (1, 1):
        return layer * one.reshape(len(layer), -1, one.shape[1]).mT.unsqueeze(2)
    groups = gcd(len(one), len(layer))
    return multiplied(grouped_spectrum(layer, groups), grouped_spectrum(one, groups))


def multiplied(one: Tensor, other: Tensor) -> Tensor:
    """Of matrices; faster for those of a single number."""
    return one * other if one.shape[3] == 1 else one @ other
