"""The widths of a network's factorizations chosen by its trained weights: by energy, or by MACs."""

from collections.abc import Callable, Mapping
from itertools import count, takewhile
from typing import NamedTuple

import msgspec
from torch import Tensor

from vggcalc.errors import InputError
from vggcalc.nets.families import FAMILIES, Factorization, factorized
from vggcalc.nets.fitting import Fitting
from vggcalc.nets.layers import Conv, Shape
from vggcalc.nets.shapes import output_shape
from vggcalc.runtime.fit.fit import Fit, fit


class Candidate(NamedTuple):
    """A convolution that may be replaced: its kernel, the shape of its input, and what its MACs are.

    `root` is that of its inputs' second moments, where the fit is weighed by them.
    """

    conv: Conv
    weight: Tensor
    shape: Shape
    root: Tensor | None = None

    @property
    def macs(self) -> int:
        """Of the convolution itself."""
        return self.conv.macs(self.shape, output_shape(self.conv, [self.shape]))


class Chosen(NamedTuple):
    """A factorization with its widths, and the weights fitted for it."""

    factorization: Factorization
    fit: Fit


Stays = dict[str, str]


def choose_widths(
    candidates: Mapping[str, Candidate], factorization: Factorization, fitting: Fitting
) -> tuple[dict[str, Chosen], Stays]:
    """What each convolution becomes, by its name, and why the others stay.

    Raises `InputError` for a family without a width to choose, for widths that are given, and for a budget that not
    even the narrowest layers keep.
    """
    if not FAMILIES[factorization.family].widens:
        raise InputError(f"{factorization.family} has no width to choose between its layers: leave out what chooses it")
    if factorization.widths is not None:
        raise InputError("widths say already how wide the layers are: leave out what chooses them")
    if fitting.saving is not None:
        return _within_budget(candidates, factorization, sum(one.macs for one in candidates.values()) - fitting.saving)
    assert fitting.energy is not None
    found, stays = {}, {}
    for name, one in candidates.items():
        chosen = _smallest(one, factorization, fitting.energy)
        if chosen.fit.energy < fitting.energy:
            stays[name] = (
                f"{factorization.family} of no more parameters than the kernel explains {chosen.fit.energy:.1%} of it"
            )
        else:
            found[name] = chosen
    return found, stays


def _of_width(one: Candidate, factorization: Factorization, width: int) -> Chosen:
    """The factorization of that width for each group."""
    own = msgspec.structs.replace(factorization, widths=(width * one.conv.groups,))
    return Chosen(own, fit(one.weight, one.conv, factorized(one.conv, own), root=one.root))


def _widest(one: Candidate, factorization: Factorization, cost: Callable[[Factorization], int], most: int) -> int:
    """The largest width, for each group, that costs no more than that; at least 1."""

    def costs(width: int) -> int:
        return cost(msgspec.structs.replace(factorization, widths=(width * one.conv.groups,)))

    high = 1
    while costs(2 * high) <= most:
        high *= 2
    low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if costs(middle) <= most else (low, middle)
    return low


def _smallest(one: Candidate, factorization: Factorization, energy: float) -> Chosen:
    """Of the smallest width that explains so much, by bisection; else the widest of no more parameters."""

    def parameters(own: Factorization) -> int:
        return sum(layer.parameters for branch in factorized(one.conv, own) for layer in branch)

    low, high = 0, _widest(one, factorization, parameters, one.conv.parameters)
    best = _of_width(one, factorization, high)
    if best.fit.energy < energy:
        return best
    while high - low > 1:
        middle = (low + high) // 2
        tried = _of_width(one, factorization, middle)
        if tried.fit.energy >= energy:
            high, best = middle, tried
        else:
            low = middle
    return best


class _Point(NamedTuple):
    """What a layer may become: MACs, the share of the energy that it explains, and how; the layer itself for None."""

    macs: int
    energy: float
    chosen: Chosen | None


def _widths_of(one: Candidate, factorization: Factorization) -> list[_Point]:
    """Widths in steps of about half as much again, up to the convolution's own MACs, and itself."""

    def macs(own: Factorization) -> int:
        total = 0
        for branch in factorized(one.conv, own):
            shape = one.shape
            for layer in branch:
                before, shape = shape, output_shape(layer, [shape])
                total += layer.macs(before, shape)
        return total

    most = _widest(one, factorization, macs, one.macs)
    widths = sorted({round(2 ** (i / 2)) for i in takewhile(lambda i: 2 ** (i / 2) <= most, count())})
    found = [_of_width(one, factorization, width) for width in widths]
    points = [_Point(macs(chosen.factorization), chosen.fit.energy, chosen) for chosen in found]
    return [*points, _Point(one.macs, 1.0, None)]


def _within_budget(
    candidates: Mapping[str, Candidate], factorization: Factorization, most: int
) -> tuple[dict[str, Chosen], Stays]:
    """MACs are spent where they explain most: from the narrowest layers on, one step after the other."""
    points = {name: _widths_of(one, factorization) for name, one in candidates.items()}
    at = {name: min(own, key=lambda point: point.macs) for name, own in points.items()}
    spent = sum(point.macs for point in at.values())
    if spent > most:
        raise InputError(
            f"budget_macs is {spent - most:,} MACs less than {factorization.family} can do: the narrowest layers take "
            "more"
        )
    while True:
        steps = [
            ((point.energy - at[name].energy) / (point.macs - at[name].macs), name, point)
            for name, own in points.items()
            for point in own
            if point.macs > at[name].macs
            and point.energy > at[name].energy
            and spent + point.macs - at[name].macs <= most
        ]
        if not steps:
            break
        _, name, point = max(steps, key=lambda step: step[0])
        spent += point.macs - at[name].macs
        at[name] = point
    stays = {name: "the budget has room for it as it is" for name, point in at.items() if point.chosen is None}
    return {name: point.chosen for name, point in at.items() if point.chosen is not None}, stays
