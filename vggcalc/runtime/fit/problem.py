"""The distance of a factorization's weights from a kernel, which `fit` minimizes.

Whatever the family, its branches are chains of convolutions, and what they compose to is linear in the weights of every
single layer. It is computed in the frequency domain, where a chain is a product of matrices at each frequency, and the
distance the same (Parseval). What the groups leave apart are problems of their own, solved side by side.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from math import gcd, pi, prod

import torch
from torch import Tensor

from vggcalc.nets.chains import Branches
from vggcalc.nets.layers import Conv
from vggcalc.runtime.fuse.affine import Affine, Axis, added, grouped, then


def axes_of_layer(conv: Conv) -> tuple[Axis, ...]:
    """What a convolution does along each spatial axis."""
    numbers = zip(conv.kernel_size, conv.stride, zip(*conv.sides, strict=True), conv.dilation, strict=True)
    return tuple(Axis(k, s, (near, far), d) for k, s, (near, far), d in numbers)


def grouped_shape(conv: Conv) -> tuple[int, ...]:
    """The shape of a layer's weights: groups, channels out and in of each, window."""
    return conv.groups, conv.out_channels // conv.groups, conv.in_channels // conv.groups, *conv.kernel_size


def chain_map(chain: Sequence[Conv]) -> Affine:
    """What a chain does, with a kernel on the meta device."""
    maps = (Affine(torch.empty(grouped_shape(conv), device="meta"), None, axes_of_layer(conv)) for conv in chain)
    return reduce(then, maps)


class Problem:
    """`branches` against the map `target`, whose kernel is in float64.

    Weights are tensors (starts, groups, numbers): those of every layer one after the other, for as many starts at once
    as wanted, and by the `groups` that nothing joins, neither in the kernel nor in a layer.
    """

    def __init__(self, target: Affine, branches: Branches) -> None:
        self.branches = branches
        self.layers = [conv for branch in branches for conv in branch]
        self.groups = gcd(len(target.kernel), *(conv.groups for conv in self.layers))
        self._counts = [prod(grouped_shape(conv)) // self.groups for conv in self.layers]
        composed = [chain_map(branch) for branch in branches]
        zeros = [Affine(torch.zeros(one.kernel.shape, dtype=torch.float64), None, one.axes) for one in composed]
        #: The kernel where the branches' kernels and its own both have room; what they cannot reach is in it too.
        self.target = added([target, *zeros], "")
        #: Of each group.
        self.energy = self.target.kernel.reshape(self.groups, -1).square().sum(1)
        axes = self.target.axes
        self._window = tuple(axis.size for axis in axes)
        self._waves = [list(self._waves_of(*one)) for one in zip(branches, composed, strict=True)]
        *_, size = self._window
        #: Frequencies stand for their mirror images too, but for the first, and where it is one the middle.
        share = torch.tensor([1.0 if 2 * f % size == 0 else 2.0 for f in range(size // 2 + 1)], dtype=torch.float64)
        self._share = (share / prod(self._window)).sqrt().repeat(prod(self._window[:-1]))
        self._wanted = _in_frequencies(self.target.kernel, _waves([range(n) for n in self._window], self._window))

    @property
    def numbers(self) -> int:
        """How many weights there are."""
        return self.groups * sum(self._counts)

    def kernels(self, weights: Tensor) -> list[Tensor]:
        """Of each layer (starts × groups, out / groups, in / groups, …)."""
        parts = weights.split(self._counts, 2)
        return [part.reshape(-1, *grouped_shape(conv)[1:]) for part, conv in zip(parts, self.layers, strict=True)]

    def weights(self, kernels: Sequence[Tensor]) -> Tensor:
        """The same the other way, for one start."""
        return torch.cat([kernel.reshape(1, self.groups, -1) for kernel in kernels], 2)

    def difference(self, weights: Tensor) -> Tensor:
        """Of the composed kernel from the target, in the frequency domain, (starts, groups, numbers)."""
        return self._numbers(self._composed(weights) - self._wanted.repeat(len(weights), 1, 1, 1), len(weights))

    def left(self, weights: Tensor) -> Tensor:
        """The energy that is left, of each start and group."""
        return self.difference(weights).square().sum(2)

    def scaled(self, weights: Tensor) -> Tensor:
        """The weights times what brings them nearest: never farther from the target than zero weights are."""
        made = self._numbers(self._composed(weights), len(weights))
        wanted = self._numbers(self._wanted, 1)
        size = made.square().sum(2)
        share = (made * wanted).sum(2) / torch.where(size > 0, size, 1)
        factors = []
        for branch in self.branches:
            root = share.abs() ** (1 / len(branch))
            factors += [root * share.sign(), *[root] * (len(branch) - 1)]
        parts = weights.split(self._counts, 2)
        return torch.cat([part * factor.unsqueeze(2) for part, factor in zip(parts, factors, strict=True)], 2)

    def _composed(self, weights: Tensor) -> Tensor:
        """In the frequency domain (starts × groups, out, in, frequencies)."""
        kernels = iter(self.kernels(weights))
        ends = [reduce(_behind, [_in_frequencies(next(kernels), one) for one in waves]) for waves in self._waves]
        groups = self.groups * len(weights)
        return sum(grouped(end, groups) for end in ends)  # type: ignore[return-value]

    def _numbers(self, spectrum: Tensor, starts: int) -> Tensor:
        whole = grouped(spectrum * self._share, self.groups * starts)
        return torch.view_as_real(whole).reshape(starts, self.groups, -1)

    def _waves_of(self, branch: Sequence[Conv], composed: Affine) -> Iterator[Tensor]:
        """For each layer of a branch what its taps are in the frequency domain."""
        axes = self.target.axes
        offsets = [a.padding[0] - own.padding[0] for a, own in zip(axes, composed.axes, strict=True)]
        stride = [1] * len(axes)
        for i, conv in enumerate(branch):
            steps = [s * d // axis.dilation for s, d, axis in zip(stride, conv.dilation, axes, strict=True)]
            firsts = [0 if i else offset // axis.dilation for offset, axis in zip(offsets, axes, strict=True)]
            taps = [
                [first + step * tap for tap in range(k)]
                for first, step, k in zip(firsts, steps, conv.kernel_size, strict=True)
            ]
            yield _waves(taps, self._window)
            stride = [s * own for s, own in zip(stride, conv.stride, strict=True)]


def _waves(taps: Sequence[Sequence[int]], window: Sequence[int]) -> Tensor:
    """exp(−2πi·frequency·tap / size), (taps, frequencies): half of them, since kernels are real."""
    whole = torch.ones(1, 1, dtype=torch.complex128)
    for axis, (places, size) in enumerate(zip(taps, window, strict=True)):
        many = size // 2 + 1 if axis == len(window) - 1 else size
        turns = torch.tensor([[place * f % size for f in range(many)] for place in places], dtype=torch.float64)
        whole = torch.kron(whole, torch.polar(torch.ones_like(turns), -2 * pi / size * turns))
    return whole


def _in_frequencies(kernel: Tensor, waves: Tensor) -> Tensor:
    return kernel.flatten(3).to(waves.dtype) @ waves


def _behind(one: Tensor, layer: Tensor) -> Tensor:
    """A map with a layer behind it, both (groups, out, in, frequencies), in the groups that neither joins."""
    if layer.shape[1:3] == (1, 1):
        return one * layer.reshape(len(one), -1, 1, layer.shape[3])
    if one.shape[1:3] == (1, 1):
        return layer * one.reshape(len(layer), 1, -1, one.shape[3])
    groups = gcd(len(one), len(layer))
    first, second = (grouped(kernel, groups).permute(0, 3, 1, 2) for kernel in (one, layer))
    return (second @ first).permute(0, 2, 3, 1)
