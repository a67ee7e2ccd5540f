"""Every operator that has a rule, met in a small module: torch's shapes, and autograd's bytes where a claim is made."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vggcalc.analysis.comparison import analyze
from vggcalc.nets.layers import Opaque
from vggcalc.runtime.check.counts import saved_by_autograd
from vggcalc.runtime.trace import recorder
from vggcalc.runtime.trace.calls import Call
from vggcalc.runtime.trace.operators import OPERATORS
from vggcalc.runtime.trace.tracer import trace

IMAGE = (2, 4, 6, 6)

Run = Callable[[Tensor], Tensor]


def rows(x: Tensor) -> Tensor:
    return x.flatten(2)


def volume(x: Tensor) -> Tensor:
    return x[:, :, None].expand(2, 4, 6, 6, 6)


ACTIVATIONS = (
    "relu",
    "silu",
    "gelu",
    "mish",
    "softplus",
    "celu",
    "elu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "selu",
)
ALONG = (
    "mean",
    "sum",
    "amax",
    "amin",
    "var",
    "std",
    "prod",
    "logsumexp",
    "argmax",
    "argmin",
    "softmax",
    "log_softmax",
    "cumsum",
    "all",
    "any",
)
FIRST_OF_TWO = ("max", "min", "var_mean", "sort", "median")


def recurrent(kind: type[nn.Module], x: Tensor, **options: Any) -> Any:
    """What a recurrent layer or cell of constant weights puts out."""
    size = {"batch_first": True} if not kind.__name__.endswith("Cell") else {}
    return kind(x.shape[-1], 5, **size, **options).requires_grad_(False)(x)


def at(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


PIXELS = torch.zeros(2, 1, 6, 6, dtype=torch.int64)

#: Those without MACs whose units are not followed to what they see.
PLAIN: dict[str, Run] = {
    "_embedding_bag": lambda x: torch.ops.aten._embedding_bag(torch.rand(144, 3), x.flatten(1).argmax(1), at(0, 1))[0],
    "_chunk_cat": lambda x: torch.ops.aten._chunk_cat([x, x], 1, 2),
    "_pack_padded_sequence": lambda x: torch.ops.aten._pack_padded_sequence(rows(x), at(4, 4), True)[0],
    "_pad_packed_sequence": lambda x: torch.ops.aten._pad_packed_sequence(rows(x)[0], at(1, 1, 1, 1), True, 0.0, 4)[0],
    "_unique": lambda x: torch.ops.aten._unique(x)[0],
    "_unique2": lambda x: torch.ops.aten._unique2(x)[0],
    "_unsafe_index": lambda x: torch.ops.aten._unsafe_index(x, [None, at(1, 0)]),
    "_unsafe_index_put": lambda x: torch.ops.aten._unsafe_index_put(x, [at(0)], torch.zeros(4, 6, 6)),
    "_unsafe_masked_index": lambda x: torch.ops.aten._unsafe_masked_index(
        x.flatten(1)[0], torch.ones(2, dtype=torch.bool), [at(1, 0)], 0.0),
    "affine_grid_generator": lambda x: F.affine_grid(x.flatten(1)[:, :6].view(2, 2, 3), [2, 4, 6, 6], False),
    "as_strided": lambda x: x.as_strided((2, 3), (1, 2)),
    "as_strided_scatter": lambda x: torch.as_strided_scatter(x, torch.zeros(2, 3), (2, 3), (3, 1)),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy(x.sigmoid(), torch.ones(IMAGE)),
    "binary_cross_entropy_with_logits": lambda x: F.binary_cross_entropy_with_logits(x, torch.ones(IMAGE)),
    "bincount": lambda x: torch.bincount(x.argmax(1).flatten(), minlength=4),
    "block_diag": lambda x: torch.ops.aten.block_diag([x[0, 0], x[0, 1]]),
    "bucketize": lambda x: torch.bucketize(x, torch.rand(3).sort()[0]),
    "complex": lambda x: torch.complex(x, x),
    "constant_pad_nd": lambda x: torch.ops.aten.constant_pad_nd(x, [1, 1]),
    "diag_embed": lambda x: x.diag_embed(),
    "diagonal": lambda x: x.diagonal(0, 2, 3),
    "diagonal_scatter": lambda x: torch.diagonal_scatter(x, torch.zeros(2, 4, 6), 0, 2, 3),
    "exponential": lambda x: x.clone().exponential_(),
    "fractional_max_pool2d": lambda x: F.fractional_max_pool2d(x, 2, 4),
    "geometric": lambda x: x.clone().geometric_(0.5),
    "glu": lambda x: F.glu(x, 1),
    "grid_sampler_2d": lambda x: torch.ops.aten.grid_sampler_2d(x, torch.zeros(2, 3, 3, 2), 0, 0, False),
    "grid_sampler_3d": lambda x: torch.ops.aten.grid_sampler_3d(volume(x), torch.zeros(2, 3, 3, 3, 3), 0, 0, False),
    "histc": lambda x: torch.histc(x, 4, 0, 1),
    "index_add": lambda x: x.index_add(1, at(0), torch.zeros(2, 1, 6, 6)),
    "index_copy": lambda x: x.index_copy(1, at(0), torch.zeros(2, 1, 6, 6)),
    "index_fill": lambda x: x.index_fill(1, at(0), 0.0),
    "index_reduce": lambda x: x.index_reduce(1, at(0), torch.zeros(2, 1, 6, 6), "amax"),
    "isin": lambda x: torch.isin(x, torch.rand(3)),
    "linalg_cross": lambda x: torch.linalg.cross(x[:, :3], x[:, 1:], dim=1),
    "log_normal": lambda x: x.clone().log_normal_(),
    "masked_scatter": lambda x: x.masked_scatter(torch.ones(IMAGE, dtype=torch.bool), torch.zeros(IMAGE)),
    "masked_select": lambda x: x.masked_select(torch.ones(IMAGE, dtype=torch.bool)),
    "max_unpool2d": lambda x: F.max_unpool2d(x, torch.arange(36).view(6, 6).expand(IMAGE), 2),
    "max_unpool3d": lambda x: F.max_unpool3d(volume(x), torch.zeros_like(volume(x), dtype=torch.int64), 1),
    "mse_loss": lambda x: F.mse_loss(x, torch.zeros(IMAGE)),
    "multinomial": lambda x: torch.multinomial(x.flatten(1).sigmoid(), 2),
    "narrow_copy": lambda x: torch.narrow_copy(x, 1, 0, 2),
    "nll_loss_forward": lambda x: F.nll_loss(x.flatten(1), at(0, 1)),
    "nll_loss2d_forward": lambda x: F.nll_loss(x, PIXELS[:, 0]),
    "nonzero": torch.nonzero,
    "nonzero_static": lambda x: torch.nonzero_static(x, size=5),
    "normal": lambda x: torch.normal(x, 1.0),
    "poisson": lambda x: torch.poisson(x.sigmoid()),
    "_conj": lambda x: torch.complex(x, x).conj(),
    "set": lambda x: x.detach().clone().set_(x.detach() * 2),
    "polar": lambda x: torch.polar(x, x),
    "renorm": lambda x: x.renorm(2, 1, 1.0),
    "resize": lambda x: x.detach().clone().resize_(2, 144),
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "rrelu_with_noise": lambda x: torch.ops.aten.rrelu_with_noise(x, torch.zeros(IMAGE)),
    "scatter_add": lambda x: x.scatter_add(1, PIXELS, torch.zeros(2, 1, 6, 6)),
    "scatter_reduce": lambda x: x.scatter_reduce(1, PIXELS, torch.zeros(2, 1, 6, 6), "sum"),
    "searchsorted": lambda x: torch.searchsorted(torch.rand(5).sort()[0], x),
    "segment_reduce": lambda x: torch.segment_reduce(x, "sum", lengths=at(1, 1)),
    "select_scatter": lambda x: x.select_scatter(torch.zeros(2, 6, 6), 1, 0),
    "slice_scatter": lambda x: x.slice_scatter(torch.zeros(2, 1, 6, 6), 1, 0, 1),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, torch.zeros(IMAGE)),
    "soft_margin_loss": lambda x: F.soft_margin_loss(x, torch.ones(IMAGE)),
    "take": lambda x: x.take(at(0, 5)),
    "trace": lambda x: x[0, 0].trace(),
    "uniform": lambda x: x.clone().uniform_(),
    "unique_consecutive": lambda x: torch.unique_consecutive(x),
    "unique_dim": lambda x: torch.unique(x, dim=1),
    "view_as_complex": lambda x: torch.view_as_complex(x.view(2, 4, 6, 3, 2)),
    "view_as_real": lambda x: torch.view_as_real(torch.complex(x, x)),
    "_weight_norm_interface": lambda x: torch.ops.aten._weight_norm_interface(x, torch.rand(2, 1, 1, 1))[0],
    "quantize_per_tensor": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    "_fused_moving_avg_obs_fq_helper": lambda x: torch.fused_moving_avg_obs_fake_quant(
        x, at(0), at(1), torch.zeros(1), torch.ones(1), torch.ones(1), at(0), 0.0, 0, 255, -1),
}  # fmt: skip

#: By operator, a function of a tensor of `IMAGE`'s shape that calls it.
CALLS: dict[str, Run] = {
    "matmul": lambda x: x @ torch.rand(6, 3),
    "mm": lambda x: torch.mm(x.flatten(1), torch.rand(144, 3)),
    "bmm": lambda x: torch.bmm(rows(x), torch.rand(2, 36, 3)),
    "addmm": lambda x: torch.addmm(torch.rand(3), x.flatten(1), torch.rand(144, 3)),
    "baddbmm": lambda x: torch.baddbmm(torch.rand(2, 4, 3), rows(x), torch.rand(2, 36, 3)),
    "linear": lambda x: F.linear(x, torch.rand(3, 6)),
    "conv1d": lambda x: F.conv1d(rows(x), torch.rand(3, 4, 3)),
    "conv2d": lambda x: F.conv2d(x, torch.rand(3, 4, 3, 3)),
    "conv3d": lambda x: F.conv3d(volume(x), torch.rand(3, 4, 3, 3, 3)),
    "conv_transpose1d": lambda x: F.conv_transpose1d(rows(x), torch.rand(4, 3, 3)),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, torch.rand(4, 3, 3, 3)),
    "conv_transpose3d": lambda x: F.conv_transpose3d(volume(x), torch.rand(4, 3, 3, 3, 3)),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "pad": lambda x: F.pad(x, (1, 2)),
    "slice": lambda x: x[:, :, 1:5],
    "unsqueeze": lambda x: x.unsqueeze(1),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "max_pool1d": lambda x: F.max_pool1d(rows(x), 2),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "max_pool3d": lambda x: F.max_pool3d(volume(x), 2),
    "avg_pool1d": lambda x: F.avg_pool1d(rows(x), 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "avg_pool3d": lambda x: F.avg_pool3d(volume(x), 2),
    "max_pool1d_with_indices": lambda x: F.max_pool1d(rows(x), 2, return_indices=True)[0],
    "max_pool2d_with_indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "max_pool3d_with_indices": lambda x: F.max_pool3d(volume(x), 2, return_indices=True)[0],
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(rows(x), 5),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 5),
    "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(volume(x), 5),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(rows(x), 5),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 5),
    "adaptive_avg_pool3d": lambda x: F.adaptive_avg_pool3d(volume(x), 5),
    "upsample_nearest1d": lambda x: F.interpolate(rows(x), 40),
    "upsample_nearest2d": lambda x: F.interpolate(x, 9),
    "upsample_nearest3d": lambda x: F.interpolate(volume(x), 9),
    "upsample_linear1d": lambda x: F.interpolate(rows(x), 40, mode="linear"),
    "upsample_bilinear2d": lambda x: F.interpolate(x, 9, mode="bilinear"),
    "upsample_bicubic2d": lambda x: F.interpolate(x, 9, mode="bicubic"),
    "upsample_trilinear3d": lambda x: F.interpolate(volume(x), 9, mode="trilinear"),
    "_upsample_nearest_exact1d": lambda x: F.interpolate(rows(x), 40, mode="nearest-exact"),
    "_upsample_nearest_exact2d": lambda x: F.interpolate(x, 9, mode="nearest-exact"),
    "_upsample_nearest_exact3d": lambda x: F.interpolate(volume(x), 9, mode="nearest-exact"),
    "_upsample_bilinear2d_aa": lambda x: F.interpolate(x, 9, mode="bilinear", antialias=True),
    "_upsample_bicubic2d_aa": lambda x: F.interpolate(x, 9, mode="bicubic", antialias=True),
    "batch_norm": lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4), training=x.requires_grad),
    "layer_norm": lambda x: F.layer_norm(x, (6,)),
    "group_norm": lambda x: F.group_norm(x, 2),
    "instance_norm": F.instance_norm,
    "rms_norm": lambda x: F.rms_norm(x, (6,)),
    "dropout": lambda x: F.dropout(x, 0.5, x.requires_grad),
    "feature_dropout": lambda x: F.dropout2d(x, 0.5, True),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, True),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, 0.5, True),
    **{name: getattr(F, name) for name in ACTIVATIONS},
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "masked_fill": lambda x: x.masked_fill(torch.ones(6, 6, dtype=torch.bool), 0.0),
    "prelu": lambda x: F.prelu(x, torch.rand(4)),
    "where": lambda x: torch.where(torch.ones(6, 6, dtype=torch.bool), x, 0.0),
    "lerp": lambda x: torch.lerp(x, x * 2, 0.5),
    "addcmul": lambda x: torch.addcmul(x, x, x),
    "addcdiv": lambda x: torch.addcdiv(x, x, x + 2),
    "copy": lambda x: torch.zeros(IMAGE).copy_(x),
    "nan_to_num": torch.nan_to_num,
    "cat": lambda x: torch.cat([x, x], 1),
    "concat": lambda x: torch.concat([x, x], 1),
    "stack": lambda x: torch.stack([x, x], 1),
    **{name: lambda x, name=name: getattr(torch, name)(x, 1) for name in ALONG},
    **{name: lambda x, name=name: getattr(torch, name)(x, 1)[0] for name in FIRST_OF_TWO},
    "norm": lambda x: torch.ops.aten.norm.ScalarOpt_dim(x, 3, [1]),
    "topk": lambda x: x.topk(2, 1)[0],
    "linalg_vector_norm": lambda x: torch.linalg.vector_norm(x, dim=1),
    "view": lambda x: x.view(2, 4, 36),
    "_unsafe_view": lambda x: torch.ops.aten._unsafe_view(x, [2, 4, 36]),
    "reshape": lambda x: x.reshape(2, 4, 36),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: x.transpose(1, 2),
    "t": lambda x: x.flatten(1).t(),
    "contiguous": lambda x: x.mT.contiguous(),
    "clone": torch.clone,
    "_to_copy": lambda x: torch.ops.aten._to_copy(x, dtype=torch.float64),
    "alias": torch.ops.aten.alias,
    "detach": lambda x: x.detach(),
    "expand": lambda x: x[:, :1].expand(IMAGE),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 2),
    "split": lambda x: x.split(2, 1)[0],
    "split_with_sizes": lambda x: torch.split_with_sizes(x, [1, 3], 1)[1],
    "chunk": lambda x: x.chunk(2, 1)[0],
    "unbind": lambda x: x.unbind(1)[0],
    "select": lambda x: x[:, 1],
    "narrow": lambda x: x.narrow(1, 0, 2),
    "tensor_split": lambda x: x.tensor_split(2, 1)[0],
    "index": lambda x: x[:, [1, 0]],
    "index_select": lambda x: x.index_select(1, torch.tensor([1, 0])),
    "gather": lambda x: x.gather(1, torch.zeros(2, 1, 6, 6, dtype=torch.int64)),
    "roll": lambda x: x.roll(1, 2),
    "flip": lambda x: x.flip(2),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "tile": lambda x: x.tile(1, 2, 1, 1),
    "grid_sampler": lambda x: F.grid_sample(x, torch.zeros(2, 3, 3, 2), align_corners=False),
    "im2col": lambda x: F.unfold(x, 3),
    "col2im": lambda x: F.fold(rows(x)[:, :, :4], (3, 3), (2, 2)),
    "embedding": lambda x: F.embedding(x.argmax(1), torch.rand(4, 3)),
    "scatter": lambda x: x.scatter(1, torch.zeros(2, 1, 6, 6, dtype=torch.int64), 1.0),
    "index_put": lambda x: x.index_put((torch.tensor([0]),), torch.zeros(4, 6, 6)),
    "unfold": lambda x: x.unfold(2, 3, 1),
    "zero": lambda x: x.clone().zero_(),
    "fill": lambda x: x.clone().fill_(1.0),
    "one_hot": lambda x: F.one_hot(x.argmax(1), 4),
    "scalar_tensor": lambda x: x + torch.scalar_tensor(1.0),
    "addbmm": lambda x: torch.addbmm(torch.rand(4, 3), rows(x), torch.rand(2, 36, 3)),
    "mv": lambda x: x.flatten(1).mv(torch.rand(144)),
    "addmv": lambda x: torch.addmv(torch.rand(2), x.flatten(1), torch.rand(144)),
    "dot": lambda x: x.flatten().dot(torch.rand(288)),
    "vdot": lambda x: torch.vdot(x.flatten(), torch.rand(288)),
    "_grouped_mm": lambda x: torch._grouped_mm(
        x.flatten(1), torch.ones(1, 144, 8, device=x.device), torch.tensor([len(x)], device=x.device).int()
    ),
    "_euclidean_dist": lambda x: torch.cdist(rows(x), torch.rand(2, 30, 36)),
    "_cdist_forward": lambda x: torch.cdist(rows(x), torch.rand(2, 3, 36), p=1.0),
    "_pdist_forward": lambda x: F.pdist(x.flatten(1)),
    "_int_mm": lambda x: torch._int_mm(x.flatten(1).to(torch.int8), torch.ones(144, 8, dtype=torch.int8)),
    "rnn_tanh": lambda x: recurrent(nn.RNN, rows(x))[0],
    "rnn_relu": lambda x: recurrent(nn.RNN, rows(x), nonlinearity="relu")[0],
    "lstm": lambda x: recurrent(nn.LSTM, rows(x))[0],
    "gru": lambda x: recurrent(nn.GRU, rows(x))[0],
    "rnn_tanh_cell": lambda x: recurrent(nn.RNNCell, x.flatten(1)),
    "rnn_relu_cell": lambda x: recurrent(nn.RNNCell, x.flatten(1), nonlinearity="relu"),
    "lstm_cell": lambda x: recurrent(nn.LSTMCell, x.flatten(1))[0],
    "gru_cell": lambda x: recurrent(nn.GRUCell, x.flatten(1)),
    "bilinear": lambda x: F.bilinear(x, x, torch.rand(3, 6, 6)),
    "_upsample_lanczos2d_aa": lambda x: torch.ops.aten._upsample_lanczos2d_aa(x, [9, 9], False),
    **{name: lambda x, name=name: getattr(torch, name)(x, x + 1)
       for name in ("floor_divide", "copysign", "heaviside", "xlogy", "eq", "ne", "lt", "le", "gt", "ge")},
    **{name: lambda x, name=name: getattr(torch, name)(x.argmax(1), x.argmin(1)) for name in ("gcd", "lcm")},
    "abs": torch.abs,
    "lift_fresh": torch.ops.aten.lift_fresh,
    "threshold": lambda x: F.threshold(x, 0.1, 0.2),
    "rsub": lambda x: torch.rsub(x, x),
    "std_mean": lambda x: torch.std_mean(x, 1)[0],
    "aminmax": lambda x: torch.aminmax(x, dim=1)[0],
    "_softmax": lambda x: torch.ops.aten._softmax(x, 1, False),
    "_log_softmax": lambda x: torch.ops.aten._log_softmax(x, 1, False),
    "_is_all_true": lambda x: torch.ops.aten._is_all_true(x > 0),
    "_is_any_true": lambda x: torch.ops.aten._is_any_true(x > 0),
    "_safe_softmax": lambda x: torch.ops.aten._safe_softmax(x, 1),
    "cumprod": lambda x: x.cumprod(1),
    "cummax": lambda x: x.cummax(1)[0],
    "cummin": lambda x: x.cummin(1)[0],
    "logcumsumexp": lambda x: x.logcumsumexp(1),
    "nanmedian": lambda x: x.nanmedian(1)[0],
    "nansum": lambda x: x.nansum(1),
    "kthvalue": lambda x: x.kthvalue(2, 1)[0],
    "mode": lambda x: x.mode(1)[0],
    "count_nonzero": lambda x: x.count_nonzero(1),
    "tril": torch.tril,
    "triu": torch.triu,
    "bernoulli": lambda x: torch.bernoulli(x.sigmoid()),
    "lift": torch.ops.aten.lift,
    "lift_fresh_copy": torch.ops.aten.lift_fresh_copy,
    "unsafe_split": lambda x: torch.unsafe_split(x, 2, 1)[0],
    "unsafe_split_with_sizes": lambda x: torch.unsafe_split_with_sizes(x, [1, 3], 1)[0],
    "unsafe_chunk": lambda x: torch.unsafe_chunk(x, 2, 1)[0],
    **{name: lambda x, run=run: run(x) for name, run in PLAIN.items()},
}  # fmt: skip


class Between(nn.Module):
    """A convolution, so that there is a gradient, and the call behind it."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.run(self.conv(image))


#: Those whose weights are constants here, which autograd keeps: test_tracing has them with parameters.
OF_CONSTANTS = {
    *["matmul", "mm", "bmm", "addmm", "baddbmm", "linear", "conv1d", "conv2d", "conv3d"],
    *["conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "batch_norm", "prelu"],
}

#: Those with which no tensor of the input comes to a rule: a constant, and what hands on the tensor itself.
NEVER_ACTIVE = {"scalar_tensor", "lift_fresh"}


def test_every_rule_has_a_call() -> None:
    assert set(CALLS) == set(OPERATORS)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_operator_has_torchs_shape_and_keeps_what_autograd_keeps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[str] = []

    def spy(call: Call, *rest: Any) -> Any:
        met.append(call.function)
        return apply_rule(call, *rest)

    apply_rule = recorder.apply_rule
    monkeypatch.setattr(recorder, "apply_rule", spy)
    module = Between(CALLS[name])
    network = trace(module, IMAGE)
    assert (name in met) != (name in NEVER_ACTIVE), met
    image = torch.rand(IMAGE)
    with torch.no_grad():
        found = analyze(network, "traced")
        assert found.layers[-1].output_shape == tuple(module.eval()(image).shape)
    if "saved_bytes" not in found.partial and name not in OF_CONSTANTS:
        assert found.costs["saved_bytes"] == saved_by_autograd(module.train(), image)
    if name not in ("scaled_dot_product_attention",):
        assert not any(isinstance(node.layer, Opaque) for node in network.nodes)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_recurrent_network_has_torchs_own_shapes_and_strides(
    kind: type[nn.RNNBase], batch_first: bool, bidirectional: bool
) -> None:
    """Without values none of its steps is run."""
    module = kind(5, 4, 2, batch_first=batch_first, bidirectional=bidirectional).to("meta")
    data = torch.empty(3, 6, 5, device="meta")
    states = torch.zeros(2 * (1 + bidirectional), 3 if batch_first else 6, 4, device="meta")
    hx = [states, states] if kind is nn.LSTM else states
    name = module._get_name().lower().replace("rnn", "rnn_tanh")
    func = getattr(torch.ops.aten, name).input
    arguments = data, hx, [*module.parameters()], True, 2, 0.0, False, bidirectional, batch_first
    expected = func(*arguments)
    found = Call(func, arguments, {}, [data], [data], lambda value: "").run()
    assert [(one.shape, one.stride(), one.dtype) for one in found] == [
        (one.shape, one.stride(), one.dtype) for one in expected
    ]
