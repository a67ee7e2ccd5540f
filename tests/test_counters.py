"""What other counters report: VGG-16's known figures, and the real counters where they are installed."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from msgspec import structs
from torch import nn
from torch.nn import functional

import vggcalc
from vggcalc.analysis.comparison import analyze
from vggcalc.analysis.counters.rules import COUNTERS, reconcile
from vggcalc.errors import InputError
from vggcalc.nets.graph import chain
from vggcalc.nets.layers import MaxPool2d, ReLU
from vggcalc.nets.vgg import published
from vggcalc.report.tables.cells import Table, Text
from vggcalc.report.tables.reconciliation import reconciliation
from vggcalc.results import Variant
from vggcalc.runtime.build import build
from vggcalc.runtime.trace.tracer import trace

IMAGE = (1, 3, 64, 64)

#: VGG-16 at 224×224, as each counter itself printed it.
VGG16 = {
    "fvcore": 15_470_289_408,
    "torch": 30_940_528_640,
    "torchinfo": 15_483_821_032,
    "ptflops": 15_523_225_576,
    "ptflops-aten": 15_483_821_032,
    "thop": 15_470_314_496,
    "calflops": 15_470_264_320,
    "calflops-flops": 30_973_778_432,
    "torchscan": 15_471_844_864,
    "torchvision": 15_470_000_000,
    "timm": 15_470_000_000,
}

#: torchvision's `_ops` in its metadata.
OPS = {"vgg11": 7.609, "vgg13": 11.308, "vgg16": 15.47, "vgg16_bn": 15.47, "vgg19": 19.632}


# The networks.


class Residual(nn.Module):
    """ResNet's basic block."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.down = None
        if stride != 1:
            self.down = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.down is None else self.down(x)
        return self.relu(y)


def resnet() -> nn.Module:
    stem = [nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    blocks = [Residual(16, 16, 1), Residual(16, 32, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def alexnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 11, 4, 2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(16, 24, 5, padding=2, groups=2),
        nn.ReLU(True), nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Dropout(),
        nn.Linear(24 * 36, 32), nn.ReLU(True), nn.Linear(32, 10, bias=False),
    )  # fmt: skip


def mobile() -> nn.Module:
    """Depthwise and pointwise convolutions, ReLU6, SiLU, and an average pooling that is not adaptive."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(inplace=True),
        nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16, affine=False), nn.SiLU(),
        nn.Conv2d(16, 24, 1, bias=False), nn.AvgPool2d(2), nn.Hardswish(), nn.AdaptiveAvgPool2d(5),
        nn.Flatten(), nn.Linear(24 * 25, 10),
    )  # fmt: skip


class Functional(nn.Module):
    """What modules do, done by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.weight = nn.Parameter(torch.zeros(4, 8, 1, 1))
        self.linear = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.avg_pool2d(functional.max_pool2d(functional.relu(self.conv(x)), 2), 2)
        x = functional.relu6(functional.conv2d(x, self.weight))
        x = functional.gelu(functional.adaptive_avg_pool2d(x, 1))
        return self.linear(torch.flatten(x, 1))


def norms() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.GELU(), nn.LeakyReLU(), nn.ELU(), nn.Sigmoid(),
        nn.LocalResponseNorm(3), nn.Tanh(), nn.PReLU(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.LayerNorm(8), nn.Linear(8, 4), nn.BatchNorm1d(4),
    )  # fmt: skip


def transposed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1, groups=2), nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 2, 2, bias=False),
    )  # fmt: skip


class Tokens(nn.Module):
    """Linear layers at every position, and their layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 16, 16)
        self.norm = nn.LayerNorm(16)
        self.linear = nn.Linear(16, 8)
        self.head = nn.Linear(8, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.linear(self.norm(x)).mean(1))


class Product(nn.Module):
    """A product of two activations."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 8, 8), nn.Conv2d(3, 4, 8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.one(x).flatten(2).transpose(1, 2) @ self.two(x).flatten(2)).mean()


class Sampled(nn.Module):
    """Upsampling by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.interpolate(self.conv(x), scale_factor=2, mode="bilinear")
        return functional.interpolate(x, scale_factor=2)


def vgg(name: str) -> nn.Module:
    """With a narrow classifier: on the real one's 120 million weights no counter's rule depends."""
    config = published(name)
    assert config is not None
    network = vggcalc.network(structs.replace(config, classifier=(64, 10)), size=IMAGE[2])
    module = build(network)
    for part in module.modules():
        if isinstance(part, nn.MaxPool2d):
            part.kernel_size = part.stride = 2  # as torchvision gives it, which torchscan minds
    return module


MODULES: dict[str, Callable[[], nn.Module]] = {
    "alexnet": alexnet,
    "functional": Functional,
    "mobile": mobile,
    "norms": norms,
    "product": Product,
    "resnet": resnet,
    "sampled": Sampled,
    "tokens": Tokens,
    "transposed": transposed,
    "vgg11": lambda: vgg("vgg11"),
    "vgg11_bn": lambda: vgg("vgg11_bn"),
}


@cache
def traced(name: str) -> Variant:
    with torch.device("meta"):
        module = MODULES[name]()
    return analyze(trace(module, IMAGE), name)


# The counters.


def fvcore(module: nn.Module) -> dict[str, int]:
    from fvcore.nn import FlopCountAnalysis

    counted = FlopCountAnalysis(module, torch.zeros(IMAGE))
    figure = counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    return {"fvcore": figure, "timm": round(round(figure / 1e9, 2) * 10**9)}


def flop_counter_mode(module: nn.Module) -> dict[str, int]:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(IMAGE))
    return {"torch": counter.get_total_flops()}


def torchinfo(module: nn.Module) -> dict[str, int]:
    summary = pytest.importorskip("torchinfo").summary
    return {"torchinfo": summary(module, input_size=IMAGE, verbose=0, device="cpu").total_mult_adds}


def ptflops(module: nn.Module) -> dict[str, int]:
    count = pytest.importorskip("ptflops").get_model_complexity_info
    options: dict[str, Any] = {"as_strings": False, "print_per_layer_stat": False}
    return {
        "ptflops": count(module, IMAGE[1:], **options)[0],
        "ptflops-aten": count(module, IMAGE[1:], backend="aten", **options)[0],
    }


def thop(module: nn.Module) -> dict[str, int]:
    profile = pytest.importorskip("thop").profile
    return {"thop": int(profile(module, inputs=(torch.zeros(IMAGE),), verbose=False)[0])}


def calflops(module: nn.Module) -> dict[str, int]:
    count = pytest.importorskip("calflops").calculate_flops
    flops, macs, _ = count(module, IMAGE, output_as_string=False, print_results=False)
    return {"calflops": macs, "calflops-flops": flops}


def torchscan(module: nn.Module) -> dict[str, int]:
    crawl_module = pytest.importorskip("torchscan").crawl_module
    return {"torchscan": crawl_module(module, IMAGE[1:])["totals"]["macs"]["known_value"]}


REAL = (fvcore, flop_counter_mode, torchinfo, ptflops, thop, calflops, torchscan)


@pytest.fixture(autouse=True)
def _their_warnings() -> Iterator[None]:
    """What a counter warns of is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("counter", REAL, ids=lambda counter: counter.__name__)
@pytest.mark.parametrize("name", MODULES)
def test_the_real_counter_reports_what_is_said_of_it(name: str, counter: Callable[[nn.Module], dict[str, int]]) -> None:
    torch.manual_seed(0)
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        reported = counter(MODULES[name]().eval())
    for key, figure in reported.items():
        found = reconcile(traced(name), key)
        assert found.unsure or found.total == figure, (key, figure, found)


@pytest.mark.parametrize("counter", COUNTERS)
def test_vgg16_is_reconciled_to_the_unit(counter: str) -> None:
    found = reconcile(vggcalc.summary("vgg16").variants[0], counter)
    assert found.macs == 15_470_264_320
    assert found.total == VGG16[counter] == found.factor * found.macs + sum(line.amount for line in found.lines)
    assert found.unsure == ()
    assert all(line.amount and (line.layers or "rounding" in line.term) for line in found.lines)


@pytest.mark.parametrize("counter", COUNTERS)
def test_where_nothing_is_multiplied_only_the_rest_is_counted(counter: str) -> None:
    network = chain("none", IMAGE, [("block1", ReLU()), ("block1", MaxPool2d())])
    found = reconcile(vggcalc.summary(network).variants[0], counter)
    assert found.macs == 0
    assert found.total == sum(line.amount for line in found.lines)
    if counter in ("fvcore", "torch"):
        assert found.lines == ()


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("name", ["A-LRN", "vgg11_bn"])
def test_a_network_and_the_trace_of_its_module_are_counted_alike(name: str, counter: str) -> None:
    network = vggcalc.network(name, size=64)
    with torch.device("meta"):
        module = build(network)
    of_trace = reconcile(analyze(trace(module, network.input_shape), name), counter)
    assert reconcile(analyze(network, name), counter).total == of_trace.total
    assert of_trace.unsure == ()


def test_the_parts_of_vgg16_are_those_that_are_known() -> None:
    variant = vggcalc.summary("vgg16").variants[0]

    def amounts(counter: str) -> list[tuple[int, int]]:
        return [(line.layers, line.amount) for line in reconcile(variant, counter).lines]

    assert amounts("torch") == amounts("calflops") == []
    assert amounts("fvcore") == [(1, 25_088)]
    assert amounts("thop") == [(1, 2 * 25_088)]
    assert amounts("torchinfo") == amounts("ptflops-aten") == [(13, 13_547_520), (3, 9_192)]
    pooled = 6_121_472 + 25_088
    assert amounts("ptflops") == [(13, 13_547_520), (3, 9_192), (15, 2 * 13_555_712), (6, 2 * pooled)]
    assert amounts("calflops-flops") == [(13, 13_547_520), (15, 13_555_712), (6, pooled)]
    assert amounts("torchscan") == [(5, 1_530_368), (1, 2 * 25_088)]
    assert amounts("timm") == [(1, 25_088), (0, -289_408)]


@pytest.mark.parametrize("name", OPS)
def test_the_metadata_of_torchvision(name: str) -> None:
    assert reconcile(vggcalc.summary(name).variants[0], "torchvision").total == round(OPS[name] * 10**9)


@pytest.mark.parametrize(
    "name", ["alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "mobilenet_v2",
             "resnet50", "shufflenet_v2_x1_0", "squeezenet1_1", "swin_t"]
)  # fmt: skip
def test_the_models_of_torchvision(name: str) -> None:
    try:
        models = pytest.importorskip("torchvision.models")
    except RuntimeError:
        pytest.skip("this torchvision is not made for this torch")
    weights = models.get_model_weights(name).DEFAULT
    crop = weights.transforms().crop_size[0]
    with torch.device("meta"):
        extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        module = models.get_model(name, **extra)
    found = reconcile(analyze(trace(module, (1, 3, crop, crop)), name), "torchvision")
    assert found.unsure == ()
    assert found.total == round(weights.meta["_ops"] * 10**9)


def test_what_is_not_established_is_said() -> None:
    class Attention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = x.flatten(2)
            return functional.scaled_dot_product_attention(tokens, tokens, tokens)

    attention = analyze(trace(nn.Sequential(nn.Conv2d(3, 4, 3), Attention()), IMAGE), "attention")
    unsure = {counter for counter in COUNTERS if reconcile(attention, counter).unsure}
    assert unsure == {"ptflops", "ptflops-aten"}
    assert reconcile(attention, "ptflops").unsure == ("scaled_dot_product_attention",)
    assert reconcile(traced("sampled"), "ptflops").unsure == ("upsample_bilinear2d", "upsample_nearest2d")
    assert reconcile(vggcalc.summary("vgg11", batch=2).variants[0], "ptflops").unsure == ("batch ×2",)
    assert reconcile(vggcalc.summary("vgg11", batch=2).variants[0], "fvcore").unsure == ()


def test_an_unknown_counter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"^counter 'torchprof' is unknown: did you mean torch\? There are fvcore, torch, torchinfo"
    ):
        reconcile(vggcalc.summary("vgg11").variants[0], "torchprof")


def test_every_counter_has_its_source_and_every_term_a_name() -> None:
    for counter in COUNTERS.values():
        assert counter.version
        assert ".py, " in counter.source
        assert all(term.name and term.kinds for term in counter.terms)


def test_the_table_adds_up() -> None:
    comparison = vggcalc.summary("vgg16")
    found = reconcile(comparison.variants[0], "calflops-flops")
    assert reconciliation(comparison) == []
    table, text = reconciliation(structs.replace(comparison, reconciliation=found))
    assert isinstance(table, Table)
    assert isinstance(text, Text)
    figures = [int(row.cells[-1].text.replace(",", "")) for row in table.rows]
    assert figures == [found.macs, 2 * found.macs, 13_547_520, 13_555_712, 6_146_560, VGG16["calflops-flops"]]
    assert sum(figures[1:-1]) == figures[-1]
    assert table.title.startswith("vgg16 as calflops-flops counts it")
    assert any("calflops/pytorch_ops.py" in line for line in text.lines)
