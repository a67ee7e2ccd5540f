"""The rules for torch's operators: what layer a call is, what its units see, and where its spatial axes stand.

To add an operator, write a rule in the module of its kind and a line in `OPERATORS`; several names may share one rule.
A pointwise operator needs none: torch's own tag says that it is one. Any other operator is decomposed into its parts
where torch can do that, and else becomes `Opaque`, which leaves totals partial: nothing unknown is taken for zero.
"""

from typing import cast

from vggcalc.nets.layers import NONLINEARITIES
from vggcalc.runtime.trace.calls import CONVOLUTIONS, PRODUCTS, Call
from vggcalc.runtime.trace.operators import dimensions, elementwise, products, windows
from vggcalc.runtime.trace.operators.rules import Inputs, OpOutput, Outputs, Rule, opaque, rearranged


def apply_rule(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Each output of a call, from its inputs that depend on the network's input, and its outputs' shapes."""
    return _rule(call)(call, inputs, outputs)


def has_rule(call: Call) -> bool:
    """Whether there is a rule for the operator, so that it need not be decomposed."""
    return (call.aten and call.function in OPERATORS) or call.pointwise


def _rule(call: Call) -> Rule:
    # Only torch's own: an operator of another library may have the name of one of these.
    found = OPERATORS.get(call.function) if call.aten else None
    return found or (elementwise.elementwise if call.pointwise else opaque)


#: By torch's name of the operator, without the namespace `aten` and the overload.
OPERATORS: dict[str, Rule] = (
    dict.fromkeys(PRODUCTS, cast(Rule, products.matrix_product))
    | dict.fromkeys(CONVOLUTIONS, products.convolution)
    | {"linear": products.linear, "scaled_dot_product_attention": opaque}
    | {"pad": windows.pad, "slice": windows.slice_along, "pixel_unshuffle": windows.unshuffle,
       "unsqueeze": dimensions.unsqueeze}
    | dict.fromkeys((f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)), windows.pool)
    | dict.fromkeys(("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices"), windows.pool)
    | dict.fromkeys((f"adaptive_{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)), windows.adaptive_pool)
    | dict.fromkeys(
        ("pixel_shuffle", *(f"upsample_{how}" for how in (
            "nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d", "trilinear3d")),
         *(f"_upsample_{how}" for how in (
             "nearest_exact1d", "nearest_exact2d", "nearest_exact3d", "bilinear2d_aa", "bicubic2d_aa"))),
        windows.resize,
    )
    | dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"), elementwise.norm)
    | dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), elementwise.dropout)
    | dict.fromkeys(("relu", "silu", "gelu", "mish", "softplus", "masked_fill", "prelu", "where", "lerp",
                     "addcmul", "addcdiv", "copy", "nan_to_num", *NONLINEARITIES), elementwise.elementwise)
    | dict.fromkeys(("cat", "concat", "stack"), elementwise.concatenate)
    | dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "norm", "prod",
                     "linalg_vector_norm", "logsumexp", "argmax", "argmin", "softmax", "log_softmax", "cumsum",
                     "topk", "sort", "all", "any", "median"), dimensions.reduction)
    | dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "view_as",
                     "reshape_as"), dimensions.reshape)
    | dict.fromkeys(("permute", "transpose", "t"), dimensions.permute)
    | dict.fromkeys(("contiguous", "clone", "to", "_to_copy", "type_as", "alias", "detach", "expand",
                     "expand_as", "channel_shuffle"), dimensions.unchanged)
    | dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind", "select", "narrow", "tensor_split"),
                    dimensions.chunks)
    | dict.fromkeys(("index", "index_select", "gather", "roll", "flip", "repeat", "repeat_interleave", "tile",
                     "grid_sampler", "im2col", "col2im", "embedding", "scatter", "index_put", "unfold",
                     "new_zeros", "new_empty", "new_full", "new_ones", "zeros_like", "ones_like", "empty_like",
                     "zero", "fill", "one_hot", "scalar_tensor"), rearranged)
)  # fmt: skip
