"""`vggcalc rewrite`: from a file of weights to another, with large kernels replaced."""

import json
import re
from pathlib import Path

import msgspec
import pytest
import torch
from builders import latency_ratio
from process import invoke
from torch import nn

import vggcalc
from vggcalc.measurement.plan import Plan
from vggcalc.measurement.session import MeasurementOutcome
from vggcalc.report.tables.cells import Table, Text
from vggcalc.report.tables.fitted import fitted_tables
from vggcalc.results.fitted import RewrittenModel
from vggcalc.runtime.checkpoints import load_weights, save_weights
from vggcalc.runtime.load.errors import LoadError

pytestmark = pytest.mark.usefixtures("warm_workers")

NET = """
from torch import nn
def make():
    return nn.Sequential(nn.Conv2d(2, 3, 5, padding=2), nn.ReLU(), nn.Conv2d(3, 3, 3))
"""


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 5, padding=2), nn.ReLU(), nn.Conv2d(3, 3, 3))


def test_what_is_written_is_what_the_library_makes_of_the_weights(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    module = network()
    torch.save({"epoch": torch.tensor(3), "state_dict": module.state_dict()}, tmp_path / "trained.pt")
    done = invoke(
        "rewrite", f"{tmp_path / 'net.py'}:make", "--input", "1x2x12x12", "--into", "asymmetric", "--fit",
        "--weights", str(tmp_path / "trained.pt"), "--save", str(tmp_path / "small.pt"),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    small = vggcalc.rewrite(module, (1, 2, 12, 12), into="asymmetric", fit=True)
    before, after = (sum(one.numel() for one in each.parameters()) for each in (module, small))
    assert f"{before} parameters before, {after} after" in done.stdout
    assert f"{small.fitted[0].energy:.0%}" in done.stdout
    written = torch.load(tmp_path / "small.pt", weights_only=True)
    state = small.state_dict()
    assert written.keys() == state.keys()
    assert all(torch.allclose(written[name], tensor, atol=1e-6) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("vgg16", "--save", "small.txt"), "small.txt is neither a .safetensors nor a .pt file"),
        (("vgg16", "--save", "one.pt", "--weights", "one.pt"), "would overwrite what is read"),
        (("vgg16", "--save", "one.pt", "--into", "stack,asymmetric"), "give one family"),
        (("vgg16", "--save", "one.pt", "--merge"), "leave out merge"),
    ],
)
def test_wrong_use_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    done = invoke("rewrite", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_widths_are_chosen_by_the_weights(tmp_path: Path) -> None:
    """The smallest width whose singular values explain so much; a budget is kept, and spent where it explains most."""
    torch.manual_seed(0)
    module = network()
    with torch.no_grad():
        module[0].weight += 0.3 * torch.randn(3, 1, 5, 1) * torch.randn(1, 2, 1, 5)
    whole = module[0].weight.detach().double().permute(1, 3, 0, 2).reshape(10, 15)
    shares = (torch.linalg.svdvals(whole) ** 2).cumsum(0) / whole.square().sum()
    small = vggcalc.rewrite(module, (1, 2, 12, 12), into="asymmetric", energy=0.8)
    (one,) = small.fitted
    assert one.widths == (int((shares < 0.8).sum()) + 1, 3)
    assert one.energy == pytest.approx(float(shares[one.widths[0] - 1]), abs=1e-6)
    assert one.macs == (12 * 12 * 150, 12 * 12 * (10 + 15) * one.widths[0])
    (tmp_path / "net.py").write_text(NET)
    torch.save(module.state_dict(), tmp_path / "trained.pt")
    command = (
        "rewrite", f"{tmp_path / 'net.py'}:make", "--input", "1x2x12x12", "--into", "asymmetric",
        "--weights", str(tmp_path / "trained.pt"), "--save", str(tmp_path / "small.pt"),
    )  # fmt: skip
    done = invoke(*command, "--energy", "80%")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{one.macs[1]:,}" in done.stdout
    assert re.match(r"1 layer of .+ replaced: it has \d+% fewer weights", " ".join(done.stdout.split()))
    kept = 3 * 10 * 10 * 27  # of the 3×3
    done = invoke(*command, "--budget-macs", str(kept + 12 * 12 * 25 * 4 + 100))
    written = torch.load(tmp_path / "small.pt", weights_only=True)
    assert written["0.conv1.weight"].shape[0] == 4
    for option, value, says in (
        ("--budget-macs", "1k", "the narrowest layers take more"),
        ("--budget-macs", "1x", "is no unit of a count"),
    ):
        done = invoke(*command, option, value)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert says in done.stderr
    assert not vggcalc.rewrite(module, (1, 2, 12, 12), into="asymmetric", energy=1).fitted, "it stays"
    with pytest.raises(vggcalc.InputError, match="is no share"):
        vggcalc.rewrite(module, (1, 2, 12, 12), into="asymmetric", energy=0)
    with pytest.raises(vggcalc.InputError, match="separable has no width to choose"):
        vggcalc.rewrite(module, (1, 2, 12, 12), into="separable", energy=0.5)
    with pytest.raises(vggcalc.InputError, match="leave out one of them"):
        vggcalc.rewrite(module, (1, 2, 12, 12), energy=0.5, budget_macs=10**6)


def test_files_that_are_no_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    module = network()
    (tmp_path / "junk.pt").write_text("junk")
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "whole.pt")
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    torch.save(nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "another.pt")
    for name, says in (
        ("junk.pt", "cannot be read as weights"),
        (
            "whole.pt",
            r"it holds more than tensors, or nothing; write it with torch\.save\(model\.state_dict\(\), FILE\)$",
        ),
        ("other.pt", "holds no state dict"),
        ("another.pt", "does not fit the model"),
        ("none.pt", "there is no file"),
    ):
        with pytest.raises(LoadError, match=says) as raised:
            load_weights(module, str(tmp_path / name))
        assert "\n" not in str(raised.value)
    with pytest.raises(LoadError, match="cannot be written: No such file or directory"):
        save_weights(module, str(tmp_path / "nowhere" / "one.pt"))


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    one, other = network(), network()
    save_weights(one, str(tmp_path / "one.pt"))
    load_weights(other, str(tmp_path / "one.pt"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_weights_are_not_written_over_by_another_name(tmp_path: Path) -> None:
    weights, link = tmp_path / "weights.pt", tmp_path / "link.pt"
    weights.write_bytes(b"kept")
    link.symlink_to(weights)
    done = invoke("rewrite", "vgg16", "--weights", str(weights), "--save", str(link))
    assert done.returncode == 2
    assert "would overwrite what is read" in done.stderr
    assert weights.read_bytes() == b"kept"


def test_a_file_that_cannot_be_written_leaves_none_behind(tmp_path: Path) -> None:
    (tmp_path / "out.pt").mkdir()
    with pytest.raises(LoadError, match=r"out\.pt cannot be written"):
        save_weights(network(), str(tmp_path / "out.pt"))
    assert [one.name for one in tmp_path.iterdir()] == ["out.pt"]


def test_keys_that_are_no_names_are_no_state_dict(tmp_path: Path) -> None:
    torch.save({1: torch.zeros(1)}, tmp_path / "numbered.pt")
    with pytest.raises(LoadError, match=r"numbered\.pt holds no state dict"):
        load_weights(network(), str(tmp_path / "numbered.pt"))


def test_the_energy_in_total_is_that_of_all_kernels_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held to singular values, in the table and in JSON; the model is timed with the widths that were chosen."""
    torch.manual_seed(0)
    (tmp_path / "net.py").write_text(NET.replace("nn.Conv2d(3, 3, 3)", "nn.Conv2d(3, 2, 7, padding=3)"))
    module = nn.Sequential(nn.Conv2d(2, 3, 5, padding=2), nn.ReLU(), nn.Conv2d(3, 2, 7, padding=3))
    torch.save(module.state_dict(), tmp_path / "trained.pt")
    seen: list[int] = []

    def measured(comparisons: list[vggcalc.Comparison], plan: Plan) -> MeasurementOutcome:
        (comparison,) = comparisons
        seen.extend(variant.parameters for variant in comparison)
        assert (plan.latency, plan.check) == (True, False)
        latency = (latency_ratio(0.5, (0.49, 0.51), verdict="faster"),)
        ratios = (msgspec.structs.replace(comparison.ratios[0], latency=latency),)
        return MeasurementOutcome((msgspec.structs.replace(comparison, ratios=ratios),))

    shown: list[str] = []
    monkeypatch.setattr("vggcalc.pipeline.progress.Progress.__call__", lambda self, text: shown.append(text))
    monkeypatch.setattr("vggcalc.pipeline.run.measure_with_progress", measured)
    done = invoke(
        "rewrite", f"{tmp_path / 'net.py'}:make", "--input", "1x2x12x12", "--into", "asymmetric", "--energy", "70%",
        "--weights", str(tmp_path / "trained.pt"), "--save", str(tmp_path / "small.pt"), "--latency", "--json",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert shown == ["replacing 0, 1 of 2", "replacing 2, 2 of 2"]
    found = json.loads(done.stdout)["rewritten"]
    explained = whole = 0.0
    for layer, size in zip(found["layers"], (5, 7), strict=True):
        kernel = module[int(layer["name"])].weight.detach().double()
        matrix = kernel.permute(1, 3, 0, 2).reshape(kernel.shape[1] * size, -1)
        explained += float(torch.linalg.svdvals(matrix)[: layer["widths"][0]].square().sum())
        whole += float(kernel.square().sum())
    assert found["energy"] == pytest.approx(explained / whole, abs=1e-6)
    assert 0.7 <= found["energy"] < 1
    written = torch.load(tmp_path / "small.pt", weights_only=True)
    states = module.state_dict(), written
    assert found["parameters"] == seen == [sum(map(torch.numel, one.values())) for one in states]
    table, notes = fitted_tables(msgspec.json.decode(json.dumps(found), type=RewrittenModel))
    assert isinstance(table, Table)
    assert isinstance(notes, Text)
    *rows, total = ([cell.value for cell in row.cells[4:9]] for row in table.rows)
    assert total[:4] == [sum(column) for column in list(zip(*rows, strict=True))[:4]]
    assert total[4] == found["energy"]
    assert "the model after is 2.00 times faster than before (95% CI 1.96–2.04, in one process)" in " ".join(
        notes.lines
    )
