"""Modules written as Python: what is run again is the same module, without vggcalc."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from process import invoke
from torch import nn

import vggcalc
from vggcalc.runtime.source import NotWritten, SourceWriter

pytestmark = pytest.mark.usefixtures("warm_workers")

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 7, stride=2, padding=3)
        self.blocks = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 5, padding=2), nn.BatchNorm2d(width))
        self.same = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 5, padding=2), nn.BatchNorm2d(width), nn.ReLU())
    def forward(self, image):
        return self.same(self.blocks(self.stem(image))).mean((2, 3))
made = Net(5)
"""


def again(module: nn.Module) -> nn.Module:
    """What the source of a module makes, with the module's weights."""
    writer = SourceWriter()
    expression = writer.expression(module)
    scope: dict[str, Any] = {}
    text = "\n".join(["import torch", "from torch import nn", "from collections import OrderedDict", *writer.classes])
    exec(f"{text}\nmade = {expression}", scope)
    made: nn.Module = scope["made"]
    made.load_state_dict(module.state_dict())
    return made.train(module.training)


def shared() -> nn.Sequential:
    one = nn.ReLU()
    return nn.Sequential(one, nn.Conv2d(2, 2, 1), one, nn.BatchNorm2d(2, momentum=None))


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 5), (1, 2), padding=(1, 4), dilation=(1, 2), groups=2, bias=False),
        nn.BatchNorm2d(4, eps=1e-3, affine=False),
        nn.LeakyReLU(0.3, inplace=True),
        nn.MaxPool2d(3, 1, ceil_mode=True),
        nn.GroupNorm(2, 4, eps=1e-4),
        nn.AdaptiveAvgPool2d((2, None)),
        nn.Flatten(2),
        nn.PReLU(4),
        nn.Softmax(1),
    )


def built(model: str, size: int = 32) -> nn.Module:
    return vggcalc.build(vggcalc.summary(model, size=size, classes=5).variants[0]).eval()


def factorized(**options: Any) -> nn.Module:
    return vggcalc.build(vggcalc.factorize(5, channels=2, **options).variants[1])


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "layers": (layers, (2, 2, 12, 12)),
    "double precision": (lambda: nn.Sequential(nn.Conv1d(3, 3, 3, padding_mode="circular")).double(), (1, 3, 8)),
    "the same layer twice": (shared, (1, 2, 5, 5)),
    "itself a layer": (lambda: nn.Conv3d(1, 2, 3), (1, 1, 4, 4, 4)),
    "a VGG": (lambda: built("vgg11"), (1, 3, 32, 32)),
    "a network that joins": (lambda: built("googlenet", 64), (1, 3, 64, 64)),
    "branches": (lambda: factorized(into="stripes"), (1, 2, 9, 9)),
    "causal": (lambda: factorized(dims=1, causal=True), (1, 2, 20)),
}


@pytest.mark.parametrize("name", MODULES)
def test_what_is_written_makes_the_same_module(name: str) -> None:
    make, shape = MODULES[name]
    module = make()
    made = again(module)
    assert list(made.state_dict()) == list(module.state_dict())
    data = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(next(module.parameters()).dtype)
    with torch.no_grad():
        assert torch.equal(made(data), module(data))


@pytest.mark.parametrize("module", [nn.LSTM(2, 2), nn.MultiheadAttention(4, 2), nn.Sequential(nn.RNN(1, 1))])
def test_what_cannot_be_seen_is_not_guessed(module: nn.Module) -> None:
    with pytest.raises(NotWritten):
        SourceWriter().expression(module)


@pytest.mark.parametrize(
    ("attribute", "options", "save"),
    [("Net", ("--arg", "width=6"), "small.pt"), ("made", ("--into", "stripes", "--fit"), "small.safetensors")],
)
def test_the_command_writes_python_that_runs_without_vggcalc(
    attribute: str,
    options: tuple[str, ...],
    save: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A user's own class is made by its own file, from another folder, and the written weights load."""
    if save.endswith(".safetensors"):
        pytest.importorskip("safetensors")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/user-net.py").write_text(NET)
    code = tmp_path / "small.py"
    done = invoke(
        "rewrite", f"{tmp_path / 'models/user-net.py'}:{attribute}", "--input", "1x3x24x24", *options,
        "--save", str(tmp_path / save), "--code", str(code),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{code} makes this module without vggcalc" in done.stdout
    text = code.read_text()
    assert "for path in" in text  # the two that are alike
    monkeypatch.setitem(sys.modules, "vggcalc", None)
    monkeypatch.chdir("/")
    runpy.run_path(str(code), run_name="__main__")
    assert capsys.readouterr().out.startswith("Net(")
    assert {path.name for path in tmp_path.iterdir()} == {"models", save, "small.py"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("vgg16", "--code", "small.txt"), "small.txt is no .py file"),
        (("net.py:Net", "--code", "net.py"), "would overwrite the model's own file"),
    ],
)
def test_files_that_cannot_be_the_code_are_refused(arguments: tuple[str, ...], says: str) -> None:
    done = invoke("rewrite", *arguments, "--save", "small.pt")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert says in done.stderr


def test_python_that_makes_another_module_is_not_left(tmp_path: Path) -> None:
    """A factory that makes another module each time it is called cannot be written down."""
    source = "from torch import nn\ncalls = []\nclass Net(nn.Sequential): pass\ndef make():\n    calls.append(1)\n"
    source += "    return Net(nn.Conv2d(1, 1, 5, padding=2), nn.Conv2d(1, len(calls), 1))\n"
    (tmp_path / "net.py").write_text(source)
    done = invoke(
        "rewrite", f"{tmp_path / 'net.py'}:make", "--input", "1x1x8x8", "--no-cache",
        "--save", str(tmp_path / "small.pt"), "--code", str(tmp_path / "small.py"),
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "small.py is not written" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"net.py", "small.pt"}
