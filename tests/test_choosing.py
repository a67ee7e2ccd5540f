"""Many ways side by side, as a user tries them: `--into`, `--stem`, places and widths, `families`."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import PLANAR
from process import invoke

import vggcalc
from vggcalc.errors import InputError
from vggcalc.nets.families import FAMILIES, Factorization

pytestmark = pytest.mark.usefixtures("warm_workers")


def of_json(*arguments: str) -> Any:
    done = invoke(*arguments, "--no-latency", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["comparisons"][0]


def macs(comparison: Any) -> dict[str, int]:
    return {variant["name"]: variant["costs"]["macs"] for variant in comparison["variants"]}


def test_all_ways_stand_on_one_table() -> None:
    shown, text = (
        invoke("factorize", "7", "--into", "all", "--no-latency", *how).stdout for how in ([], ["--details"])
    )
    table = shown.split("\n\n")[1].splitlines()
    names = [line[3:].split()[0] for line in table[3:]]
    assert names == ["naive", *PLANAR]
    assert max(map(len, table)) <= 80
    assert re.split("  +", table[1].strip())[:5] == ["variant", "Δ MACs", "params", "MACs", "saved"]
    for name in PLANAR:
        assert f"{name}: {FAMILIES[name].description}." in " ".join(text.split())
    even = "stack does fewer MACs than naive if it has fewer than 98.47 channels between its layers; here it has 64."
    assert even in " ".join(text.split())
    comparison = of_json("factorize", "7", "--into", "all")
    marked = [line[3:].split()[0] for line in table[3:] if line.startswith("◆")]
    assert marked == comparison["pareto"]


def test_a_way_alone_and_a_list() -> None:
    assert list(macs(of_json("factorize", "7", "--into", "separable"))) == ["naive", "separable"]
    both = macs(of_json("factorize", "3", "--into", "separable,asymmetric", "--in-channels", "64",
                        "--out-channels", "128", "--size", "112"))  # fmt: skip
    assert (both["naive"], both["separable"]) == (924_844_032, 109_985_792)
    assert both["asymmetric"] == 112 * 112 * 3 * (64 * 128 + 128 * 128)  # as many as the 3×3 here
    assert list(macs(of_json("factorize", "7"))) == ["naive", "factorized"]


def test_the_stem() -> None:
    """TRUTH, section 6."""
    comparison = of_json("factorize", "7", "--stem")
    found = macs(comparison)
    assert found["naive"] == 118_013_952
    assert found["stack:stride-1:widths-32"] == 357_654_528
    assert comparison["input_shape"] == [1, 3, 224, 224]
    seen = {v["name"]: v["receptive_field"]["size"][0] for v in comparison["variants"]}
    assert sorted(set(seen.values())) == [7, 9, 11]
    text = " ".join(invoke("factorize", "7", "--stem", "--no-latency").stdout.split())
    assert "stack:stride-1:widths-32 is the stem of ResNet-C and ResNet-D" in text
    other = of_json("factorize", "7", "--stem", "--out-channels", "32", "--size", "112", "--into", "asymmetric")
    assert other["input_shape"] == [1, 3, 112, 112]
    assert other["variants"][0]["output_shape"] == [1, 32, 56, 56]


def test_places_and_widths_are_swept() -> None:
    found = macs(of_json("factorize", "7", "--stride", "2", "--stride-at", "last", "--stride-at", "2",
                         "--widths", "16", "--widths", "32,48,64"))  # fmt: skip
    assert list(found) == [
        "naive", "stack:stride-last:widths-16", "stack:stride-last:widths-32-48-64", "stack:stride-2:widths-16",
        "stack:stride-2:widths-32-48-64",
    ]  # fmt: skip
    area, half = 56 * 56, 28 * 28
    assert found["stack:stride-2:widths-32-48-64"] == 9 * (area * 64 * 32 + half * 32 * 48 + half * 48 * 64)


@pytest.mark.parametrize(
    ("command", "baseline"),
    [
        (["compare", "vgg16"], "naive"),
        (["compare", "alexnet"], "given"),
        (["compare", "vgg11_bn", "--min-kernel", "3"], "given"),
    ],
)
def test_networks_in_many_ways(command: list[str], baseline: str) -> None:
    comparison = of_json(*command, "--into", "stack,separable,bottleneck")
    names = [variant["name"] for variant in comparison["variants"]]
    assert names[0] == baseline
    assert set(names[1:]) <= {"stack", "separable", "bottleneck"}
    assert len({tuple(variant["output_shape"]) for variant in comparison["variants"]}) == 1
    assert {one["variant"] for one in comparison["infeasible"]} | set(names[1:]) <= {
        "stack",
        "separable",
        "bottleneck",
    }
    assert macs(comparison)["separable"] < macs(comparison)[baseline]


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed")
def test_a_depthwise_network_says_what_cannot_be_made() -> None:
    done = invoke("compare", "torchvision:convnext_tiny", "--into", "separable,stripes", "--no-latency", "--size", "64")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "What was replaced in convnext_tiny" in text or "Infeasible: separable" in text
    assert "stripes" in text


def test_every_way_is_built_counted_again_and_looked_at() -> None:
    """torch, fvcore and a gradient, by --check in a worker."""
    done = invoke(
        "factorize",
        "7",
        "--into",
        "all",
        "--size",
        "20",
        "--channels",
        "8",
        "--no-latency",
        "--check",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    for variant in json.loads(done.stdout)["comparisons"][0]["variants"]:
        check = variant["crosscheck"]
        assert check["agrees"], variant["name"]
        assert check["macs"]["torch"] == variant["costs"]["macs"]
        assert check["receptive_field"]["agrees"]


def test_families_are_listed() -> None:
    rows = json.loads(invoke("families", "--json").stdout)
    assert [row["name"] for row in rows] == list(FAMILIES)
    assert all(row["source"] for row in rows)
    text = invoke("families").stdout
    assert all(f"\n{name}" in f"\n{text}" for name in FAMILIES)
    assert [row["dims"] for row in rows] == [list(family.dims) for family in FAMILIES.values()]
    assert "(2+1)d (3-D only): " in text
    assert "asymmetric (2-D and 3-D only): " in text
    assert "arXiv 1704.04861" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["factorize", "7", "--into", "best"], "family 'best' is unknown"),
        (["factorize", "7", "--stem", "--stride", "1"], "a stride of 1 is none"),
        (["factorize", "8", "--into", "all"], "no padding keeps the size"),
        (["factorize", "8"], "Try 7 or 9"),
        (["factorize", "7", "--stem", "--channels", "8"], "leave out channels"),
        (["factorize", "7", "--stride", "2", "--stride-at", "4"], "stride_at 4 is no layer: there are 3"),
        (["factorize", "7", "--stride", "2", "--stride-at", "0"], "stride_at '0' is no layer"),
        (["compare", "vgg16", "--into", "separable", "--merge"], "leave out one of them"),
    ],
)
def test_wrong_use_gets_one_line(arguments: list[str], message: str) -> None:
    done = invoke(*arguments, "--no-latency")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_a_network_keeps_is_said() -> None:
    """VGG-16's naive kernels are two of 5×5 and three of 7×7: 197 pixels, of which `dilated` sees nine each."""
    comparison = of_json("compare", "vgg16", "--into", "dilated,bottleneck,stack")
    keeps = {variant["name"]: variant["coverage"] for variant in comparison["variants"]}
    assert keeps["naive"] is None
    assert keeps["dilated"] == {"window": "holes", "positions": 45, "of": 197, "mixing": "full", "narrowest": 64}
    assert (keeps["bottleneck"]["mixing"], keeps["bottleneck"]["narrowest"]) == ("reduced", 16)
    assert (keeps["stack"]["window"], keeps["stack"]["mixing"]) == ("full", "full")
    table = invoke("compare", "vgg16", "--into", "dilated,stack", "--no-latency", "--details").stdout
    assert "holes 45/197" in table
    assert "classifier  all" in table


def test_what_has_to_stay_is_said_for_each_of_many_ways(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\nnet = nn.Sequential(nn.Conv2d(3, 8, 7, padding=3), nn.Conv2d(8, 8, 6, padding=3))\n"
    )
    done = invoke("compare", f"{tmp_path}/net.py:net", "--into", "stack,separable", "--size", "32", "--no-latency")
    assert done.returncode == 0, done.stderr
    assert "Skipped in stack: 1 (6×6): kernel 6 is even" in " ".join(done.stdout.split())
    alike = of_json("compare", "vgg11", "--min-kernel", "3", "--into", "stack,separable")
    assert [one["variant"] for one in alike["infeasible"]] == ["stack"]


def test_the_python_names_take_families_by_name() -> None:
    comparison = vggcalc.factorize(7, into="all")
    assert [variant.name for variant in comparison.variants] == ["naive", *PLANAR]
    assert comparison.pareto
    assert [v.name for v in vggcalc.factorize(7, into="stripes").variants] == ["naive", "stripes"]
    assert Factorization(widths=32).widths == (32,)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"into: a 'stack' is of type str: it takes a vggcalc\.Factorization"):
        vggcalc.factorize(7, into={"a": "stack"})  # type: ignore[dict-item]
    for wrong in ([], {}, {"naive": Factorization()}, "best"):
        with pytest.raises(InputError):
            vggcalc.factorize(7, into=wrong)  # type: ignore[arg-type]


def test_standard_error_that_nobody_reads_changes_no_status() -> None:
    gate = f"{sys.executable} -m vggcalc compare vgg16 --no-latency --fail-if 'factorized.macs > 1'"
    wrong = f"{sys.executable} -m vggcalc compare nothing"
    for command, status in ((f"{gate} 2>&1 | head -1", 4), (f"{wrong} 2>&1 | true", 2)):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, timeout=600)
        assert done.returncode == status
    if os.path.exists("/dev/full"):
        for command, status in ((gate, 4), (wrong, 2)):
            with open("/dev/full", "w") as full:
                done = subprocess.run(command, shell=True, stdout=subprocess.DEVNULL, stderr=full, timeout=600)
            assert done.returncode == status


def test_a_convolution_beyond_any_machine_is_one_line() -> None:
    done = invoke("factorize", "7", "--channels", "2147483647", "--quick")
    assert done.returncode == 1
    assert "bytes of memory" in done.stderr
    assert "Traceback" not in done.stderr
    assert "MACs" in done.stdout
