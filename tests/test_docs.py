"""Every command of the README and every example is run; what they are said to print, they print."""

import importlib.util
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml  # comes with fvcore
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: Blocks of a shell session: a line that begins with `$ `, and what it printed.
SESSIONS = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SHOWN = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(SESSIONS), re.MULTILINE)
COMMANDS = [command for command, _ in SHOWN]
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
NEEDS_JQ = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, warm_command: tuple[str, ...]) -> dict[str, str]:
    """`vggcalc` on the path is this interpreter's, also where its scripts are not."""
    folder = tmp_path_factory.mktemp("bin")
    source = (
        "from vggcalc.cli.main import main; from vggcalc.measurement import worker; "
        f"worker.COMMAND = {warm_command}; main()"
    )
    for name, target in (("vggcalc", f"-c {shlex.quote(source)}"), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {target} "$@"\n')
        script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}


def measures(command: str) -> bool:
    """Whether the command times something."""
    return re.search(r"vggcalc (factorize|compare|summary)\b", command) is not None and ("--no-latency" not in command)


def quick(command: str) -> str:
    """The command with few rounds, where it would measure for seconds."""
    if not measures(command) or "--budget" in command or "--help" in command:
        return command
    return re.sub(r"(vggcalc (?:factorize|compare|summary)\b)", r"\1 --quick --rounds 6 --budget 3600", command)


def skip_without(command: str) -> None:
    """Skip a command that needs what is not installed."""
    if "jq" in command and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    if "torchvision:" in command and importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme(command: str, environment: dict[str, str]) -> None:
    skip_without(command)
    done = subprocess.run(
        quick(command), shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(("command", "shown"), [(command, shown) for command, shown in SHOWN if shown.strip()])
def test_counts_in_the_readme_are_what_is_printed(command: str, shown: str, environment: dict[str, str]) -> None:
    """Where nothing is measured the whole output must be the same; else the part that is not."""
    skip_without(command)
    if measures(command):
        command += " --no-latency"
        shown = shown.partition("\nLatency")[0]
    printed = subprocess.run(
        command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    ).stdout
    for line in shown.replace("…\n", "").strip().splitlines():
        assert line in printed.splitlines(), f"{command} does not print {line!r}"


@pytest.mark.filterwarnings("ignore::vggcalc.library.measuring.MeasurementWarning")  # a loaded machine is warned of
@pytest.mark.usefixtures("warm_workers")
def test_python_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert PYTHON
    for source in PYTHON:
        exec(compile(source, "README.md", "exec"), {"__name__": "__main__"})


def test_the_two_commands_to_set_up_are_single_lines() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    first, second = (block.strip() for block in blocks[:2])
    for command in (first, second):
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && ")
        assert "--constraint constraints.txt" in command
    assert first.endswith("vggcalc compare vgg16")
    assert second.endswith("-m pytest")


def test_the_tested_set_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text().split()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert {"torch", "fvcore", "click", "rich", "msgspec", "scipy", "pytest"} <= {
        pin.partition("==")[0] for pin in pins
    }


@NEEDS_JQ
def test_example_pipeline(environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["sh", "examples/pipeline.sh"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert ["vgg16", "block1", "5×5", "240844800", "1936392192", "8.04"] in rows
    assert ["vgg16", "block5", "7×7", "2517630976", "1387266048", "0.551"] in rows


def test_example_of_a_users_module(environment: dict[str, str]) -> None:
    """Parameters and MACs of examples/unet.py are those of torch."""
    done = subprocess.run(
        ["vggcalc", "summary", "examples/unet.py:UNet", "--size", "32", "--no-latency", "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    (comparison,) = json.loads(done.stdout)["comparisons"]
    spec = importlib.util.spec_from_file_location("unet", ROOT / "examples/unet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net = module.UNet()
        net(torch.empty(1, 3, 32, 32))
    costs = comparison["variants"][0]["costs"]
    assert costs["parameters"] == sum(parameter.numel() for parameter in net.parameters())
    assert 2 * costs["macs"] == counter.get_total_flops()


def test_example_configuration(environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["vggcalc", "compare", "examples/tiny-vgg.toml", "--no-latency", "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    (comparison,) = json.loads(done.stdout)["comparisons"]
    assert comparison["name"] == "tiny-vgg"
    assert comparison["variants"][0]["output_shape"] == [1, 10]


def test_example_training(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples/train_both.py"), run_name="__main__")
    losses = re.findall(r"^(\w+) .* loss ([\d.]+) → ([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
    assert [name for name, _, _ in losses] == ["naive", "factorized"]
    assert all(float(last) < 0.5 * float(first) for _, first, last in losses)


def test_example_picture(environment: dict[str, str], tmp_path: Path) -> None:
    """examples/kernels.svg is what the command beside it in the README draws, but for its rounding."""
    pytest.importorskip("matplotlib")
    command = re.search(r"`(vggcalc sweep .* --plot examples/kernels.svg)`", README)
    assert command is not None
    path = tmp_path / "kernels.svg"
    done = subprocess.run(
        command[1].replace("examples/kernels.svg", str(path)), shell=True, cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown, drawn = (
        re.findall(r"<text .*?>(.*?)</text>", file.read_text(encoding="utf-8"))
        for file in (ROOT / "examples/kernels.svg", path)
    )
    assert shown == drawn
    assert {"naive", "stripes", "MACs", "kernel size"} <= set(shown)


def test_example_of_a_build(environment: dict[str, str], tmp_path: Path) -> None:
    """Its gate passes as it stands, against examples/baseline.json, and fails once a bound is lower."""
    workflow = yaml.safe_load((ROOT / "examples/github-actions.yml").read_text(encoding="utf-8"))
    install, gate = [step["run"] for step in workflow["jobs"]["cost"]["steps"] if "run" in step]
    assert install == "python -m pip install --constraint constraints.txt ."
    summary = tmp_path / "summary.md"
    for command, status in ((gate, 0), (gate.replace("400M", "300M"), 4)):
        done = subprocess.run(
            ["sh", "-e", "-c", command],
            cwd=ROOT,
            env={**environment, "GITHUB_STEP_SUMMARY": str(summary)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == status, done.stderr
        assert done.stdout == ""
    assert "328,930,304: 28,930,304 (9.6%) above 300,000,000" in done.stderr
    assert summary.read_text(encoding="utf-8").count("Against examples/baseline.json: nothing changed.") == 2


def test_every_example_is_run() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    for path in sorted(path for path in (ROOT / "examples").iterdir() if path.is_file()):
        assert path.name in source, f"{path.name} is run by no test"
