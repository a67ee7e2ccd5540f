"""Every operator that has a rule, met in a small module: torch's shapes, and autograd's bytes where a claim is made."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vggcalc.analysis.comparison import analyze
from vggcalc.nets.layers import Opaque
from vggcalc.runtime.check.counts import saved_bytes
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
    "view_as": lambda x: x.view_as(torch.zeros(2, 4, 36)),
    "reshape_as": lambda x: x.reshape_as(torch.zeros(2, 4, 36)),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: x.transpose(1, 2),
    "t": lambda x: x.flatten(1).t(),
    "contiguous": lambda x: x.mT.contiguous(),
    "clone": torch.clone,
    "to": lambda x: x.to(torch.float64),
    "_to_copy": lambda x: torch.ops.aten._to_copy(x, dtype=torch.float64),
    "type_as": lambda x: x.type_as(torch.zeros(1, dtype=torch.float64)),
    "alias": torch.ops.aten.alias,
    "detach": lambda x: x.detach(),
    "expand": lambda x: x[:, :1].expand(IMAGE),
    "expand_as": lambda x: x[:, :1].expand_as(torch.zeros(IMAGE)),
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
    "new_zeros": lambda x: x + x.new_zeros(6),
    "new_empty": lambda x: x * x.new_empty(6).zero_(),
    "new_full": lambda x: x + x.new_full((6,), 1.0),
    "new_ones": lambda x: x + x.new_ones(6),
    "zeros_like": lambda x: x + torch.zeros_like(x),
    "ones_like": lambda x: x + torch.ones_like(x),
    "empty_like": lambda x: x * torch.empty_like(x).fill_(1.0),
    "zero": lambda x: x.clone().zero_(),
    "fill": lambda x: x.clone().fill_(1.0),
    "one_hot": lambda x: F.one_hot(x.argmax(1), 4),
    "scalar_tensor": lambda x: x + torch.scalar_tensor(1.0),
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

#: Those with which no tensor of the input comes to a rule: constants.
NEVER_ACTIVE = {"scalar_tensor"}


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
        assert found.costs["saved_bytes"] == saved_bytes(module.train(), image)
    if name not in ("scaled_dot_product_attention",):
        assert not any(isinstance(node.layer, Opaque) for node in network.nodes)
