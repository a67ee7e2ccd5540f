"""The rules for torch's operators: what layer a call is, what its units see, and where its spatial axes stand.

To add an operator, write a rule in the module of its kind and a line in `OPERATORS`; several names may share one rule.
A pointwise operator needs none: torch's own tag says that it is one. Any other operator is decomposed into its parts
where torch can do that, and else becomes `Opaque`, which leaves totals partial: nothing unknown is taken for zero.
"""

from vggcalc.nets.layers import NONLINEARITIES
from vggcalc.runtime.trace.calls import CONVOLUTIONS, PRODUCTS, Call
from vggcalc.runtime.trace.operators import dimensions, elementwise, products, windows
from vggcalc.runtime.trace.operators.rules import Inputs, OpOutput, Outputs, Rule, opaque, rearranged


def apply_rule(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Each output of a call, from its inputs that depend on the network's input, and its outputs' shapes."""
    rule = rule_for(call)
    if rule not in _ANY_ARGUMENT and not call.depends_on_input(call.signature.data):
        rule = rearranged  # the input steers what is done with something else, as an index does
    found = rule(call, inputs, outputs)
    return [*found, *rearranged(call, inputs, outputs[len(found) :])]


def has_rule(call: Call) -> bool:
    """Whether there is a rule for the operator, so that it need not be decomposed."""
    return rule_for(call) is not opaque


def may_do_macs(call: Call) -> bool:
    """Whether it counts also where nothing in it depends on the network's input."""
    return rule_for(call) in _WITH_MACS


def rule_for(call: Call) -> Rule:
    """The operator's rule; that of pointwise operators where torch says that it is one; else `opaque`."""
    if not call.signature.aten:
        return OF_LIBRARIES.get(call.func.overloadpacket._qualified_op_name, opaque)
    found = OPERATORS.get(call.function)
    return found or (elementwise.elementwise if call.signature.pointwise else opaque)


#: Rules for operators that do MACs, or may.
_WITH_MACS = frozenset((
    products.convolution, products.matrix_product, products.attention, products.recurrent, products.bilinear,
    products.distances, products.deformable, opaque,
))  # fmt: skip

#: Rules for operators in which each tensor may be the one that depends on the network's input.
_ANY_ARGUMENT = _WITH_MACS | {elementwise.elementwise, elementwise.concatenate, rearranged}

_DIMENSIONS = (1, 2, 3)

#: The operators that each rule is for, by torch's names, without the namespace `aten` and the overload.
_NAMES: tuple[tuple[Rule, str], ...] = (
    (products.matrix_product, " ".join(PRODUCTS)),
    (products.convolution, " ".join(CONVOLUTIONS)),
    (products.attention, "scaled_dot_product_attention"),
    (products.recurrent, "rnn_tanh rnn_relu lstm gru rnn_tanh_cell rnn_relu_cell lstm_cell gru_cell"),
    (products.bilinear, "bilinear"),
    (products.distances, "_euclidean_dist"),
    (windows.pad, "pad"),
    (windows.slice_along, "slice"),
    (windows.unshuffle, "pixel_unshuffle"),
    (windows.pool, " ".join(f"max_pool{n}d max_pool{n}d_with_indices avg_pool{n}d" for n in _DIMENSIONS)),
    (windows.adaptive_pool, " ".join(f"adaptive_max_pool{n}d adaptive_avg_pool{n}d" for n in _DIMENSIONS)),
    (
        windows.resize,
        "pixel_shuffle upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d "
        "upsample_bicubic2d upsample_trilinear3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
        "_upsample_nearest_exact3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa _upsample_lanczos2d_aa",
    ),
    (elementwise.norm, "batch_norm layer_norm group_norm instance_norm rms_norm"),
    (elementwise.dropout, "dropout feature_dropout alpha_dropout feature_alpha_dropout"),
    (
        elementwise.elementwise,
        "relu silu gelu mish softplus masked_fill prelu where lerp addcmul addcdiv copy nan_to_num threshold rsub "
        "floor_divide copysign gcd lcm heaviside xlogy abs eq ne lt le gt ge " + " ".join(NONLINEARITIES),
    ),
    (elementwise.concatenate, "cat concat stack"),
    (
        dimensions.reduction,
        "mean sum amax amin max min var std var_mean std_mean aminmax norm prod linalg_vector_norm logsumexp argmax "
        "argmin softmax log_softmax _softmax _log_softmax _safe_softmax cumsum cumprod cummax cummin logcumsumexp "
        "topk sort all any _is_all_true _is_any_true median nanmedian nansum kthvalue mode count_nonzero",
    ),
    (dimensions.reshape, "view _unsafe_view reshape flatten unflatten squeeze"),
    (dimensions.permute, "permute transpose t"),
    (dimensions.unsqueeze, "unsqueeze"),
    (
        dimensions.unchanged,
        "contiguous clone _to_copy alias detach expand channel_shuffle tril triu bernoulli lift lift_fresh "
        "lift_fresh_copy "
        "quantize_per_tensor _fused_moving_avg_obs_fq_helper",
    ),
    (
        dimensions.chunks,
        "split split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk unbind select narrow "
        "tensor_split",
    ),
    (  # they do no MACs, and what a unit of their output sees is not followed
        rearranged,
        "index index_select gather roll flip repeat repeat_interleave tile grid_sampler im2col col2im embedding "
        "_embedding_bag scatter index_put unfold zero fill one_hot scalar_tensor _chunk_cat "
        "_cdist_forward _pdist_forward _pack_padded_sequence _pad_packed_sequence _unique _unique2 _unsafe_index "
        "_unsafe_index_put "
        "_unsafe_masked_index affine_grid_generator as_strided as_strided_scatter binary_cross_entropy "
        "binary_cross_entropy_with_logits bincount block_diag bucketize complex constant_pad_nd diag_embed diagonal "
        "diagonal_scatter exponential fractional_max_pool2d geometric glu grid_sampler_2d grid_sampler_3d histc "
        "index_add index_copy index_fill index_reduce isin linalg_cross log_normal masked_scatter masked_select "
        "max_unpool2d max_unpool3d mse_loss multinomial narrow_copy nll_loss_forward nll_loss2d_forward nonzero "
        "nonzero_static normal poisson polar renorm resize rot90 rrelu_with_noise scatter_add scatter_reduce "
        "searchsorted segment_reduce select_scatter slice_scatter smooth_l1_loss soft_margin_loss take trace uniform "
        "unique_consecutive unique_dim view_as_complex view_as_real _weight_norm_interface set _conj",
    ),
)
OPERATORS: dict[str, Rule] = {name: rule for rule, names in _NAMES for name in names.split()}

#: By the qualified name of other libraries' operators.
OF_LIBRARIES: dict[str, Rule] = {
    "torchvision::deform_conv2d": products.deformable,
    **dict.fromkeys(
        (f"torchvision::{name}" for name in ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")), rearranged
    ),
}
