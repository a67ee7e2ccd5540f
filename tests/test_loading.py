"""Modules that MODEL names, made in this process: no downloads, constructors that need values."""

import inspect
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from process import invoke
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.errors import InputError
from vggcalc.nets.origins import Origin
from vggcalc.runtime.load import constructing
from vggcalc.runtime.load.constructing import without_weights
from vggcalc.runtime.load.errors import LoadError
from vggcalc.runtime.load.factories import without_pretrained
from vggcalc.runtime.load.load import load, traced

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch's own, of what it deprecates
    pytest.mark.usefixtures("warm_workers"),
]

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

class Picks(nn.Module):
    """What it was made with and what it draws as it runs say how often a convolution runs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image):
        for _ in range(1 + int(self.conv.weight.abs().sum() * 1000) % 30 + int(torch.randint(30, ()))):
            image = self.conv(image)
        return image

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


class Plain(nn.Module):
    """A 5×5, a batch norm and a linear layer: 3·8·25·H·W MACs and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        head: torch.Tensor = self.head(self.body(image).mean((2, 3)))
        return head


class WithConstant(Plain):
    """It makes a tensor as it runs, on the device of its input."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(image + torch.arange(3, device=image.device).view(3, 1, 1))


def plain_macs(height: int, width: int, batch: int = 1) -> int:
    return batch * (3 * 8 * 25 * height * width + 8 * 4)


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "models_to_load.py"
    path.write_text(SOURCE, encoding="utf-8")
    return str(path)


def counted(module: nn.Module, shape: tuple[int, ...]) -> int:
    """torch's own count of the MACs, on the meta device."""
    module = module.to("meta").eval().requires_grad_(False)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(torch.empty(shape, device="meta", dtype=next(module.parameters()).dtype))
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


def test_counts_that_depend_on_values_are_the_same_every_time(source: str) -> None:
    drawn = torch.get_rng_state()
    counts = []
    for number in (1, 2, 3):
        torch.manual_seed(number)
        counts.append(vggcalc.summary(traced(Origin(f"{source}:Picks", SHAPE), "picks")).macs)
        torch.manual_seed(4)
        before = torch.get_rng_state()
        load(Origin(f"{source}:Picks", SHAPE))
        assert torch.equal(torch.get_rng_state(), before)  # the caller's own draws are left as they were
    assert len(set(counts)) == 1
    torch.set_rng_state(drawn)


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


def scripted() -> nn.Module:
    module: nn.Module = torch.jit.script(nn.Conv2d(3, 8, 5))  # type: ignore[no-untyped-call]
    return module


def recorded() -> nn.Module:
    module: nn.Module = torch.jit.trace(Plain().eval(), torch.zeros(SHAPE))  # type: ignore[no-untyped-call]
    return module


class Widths:
    """A configuration, as models of transformers are made of one."""

    def __init__(self, channels: int = 4, size: int = 3) -> None:
        self.channels, self.size = channels, size


class Configured(nn.Conv2d):
    config_class = Widths

    def __init__(self, config: Widths) -> None:
        super().__init__(3, config.channels, config.size, padding="same")


@pytest.mark.parametrize(("arguments", "channels"), [({}, 4), ({"channels": 8}, 8)])
def test_a_class_with_a_configuration_is_made_of_its_default_one(arguments: dict[str, Any], channels: int) -> None:
    module = load(Origin(f"{__name__}:Configured", SHAPE, arguments))
    assert isinstance(module, Configured)
    assert module.weight.shape == (channels, 3, 3, 3)


def in_parallel() -> nn.Module:
    return nn.DataParallel(Plain())


def compiled() -> nn.Module:
    module: nn.Module = torch.compile(nn.DataParallel(Plain()))  # type: ignore[assignment]
    return module


@pytest.fixture
def distributed() -> Iterator[nn.Module]:
    dist = torch.distributed
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield nn.parallel.DistributedDataParallel(Plain())
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("make", [in_parallel, compiled])
def test_the_module_within(make: Callable[[], nn.Module]) -> None:
    found = vggcalc.summary(make(), SHAPE)
    assert found.macs == plain_macs(64, 64)
    assert [layer.name for layer in found.variants[0].layers][:3] == ["body.0", "body.1", "body.2"]
    assert traced(Origin(f"{__name__}:{make.__name__}", SHAPE), "network").nodes[0].name == "body.0"
    new = vggcalc.rewrite(make(), SHAPE)
    assert isinstance(new, Plain)
    assert isinstance(new.body[0], nn.Sequential)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch is built without it")
def test_distributed_data_parallel(distributed: nn.Module) -> None:
    assert vggcalc.summary(distributed, SHAPE).macs == plain_macs(64, 64)


def lazily() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(8, 5), nn.LazyBatchNorm2d(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(4)
    )


@pytest.mark.parametrize("meta", [False, True])
def test_lazy_modules_get_their_shapes(meta: bool) -> None:
    module = load(Origin(f"{__name__}:lazily", SHAPE), meta=meta)
    assert {parameter.device.type for parameter in module.parameters()} == {"meta" if meta else "cpu"}
    assert [tuple(parameter.shape) for parameter in module.parameters()] == [
        (8, 3, 5, 5), (8,), (8,), (8,), (4, 32), (4,)
    ]  # fmt: skip
    assert all(part.training for part in module.modules())
    if not meta:
        assert module[1].running_mean.eq(0).all()  # it ran in evaluation mode
    assert vggcalc.summary(module, SHAPE).macs == 60 * 60 * 8 * 3 * 25 + 32 * 4


def normed(norm: Callable[..., nn.Module]) -> nn.Module:
    module = Plain()
    norm(module.body[0])
    return module


def pruned() -> nn.Module:
    from torch.nn.utils import prune

    return normed(lambda conv: prune.l1_unstructured(conv, "weight", 0.5))  # type: ignore[no-untyped-call, no-any-return]


def weight_normed() -> nn.Module:
    return normed(nn.utils.parametrizations.weight_norm)


def spectral_normed() -> nn.Module:
    return normed(nn.utils.parametrizations.spectral_norm)


def half() -> nn.Module:
    return Plain().half()


def bfloat16() -> nn.Module:
    return Plain().bfloat16()


@pytest.mark.parametrize("make", [pruned, weight_normed, half, bfloat16])
def test_modules_with_computed_or_short_weights(make: Callable[[], nn.Module]) -> None:
    """Their convolution and linear layer do what they do in float32; torch counts the same."""
    network = traced(Origin(f"{__name__}:{make.__name__}", SHAPE), "network")
    found = vggcalc.summary(network)
    assert found.macs == plain_macs(64, 64) == counted(make(), SHAPE)
    assert found.parameters == sum(parameter.numel() for parameter in make().parameters())


def test_a_spectral_norm() -> None:
    """In evaluation mode it multiplies its weight of 8×75 with two vectors, once."""
    found = vggcalc.summary(traced(Origin(f"{__name__}:spectral_normed", SHAPE), "network"))
    (variant,) = found.variants
    assert variant.layers[-1].costs["macs"] == 8 * 4
    assert max(int(layer.costs["macs"] or 0) for layer in variant.layers) == 3 * 8 * 25 * 64 * 64


def quantized() -> nn.Module:
    from torch.ao.quantization import quantize_dynamic

    module: nn.Module = quantize_dynamic(Plain(), {nn.Linear})
    return module


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (scripted, "RecursiveScriptModule is a ScriptModule, which has no Python: give the nn.Module"),
        (recorded, "TopLevelTracedModule is a ScriptModule"),
        (quantized, r"head \(Linear\) is quantized, and its kernels need values: give the module before"),
    ],
)
def test_what_no_trace_can_run_says_what_would_be_right(make: Callable[[], nn.Module], why: str) -> None:
    origin = Origin(f"{__name__}:{make.__name__}", SHAPE)
    for act in (lambda: vggcalc.summary(make(), SHAPE), lambda: traced(origin, "network")):
        with pytest.raises((InputError, LoadError), match=why) as raised:
            act()
        assert "\n" not in str(raised.value)


def test_a_lazy_module_in_python_is_run_by_its_owner() -> None:
    with pytest.raises(InputError, match="has lazy modules, which have no shapes yet: run it once before"):
        vggcalc.summary(lazily(), SHAPE)


def export(module: nn.Module, folder: Path) -> str:
    path = folder / "exported.pt2"
    torch.export.save(torch.export.export(module.eval(), (torch.zeros(2, 3, 32, 48),)), path)
    return str(path)


def test_an_exported_program(tmp_path: Path) -> None:
    """By the names of the submodules, for the shape that it was exported with, its constants on the meta device."""
    program = export(WithConstant(), tmp_path)
    found = vggcalc.summary(program)
    assert found.input_shape == (2, 3, 32, 48)
    assert found.macs == plain_macs(32, 48, batch=2)
    assert found.parameters == sum(parameter.numel() for parameter in Plain().parameters())
    names = [layer.name for layer in found.variants[0].layers if layer.name != "add"]
    assert (names[:3], names[-1]) == (["body.0", "body.1", "body.2"], "head")
    with pytest.raises(InputError, match=r"Expected input at \*args\[0\].shape\[0\] to be equal to 2, but got 1"):
        vggcalc.summary(program, batch=1)


def test_an_exported_program_runs_and_keeps_its_convolutions(tmp_path: Path) -> None:
    """They are calls of operators in a graph now, which are counted and not replaced."""
    program = export(Plain(), tmp_path)
    module = load(Origin(program, (2, 3, 32, 48)))
    assert module(torch.zeros(2, 3, 32, 48)).shape == (2, 4)
    compared = vggcalc.compare(program)
    assert compared["factorized"].macs == plain_macs(32, 48, batch=2)
    assert [one.name for one in compared.skipped] == ["body.0"]


def test_programs_that_cannot_be_used(tmp_path: Path) -> None:
    program = export(Plain(), tmp_path)
    with pytest.raises(InputError, match=r"there is no file .*none\.pt2"):
        vggcalc.summary(str(tmp_path / "none.pt2"))
    (tmp_path / "text.pt2").write_text("no archive")
    with pytest.raises(InputError, match=r"text\.pt2") as raised:
        vggcalc.summary(str(tmp_path / "text.pt2"))
    assert "\n" not in str(raised.value)
    flat = torch.export.load(program).module()
    with pytest.raises(InputError, match=r"give torch\.export\.unflatten\(program\)"):
        vggcalc.summary(flat, (2, 3, 32, 48))
    assert vggcalc.summary(torch.export.unflatten(torch.export.load(program)), (2, 3, 32, 48)).macs > 0


class Trap:
    """A pickle of it creates a file, there where it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("it-ran").absolute(),)


@pytest.mark.parametrize("arguments", [("trap.pt:Net",), ("net.py:Net", "--inputs", "trap.inputs.pt")])
def test_nothing_is_unpickled(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even what has the name and the companion of a file that the parent writes for its worker."""
    monkeypatch.chdir(tmp_path)
    torch.save(Trap(), "trap.pt")
    torch.save(Trap(), "trap.inputs.pt")
    Path("trap.pt.json").write_text("[]")
    Path("net.py").write_text("import torch\nNet = torch.nn.Flatten\n")
    done = invoke("summary", *arguments, "--no-latency")
    assert (done.returncode, "is a pickle" in done.stderr, Path("it-ran").exists()) == (2, True, False)
