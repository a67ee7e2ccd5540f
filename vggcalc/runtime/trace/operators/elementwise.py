"""Operators that look at one position: activations, arithmetic, norms, dropout, concatenation."""

from math import prod

from vggcalc.nets.layers import GELU, NONLINEARITIES, Add, Concat, Dropout, Layer, Operation, ReLU, SiLU, in_axes
from vggcalc.runtime.trace.calls import Call
from vggcalc.runtime.trace.operators.rules import Inputs, OpOutput, Outputs, operation, rearranged
from vggcalc.runtime.trace.spatial_axes import MIXED, TOKENS, SpatialAxes, broadcast, no_axes

#: The arguments of nonlinearities, which their `torch.nn` classes call by the same names.
OPTIONS = ("alpha", "beta", "max_val", "min_val", "negative_slope", "threshold")


def elementwise(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A position of the output sees the same position of each input, after broadcasting."""
    shape = outputs[0]
    spatial = broadcast(inputs, shape)
    reach = "unknown" if spatial is None else "pixel"
    layer: Layer = operation(call, shape)
    match call.function:
        case "relu":
            layer = ReLU(call.mutates)
        case "silu":
            layer = SiLU(call.mutates)
        case "gelu":
            layer = GELU(str(call["approximate"]))
        case "add" if not call.mutates and len(inputs) == 2 and inputs[0][0] == inputs[1][0] and call["alpha"] == 1:
            layer = Add()
        case "mul" | "div":
            kind = call.other + "first" * (call.function == "div" and not call.depends_on_input("self"))
            layer = operation(call, shape, **({"other": kind} if kind != "another" else {}))
        case "pow" if not call.depends_on_input("self"):
            layer = operation(call, shape, other="numberfirst" * (len(call.tensors) == 1))
        case function if function in NONLINEARITIES:
            options = {key: call[key] for key in OPTIONS if call[key] is not None}
            layer = operation(call, shape, **options)
    return [OpOutput(layer, reach, spatial or no_axes(shape)), *rearranged(call, inputs, outputs[1:])]


def norm(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Statistics count as looking at one unit, as in every probe of receptive fields."""
    shape, spatial = inputs[0]
    sizes = {
        "batch_norm": shape[1:2],
        "instance_norm": shape[:2],
        "group_norm": (*shape[:1], int(call["num_groups"] or 1)),
    }
    rows = sizes.get(call.function, shape[: len(shape) - len(call["normalized_shape"] or ())])
    options = {"rows": prod(rows)} | ({"affine": True} if call["weight"] is not None else {})
    layer: Layer = operation(call, shape, **options)
    if call.function == "batch_norm" and 3 <= len(shape) <= 5:
        kind = in_axes("BatchNorm", len(shape) - 2)
        layer = kind(shape[1], float(call["eps"]), float(call["momentum"]), call["weight"] is not None)
    return [OpOutput(layer, "pixel", spatial)]


def dropout(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A view in inference."""
    layer: Layer = Operation(call.function, outputs[0], view=not call["train"])
    if call.function == "dropout" and not call["train"]:
        layer = Dropout(float(call["p"]))
    return [OpOutput(layer, "pixel", inputs[0][1])]


def concatenate(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Along channels `Concat`; along a spatial axis what a position sees is unknown, and tokens stay tokens."""
    shape = outputs[0]
    if call.function == "stack":
        dim = int(call["dim"]) % len(shape)
        inputs = [
            ((*s[:dim], 1, *s[dim:]), SpatialAxes((*p.labels[:dim], None, *p.labels[dim:]), p.sizes)) for s, p in inputs
        ]
    dim = int(call["dim"]) % len(shape)
    layer: Layer = operation(call, shape)
    if call.function == "cat" and dim == 1 and len(inputs) == len(call["tensors"]):
        layer = Concat()
    along = {spatial.labels[dim] for _, spatial in inputs} - {None}
    sizes = next((spatial.sizes for _, spatial in inputs if spatial.sizes), ())
    if sizes and along and along <= {TOKENS, MIXED}:  # such as a class token beside those of the positions
        labels = tuple(MIXED if i == dim else None for i in range(len(shape)))
        return [OpOutput(layer, "unknown", SpatialAxes(labels, sizes))]
    if along:
        return [OpOutput(layer, "unknown", no_axes(shape))]
    spatial = broadcast([((*s[:dim], shape[dim], *s[dim + 1 :]), p) for s, p in inputs], shape)
    return [OpOutput(layer, "unknown" if spatial is None else "pixel", spatial or no_axes(shape))]
