"""What a name may have meant, what a file has, and which layer an input does not fit: said in one line."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import process
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vggcalc
from vggcalc.nets import candidates
from vggcalc.nets.origins import REGISTRIES

pytestmark = pytest.mark.usefixtures("warm_workers")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Packages torchvision and timm that register as these do, and that fail when they are imported."""
    sources = {
        "torchvision/models/resnet.py": "@register_model()\n@handle_legacy_interface(\n    weights=('x', 1),\n)\n"
        "def resnet50(*, weights=None):\n    return _resnet()\n\ndef helper():\n    pass\n",
        "timm/models/deep/resnet.py": "@register_model\ndef resnet50(pretrained=False) -> ResNet:\n    pass\n\n"
        "@register_model\ndef resnet50d(pretrained=False) -> ResNet:\n    pass\n",
    }
    for name, source in sources.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(source)
        (tmp_path / name.partition("/")[0] / "__init__.py").write_text("raise AssertionError('imported')")
    for package in REGISTRIES:
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    candidates.registered_models.cache_clear()
    yield tmp_path
    candidates.registered_models.cache_clear()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("resnet50", "torchvision:resnet50 or timm:resnet50"),
        ("ResNet50", "torchvision:resnet50 or timm:resnet50"),
        ("resnet50d", "timm:resnet50d"),
        ("resnet_50d", "timm:resnet50d"),
        ("vgg61", "vgg16"),
        ("vgg91", "vgg19"),
    ],
)
def test_a_name_without_a_prefix_is_found_in_the_packages(packages: Path, typed: str, meant: str) -> None:
    with pytest.raises(vggcalc.InputError, match=rf"^unknown model '{typed}': did you mean {meant}\?$"):
        vggcalc.summary(typed)


def test_what_is_in_no_package_is_told_how_to_be_written(packages: Path) -> None:
    with pytest.raises(vggcalc.InputError, match=r"'helper': try vgg11, .*, such as torchvision:resnet50$"):
        vggcalc.summary("helper")


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        (
            "model.onnx",
            r"^model\.onnx is a graph of another framework, .*torch\.export\.save wrote .* net\.pt2$",
        ),
        (
            "deep/Model.PTH",
            r"deep/Model\.PTH is weights, or a pickle, .*, as net\.py:Net; rewrite reads weights",
        ),
        ("net.yaml", r"net\.yaml is not read: give a \.toml or \.json file with features, or Python with a module"),
        ("net.py:Net(width=32, n=5)", r"is a call: write net\.py:Net --arg width=32 --arg n=5$"),
        ("pkg.net:make(3)", r"is a call: write pkg\.net:make --arg NAME=3$"),
        ("timm:", r"timm: names no module: write package\.module:attribute, .* or timm:NAME$"),
    ],
)
def test_what_people_type_for_a_model_is_told_how_to_be_written(typed: str, right: str) -> None:
    with pytest.raises(vggcalc.InputError, match=right):
        vggcalc.summary(typed)


def test_a_dot_for_a_colon_finds_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/own.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(vggcalc.InputError, match=r"'nets\.own\.make': did you mean nets/own\.py:make\?$"):
        vggcalc.summary("nets.own.make")


class Needy(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.conv(x) + self.conv(y)


@pytest.mark.parametrize(
    ("options", "right"),
    [((), "'width': give what it needs with --arg NAME=VALUE"), (("--arg", "width=8"), "'y'.*: give every input")],
)
def test_a_missing_argument_is_told_where_it_is_given(options: tuple[str, ...], right: str) -> None:
    done = process.invoke("summary", f"{__file__}:Needy", "--no-latency", *options)
    assert done.returncode == 2
    assert re.search(f"missing 1 required positional argument: {right}", done.stderr)


@pytest.mark.parametrize("model", ["vgg16", "alexnet", "8,M,8"])
def test_a_shape_without_its_batch_is_told_the_whole_shape(model: str) -> None:
    for given, meant in (("3x64x96", "1x3x64x96"), ("64x96", "1x3x224x224"), ("1x3x8x64x96", "1x3x224x224")):
        with pytest.raises(vggcalc.InputError, match=rf"batch×channels×height×width: did you mean {meant}\?$"):
            vggcalc.summary(model, given)
    with pytest.raises(vggcalc.InputError, match="leave out float16 there, dtype changes both"):
        vggcalc.summary(model, "1x3x64x64:float16")
    assert "input 1×3×64×64, float32" in vggcalc.summary(model, "1x3x64x64:float32").to_markdown()


@pytest.mark.parametrize(
    ("layers", "given", "meant"),
    [
        ((nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (3, 8, 6), "1x3x8x6"),
        ((nn.Conv2d(3, 4, 3),), (1, 8, 6, 3), "1x3x8x6"),
        ((nn.Conv1d(2, 4, 3), nn.Flatten(), nn.Linear(24, 2)), (2, 8), "1x2x8"),
        ((nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4)), (2, 8, 6, 7), "1x2x8x6x7"),
        ((nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (1, 4, 8, 6), ""),
    ],
)
def test_an_imported_model_that_would_take_the_shape_otherwise_says_so(
    layers: tuple[nn.Module, ...], given: tuple[int, ...], meant: str
) -> None:
    """What is meant was tried: torch runs it."""
    model = nn.Sequential(*layers)
    with pytest.raises(vggcalc.InputError) as raised:
        vggcalc.trace(model, given)
    assert str(raised.value).endswith(f": did you mean {meant}?") == bool(meant)
    if meant:
        model.eval()(torch.zeros([int(number) for number in meant.split("x")]))


@pytest.mark.parametrize(
    ("arguments", "has", "lacks"),
    [
        (("families", "(2+1)D"), "Tran et al. 2018", "Howard"),
        (("families", "stack", "Separable"), "section 2.3", "SLaK"),
        (("costs", "saved activations"), "backward pass", "compulsory"),
        (("costs", "macs", "of roof"), "multiply-accumulates", "backward pass"),
        (("costs", "against.NAME", "--format", "markdown"), "now / earlier", "multiply"),
        (("models", "d"), "vgg16", "googlenet"),
    ],
)
def test_a_list_shows_those_that_are_named(arguments: tuple[str, ...], has: str, lacks: str) -> None:
    done = process.invoke(*arguments)
    assert done.returncode == 0
    assert has in done.stdout
    assert lacks not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        (("families", "assymetric"), "did you mean asymmetric?"),
        (("costs", "wieghts"), "did you mean weights?"),
        (("models", "vgg61"), "did you mean vgg16?"),
    ],
)
def test_a_list_says_what_a_name_may_have_meant(arguments: tuple[str, ...], right: str) -> None:
    done = process.invoke(*arguments)
    assert done.returncode == 2
    assert right in done.stderr


NET = """
import torch
from torch import nn

class Config: pass
class _Base(nn.Module): pass
class Net(torch.nn.Module): pass
class Wide(Net): pass
def make(width): return Wide()
def train(model): Net(); print("running")
def size(): return 3
net = Wide()
loose: nn.Module = Net()
raise SystemExit("it was run")
"""


def test_a_file_says_what_it_has_and_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(NET)
    with pytest.raises(vggcalc.InputError, match=r"net\.py:NAME with one of Net, Wide, make, net$"):
        vggcalc.summary(path)
    path.write_text("from torch import nn\nclass Net(nn.Module): pass\n")
    with pytest.raises(vggcalc.InputError, match=r"Write .*net\.py:Net$"):
        vggcalc.summary(path)
    path.write_text("x = 3\n")
    with pytest.raises(vggcalc.InputError, match=r"Write .*net\.py:NAME$"):
        vggcalc.summary(path)
    path.write_text("x = = 3\n")
    with pytest.raises(vggcalc.InputError, match=r"net\.py is no Python: invalid syntax"):
        vggcalc.summary(path)
    with pytest.raises(vggcalc.InputError, match=r"none\.py: No such file"):
        vggcalc.summary(tmp_path / "none.py")


class Matrix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10, 99))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


@pytest.mark.parametrize(
    ("layer", "shape", "wants"),
    [
        (nn.Conv1d(3, 4, 3), (1, 1, 8), "Conv1d wants 3 channels, got 1"),
        (nn.Conv2d(3, 4, 3), (1, 1, 8, 8), "Conv2d wants 3 channels, got 1"),
        (nn.Conv2d(3, 4, 3), (1, 8, 8), "Conv2d wants an input of N×3×H×W, got 1×8×8"),
        (nn.Conv3d(3, 4, 3), (1, 3, 8, 8), "Conv3d wants an input of N×3×D×H×W, got 1×3×8×8"),
        (nn.Conv1d(3, 4, 3), (1, 8), "Conv1d wants an input of N×3×L, got 1×8"),
        (nn.Conv2d(4, 4, 3, groups=2), (1, 8, 8, 8), "Conv2d wants 4 channels, got 8"),
        (nn.Conv2d(3, 4, 9), (1, 3, 4, 4), "Conv2d wants an input of 9×9 or more, got 4×4"),
        (nn.Conv3d(3, 4, 3), (1, 1, 8, 8, 8), "Conv3d wants 3 channels, got 1"),
        (nn.Linear(5, 4), (2, 3, 8), "Linear wants 5 features, got 8"),
        (nn.LSTM(5, 4), (2, 3, 8), "LSTM wants 5 features, got 8"),
        (nn.BatchNorm2d(4), (1, 3, 8, 8), "BatchNorm2d wants 4 channels, got 3"),
        (nn.BatchNorm2d(4), (1, 3, 8), "BatchNorm2d wants a 4D input, got 3D"),
        (nn.GroupNorm(2, 4), (1, 6, 8, 8), "GroupNorm wants 4 channels, got 6"),
        (nn.LayerNorm(16), (1, 3, 8), "LayerNorm wants a shape that ends with 16, got 1×3×8"),
        (nn.MaxPool2d(9), (1, 3, 4, 4), "MaxPool2d wants a larger input, got 3×4×4"),
        (Matrix(), (1, 8), "Matrix wants 99 features, got 8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_layer_that_an_input_does_not_fit_is_named(layer: nn.Module, shape: tuple[int, ...], wants: str) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        layer.eval()(torch.zeros(shape))
    inputs = "×".join(map(str, shape))
    message = rf"^Sequential cannot be traced: layer 1: {re.escape(wants)} from input {inputs}$"
    with pytest.raises(vggcalc.InputError, match=message):
        vggcalc.trace(nn.Sequential(nn.Identity(), layer), shape)


def test_the_command_names_it_too(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))\n")
    done = process.invoke("summary", f"{tmp_path}/net.py:net", "--size", "16", "--no-latency")
    assert done.returncode == 2
    wants = "layer 1: Linear wants 192 features, got 768 from input 1×3×16×16"
    assert f"net.py:net cannot be traced: {wants}" in done.stderr


@pytest.mark.parametrize(("kernel", "stride", "channels"), [(7, 2, 64), (9, 2, 48), (11, 4, 64), (5, 2, 32)])
def test_what_is_advised_for_a_stem_is_true(kernel: int, stride: int, channels: int) -> None:
    """Following the advice does so many MACs, and has that receptive field."""
    stem = nn.Conv2d(3, channels, kernel, stride, kernel // 2)
    model = nn.Sequential(stem, nn.ReLU(), nn.Conv2d(channels, 8, 5, padding=2))
    said = " ".join(vggcalc.compare(model, inputs=(1, 3, 64, 64)).to_markdown().split())
    advice = (
        r"0 is a stem: --stride-at (\w+) --widths (\d+) --only 0 makes it .*?, which does (.*?) its .*? "
        r"and has a receptive field of (\d+)×"
    )
    found = re.search(advice, said)
    assert found is not None
    followed = vggcalc.compare(
        model, inputs=(1, 3, 64, 64), stride_at=found[1], widths=int(found[2]), only="0", min_kernel=5
    )
    (replaced,) = followed.replaced
    before, after = (side["macs"] for side in replaced.costs)
    assert before is not None
    assert after is not None
    share = after / before
    amount = (
        f"{share:.2f} times as many MACs as"
        if share >= 2
        else f"{abs(1 - share):.0%} {'more' if share > 1 else 'fewer'}"
    )
    assert found[3].startswith(amount)
    last = next(one for one in followed["factorized"].layers if one.name == replaced.after[-1])
    assert last.receptive_field is not None
    assert last.receptive_field.size == (int(found[4]),) * 2
    assert "is a stem" not in followed.to_markdown()


def test_what_is_no_stem_gets_no_advice_for_one() -> None:
    assert "is a stem" not in vggcalc.compare(nn.Conv2d(3, 64, 7, padding=3), inputs=(1, 3, 32, 32)).to_markdown()
    assert "is a stem" not in vggcalc.compare(nn.Conv2d(64, 64, 7, 2, 3), inputs=(1, 64, 32, 32)).to_markdown()


def test_an_output_given_as_a_model_is_told_where_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "now.json"
    assert process.invoke("compare", "vgg11", "--no-latency", "--output", str(path)).returncode == 0
    done = process.invoke("summary", str(path), "--no-latency")
    assert done.returncode == 2
    assert "now.json is an output of vggcalc, which --against and vggcalc join read" in done.stderr


def test_a_layer_that_there_is_not_gets_one_that_there_is() -> None:
    options = ("--no-latency", "--unit", "0,0", "--receptive-field")
    assert "did you mean block1.pool?" in process.invoke("summary", "vgg11", *options, "blok1.pool").stderr
    assert re.search(r"no layer '7': such as \w+", process.invoke("summary", "vgg11", *options, "7").stderr)


def test_brief_markdown_has_the_columns_of_a_narrow_terminal() -> None:
    brief, whole = (
        process.invoke("compare", "vgg16", "--no-latency", "--format", "markdown", *options).stdout
        for options in (("--brief",), ())
    )
    head = "| block | variant | kernels | RF | parameters | MACs | Δ MACs |\n"
    assert head in brief
    assert head not in whole
    assert head.removesuffix("\n") in whole
