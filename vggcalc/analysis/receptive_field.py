"""The receptive field of every node.

Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019:
per axis r = 1 + Σ(k_l − 1)·∏ s_i over the layers before l, S = ∏ s, P = Σ p_l·∏ s_i, where k
is the dilated kernel and p the padding on the left.
"""

from collections.abc import Mapping

from vggcalc.results import ReceptiveField
from vggcalc.spec.layers import (
    INPUT,
    AdaptiveAvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Network,
    Shape,
)
from vggcalc.spec.shapes import window

PIXEL = ReceptiveField((1, 1), (1, 1), (0, 0))


def receptive_fields(network: Network, shapes: Mapping[str, Shape]) -> dict[str, ReceptiveField | None]:
    """By node name, `input` included; None where a unit sees the whole image.

    The whole image is seen by what follows a linear layer or an adaptive pooling that changes
    the map. Over several paths it is the union; None also where their strides differ, since the
    union then changes from unit to unit.
    """
    fields: dict[str, ReceptiveField | None] = {INPUT: PIXEL}
    for node in network.nodes:
        seen = fields[node.inputs[0]]
        for name in node.inputs[1:]:
            seen = _union(seen, fields[name])
        fields[node.name] = _through(node.layer, seen, shapes[node.inputs[0]])
    return fields


def _through(layer: Layer, seen: ReceptiveField | None, input_shape: Shape) -> ReceptiveField | None:
    if seen is None:
        return None
    if isinstance(layer, Conv2d | MaxPool2d):
        (wh, ww), (ph, pw), (kh, kw) = window(layer), layer.padding, layer.stride
        (rh, rw), (sh, sw), (qh, qw) = seen.size, seen.stride, seen.padding
        return ReceptiveField(
            (rh + (wh - 1) * sh, rw + (ww - 1) * sw),
            (sh * kh, sw * kw),
            (qh + ph * sh, qw + pw * sw),
        )
    if isinstance(layer, Linear | Flatten):
        return None
    if isinstance(layer, AdaptiveAvgPool2d) and layer.output_size != input_shape[2:]:
        return None
    return seen


def _union(one: ReceptiveField | None, two: ReceptiveField | None) -> ReceptiveField | None:
    """From the earliest first pixel, u·S − max P, to the latest last one, u·S + max(r − P) − 1."""
    if one is None or two is None or one.stride != two.stride:
        return None
    padding = tuple(max(p, q) for p, q in zip(one.padding, two.padding, strict=True))
    reach = tuple(
        max(one.size[axis] - one.padding[axis], two.size[axis] - two.padding[axis]) for axis in (0, 1)
    )
    size = (padding[0] + reach[0], padding[1] + reach[1])
    return ReceptiveField(size, one.stride, (padding[0], padding[1]))
