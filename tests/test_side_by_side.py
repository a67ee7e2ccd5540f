"""Several models beside the first: any model, on the command line and in Python."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from process import invoke
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import vggcalc

pytestmark = pytest.mark.usefixtures("warm_workers")

NETS = """
import torch
from torch import nn

class Branches(nn.Module):
    # a 3×3 and a 1×1 with a norm each, added; then a norm before a 3×3 that pads

    def __init__(self):
        super().__init__()
        self.dense = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.point = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.norm, self.last = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return self.last(self.norm(torch.relu(self.dense(x) + self.point(x))))

def naive():
    return nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU())

def new():
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), *head)
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nets") / "net.py"
    path.write_text(NETS)
    return path


def document(*arguments: str) -> Any:
    done = invoke("compare", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    (comparison,) = json.loads(done.stdout)["comparisons"]
    return comparison


def names(comparison: Any) -> list[str]:
    return [variant["name"] for variant in comparison["variants"]]


def test_each_is_counted_as_it_is_and_held_to_the_first() -> None:
    """TRUTH: torchvision's published counts."""
    found = document("vgg16", "vgg19", "vgg11", "--no-latency")
    assert names(found) == ["vgg16", "vgg19", "vgg11"]
    assert found["name"] == "vgg16, vgg19 and vgg11"
    assert found["baseline"] == "vgg16"
    assert [variant["costs"]["macs"] for variant in found["variants"]] == [15470264320, 19632062464, 7609090048]
    assert [variant["costs"]["parameters"] for variant in found["variants"]] == [138357544, 143667240, 132863336]
    assert [one["costs"]["macs"] for one in found["ratios"]] == [19632062464 / 15470264320, 7609090048 / 15470264320]


def test_modules_tokens_and_published_names_mix(nets: Path) -> None:
    found = document(f"{nets}:naive", "64,M", "C", "--size", "32", "--no-latency")
    assert names(found) == ["naive", "64,M", "C"]
    macs = [variant["costs"]["macs"] for variant in found["variants"]]
    assert macs[:2] == [32 * 32 * 8 * 3 * 25, 32 * 32 * 64 * 3 * 9]


def test_the_library_counts_what_the_command_does() -> None:
    found = vggcalc.compare("vgg16", "vgg19", size=64, names=("a", "b"))
    command = document("vgg16", "vgg19", "--size", "64", "--name", "a", "--name", "b", "--no-latency")
    written = json.loads(found.to_json())["comparisons"][0]
    assert written == command


def test_modules_of_this_process_are_counted_as_torch_counts_them() -> None:
    one = nn.Sequential(nn.Conv2d(3, 16, 7, padding=3), nn.BatchNorm2d(16), nn.ReLU())
    other = vggcalc.rewrite(one, (1, 3, 32, 32))
    found = vggcalc.compare(one, other, inputs=(1, 3, 32, 32), names=("before", "after"))
    for name, module in (("before", one), ("after", other)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module.eval()(torch.zeros(1, 3, 32, 32))
        assert 2 * found[name].macs == counter.get_total_flops()
        assert found[name].parameters == sum(parameter.numel() for parameter in module.parameters())


# Names


def test_models_of_one_name_are_numbered() -> None:
    found = vggcalc.compare("vgg11", "vgg11", "vgg11", size=32)
    assert [variant.name for variant in found] == ["vgg11", "vgg11-2", "vgg11-3"]
    assert [ratio.macs for ratio in found.ratios] == [1, 1]
    assert "vgg11 and vgg11-2 have the same layers." in found.to_markdown()


WRONG = [
    (("vgg11", "vgg13", "--name", "a"), "2 models have 1 name: give one for each"),
    (("vgg11", "vgg13", "--name", "a", "--name", "a"), "two models are named a"),
    (("vgg11", "vgg13", "--name", "a", "--name", " "), "a name is empty"),
    (("vgg11", "--name", "a"), "--name is for several models"),
    (("vgg11", "--input-of", "vgg11=1x3x32x32"), "--input-of is for several models"),
    (("vgg11", "vgg13", "--input-of", "vgg16=1x3x32x32"), "did you mean vgg13?"),
    (("vgg11", "vgg13", "--input-of", "vgg13"), "is not NAME=INPUT"),
    (("vgg11", "vgg13", "--input-of", "vgg13=224"), "did you mean 1x3x224x224?"),
    (("vgg11", "vgg13", "--min-kernel", "7"), "--min-kernel is for one model, and here are 2"),
    (("vgg11", "vgg13", "--into", "all"), "--into is for one model"),
    (("vgg11", "vgg13", "--merge"), "--merge is for one model"),
    (("vgg11", "vgg13", "--only", "conv"), "--only is for one model"),
    (("vgg11", "vgg13", "--widths", "32"), "--widths is for one model"),
    (("vgg11", "--fused"), "vgg11: fusing is for modules and imported models"),
    (("vgg11", "--fused", "--min-kernel", "7"), "--min-kernel replaces convolutions, and --fused none"),
    (("vgg11", "vgg31"), "unknown model 'vgg31': did you mean vgg"),
    (("-", "-"), "standard input, which can be read once"),
    (("vgg11", "vgg13", "--arg", "x=1"), "args are for imported models, and vgg11 is none"),
    (("vgg11", "vgg13", "--fail-if", "vgg16.macs > 1"), "variant 'vgg16' is unknown"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_what_makes_no_sense_is_one_clear_line(arguments: tuple[str, ...], said: str) -> None:
    done = invoke("compare", *arguments, "--no-latency")
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert not done.stdout


def test_options_that_state_their_defaults_say_nothing() -> None:
    stated = ("--min-kernel", "5", "--into", "stack", "--stride-at", "last", "--widen", "first")
    assert document("vgg11", "vgg13", *stated, "--no-latency") == document("vgg11", "vgg13", "--no-latency")


IN_PYTHON = [
    ("vggcalc.compare('vgg11', (1, 3, 32, 32))", TypeError, "give it by name, such as inputs="),
    ("vggcalc.compare('vgg11', 'vgg13', names='ab')", TypeError, "a list of strings"),
    ("vggcalc.compare('vgg11', 'vgg13', inputs_of=3)", TypeError, "inputs by names"),
    ("vggcalc.compare('vgg11', names=('a',))", ValueError, "names are for several models"),
    ("vggcalc.compare('vgg11', 'vgg13', into='all')", ValueError, "into is for one model, and here are 2"),
    ("vggcalc.compare('vgg11', 'vgg13', replacing=vggcalc.Replacing())", ValueError, "replacing is for one model"),
]


@pytest.mark.parametrize(("call", "error", "said"), IN_PYTHON, ids=[call for call, _, _ in IN_PYTHON])
def test_in_python_too(call: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        eval(call)


# A model beside itself, fused or compiled


def test_a_fused_model_stands_beside_itself_and_says_what_stayed(nets: Path) -> None:
    quick = ("--quick", "--rounds", "8", "--budget", "3600", "--device", "cpu", "--check")
    found = document(f"{nets}:Branches", "--fused", "--size", "16", *quick)
    assert names(found) == ["Branches", "fused"]
    given, fused = found["variants"]
    assert given["costs"]["macs"] == 16 * 16 * 8 * (3 * 10 + 8 * 9)
    assert fused["costs"]["macs"] == 16 * 16 * 8 * (3 * 9 + 8 * 9)
    assert fused["costs"]["parameters"] == 8 * 3 * 9 + 8 + 2 * 8 + 8 * 8 * 9 + 8
    assert [(one["name"], one["variant"]) for one in found["skipped"]] == [("last", "fused")]
    assert "a border of 1×1 positions" in found["skipped"][0]["reason"]
    assert [variant["crosscheck"]["agrees"] for variant in found["variants"]] == [True, True]
    assert len(fused["latency"][0]["times_s"]) == 8


def test_of_several_each_that_is_imported_is_fused_too(nets: Path) -> None:
    found = document(f"{nets}:naive", "vgg11", f"{nets}:new", "--fused", "--size", "32", "--no-latency")
    assert names(found) == ["naive", "naive-fused", "vgg11", "new", "new-fused"]


def test_a_name_that_the_fused_model_would_have_is_not_taken_from_another(nets: Path) -> None:
    alone = document(f"{nets}:new", "--name", "fused", "--fused", "--size", "8", "--no-latency")
    assert names(alone) == ["fused", "fused-2"]
    two = ("--name", "net", "--name", "net-fused")
    found = document(f"{nets}:new", f"{nets}:naive", *two, "--fused", "--size", "8", "--no-latency")
    assert names(found) == ["net", "net-fused-2", "net-fused", "net-fused-fused"]


def test_in_python_one_model_has_a_name_beside_itself_fused() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
    found = vggcalc.compare(module, inputs=(1, 3, 8, 8), fused=True, names=["trained"])
    assert [variant.name for variant in found.variants] == ["trained", "fused"]
    found = vggcalc.compare(module, fused=True, inputs_of={"Sequential": (1, 3, 9, 9)})
    assert found["fused"].input_shape == (1, 3, 9, 9)


def test_a_module_of_this_process_is_fused_for_the_worker_too() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
    found = vggcalc.check(vggcalc.compare(module, inputs=(1, 3, 8, 8), fused=True))
    assert [variant.parameters for variant in found] == [3 * 4 * 9 + 8, 3 * 4 * 9 + 4]
    for variant in found:
        assert variant.crosscheck is not None
        assert variant.crosscheck.parameters.torch == variant.parameters


def test_modules_of_one_class_are_each_sent_as_they_are() -> None:
    one, other = nn.Sequential(nn.Conv2d(3, 4, 1)), nn.Sequential(nn.Conv2d(3, 8, 1))
    found = vggcalc.check(vggcalc.compare(one, other, inputs=(1, 3, 8, 8)))
    counted = [variant.crosscheck.parameters.torch for variant in found if variant.crosscheck is not None]
    assert counted == [16, 32]


@pytest.mark.filterwarnings("ignore::vggcalc.library.measuring.MeasurementWarning")
def test_a_compiled_module_runs_compiled_beside_itself() -> None:
    """By the backend that it was compiled for, which here needs no compiler."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    found = vggcalc.compare(module, torch.compile(module, backend="eager"), inputs=(1, 3, 8, 8))
    assert [variant.name for variant in found] == ["Sequential", "Sequential-compiled"]
    timed = vggcalc.measure(found, budget=3600, device="cpu", processes=1, rounds=6)
    assert [variant.latency[0].compile_s is not None for variant in timed] == [False, True]


def test_a_module_that_was_compiled_in_place_cannot_be_sent() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3))
    module.compile(backend="eager")
    with pytest.raises(vggcalc.InputError, match=r"give torch\.compile\(module\)"):
        vggcalc.measure(vggcalc.compare(module, nn.Conv2d(3, 4, 1), inputs=(1, 3, 8, 8)))


# Inputs


def test_each_may_have_its_own_input(nets: Path) -> None:
    found = document("vgg11", f"{nets}:new", "--input", "2x3x64x64", "--input-of", "new=1x3x20x24", "--no-latency")
    macs = [variant["costs"]["macs"] for variant in found["variants"]]
    assert macs[1] == 20 * 24 * 8 * 3 * 9 + 8 * 4
    assert found["input_shape"] == [2, 3, 64, 64]
    table = invoke(
        "compare", "vgg11", f"{nets}:new", "--size", "64", "--input-of", "new=1x3x20x24", "--no-latency"
    ).stdout
    assert any(line.split() == ["input", "1×3×64×64", "1×3×20×24"] for line in table.splitlines())


def test_an_input_of_one_is_a_whole_shape_beside_the_size_of_the_others() -> None:
    found = vggcalc.compare("vgg11", "vgg13", size=64, batch=2, inputs_of={"vgg13": (1, 3, 32, 32)})
    assert [variant.input_shape for variant in found] == [(2, 3, 64, 64), (1, 3, 32, 32)]


# Formats, gate and baseline


@pytest.mark.parametrize("format_", ["table", "csv", "markdown", "html", "json"])
@pytest.mark.parametrize("models", [("vgg11", "vgg13"), ("vgg11", "vgg13", "alexnet")], ids=len)
def test_every_format_names_every_model(models: tuple[str, ...], format_: str) -> None:
    done = invoke("compare", *models, "--no-latency", "--format", format_)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in models)
    assert ("133,047,848" if format_ in ("table", "markdown", "html") else "133047848") in done.stdout


def test_conditions_and_a_baseline_read_the_models_names(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    assert invoke("compare", "vgg11", "vgg13", "--no-latency", "-o", str(baseline)).returncode == 0
    done = invoke("compare", "vgg11", "vgg13", "--no-latency", "--fail-if", "vgg13.macs > 11G")
    assert done.returncode == 4
    assert "vgg13.macs is 11,308,466,176" in done.stderr
    same = invoke("compare", "vgg11", "vgg13", "--no-latency", "--against", str(baseline),
                  "--fail-if", "vgg13.against.macs != 100%")  # fmt: skip
    assert same.returncode == 0, same.stderr
    assert "nothing changed" in same.stdout
    assert vggcalc.load(baseline)["vgg13"].macs == 11308466176


# Times


def test_models_of_different_outputs_are_timed_and_checked_in_workers(nets: Path) -> None:
    quick = ("--quick", "--rounds", "8", "--budget", "3600", "--device", "cpu", "--check")
    found = document(f"{nets}:naive", f"{nets}:new", "32,M", "--size", "24", *quick)
    baseline, *others = found["variants"]
    assert [len(variant["latency"][0]["times_s"]) for variant in (baseline, *others)] == [8, 8, 8]
    assert all(variant["crosscheck"]["agrees"] for variant in found["variants"])
    assert [ratio["latency"][0]["compared"] for ratio in found["ratios"]] == [1, 1]
    assert not any(block["latency"] for variant in found["variants"] for block in variant["blocks"])
