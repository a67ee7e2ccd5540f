"""From a trained kernel to the weights of its factorization that come nearest to it.

The kernel that the layers compose to without activations is `fuse`'s; the distance is the sum of the squared
differences of all its numbers, also of those outside the convolution's window. Single layers side by side are linear
least squares; chains whose parts share no axis have closed forms (`closed`). Layers of a stack overlap, and those of a
CP decomposition (`cp`) are one for each axis: they are found by nonlinear least squares from several starts, of which
the best go on. Of all weights that compose to the same the smallest are given (`balance`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod

import msgspec
import torch
from torch import Tensor

from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.layers import Conv
from vggcalc.runtime.fit.balance import balanced
from vggcalc.runtime.fit.closed import closed_form
from vggcalc.runtime.fit.cp import cp_starts, is_cp
from vggcalc.runtime.fit.descent import MOST_UNKNOWNS, SOLVED, Descent, linear_least_squares
from vggcalc.runtime.fit.problem import Problem, axes_of_layer, grouped_shape
from vggcalc.runtime.fuse.affine import Affine
from vggcalc.runtime.fuse.fuse import exactly

#: So many random starts of each group of channels; of more numbers than this together there are fewer.
STARTS, MOST_WEIGHTS = 64, 20_000

#: So many of each group's starts go on, for so many steps at the most, till none's sum falls by this share in a step.
ROUNDS = ((64, 12, 1e-3), (8, 60, 1e-4), (2, 200, 1e-6))

#: The same for what is too large for that, in steps of L-BFGS; no more than `MOST_WORK` over the numbers.
LARGE_ROUNDS, MOST_WORK = ((24, 120, 1e-3), (10, 500, 1e-4), (3, 1000, 3e-5), (1, 3000, 1e-5)), 100_000_000

#: Where of a kernel's energy no more than this is left, it may be that nothing is: Levenberg–Marquardt finds out fast.
NEAR = 1e-6

#: Where more is left, and no more than this, the kernel may be of the family itself: there are so many further tries.
NEARLY, MOST_TRIES = 0.01, 3

#: Steps of L-BFGS and of Levenberg–Marquardt on data at the most, and the share by which each is to fall.
ON_DATA = ((300, 1e-4), (5, 1e-3))

#: Of no more numbers than this a problem takes one thread.
LARGEST_OF_ONE_THREAD = 10_000


class Fit(msgspec.Struct, frozen=True):
    """Weights for every layer of every branch, in the dtype and on the device of the kernel that they are nearest to.

    `energy` is the share of the kernel's energy that they explain, 1 − residual² / ‖kernel‖²; fitted on data, that of
    the energy of the kernel's output for it.
    """

    weights: tuple[tuple[Tensor, ...], ...]
    energy: float


def fit(weight: Tensor, conv: Conv, branches: Branches, seed: int = 0, root: Tensor | None = None) -> Fit:
    """The weights of `branches` that compose to a kernel nearest to `weight`, which is that of the convolution `conv`.

    Biases are not fitted: the convolution's own belongs to the last layer. With the `root` of the second moments
    of its input (`moments.roots`) they are those whose output is nearest, by descent from the others, so that it is
    never farther. Raises `InputError` for a kernel of another shape, or with a number in it that is not finite.

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
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _few_threads(problem):
        torch.manual_seed(seed)
        found = _fitted(problem)
        if root is not None:
            problem = Problem(target, branches, root)
            found = _nearer(problem, found)
        left = float(problem.left(found, torch.arange(problem.groups)).sum())
    kernels = iter(problem.kernels(found))
    each = [balanced([next(kernels).flatten(0, 1) for _ in branch], branch) for branch in branches]
    weights = tuple(
        tuple((one * size ** (1 / len(own))).to(weight.device, weight.dtype) for one in own) for own in each
    )
    energy = float(problem.energy.sum())
    return Fit(weights, 1 - left / energy if energy else 1.0)


@contextmanager
def _few_threads(problem: Problem) -> Iterator[None]:
    """One thread where the tensors are small: several wait longer for each other than they work."""
    threads = torch.get_num_threads()
    if problem.numbers <= LARGEST_OF_ONE_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fitted(problem: Problem) -> Tensor:
    """The weights found, of each group."""
    if all(len(branch) == 1 for branch in problem.branches):
        return linear_least_squares(problem)
    large = problem.numbers > MOST_UNKNOWNS
    if is_cp(problem):
        start = cp_starts(problem)
    else:
        closed = closed_form(problem, _fitted)
        if closed is not None and closed.exact:
            return closed.weights
        if closed is None and large:
            return _tried_again(problem)
        start = _random_starts(problem, large) if closed is None else closed.weights
    return _descended(problem, start, large).at


def _tried_again(problem: Problem) -> Tensor:
    """The best of several descents from random starts: of a kernel that is nearly explained, it may be that all is."""
    best = _descended(problem, _random_starts(problem, True), True)
    for _ in range(MOST_TRIES):
        share = best.left[:, 0] / problem.energy.clamp(min=1e-300)
        if not bool(((share > SOLVED) & (share <= NEARLY)).any()):
            break
        other = _descended(problem, _random_starts(problem, True), True)
        best.at = torch.where(other.left < best.left, other.at, best.at)
        best.left = torch.minimum(other.left, best.left)
    return best.at


def _descended(problem: Problem, start: Tensor, large: bool) -> Descent:
    """Where the best of the starts (starts × groups, numbers) comes to, of each group in order."""
    group = torch.arange(problem.groups).repeat(len(start) // problem.groups)
    descent = Descent(problem, problem.scaled(start, group), group)
    if large:
        _descend_far(descent)
    else:
        for kept, steps, progress in ROUNDS:
            descent.best(kept)
            descent.marquardt(steps, progress)
    descent.best(1)
    return descent


def _descend_far(descent: Descent) -> None:
    """The rounds of what is large, but for those that only as many starts as the next one would go through."""
    problem = descent.problem
    for i, (kept, steps, progress) in enumerate(LARGE_ROUNDS):
        descent.best(kept)
        if i + 1 == len(LARGE_ROUNDS) or len(descent.at) > LARGE_ROUNDS[i + 1][0] * problem.groups:
            descent.lbfgs(min(steps, MOST_WORK // (problem.numbers * problem.groups)), progress)
    if bool((descent.left[:, 0] <= NEAR * problem.energy).any()):
        descent.marquardt(10, 1e-3)


def _nearer(problem: Problem, start: Tensor) -> Tensor:
    """Weights of each group no farther than those at the start, in a problem with a root of second moments."""
    if all(len(branch) == 1 for branch in problem.branches):
        return linear_least_squares(problem, start)
    group = torch.arange(problem.groups)
    descent = Descent(problem, problem.scaled(start, group), group)
    for (steps, progress), descend in zip(ON_DATA, (descent.lbfgs, descent.marquardt), strict=True):
        descend(steps, progress)
    return descent.at


def _random_starts(problem: Problem, large: bool) -> Tensor:
    """Weights to begin with, (starts × groups, numbers): noise, and half of them near the identity."""
    starts = STARTS if not large else max(1, MOST_WEIGHTS // (problem.numbers * problem.groups))
    noise = [0.0 if large or i % 2 else 0.3 * (1 + i // 2 % 10) for i in range(starts)]
    return torch.cat([problem.weights([_noise(conv, one) for conv in problem.layers]) for one in noise])


def _noise(conv: Conv, beside_identity: float) -> Tensor:
    """Normal numbers for a layer; so much of them beside the identity at the centre of its window, unless it is 0."""
    groups, out, into, *window = grouped_shape(conv)
    kernel: Tensor = torch.randn(groups, out, into, *window, dtype=torch.float64) / (into * prod(window)) ** 0.5
    if beside_identity:
        kernel *= beside_identity
        kernel.flatten(3)[..., _middle_tap(window)] += torch.eye(out, into, dtype=torch.float64)
    return kernel


def _middle_tap(window: Sequence[int]) -> int:
    """The number of the tap in the middle."""
    number = 0
    for k in window:
        number = number * k + k // 2
    return number
