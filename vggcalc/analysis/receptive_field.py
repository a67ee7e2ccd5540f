"""The receptive field of every node, and which part of the input one unit sees.

Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019:
per axis r = 1 + Σ(k_l − 1)·∏ s_i over the layers before l, S = ∏ s, P = Σ p_l·∏ s_i, where k
is the dilated kernel and p the padding on the left. Norms and activations are taken to read
one unit only.
"""

from collections.abc import Iterable, Mapping

from vggcalc.errors import InputError, hint
from vggcalc.nets.graph import INPUT, Network, Node
from vggcalc.nets.layers import (
    GELU,
    AdaptiveAvgPool,
    Axes,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Convolution,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Operation,
    PlainConvolution,
    ReLU,
    Shape,
    SiLU,
    Transposed,
    Window,
)
from vggcalc.nets.shapes import shapes as shapes_of
from vggcalc.nets.shapes import window_extent
from vggcalc.results import ReceptiveField, Sees

#: What a unit sees where no single field holds for every unit, the strongest first: all of the input; a part that
#: is unknown; a part that varies from unit to unit; nothing.
IMAGE: Sees = "image"
UNKNOWN: Sees = "unknown"
VARIES: Sees = "varies"
NOTHING: Sees = "nothing"

#: A receptive field, or why there is none.
FieldOrSees = ReceptiveField | Sees


def receptive_fields(network: Network, shapes: Mapping[str, Shape]) -> dict[str, FieldOrSees]:
    """The receptive field of each node and of `input`, by name; where it is not the same for every unit, its kind.

    Behind a linear layer over the feature map or a global pooling it is the whole input. Where paths join it is
    their union, which varies from unit to unit where their strides differ.
    """
    axes = len(network.input_shape) - 2
    own = ReceptiveField((1,) * axes, (1,) * axes, (0,) * axes)
    fields: dict[str, FieldOrSees] = {INPUT: own if axes > 0 else UNKNOWN}
    for node in network.nodes:
        if not node.inputs:  # of weights alone
            fields[node.name] = NOTHING
            continue
        seen = fields[node.inputs[0]]
        for name in node.inputs[1:]:
            seen = _union(seen, fields[name])
        if type(node.layer) in _POSITIONWISE or seen is NOTHING:
            fields[node.name] = seen
        else:
            fields[node.name] = _after_node(node, seen, shapes[node.inputs[0]])
    return fields


#: Types whose units see the unit at their own position, and types that slide a window.
_POSITIONWISE = frozenset((ReLU, BatchNorm1d, BatchNorm2d, BatchNorm3d, Dropout, GELU, SiLU, LocalResponseNorm))
_SLIDING = (PlainConvolution, MaxPool)


def _reach(node: Node, input_shape: Shape) -> str:
    """Which units of its inputs a unit of the node's output depends on: see `Traced.reach`."""
    if node.traced is None and isinstance(node.layer, _SLIDING):
        return "window"
    match node.layer:
        case Transposed() as layer if node.traced is None or node.traced.reach == "window":
            return "window" if set(layer.stride) == {1} else VARIES
        case _ if node.traced is not None:
            return node.traced.reach
        case Convolution() | MaxPool() | Window():
            return "window"
        case Linear() | Flatten():
            return IMAGE
        case AdaptiveAvgPool() as layer if layer.output_size != input_shape[2:]:
            return IMAGE if set(layer.output_size) == {1} else VARIES
    return "pixel"


def _after_node(node: Node, seen: FieldOrSees, input_shape: Shape) -> FieldOrSees:
    """The receptive field of a node whose inputs have the receptive field `seen`: the recurrence of Araujo et al."""
    reach = _reach(node, input_shape)
    if reach == "window" and isinstance(seen, ReceptiveField):
        layer = node.layer
        assert isinstance(layer, _WITH_WINDOWS)
        if len(layer.kernel_size) != len(seen.size):
            return UNKNOWN
        size, steps, before = [], [], []
        along = zip(
            seen.size, seen.stride, seen.padding, layer.kernel_size, layer.dilation, layer.stride,
            _padding(layer), strict=True,
        )  # fmt: skip
        for r, s, q, k, d, t, p in along:
            size.append(r + d * (k - 1) * s)
            steps.append(s * t)
            before.append(q + p * s)
        return ReceptiveField(tuple(size), tuple(steps), tuple(before), seen.aligned)
    if reach in (IMAGE, UNKNOWN, VARIES):
        return _stronger(seen, reach)
    return seen


_WITH_WINDOWS = (Convolution, MaxPool, Window)


def _padding(layer: Convolution | MaxPool | Window) -> Axes:
    """The padding in front; a transposed convolution of stride 1 is a convolution with window − 1 − padding."""
    if isinstance(layer, Transposed):
        return tuple(w - 1 - p for w, p in zip(window_extent(layer), layer.padding, strict=True))
    return layer.padding


def _stronger(one: FieldOrSees, two: FieldOrSees) -> FieldOrSees:
    for word in (IMAGE, UNKNOWN, VARIES):
        if word in (one, two):
            return word
    return one


def _union(one: FieldOrSees, two: FieldOrSees) -> FieldOrSees:
    """From the first position of either, u·S − max P, to the last one of either, u·S + max(r − P) − 1."""
    if one == two or two == NOTHING:
        return one
    if one == NOTHING:
        return two
    if isinstance(one, str) or isinstance(two, str):
        return _stronger(one, two)
    if one.stride != two.stride:
        return VARIES
    padding = tuple(map(max, one.padding, two.padding))
    reach = (map(int.__sub__, field.size, field.padding) for field in (one, two))
    size = tuple(p + far for p, far in zip(padding, map(max, *reach), strict=True))
    aligned = one.aligned and two.aligned and _centre(one) == _centre(two)
    return ReceptiveField(size, one.stride, padding, aligned)


def _centre(field: ReceptiveField) -> Axes:
    """Twice the position of unit 0's centre, (r − 1)/2 − P."""
    return tuple(r - 1 - 2 * p for r, p in zip(field.size, field.padding, strict=True))


#: Along each axis the units that are seen; None: every unit there is.
Units = tuple[frozenset[int], ...] | None


def unit_span(network: Network, layer: str, unit: Axes) -> tuple[tuple[int, int], ...] | None:
    """The first and last input position, along each axis, that one unit of a layer sees; None: all of the input.

    `unit` is its position on the layer's feature map. Padding is no input, so at a border the span is smaller than
    the receptive field; `()` for a unit that sees nothing but padding. Raises `InputError` where the layer has no
    feature map or no such unit, or where it is unknown what an operator before it sees.
    """
    shapes = shapes_of(network)
    sizes = {INPUT: network.input_shape[2:]} | {node.name: _size(node, shapes) for node in network.nodes}
    _check_unit(layer, unit, sizes)
    wanted: dict[str, list[Units]] = {layer: [tuple(frozenset((u,)) for u in unit)]}
    for node in reversed(network.nodes):
        if node.name not in wanted:
            continue
        units = _union_of_units(wanted.pop(node.name), sizes[node.name])
        for name in node.inputs:
            source = sizes[name]
            seen = _units_before(node, units, source, sizes[node.name], shapes[name])
            if seen is not None:
                seen = tuple(frozenset(u for u in axis if 0 <= u < n) for axis, n in zip(seen, source, strict=True))
            if seen is None or all(seen):
                wanted.setdefault(name, []).append(seen)
    if INPUT not in wanted:
        return ()
    found = _union_of_units(wanted[INPUT], sizes[INPUT])
    spans = tuple((min(axis), max(axis)) for axis in found or ())
    return None if spans == tuple((0, n - 1) for n in sizes[INPUT]) else spans


def _size(node: Node, shapes: Mapping[str, Shape]) -> Axes:
    if node.traced is not None:
        return node.traced.spatial_size
    return shapes[node.name][2:] if len(shapes[node.name]) > 2 else ()


def _check_unit(layer: str, unit: Axes, sizes: Mapping[str, Axes]) -> None:
    if layer not in sizes:
        raise InputError(f"there is no layer {layer!r}{hint(layer, sizes, f': such as {[*sizes][-1]}')}")
    if len(sizes[layer]) != len(sizes[INPUT]):
        raise InputError(f"{layer} has no feature map, so a unit has no position on it: name a layer before it")
    feature_map = "×".join(map(str, sizes[layer])) + " feature map"
    if len(unit) != len(sizes[layer]):
        raise InputError(f"unit {','.join(map(str, unit))} has not a position for each axis of {layer}'s {feature_map}")
    if not all(0 <= u < n for u, n in zip(unit, sizes[layer], strict=True)):
        last = ",".join(str(n - 1) for n in sizes[layer])
        raise InputError(f"unit {','.join(map(str, unit))} is not on {layer}'s {feature_map}: its last unit is {last}")


def _union_of_units(wanted: list[Units], size: Axes) -> Units:
    """The units of a feature map of that size that any of its readers depends on."""
    if None in wanted:
        return tuple(frozenset(range(n)) for n in size) or None
    along = zip(*(units for units in wanted if units is not None), strict=True)
    return tuple(frozenset[int]().union(*axis) for axis in along)


def _units_before(node: Node, units: Units, source: Axes, size: Axes, input_shape: Shape) -> Units:
    """The units of its input, of size `source`, that some units of a node's output see; some may be padding."""
    reach = _reach(node, input_shape)
    if reach == IMAGE or (reach == "pixel" and (units is None or not source)):
        return None
    if reach == UNKNOWN or units is None or len(source) != len(units):
        raise InputError(f"{node.name} is an operator of which it is unknown what a unit sees")
    if reach == "pixel":
        if not all(n in (1, m) for n, m in zip(source, size, strict=True)):
            raise InputError(f"{node.name} is an operator of which it is unknown what a unit sees")
        return tuple(frozenset((0,)) if n == 1 else axis for axis, n in zip(units, source, strict=True))
    along = enumerate(zip(units, source, size, strict=True))
    return tuple(frozenset(i for u in axis for i in _seen_by(node, u, number, n, m)) for number, (axis, n, m) in along)


def _seen_by(node: Node, u: int, axis: int, n: int, m: int) -> Iterable[int]:
    """The units of an input of size `n` that unit `u` of an output of size `m` sees along one axis."""
    match node.layer:
        case Transposed() as layer:  # input unit i writes to i·stride − padding + tap·dilation
            taps = range(0, window_extent(layer)[axis], layer.dilation[axis])
            positions = [u + layer.padding[axis] - tap for tap in taps]
            return [at // layer.stride[axis] for at in positions if at % layer.stride[axis] == 0]
        case Window(function="reflection_pad" | "replication_pad" | "circular_pad") as layer:
            i = u - layer.padding[axis]
            if layer.function == "circular_pad":
                return [i % n]
            if layer.function == "replication_pad":
                return [min(max(i, 0), n - 1)]
            return [-i if i < 0 else 2 * (n - 1) - i if i >= n else i]
        case Convolution() | MaxPool() | Window() as layer:
            first = u * layer.stride[axis] - layer.padding[axis]
            return range(first, first + window_extent(layer)[axis], layer.dilation[axis])
        case AdaptiveAvgPool():
            return range(u * n // m, -(-(u + 1) * n // m))
        case Operation(function=function, options=options):
            kind = function.removeprefix("_").rstrip("123d")
            if kind in ("adaptive_avg_pool", "adaptive_max_pool"):
                return range(u * n // m, -(-(u + 1) * n // m))
            if kind in ("pixel_shuffle", "upsample_nearest"):
                return [u * n // m]
            if kind == "upsample_nearest_exact":
                return [(2 * u + 1) * n // (2 * m)]
            if kind in ("upsample_linear", "upsample_bilinear", "upsample_trilinear", "upsample_bicubic"):
                return _interpolated(u, n, m, kind == "upsample_bicubic", bool(options.get("align_corners")))
    raise InputError(f"{node.name} is an operator of which it is unknown what a unit sees")


def _interpolated(u: int, n: int, m: int, cubic: bool, aligned: bool) -> Iterable[int]:
    """The units around the centre of unit `u`; those with a weight of 0 are not seen.

    With the corners aligned that is u·(n − 1)/(m − 1), else (u + ½)·n/m − ½.
    """
    centre, scale = (u * (n - 1), max(m - 1, 1)) if aligned else ((2 * u + 1) * n - m, 2 * m)
    if not cubic:
        centre = max(centre, 0)
    low, between = divmod(centre, scale)
    around = range(low - cubic, low + 2 + cubic) if between else [low]
    return [min(max(i, 0), n - 1) for i in around]
