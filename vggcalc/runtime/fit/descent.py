"""Nonlinear least squares, many small problems side by side: Levenberg–Marquardt.

Where there are many unknowns L-BFGS comes first (Nocedal & Wright 2006, "Numerical Optimization", section 7.2).
Marquardt's damping with the update of Nielsen (1999, "Damping parameter in Marquardt's method", section 3). The linear
system of each step is solved by Cholesky's decomposition where it is small, and else by conjugate gradients, with which
no Jacobian is ever stored (Nocedal & Wright, sections 10.3 and 7.1).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vggcalc.runtime.fit.problem import Problem

#: A problem is solved when of its energy no more than this is left, near rounding in float64.
SOLVED = 1e-24

#: Systems of so many unknowns are decomposed, as many at once as have so many numbers together.
MOST_UNKNOWNS, MOST_DECOMPOSED = 400, 4_000_000

#: Steps that L-BFGS remembers, and how often one is shortened before none is taken.
REMEMBERED, MOST_HALVINGS = 20, 12

Product = Callable[[Tensor], Tensor]


def _dots(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(1, keepdim=True)


class Descent:
    """Weights (problems, numbers) of the groups `group` on their way to where each problem's sum of squares is least.

    A step is taken where it lowers the sum, so that no problem ends above its start.
    """

    def __init__(self, problem: Problem, weights: Tensor, group: Tensor) -> None:
        self.problem = problem
        self.at, self.group = weights, group
        self.left = problem.left(weights, group).unsqueeze(1)
        self._damping = torch.full_like(self.left, -1.0)
        self._growth = torch.full_like(self.left, 2.0)
        self._idle = torch.zeros_like(self.left)

    def marquardt(self, most_steps: int, progress: float) -> None:
        """Take steps, till for five no problem's sum fell by more than the share `progress` of it."""
        self._idle.zero_()
        for _ in range(most_steps):
            solved = self.left[:, 0] <= SOLVED * self.problem.energy[self.group]
            done = torch.zeros(self.problem.groups, dtype=torch.bool).index_put(
                (self.group[solved],), torch.tensor(True)
            )
            active = ~done[self.group] & (self._idle[:, 0] < 5)  # solved from one start: the others are for nothing
            if not active.any():
                break
            self._step(active.nonzero()[:, 0], progress)

    def lbfgs(self, most_steps: int, progress: float) -> None:
        """Take steps of L-BFGS, till in `REMEMBERED` no problem's sum fell by the share `progress` for each of them.

        It is for what is far, of many numbers, as `marquardt` is for what is near.
        """
        at = self.at
        left, slope = self.problem.gradient(at, self.group)
        memory: list[tuple[Tensor, Tensor]] = []
        before = left
        for step in range(most_steps):
            if step % REMEMBERED == 0:
                solved = bool((left[:, 0] <= SOLVED * self.problem.energy[self.group]).all())
                if solved or (step and bool((before - left <= REMEMBERED * progress * left).all())):
                    break
                before = left
            toward = _quasi_newton(slope, memory)
            falls = _dots(toward, slope)
            length = torch.ones_like(left)
            if not memory:
                near = self.problem.linearized(at, self.group).push(toward)
                curved = _dots(near, near)
                length = -falls / torch.where(curved > 0, curved, 1)
            for _ in range(MOST_HALVINGS):
                new = at + length * toward
                left_after, slope_after = self.problem.gradient(new, self.group)
                enough = left_after <= left + 2e-4 * length * falls  # of Armijo: the sum's slope is twice Jᵀr
                if enough.all():
                    break
                length = torch.where(enough, length, length / 3)
            better = left_after < left
            new, slope_after = torch.where(better, new, at), torch.where(better, slope_after, slope)
            memory = [*memory[1 - REMEMBERED :], (new - at, slope_after - slope)]
            at, left, slope = new, torch.where(better, left_after, left), slope_after
        self.at, self.left = at, left

    def best(self, many: int) -> None:
        """Go on with the best `many` of each group."""
        order = self.left[:, 0].argsort(stable=True)
        order = order[self.group[order].argsort(stable=True)]
        counts = self.group.bincount(minlength=self.problem.groups)
        firsts = counts.cumsum(0) - counts
        place = torch.arange(len(order)) - firsts[self.group[order]]
        chosen = order[place < many]
        for name in ("at", "group", "left", "_damping", "_growth", "_idle"):
            setattr(self, name, getattr(self, name)[chosen])

    def _step(self, which: Tensor, progress: float) -> None:
        at, group, left, damping = self.at[which], self.group[which], self.left[which], self._damping[which]
        step, gradient, damping = _marquardt(self.problem, at, group, damping)
        new = at + step
        left_after = self.problem.left(new, group).unsqueeze(1)
        foreseen = _dots(step, damping * step - gradient)
        gain = (left - left_after) / torch.where(foreseen > 0, foreseen, 1)
        better = left_after < left
        fell = torch.where(better, left - left_after, 0)
        growth = self._growth[which]
        self._idle[which] = torch.where(fell > progress * left, 0, self._idle[which] + 1)
        self._damping[which] = torch.where(
            better, damping * (1 - (2 * gain - 1) ** 3).clamp(1 / 5, 2), damping * growth
        )
        self._growth[which] = torch.where(better, 2.0, (growth * 2).clamp(max=1e6))
        self.at[which] = torch.where(better, new, at)
        self.left[which] = torch.where(better, left_after, left)


def _marquardt(problem: Problem, at: Tensor, group: Tensor, damping: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The step of each problem, its gradient Jᵀr, and the damping, which is chosen where it is below 0."""
    if at.shape[1] > MOST_UNKNOWNS or problem.root is not None:
        near = problem.linearized(at, group)

        def product(direction: Tensor) -> Tensor:
            return near.pull(near.push(direction))

        gradient = near.pull(near.residual)
        damping = _first(damping, _dots(gradient, product(gradient)), _dots(gradient, gradient))
        return _solved(product, damping, -gradient), gradient, damping
    many = max(1, MOST_DECOMPOSED // at.shape[1] ** 2)
    parts = zip(at.split(many), group.split(many), damping.split(many), strict=True)
    found = [_decomposed(problem, *part) for part in parts]
    step, gradient, damping = (torch.cat(each) for each in zip(*found, strict=True))
    return step, gradient, damping


def _decomposed(problem: Problem, at: Tensor, group: Tensor, damping: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    square, (_, gradient) = problem.normal_matrix(at), problem.gradient(at, group)
    diagonal = square.diagonal(dim1=1, dim2=2)
    mean = diagonal.mean(1, keepdim=True)
    damping = torch.where(damping < 0, 0.1 * mean, damping)
    diagonal += damping.clamp(min=1e-14 * mean)  # it is singular: what one layer is multiplied with another may undo
    root, _ = torch.linalg.cholesky_ex(square)
    step = -torch.cholesky_solve(gradient.unsqueeze(2), root).squeeze(2)
    return torch.where(step.isfinite(), step, 0), gradient, damping


def _first(damping: Tensor, curvature: Tensor, size: Tensor) -> Tensor:
    return torch.where(damping < 0, 0.1 * curvature / torch.where(size > 0, size, 1), damping)


def _solved(product: Product, damping: Tensor, right: Tensor, most: int = 40, within: float = 0.03) -> Tensor:
    """The solution of the damped system of every problem."""
    solution = torch.zeros_like(right)
    rest = right
    direction = rest
    size = _dots(rest, rest)
    enough = within**2 * size
    for _ in range(min(most, 2 * right.shape[1] + 5)):
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


def _quasi_newton(slope: Tensor, memory: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Where to go, of each problem, by its last steps and slopes (Nocedal & Wright, algorithm 7.4)."""
    rest, shares = -slope, []
    pairs = [(step, bent, _dots(step, bent)) for step, bent in memory]
    for step, bent, curved in reversed(pairs):
        share = torch.where(curved > 0, _dots(step, rest) / torch.where(curved > 0, curved, 1), 0)
        rest = rest - share * bent
        shares.append(share)
    if pairs:
        _, bent, curved = pairs[-1]
        size = _dots(bent, bent)
        rest = rest * torch.where((curved > 0) & (size > 0), curved / torch.where(size > 0, size, 1), 1)
    for (step, bent, curved), share in zip(pairs, reversed(shares), strict=True):
        back = torch.where(curved > 0, _dots(bent, rest) / torch.where(curved > 0, curved, 1), 0)
        rest = rest + torch.where(curved > 0, share - back, 0) * step
    return torch.where(_dots(rest, slope) < 0, rest, -slope)


def linear_least_squares(problem: Problem, start: Tensor | None = None) -> Tensor:
    """The weights of each group where the difference is linear in them, no farther than the start or zeros."""
    group = torch.arange(problem.groups)
    at = torch.zeros(problem.groups, problem.numbers, dtype=torch.float64) if start is None else start
    near = problem.linearized(at, group)
    gradient, none = near.pull(near.residual), torch.zeros(problem.groups, 1, dtype=torch.float64)
    found = at + _solved(lambda direction: near.pull(near.push(direction)), none, -gradient, most=500, within=1e-14)
    nearer = problem.left(found, group) < problem.left(at, group)  # at the solution the slope is but rounding
    return torch.where(nearer.unsqueeze(1), found, at)
