"""The Pareto-optimal ones of several variants, and the width below which a factorization has fewer MACs."""

from collections.abc import Sequence
from math import sqrt

from vggcalc.nets.families import FAMILIES
from vggcalc.nets.layers import PlainConvolution
from vggcalc.results import PARETO_COSTS, Configuration, LayerResult, Ratio, Variant


def pareto(variants: Sequence[Variant], ratios: Sequence[Ratio]) -> tuple[str, ...]:
    """The Pareto-optimal variants: no other one is at least as good in all of `PARETO_COSTS` and better in one.

    Of a trained kernel how much of its energy a variant explains counts too. Of two measured latencies the lower is
    better only if their 95% intervals do not overlap. Empty for fewer than three variants.
    """
    if len(variants) < 3:
        return ()
    intervals = _intervals(variants[0], ratios)
    return tuple(one.name for one in variants if not any(_beats(other, one, intervals) for other in variants))


_Intervals = dict[Configuration, dict[str, tuple[float, float]]]


def _intervals(baseline: Variant, ratios: Sequence[Ratio]) -> _Intervals:
    """For each configuration the ends of the interval of every variant's time relative to the baseline's."""
    found: _Intervals = {latency.configuration: {baseline.name: (1.0, 1.0)} for latency in baseline.latency}
    for ratio in ratios:
        for measured in ratio.latency:
            if measured.ci95 is not None and measured.configuration in found:
                found[measured.configuration][ratio.variant] = measured.ci95
    return found


def _beats(one: Variant, two: Variant, intervals: _Intervals) -> bool:
    better = False
    figures = [(one.costs[key], two.costs[key]) for key in PARETO_COSTS]
    if one.fitted is not None and two.fitted is not None:
        figures.append((-one.fitted.energy, -two.fitted.energy))
    for mine, others in figures:
        if mine is None or others is None:
            continue
        if mine > others:
            return False
        better |= mine < others
    for of in intervals.values():
        if one.name in of and two.name in of:
            if of[one.name][0] > of[two.name][1]:
                return False
            better |= of[one.name][1] < of[two.name][0]
    return better


def break_even_width(naive: Variant, variant: Variant) -> float | None:
    """The number of channels between its layers with which a chain does as many MACs as the one convolution.

    With M channels between all layers, the ends as they are and a_i MACs of layer i for each pair of
    its channels, a₁·C_in·M + Σa_i·M² + a_n·M·C_out = MACs of the one: a quadratic equation. A layer that is depthwise
    where the one is not has as many groups as channels: b_i MACs for each of them, b_i·M together. None where the
    family leaves no width to choose, and for a single layer.
    """
    (conv,) = _convolution_layers(naive)
    chain = _convolution_layers(variant)
    if len(chain) < 2 or variant.family is None or not FAMILIES[variant.family].widens:
        return None
    first, *between, last = chain
    linear, square, macs = _macs_of(first) / first.output_shape[1] + _macs_of(last) / _into(last), 0.0, _macs_of(conv)
    for layer in between:
        width = layer.output_shape[1]
        if width == _groups(layer) > _groups(conv):
            linear += _macs_of(layer) / width
        else:
            square += _macs_of(layer) / (_into(layer) * width)
    return 2 * macs / (linear + sqrt(linear**2 + 4 * square * macs))


def _convolution_layers(variant: Variant) -> Sequence[LayerResult]:
    return [layer for layer in variant.layers if isinstance(layer.layer, PlainConvolution)]


def _macs_of(layer: LayerResult) -> int:
    macs = layer.costs["macs"]
    assert isinstance(macs, int)
    return macs


def _groups(layer: LayerResult) -> int:
    assert isinstance(layer.layer, PlainConvolution)
    return layer.layer.groups


def _into(layer: LayerResult) -> int:
    return layer.input_shape[1]
