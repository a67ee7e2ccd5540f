"""What of a variant is counted and looked at again, and whether the worker found the same."""

from collections.abc import Iterator
from math import prod
from typing import Literal

from vggcalc.measurement.limits import TORCH_BYTES, lacking_memory, whole_cost
from vggcalc.nets.layers import Convolution
from vggcalc.protocol import GradientExtent, ProbeTarget, TorchCounts
from vggcalc.results import Counted, Crosscheck, GradientProbe, LayerResult, ReceptiveField, Variant

#: Beyond this the crosscheck runs no module: fvcore's count and what autograd keeps are left out.
LARGEST_RUN_MACS = 100_000_000_000

#: Beyond this it probes no receptive field, which takes a forward and a backward pass in float64.
LARGEST_PROBED_MACS = 50_000_000_000


def too_large_to_run(variant: Variant, free: int | None) -> str | None:
    """Why the crosscheck does not run the module, if it does not.

    fvcore's trace keeps every layer's output, in float32, and autograd what it saves.
    """
    macs = whole_cost(variant.costs, "macs")
    if macs > LARGEST_RUN_MACS:
        return f"{macs:,} MACs are more than {LARGEST_RUN_MACS:,}"
    elements = whole_cost(variant.costs, "parameters") + sum(prod(layer.output_shape) for layer in variant.layers)
    need = 8 * elements + TORCH_BYTES
    lacking = lacking_memory(need, free)
    return lacking and f"that {lacking}"


def why_unprobed(variant: Variant, free: int | None) -> str | None:
    """Why no receptive field is probed, if none is.

    That keeps the weights and every layer's output and its gradient in float64; torch's convolution
    lays out its windows side by side.
    """
    if next(targets(variant), None) is None:
        return "no layer's map has a unit whose field ends on the image"
    batch = variant.network.input_shape[0] if variant.origin is None else 1  # of a built network one image
    macs = whole_cost(variant.costs, "macs") // batch
    if macs > LARGEST_PROBED_MACS:
        return f"{macs:,} MACs are more than {LARGEST_PROBED_MACS:,}"
    outputs = sum(prod(layer.output_shape) for layer in variant.layers)
    windows = max(map(_unfolded, variant.layers))
    need = 12 * whole_cost(variant.costs, "parameters") + 16 * (outputs + windows) // batch + TORCH_BYTES
    lacking = lacking_memory(need, free)
    return lacking and f"that {lacking}"


def _unfolded(layer: LayerResult) -> int:
    """Elements of a convolution's windows side by side."""
    if not isinstance(layer.layer, Convolution):
        return 0
    return layer.input_shape[0] * layer.input_shape[1] * prod(layer.layer.kernel_size) * prod(layer.output_shape[2:])


def targets(variant: Variant) -> Iterator[ProbeTarget]:
    """Units whose gradient can refute what the variant's layers are said to see, the last layer's first.

    Where the network's last map sees the whole image that is held to the gradient first.
    """
    for sees in dict.fromkeys((variant.sees, "window")):
        for layer in reversed(variant.layers):
            if layer.sees != sees or sees not in ("window", "image"):
                continue
            image = variant.network.input_shape[2:]
            first, sizes = feature_map(layer, len(image))
            field = layer.receptive_field
            if first is None or (sees == "image" and prod(sizes) == 1):
                continue
            if sees == "image":
                yield ProbeTarget(layer.name, tuple(n // 2 for n in sizes), layer.output_shape, first)
            elif field is not None:
                telling = [_telling(field, axis, sizes[axis], n) for axis, n in enumerate(image)]
                unit = tuple(place for place in telling if place is not None)
                if len(unit) == len(image):
                    yield ProbeTarget(layer.name, unit, layer.output_shape, first)


def feature_map(layer: LayerResult, axes: int) -> tuple[int | None, tuple[int, ...]]:
    """Which of the axes of a layer's output is the first of its map, if that is certain, and the map."""
    shape = layer.output_shape
    if layer.traced is None:
        return (2, shape[2:]) if len(shape) == axes + 2 else (None, ())
    sizes = layer.traced.spatial_size
    places = [first for first in (2, 1) if shape[first : first + axes] == sizes]
    if len(sizes) != axes or len(shape) != axes + 2 or not axes or not places:
        return None, ()
    if len(places) == 2 and not isinstance(layer.layer, Convolution):
        return None, ()
    return places[0], sizes


def _telling(field: ReceptiveField, axis: int, units: int, pixels: int) -> int | None:
    """Along an axis the unit nearest the middle of which both ends are on the image, or else one end is."""

    def on_the_image(unit: int) -> int:
        return sum(0 <= end < pixels for end in _ends(field, axis, unit))

    middle = (units - 1) / 2
    best = min(range(units), key=lambda unit: (-on_the_image(unit), abs(unit - middle), unit))
    return best if on_the_image(best) else None


def _ends(field: ReceptiveField, axis: int, unit: int) -> tuple[int, int]:
    first = unit * field.stride[axis] - field.padding[axis]
    return first, first + field.size[axis] - 1


def _probed(variant: Variant, seen: GradientExtent) -> GradientProbe:
    """What the worker has seen beside the closed form.

    Where a field goes beyond the image, how much of the last pixels is seen hangs on the strides and
    dilations on the way, so only an end on the image is held to its gradient. Whoever sees the
    whole image may lack the rest that no stride reaches, less than a unit's own.
    """
    layer = next(layer for layer in variant.layers if layer.name == seen.layer)
    image = variant.network.input_shape[2:]
    field = layer.receptive_field
    if field is not None:
        expected = tuple(_ends(field, axis, unit) for axis, unit in enumerate(seen.unit))
    else:
        expected = tuple((0, n - 1) for n in image)
    agrees = seen.span is not None
    sizes = feature_map(layer, len(image))[1]
    for ends, found, n, units in zip(expected, seen.span or expected, image, sizes, strict=True):
        rest = 0 if field is not None else n // units
        for end, other in zip(ends, found, strict=True):
            agrees &= abs(end - other) <= rest or not 0 <= end < n
    sees: Literal["window", "image"] = "image" if field is None else "window"
    return GradientProbe(seen.layer, seen.unit, sees, expected, seen.span, agrees)


def crosscheck(
    variant: Variant, counts: TorchCounts, infeasible: str | None, unprobed: str | None = None
) -> Crosscheck:
    """The closed forms beside what the worker counted and saw."""

    lacking = variant.partial.get("macs", ())
    blind = {"aten::_convolution_mode"} & set(counts.uncounted)
    by_function = [
        layer.name
        for layer in variant.layers
        if layer.type == "MatrixProduct"
        or (layer.type == "Linear" and layer.traced is not None and layer.traced.by_function)
    ]

    custom = sorted({str(layer.function) for layer in variant.layers if layer.type == "CustomOperator"})

    def beside(key: str, torch: int | None = None, fvcore: int | None = None) -> Counted:
        if key in variant.partial or (custom and key in ("macs", "activations", "training_flops")):
            torch = fvcore = None
        return Counted(whole_cost(variant.costs, key), torch, None if blind or by_function else fvcore)

    figures = {
        "parameters": beside("parameters", counts.parameters),
        "macs": beside("macs", counts.torch_macs, counts.fvcore_macs),
        "activations": beside("activations", None, counts.fvcore_activations),
        "training_flops": beside("training_flops", counts.torch_training_flops),
        "saved_bytes": beside("saved_bytes", counts.torch_saved_bytes),
    }
    notes = []
    if infeasible:
        notes.append(f"left out, since fvcore and autograd must run the module: {infeasible}")
    unprobed = unprobed or counts.unprobed
    if unprobed:
        notes.append(f"the receptive field is not held to a gradient: {unprobed}")
    if lacking:
        notes.append(
            f"torch counts {counts.torch_macs:,} MACs in all, with those of {', '.join(lacking)}, which have "
            "no weights: they are not compared"
        )
    if custom:
        notes.append(f"other counters know no registered formula: {', '.join(custom)} is not compared")
    if counts.refused:
        notes.append(f"fvcore cannot run it, so it counts nothing: {counts.refused}")
    if blind:
        notes.append("fvcore counts a convolution with padding in words as nothing: it is not compared")
    if by_function:
        notes.append(
            f"fvcore counts products of matrices apart from linear layers: it is not compared, because of "
            f"{by_function[0]}" + (f" and {len(by_function) - 1} more" if len(by_function) > 1 else "")
        )
    if variant.origin is not None:
        notes.append("what training computes and keeps is not counted again for an imported module")
    elif counts.torch_training_flops is None:
        notes.append("torch's counter does not divide weight gradients by the groups: it is not asked")
    if counts.uncounted and not blind and not lacking:
        names = ", ".join(f"{name} ×{number}" for name, number in sorted(counts.uncounted.items()))
        notes.append(f"fvcore has no rule for {names}: it counts nothing for them.")
    probe = _probed(variant, counts.seen) if counts.seen is not None else None
    agrees = all(figure.agrees for figure in figures.values()) and (probe is None or probe.agrees)
    return Crosscheck(agrees, **figures, notes=tuple(notes), receptive_field=probe)
