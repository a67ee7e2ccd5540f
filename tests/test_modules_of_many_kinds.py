"""Modules built, frozen and called in ways that a tracer may miss, held to what torch itself counts and saves."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.runtime.inputs import arguments_of, own_dtype, random_values
from vggcalc.runtime.trace.nested import exhausted, output_tensors

ROWS, MAPS = (2, 5, 8), (2, 3, 8, 8)


class Calls(nn.Module):
    """`run` of the module itself and its inputs; keywords are its parts and parameters."""

    def __init__(self, run: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Any) -> Any:
        return self.run(self, *inputs)


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.rand(shape))


class RelativeBias(nn.Module):
    """As in Swin: a bias for each pair of positions of a window, from a table of their offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.table = nn.Linear(8, 24), weight(9, 2)
        self.register_buffer("offsets", torch.arange(25) % 9)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        bias = self.table[self.offsets].view(5, 5, 2).permute(2, 0, 1).contiguous()
        scores = query @ key.mT + bias.unsqueeze(0)
        return scores.softmax(-1) @ value + torch.cat([self.table[:4, 0], self.table[5:, 1].flip(0)])[:4]


def frozen(module: nn.Module, *names: str) -> nn.Module:
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(bool(names) and not name.startswith(names))
    return module


class LowRank(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.base = nn.Linear(width, out).requires_grad_(False)
        self.a, self.b = weight(4, width), weight(out, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + (x @ self.a.T) @ self.b.T * 0.5


class Merged(LowRank):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.base.weight + self.b @ self.a, self.base.bias)


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).mT


def symmetric() -> nn.Module:
    layer = nn.Linear(8, 8)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


def hyper_network(s: Any, x: Tensor) -> Tensor:
    return torch.einsum("bti,bio->bto", x, s.make(x.mean(1)).view(-1, 8, 5))


def packed(s: Any, x: Tensor) -> Tensor:
    out, _ = s.lstm(pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True))
    return pad_packed_sequence(out, batch_first=True)[0]


def parts(s: Any, x: Tensor) -> Iterator[Tensor]:
    y = s.one(x)
    yield y
    yield s.two(y)


def heads(x: Tensor) -> Tensor:
    return x.view(2, -1, 2, 4).transpose(1, 2)


def attention(mask: Tensor | None = None, causal: bool = False, buffer: bool = False) -> nn.Module:
    def run(s: Any, x: Tensor, given: Tensor | None = None) -> Tensor:
        chosen = s.mask if buffer else mask if given is None else given
        return F.scaled_dot_product_attention(heads(s.q(x)), heads(s.k(x)), heads(s.v(x)), chosen, is_causal=causal)

    module = Calls(run, **{name: nn.Linear(8, 8) for name in "qkv"})
    if buffer:
        module.register_buffer("mask", mask)
    return module


def cross(*names: str) -> nn.Module:
    def run(s: Any, x: Tensor, y: Tensor) -> Tensor:
        seen = F.scaled_dot_product_attention(heads(s.q(x)), heads(s.k(y)), heads(s.v(y)))
        return s.out(seen.transpose(1, 2).reshape(2, 5, 8))

    module = Calls(run, q=nn.Linear(8, 8), k=nn.Linear(8, 8), v=nn.Linear(8, 8), out=nn.Linear(8, 3))
    return frozen(module, *names) if names else module


def wide_values(s: Any, x: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(heads(s.q(x)), heads(x), s.v(x).view(2, 5, 2, 3).transpose(1, 2))


def grouped(s: Any, x: Tensor) -> Tensor:
    q = s.q(x).view(2, -1, 4, 4).transpose(1, 2)
    k, v = (layer(x).view(2, -1, 2, 4).transpose(1, 2) for layer in (s.k, s.v))
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


def rotary(s: Any, x: Tensor) -> Tensor:
    angles = torch.outer(torch.arange(x.shape[1]).float(), s.frequencies).repeat(1, 4)
    y = s.q(x)
    return y * angles.cos() + torch.cat([-y[..., 4:], y[..., :4]], -1) * angles.sin()


def with_table() -> nn.Module:
    module = Calls(rotary, q=nn.Linear(8, 8))
    module.register_buffer("frequencies", torch.rand(2))
    return module


def tied() -> nn.Module:
    table, out = nn.Embedding(10, 8), nn.Linear(8, 10, bias=False)
    out.weight = table.weight
    return nn.Sequential(table, out)


def mixture(s: Any, x: Tensor) -> Tensor:
    shares = s.gate(x).softmax(-1).split(1, -1)
    return torch.stack([expert(x) * share for expert, share in zip(s.experts, shares, strict=True)]).sum(0)


def mean_of_cells(s: Any, x: Tensor) -> Tensor:
    return torch.stack([s.cell(x[:, t]) for t in range(5)], 1)


def nested(s: Any, batch: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {"out": [s.layer(batch["x"]["deep"][0]) * batch["scale"]], "more": s.layer(more["y"])}


def multihead(**options: Any) -> nn.Module:
    return nn.MultiheadAttention(8, 2, batch_first=True, **options)


def averaged(dims: int, size: int) -> nn.Module:
    conv, pool = (getattr(nn, f"{kind}{dims}d") for kind in ("Conv", "AdaptiveAvgPool"))
    return nn.Sequential(conv(2, 4, 3), pool(size), conv(4, 5, 1))


TOKENS = torch.zeros(2, 5, dtype=torch.long)
BOOLEANS = torch.ones(5, 5, dtype=torch.bool)

KINDS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "frozen before": (lambda: nn.Sequential(frozen(nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Conv2d(4, 5, 3)), MAPS),
    "frozen between": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), frozen(nn.Conv2d(4, 5, 3)), nn.ReLU(), nn.Conv2d(5, 2, 1)),
        MAPS,
    ),
    "frozen last": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), frozen(nn.Conv2d(4, 5, 3))), MAPS),
    "biases alone": (
        lambda: frozen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)), "0.weight", "2.weight"),
        MAPS,
    ),
    "frozen norm": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), frozen(nn.BatchNorm2d(4)), nn.Conv2d(4, 5, 3)), MAPS),
    **{
        f"{dims}-D average to {size}": (partial(averaged, dims, size), (3, 2, *(9, 8, 7)[:dims]))
        for dims in (1, 2, 3)
        for size in (1, 2)
    },
    "low rank": (lambda: nn.Sequential(LowRank(8, 6), nn.ReLU(), LowRank(6, 5)), ROWS),
    "low rank, merged": (lambda: nn.Sequential(Merged(8, 6), nn.ReLU(), nn.Linear(6, 5)), ROWS),
    "weight norm": (lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 6)), nn.Linear(6, 5)), ROWS),
    "a table of relative positions": (RelativeBias, ROWS),
    "orthogonal": (lambda: parametrizations.orthogonal(nn.Linear(8, 6)), ROWS),
    "symmetric": (symmetric, ROWS),
    "einsum of activations": (
        lambda: Calls(lambda s, x: torch.einsum("bid,bjd->bij", s.q(x), s.k(x)), q=nn.Linear(8, 4), k=nn.Linear(8, 4)),
        ROWS,
    ),
    "einsum with a weight": (lambda: Calls(lambda s, x: torch.einsum("bti,oi->bto", x, s.w), w=weight(6, 8)), ROWS),
    "einsum of three": (lambda: Calls(lambda s, x: torch.einsum("bti,ij,btj->bt", x, s.w, x), w=weight(8, 8)), ROWS),
    "einsum with dots": (lambda: Calls(lambda s, x: torch.einsum("...i,io->...o", x, s.w), w=weight(8, 6)), ROWS),
    "einsum, a diagonal": (lambda: Calls(lambda s, x: torch.einsum("bii->b", s.l(x)), l=nn.Linear(8, 5)), ROWS),
    "einsum, an outer product": (
        lambda: Calls(lambda s, x: torch.einsum("bi,bj->bij", s.l(x[:, 0]), x[:, 1]), l=nn.Linear(8, 5)),
        ROWS,
    ),
    "tensordot": (lambda: Calls(lambda s, x: torch.tensordot(x, s.w, dims=([2], [1])), w=weight(6, 8)), ROWS),
    "weight on the left": (lambda: Calls(lambda s, x: s.w @ x, w=weight(4, 5)), ROWS),
    "mul and sum": (lambda: Calls(lambda s, x: (x.unsqueeze(-2) * s.w).sum(-1), w=weight(6, 8)), ROWS),
    "multi_dot": (
        lambda: Calls(lambda s, x: torch.linalg.multi_dot([x[0], s.a, s.b]), a=weight(8, 3), b=weight(3, 7)),
        ROWS,
    ),
    "baddbmm": (lambda: Calls(lambda s, x: torch.baddbmm(x[..., :5], s.l(x), x.mT), l=nn.Linear(8, 8)), ROWS),
    "addmm": (lambda: Calls(lambda s, x: torch.addmm(s.b, x[0], s.w), w=weight(8, 3), b=weight(3)), ROWS),
    "hypernetwork": (lambda: Calls(hyper_network, make=nn.Linear(8, 40)), ROWS),
    "packed sequences": (lambda: Calls(packed, lstm=nn.LSTM(8, 6, batch_first=True, bidirectional=True)), ROWS),
    "LSTM with projections": (lambda: nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True, proj_size=3), ROWS),
    "GRU": (lambda: nn.GRU(8, 6, 2, batch_first=True, bidirectional=True), ROWS),
    "cells": (lambda: Calls(mean_of_cells, cell=nn.GRUCell(8, 6)), ROWS),
    "multihead": (lambda: Calls(lambda s, x: s.a(x, x, x, need_weights=False)[0], a=multihead()), ROWS),
    "multihead, its weights": (lambda: Calls(lambda s, x: s.a(x, x, x)[0], a=multihead()), ROWS),
    "multihead, zeros": (
        lambda: Calls(lambda s, x: s.a(x, x, x)[0], a=multihead(add_bias_kv=True, add_zero_attn=True)),
        ROWS,
    ),
    "encoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0), 2),
        ROWS,
    ),
    "transformer": (lambda: nn.Transformer(8, 2, 1, 1, 16, 0.0, batch_first=True), [ROWS, (2, 4, 8)]),
    "generator": (lambda: Calls(parts, one=nn.Linear(8, 4), two=nn.Linear(4, 3)), ROWS),
    "nested inputs": (
        lambda: Calls(nested, layer=nn.Linear(8, 4)),
        [{"x": {"deep": [(2, 8)]}, "scale": 2.0}, {"y": (3, 8)}],
    ),
    "attention": (attention, ROWS),
    "attention, causal": (lambda: attention(causal=True), ROWS),
    "attention, mask of numbers": (lambda: attention(torch.zeros(5, 5)), ROWS),
    "attention, mask of booleans": (lambda: attention(BOOLEANS), ROWS),
    "attention, mask of each": (lambda: attention(BOOLEANS.expand(2, 1, 5, 5).contiguous()), ROWS),
    "attention, buffer": (lambda: attention(torch.zeros(5, 5), buffer=True), ROWS),
    "attention, buffer of booleans": (lambda: attention(BOOLEANS, buffer=True), ROWS),
    "attention, mask as input": (attention, [ROWS, (5, 5)]),
    "attention, booleans as input": (attention, [ROWS, torch.ones(2, 1, 1, 5, dtype=torch.bool)]),
    "attention, trained mask": (lambda: attention(weight(2, 5, 5)), ROWS),
    **{
        f"attention, frozen {names}": (partial(cross, *names), [ROWS, (2, 7, 8)])
        for names in ("", "q", "k", "v", "qk", "kv", "qv", "qkv")
    },
    "attention, wide values": (lambda: Calls(wide_values, q=nn.Linear(8, 8), v=nn.Linear(8, 6)), ROWS),
    "attention, grouped": (
        lambda: Calls(grouped, q=nn.Linear(8, 16), k=nn.Linear(8, 8), v=nn.Linear(8, 8)),
        ROWS,
    ),
    "attention without heads": (
        lambda: Calls(lambda s, x: F.scaled_dot_product_attention(s.q(x), s.q(x), x), q=nn.Linear(8, 8)),
        ROWS,
    ),
    "queries that attend to each other": (
        lambda: Calls(
            lambda s, x: x + F.scaled_dot_product_attention(s.q, s.q, s.q).transpose(1, 2).flatten(2),
            q=weight(1, 2, 5, 4),
        ),
        ROWS,
    ),
    "embedding": (lambda: nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 3)), TOKENS),
    "frozen embedding": (lambda: nn.Sequential(frozen(nn.Embedding(10, 8)), nn.Linear(8, 3)), TOKENS),
    "tied": (tied, TOKENS),
    "rotary": (with_table, ROWS),
    "positions": (lambda: Calls(lambda s, x: s.l(x + s.p), l=nn.Linear(8, 3), p=weight(1, 5, 8)), ROWS),
    "scaled by a constant": (lambda: Calls(lambda s, x: s.l(x) * torch.arange(3).float(), l=nn.Linear(8, 3)), ROWS),
    "scaled by an exponential": (lambda: Calls(lambda s, x: s.l(x) * s.g.exp(), l=nn.Linear(8, 3), g=weight(3)), ROWS),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, 2), nn.ReLU(), nn.ConvTranspose2d(4, 2, 2)), MAPS),
    "same padding, even kernel": (lambda: nn.Sequential(nn.Conv2d(3, 4, 4, padding="same"), nn.ReLU()), MAPS),
    "unfolded": (lambda: Calls(lambda s, x: (F.unfold(x, 3).mT @ s.w).mT, w=weight(27, 4)), MAPS),
    "mixture of experts": (
        lambda: Calls(mixture, experts=nn.ModuleList(nn.Linear(8, 8) for _ in range(3)), gate=nn.Linear(8, 3)),
        ROWS,
    ),
}


def torchs_flops(run: Callable[[], Any], backward: bool = False) -> int:
    """Of attention in its parts, as torch counts none of the fused kernels."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        found = [tensor for tensor in output_tensors(exhausted(run())) if tensor.requires_grad]
        if backward:
            torch.stack([tensor.sum() for tensor in found]).sum().backward()
    return int(counter.get_total_flops())


def torchs_saved_bytes(module: nn.Module, run: Callable[[], Any]) -> int:
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda nothing: nothing):
        exhausted(run())
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_counts_are_torchs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)
    make, inputs = KINDS[kind]
    module = make()
    variant = vggcalc.summary(module, inputs).variants[0]
    draw = random_values(module, torch.Generator().manual_seed(0))
    call = arguments_of(inputs).with_tensors(draw, own_dtype(module))

    def run() -> Any:
        return module(*call.args, **call.kwargs)

    assert variant.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert variant.macs == torchs_flops(run) // 2
    assert variant.partial.get("macs", ()) == ("linalg_householder_product",) * (kind == "orthogonal")
    saved = torchs_saved_bytes(module, run)
    assert variant.saved_bytes <= saved if "saved_bytes" in variant.partial else variant.saved_bytes == saved
    training = torchs_flops(run, backward=True)
    assert "training_flops" in variant.partial or variant.training_flops == training


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("attention")])
def test_what_attention_saves_is_known_unless_its_mask_is_a_parameter_of_none_of_the_modules(kind: str) -> None:
    make, inputs = KINDS[kind]
    missing = vggcalc.summary(make(), inputs).variants[0].partial
    assert ("saved_bytes" in missing) == kind.endswith("trained mask")
