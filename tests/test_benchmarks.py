"""Every benchmark runs, at a small size, and says on what machine and at which commit.

`benchmarks/learning.py` has a file of tests of its own.
"""

import gc
import importlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import torch
from process import invoke

import vggcalc
from vggcalc.runtime.time.devices import Cpu

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.usefixtures("warm_workers")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports one of them; afterwards torch is as it was."""
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(gc, "freeze", lambda: None)  # it is done already, see `conftest.py`
    yield importlib.import_module
    torch.set_num_threads(threads)


def printed(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[list[list[list[str]]], str]:
    """The tables that its command prints, as rows of cells with the heads first, and its last line."""
    monkeypatch.setattr(sys, "argv", [str(module.__file__), *arguments])
    module.main()
    text = capsys.readouterr().out
    *parts, last = text.rstrip("\n").split("\n")
    return tables(parts), last


def tables(lines: list[str]) -> list[list[list[str]]]:
    """Tables in Markdown; every row has as many cells as its head."""
    found: list[list[list[str]]] = []
    before = False
    for line in lines:
        is_row = line.startswith("| ")
        if is_row:
            found += [] if before else [[]]
            found[-1].append([cell.strip() for cell in line[2:-2].split(" | ")])
        before = is_row
    for one in found:
        assert {len(row) for row in one} == {len(one[0])}, one
        assert set(one[1]) == {"---"}
        del one[1]
    return found


def check_machine(line: str, module: ModuleType) -> None:
    """It names a processor, the versions, and the commit, which is this one."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=BENCHMARKS, capture_output=True, text=True)
    assert f"torch {torch.__version__}" in line
    assert "Python 3." in line
    assert (f"commit {head.stdout.strip()}" if head.returncode == 0 else vggcalc.__version__) in line


def test_coverage(
    benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = benchmark("latency_coverage")
    monkeypatch.setattr(module, "FIRST_CHECK", 7)
    monkeypatch.setattr(module, "POINTS", module.POINTS[:2])
    monkeypatch.setattr(module, "PLAN", msgspec.structs.replace(module.PLAN, processes=1, rounds=7))
    asked = ("--within", "2", "--across", "1", "--default", "1", "--swept", "1")
    ((head, *rows),), last = printed(module, monkeypatch, capsys, *asked)
    assert head[:4] == ["way", "comparisons", "holds 1.0", "faster or slower"]
    assert [row[:2] for row in rows] == [
        [module.IN_ONE, "2"], [module.OVER, "1"], [module.BY_DEFAULT, "1"], [module.SWEPT, "2"], [module.WELCH, "2"],
        [module.QUARTILES, "2"],
    ]  # fmt: skip
    for row in rows:
        for cell in row[2:4]:
            assert re.fullmatch(r"[\d.]+% \([\d.]+% to [\d.]+%\)", cell)
        assert all(re.fullmatch(r"[\d.]+%", cell) for cell in row[4:])
    check_machine(last, module)


def test_coverage_goes_on_after_what_is_kept(
    benchmark: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    module = benchmark("latency_coverage")
    made: list[int] = []

    def by_default(seed: int) -> Any:
        made.append(seed)
        return module.Found(module.Estimate(1 + seed / 1000, (0.99, 1.0 + seed / 500), "processes"), "same")

    monkeypatch.setattr(module, "by_default", by_default)
    kept = ("--within", "0", "--across", "0", "--swept", "0", "--records", str(tmp_path / "kept.jsonl"))
    printed(module, monkeypatch, capsys, *kept, "--default", "2", "--seed", "5")
    ((_, row),), _ = printed(module, monkeypatch, capsys, *kept, "--default", "4", "--seed", "4")
    assert made == [5, 6, 4, 7]
    assert row[:2] == [module.BY_DEFAULT, "4"]
    assert row[2].startswith("100.0%")
    assert row[-1] == "0.70%"


def test_fitting(
    benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = benchmark("fitting")
    monkeypatch.setattr(module, "SMALL", [module.Case("3×3 depthwise", 2, 3, groups=2), *module.SMALL[:1]])
    ((head, *rows),), last = printed(module, monkeypatch, capsys, "--small", "--starts", "2", "--steps", "30")
    assert head[:3] == ["kernel", "left by `fit`", "time"]
    assert [row[0] for row in rows] == ["3×3 depthwise", "5×5, 2 → 2"]
    assert float(rows[0][1]) < 1e-20  # one layer is the kernel itself
    assert float(rows[1][1]) <= float(rows[1][4]) <= float(rows[1][5])
    check_machine(last, module)


def test_agreement(
    benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = benchmark("latency_agreement")
    monkeypatch.setattr(module, "FIRST_CHECK", 3)
    name, variant = list(module.MODULES.items())[-1]
    monkeypatch.setattr(module, "MODULES", {name: variant})
    ((head, row),), last = printed(module, monkeypatch, capsys, "--repeats", "1")
    assert head[:4] == ["module", module.TOGETHER, module.ALONE, module.TORCH]
    assert row[0] == name
    assert all(re.fullmatch(r"[\d.]+ ms", cell) for cell in row[1:4])
    assert all(float(cell.split()[0]) > 0 for cell in row[4:])
    check_machine(last, module)


def test_a_sweeps_rate(
    benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = benchmark("sweep")
    monkeypatch.setattr(module, "KERNELS", "3,5")
    ((head, *rows),), last = printed(module, monkeypatch, capsys, "--channels", "1", "--alone", "0.01")
    assert head[:2] == ["rows", "format"]
    expected = list(vggcalc.sweep("3,5", channels="16", size="7,14,28,56", batch="1,8", into="all"))
    assert [row[:2] for row in rows] == [[f"{len(expected):,}", format_] for format_ in ("csv", "jsonl")]
    check_machine(last, module)


def test_the_other_counters(
    benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With processes that are only said to have run: all of them take minutes. One runs, and one fails."""
    module = benchmark("counters")
    real = module.run(module.CLICK)
    assert 0 < real.seconds < 600
    assert 1 < real.mebibytes < 1000
    monkeypatch.setitem(module.PROGRAMS, "failing", "raise SystemExit('no such thing')")
    with pytest.raises(RuntimeError, match="no such thing"):
        module.run("failing")
    question = invoke(*module.QUESTION.split()[1:]).stdout
    exact = json.dumps([[parameters, counts] for parameters, counts in module.EXACT])
    summary = json.loads(question)
    summary["comparisons"][0]["variants"].reverse()  # of a summary the first is the network itself

    def run(name: str) -> Any:
        answers = {module.QUESTION: question, module.SUMMARY: json.dumps(summary), module.ANALYSIS: "0.0005"}
        if name in (*module.COUNTERS, *module.OF_TORCHVISION) and name not in ("torch", "torch of torchvision's"):
            raise RuntimeError("not installed")
        published = json.dumps([json.loads(exact)[0]])
        output = answers.get(name, published if name in module.OF_TORCHVISION else exact)
        return module.Run(1.0 if name == module.TORCH else 0.1, 100.0, output)

    monkeypatch.setattr(module, "run", run)
    (counted, limits, published), last = printed(module, monkeypatch, capsys, "--runs", "1")
    assert [row[0].split()[0] for row in counted[1:]] == ["vggcalc", "torch", "`import"]
    assert counted[1][6:] == ["MACs 15,470,264,320 = MACs", "MACs 15,521,644,544 = MACs"]
    assert [row[-1] for row in limits[1:]] == ["", "", "**no**", *["yes"] * 7]
    assert len(published) == 4
    check_machine(last, module)


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision not installed")
def test_the_zoo(tmp_path: Path) -> None:
    lines, page = tmp_path / "zoo.jsonl", tmp_path / "zoo.md"
    command = [sys.executable, str(BENCHMARKS / "zoo.py"), "--models", "torchvision:squeezenet1_1"]
    command += ["--output", str(lines), "--page", str(page)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    (record,) = map(json.loads, lines.read_text(encoding="utf-8").splitlines())
    assert record["status"] == "complete"
    assert record["macs"] == record["torch_macs"]
    assert "| torchvision | 1 " in page.read_text(encoding="utf-8")


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision not installed")
def test_what_is_said_of_a_transformer(
    benchmark: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """With torch's counter alone: all take minutes."""
    module = benchmark("vit")
    monkeypatch.setattr(module, "ASKED", {"torch": module.ASKED["torch"]})
    ((_, *rows),), last = printed(module, monkeypatch, capsys, str(tmp_path / "vit.svg"))
    figures = ["86,567,656", "exact", "17,563,828,224", "exact"]
    assert rows == [["vggcalc", *figures], ["torch, meta device", *figures]]
    assert f"torch {version('torch')}, " in last
    assert (tmp_path / "vit.svg").read_text(encoding="utf-8").count("<rect") == 2


def test_the_readmes_chart_is_that_of_the_table(benchmark: Callable[[str], ModuleType]) -> None:
    folder = BENCHMARKS.parent / "docs/benchmarks"
    (*_, (_, *rows)) = tables((folder / "counters.md").read_text(encoding="utf-8").splitlines())
    found = {
        name: (int(parameters.replace(",", "")), int(macs.replace(",", ""))) for name, parameters, _, macs, _ in rows
    }
    assert benchmark("vit").chart(found, 17_563_828_224) == (folder / "vit_b_16.svg").read_text(encoding="utf-8")


class Replayed(Cpu):
    """The CPU with what is a graph elsewhere."""

    def graph(self, call: Callable[[], object]) -> Callable[[], object]:
        return call


def test_an_accelerators_tables(benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, with the processor's clock for the device's events."""
    module = benchmark("accelerator")
    coverage = benchmark("latency_coverage")
    where = Replayed()
    small = vggcalc.factorize(3, channels=4, size=8)["naive"]
    monkeypatch.setattr(module, "modules", lambda: {"small": small})
    monkeypatch.setattr(module, "REPEATS", 6)
    for one in (module, coverage):
        monkeypatch.setattr(one, "FIRST_CHECK", 6)

    def seconds(call: Callable[[], object], calls: int) -> float:
        began = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - began) / calls

    monkeypatch.setattr(module, "event_seconds", seconds)
    record: dict[str, Any] = {}
    head, *rows = module.clocks(where, record)
    assert [(row[0], row[1]) for row in rows] == [("small", "eager"), ("small", "graph")]
    assert {len(row) for row in rows} == {len(head)}
    assert all(len(times["wall_s"]) == 6 for times in record["clocks"].values())
    head, *rows = module.kernels(where, record)
    assert {len(row) for row in rows} == {len(head)}
    assert all(found["kernels"] for found in record["kernels"].values())
    head, *rows = module.copies(where, 1, record)
    assert {len(row) for row in rows} == {len(head)}
    assert {row[1] for row in rows} == {coverage.IN_ONE, coverage.WELCH, coverage.QUARTILES}
    json.dumps(record)


def test_without_an_accelerator_it_says_so(
    benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = benchmark("accelerator")
    monkeypatch.setattr(sys, "argv", ["accelerator.py", "--device", "cpu"])
    with pytest.raises(SystemExit, match="cpu is no accelerator"):
        module.main()
    monkeypatch.setattr(sys, "argv", ["accelerator.py"])
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="finds no accelerator here"):
        module.main()
