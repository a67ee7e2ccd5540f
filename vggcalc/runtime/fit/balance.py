"""Of all weights that compose to the same kernel, those that are smallest.

Between two layers with nothing between them any invertible matrix G may stand: G·W₁ and W₂·G⁻¹ compose to the same.
The sum of all squares is least where W₁W₁ᵀ = W₂ᵀW₂, each summed over the window. Layers that are balanced so stay it in
gradient flow (Du, Hu & Lee 2018, arXiv 1806.00900, section 2), and one learning rate suits all of them.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import lcm

import torch
from torch import Tensor

from vggcalc.nets.layers import Conv

#: How often every pair is balanced at the most, and the share of the sum of squares by which it still falls.
MOST_SWEEPS, LEAST_FALL = 100, 1e-10

#: Directions smaller than this, beside the largest, are taken for as large as this.
SMALLEST = 1e-12


def balanced(kernels: Sequence[Tensor], chain: Sequence[Conv]) -> list[Tensor]:
    """Kernels (out, in / groups, …) of the layers of `chain`, in float64, that compose to what these do.

    Channels are mixed where both layers mix them; of a depthwise layer each is only scaled.
    """
    found = list(kernels)
    size = _sum_of_squares(found)
    for _ in range(MOST_SWEEPS):
        for i, (one, two) in enumerate(pairwise(chain)):
            found[i], found[i + 1] = _pair(found[i], found[i + 1], one, two)
        before, size = size, _sum_of_squares(found)
        if not before - size > LEAST_FALL * before:
            break
    return found


def _sum_of_squares(kernels: Sequence[Tensor]) -> float:
    return float(sum(kernel.square().sum() for kernel in kernels))


def _pair(first: Tensor, second: Tensor, one: Conv, two: Conv) -> tuple[Tensor, Tensor]:
    """Two kernels that are balanced against each other."""
    channels, blocks = one.out_channels, lcm(one.groups, two.groups)
    blocks = blocks if channels % blocks == 0 else channels
    rows = first.reshape(blocks, channels // blocks, -1)
    by_channel = second.unflatten(0, (two.groups, -1)).transpose(1, 2)
    columns = by_channel.reshape(blocks, channels // blocks, -1)
    of_first, of_second = rows @ rows.mT, columns @ columns.mT
    if not (of_first.any() and of_second.any()):
        return first, second
    root, over_root = _power(of_first, 0.5), _power(of_first, -0.5)
    square = over_root @ _power(root @ of_second @ root, 0.5) @ over_root  # the geometric mean of P⁻¹ and Q
    rows, columns = _power(square, 0.5) @ rows, _power(square, -0.5) @ columns
    back = columns.reshape(by_channel.shape).transpose(1, 2)
    return rows.reshape(first.shape), back.reshape(second.shape)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of symmetric matrices without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=SMALLEST * float(values.max()))
    powered: Tensor = vectors * values.unsqueeze(-2) ** exponent @ vectors.mT
    return powered
