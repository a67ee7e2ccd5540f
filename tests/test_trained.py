"""`factorize` of a trained kernel: what of it each family can say, held to singular values by numpy."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy
import pytest
import torch
from process import invoke
from torch import Tensor, nn

import vggcalc
from vggcalc.runtime.checkpoints import load_kernel
from vggcalc.runtime.load.errors import LoadError

EXAMPLE = Path(__file__).parent.parent / "examples/carry_over.py"


def kernel(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command says of a 5×5 of 4 → 6 channels without a bias, beside another layer with one."""
    folder = tmp_path_factory.mktemp("trained")
    state = {"conv.weight": kernel(6, 4, 5, 5), "other.weight": kernel(2, 2, 3, 3), "other.bias": kernel(2)}
    torch.save({"state_dict": state}, folder / "net.pt")
    done = invoke(
        "factorize", "5", "--weights", str(folder / "net.pt"), "--key", "conv.weight", "--size", "9",
        "--into", "asymmetric,separable,stripes", "--no-latency", "--json", "--plot", str(folder / "kernel.svg"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    misspelled = invoke("factorize", "5", "--weights", str(folder / "net.pt"), "--key", "conv.wieght")
    assert (misspelled.returncode, misspelled.stdout, misspelled.stderr.count("\n")) == (2, "", 1)
    assert "did you mean conv.weight?" in misspelled.stderr
    (folder / "document.json").write_text(done.stdout)
    found: dict[str, Any] = json.loads(done.stdout) | {"folder": str(folder)}
    return found


def test_the_energies_are_those_of_singular_values(document: dict[str, Any]) -> None:
    """Of 1×k and k×1 the largest values of the kernel as (in·k, out·k), of separable one for each channel in."""
    weight = kernel(6, 4, 5, 5).double().numpy()
    whole = (weight**2).sum()
    left, values, right = numpy.linalg.svd(weight.transpose(1, 3, 0, 2).reshape(20, 30), full_matrices=False)
    by_channel = [numpy.linalg.svd(weight[:, i].reshape(6, 25), compute_uv=False)[0] for i in range(4)]
    (comparison,) = document["comparisons"]
    fitted = {variant["name"]: variant["fitted"] for variant in comparison["variants"]}
    assert fitted["asymmetric"]["energy"] == pytest.approx((values[:6] ** 2).sum() / whole, abs=1e-6)
    assert fitted["separable"]["energy"] == pytest.approx(numpy.square(by_channel).sum() / whole, abs=1e-6)
    of_rank_six = ((left[:, :6] * values[:6]) @ right[:6]).reshape(4, 5, 6, 5).transpose(2, 0, 3, 1)
    assert comparison["trained"]["key"] == "conv.weight"
    for i, pair in enumerate(comparison["trained"]["pairs"]):
        at = pair["out_channel"], pair["in_channel"]
        energies = (weight**2).sum((2, 3))
        assert (energies > energies[at]).sum() == i
        assert numpy.allclose(fitted["naive"]["windows"][i], weight[at], rtol=1e-3, atol=0)
        assert numpy.allclose(fitted["asymmetric"]["windows"][i], of_rank_six[at], rtol=1e-3, atol=1e-5)


def test_the_costs_are_those_of_the_kernel_in_the_file(document: dict[str, Any]) -> None:
    """Its channels, and no bias, since there is none beside it."""
    (comparison,) = document["comparisons"]
    parameters = {variant["name"]: variant["costs"]["parameters"] for variant in comparison["variants"]}
    assert parameters == {"naive": 600, "asymmetric": 4 * 6 * 5 + 36 * 5, "separable": 100 + 24, "stripes": 2 * 24 * 15}
    read = vggcalc.load(Path(document["folder"]) / "document.json")
    assert read["separable"].fitted.energy < read["asymmetric"].fitted.energy < read["stripes"].fitted.energy < 1
    assert "naive" in read.pareto, "nothing explains as much"
    assert document["answer"].startswith("Of 3 variants stripes explains most of conv.weight")
    assert "20% more weights; of those with fewer, asymmetric" in document["answer"]


def test_the_figure_has_a_panel_for_each_pair_and_its_difference(document: dict[str, Any]) -> None:
    drawn = ElementTree.parse(Path(document["folder"]) / "kernel.svg")
    images = [one for one in drawn.iter() if one.tag.endswith("}image")]
    assert len(images) == 3 + 3 * 3 * 2 + 1  # and the scale
    text = "".join(drawn.getroot().itertext())
    for variant in document["comparisons"][0]["variants"]:
        assert variant["name"] in text
        assert f"{variant['fitted']['energy']:.0%}" in text


@pytest.mark.parametrize(
    ("shape", "options", "groups", "family"),
    [
        ((3, 2, 7), {}, 1, "stack"),
        ((2, 2, 3, 5, 5), {"activation": "none"}, 1, "asymmetric"),
        ((4, 1, 5, 5), {}, 4, "dilated"),
        ((4, 1, 5, 5), {"groups": 1}, 1, "separable"),
        ((4, 2, 5, 5), {"in_channels": 4}, 2, "asymmetric"),
    ],
)
def test_the_shape_says_dimensions_channels_and_groups(
    shape: tuple[int, ...], options: dict[str, Any], groups: int, family: str
) -> None:
    """The windows have the kernel's shape; in three dimensions they are planes."""
    weight = kernel(*shape)
    found = vggcalc.factorize(shape[2:], weights=weight, into=family, size=8, **options)
    conv = found["naive"].layers[0].layer
    assert (conv.groups, conv.out_channels, conv.in_channels) == (groups, shape[0], shape[1] * groups)
    assert conv.kernel_size == shape[2:]
    fitted = found[family].fitted
    assert 0 < fitted.energy <= 1
    assert all(len(rows) == (shape[-2] if len(shape) > 3 else 1) for rows in fitted.windows)
    assert {len(row) for rows in fitted.windows for row in rows} == {shape[-1]}
    largest = max(abs(weight.flatten()).tolist())
    assert max(abs(w) for row in found["naive"].fitted.windows[0] for w in row) <= largest * 1.001
    assert found.trained.pairs[0].in_channel < shape[1] * groups


def test_what_is_of_the_family_is_said_whole() -> None:
    stack = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1, bias=False) for _ in range(2)))
    with torch.no_grad():
        for layer, weight in zip(stack, kernel(2, 2, 2, 3, 3), strict=True):
            layer.weight.copy_(weight)
    whole = vggcalc.fuse(stack).weight
    found = vggcalc.factorize(5, weights=whole, into="stack,separable", size=9, activation="none")
    assert found["stack"].fitted.energy == pytest.approx(1, abs=1e-6)
    windows = (numpy.array(found[name].fitted.windows) for name in ("stack", "naive"))
    assert numpy.allclose(*windows, atol=1e-3)
    assert found["separable"].fitted.energy < 0.99


@pytest.mark.parametrize(
    ("size", "options", "says"),
    [
        (7, {}, "weights is a 5×5 kernel, not 7×7: ask for 5"),
        (5, {"channels": 8}, "channels 8 is not of weights, which has 4"),
        (5, {"dims": 1}, "dims 1 is not of weights, which has 2"),
        (5, {"stem": True}, "leave out one of them"),
        (5, {"into": "(2+1)d"}, r"\(2\+1\)d"),
    ],
)
def test_what_contradicts_the_kernel_is_refused(size: int, options: dict[str, Any], says: str) -> None:
    with pytest.raises(vggcalc.InputError, match=says):
        vggcalc.factorize(size, weights=kernel(4, 4, 5, 5), **options)


def test_what_is_no_kernel_is_refused() -> None:
    with pytest.raises(vggcalc.InputError, match="they are 4×4"):
        vggcalc.factorize(5, weights=kernel(4, 4))
    with pytest.raises(TypeError, match=r"a torch\.Tensor"):
        vggcalc.factorize(5, weights=5)  # type: ignore[arg-type]
    weight = kernel(2, 2, 5, 5)
    weight[0] = float("nan")
    with pytest.raises(vggcalc.InputError, match="not finite"):
        vggcalc.factorize(5, weights=weight, into="dilated")


def test_a_key_that_is_none_gets_a_near_one(tmp_path: Path) -> None:
    state = {"features.0.weight": kernel(4, 3, 7, 7), "features.3.weight": kernel(4, 4, 5, 5), "head": kernel(2, 4)}
    torch.save(state, path := str(tmp_path / "net.pt"))
    for key, says in (
        ("features.0.wieght", r"unknown: did you mean features\.0\.weight"),
        ("features.3", r"did you mean features\.3\.weight"),
        ("head", r"head of .* is 2×4 of torch\.float32: no kernel"),
        (None, r"holds 2 kernels: say the key of one, such as features\.0\.weight, features\.3\.weight"),
    ):
        with pytest.raises(LoadError, match=says) as raised:
            load_kernel(path, key)
        assert "\n" not in str(raised.value)
    torch.save({"head": kernel(2, 4)}, path)
    with pytest.raises(LoadError, match="holds no kernel"):
        load_kernel(path, "head")
    torch.save({"0.weight": kernel(4, 3, 7, 7), "0.bias": kernel(4)}, path)
    key, weight, bias = load_kernel(path, None)
    assert (key, tuple(weight.shape)) == ("0.weight", (4, 3, 7, 7))
    assert bias is not None
    assert torch.equal(bias, kernel(4))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("5", "7", "--weights", "none.pt"), "2 kernels are asked for, and --weights holds one"),
        (("5", "--key", "0.weight"), "give --weights FILE too"),
        (("5", "--weights", "none.pt", "--stem"), "leave out one of them"),
    ],
)
def test_wrong_use_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    done = invoke("factorize", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr


def test_the_example_carries_over_what_it_has_learnt(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    command = [sys.executable, str(EXAMPLE), "--into", "dilated", "--channels", "2", "--steps", "5", "--more", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(" weights")[0] for line in lines[:2]] == ["2: 198 → 38", "5: 198 → 38"]
    assert [line.split(":")[0] for line in lines[2:4]] == ["trained", "rewritten"]
    assert lines[-1].startswith("after 3 steps more: ")
    _, weight, bias = load_kernel(str(tmp_path / "digits.pt"), "5.weight")
    assert weight.shape == (2, 2, 7, 7)
    assert bias is not None
