"""Several models in one summary: patterns of a registry, one worker, and a row for what fails."""

import csv
import json
from pathlib import Path

import pytest
from process import invoke

import vggcalc
from vggcalc.measurement import worker
from vggcalc.protocol import Job

pytestmark = pytest.mark.usefixtures("warm_workers")

#: A package called timm, with a registry as timm has one.
TIMM = """
import os
from torch import nn

def kernel(size):
    return nn.Conv2d(3, 4, size, padding=size // 2)

def frozen():
    module = kernel(3)
    module.bias.requires_grad_(False)
    return module

MODELS = {
    "net3": lambda: kernel(3),
    "net5": lambda: kernel(5),
    "net7": lambda: kernel(7),
    "net_frozen": frozen,
    "net_raises": lambda: 1 / 0,
    "net_dies": lambda: os._exit(7),
    "other": nn.Identity,
}

def list_models():
    return sorted(MODELS)

def create_model(name, pretrained=True):
    assert not pretrained
    return MODELS[name]()
"""


@pytest.fixture(autouse=True)
def timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by workers, and not kept: it belongs to no distribution."""
    (tmp_path / "timm.py").write_text(TIMM)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(vggcalc.__file__).parent.parent}")
    monkeypatch.chdir(tmp_path)


def macs(kernel: int) -> int:
    """Of one k×k convolution from 3 to 4 channels on 224×224."""
    return 3 * 4 * kernel**2 * 224**2


def rows(*arguments: str) -> tuple[dict[str, dict[str, object]], int, str]:
    """By model, with exit status and messages."""
    done = invoke("summary", *arguments, "--json")
    document = json.loads(done.stdout)
    assert document["comparisons"] == []
    return {row["model"]: row for row in document["models"]}, done.returncode, done.stderr


def test_a_pattern_is_every_model_that_matches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Job] = []
    start = worker.Worker
    monkeypatch.setattr(worker, "Worker", lambda job, timeout_s: started.append(job) or start(job, timeout_s))
    found, status, _ = rows("timm:net[0-9]", "timm:net3", "vgg11")
    assert status == 0
    assert len(started) == 1
    assert list(found) == ["timm:net3", "timm:net5", "timm:net7", "vgg11"]
    for kernel in (3, 5, 7):
        costs = found[f"timm:net{kernel}"]["costs"]
        assert isinstance(costs, dict)
        assert (costs["macs"], costs["parameters"]) == (macs(kernel), 3 * 4 * kernel**2 + 4)
    assert found["vgg11"]["costs"] == vggcalc.summary("vgg11").variants[0].costs
    assert {row["status"] for row in found.values()} == {"complete"}


def test_what_fails_is_a_row_and_the_others_are_counted() -> None:
    found, status, _ = rows("timm:net_*", "timm:net5", "nonsense")
    assert status == 1
    assert [name for name, row in found.items() if row["status"] == "failed"] == [
        "timm:net_dies",
        "timm:net_raises",
        "nonsense",
    ]
    assert "status 7" in str(found["timm:net_dies"]["reason"])
    assert "ZeroDivisionError" in str(found["timm:net_raises"]["reason"])
    assert "unknown model" in str(found["nonsense"]["reason"])
    assert found["timm:net5"]["status"] == found["timm:net_frozen"]["status"] == "complete"


def test_in_every_format() -> None:
    command = "summary", "timm:net[357]", "timm:net_raises", "--no-latency"
    done = invoke(*command, "--sort", "macs", "--top", "2")
    assert done.returncode == 1
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("timm")]
    assert [line[0] for line in lines] == ["timm:net7", "timm:net5"]
    assert [line[2] for line in lines] == [f"{macs(7):,}", f"{macs(5):,}"]
    table = invoke(*command).stdout
    assert "ZeroDivisionError" in " ".join(table.split())
    assert "product" not in table
    found = list(csv.DictReader(invoke(*command, "--format", "csv").stdout.splitlines()))
    assert [(row["model"], row["macs"]) for row in found] == [
        *((f"timm:net{kernel}", str(macs(kernel))) for kernel in (3, 5, 7)),
        ("timm:net_raises", ""),
    ]
    assert f"| timm:net7 | {3 * 4 * 49 + 4:,} | " in invoke(*command, "--format", "markdown").stdout
    assert "trainable" in invoke("summary", "timm:net3", "timm:net_frozen").stdout


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["timm:nyet*"], "'nyet*'"),
        (["timm:net*", "--depth", "2"], "--depth"),
        (["timm:net*", "--as", "fvcore"], "--as"),
        (["vgg11", "vgg13", "--fail-if", "macs > 1"], "--fail-if"),
        (["vgg11", "vgg13", "--format", "html"], "--format html"),
    ],
)
def test_refused_in_one_line(arguments: list[str], culprit: str) -> None:
    done = invoke("summary", *arguments)
    assert done.returncode == 2
    assert culprit in done.stderr
    assert done.stdout == ""
