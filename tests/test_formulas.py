"""`register_formula`: an operator or a module that vggcalc does not know is counted by its user's formula."""

import json
from pathlib import Path
from typing import Any

import process
import pytest
import torch
from torch import Tensor, nn

import vggcalc
from vggcalc.analysis.comparison import analyze
from vggcalc.errors import InputError
from vggcalc.nets.layers import CustomOperator, Opaque
from vggcalc.results import Variant
from vggcalc.runtime.trace import formulas
from vggcalc.runtime.trace.formulas import register_formula
from vggcalc.runtime.trace.tracer import trace

IMAGE = (2, 4, 6, 6)


@torch.library.custom_op("vggcalc_tests::linear", mutates_args=())
def product(one: Tensor, two: Tensor, heads: int = 1) -> Tensor:
    """A matrix product that torch knows nothing about, with a name that an operator of torch's own has too."""
    return one.flatten(2) @ two.flatten(2).mT


@product.register_fake
def _(one: Tensor, two: Tensor, heads: int = 1) -> Tensor:
    return one.new_empty(one.shape[0], one.shape[1], two.shape[1])


class Gram(nn.Module):
    """A convolution, and a product of two activations; `scale` is a parameter of its own."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, channels, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor, times: float = 1.0) -> Tensor:
        image = self.conv(image)
        return image.flatten(2) @ image.flatten(2).mT * self.scale * times


class Model(nn.Module):
    """A convolution before and a linear layer behind `middle`."""

    def __init__(self, middle: Any) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 3, padding=1)
        self.middle = middle
        self.head = nn.Linear(4, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.middle(self.stem(image)))


#: MACs of the convolution before and of the linear layer behind.
AROUND = 2 * 36 * 4 * 4 * 9 + 2 * 4 * 4 * 3


@pytest.fixture(autouse=True)
def _no_formula_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formulas, "_OF_OPERATORS", {})
    monkeypatch.setattr(formulas, "_OF_MODULES", {})


def analyzed(module: nn.Module) -> Variant:
    return analyze(trace(module, IMAGE), "traced")


def by_operator() -> nn.Module:
    return Model(Call())


class Call(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.vggcalc_tests.linear(x, x * 2, 3)


def test_an_operator_that_does_no_macs_puts_out_no_activations() -> None:
    """Activations are what layers with MACs put out (Radosavovic et al. 2020)."""

    @register_formula(torch.ops.vggcalc_tests.linear)
    def macs(one: tuple[int, ...], two: tuple[int, ...], heads: int, out_shape: tuple[int, ...]) -> int:
        return 0

    assert analyzed(by_operator()).costs["activations"] == 2 * 4 * 36 + 2 * 4 * 3


@pytest.mark.parametrize(
    "target",
    [
        torch.ops.vggcalc_tests.linear,
        torch.ops.vggcalc_tests.linear.default,
        product,
        "vggcalc_tests::linear",
        ["mylib::other", torch.ops.vggcalc_tests.linear],
    ],
    ids=["packet", "overload", "custom_op", "name", "list"],
)
def test_a_registered_operator_makes_a_partial_total_complete(target: object) -> None:
    before = analyzed(by_operator())
    assert before.partial["macs"] == ("linear",)
    assert before.costs["macs"] == AROUND

    @register_formula(target)
    def macs(one: tuple[int, ...], two: tuple[int, ...], heads: int, out_shape: tuple[int, ...]) -> int:
        assert (one, two, heads, out_shape) == ((2, 4, 6, 6), (2, 4, 6, 6), 3, (2, 4, 4))
        return 2 * 4 * 4 * 36

    after = analyzed(by_operator())
    assert set(after.partial) == {"saved_bytes"}
    assert after.costs["macs"] == AROUND + 2 * 4 * 4 * 36
    assert after.costs["flops"] == 2 * int(after.costs["macs"])
    assert after.costs["activations"] == 2 * 4 * 36 + 2 * 4 * 4 + 2 * 4 * 3
    # The first layer has no gradient of its input, everything behind it has.
    assert after.costs["training_flops"] == 3 * int(after.costs["flops"]) - 2 * 2 * 36 * 4 * 4 * 9
    assert after.costs["parameters"] == before.costs["parameters"]
    (layer,) = (layer for layer in after.layers if layer.type == "CustomOperator")
    assert layer.layer == CustomOperator("linear", (2, 4, 4), 2 * 4 * 4 * 36)
    assert layer.sees == "unknown"


def test_an_operator_of_another_library_is_not_torchs_of_the_same_name() -> None:
    (node,) = (node for node in trace(by_operator(), IMAGE).nodes if node.name.startswith("middle.linear"))
    assert node.layer == Opaque("linear", (2, 4, 4))


def test_a_module_is_taken_whole() -> None:
    def macs(module: Gram, shape: tuple[int, ...], times: float, out_shape: tuple[int, ...]) -> int:
        assert shape == (2, 4, 6, 6)
        assert out_shape == (2, 4, 4)
        assert times == 2.0
        return 36 * shape[0] * module.conv.out_channels * (4 * 9 + 4)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gram = Gram()

        def forward(self, x: Tensor) -> Tensor:
            return self.gram(x, times=2.0)

    assert "CustomOperator" not in {layer.type for layer in analyzed(Model(Twice())).layers}
    register_formula(Gram)(macs)
    found = analyzed(Model(Twice()))
    assert [layer.name for layer in found.layers] == ["stem", "middle.gram", "head"]
    whole = found.layers[1]
    assert whole.layer == CustomOperator("Gram", (2, 4, 4), 36 * 2 * 4 * 40)
    assert whole.costs["parameters"] == 4 * 4 * 9 + 4 + 1
    assert set(found.partial) == {"saved_bytes"}
    assert found.costs["macs"] == AROUND + 36 * 2 * 4 * 40
    assert found.costs["parameters"] == sum(parameter.numel() for parameter in Model(Twice()).parameters())


def test_a_subclass_has_the_formula_of_its_nearest_base() -> None:
    class Narrow(Gram):
        pass

    class Wide(Gram):
        pass

    register_formula(Gram)(lambda module, shape, out_shape: 1)
    register_formula(Wide)(lambda module, shape, out_shape: 2)
    assert [analyzed(Model(kind())).layers[1].macs for kind in (Gram, Narrow, Wide)] == [1, 1, 2]
    register_formula([Wide])(lambda module, shape, out_shape: 3)
    assert analyzed(Model(Wide())).layers[1].macs == 3


def test_the_outermost_of_nested_formulas_counts_and_the_root_may_have_one() -> None:
    register_formula([Gram, Model])(lambda module, shape, out_shape: 7)
    found = analyzed(Model(Gram()))
    assert [(layer.name, layer.macs) for layer in found.layers] == [("Model", 7)]
    assert found.costs["parameters"] == sum(parameter.numel() for parameter in Model(Gram()).parameters())


def test_all_that_a_whole_module_reads_and_puts_out() -> None:
    class Both(nn.Module):
        """Two outputs, of its argument and of what it was handed before; the argument is overwritten."""

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.add_(1), (self.before * 2).flatten(2)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(4, 4, 1)
            self.both = Both()

        def forward(self, x: Tensor) -> Tensor:
            y = self.stem(x)
            self.both.before = x
            _, two = self.both(y)
            return two + y.flatten(2)

    register_formula(Both)(lambda module, shape, out_shape: len(out_shape))
    network = trace(Outer(), IMAGE)
    nodes = {node.name: node for node in network.nodes}
    assert nodes["both"].inputs == ("stem", "input")
    assert nodes["both"].layer == CustomOperator("Both", (2, 4, 6, 6), 2)
    assert nodes["both.Both"].inputs == ("both",)
    assert nodes["add"].inputs == ("both.Both", "flatten")
    assert "both" in nodes["alias"].inputs  # what was overwritten is read behind the module
    assert analyze(network, "traced").costs["macs"] == 2 * 36 * 16 + 2


def test_it_survives_json(tmp_path: Path) -> None:
    register_formula(Gram)(lambda module, shape, out_shape: 12345)
    comparison = vggcalc.summary(Model(Gram()), IMAGE)
    comparison.save(tmp_path / "gram.json")
    read = vggcalc.load(tmp_path / "gram.json")
    (layer,) = (layer for layer in read.variants[0].layers if layer.type == "CustomOperator")
    assert layer.layer == CustomOperator("Gram", (2, 4, 4), 12345)
    assert layer.costs["macs"] == 12345
    assert read.variants[0].costs == comparison.variants[0].costs


@pytest.mark.parametrize(
    ("target", "error", "match"),
    [
        (3, TypeError, "not 3"),
        (nn.ReLU(), TypeError, "give its class, ReLU"),
        (Tensor, TypeError, "a subclass of torch.nn.Module"),
        (torch.add, TypeError, "an operator"),
        ("linear", InputError, "mylib::attention"),
        ("aten::linear", InputError, "has a formula already"),
        (torch.ops.aten.conv2d.default, InputError, "has a formula already"),
    ],
)
def test_what_is_no_operator_is_refused(target: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        register_formula(target)


@pytest.mark.parametrize(
    ("result", "error"), [(1.5, TypeError), (None, TypeError), (True, TypeError), (-1, InputError)]
)
def test_what_no_formula_returns_is_refused(result: object, error: type[Exception]) -> None:
    register_formula("vggcalc_tests::linear")(lambda *shapes, out_shape: result)  # type: ignore[arg-type, return-value]
    with pytest.raises(error, match="vggcalc_tests::linear returned"):
        trace(by_operator(), IMAGE)


def test_a_formula_must_be_callable() -> None:
    with pytest.raises(TypeError, match="a function that returns MACs"):
        register_formula(Gram)(12)  # type: ignore[type-var]


@pytest.mark.filterwarnings("error")
def test_a_whole_module_that_raises_leaves_nothing_behind() -> None:
    register_formula(Gram)(lambda module, shape, out_shape: 1)
    model = Model(Gram(channels=4))
    model.middle.conv = nn.Conv2d(5, 4, 3)
    with pytest.raises(InputError, match=r"layer middle.conv: Conv2d wants 5 channels, got 4"):
        trace(model, IMAGE)
    model.middle.conv = nn.Conv2d(4, 4, 3)
    assert analyzed(model).layers[1].macs == 1


def test_what_a_whole_module_puts_out_must_have_a_tensor() -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> str:
            return "done"

    register_formula(Nothing)(lambda module, shape, out_shape: 1)
    with pytest.raises(InputError, match="middle puts out no tensor"):
        trace(Model(Nothing()), IMAGE)


NET = """\
import torch
from torch import nn


class Prefix(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x.flatten(2)).real


def make():
    return nn.Sequential(nn.Conv2d(3, 8, 7), Prefix())
"""
#: Of the convolution in it, for an image of 32×32.
CONV = 26 * 26 * 8 * 147


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.parametrize(
    ("text", "macs"),
    [
        ("@vggcalc.register_formula(net.Prefix)\ndef macs(module, x, out_shape):\n    return 1000\n", CONV + 1000),
        ('@vggcalc.register_formula("aten::fft_rfft")\ndef macs(x, out_shape):\n    return 7\n', CONV + 7),
    ],
    ids=["class", "operator"],
)
def test_formulas_of_an_imported_model_are_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, macs: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    Path("formulas.py").write_text(f"import net\nimport vggcalc\n\n{text}")
    options = ("net.py:make", "--size", "32", "--no-latency", "--json")
    (bare,) = json.loads(process.invoke("summary", *options).stdout)["comparisons"][0]["variants"]
    assert (bare["costs"]["macs"], "macs" in bare["partial"]) == (CONV, True)
    done = process.invoke("summary", *options, "--formulas", "formulas.py")
    assert done.returncode == 0, done.stderr
    (variant,) = json.loads(done.stdout)["comparisons"][0]["variants"]
    assert (variant["costs"]["macs"], "macs" in variant["partial"]) == (macs, False)
    assert vggcalc.compare("net.py:make", inputs=(1, 3, 32, 32), formulas=Path("formulas.py"))["given"].macs == macs


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("none.py", "", "none.py registers no formula"),
        ("bad.py", "x = 1 / 0\n", r"bad.py raised ZeroDivisionError: division by zero \(.*bad.py, line 1\)"),
        ("has.py", 'import vggcalc\nvggcalc.register_formula("aten::mm")\n', "has.py: aten::mm has a formula already"),
        ("text.txt", "", "text.txt is no Python file"),
    ],
)
def test_what_is_no_file_of_formulas_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, match: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    Path(name).write_text(text)
    with pytest.raises(InputError, match=match):
        vggcalc.summary("net.py:make", (1, 3, 32, 32), formulas=name)


def test_a_module_takes_its_formulas_from_this_process() -> None:
    with pytest.raises(InputError, match=r"call vggcalc.register_formula instead"):
        vggcalc.summary(Gram(), IMAGE, formulas="formulas.py")
    with pytest.raises(TypeError, match=r"formulas 3 is of type int: it takes the path"):
        vggcalc.summary("net.py:make", IMAGE, formulas=3)  # type: ignore[arg-type]
