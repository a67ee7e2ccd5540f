"""What does MACs: convolutions, linear layers, products of activations with each other, recurrent networks."""

from math import prod
from typing import Literal

import torch

from vggcalc.nets.layers import LAYERS, Linear, MatrixProduct, Shape
from vggcalc.runtime.trace.calls import CONVOLUTIONS, Call, each, factors
from vggcalc.runtime.trace.operators.rules import Inputs, OpOutput, Outputs, operation
from vggcalc.runtime.trace.spatial_axes import MIXED, TOKENS, Label, SpatialAxes, no_axes, resized


def convolution(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """One with weights; with a kernel that is computed from the input it is a product of two activations."""
    weight, transposed = call["weight"], call.function.startswith("conv_transpose")
    if not call.depends_on_input("input") or call.depends_on_input("weight"):
        slid = tuple(call["input"].shape) if transposed else outputs[0]
        macs = prod(slid) * int(weight.shape[1]) * prod(weight.shape[2:])
        return _product(call, macs, outputs, copies=(0, 0))
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
    spatial = inputs[0][1]
    slides = spatial.dimensions == tuple(range(len(outputs[0]) - dims, len(outputs[0])))
    reach = "window" if slides and len(spatial.sizes) == dims else "unknown"
    return [OpOutput(layer, reach, resized(spatial, outputs[0]) if slides else no_axes(outputs[0]))]


def matrix_product(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """A linear layer where one factor is an activation and the other a matrix of weights."""
    one, two = factors(call)
    rows, columns = call[one], call[two]
    transposed = call.function == "linear"  # its weight is (out, in)
    both = call.depends_on_input(one) and call.depends_on_input(two)
    if call.depends_on_input(one) and not both and columns.dim() > 1 and call.function not in ("addbmm", "_grouped_mm"):
        bias = transposed and call["bias"] is not None
        layer = Linear(int(rows.shape[-1]), int(columns.shape[-2 if transposed else -1]), bias)
        reach, after = _along_last(inputs[0][1], outputs[0])
        return [OpOutput(layer, reach, after)]
    length = int(rows.shape[-1])
    macs = prod(outputs[0]) * length
    if call.function == "addbmm":  # which sums over the batch
        macs *= int(rows.shape[0])
    if call.function == "_grouped_mm" and rows.dim() == columns.dim() == 2:  # which cuts the length into groups
        macs = prod(outputs[0][1:]) * length
    copies = _copies(rows, columns) if call.function == "matmul" else (0, 0)
    if not both:
        return _product(call, macs, outputs, copies=copies)
    of = {id(tensor): spatial for tensor, (_, spatial) in zip(call.active, inputs, strict=True)}
    left, right = of[id(rows)], of[id(columns)]
    summed, column = (-1, -2) if transposed else (-2, -1)
    row = [left.labels[-2]] if rows.dim() > 1 else []
    return _product(
        call,
        macs,
        outputs,
        copies,
        (left.labels[-1], right.labels[summed if columns.dim() > 1 else -1]),
        (*row, right.labels[column]) if columns.dim() > 1 else tuple(row),
        left.sizes or right.sizes,
    )


def attention(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """`scaled_dot_product_attention`: QKᵀ and the product with V, each as if nothing were masked, as counters do.

    Each row of the query does E MACs with each key and, for each key, as many as a value is wide.
    """
    names = ("query", "key", "value")
    query, key, value = (call[name] for name in names)
    pairs = prod(query.shape[:-1]) * int(key.shape[-2])
    with_keys, with_values = pairs * int(query.shape[-1]), pairs * int(value.shape[-1])
    asks, answers, gives = map(call.depends_on_input, names)
    of_activations = with_keys * (asks and answers) + with_values * ((asks or answers) and gives)
    # torch's fused kernels need heads, one width for all three and a mask without gradient; of a mask of booleans they
    # make one of numbers. Its parts scale query and key, and then are two products and a softmax.
    fused = query.dim() == 4 and query.shape[-1] == value.shape[-1] and query.shape[0] == key.shape[0]
    fused = fused and (query.shape[1] == key.shape[1] == value.shape[1] or bool(call["enable_gqa"]))
    mask = call["attn_mask"]
    masked = mask.numel() if mask is not None and mask.dtype == torch.bool else 0
    kind = call.kind_of_weight("attn_mask")
    alike = query.shape[:-2] == key.shape[:-2] == value.shape[:-2] and query.dtype in (torch.float32, torch.float64)
    saves: Literal["attention", "parts", "unknown"] = "unknown"
    copies = (0, 0, 0, masked)
    if fused and (masked or kind in ("", "buffer", "constant")):
        saves = "attention"
    elif alike:
        saves, copies = "parts", (query.numel(), key.numel(), pairs, _copied(value, tuple(value.shape[:-2])))
    axes = inputs[-1][1] if call.depends_on_input("value") else no_axes(value.shape)
    if call.depends_on_input("value"):
        axes = inputs[[tensor is value for tensor in call.active].index(True)][1]
    looked = (axes.labels[-2],)
    layer = MatrixProduct(
        call.function,
        outputs[0],
        with_keys + with_values,
        of_activations,
        saves if asks and answers and gives else "unknown",
        copies,
    )
    after: list[Label] = [None] * len(outputs[0])
    if asks:
        after[:-1] = inputs[0][1].labels[:-1]
    sizes = inputs[0][1].sizes if inputs else ()
    return [OpOutput(layer, _reach_over(looked, axes.sizes), SpatialAxes(tuple(after), sizes))]


def recurrent(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """RNN, LSTM, GRU, whole layers and cells: each matrix meets the vector of each position and sequence once."""
    data = call["data"] if call["data"] is not None else call["input"]
    weights = call["params"] or [call[name] for name in ("w_ih", "w_hh")]
    macs = prod(data.shape[:-1]) * sum(matrix.numel() for matrix in weights if matrix.dim() > 1)
    first = OpOutput(MatrixProduct(call.function, outputs[0], macs, saves="state"), "unknown", no_axes(outputs[0]))
    return [first, *(OpOutput(operation(call, shape), "unknown", no_axes(shape)) for shape in outputs[1:])]


def bilinear(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """`torch.nn.functional.bilinear`: each weight, (out, in1, in2), meets one product of the two inputs."""
    weight = call["weight"]
    macs = prod(call["input1"].shape[:-1]) * weight.numel()
    return [OpOutput(MatrixProduct(call.function, outputs[0], macs), "unknown", no_axes(outputs[0]))]


def distances(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """What `torch.cdist` computes of many points by a matrix product, in which the squares of both take a column each.

    −2·x·yᵀ + |x|² + |y|² (torch/_decomp/decompositions.py); its backward pass has other products.
    """
    one, two = (call.depends_on_input(name) for name in ("x1", "x2"))
    macs = prod(outputs[0]) * (int(call["x1"].shape[-1]) + 2)
    layer = MatrixProduct(call.function, outputs[0], macs, macs * (one and two), saves="state")
    return [OpOutput(layer, "unknown", no_axes(outputs[0]))]


def deformable(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """`torchvision.ops.deform_conv2d`: the MACs of a convolution; where its weights meet the input is computed."""
    macs = prod(outputs[0]) * prod(call["weight"].shape[1:])
    return [OpOutput(MatrixProduct(call.function, outputs[0], macs), "unknown", no_axes(outputs[0]))]


def _product(
    call: Call,
    macs: int,
    outputs: Outputs,
    copies: tuple[int, ...],
    summed: tuple[Label, ...] = (),
    kept: tuple[Label, ...] = (),
    sizes: Shape = (),
) -> list[OpOutput]:
    """A product that is no layer of torch.nn. Labels are of the dimensions summed over and of the output's last ones.

    A unit of QKᵀ sees another position of each factor: a part of the input that varies from unit to unit.
    """
    shape = outputs[0]
    count = sum(call.depends_on_input(name) for name in factors(call))
    saves: Literal["factors", "unknown"] = "factors" if count != 1 else "unknown"
    layer = MatrixProduct(call.function, shape, macs, macs * (count == 2), saves, copies)
    if count < 2 or call.function in CONVOLUTIONS:
        return [OpOutput(layer, "unknown", no_axes(shape))]
    reach = _reach_over(summed, sizes)
    if reach == "pixel" and kept[-1:] != (None,):
        reach = "varies"
    labels = (*[None] * (len(shape) - len(kept)), *kept)
    return [OpOutput(layer, reach, SpatialAxes(labels, sizes) if sizes else no_axes(shape))]


def _reach_over(summed: tuple[Label, ...], sizes: Shape) -> str:
    """What a unit sees that sums over dimensions with these labels."""
    looked = set(summed) - {None}
    if not sizes:
        return "unknown"
    if not looked:
        return "pixel"
    return "image" if looked & {TOKENS, MIXED} or looked >= set(range(len(sizes))) else "unknown"


def _along_last(spatial: SpatialAxes, shape: Shape) -> tuple[str, SpatialAxes]:
    """What a linear layer over the last dimension sees, and where the axes stand after it."""
    label = spatial.labels[-1]
    reach = "pixel" if label is None else "image" if label in (TOKENS, MIXED) else "unknown"
    if reach == "unknown" and len(spatial.sizes) == 1:  # its only axis
        reach = "image"
    if reach == "pixel" and len(spatial.labels) == len(shape):
        return reach, SpatialAxes((*spatial.labels[:-1], None), spatial.sizes)
    return reach, no_axes(shape)


def _copies(one: torch.Tensor, two: torch.Tensor) -> tuple[int, int]:
    """The elements of each factor that `matmul` copies: it expands both to one batch and makes that one dimension."""
    if max(one.dim(), two.dim()) < 3 or min(one.dim(), two.dim()) < 3:
        return 0, 0
    batch = torch.broadcast_shapes(one.shape[:-2], two.shape[:-2])
    return _copied(one, batch), _copied(two, batch)


def _copied(factor: torch.Tensor, batch: Shape) -> int:
    expanded = factor.expand(*batch, *factor.shape[-2:])
    try:
        expanded.view(-1, *factor.shape[-2:])
    except RuntimeError:
        return expanded.numel()
    return 0
