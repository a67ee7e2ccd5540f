"""Convolutions and matrix products: what does MACs with a weight."""

from vggcalc.nets.layers import LAYERS, Linear
from vggcalc.runtime.trace.calls import Call, each, factors
from vggcalc.runtime.trace.operators.rules import Inputs, OpOutput, Outputs, opaque
from vggcalc.runtime.trace.spatial_axes import MIXED, TOKENS, SpatialAxes, no_axes, resized


def convolution(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """One with weights; a kernel that is computed from the input is a product of two activations."""
    if not call.depends_on_input("input") and call.depends_on_input("weight"):
        return opaque(call, inputs, outputs)
    weight, transposed = call["weight"], call.function.startswith("conv_transpose")
    dims = weight.dim() - 2
    groups = int(call["groups"])
    into, out_of = int(weight.shape[1]) * groups, int(weight.shape[0])
    if transposed:
        into, out_of = int(weight.shape[0]), int(weight.shape[1]) * groups
    numbers = {key: each(call[key], dims) for key in ("stride", "padding", "dilation")}
    if transposed:
        numbers["output_padding"] = each(call["output_padding"], dims)
    kind = LAYERS[f"Conv{'Transpose' if transposed else ''}{dims}d"]
    layer = kind(
        in_channels=into,
        out_channels=out_of,
        kernel_size=tuple(map(int, weight.shape[2:])),
        groups=groups,
        bias=call["bias"] is not None,
        **numbers,
    )
    spatial = inputs[0][1] if inputs else no_axes(outputs[0])
    slides = spatial.dimensions == tuple(range(len(outputs[0]) - dims, len(outputs[0])))
    reach = "window" if slides and len(spatial.sizes) == dims else "unknown"
    return [OpOutput(layer, reach, resized(spatial, outputs[0]) if slides else no_axes(outputs[0]))]


def linear(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """`torch.nn.functional.linear`."""
    return _linear_layer(
        call, "input", "weight", call["bias"] is not None, int(call["weight"].shape[0]), inputs, outputs
    )


def matrix_product(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A matrix product: a linear layer where its second factor does not depend on the network's input."""
    one, two = factors(call)
    if call[two].dim() < 2:
        return opaque(call, inputs, outputs)
    return _linear_layer(call, one, two, False, int(call[two].shape[-1]), inputs, outputs)


def _linear_layer(
    call: Call, one: str, two: str, bias: bool, out_features: int, inputs: Inputs, outputs: Outputs
) -> list[OpOutput]:
    """The product of factor `one` with the weights `two`; opaque if they are not weights."""
    if call.depends_on_input(two) or (inputs and not call.depends_on_input(one)):
        return opaque(call, inputs, outputs)
    layer = Linear(int(call[one].shape[-1]), out_features, bias)
    if not inputs:
        return [OpOutput(layer, "unknown", no_axes(outputs[0]))]
    spatial = inputs[0][1]
    label = spatial.labels[-1]
    reach = "pixel" if label is None else "image" if label in (TOKENS, MIXED) else "unknown"
    if reach == "unknown" and len(spatial.sizes) == 1:  # its only axis
        reach = "image"
    after = SpatialAxes((*spatial.labels[:-1], None), spatial.sizes) if reach == "pixel" else no_axes(outputs[0])
    return [OpOutput(layer, reach, after)]
