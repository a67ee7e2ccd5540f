"""Nonlinear least squares, many small problems side by side: Levenberg–Marquardt with conjugate gradients.

Marquardt's damping with the update of Nielsen (1999, "Damping parameter in Marquardt's method", section 3); the linear
system of each step is solved by conjugate gradients, so that no Jacobian is ever stored (Nocedal & Wright 2006,
"Numerical Optimization", sections 10.3 and 7.1).
"""

from collections.abc import Callable

import torch
from torch import Tensor

#: A problem is solved when of its energy no more than this is left, near rounding in float64.
SOLVED = 1e-24

Residual = Callable[[Tensor], Tensor]


def _dots(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(2, keepdim=True)


def descend(residual: Residual, start: Tensor, scale: Tensor, most_steps: int = 80, progress: float = 1e-4) -> Tensor:
    """The weights where the squares of `residual` have the least sum near `start`, of each problem by itself.

    `start` is (starts, groups, numbers), and so are residuals; `scale` is the energy of each group's target. A step is
    taken where it lowers the sum, so that no problem ends above its start. It ends when for five steps no problem's
    sum fell by more than the share `progress` of it.
    """
    at = start
    found = residual(at)
    left = _dots(found, found)
    damping = torch.full_like(left, -1.0)
    growth = torch.full_like(left, 2.0)
    scale = scale.reshape(1, -1, 1)
    idle = torch.zeros_like(left)
    for _ in range(most_steps):
        solved = (left <= SOLVED * scale).any(0, keepdim=True)  # from one start: the others are for nothing
        active = ~solved & (idle < 5)
        if not active.any():
            break
        product, gradient = _normal_equations(residual, at)
        if (damping < 0).any():
            first = product(gradient)
            size = _dots(gradient, gradient)
            damping = 0.1 * _dots(gradient, first) / torch.where(size > 0, size, 1)
        step = _solved(product, damping, -gradient, active)
        new = at + step
        after = residual(new)
        left_after = _dots(after, after)
        foreseen = _dots(step, damping * step - gradient)
        gain = (left - left_after) / torch.where(foreseen > 0, foreseen, 1)
        better = active & (left_after < left)
        fell = torch.where(better, left - left_after, 0)
        idle = torch.where(fell > progress * left, 0, idle + 1)
        damping = torch.where(better, damping * (1 - (2 * gain - 1) ** 3).clamp(1 / 5, 2), damping * growth)
        growth = torch.where(better, 2.0, (growth * 2).clamp(max=1e6))
        at = torch.where(better, new, at)
        left = torch.where(better, left_after, left)
    return at


def _normal_equations(residual: Residual, at: Tensor) -> tuple[Residual, Tensor]:
    """What multiplies with JᵀJ, and the gradient Jᵀr, of the residuals r and their Jacobian J."""
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        values = residual(at)
        any_row = values.detach().clone().requires_grad_()
        (pulled,) = torch.autograd.grad(values, at, any_row, create_graph=True)  # linear in `any_row`: it is Jᵀ

    def product(direction: Tensor) -> Tensor:
        (pushed,) = torch.autograd.grad(pulled, any_row, direction, retain_graph=True)
        return torch.autograd.grad(values, at, pushed, retain_graph=True)[0]

    return product, pulled.detach()


def _solved(
    product: Residual, damping: Tensor, right: Tensor, active: Tensor, most: int = 40, within: float = 0.03
) -> Tensor:
    """The solution of the damped system for every problem that is `active`, 0 for the others."""
    solution = torch.zeros_like(right)
    rest = torch.where(active, right, 0)
    direction = rest
    size = _dots(rest, rest)
    enough = within**2 * size
    for _ in range(min(most, 2 * right.shape[2] + 5)):
        going = size > enough
        if not going.any():
            break
        image = product(direction) + damping * direction
        curvature = _dots(direction, image)
        length = torch.where(going & (curvature > 0), size / torch.where(curvature > 0, curvature, 1), 0)
        solution = solution + length * direction
        rest = rest - length * image
        before, size = size, _dots(rest, rest)
        direction = rest + size / torch.where(before > 0, before, 1) * direction
    return solution
