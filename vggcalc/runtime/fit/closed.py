"""Kernels whose best factors singular values say: of chains whose parts share no axis longer than 1.

1×k and k×1, depthwise and 1×1, 1×1 and k×k: two such layers are a truncated singular value decomposition, which is the
answer (Eckart & Young 1936). 1×1, k×k and 1×1 are Tucker-2, found by alternating such decompositions from those of the
kernel itself (De Lathauwer, De Moor & Vandewalle 2000, "On the best rank-1 and rank-(R1, R2, ..., RN) approximation of
higher-order tensors", section 4: HOSVD, then HOOI). Of longer chains one cut after the other is where a descent begins.
"""

from collections.abc import Callable
from math import prod

import msgspec
import torch
from torch import Tensor
from torch.nn.functional import pad

from vggcalc.nets.layers import Conv
from vggcalc.runtime.fit.problem import Problem, chain_map
from vggcalc.runtime.fuse.affine import Affine, then

Chain = tuple[Conv, ...]

#: Alternations of Tucker-2 at the most, and the share of the energy below which none is worth it.
MOST_ALTERNATIONS, WORTH = 500, 1e-13


class Closed(msgspec.Struct, frozen=True):
    """Weights of each group, and whether nothing is nearer."""

    weights: Tensor
    exact: bool


def closed_form(problem: Problem, solve: Callable[[Problem], Tensor]) -> Closed | None:
    """What singular values say of a problem's weights, parts of its chain by `solve`; None where they say nothing."""
    if len(problem.branches) > 1:
        return None
    (chain,) = problem.branches
    if _is_tucker(problem, chain):
        return Closed(problem.weights(_tucker(problem, chain)), True)
    for at in range(1, len(chain)):
        parts = _divided(problem.target, chain[:at], chain[at:])
        if parts is not None:
            halves = [Problem(part, (own,)) for part, own in zip(parts, (chain[:at], chain[at:]), strict=True)]
            kernels = [kernel for half in halves for kernel in half.kernels(solve(half))]
            return Closed(problem.weights(kernels), len(chain) == 2)
    return None


def _is_tucker(problem: Problem, chain: Chain) -> bool:
    """Whether it is 1×1, a window and 1×1, all in the groups of the kernel."""
    return (
        len(chain) == 3
        and {prod(conv.kernel_size) * prod(conv.stride) for conv in (chain[0], chain[2])} == {1}
        and {conv.groups for conv in chain} == {len(problem.target.kernel)}
        and chain_map(chain).axes == problem.target.axes
    )


def _tucker(problem: Problem, chain: Chain) -> list[Tensor]:
    """The kernels of 1×1, window and 1×1."""
    kernel = problem.target.kernel.flatten(3)  # (groups, out, in, window)
    groups, out, into, _ = kernel.shape
    inner, outer = (conv.out_channels // groups for conv in chain[:2])
    reads = _leading(kernel.transpose(1, 2), inner)
    found = -1.0
    for _ in range(MOST_ALTERNATIONS):
        writes = _leading(torch.einsum("goiw,gir->gorw", kernel, reads), outer)
        half = torch.einsum("goiw,gor->griw", kernel, writes)
        reads = _leading(half.transpose(1, 2), inner)
        core = torch.einsum("griw,gis->grsw", half, reads)
        explained = float(core.square().sum())
        if explained - found <= WORTH * float(problem.energy.sum()):
            break
        found = explained
    lacking = outer - core.shape[1], inner - core.shape[2]
    core = pad(core, (0, 0, 0, lacking[1], 0, lacking[0]))
    ones = (1,) * len(problem.target.axes)
    return [
        pad(reads.mT, (0, 0, 0, lacking[1])).reshape(groups, inner, into, *ones),
        core.reshape(groups, outer, inner, *chain[1].kernel_size),
        pad(writes, (0, lacking[0])).reshape(groups, out, outer, *ones),
    ]


def _leading(tensor: Tensor, rank: int) -> Tensor:
    """The first singular vectors of every group's (rows, …), as columns."""
    matrix = tensor.flatten(2)
    vectors: Tensor = torch.linalg.eigh(matrix @ matrix.mT).eigenvectors
    return vectors.flip(2)[..., :rank]


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
