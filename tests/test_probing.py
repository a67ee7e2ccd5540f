"""The receptive field by gradient on the real module: what `--check` holds the closed form to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from conftest import SPATIAL, networks
from hypothesis import given, settings
from process import invoke
from torch import Tensor, nn
from torch.nn import functional as F

import vggcalc
from vggcalc.analysis.comparison import analyze
from vggcalc.measurement.crosscheck import crosscheck, targets, why_unprobed
from vggcalc.nets.graph import Network
from vggcalc.protocol import GradientExtent, ProbeTarget, Subject, TorchCounts
from vggcalc.report.tables.latency import timings
from vggcalc.results import GradientProbe, ReceptiveField, Variant
from vggcalc.runtime.build import build
from vggcalc.runtime.check.counts import calls_of, torch_counts
from vggcalc.runtime.check.gradient import ProbeError, gradient_extent
from vggcalc.runtime.trace.tracer import trace

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning"), pytest.mark.usefixtures("warm_workers"),
]  # fmt: skip

IMAGE = (1, 3, 64, 60)


def seen_by(module: nn.Module, network: Network, units: tuple[ProbeTarget, ...]) -> GradientExtent:
    with calls_of(module) as calls, torch.no_grad():
        module.double().eval()(torch.zeros(network.input_shape, dtype=torch.float64))
    return gradient_extent(Subject("it", network, None, units), module, calls)


def held(module: nn.Module, shape: tuple[int, ...] = IMAGE, layer: str = "") -> GradientProbe:
    """What `--check` makes of an imported module, or of one of its layers."""
    network = trace(module, shape)
    variant = analyze(network, "it")
    units = tuple(unit for unit in targets(variant) if layer in ("", unit.layer))
    return beside(variant, seen_by(module, network, units))


def beside(variant: Variant, seen: GradientExtent) -> GradientProbe:
    counts = TorchCounts("it", 0, 0, None, None, None, None, {}, seen)
    found = crosscheck(variant, counts, None).receptive_field
    assert found is not None
    return found


# Every layer of random networks


FORMS = {"chain": False, "branches": True}


@pytest.mark.parametrize("form", FORMS)
def test_every_layer_that_can_be_probed_sees_what_it_should(form: str) -> None:
    probed = []

    @settings(max_examples=30)
    @given(networks(FORMS[form], (*SPATIAL, "lrn", "act"), size=(24, 40), layers=(4, 9)))
    def hold(network: Network) -> None:
        variant = analyze(network, "it")
        module = build(network)
        for unit in targets(variant):
            seen = seen_by(module, network, (unit,))
            assert seen.layer == unit.layer
            assert beside(variant, seen).agrees, (unit, seen)
            probed.append(unit)

    hold()
    assert len(probed) > 100


SMALL = vggcalc.Config("small", ("8", "LRN", "M", "16", "16", "M"), (16, 32, 32), (8, 5))


@pytest.mark.parametrize(
    "model", [SMALL, msgspec.structs.replace(SMALL, batch_norm=True), "64,M,64,64,M", "8,M,8@5,M"], ids=str
)
def test_a_built_network_is_probed_at_the_last_layer_on_a_map(model: str | vggcalc.Config) -> None:
    comparison = vggcalc.compare(model, size=128, batch=2)
    for variant in comparison.variants:
        counts = torch_counts(Subject(variant.name, variant.network, None, tuple(targets(variant))), False, "float32")
        assert counts.unprobed is None
        found = crosscheck(variant, counts, None)
        assert found.agrees
        assert found.receptive_field is not None
        assert found.receptive_field.agrees
        first = next(targets(variant))
        assert (found.receptive_field.layer, found.receptive_field.unit) == (first.layer, first.unit)
        layer = next(one for one in variant.layers if one.name == first.layer)
        assert layer.receptive_field == variant.receptive_field


class Gate(nn.Module):
    """Each channel times what the mean of all of them says: a map of which every unit sees the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        image = self.conv(image)
        return image * torch.sigmoid(self.gate(image.mean((2, 3), keepdim=True)))


@pytest.mark.parametrize(("make", "size", "probed"), [
    (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)), 3, ["0"]),
    (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), 5, ["1", "0"]),
    (lambda: nn.Sequential(Gate(), nn.AdaptiveAvgPool2d(1)), 8, ["0.mul", "0.conv"]),
])  # fmt: skip
def test_a_single_unit_refutes_a_window_and_not_the_whole_image(
    make: Callable[[], nn.Module], size: int, probed: list[str]
) -> None:
    """Whose one unit sees the image whatever is before it."""
    variant = vggcalc.summary(make(), (1, 3, size, size)).variants[0]
    assert [unit.layer for unit in targets(variant)] == probed


# Modules as people write them


class Functional(nn.Module):
    """Everything by functions and methods, in place where there is such a thing."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 5), nn.Conv2d(8, 8, 3)
        self.weight = nn.Parameter(torch.zeros(8, 8, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(x), inplace=True)
        x = torch.relu_(F.max_pool2d(x, 3, stride=1, padding=1))
        x = F.layer_norm(self.two(x).clamp_(0, 6), (26,)).sigmoid()
        x = F.conv2d(x, self.weight).mul_(2)
        return self.three(torch.tanh(x))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, padding=1)
        self.two = nn.Conv2d(3, 4, (1, 9), padding=(0, 4))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.relu(torch.cat((self.one(x), self.two(x)), 1)) * 2)


class Excited(nn.Module):
    """Squeeze and excitation: every unit sees the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze, self.gate = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.bn(self.conv(x)), inplace=True)
        return self.last(x * self.gate(F.relu_(self.squeeze(self.pool(x)))).sigmoid())


class Residual(nn.Module):
    """Its output is a sum, which no submodule puts out; and its norms begin at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, 2, 3, bias=False)
        self.body = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(True), nn.Conv2d(4, 4, 3, padding=1, groups=4))
        self.scale = nn.Parameter(torch.zeros(4, 1, 1))
        nn.init.zeros_(self.body[0].weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return x + self.scale * self.body(x)


def conv(*arguments: Any, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(4, 4, *arguments, **more)


def stack(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), *parts)


@pytest.mark.parametrize(
    ("module", "layer", "size", "stride", "padding"),
    [
        (lambda: stack(conv(3, padding=1), nn.ReLU(True), conv(5)), "3", (7, 7), (1, 1), (1, 1)),
        (lambda: stack(conv(3, dilation=(1, 3))), "1", (3, 7), (1, 1), (0, 0)),
        (lambda: stack(conv(3, padding="same")), "1", (3, 3), (1, 1), (1, 1)),
        (lambda: stack(conv(3, groups=4), conv(1, groups=2)), "2", (3, 3), (1, 1), (0, 0)),
        (lambda: stack(nn.MaxPool2d(3, 2, 1), conv(3, padding=1)), "2", (7, 7), (2, 2), (3, 3)),
        (lambda: stack(nn.MaxPool2d(3, 1, dilation=2)), "1", (5, 5), (1, 1), (0, 0)),
        (lambda: stack(conv(3), nn.MaxPool2d((2, 3), 2, ceil_mode=True)), "2", (4, 5), (2, 2), (0, 0)),
        (
            lambda: stack(nn.AvgPool2d(3, 2), nn.GroupNorm(2, 4), nn.GELU(), conv(3)),
            "4",
            (7, 7),
            (2, 2),
            (0, 0),
        ),
        (lambda: stack(nn.InstanceNorm2d(4), conv(3), nn.PReLU(), nn.Dropout()), "4", (3, 3), (1, 1), (0, 0)),
        (lambda: stack(conv(3), nn.LocalResponseNorm(3), nn.Hardswish(True)), "3", (3, 3), (1, 1), (0, 0)),
        (lambda: stack(conv(3), nn.Threshold(5, 0), nn.Softplus(), nn.ReLU6()), "4", (3, 3), (1, 1), (0, 0)),
        (Branches, "", (3, 9), (1, 1), (1, 4)),
        (Residual, "", (11, 11), (2, 2), (5, 5)),
        (Functional, "three", (23, 23), (2, 2), (3, 3)),
    ],
)
def test_a_module_sees_its_field(
    module: Callable[[], nn.Module],
    layer: str,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> None:
    made = module()
    found = held(made)
    field = analyze(trace(module(), IMAGE), "it").receptive_field
    assert field is not None
    assert (field.size, field.stride, field.padding) == (size, stride, padding)
    assert found.agrees
    assert found.expected == found.seen, "every end is on the image"
    assert not layer or found.layer == layer


def test_who_sees_the_whole_image_is_held_to_it() -> None:
    found = held(Excited())
    assert (found.layer, found.sees, found.unit) == ("last", "image", (32, 30))
    assert found.expected == found.seen == ((0, 63), (0, 59))
    assert found.agrees


def test_pixels_that_no_stride_reaches_are_no_contradiction() -> None:
    """Of 63 pixels a stride of 2 leaves the last one out, which no gradient finds."""
    module = Excited()
    module.conv = nn.Conv2d(3, 8, 2, 2)
    found = held(module, (1, 3, 63, 63))
    assert found.seen == ((0, 61), (0, 61))
    assert found.agrees


def test_a_field_beyond_the_image_is_held_to_at_the_end_that_is_on_it() -> None:
    found = held(stack(*[conv(15, padding=7) for _ in range(5)]), (1, 3, 64, 64))
    assert found.unit == (28, 28)
    assert found.expected == ((-7, 63), (-7, 63))
    assert found.seen == ((0, 63), (0, 63))
    assert found.agrees


def test_what_varies_is_not_probed_but_what_comes_before_it() -> None:
    module = stack(conv(5), nn.ConvTranspose2d(4, 4, 2, 2), conv(3))
    assert analyze(trace(module, IMAGE), "it").sees == "varies"
    assert held(module).layer == "1"
    alone = analyze(trace(nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2)), IMAGE), "it")
    assert tuple(targets(alone)) == ()
    assert why_unprobed(alone, None) == "no layer's map has a unit whose field ends on the image"


def test_the_modules_own_code_may_hide_nothing() -> None:
    class Hides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.conv(x)
            x = torch.maximum(x.detach(), -x.sign())
            return self.last(x - x.amax(1, keepdim=True) + torch.max(x, dim=1, keepdim=True)[0] * 3)

    assert held(Hides(), layer="last").agrees


# What is wrong is told


def wrong(field: ReceptiveField, **changes: Any) -> ReceptiveField:
    return msgspec.structs.replace(field, **changes)


@pytest.mark.parametrize(
    "changes",
    [{"size": (13, 12)}, {"size": (12, 13)}, {"padding": (5, 6)}, {"stride": (4, 2)}, {"size": (11, 12)}],
)
def test_a_wrong_closed_form_is_found(changes: dict[str, tuple[int, int]]) -> None:
    comparison = vggcalc.summary("8@5,M,8", size=32)
    (variant,) = comparison.variants
    assert variant.receptive_field == ReceptiveField((10, 10), (2, 2), (4, 4))
    layers = tuple(
        msgspec.structs.replace(layer, receptive_field=wrong(layer.receptive_field, **changes))
        if layer.receptive_field == variant.receptive_field and layer.receptive_field is not None
        else layer
        for layer in variant.layers
    )
    claimed = msgspec.structs.replace(
        variant, layers=layers, receptive_field=wrong(ReceptiveField((10, 10), (2, 2), (4, 4)), **changes)
    )
    counts = torch_counts(Subject("it", claimed.network, None, tuple(targets(claimed))), False, "float32")
    found = crosscheck(claimed, counts, None)
    assert found.receptive_field is not None
    assert not found.receptive_field.agrees
    assert not found.agrees
    told = msgspec.structs.replace(comparison, variants=(msgspec.structs.replace(claimed, crosscheck=found),))
    table, _ = timings(told)
    row = next(row for row in table.rows if "RF of" in row.cells[1].text)  # type: ignore[union-attr]
    assert row.cells[-1].text == "differs"
    assert row.cells[2].text != row.cells[3].text


def test_a_window_is_not_the_whole_image() -> None:
    variant = vggcalc.summary("8,8", size=16).variants[0]
    layer = next(layer for layer in reversed(variant.layers) if layer.sees == "window")
    claims_all = msgspec.structs.replace(
        variant,
        layers=tuple(
            msgspec.structs.replace(one, receptive_field=None, sees="image") if one is layer else one
            for one in variant.layers
        ),
        sees="image",
    )
    seen = GradientExtent(layer.name, (8, 8), ((6, 10), (6, 10)))
    assert not beside(claims_all, seen).agrees


def test_no_gradient_at_all_is_a_contradiction() -> None:
    variant = vggcalc.summary("8,8", size=16).variants[0]
    unit = next(targets(variant))
    assert not beside(variant, GradientExtent(unit.layer, unit.unit, None)).agrees


def test_a_module_that_puts_out_something_else_is_found() -> None:
    """The network says 3×3, and the module is a 5×5."""
    network = trace(stack(conv(3, padding=1)), IMAGE)
    seen = seen_by(stack(conv(5, padding=2)), network, tuple(targets(analyze(network, "it"))))
    assert not beside(analyze(network, "it"), seen).agrees


# What cannot be probed is told


def test_a_module_that_raises_costs_only_the_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picky.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Conv2d):\n"
        "    def __init__(self):\n        super().__init__(3, 4, 3)\n\n"
        "    def forward(self, x):\n        if x.dtype == torch.float64:\n"
        "            raise ValueError('float32 only')\n        return super().forward(x)\n"
    )
    monkeypatch.chdir(tmp_path)
    done = invoke("summary", "picky.py:Net", "--size", "16", "--no-latency", "--check", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["comparisons"][0]["variants"][0]["crosscheck"]
    assert found["agrees"]
    assert found["receptive_field"] is None
    (note,) = (note for note in found["notes"] if "gradient" in note)
    assert note.startswith("the receptive field is not held to a gradient: ValueError: float32 only (")


def test_layers_that_no_module_puts_out() -> None:
    class Functions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 3, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight).mean((2, 3))

    with pytest.raises(ProbeError, match="no layer with a window is what a module that runs once puts out"):
        held(Functions())


def test_what_torch_jit_has_compiled() -> None:
    network = trace(stack(conv(3)), IMAGE)
    units = tuple(targets(analyze(network, "it")))
    with pytest.raises(ProbeError, match="compiled it"):
        gradient_extent(Subject("it", network, None, units), torch.jit.script(stack(conv(3))), {})


def test_too_large_to_probe() -> None:
    variant = vggcalc.summary("vgg16").variants[0]
    assert why_unprobed(variant, None) is None
    reason = why_unprobed(variant, 10**9)
    assert reason is not None
    assert reason.endswith("bytes of memory, and 1,000,000,000 are free")
    reason = why_unprobed(vggcalc.summary("vgg16", size=448).variants[0], None)
    assert reason is not None
    assert reason.endswith(" MACs are more than 50,000,000,000")
    assert why_unprobed(vggcalc.summary("vgg16", batch=8).variants[0], None) is None, "of one image"


# The whole way


def test_the_command_says_who_confirms_the_field() -> None:
    done = invoke("factorize", "7", "--channels", "2", "--size", "14", "--no-latency", "--check", "--details")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "Counts and receptive field of 7×7 confirmed by torch and fvcore." in text
    assert (
        "The receptive field is that of the gradient of block1.relu1 at 6,6 (naive) and of block1.relu3 at 6,6 "
        "(factorized)." in text
    )
