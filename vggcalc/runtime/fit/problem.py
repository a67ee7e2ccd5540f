"""The distance of a factorization's weights from a kernel, which `fit` minimizes.

Whatever the family, its branches are chains of convolutions, and what they compose to is linear in the weights of every
single layer. It is computed in the frequency domain, where a chain is a product of matrices at each frequency, and the
distance the same (Parseval). What the groups leave apart are problems of their own, solved side by side.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from math import gcd, prod

import msgspec
import torch
from torch import Tensor

from vggcalc.nets.chains import Branches
from vggcalc.nets.layers import Conv
from vggcalc.runtime.fit.spectra import behind, grouped_spectrum, in_frequencies, multiplied, waves_of_taps
from vggcalc.runtime.fuse.affine import Affine, Axis, added, then

#: What multiplies directions, (problems, numbers), with a matrix.
Product = Callable[[Tensor], Tensor]

#: Of its mean diagonal, what is added to a matrix that preconditions.
DAMPING = 1e-2


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


class Linearized(msgspec.Struct, frozen=True):
    """Residuals (problems, rows), and what multiplies directions with their Jacobian J, and with Jᵀ."""

    residual: Tensor
    push: Callable[[Tensor], Tensor]
    pull: Callable[[Tensor], Tensor]


class Problem:
    """`branches` against the map `target`, whose kernel is in float64.

    Each of the `groups` that nothing joins, neither in the kernel nor in a layer, is a problem with as many `numbers`:
    the weights of every layer one after the other. They are tensors (problems, numbers), of as many problems at once as
    wanted, beside a tensor that says of which group each is. With a `root` L of second moments, (groups, n, n) for the
    n numbers of an input patch, the distance is that of the outputs for such patches: of all differences times L.
    """

    def __init__(self, target: Affine, branches: Branches, root: Tensor | None = None) -> None:
        self.branches = branches
        self.layers = [conv for branch in branches for conv in branch]
        self.groups = gcd(len(target.kernel), *(conv.groups for conv in self.layers))
        self._counts = [prod(grouped_shape(conv)) // self.groups for conv in self.layers]
        self.numbers = sum(self._counts)
        composed = [chain_map(branch) for branch in branches]
        zeros = [Affine(torch.zeros(one.kernel.shape, dtype=torch.float64), None, one.axes) for one in composed]
        #: The kernel where the branches' kernels and its own both have room; what they cannot reach is in it too.
        self.target = added([target, *zeros], "")
        axes = self.target.axes
        self._window = tuple(axis.size for axis in axes)
        self._waves = [list(self._waves_of(*one)) for one in zip(branches, composed, strict=True)]
        self._products: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        *_, size = self._window
        #: Frequencies stand for their mirror images too, but for the first, and where it is one the middle.
        share = torch.tensor([1.0 if 2 * f % size == 0 else 2.0 for f in range(size // 2 + 1)], dtype=torch.float64)
        self._share = (share / prod(self._window)).sqrt().repeat(prod(self._window[:-1]))[:, None, None]
        whole = waves_of_taps([range(n) for n in self._window], self._window)
        spectrum = in_frequencies(self.target.kernel.flatten(3), whole)
        self.root = root
        self._wanted = self._rows(grouped_spectrum(spectrum, self.groups), torch.arange(self.groups))
        #: Of each group.
        self.energy = self._wanted.square().sum(1)

    def kernels(self, weights: Tensor) -> list[Tensor]:
        """Of each layer (problems × groups, out / groups, in / groups, …)."""
        parts = zip(weights.split(self._counts, 1), self.layers, strict=True)
        return [part.reshape(-1, *grouped_shape(conv)[1:]) for part, conv in parts]

    def weights(self, kernels: Sequence[Tensor]) -> Tensor:
        """The same the other way, for all groups."""
        return torch.cat([one.reshape(self.groups, -1) for one in kernels], 1)

    def difference(self, weights: Tensor, group: Tensor) -> Tensor:
        """Of the composed kernel from the target, (problems, rows): its squares add up to the energy that is left."""
        return self._sum(self._ends(self._spectra(weights)), group) - self._wanted[group]

    def left(self, weights: Tensor, group: Tensor) -> Tensor:
        """The energy that is left, of each problem."""
        return self.difference(weights, group).square().sum(1)

    def gradient(self, weights: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """The energy that is left, (problems, 1), and half its gradient, which is Jᵀ times the difference."""
        with torch.enable_grad():
            at = weights.detach().requires_grad_()
            left = self.difference(at, group).square().sum(1, keepdim=True)
            (slope,) = torch.autograd.grad(left.sum() / 2, at)
        return left.detach(), slope

    def linearized(self, weights: Tensor, group: Tensor) -> Linearized:
        """The difference near these weights."""
        with torch.enable_grad():
            at = weights.detach().requires_grad_()
            residual = self.difference(at, group)
        spectra = self._spectra(weights)
        heads = [[None, *self._partial(branch)] for branch in spectra]

        def push(direction: Tensor) -> Tensor:
            ends = []
            for branch, own, steps in zip(spectra, heads, self._spectra(direction), strict=True):
                moved = steps[0]
                for layer, head, step in zip(branch[1:], own[1:], steps[1:], strict=False):
                    assert head is not None
                    moved = behind(moved, layer) + behind(head, step)
                ends.append(moved)
            return self._sum(ends, group)

        def pull(rows: Tensor) -> Tensor:
            return torch.autograd.grad(residual, at, rows, retain_graph=True)[0]

        return Linearized(residual.detach(), push, pull)

    def normal_matrix(self, weights: Tensor) -> Tensor:
        """JᵀJ of the difference, (problems, numbers, numbers): its lower triangle, and zeros above the blocks.

        It is that without a `root`.

        In a layer with kernel W and its neighbours composed, tail·W·head, rows change by tail ⊗ head at each frequency:
        products of them are a sum over frequencies of products of the tails with each other, and of the heads.
        """
        count = len(weights)
        sides = [pair for branch in self._spectra(weights) for pair in self._sides(branch, count)]
        whole = weights.new_zeros(count, self.numbers, self.numbers)
        rows = whole.split(self._counts, 1)
        for i, (head, tail) in enumerate(sides):
            for j, (other_head, other_tail) in enumerate(sides[: i + 1]):
                block = self._block(i, j, multiplied(tail.mH, other_tail), multiplied(head.conj(), other_head.mT))
                rows[i].split(self._counts, 2)[j].copy_(block)
        return whole

    def preconditioned(self, weights: Tensor) -> Product:
        """What divides slopes at these weights, (problems, numbers), by about JᵀJ of each single layer.

        For each it is the Kronecker product of a matrix for its channels out and one for its channels in and taps, as
        in Martens & Grosse 2015 ("Optimizing Neural Networks with Kronecker-factored Approximate Curvature", arXiv
        1503.05671): exact for what nothing follows; else the layers behind stand in it by their mean over frequencies.
        A `root` is left out of it: it changes where the way begins, not where it ends.
        """
        count, shares = len(weights), self._share.flatten() ** 2
        sides = [pair for branch in self._spectra(weights) for pair in self._sides(branch, count)]
        inverses = []
        for i, ((head, tail), conv) in enumerate(zip(sides, self.layers, strict=True)):
            out, into, *window = grouped_shape(conv)[1:]
            both = tail.mH @ tail, head.conj() @ head.mT
            of_tail, of_head = (
                one.expand(-1, len(shares), -1, -1).unflatten(3, (-1, size)).unflatten(2, (-1, size)).diagonal(0, 2, 4)
                for one, size in zip(both, (out, into), strict=True)
            )  # (problems, frequencies, size, size, groups)
            outer = torch.einsum("pfabg,f->pgab", of_tail, shares.to(of_tail.dtype)).real.flatten(0, 1) / shares.sum()
            waves, place = self._crossed(i, i)
            inner = torch.view_as_real(of_head.permute(0, 4, 2, 3, 1).contiguous()).flatten(4).flatten(0, 1) @ waves
            taps = prod(window)
            inner = inner[..., place].unflatten(3, (taps, taps)).transpose(2, 3).flatten(3).flatten(1, 2)
            inverses.append((_damped_inverse(outer), _damped_inverse(inner)))

        def divide(slopes: Tensor) -> Tensor:
            parts = [
                (outer @ kernels.flatten(2) @ inner).reshape(count, -1)
                for (outer, inner), kernels in zip(inverses, self.kernels(slopes), strict=True)
            ]
            return torch.cat(parts, 1) / len(parts)

        return divide

    def _sides(self, branch: Sequence[Tensor], problems: int) -> Iterator[tuple[Tensor, Tensor]]:
        """For each layer of a branch what stands before it, and behind it, in as many groups as there are problems."""
        first, last = (grouped_spectrum(layer, problems) for layer in (branch[0], branch[-1]))
        heads = [torch.eye(first.shape[3], dtype=first.dtype).expand(problems, 1, -1, -1)]
        heads += [grouped_spectrum(whole, problems) for whole in self._partial(branch)]
        tails: list[Tensor] = [torch.eye(last.shape[2], dtype=first.dtype).expand(problems, 1, -1, -1)]
        whole = None
        for layer in branch[:0:-1]:
            whole = layer if whole is None else behind(layer, whole)
            tails.append(grouped_spectrum(whole, problems))
        yield from zip(heads, reversed(tails), strict=True)

    def _block(self, i: int, j: int, tails: Tensor, heads: Tensor) -> Tensor:
        """The rows of layer i and the columns of layer j of JᵀJ."""
        (one, out, into, *window), (other, other_out, other_into, *other_window) = (
            (conv.groups // self.groups, *grouped_shape(conv)[1:]) for conv in (self.layers[i], self.layers[j])
        )
        count = len(tails)
        tails = tails.reshape(count, -1, one, out, 1, other, other_out, 1)
        heads = heads.reshape(count, -1, one, 1, into, other, 1, other_into)
        both = (tails * heads).flatten(2).mT
        waves, place = self._crossed(i, j)
        if both.shape[2] == 1:
            both = both.expand(-1, -1, len(waves) // 2)
        found = torch.view_as_real(both.contiguous()).flatten(2) @ waves
        found = found[:, :, place.flatten()].reshape(
            count, one, out, into, other, other_out, other_into, prod(window), prod(other_window)
        )
        return found.permute(0, 1, 2, 3, 7, 4, 5, 6, 8).reshape(count, self._counts[i], self._counts[j])

    def _crossed(self, i: int, j: int) -> tuple[Tensor, Tensor]:
        """The real numbers that conj(one)·other are for the taps of two layers, (2 × frequencies, several), and which
        of them each pair has.
        """
        if (i, j) not in self._products:
            one, other = ([wave for waves in self._waves for wave in waves][which] for which in (i, j))
            products = one.conj().unsqueeze(1) * other.unsqueeze(0) * self._share.flatten() ** 2
            table: dict[tuple[float, ...], int] = {}
            keys = torch.view_as_real(products).flatten(2).mul(1e6).round().flatten(0, 1).tolist()
            place = [table.setdefault(tuple(key), len(table)) for key in keys]
            firsts = [place.index(k) for k in range(len(table))]
            waves = torch.view_as_real(products.flatten(0, 1)[firsts].conj().resolve_conj()).flatten(1).mT
            self._products[i, j] = waves.contiguous(), torch.tensor(place)
        return self._products[i, j]

    def scaled(self, weights: Tensor, group: Tensor) -> Tensor:
        """The weights times what brings them nearest: never farther from the target than zero weights are."""
        wanted = self._wanted[group]
        made = self.difference(weights, group) + wanted
        size = made.square().sum(1)
        share = (made * wanted).sum(1) / torch.where(size > 0, size, 1)
        factors = []
        for branch in self.branches:
            root = share.abs() ** (1 / len(branch))
            factors += [root * share.sign(), *[root] * (len(branch) - 1)]
        parts = weights.split(self._counts, 1)
        return torch.cat([part * factor.unsqueeze(1) for part, factor in zip(parts, factors, strict=True)], 1)

    def _spectra(self, weights: Tensor) -> list[list[Tensor]]:
        """Of each layer of each branch (problems × groups, frequencies, out / groups, in / groups)."""
        kernels = iter(self.kernels(weights))
        return [[in_frequencies(next(kernels).flatten(3), one) for one in waves] for waves in self._waves]

    @staticmethod
    def _partial(branch: Sequence[Tensor]) -> Iterator[Tensor]:
        """What the layers before the last compose to, up to each."""
        whole = None
        for layer in branch[:-1]:
            whole = layer if whole is None else behind(whole, layer)
            yield whole

    @staticmethod
    def _ends(spectra: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        return [reduce(behind, branch) for branch in spectra]

    def _sum(self, ends: Sequence[Tensor], group: Tensor) -> Tensor:
        whole: Tensor = sum(grouped_spectrum(end, len(group)) for end in ends)  # type: ignore[assignment]
        return self._rows(whole, group)

    def _rows(self, spectrum: Tensor, group: Tensor) -> Tensor:
        if self.root is None:
            return torch.view_as_real(spectrum * self._share).reshape(len(group), -1)
        *others, last = self._window
        halves = spectrum.permute(0, 2, 3, 1).unflatten(3, (*others, last // 2 + 1))
        kernel = torch.fft.irfftn(halves, s=self._window, dim=tuple(range(3, 3 + len(self._window))))
        rows: Tensor = kernel.flatten(2) @ self.root[group]
        return rows.flatten(1)

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
            yield waves_of_taps(taps, self._window)
            stride = [s * own for s, own in zip(stride, conv.stride, strict=True)]


def _damped_inverse(matrices: Tensor) -> Tensor:
    """Of symmetric matrices that may be singular: `DAMPING` times their mean diagonal is added to it."""
    mean = matrices.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    inverse: Tensor = torch.linalg.inv(
        matrices + torch.where(mean > 0, DAMPING * mean, 1) * torch.eye(matrices.shape[1])
    )
    return inverse
