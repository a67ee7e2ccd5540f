"""What comes into the layers of a network for given data, and how far their replacements' outputs are off there.

A convolution multiplies its kernel with a patch of its input at every position. With the second moments C of these
patches, ΔCΔᵀ is the sum of the squares of what a change Δ of the kernel changes at its output: the fit minimizes that
of ΔL, with C = LLᵀ (as layers of language models are compressed: Frantar et al. 2022, arXiv 2210.17323; Wang et al.
2024, arXiv 2403.07378). Patches meet the padding's zeros; what a stack pads between its layers is no part of them.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.layers import Conv
from vggcalc.runtime.fit.problem import Problem, axes_of_layer, grouped_shape
from vggcalc.runtime.fuse.affine import Affine, Axis
from vggcalc.runtime.inputs import own_dtype

#: Second moments of so many numbers at the most, 512 MiB; inputs run at once; numbers of their patches at once.
MOST_MOMENTS, BATCH, MOST_PATCHES = 2**26, 16, 2**24

#: A share of their mean is added to all of the moments, so that they have a root.
_ADDED = 1e-9


class _Moments:
    """Sums of products of the numbers of a layer's patches, (groups, numbers, numbers)."""

    def __init__(self, name: str, conv: Conv, branches: Branches) -> None:
        target = Affine(torch.zeros(grouped_shape(conv), dtype=torch.float64), None, axes_of_layer(conv))
        problem = Problem(target, branches)
        self.groups, self.axes = problem.groups, problem.target.axes
        numbers = conv.in_channels // self.groups * prod(problem.target.kernel_size)
        if self.groups * numbers**2 > MOST_MOMENTS:
            raise InputError(
                f"{name}: an input patch has {numbers:,} numbers, too many for their second moments: "
                "leave it out with only, or leave out the data"
            )
        self.sums = torch.zeros(self.groups, numbers, numbers, dtype=torch.float64)

    def add(self, inputs: Tensor) -> None:
        """Take what came in, (batch, channels, …)."""
        for part in inputs:
            patches = _patches(part.to("cpu", torch.float64), self.axes)
            rows = patches.reshape(self.groups, -1, patches.shape[-1])
            for some in rows.split(max(1, MOST_PATCHES // rows[:, :, 0].numel()), 2):
                self.sums += some @ some.mT

    def root(self) -> Tensor | None:
        """L with LLᵀ the moments but for a factor; None where nothing came in but zeros."""
        mean = self.sums.diagonal(dim1=1, dim2=2).mean()
        if not mean > 0:
            return None
        moments = self.sums / mean
        moments.diagonal(dim1=1, dim2=2).add_(_ADDED)
        root: Tensor = torch.linalg.cholesky(moments)
        return root


def _patches(feature_map: Tensor, axes: tuple[Axis, ...]) -> Tensor:
    """(channels, taps, positions) of a feature map (channels, …)."""
    found = pad(feature_map, [side for axis in reversed(axes) for side in axis.padding])
    for i, axis in enumerate(axes, 1):
        found = found.unfold(i, axis.reach + 1, axis.stride)[..., :: axis.dilation]
    dims = len(axes)
    return found.permute(0, *range(1 + dims, 1 + 2 * dims), *range(1, 1 + dims)).flatten(1 + dims).flatten(1, dims)


def roots(
    module: nn.Module, layers: Mapping[str, tuple[str, Conv, Branches]], data: Tensor
) -> dict[str, Tensor | None]:
    """The root of the second moments of what comes into each layer, given by its path, convolution and branches.

    Raises `InputError` for a layer with patches of too many numbers, and for data that the module does not take.
    """
    found = {name: _Moments(name, conv, branches) for name, (_, conv, branches) in layers.items()}
    takes = {path: found[name].add for name, (path, _, _) in layers.items()}
    for _ in _watched(module, takes, data):
        pass
    return {name: one.root() for name, one in found.items()}


class _Difference:
    """‖new − old‖ / ‖old‖ of what two modules put out, over all that comes by."""

    def __init__(self) -> None:
        self._size = self._left = 0.0

    def add(self, wanted: Tensor, found: Tensor) -> None:
        """Take what the old and the new module put out."""
        self._size += float(wanted.double().square().sum())
        self._left += float((found.double() - wanted.double()).square().sum())

    @property
    def error(self) -> float:
        """That of everything so far; without an output the norm of what is put out instead."""
        return float((self._left / (self._size or 1.0)) ** 0.5)


def output_errors(
    module: nn.Module, new: nn.Module, places: Mapping[str, nn.Module], data: Tensor
) -> tuple[dict[str, float], float | None]:
    """How far each place's output is off for what the old module's layer takes in, by its path, and the whole output.

    The latter is None where what is put out is no tensor.
    """
    each = {path: _Difference() for path in places}

    def compared(path: str) -> Callable[[Tensor], None]:
        pair = (module.get_submodule(path), places[path])
        before, instead = (copy.deepcopy(one).to("cpu", torch.float32).eval() for one in pair)

        def take(inputs: Tensor) -> None:
            given = inputs.to("cpu", torch.float32)
            each[path].add(before(given), instead(given))

        return take

    after, all_of_it = copy.deepcopy(new).eval(), _Difference()
    whole = True
    for inputs, wanted in _watched(module, {path: compared(path) for path in places}, data):
        whole = whole and isinstance(wanted, Tensor)
        if whole:
            with torch.no_grad():
                all_of_it.add(wanted, after(inputs))
    return {path: one.error for path, one in each.items()}, all_of_it.error if whole else None


def _watched(
    module: nn.Module, takes: Mapping[str, Callable[[Tensor], None]], data: Tensor
) -> Iterator[tuple[Tensor, Any]]:
    """Run the module on the data in evaluation mode, batch by batch; what comes into parts goes to `takes`."""
    running = copy.deepcopy(module).eval()
    for path, take in takes.items():
        running.get_submodule(path).register_forward_pre_hook(lambda _, inputs, take=take: take(inputs[0]))
    where = next(running.parameters()).device
    for batch in data.split(BATCH):
        inputs = batch.to(where, own_dtype(running) if batch.is_floating_point() else batch.dtype)
        try:
            with torch.no_grad():
                outputs = running(inputs)
        except Exception as error:  # whatever the model's own code raises for such data
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(f"the model does not run on the data of shape {tuple(batch.shape)}: {lines[0]}") from None
        yield inputs, outputs
