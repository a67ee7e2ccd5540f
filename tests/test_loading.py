"""Modules that MODEL names, made in this process: no downloads, constructors that need values."""

import inspect
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.nets.origins import Origin
from vggcalc.runtime.load import constructing
from vggcalc.runtime.load.constructing import without_weights
from vggcalc.runtime.load.errors import LoadError
from vggcalc.runtime.load.factories import without_pretrained
from vggcalc.runtime.load.load import load, traced

SHAPE = (1, 3, 64, 64)

SOURCE = '''
import math
import torch
from torch import nn

class Strides(nn.Module):
    """As every YOLO: its constructor runs a forward pass and reads the stride that comes out."""

    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 7, stride=2)
        self.norm = nn.BatchNorm2d(width)
        self.stride = torch.tensor([64 / self.norm(self.conv(torch.zeros(1, 3, 64, 64))).shape[-1]])
        self.conv.bias.data[:] = math.log(self.stride[0])

    def forward(self, image):
        return self.norm(self.conv(image))

class Rates(nn.Module):
    """Reads constants as it is made, and not its parameters: they need no memory."""

    def __init__(self):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
        self.wide = nn.Sequential(*[nn.Linear(2**14, 2**14, bias=False) for _ in range(2**12)])

    def forward(self, image):
        return self.wide(image.flatten(1)[:, :1].expand(-1, 2**14))

class Terabytes(Rates):
    def __init__(self):
        super().__init__()
        self.first = self.wide[0].weight[0, 0].item()

def on_cuda(): return nn.Conv2d(3, 4, 3).cuda()

class MovesToCuda(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image):
        return self.conv(image.cuda())
'''


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "models_to_load.py"
    path.write_text(SOURCE, encoding="utf-8")
    return str(path)


def counted(module: nn.Module, shape: tuple[int, ...]) -> int:
    """torch's own count of the MACs, on the meta device."""
    module = module.to("meta").eval().requires_grad_(False)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(torch.empty(shape, device="meta"))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"weights": None, "weights_backbone": None}),
        ({"weights": "DEFAULT"}, {"weights": "DEFAULT", "weights_backbone": None}),
        ({"weights_backbone": "DEFAULT"}, {"weights": None, "weights_backbone": "DEFAULT"}),
        ({"pretrained": True}, {"pretrained": True, "weights_backbone": None}),
    ],
)
def test_pretrained_weights_only_where_an_argument_asks_for_them(
    arguments: dict[str, Any], expected: dict[str, Any]
) -> None:
    def detector(*, weights: object = None, weights_backbone: object = "IMAGENET1K_V1", **others: object) -> None: ...

    assert without_pretrained(detector, arguments) == expected


def test_as_timm_calls_it() -> None:
    def entry(pretrained: bool = True, pretrained_cfg: object = None, **others: object) -> None: ...

    assert without_pretrained(entry, {"num_classes": 10}) == {"num_classes": 10, "pretrained": False}
    assert without_pretrained(entry, {"pretrained": True}) == {"pretrained": True}


@pytest.mark.filterwarnings("ignore")
def test_no_model_of_torchvision_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one of its registry is made; the defaults of its detectors and segmentation models are downloads."""
    models = pytest.importorskip("torchvision").models

    def download(url: str, *args: object, **kwargs: object) -> None:
        raise AssertionError(f"downloads {url}")

    for name, module in list(sys.modules.items()):
        if name.startswith("torchvision.models") or name == "torch.hub":
            for loader in ("load_state_dict_from_url", "download_url_to_file"):
                if hasattr(module, loader):
                    monkeypatch.setattr(module, loader, download)
    defaults = {
        name: inspect.signature(models.get_model_builder(name)).parameters.get("weights_backbone")
        for name in models.list_models()
    }
    assert any(parameter is not None and parameter.default is not None for parameter in defaults.values())
    for name in defaults:
        module = load(Origin(f"torchvision:{name}", SHAPE), meta=True)
        assert sum(parameter.numel() for parameter in module.parameters()) > 0, name


@pytest.mark.filterwarnings("ignore")
def test_no_model_of_timm_asks_for_pretrained_weights() -> None:
    timm = pytest.importorskip("timm")
    for name in timm.list_models():
        entry = timm.models.model_entrypoint(name)
        for parameter in without_pretrained(entry, {}):
            assert parameter in inspect.signature(entry).parameters
        assert without_pretrained(entry, {})["pretrained"] is False, name


def test_a_constructor_that_runs_a_forward_pass(source: str) -> None:
    network = traced(Origin(f"{source}:Strides", SHAPE, {"width": 5}), "strides")
    real = load(Origin(f"{source}:Strides", SHAPE, {"width": 5}))
    assert real.stride.item() == pytest.approx(64 / 29)
    assert real.conv.bias.detach().tolist() == pytest.approx([math.log(64 / 29)] * 5)
    assert vggcalc.summary(network).macs == counted(real, SHAPE) == 29 * 29 * 5 * 3 * 49


def test_a_constructor_that_reads_constants_needs_no_memory_for_its_weights(source: str) -> None:
    module = load(Origin(f"{source}:Rates", SHAPE), meta=True)
    assert module.rates == [0.0, 0.5, 1.0]
    assert {parameter.device.type for parameter in module.parameters()} == {"meta"}
    assert sum(parameter.numel() for parameter in module.parameters()) == 2**40


def test_values_that_do_not_fit_into_memory_are_refused_before_they_are_filled(source: str) -> None:
    with pytest.raises(LoadError) as raised:
        load(Origin(f"{source}:Terabytes", SHAPE), meta=True)
    said = str(raised.value)
    assert "MemoryError" in said
    assert "bytes are free, and its parameters take" in said
    assert "cannot be made without their values" in said
    assert "\n" not in said


def test_each_way_is_tried_in_turn_and_the_last_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []

    def make() -> nn.Module:
        devices.append((torch.empty(()).device.type, nn.Linear(2, 2).weight.device.type))
        raise ValueError(f"attempt {len(devices)}")

    monkeypatch.setattr(constructing, "free_bytes", lambda: None)  # a platform that does not report it
    with pytest.raises(ValueError, match="attempt 3"):
        without_weights(make)
    assert devices == [("meta", "meta"), ("cpu", "meta"), ("cpu", "cpu")]
    assert nn.Linear(2, 2).weight.device.type == "cpu"  # nothing is left behind


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
@pytest.mark.parametrize("name", ["on_cuda", "MovesToCuda"])
def test_moving_to_cuda_without_one_is_explained(source: str, name: str) -> None:
    with pytest.raises(LoadError, match="its code moves to CUDA, which is not here") as raised:
        traced(Origin(f"{source}:{name}", SHAPE), name)
    assert "\n" not in str(raised.value)
    assert f"({source}, line " in str(raised.value)
