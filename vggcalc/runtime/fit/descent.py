"""Nonlinear least squares, many small problems side by side: Levenberg–Marquardt.

Where there are many unknowns L-BFGS comes first (Nocedal & Wright 2006, "Numerical Optimization", section 7.2).
Marquardt's damping with the update of Nielsen (1999, "Damping parameter in Marquardt's method", section 3). The linear
system of each step is solved by Cholesky's decomposition where it is small, and else by conjugate gradients, with which
no Jacobian is ever stored (Nocedal & Wright, sections 10.3 and 7.1).
"""

import torch
from torch import Tensor

from vggcalc.runtime.fit.problem import Problem, Product

#: A problem is solved when of its energy no more than this is left, near rounding in float64.
SOLVED = 1e-24

#: Systems of so many unknowns are decomposed, as many at once as have so many numbers together.
MOST_UNKNOWNS, MOST_DECOMPOSED = 400, 4_000_000

#: Steps that L-BFGS remembers, and after which it is preconditioned anew; in how many it is to make progress; and how
#: often one is shortened before none is taken.
REMEMBERED, PATIENCE, MOST_HALVINGS = 20, 60, 12


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
        """Take steps of L-BFGS, till in `PATIENCE` no problem's sum fell by the share `progress` for each of them.

        It is for what is far, of many numbers, as `marquardt` is for what is near.
        """
        at, enough = self.at, SOLVED * self.problem.energy[self.group].unsqueeze(1)
        left, slope = self.problem.gradient(at, self.group)
        memory, before = _Memory(at), left
        for step in range(most_steps):
            if step % PATIENCE == 0:
                if step and bool(((before - left <= PATIENCE * progress * left) | (left <= enough)).all()):
                    break
                before = left
            if step % REMEMBERED == 0:
                memory.precondition(self.problem.preconditioned(at))
            toward = memory.toward(slope)
            falls = _dots(toward, slope)
            length = torch.ones_like(left)
            if not step:
                near = self.problem.linearized(at, self.group).push(toward)
                curved = _dots(near, near)
                length = -falls / torch.where(curved > 0, curved, 1)
            for _ in range(MOST_HALVINGS):
                new = at + length * toward
                left_after, slope_after = self.problem.gradient(new, self.group)
                falls_enough = left_after <= left + 2e-4 * length * falls  # Armijo: the sum's slope is twice Jᵀr
                if (falls_enough | (left <= enough)).all():
                    break
                length = torch.where(falls_enough, length, length / 3)
            better = left_after < left
            new, slope_after = torch.where(better, new, at), torch.where(better, slope_after, slope)
            memory.add(new - at, slope_after - slope)
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


class _Memory:
    """The last steps of each problem and how its slope changed in them, which tell of the second derivative."""

    def __init__(self, weights: Tensor) -> None:
        problems, numbers = weights.shape
        rows = weights.new_zeros(3, problems, REMEMBERED, numbers)
        self._steps, self._changes, self._divided = rows
        #: Of steps with changes, and of changes with divided ones.
        self._products, self._squares = weights.new_zeros(2, problems, REMEMBERED, REMEMBERED)
        self._count = 0
        self.divide: Product = Tensor.clone

    def precondition(self, divide: Product) -> None:
        """Begin from slopes that are divided so, by about the second derivative."""
        self.divide = divide
        for i in range(min(self._count, REMEMBERED)):
            self._divided[:, i] = divide(self._changes[:, i])
        self._squares = self._changes @ self._divided.mT

    def add(self, step: Tensor, change: Tensor) -> None:
        """A step, and what the slope after it differs by; without effect where they do not show a valley."""
        i = self._count % REMEMBERED
        valley = _dots(step, change) > 0
        new = torch.where(valley, step, 0), torch.where(valley, change, 0)
        self._steps[:, i], self._changes[:, i] = new
        self._divided[:, i] = self.divide(new[1])
        self._products[:, i] = (self._changes @ new[0].unsqueeze(2)).squeeze(2)
        self._products[:, :, i] = (self._steps @ new[1].unsqueeze(2)).squeeze(2)
        self._squares[:, i] = self._squares[:, :, i] = (self._divided @ new[1].unsqueeze(2)).squeeze(2)
        self._count += 1

    def toward(self, slope: Tensor) -> Tensor:
        """Where to go (Byrd, Nocedal & Schnabel 1994, "Representations of quasi-Newton matrices", theorem 2.2)."""
        direct = self.divide(slope)
        if not self._count:
            return -direct
        age = (torch.arange(REMEMBERED) + self._count) % REMEMBERED  # the oldest first
        products, squares = (one[:, age][:, :, age] for one in (self._products, self._squares))
        curved = products.diagonal(dim1=1, dim2=2)
        last = squares[:, -1:, -1]
        scale = torch.where(last > 0, curved[:, -1:] / torch.where(last > 0, last, 1), 1).unsqueeze(2)
        upper = products.triu() + torch.diag_embed((curved == 0).double())
        sizes, own = ((one @ slope.unsqueeze(2))[:, age] for one in (self._steps, self._divided))
        right = torch.linalg.solve_triangular(upper, sizes, upper=True)
        rest = (torch.diag_embed(curved) + scale * squares) @ right - scale * own
        left = torch.linalg.solve_triangular(upper.mT, rest, upper=False)
        place = age.argsort()
        whole = scale[:, 0] * direct
        whole = whole + (self._steps.mT @ left[:, place] - scale * (self._divided.mT @ right[:, place])).squeeze(2)
        return torch.where(_dots(whole, slope) > 0, -whole, -direct)


def linear_least_squares(problem: Problem, start: Tensor | None = None) -> Tensor:
    """The weights of each group where the difference is linear in them, no farther than the start or zeros."""
    group = torch.arange(problem.groups)
    at = torch.zeros(problem.groups, problem.numbers, dtype=torch.float64) if start is None else start
    near = problem.linearized(at, group)
    gradient, none = near.pull(near.residual), torch.zeros(problem.groups, 1, dtype=torch.float64)
    found = at + _solved(lambda direction: near.pull(near.push(direction)), none, -gradient, most=500, within=1e-14)
    nearer = problem.left(found, group) < problem.left(at, group)  # at the solution the slope is but rounding
    return torch.where(nearer.unsqueeze(1), found, at)
