"""How near a stack of 3×3s is fitted to a large kernel, beside a long generic optimization from ten starts.

The generic one composes the layers by torch's own convolutions of an impulse, takes the slope by autograd and descends
by scipy's L-BFGS-B in float64 from torch's initialization with ten seeds, until it comes no farther or for so many
steps. Its best result counts, for a depthwise kernel that of every channel. Kernels are normal noise, which no network
learns and which is hardest to fit, or a stack's own ("planted"): of that nothing is left by weights that exist.
malloc's thresholds are pinned, as they are where `vggcalc rewrite` fits.

    python benchmarks/fitting.py > table.md                    # while nothing else runs, about a quarter of an hour
    python benchmarks/fitting.py --starts 0                    # the package alone, about a minute
    python benchmarks/fitting.py --starts 2 --steps 20 --small # does it run? seconds, no result
"""

import argparse
import os
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy
import torch
from counters import machine, print_table
from scipy.optimize import minimize
from torch import Tensor, nn

from vggcalc import Conv2d
from vggcalc.nets.families import Factorization, factorized
from vggcalc.runtime.fit.fit import fit
from vggcalc.runtime.time import allocator


class Case(NamedTuple):
    """A kernel of so many channels in and out."""

    name: str
    channels: int
    kernel: int
    groups: int = 1
    planted: bool = False


CASES = [
    Case("7×7 depthwise, 256 channels", 256, 7, groups=256),
    Case("5×5, 4 → 4", 4, 5),
    Case("7×7, 4 → 4", 4, 7),
    Case("7×7, 8 → 8", 8, 7),
    Case("7×7, 8 → 8, planted", 8, 7, planted=True),
    Case("7×7, 16 → 16", 16, 7),
    Case("7×7, 16 → 16, planted", 16, 7, planted=True),
    Case("7×7, 64 → 64", 64, 7),
]

#: Does it run?
SMALL = [Case("5×5, 2 → 2", 2, 5), Case("5×5 depthwise, 4 channels, planted", 4, 5, groups=4, planted=True)]


def stack(case: Case, seed: int) -> nn.Sequential:
    """The 3×3s as modules in float64, with torch's initialization."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(case.channels, case.channels, 3, padding=2, groups=case.groups, bias=False)
              for _ in range(case.kernel // 2)]  # fmt: skip
    return nn.Sequential(*layers).double()


def composed(layers: Sequence[Tensor], case: Case) -> Tensor:
    """The kernel that convolutions one after the other are, (out, in / groups, k, k): what they make of an impulse."""
    into = case.channels // case.groups
    impulse = torch.zeros(into, case.channels, 1, 1, dtype=torch.float64)
    for i in range(into):
        impulse[i, i::into] = 1  # in every group at once: none sees another
    for weight in layers:
        impulse = nn.functional.conv2d(impulse, weight, padding=2, groups=case.groups)
    kernel: Tensor = impulse.transpose(0, 1).flip(2, 3)
    return kernel


def kernel_of(case: Case) -> Tensor:
    """The kernel to fit, of norm 1."""
    if case.planted:
        found = composed([weight.detach() for weight in stack(case, 1000).parameters()], case)
    else:
        shape = case.channels, case.channels // case.groups, case.kernel, case.kernel
        found = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel: Tensor = found / found.norm()
    return kernel


def left_by_fit(case: Case, kernel: Tensor) -> float:
    """The share of the kernel's energy that is left by the package's weights, which are composed here."""
    half = case.kernel // 2
    conv = Conv2d(case.channels, case.channels, (case.kernel,) * 2, padding=(half, half), groups=case.groups)
    found = fit(kernel, conv, factorized(conv, Factorization("stack")))
    return float((composed(found.weights[0], case) - kernel).square().sum())


def left_by_descent(case: Case, kernel: Tensor, seed: int, steps: int) -> Tensor:
    """What is left of each channel out after a generic optimization from one start."""
    weights = [weight.detach() for weight in stack(case, seed).parameters()]
    ends = numpy.cumsum([0, *(weight.numel() for weight in weights)])

    def layers(numbers: Tensor) -> list[Tensor]:
        parts = zip(pairwise(ends), weights, strict=True)
        return [numbers[begin:end].view_as(weight) for (begin, end), weight in parts]

    def value(numbers: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        at = torch.from_numpy(numbers.copy()).requires_grad_()
        left = (composed(layers(at), case) - kernel).square().sum()
        left.backward()
        assert at.grad is not None
        return left.item(), at.grad.numpy()

    start = torch.cat([weight.flatten() for weight in weights]).numpy()
    limits = {"maxiter": steps, "maxfun": 2 * steps, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-10}
    found = torch.from_numpy(minimize(value, start, jac=True, method="L-BFGS-B", options=limits).x)
    return (composed(layers(found), case) - kernel).square().sum((1, 2, 3))


def table(cases: Sequence[Case], starts: int, steps: int) -> Iterable[Sequence[str]]:
    """One line for each kernel."""
    yield (
        "kernel",
        "left by `fit`",
        "time",
        "starts",
        "left by the best",
        "by the median",
        "`fit` / best",
        "time of all",
    )
    for case in cases:
        kernel = kernel_of(case)
        began = time.perf_counter()
        own = left_by_fit(case, kernel)
        seconds = time.perf_counter() - began
        cells = [f"{own:.3g}", f"{seconds:.1f} s", str(starts)]
        if starts:
            began = time.perf_counter()
            found = torch.stack([left_by_descent(case, kernel, seed, steps) for seed in range(starts)])
            took = time.perf_counter() - began
            each = found if case.groups == case.channels else found.sum(1, keepdim=True)
            best = float(each.amin(0).sum())
            cells += [f"{best:.3g}", f"{float(each.sum(1).median()):.3g}", f"{own / best:.3f}", f"{took:.0f} s"]
        yield case.name, *cells, *[""] * (7 - len(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description="Fits of stacks, as a Markdown table.")
    parser.add_argument("--starts", type=int, default=10, metavar="N", help="of the generic optimization (%(default)s)")
    parser.add_argument("--steps", type=int, default=3000, metavar="N", help="of each at the most (%(default)s)")
    parser.add_argument("--small", action="store_true", help="two small kernels")
    parser.add_argument("--only", metavar="TEXT", help="kernels whose line begins with it")
    asked = parser.parse_args()
    cases = [case for case in (SMALL if asked.small else CASES) if case.name.startswith(asked.only or "")]
    pinned, load, began = allocator.pin(), os.getloadavg()[0], time.monotonic()
    print_table(table(cases, asked.starts, asked.steps))
    print(
        f"{machine()}; {time.strftime('%Y-%m-%d')}; load {load:.2f} before, {os.getloadavg()[0]:.2f} after; "
        f"{torch.get_num_threads()} threads, allocator {pinned}; --starts {asked.starts} --steps {asked.steps}, "
        f"{time.monotonic() - began:.0f} s. Left is the share of the kernel's energy."
    )


if __name__ == "__main__":
    main()
