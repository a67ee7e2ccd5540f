"""Operators along whole dimensions: reductions, and what reshapes, permutes or cuts a tensor without computing."""

from vggcalc.nets.layers import Flatten, Layer, Operation
from vggcalc.runtime.trace.calls import Call
from vggcalc.runtime.trace.operators.elementwise import elementwise
from vggcalc.runtime.trace.operators.rules import Inputs, OpOutput, Outputs, operation
from vggcalc.runtime.trace.spatial_axes import MIXED, TOKENS, SpatialAxes, broadcast, no_axes, reshaped, resized


def reduction(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A reduction, or anything else that looks along whole dimensions, such as a softmax."""
    (shape, spatial), after = inputs[0], outputs[0]
    if call["other"] is not None:  # the larger of two
        return elementwise(call, inputs, outputs)
    given = call["dim"]
    dims = given if isinstance(given, list) and given else range(len(shape)) if given is None else [given]
    along = {int(dim) % max(len(shape), 1) for dim in dims or range(len(shape))}
    looked = {spatial.labels[dim] for dim in along} - {None}
    reach = "pixel"
    if looked:
        whole = looked & {TOKENS, MIXED} or looked >= set(range(len(spatial.sizes)))
        reach = "image" if whole and call.function != "cumsum" else "unknown"
    if after == shape:
        where = spatial
    elif looked:
        where = no_axes(after)
    elif len(after) == len(shape):
        where = resized(spatial, after)
    else:
        where = SpatialAxes(tuple(label for i, label in enumerate(spatial.labels) if i not in along), spatial.sizes)
    return [OpOutput(operation(call, size), reach, where if size == after else no_axes(size)) for size in outputs]


def reshape(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A view under another shape; `Flatten` where all but the batch becomes one dimension."""
    (shape, spatial), after = inputs[0], outputs[0]
    labels, whole = reshaped(shape, spatial, after)
    moved = SpatialAxes(labels, spatial.sizes if whole else ())
    reach = "pixel" if whole or not spatial.sizes else "image" if MIXED in labels else "unknown"
    layer: Layer = Operation(call.function, after, view=True)
    if call.function == "flatten" and len(after) == 2 and call["start_dim"] == 1:
        layer = Flatten()
    return [OpOutput(layer, reach, moved)]


def permute(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Dimensions in another order, their labels with them."""
    shape, spatial = inputs[0]
    order = list(range(len(shape)))
    if call.function == "permute":
        order = [int(dim) % len(shape) for dim in call["dims"]]
    elif call.function == "t":
        order = order[::-1]
    else:
        one, two = (int(call[key]) % len(shape) for key in ("dim0", "dim1"))
        order[one], order[two] = order[two], order[one]
    after = SpatialAxes(tuple(spatial.labels[dim] for dim in order), spatial.sizes)
    return [OpOutput(Operation(call.function, outputs[0], view=True), "pixel", after)]


def unchanged(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """The same elements at the same positions, perhaps copied or broadcast."""
    spatial = broadcast(inputs[:1], outputs[0])
    return [OpOutput(operation(call, outputs[0]), "pixel", spatial or no_axes(outputs[0]))]


def unsqueeze(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A dimension of size 1 more."""
    labels = list(inputs[0][1].labels)
    labels.insert(int(call["dim"]) % len(outputs[0]), None)
    after = SpatialAxes(tuple(labels), inputs[0][1].sizes)
    return [OpOutput(Operation(call.function, outputs[0], view=True), "pixel", after)]


def chunks(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Slices along one dimension, which `select` and `unbind` take away."""
    shape, spatial = inputs[0]
    dim = int(call["dim"] or 0) % len(shape)
    labels = spatial.labels
    if len(outputs[0]) < len(shape):
        labels = (*labels[:dim], *labels[dim + 1 :])
    across = spatial.labels[dim] is not None
    return [
        OpOutput(
            Operation(call.function, size, view=True),
            "unknown" if across else "pixel",
            no_axes(size) if across else SpatialAxes(labels, spatial.sizes),
        )
        for size in outputs
    ]
