"""Models that are imported, as a user tries them: in a real process, with code that misbehaves."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from process import invoke, wait_until
from torch import nn

import vggcalc
from vggcalc.errors import InputError
from vggcalc.measurement.trace import trace as trace_in_worker
from vggcalc.nets.inputs import input_shape
from vggcalc.nets.origins import Origin, arguments, is_import
from vggcalc.nets.replacing import Replacing
from vggcalc.runtime.load.load import load
from vggcalc.runtime.trace.tracer import trace

SOURCE = '''
import os, sys
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    """A 7×7, a 5×5, a 9×9 by a function, and a transposed convolution."""

    def __init__(self, width: int = 16, head: bool = True):
        super().__init__()
        print("hello from the user")
        self.stem = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.body = nn.Sequential(nn.Conv2d(width, 2 * width, 5, padding=2), nn.ReLU(True), nn.MaxPool2d(2))
        self.weight = nn.Parameter(torch.randn(2 * width, 2 * width, 9, 9))
        self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.head = nn.Conv2d(width, 10, 1) if head else nn.Identity()

    def forward(self, x):
        x = F.relu(self.bn(self.stem(x)))
        return self.head(self.up(F.conv2d(self.body(x), self.weight, padding=4)))

class Large(nn.Module):
    """A petabyte of weights."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5, padding=2)
        self.wide = nn.Linear(2**24, 2**24)
    def forward(self, x):
        return self.wide(self.conv(x).flatten(1)[:, :1].expand(-1, 2**24))

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.table = nn.Embedding(10, 4)
    def forward(self, x, rows, scale=None):
        y = self.conv(x) + self.table(rows)[:, :, None, None]
        return y if scale is None else y * scale

def two_inputs():
    return {"x": torch.rand(1, 3, 8, 8), "rows": torch.zeros(1, dtype=torch.int64)}

class Depends(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

class Embeds(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 4)
    def forward(self, x):
        return self.table(x)

class Constant(nn.Module):
    def forward(self, x):
        return torch.zeros(3)

class Product(nn.Module):
    """A product with a parameter, by a function, and a convolution whose module is called relu."""
    def __init__(self):
        super().__init__()
        self.relu = nn.Conv2d(3, 4, 5, padding=2)
        self.weight = nn.Parameter(torch.randn(4, 6))
    def forward(self, x):
        return torch.einsum("bchw,cd->bdhw", self.relu(torch.relu(x)), self.weight)

class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
    def forward(self, x):
        y = self.conv(x).flatten(2)
        return y @ y.transpose(1, 2)

class Fourier(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, dtype=torch.complex64)
    def forward(self, x):
        return self.conv(x.to(torch.complex64)).abs()

def scripted(): return torch.jit.script(nn.Conv2d(3, 4, 3))
def lazy(): return nn.LazyConv2d(4, 3)
def surrogate(): raise ValueError("\\n\\udcff " + "z" * 9000)
def raises(): raise ValueError("no such weights:\\nsee the documentation")
def quits(): sys.exit(3)
def dies(): os.kill(os.getpid(), 9)
def reads(): return nn.Conv2d(3, int(input("how many? ")), 3)
def nothing(): return 7
def loops():
    while True: pass

instance = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU())
number = 3
'''


pytestmark = pytest.mark.usefixtures("warm_workers")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the model's file is, and where everything is run."""
    (tmp_path / "net.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_json(*given: str) -> Any:
    done = invoke(*given, "--json", "--no-latency")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["comparisons"][0]


def test_a_users_file(folder: Path) -> None:
    found = of_json("compare", "net.py:Net", "--size", "64", "--arg", "width=8")
    given, factorized = found["variants"]
    assert (given["name"], factorized["name"]) == ("given", "factorized")
    # 8·3·49 + 2·8 + (16·8·25 + 16) + 16·16·81 + (16·8·4 + 8) + (10·8 + 10)
    assert given["costs"]["parameters"] == 1176 + 16 + 3216 + 20736 + 520 + 90
    # 32²·1176 + 32²·3200 + 16²·20736 + 16²·16·8·4 + 32²·80
    assert given["costs"]["macs"] == 1_204_224 + 3_276_800 + 5_308_416 + 131_072 + 81_920
    # the stack: 8·3·9 on 64², 8·8·9 on 64², 8·8·9 on 32²; 16·8·9 and 16·16·9 on 32²
    stem = 64 * 64 * (216 + 576) + 32 * 32 * 576
    body = 32 * 32 * (1152 + 2304)
    assert factorized["costs"]["macs"] == stem + body + 5_308_416 + 131_072 + 81_920
    assert [one["name"] for one in found["replaced"]] == ["stem", "body.0"]
    assert [one["costs"][1]["macs"] for one in found["replaced"]] == [stem, body]
    assert [one["name"] for one in found["skipped"]] == ["conv2d"]
    assert given["sees"] == "varies"
    assert given["receptive_field"] is None


def test_only_and_min_kernel_choose(folder: Path) -> None:
    only = of_json("compare", "net.py:Net", "--only", "^body", "--size", "64")
    assert [one["name"] for one in only["replaced"]] == ["body.0"]
    large = of_json("compare", "net.py:Net", "--min-kernel", "7", "--size", "64")
    assert [one["name"] for one in large["replaced"]] == ["stem"]


def test_an_importable_name_and_an_instance(folder: Path) -> None:
    for model in ("net:instance", "net.py:instance", "./net.py:instance"):
        found = of_json("summary", model)
        assert found["variants"][0]["costs"]["macs"] == 224 * 224 * 8 * 3 * 25


def test_the_whole_shape(folder: Path) -> None:
    found = of_json("summary", "net.py:instance", "--input", "2x3x8x9")
    assert found["input_shape"] == [2, 3, 8, 9]
    assert found["variants"][0]["output_shape"] == [2, 8, 8, 9]


def test_a_model_that_says_its_size(folder: Path) -> None:
    """As timm's do; what the user says goes before."""
    (folder / "sized.py").write_text(
        SOURCE + "\nclass Sized(Net):\n    default_cfg = {'input_size': (3, 96, 64)}\n", encoding="utf-8"
    )
    assert of_json("summary", "sized.py:Sized")["input_shape"] == [1, 3, 96, 64]
    assert of_json("summary", "sized.py:Sized", "--size", "32", "--batch", "2")["input_shape"] == [
        2,
        3,
        32,
        32,
    ]
    assert of_json("summary", "sized.py:Net")["input_shape"] == [1, 3, 224, 224]


def test_the_json_is_as_the_schema_says(folder: Path) -> None:
    schema = json.loads(invoke("schema").stdout)
    for given in (
        ("compare", "net.py:Net"),
        ("summary", "net.py:Net", "--receptive-field", "head", "--unit", "1,1"),
    ):
        jsonschema.validate(json.loads(invoke(*given, "--no-latency", "--json").stdout), schema)
    counted = invoke("summary", "vgg16", "--as", "fvcore", "--no-latency", "--json")
    jsonschema.validate(json.loads(counted.stdout), schema)


def test_a_model_larger_than_any_memory(folder: Path) -> None:
    found = of_json("summary", "net.py:Large", "--size", "8")
    assert found["variants"][0]["costs"]["parameters"] == 2**48 + 2**24 + 304


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("net.py:raises", "net.py:raises raised ValueError: no such weights:"),
        ("net.py:quits", "ended the process with status 3"),
        ("net.py:dies", "SIGKILL"),
        ("net.py:reads", "raised EOFError"),
        ("net.py:nothing", "gives int, and no torch.nn.Module"),
        ("net.py:number", "is of type int: neither a module nor what makes one"),
        ("net.py:Nett", "did you mean Net?"),
        ("net.py:Constant", "nothing that depends on its input"),
        ("none.py:Net", "there is no file none.py"),
        ("net.py:scripted", "is a ScriptModule, which has no Python"),
        ("net.py:surrogate", "raised ValueError: ? zzz"),
        ("no.such.thing:Net", "there is no module 'no.such.thing' here"),
    ],
)
def test_what_goes_wrong_is_one_line(folder: Path, model: str, said: str) -> None:
    done = invoke("summary", model, "--no-latency")
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("net.py:instance", "--arg", "width=3"), "takes no arguments"),
        (("net.py:Net", "--arg", "width"), "is not name=value"),
        (("net.py:Net", "--arg", "colour=3"), "unexpected keyword argument 'colour'"),
        (("net.py:Net", "--input", "1x4x64x64"), "wants 3 channels, got 4 from input 1×4×64×64"),
        (("net.py:Net", "--input", "3x"), "is no shape"),
        (("net.py:Net", "--input", "1x3x8x8", "--size", "8"), "inputs gives the whole shape"),
        (("net.py:Net", "--classes", "10"), "classes cannot change it, its own arguments may"),
        (("net.py:Net", "--dtype", "int8"), "integers have no gradient"),
        (("net.py:Net", "--batch", "0"), "batch 0 is out of range"),
        (("net.py",), "Write net.py:NAME with one of "),
        (("vgg16", "--arg", "a=1"), "args are for imported models"),
        (("vgg16", "--input", "1x3x8x8"), "the input must be at least 32×32"),
        (("vgg16", "--unit", "1,1"), "belong together"),
        (("vgg16", "--receptive-field", "pool9", "--unit", "1,1"), "there is no layer 'pool9'"),
        (("vgg16", "--receptive-field", "block5.pool", "--unit", "7,7"), "its last unit is 6,6"),
        (("vgg16", "--receptive-field", "block5.pool", "--unit", "7"), "not a position for each axis"),
        (("vgg16", "--receptive-field", "classifier.linear1", "--unit", "7,7"), "has no feature map"),
    ],
)
def test_wrong_use_is_one_line(folder: Path, given: tuple[str, ...], said: str) -> None:
    done = invoke("summary", *given, "--no-latency")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_code_that_loops_for_ever_is_ended(folder: Path) -> None:
    with pytest.raises(InputError, match="silent for 2 s and was ended"):
        trace_in_worker(Origin(f"{folder}/net.py:loops", (1, 3, 8, 8)), inactivity_timeout_s=2.0)


def test_which_pixels_a_unit_sees(folder: Path) -> None:
    """TRUTH: VGG-16's pool5 sees 212 pixels at stride 32 with padding 90."""
    found = of_json("summary", "vgg16", "--receptive-field", "block5.pool", "--unit", "3,6")
    assert found["unit_field"]["span"] == [[3 * 32 - 90, 3 * 32 - 90 + 211], [6 * 32 - 90, 223]]


def test_an_imported_model_is_checked_and_timed(folder: Path) -> None:
    fast = ("--quick", "--rounds", "6", "--budget", "3600", "--check")
    done = invoke("compare", "net.py:Net", "--size", "32", *fast, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["comparisons"][0]
    for variant in found["variants"]:
        assert variant["crosscheck"]["agrees"]
        macs = variant["crosscheck"]["macs"]
        assert macs["torch"] == macs["fvcore"] == variant["costs"]["macs"]
        assert variant["latency"][0]["median_s"] > 0
        assert variant["origin"]["source"] == "net.py:Net"
    assert found["ratios"][0]["latency"][0]["ratio"] > 0


def test_a_rewritten_module_comes_from_its_origin(folder: Path) -> None:
    """What a worker times is what was analyzed."""
    origin = Origin(f"{folder}/net.py:Net", (1, 3, 32, 32), {"width": 8})
    replacing = Replacing()
    compared = vggcalc.compare(trace_in_worker(origin), replacing=replacing)
    module = load(Origin(origin.source, origin.input_shape, origin.arguments, replacing))
    again = vggcalc.summary(trace(module, (1, 3, 32, 32)))
    assert again.variants[0].costs == compared["factorized"].costs
    assert isinstance(module.get_submodule("stem"), nn.Sequential)
    assert module(torch.rand(1, 3, 32, 32)).shape == compared["factorized"].output_shape


def test_words() -> None:
    assert is_import("torchvision:resnet50")
    assert is_import("a/b.py:make")
    assert not is_import("64,M,128")
    assert not is_import("vgg16")
    assert arguments(["a=1", "b=false", "c=word", "d=[1,2]", "e=none", "f=1.5"]) == {
        "a": 1,
        "b": False,
        "c": "word",
        "d": [1, 2],
        "e": None,
        "f": 1.5,
    }
    assert input_shape("1x3x8×9") == (1, 3, 8, 9)
    for wrong in (["a"], ["1=2"], ["a=1", "a=2"], ["a={}"]):
        with pytest.raises(InputError):
            arguments(wrong)
    for shape in ("0x3x8x8", "3x", "1x3xax8", ""):
        with pytest.raises(InputError):
            input_shape(shape)
    with pytest.raises(InputError, match="regular expression"):
        Replacing(only="(")
    with pytest.raises(InputError, match="min_kernel"):
        Replacing(min_kernel=1)


def test_a_product_by_a_function_is_no_disagreement(folder: Path) -> None:
    """fvcore has no figure for it; torch has, and agrees."""
    done = invoke("summary", "net.py:Product", "--size", "8", "--check", "--no-latency", "--json")
    assert done.returncode == 0, done.stderr
    (variant,) = json.loads(done.stdout)["comparisons"][0]["variants"]
    assert variant["costs"]["macs"] == variant["crosscheck"]["macs"]["torch"] == 64 * (4 * 3 * 25 + 4 * 6)
    assert variant["crosscheck"]["macs"]["fvcore"] is None


def test_a_function_takes_no_modules_name(folder: Path) -> None:
    found = of_json("compare", "net.py:Product", "--only", "^relu$", "--size", "8")
    assert [one["name"] for one in found["replaced"]] == ["relu"]


def test_lower_bounds_are_marked_in_every_format(folder: Path) -> None:
    asked = ("summary", "net.py:Fourier", "--no-latency", "--format", "csv")
    (total,) = csv.DictReader(io.StringIO(invoke(*asked, "--rows", "total").stdout))
    assert total["macs"].isdigit()
    assert "macs" in total["lower_bounds"].split()
    layers = csv.DictReader(io.StringIO(invoke(*asked).stdout))
    assert {row["type"] for row in layers if not row["macs"]} == {"Opaque"}, "what has no formula has no figure"
    assert "≥" in invoke("summary", "net.py:Fourier", "--no-latency", "--format", "markdown").stdout
    assert "exact" not in invoke("summary", "net.py:Fourier", "--no-latency", "--as", "thop").stdout
    assert "macs" in of_json("summary", "net.py:Fourier")["variants"][0]["partial"]


def test_products_of_activations_are_counted_and_said(folder: Path) -> None:
    (variant,) = of_json("summary", "net.py:Attends", "--size", "8")["variants"]
    assert variant["costs"]["macs"] == 64 * 12 + 64 * 16  # a 1×1 from 3 to 4 channels, and 4×64 by 64×4
    assert variant["costs"]["product_macs"] == 64 * 16
    shown = " ".join(invoke("summary", "net.py:Attends", "--size", "8", "--no-latency").stdout.split())
    assert "1,024 MACs of net.py:Attends, 57%, multiply two activations with each other" in shown
    assert "product MACs" in invoke("summary", "net.py:Attends", "--no-latency", "--format", "markdown").stdout


def test_a_model_whose_code_reads_values_runs_with_values_and_says_so(folder: Path) -> None:
    (variant,) = of_json("summary", "net.py:Depends", "--size", "8")["variants"]
    tracing = variant["tracing"]
    assert (tracing["ran_with"], tracing["depends_on_values"]) == ("values", True)
    shown = " ".join(invoke("summary", "net.py:Depends", "--size", "8", "--no-latency").stdout.split())
    assert "net.py:Depends was run with random values, because its code reads some" in shown


def test_rows_of_an_embedding_need_no_dtype(folder: Path) -> None:
    (variant,) = of_json("summary", "net.py:Embeds")["variants"]
    assert variant["costs"]["parameters"] == 10 * 4


@pytest.mark.parametrize(
    "inputs",
    [
        ("--input", "1x3x8x8", "--input", "1:int64"),
        ("--input", "1x3x8x8", "--input", "rows=1:int64", "--input", "scale=1"),
        ("--input", "rows=1:int64", "--input", "x=1x3x8x8"),
        ("--inputs", "net.py:two_inputs"),
    ],
    ids=["by position", "by name", "all by name", "by a function"],
)
def test_several_inputs(folder: Path, inputs: tuple[str, ...]) -> None:
    done = invoke("summary", "net.py:Two", *inputs, "--check", "--no-latency", "--json")
    assert done.returncode == 0, done.stderr
    (variant,) = json.loads(done.stdout)["comparisons"][0]["variants"]
    assert variant["costs"]["macs"] == 64 * 4 * 27
    assert variant["costs"]["parameters"] == 4 * 27 + 4 + 10 * 4
    assert variant["crosscheck"]["macs"]["torch"] == 64 * 4 * 27


def test_inputs_that_contradict_each_other(folder: Path) -> None:
    for options, said in (
        (("net.py:Two", "--inputs", "net.py:two_inputs", "--input", "1x3x8x8"), "--inputs makes all inputs"),
        (("vgg11", "--input", "1x3x64x64", "--input", "1:int64"), "vgg11 takes one image: give one shape"),
        (("net.py:Two", "--inputs", "net.py:no_such"), "net.py has no 'no_such'"),
        (("net.py:Two", "--input", "1x3x8x8:int7"), "'int7' is no dtype"),
    ):
        done = invoke("summary", *options, "--no-latency")
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert said in done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("compare", "net.py:Net", "--only", "nomatch"), "found in the name of no convolution: stem"),
        (("summary", "vgg16", "--as", "torch", "--format", "csv"), "no rows of a CSV"),
        (("summary", "net.py:Net", "--arg", "a=1e999"), "not finite"),
        (("summary", "n\udcff.py:Net"), "is not UTF-8"),
        (("summary", "net.py:Net", "--arg", "a=\udcff"), "is not UTF-8"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder: Path, given: tuple[str, ...], said: str) -> None:
    done = invoke(*given, "--no-latency")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="it has no process groups")
def test_a_worker_does_not_outlive_its_parent(folder: Path) -> None:
    source = SOURCE.replace("def loops():", "def loops():\n    open('pid', 'w').write(str(os.getpid()))")
    (folder / "net.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "vggcalc", "summary", "net.py:loops", "--no-latency"]
    pid = folder / "pid"
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as parent:
        wait_until(lambda: pid.exists() and pid.read_text() != "")
        parent.kill()

    def has_ended() -> bool:
        try:
            os.kill(int(pid.read_text()), 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid.read_text()}/stat")  # a zombie waits for whoever has inherited it
        return stat.exists() and ") Z " in stat.read_text()

    wait_until(has_ended)


def test_nothing_is_left_beside_a_users_file(folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "vggcalc", "summary", "net.py:instance", "--no-latency"]
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True, timeout=600)
    assert [path.name for path in folder.iterdir()] == ["net.py"]


def test_a_model_without_a_convolution_has_nothing_to_replace(folder: Path) -> None:
    (folder / "flat.py").write_text("from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))\n")
    found = of_json("compare", "flat.py:net", "--size", "4")
    assert [variant["costs"]["macs"] for variant in found["variants"]] == [96, 96]
    assert found["replaced"] == []
