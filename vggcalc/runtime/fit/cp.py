"""The CP decomposition of a kernel: a sum of products of a vector along each of its dimensions.

1×1, a depthwise layer along each axis, 1×1: each channel between is such a product (Lebedev et al. 2014, arXiv
1412.6553, section 3). Alternating least squares (Kolda & Bader 2009, "Tensor Decompositions and Applications", section
3.4) finds one factor after the other, from random starts, and is where a descent begins: what it comes to slowly, where
components nearly cancel, Levenberg–Marquardt comes to fast.
"""

from math import prod

import torch
from torch import Tensor

from vggcalc.nets.layers import Conv
from vggcalc.runtime.fit.problem import Problem, chain_map

#: Starts at the most, and numbers that all of them may take at once; at least three.
CP_STARTS, MOST_NUMBERS = 64, 5_000_000

#: How many of each group's starts go on, for so many sweeps over all factors, till for ten of them no start's sum of
#: squares fell by the share `PROGRESS` in each.
CP_ROUNDS, PROGRESS = ((CP_STARTS, 30), (6, 300)), 1e-6


def is_cp(problem: Problem) -> bool:
    """Whether it is 1×1, a depthwise layer along each axis, and 1×1, in the groups of the kernel."""
    if len(problem.branches) > 1:
        return False
    first, *between, last = problem.branches[0]
    return (
        bool(between)
        and first is not last
        and {prod(conv.kernel_size) * prod(conv.stride) for conv in (first, last)} == {1}
        and {first.groups, last.groups} == {len(problem.target.kernel)}
        and all(conv.groups == conv.in_channels == conv.out_channels for conv in between)
        and prod(map(_long, between)) == 1
        and chain_map(problem.branches[0]).kernel_size == problem.target.kernel_size
    )


def _long(conv: Conv) -> int:
    """Of how many axes it is longer than 1."""
    return sum(k > 1 for k in conv.kernel_size)


def cp_starts(problem: Problem) -> Tensor:
    """Weights (starts × groups, numbers) of a problem that `is_cp`, the best of many random starts."""
    *between, last = problem.branches[0][1:]
    rank = last.in_channels // problem.groups
    kernel = problem.target.kernel.flatten(3)
    tensor = kernel.reshape(*kernel.shape[:3], *(max(conv.kernel_size) for conv in between))
    starts = min(CP_STARTS, max(3, MOST_NUMBERS * max(tensor.shape[1:]) // (tensor.numel() * rank)))
    factors = [torch.randn(starts, problem.groups, size, rank, dtype=torch.float64) for size in tensor.shape[1:]]
    left = torch.zeros(starts, problem.groups, dtype=torch.float64)
    for kept, sweeps in CP_ROUNDS:
        best = left.argsort(0)[:kept]
        factors = [factor[best, torch.arange(problem.groups)] for factor in factors]
        left = _alternate(tensor, factors, problem.energy, sweeps)
    sizes = [factor.norm(dim=2, keepdim=True) for factor in factors]
    mean = torch.stack(sizes).prod(0) ** (1 / len(factors))
    out, into, *taps = (one * mean / torch.where(size > 0, size, 1) for one, size in zip(factors, sizes, strict=True))
    layers = [into.mT, *(one.mT for one in taps), out]
    return torch.cat([problem.weights([layer[start] for layer in layers]) for start in range(len(out))])


def _alternate(tensor: Tensor, factors: list[Tensor], energy: Tensor, most_sweeps: int) -> Tensor:
    """Bring the factors (starts, groups, size, rank) nearer to each group's tensor; returned is the energy left."""
    before = torch.tensor(torch.inf)
    for sweep in range(most_sweeps):
        for mode in range(len(factors)):
            found, explained = _best_factor(tensor, factors, mode)
            size = found.norm(dim=2, keepdim=True) if mode + 1 < len(factors) else torch.ones(1, dtype=torch.float64)
            factors[mode] = found / torch.where(size > 0, size, 1)
        left: Tensor = energy - explained
        if sweep % 10 == 9:
            if (before - left <= 10 * PROGRESS * left).all():
                break
            before = left
    return left


def _best_factor(tensor: Tensor, factors: list[Tensor], mode: int) -> tuple[Tensor, Tensor]:
    """The factor of a mode that brings the product nearest to the tensor, all others as they are, and what of each
    group's energy is explained.
    """
    letters = "abcde"[: len(factors)]
    others = sorted((i for i in range(len(factors)) if i != mode), key=lambda i: -factors[i].shape[2])
    left, names = tensor, f"g{letters}"
    gram = torch.ones(1, dtype=torch.float64)
    for i in others:
        after = "sgr" + names.strip("sgr").replace(letters[i], "")
        left = torch.einsum(f"{names},sg{letters[i]}r->{after}", left, factors[i])
        gram, names = gram * (factors[i].mT @ factors[i]), after
    diagonal = gram.diagonal(dim1=-2, dim2=-1)
    diagonal += 1e-12 * diagonal.mean(-1, keepdim=True)
    root, _ = torch.linalg.cholesky_ex(gram)
    found = torch.cholesky_solve(left, root)
    found = torch.where(found.isfinite(), found, 0).mT
    return found, 2 * (found * left.mT).sum((2, 3)) - (found.mT @ found * gram).sum((2, 3))
