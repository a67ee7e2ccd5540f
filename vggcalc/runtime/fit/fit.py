"""From a trained kernel to the weights of its factorization that come nearest to it.

The kernel that the layers compose to without activations is `fuse`'s; the distance is the sum of the squared
differences of all its numbers, also of those outside the convolution's window. Where a chain divides into two parts
that share no axis longer than 1 (1×k and k×1, depthwise and 1×1, 1×1 and k×k), the best parts are a truncated singular
value decomposition, which for two layers is the answer (Eckart & Young 1936), and for more the start of a descent: of a
`bottleneck` that is Tucker-2 (De Lathauwer, De Moor & Vandewalle 2000, section 3). Layers of a stack overlap: they are
found by nonlinear least squares from several starts.
"""

from collections.abc import Sequence
from math import prod

import msgspec
import torch
from torch import Tensor
from torch.nn.functional import pad

from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.layers import Conv
from vggcalc.runtime.fit.descent import descend
from vggcalc.runtime.fit.problem import Problem, axes_of_layer, chain_map, grouped_shape
from vggcalc.runtime.fuse.affine import Affine, then
from vggcalc.runtime.fuse.fuse import exactly

Chain = tuple[Conv, ...]

#: Random starts, of which each group of channels takes its best; of more numbers than this together there are fewer.
STARTS, MOST_NUMBERS = 10, 20_000


class Fit(msgspec.Struct, frozen=True):
    """Weights for every layer of every branch, in the dtype and on the device of the kernel that they are nearest to.

    `energy` is the share of the kernel's energy that they explain, 1 − residual² / ‖kernel‖².
    """

    weights: tuple[tuple[Tensor, ...], ...]
    energy: float


def fit(weight: Tensor, conv: Conv, branches: Branches, seed: int = 0) -> Fit:
    """The weights of `branches` that compose to a kernel nearest to `weight`, which is that of the convolution `conv`.

    Biases are not fitted: the convolution's own belongs to the last layer. Raises `InputError` for a kernel of another
    shape, or with a number in it that is not finite.

    >>> import torch
    >>> from vggcalc.nets.families import Factorization, factorized
    >>> conv = vggcalc.Conv2d(4, 4, (5, 5), padding=(2, 2))
    >>> found = fit(torch.ones(4, 4, 5, 5), conv, factorized(conv, Factorization("asymmetric")))
    >>> [tuple(one.shape) for one in found.weights[0]], round(found.energy, 6)
    ([(4, 4, 1, 5), (4, 4, 5, 1)], 1.0)
    """
    shape = (conv.out_channels, *grouped_shape(conv)[2:])
    if tuple(weight.shape) != shape:
        raise InputError(f"the kernel is of shape {tuple(weight.shape)}, and that of the convolution {shape}")
    kernel = exactly(weight)
    if not kernel.isfinite().all():
        raise InputError("the kernel has numbers that are not finite: it cannot be fitted")
    size = float(kernel.norm()) or 1.0
    target = Affine((kernel / size).unflatten(0, (conv.groups, -1)), None, axes_of_layer(conv))
    problem = Problem(target, branches)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        found = _fitted(problem)
        left = float(problem.left(found).sum())
    kernels = iter(zip(problem.kernels(found), problem.layers, strict=True))
    weights = tuple(
        tuple(
            (next(kernels)[0].flatten(0, 1) * size ** (1 / len(branch))).to(weight.device, weight.dtype) for _ in branch
        )
        for branch in branches
    )
    return Fit(weights, 1 - left / float(problem.energy.sum()) if kernel.any() else 1.0)


def _fitted(problem: Problem) -> Tensor:
    """The weights found, of one start."""
    start, exact = _start(problem)
    start = problem.scaled(start)
    if not exact:
        start = descend(problem.difference, start, problem.energy)
    best = problem.left(start).argmin(0)
    return start[best, torch.arange(problem.groups)].unsqueeze(0)


def _start(problem: Problem) -> tuple[Tensor, bool]:
    """Weights to begin with, (starts, groups, numbers), and whether nothing is nearer."""
    if len(problem.branches) == 1:
        (chain,) = problem.branches
        for at in range(1, len(chain)):
            parts = _divided(problem.target, chain[:at], chain[at:])
            if parts is not None:
                halves = [Problem(part, (own,)) for part, own in zip(parts, (chain[:at], chain[at:]), strict=True)]
                kernels = [kernel for half in halves for kernel in half.kernels(_fitted(half))]
                return problem.weights(kernels), len(chain) == 2
    starts = 1 if all(len(branch) == 1 for branch in problem.branches) else STARTS
    starts = max(1, min(starts, MOST_NUMBERS // problem.numbers))
    noise = [0.3 * (1 + i) for i in range(starts)]
    return torch.cat([problem.weights([_near_identity(conv, one) for conv in problem.layers]) for one in noise]), False


def _near_identity(conv: Conv, noise: float) -> Tensor:
    """A layer that passes its input on, at the centre of its window, and has so much noise beside that."""
    groups, out, into, *window = grouped_shape(conv)
    kernel: Tensor = torch.randn(groups, out, into, *window, dtype=torch.float64) * noise / (into * prod(window)) ** 0.5
    kernel.flatten(3)[..., _middle_tap(window)] += torch.eye(out, into, dtype=torch.float64)
    return kernel


def _middle_tap(window: Sequence[int]) -> int:
    """The number of the tap in the middle."""
    number = 0
    for k in window:
        number = number * k + k // 2
    return number


def _divided(target: Affine, head: Chain, tail: Chain) -> tuple[Affine, Affine] | None:
    """The best kernels for two parts of a chain by singular values; None where the parts share an axis."""
    first, second = chain_map(head), chain_map(tail)
    whole = then(first, second)
    if [(a.size, a.dilation, a.padding) for a in whole.axes] != [(a.size, a.dilation, a.padding) for a in target.axes]:
        return None
    longer = [(a.size > 1, b.size > 1) for a, b in zip(first.axes, second.axes, strict=True)]
    if any(a and b for a, b in longer):
        return None
    groups, out, into, *window = target.kernel.shape
    by_head, by_tail = len(first.kernel) // groups, len(second.kernel) // groups
    blocks = max(by_head, by_tail)
    if blocks % by_head or blocks % by_tail:
        return None
    width = head[-1].out_channels // (groups * blocks)
    kernel = target.kernel.reshape(groups, by_tail, out // by_tail, by_head, into // by_head, *window)
    kernel = torch.stack([kernel[:, c * by_tail // blocks, :, c * by_head // blocks] for c in range(blocks)], 1)
    # (groups, blocks, out, in, window), then in and the head's axes against out and the tail's
    of_head = [4 + axis for axis, (a, _) in enumerate(longer) if a]
    of_tail = [4 + axis for axis, (a, _) in enumerate(longer) if not a]
    matrix = kernel.permute(0, 1, 3, *of_head, 2, *of_tail).flatten(2 + 1 + len(of_head)).flatten(2, -2)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    root = values[..., :width].sqrt().unsqueeze(-1)
    one, other = left[..., :width].mT * root, right[..., :width, :] * root
    lacking = width - root.shape[-2]
    if lacking > 0:  # more channels than the kernel has use for: they read something, and nothing reads them
        unused = torch.randn(groups, blocks, lacking, one.shape[-1], dtype=one.dtype) * one.std()
        one, other = torch.cat([one, unused], 2), pad(other, (0, 0, 0, lacking))
    one = one.reshape(groups * by_head, -1, into // by_head, *(axis.size for axis in first.axes))
    other = other.reshape(groups * by_tail, -1, out // by_tail, *(axis.size for axis in second.axes)).transpose(1, 2)
    return Affine(one, None, first.axes), Affine(other.contiguous(), None, second.axes)
