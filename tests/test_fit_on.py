"""A fit weighed by what comes in: its outputs are never farther than those of the fit of the kernel, by plain torch."""

from pathlib import Path

import numpy
import pytest
import torch
from process import invoke
from torch import nn
from torch.nn.functional import unfold

import vggcalc
from vggcalc.errors import InputError
from vggcalc.nets.families import Factorization, factorized
from vggcalc.nets.layers import Conv2d
from vggcalc.runtime.data import load_data
from vggcalc.runtime.fit.fit import fit
from vggcalc.runtime.fit.moments import roots
from vggcalc.runtime.load.errors import LoadError


def of_a_subspace(channels: int, size: int) -> torch.Tensor:
    """Inputs that are mixtures of three."""
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(3, channels, size, size, generator=generator)
    return torch.einsum("nb,bchw->nchw", torch.randn(20, 3, generator=generator), few)


def error(old: nn.Module, new: nn.Module, data: torch.Tensor) -> float:
    with torch.no_grad():
        return float((new(data) - old(data)).norm() / old(data).norm())


@pytest.mark.parametrize(
    ("family", "widths", "stride"),
    [
        ("stack", None, 2), ("asymmetric", 3, 1), ("separable", None, 2), ("bottleneck", (2, 2, 4), 1), ("cp", 2, 1),
        ("dilated", None, 1), ("separable-stack", None, 1),
    ],
)  # fmt: skip
def test_outputs_are_no_farther_than_those_of_the_fit_of_the_kernel(
    family: str, widths: int | tuple[int, ...] | None, stride: int
) -> None:
    """Without padding, so that what is composed is what the layers put out at the edges too."""
    torch.manual_seed(1)
    old = nn.Conv2d(2, 4, 5, stride=stride, bias=False)
    data = of_a_subspace(2, 9)
    whole, weighed = (
        vggcalc.rewrite(old, (1, 2, 9, 9), into=family, widths=widths, fit=True, fit_on=given) for given in (None, data)
    )
    (one,) = weighed.fitted
    found = error(old, weighed, data)
    assert found <= error(old, whole, data) + 1e-6
    assert one.output_error == pytest.approx(found, abs=1e-5)
    assert one.energy == pytest.approx(1 - found**2, abs=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "dilation", "padding"), [(1, 1, 2), (2, 1, 0), (1, 2, 3)])
def test_moments_are_those_of_unfolded_patches(groups: int, stride: int, dilation: int, padding: int) -> None:
    conv = Conv2d(4, 4, (3, 3), (stride, stride), (padding, padding), (dilation, dilation), groups)
    module = nn.Sequential(nn.Conv2d(4, 4, 3, stride, padding, dilation, groups)).double()
    data = torch.randn(3, 4, 11, 10, dtype=torch.float64)
    branches = factorized(conv, Factorization("asymmetric"))
    root = roots(module, {"it": ("0", conv, branches)}, data)["it"]
    assert root is not None
    patches = unfold(data, 3, dilation, padding, stride).unflatten(1, (groups, -1))
    moments = torch.einsum("bgip,bgjp->gij", patches, patches)
    mean = moments.diagonal(dim1=1, dim2=2).mean()
    assert torch.allclose(root @ root.mT, moments / mean, atol=1e-7)


@pytest.mark.parametrize("family", ["stack", "asymmetric", "stripes"])
def test_white_moments_are_the_fit_of_the_kernel(family: str) -> None:
    conv = Conv2d(2, 2, (5, 5), padding=2)
    weight = torch.randn(2, 2, 5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    branches = factorized(conv, Factorization(family))
    plain = fit(weight, conv, branches)
    white = fit(weight, conv, branches, root=torch.eye(50, dtype=torch.float64)[None])
    assert white.energy == pytest.approx(plain.energy, abs=1e-4)
    assert white.energy >= plain.energy - 1e-12


def test_layers_that_nothing_comes_into_are_fitted_as_without_data() -> None:
    old = nn.Conv2d(2, 2, 5, bias=False)
    plain, dark = (
        vggcalc.rewrite(old, (1, 2, 8, 8), into="asymmetric", widths=2, fit=True, fit_on=given)
        for given in (None, torch.zeros(2, 2, 8, 8))
    )
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), dark.parameters(), strict=True))


def test_files_hold_tensors_and_folders_images(tmp_path: Path) -> None:
    data = torch.rand(2, 3, 6, 5)
    torch.save(data, tmp_path / "it.pt")
    numpy.save(tmp_path / "it.npy", data.numpy())
    for name in ("it.pt", "it.npy"):
        assert torch.equal(load_data(str(tmp_path / name), (1, 3, 6, 5)), data)
    numpy.save(tmp_path / "objects.npy", numpy.array([{}], dtype=object), allow_pickle=True)
    torch.save([data], tmp_path / "list.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    for name, says in (
        ("objects.npy", "cannot be read as a tensor"),
        ("list.pt", r"holds no single tensor: it takes a batch of inputs, such as one of shape \(1, 3, 6, 5\)"),
        ("module.pt", r"it holds more than tensors, or nothing; write it with torch\.save\(inputs, FILE\)$"),
        ("none.pt", "none.pt"),
        ("net.py", r"is neither a folder of images nor a \.pt, \.safetensors or \.npy file"),
    ):
        with pytest.raises(LoadError, match=says):
            load_data(str(tmp_path / name), (1, 3, 6, 5))
    with pytest.raises(LoadError, match=r"is a folder of images, and the model takes inputs of shape \(1, 7\)"):
        load_data(str(tmp_path), (1, 7))


def test_images_become_numbers_from_0_to_1(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (5, 6), (255, 0, 51)).save(tmp_path / "a.png")
    found = load_data(str(tmp_path), (1, 3, 6, 5))
    assert torch.equal(found, torch.tensor([1, 0, 0.2]).view(1, 3, 1, 1).expand(1, 3, 6, 5))
    assert load_data(str(tmp_path), (1, 1, 3, 3)).shape == (1, 1, 3, 3)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(LoadError, match=r"b\.png cannot be read as an image"):
        load_data(str(tmp_path), (1, 3, 6, 5))


def test_data_of_another_shape_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^the model does not run on the data of shape \(2, 3, 8, 8\): "):
        vggcalc.rewrite(nn.Conv2d(2, 2, 5), (1, 2, 8, 8), fit_on=torch.zeros(2, 3, 8, 8))


@pytest.mark.usefixtures("warm_workers")
def test_the_command_reads_a_file_of_inputs(tmp_path: Path) -> None:
    text = "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(2, 3, 5, padding=2))\n"
    (tmp_path / "net.py").write_text(text)
    module = nn.Sequential(nn.Conv2d(2, 3, 5, padding=2))
    data = of_a_subspace(2, 9)
    torch.save(module.state_dict(), tmp_path / "trained.pt")
    torch.save(data, tmp_path / "inputs.pt")
    done = invoke(
        "rewrite", f"{tmp_path / 'net.py'}:make", "--input", "1x2x9x9", "--into", "asymmetric", "--widths", "2",
        "--weights", str(tmp_path / "trained.pt"), "--save", str(tmp_path / "small.pt"),
        "--fit-on", str(tmp_path / "inputs.pt"),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    small = vggcalc.rewrite(module, (1, 2, 9, 9), into="asymmetric", widths=2, fit_on=data)
    assert f"{error(module, small, data):.1%}" in done.stdout
    assert "inputs.pt" in done.stdout.replace("\n", "")
