"""Modules that take several inputs, read values, are frozen or of other dtypes: traced, counted and checked."""

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import process
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vggcalc
from vggcalc.errors import InputError
from vggcalc.nets.graph import Network, Tracing
from vggcalc.runtime.trace import tracer
from vggcalc.runtime.trace.tracer import TraceError, trace

IMAGE = (1, 3, 32, 32)
#: A 7×7 from 3 to 8 channels without padding.
MACS = 26 * 26 * 8 * 147


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 7)
        self.scale = torch.ones(8, 1, 1)  # no buffer
        self.register_buffer("sizes", torch.tensor([4, 4]))


class OfTheProcessor(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.scale


class MadeOnTheProcessor(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * torch.ones(8, 1, 1, device="cpu")


class ShapeArithmetic(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.conv(x), int(torch.tensor(x.shape[-1]) // 2))


class BufferAsNumbers(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.conv(x), self.sizes.tolist())


class Checks(Base):
    def forward(self, x: Tensor) -> Tensor:
        assert x.max() <= 1
        if torch.isnan(x).any():
            raise ValueError("not a number")
        return self.conv(x)


class Masks(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y[y > -1e9].view(1, 8, -1).sum(2)


class Places(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        batch, rows = torch.where(y.mean((1, 3)) > -1e9)
        return y[batch, :, rows]


class ThroughNumpy(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.from_numpy(np.flip(x.numpy(), 3).copy()))


@pytest.mark.parametrize(
    ("kind", "ran_with", "depends"),
    [
        (OfTheProcessor, "fake", False),
        (MadeOnTheProcessor, "fake", False),
        (ShapeArithmetic, "fake", False),
        (BufferAsNumbers, "values", False),
        (Checks, "values", True),
        (Masks, "values", True),
        (Places, "values", True),
        (ThroughNumpy, "values", True),
    ],
)
def test_the_next_way_is_taken_where_one_fails(kind: type[nn.Module], ran_with: Any, depends: bool) -> None:
    network = trace(kind(), IMAGE)
    variant = vggcalc.summary(network).variants[0]
    assert network.tracing == Tracing(ran_with, depends)
    assert (variant.macs, variant.parameters) == (MACS, 8 * 147 + 8)
    assert "macs" not in variant.partial
    assert variant.network.tracing == network.tracing


def test_tensors_with_values_are_freed_as_they_are_done_with() -> None:
    """Ten feature maps, one after the other: no more than the last ones are alive at once."""
    maps: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    class Reads(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert float(x.sum()) >= 0
            y = x + 1
            maps.append(weakref.ref(y))
            alive.append(sum(one() is not None for one in maps))
            return y

    trace(nn.Sequential(*(Reads() for _ in range(10))), IMAGE)
    assert max(alive) <= 3


def test_what_would_fail_with_values_too_is_not_run_with_values() -> None:
    class Narrow(Base):
        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x.flatten(1))

    with pytest.raises(TraceError, match=r"conv \(Conv2d\) raised RuntimeError: Expected 3D"):
        trace(Narrow(), IMAGE)


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 7)
        self.table = nn.Embedding(10, 8)

    def forward(self, batch: Any, rows: Any = None, *, scale: Any = 1.0) -> Tensor:
        y: Tensor = self.conv(batch["image"] if isinstance(batch, dict) else batch)
        return (y if rows is None else y + self.table(rows)[:, :, None, None]) * scale


@pytest.mark.parametrize(
    "inputs",
    [
        IMAGE,
        torch.zeros(IMAGE),
        [IMAGE],
        [torch.zeros(IMAGE), torch.zeros(1, dtype=torch.int64)],
        {"batch": IMAGE},
        {"batch": IMAGE, "scale": (8, 1, 1)},
        {"batch": IMAGE, "scale": 2.0, "rows": None},
        [{"image": IMAGE}],
        [{"image": torch.zeros(IMAGE)}, torch.zeros(1, dtype=torch.int64)],
        {"batch": {"image": list(IMAGE)}},
    ],
    ids=str,
)
def test_inputs_in_any_nesting(inputs: Any) -> None:
    found = vggcalc.summary(Several(), inputs)
    assert found.macs == MACS
    assert found.input_shape == IMAGE


class Patches(nn.Module):
    """As vision models of transformers: a list of patches, and a tensor that says how they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 7)

    def forward(self, patches: Tensor, grid: Tensor) -> Tensor:
        height, width = grid.tolist()
        grid += 1
        y: Tensor = self.conv(patches.T.reshape(1, 3, height, width))
        return y


def test_the_values_of_an_example_decide() -> None:
    grid = torch.tensor([8, 32])
    network = trace(Patches(), [(256, 3), grid])
    assert network.tracing is not None
    assert (network.tracing.ran_with, network.tracing.depends_on_values) == ("values", True)
    assert vggcalc.summary(network).macs == 2 * 26 * 8 * 147
    assert grid.tolist() == [8, 32]  # it is left as it was


def test_rows_of_an_embedding_are_integers_without_saying_so() -> None:
    found = vggcalc.summary(nn.Sequential(nn.Embedding(100, 16), nn.Linear(16, 3)), (1, 20))
    assert found.macs == 20 * 16 * 3


def test_a_module_of_several_inputs_is_rewritten() -> None:
    inputs = {"batch": IMAGE, "rows": torch.zeros(1, dtype=torch.int64)}
    small = vggcalc.rewrite(Several(), inputs)
    assert [part.kernel_size for part in small.conv] == [(3, 3)] * 3
    assert small(torch.rand(IMAGE), torch.zeros(1, dtype=torch.int64)).shape == (1, 8, 26, 26)


def test_a_module_that_needs_values_is_not_run_beyond_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        module = Checks()
    made: list[nn.Module] = []

    def with_weights() -> nn.Module:
        made.append(Checks())
        return made[-1]

    need = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    monkeypatch.setattr(tracer, "free_bytes", lambda: need - 1)
    with pytest.raises(InputError, match="cannot be traced"):
        trace(module, IMAGE, with_weights=with_weights)
    assert made == []
    monkeypatch.setattr(tracer, "free_bytes", lambda: need)
    assert trace(module, IMAGE, with_weights=with_weights).tracing == Tracing("values", True)
    assert len(made) == 1


def test_products_of_weights_alone_are_said_to_be_foldable() -> None:
    class LowRank(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.rand(4, 8)), nn.Parameter(torch.rand(5, 4))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.b @ self.a)

    text = str(vggcalc.summary(LowRank(), (100, 8)))
    assert "160 MACs of LowRank multiply weights and constants alone" in " ".join(text.split())
    assert "constants alone" not in str(vggcalc.summary(nn.Linear(8, 5), (100, 8)))


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.filterwarnings("ignore::vggcalc.MeasurementWarning")
def test_several_inputs_are_measured_and_checked_too() -> None:
    module = Several()
    found = vggcalc.compare(module, inputs=[IMAGE, torch.zeros(1, dtype=torch.int64)])
    checked = vggcalc.check(found)["given"].crosscheck
    assert checked is not None
    assert checked.agrees
    assert checked.macs.torch == MACS
    timed = vggcalc.measure(found, processes=1, rounds=2, budget=600)
    assert [one.variant for one in timed.ratios if one.latency] == ["factorized"]


class Transformer(nn.Module):
    """Patches, a class token, positions, and one encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 8, 8)
        self.token, self.positions = nn.Parameter(torch.rand(1, 1, 16)), nn.Parameter(torch.rand(1, 17, 16))
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).mT
        y = torch.cat([self.token.expand(len(y), -1, -1), y], 1) + self.positions
        return self.head(self.block(y)[:, 0])


def test_every_output_of_attention_sees_the_whole_input() -> None:
    module = Transformer().eval()
    variant = vggcalc.summary(module, IMAGE).variants[0]
    image = torch.rand(IMAGE, requires_grad=True)
    module(image)[0, 0].backward()
    assert image.grad is not None
    assert bool((image.grad != 0).any((0, 1)).all())
    sees = {layer.name: layer.sees for layer in variant.layers}
    assert (sees["patch"], sees["cat"], sees["block.self_attn.scaled_dot_product_attention"]) == (
        "window", "unknown", "image")  # fmt: skip
    assert sees["head"] == variant.sees == "image"


# Frozen parts


def frozen_backbone() -> nn.Module:
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(backbone.requires_grad_(False), nn.Linear(8, 10))


def test_a_frozen_backbone_costs_its_forward_pass_alone() -> None:
    variant = vggcalc.summary(frozen_backbone(), (4, 3, 32, 32)).variants[0]
    backbone, head = 4 * 1024 * 216, 4 * 8 * 10
    assert variant.costs["parameters"] == 8 * 27 + 8 + 90
    assert variant.costs["trainable"] == 90
    assert variant.macs == backbone + head
    assert variant.training_flops == 2 * (backbone + 2 * head)  # forward; of the head also its weight's gradient
    assert variant.saved_bytes == 4 * 8 * 4  # the head's input


def test_trainable_parameters_are_a_column_where_some_are_frozen() -> None:
    assert "trainable" in vggcalc.summary(frozen_backbone(), (4, 3, 32, 32)).to_markdown()
    assert "trainable" not in vggcalc.summary("vgg11").to_markdown()


@pytest.mark.parametrize("heads", [1, 2])
def test_training_flops_of_products_are_torchs(heads: int) -> None:
    """Forward and backward of attention written out, by torch's counter: no gradient flows into the input."""
    from torch.utils.flop_counter import FlopCounterMode

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x).view(2, 6, 3, heads, 8 // heads).permute(2, 0, 3, 1, 4)
            y = (q @ k.mT).softmax(-1) @ v
            return self.out(y.transpose(1, 2).reshape(2, 6, 8))

    module = Attention()
    with FlopCounterMode(display=False) as counter:
        module(torch.rand(2, 6, 8)).sum().backward()
    assert vggcalc.summary(module, (2, 6, 8)).training_flops == counter.get_total_flops()


# Experts


GROUPS = torch.tensor([4, 8, 20], dtype=torch.int32)  # strides are multiples of 16 bytes


@pytest.mark.parametrize(("rows", "shape", "loop"), [
    ((20, 16), (3, 16, 8), lambda x, w: [part @ w[i] for i, part in enumerate(x.tensor_split(GROUPS[:-1].long()))]),
    ((3, 4, 16), (3, 16, 8), lambda x, w: [x @ w]),
    ((3, 4, 16), (16, 20), lambda x, w: [x[i] @ part for i, part in enumerate(w.tensor_split(GROUPS[:-1].long(), 1))]),
    ((4, 20), (20, 8), lambda x, w: [
        part @ w[i - len(part.mT) : i] for i, part in zip(GROUPS, x.tensor_split(GROUPS[:-1].long(), 1), strict=True)
    ]),
])  # fmt: skip
def test_grouped_products_do_the_macs_of_their_groups(
    rows: tuple[int, ...], shape: tuple[int, ...], loop: Callable[[Tensor, Tensor], list[Tensor]]
) -> None:
    """Mixtures of experts in float32, which torch runs and does not count: against a loop over the groups."""
    from torch.utils.flop_counter import FlopCounterMode

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.rand(shape))

        def forward(self, x: Tensor) -> Tensor:
            groups = None if x.dim() == self.weights.dim() == 3 else GROUPS.to(x.device)
            return torch._grouped_mm(x, self.weights, groups)

    module, x = Experts(), torch.rand(rows)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        loop(x, module.weights)
    found = vggcalc.summary(module, rows).variants[0]
    assert found.tracing is not None
    assert found.tracing.ran_with == "meta"
    assert "macs" not in found.partial
    assert (found.macs, found.costs["product_macs"]) == (counter.get_total_flops() // 2, 0)
    assert found.output_shape == module(x).shape


# Dtypes


@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 2), (torch.bfloat16, 2), (torch.float64, 8)])
def test_bytes_are_those_of_the_modules_own_dtype(dtype: torch.dtype, size: int) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()).to(dtype)
    found = vggcalc.summary(module, IMAGE)
    assert found.dtype == str(dtype).removeprefix("torch.")
    assert found.variants[0].weight_bytes == size * (8 * 27 + 8)
    assert found.variants[0].saved_bytes == size * (3 + 8) * 1024
    assert vggcalc.summary(module, IMAGE, dtype="float32").variants[0].weight_bytes == 4 * (8 * 27 + 8)


def test_parameters_of_several_dtypes_have_their_own_bytes() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3).half())
    module[1].register_forward_pre_hook(lambda part, args: (args[0].half(),))
    assert vggcalc.summary(module, IMAGE).variants[0].weight_bytes == 4 * (8 * 27 + 8) + 2 * (8 * 72 + 8)


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        ("nn.GRU(16, 16, batch_first=True)", "2x5x16"),
        ("nn.RNN(16, 16, batch_first=True)", "2x5x16"),
        ("nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).half()", "1x3x16x16"),
        ("nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)", "2x5x16"),
        ("nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3))", "1x5"),
        ("OfTheProcessor()", "1x3x32x32"),
        ("Checks()", "1x3x32x32"),
    ],
)
@pytest.mark.usefixtures("warm_workers")
def test_a_check_works_wherever_a_count_does(tmp_path: Path, monkeypatch: Any, source: str, shape: str) -> None:
    monkeypatch.chdir(tmp_path)
    text = "import torch\nfrom torch import Tensor, nn\n" + "".join(
        f"\n{text}" for text in (_source(Base), _source(OfTheProcessor), _source(Checks))
    )
    Path("net.py").write_text(f"{text}\n\ndef make():\n    return {source}\n")
    done = process.invoke("summary", "net.py:make", "--input", shape, "--check", "--no-latency", "--json")
    assert done.returncode == 0, done.stderr
    (variant,) = json.loads(done.stdout)["comparisons"][0]["variants"]
    assert variant["crosscheck"]["macs"]["torch"] == variant["costs"]["macs"]


def _source(kind: type[nn.Module]) -> str:
    import inspect

    return inspect.getsource(kind)


def test_a_network_knows_its_dtype() -> None:
    assert trace(nn.Conv2d(3, 8, 3).half(), IMAGE).dtype == "float16"
    assert isinstance(trace(nn.Conv2d(3, 8, 3), IMAGE), Network)
