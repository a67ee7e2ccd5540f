"""Every command of the README and the pages, and every example, is run and prints what it is said to print."""

import doctest
import importlib.util
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from difflib import SequenceMatcher
from pathlib import Path
from types import ModuleType

import click
import pytest
import torch
import yaml  # comes with fvcore
from process import invoke
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.cli.app import COMMANDS, cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: A block that is run: a shell session or Python; one with a title is a file that later blocks use.
BLOCK = re.compile(r"^```(?P<kind>\w+)(?: title=\"(?P<title>.+?)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
#: A command of a session, which begins with `$ `, and what it printed.
COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<shown>(?:(?!\$ ).*\n)*)", re.MULTILINE)
#: What some pages need and not every environment has, and by what it is known.
NEEDS = {"jq": r"\bjq\b", "torchvision": r"\btorchvision\b", "timm": r"\btimm\b", "transformers": r"\btransformers[:.]"}
#: The commands that drew the pictures of the pages.
DRAWN = [
    command
    for page in PAGES
    for command in re.findall(r"`(vggcalc .* --plot docs/\S+.svg)`", page.read_text(encoding="utf-8"))
]
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


def lacking(text: str) -> set[str]:
    """What a block needs and this environment does not have."""
    named = {name for name, pattern in NEEDS.items() if re.search(pattern, text)}
    return {name for name in named if not (shutil.which(name) or importlib.util.find_spec(name))}


def measures(command: str) -> bool:
    """Whether the command times something."""
    return re.search(r"vggcalc (factorize|compare|summary)\b", command) is not None and "--no-latency" not in command


def quick(command: str) -> str:
    """The command with one round, where it would measure for seconds: no time that it prints is compared."""
    if not measures(command) or "--budget" in command or "--help" in command:
        return command
    return re.sub(r"(vggcalc (?:factorize|compare|summary)\b)", r"\1 --quick --rounds 1 --budget 3600", command)


#: What commands that measure have printed: pages show the same ones.
MEASURED: dict[str, subprocess.CompletedProcess[str]] = {}


def run_command(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """In this process, which is much faster, but for what only a shell understands."""
    if measures(command) and "--output" not in command:
        if command not in MEASURED:
            MEASURED[command] = execute(command, environment)
        return MEASURED[command]
    return execute(command, environment)


def execute(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it."""
    words = shlex.split(command)
    if words[0] == "vggcalc" and not set("|;<>&$") & set(re.sub(r"'.*?'|\".*?\"", "", command)):
        return invoke(*words[1:])
    return subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=600)


def excerpt(shown: str, printed: str) -> str:
    """What of `printed` is to stand where `shown` does: the same passages, where `…` stands for the rest."""
    lines, passages = printed.splitlines(), [part.splitlines() for part in re.split(r"^…\n", shown, flags=re.MULTILINE)]
    if len(passages) == 1:
        return printed
    position, kept = 0, []
    for i, passage in enumerate(passages):
        first, last = 0 if i == 0 else None, len(lines) if i == len(passages) - 1 else None
        if passage:
            exact = (n for n in range(position, len(lines)) if lines[n : n + len(passage)] == passage)
            if (found := next(exact, None)) is not None:
                first, last = found, found + len(passage)
            if first is None:
                first = position + closest(passage[0], lines[position:])
            if last is None:
                last = first + closest(passage[-1], lines[first:]) + 1
            kept.append(lines[first:last])
            position = last
        else:
            kept.append([])
    return "…\n".join("".join(f"{line}\n" for line in passage) for passage in kept)


def closest(line: str, lines: list[str]) -> int:
    """The place of the line that is most like it."""
    return max(range(len(lines)), key=lambda n: SequenceMatcher(None, line, lines[n], autojunk=False).ratio())


def replayed(session: str, environment: dict[str, str]) -> str:
    """The session as it prints now. Times stay as they are shown: they are of a quiet machine."""
    status = 0

    def replay(match: re.Match[str]) -> str:
        nonlocal status
        command, shown = match["command"], match["shown"]
        if command == "echo $?":
            printed, status = f"{status}\n", 0
        else:
            assert status == 0, f"ended with {status}, which `$ echo $?` would say: before {command}"
            done = run_command(quick(command), environment)
            status = done.returncode
            assert done.stdout.strip() or status or re.search("--(output|save|plot)|>", command), (
                f"{command} says nothing"
            )
            printed = done.stdout + (done.stderr if status else "")
            printed = "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n") + "\n"
        if not shown.strip():
            return match[0]
        if not measures(command):
            counts = shown.rstrip("\n") + "\n"
            return f"$ {command}\n{excerpt(counts, printed)}{shown.removeprefix(counts)}"
        (answer, counts, times), (_, printed, _) = map(parts_of_measured, (shown, printed))
        return f"$ {command}\n{answer}{excerpt(counts, printed)}{times}"

    new = COMMAND.sub(replay, session)
    assert status == 0, f"the last command ended with {status}, which `$ echo $?` would say"
    return new


def parts_of_measured(printed: str) -> tuple[str, str, str]:
    """What a measuring command prints: the answer, which has times in it, the counts, and what was measured."""
    answer = re.match(r"(?!…)(?:.+\n)+\n|", printed)
    assert answer is not None
    rest = printed[answer.end() :]
    counts = re.split(r"^Latency", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return answer[0], counts, rest.removeprefix(counts)


@pytest.mark.filterwarnings("ignore::vggcalc.library.measuring.MeasurementWarning")  # a loaded machine is warned of
@pytest.mark.usefixtures("warm_workers")
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_page(
    page: Path, environment: dict[str, str], accept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page's blocks are said to print, they print, one after the other in a folder with the examples.

    With --accept the page shows from now on what is printed; what was measured stays as it is.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    names: dict[str, object] = {"__name__": "__main__"}
    missing: set[str] = set()

    def replay(block: re.Match[str]) -> str:
        kind, title, text = block["kind"], block["title"], block["text"]
        if title and Path(title).exists():  # of the examples: the page shows all of it
            return f'```{kind} title="{title}"\n{Path(title).read_text(encoding="utf-8")}```'
        if title:
            Path(title).write_text(text, encoding="utf-8")
        elif kind in ("console", "python") and (absent := lacking(text)):
            missing.update(absent)
        elif kind == "console":
            return f"```console\n{replayed(text, environment)}```"
        elif kind == "python" and text.startswith(">>> "):
            examples = doctest.DocTestParser().get_doctest(text, names, page.name, str(page), 0)
            report: list[str] = []
            failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
                examples, out=report.append, clear_globs=False
            )
            assert not failed, "".join(report)
            names.update(examples.globs)
        elif kind == "python":
            exec(compile(text, str(page), "exec"), names)
        return block[0]

    text = page.read_text(encoding="utf-8")
    new = BLOCK.sub(replay, text)
    if accept:
        page.write_text(new, encoding="utf-8")
    else:
        assert new == text
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}; all else of the page is as it says")


def test_commands_within_the_text_have_the_options_they_name() -> None:
    """In backticks or a block that is not run; what stands for something, such as MODEL or …, is no command."""
    lines = [
        (page.name, line)
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for line in re.findall(r"`(vggcalc \w[^`\n]+)`", text)
        + [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
        if re.match(r"vggcalc \w", line) and not re.search(r"…|\b[A-Z]{3,}\b|--no-such", line)
    ]
    assert len(lines) > 20
    for page, line in lines:
        name, *words = shlex.split(line.partition("|")[0], comments=True)[1:]
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, (page, line)
        with suppress(click.MissingParameter):  # where only options are spoken of
            command.make_context(name, words)  # a wrong option is another click.UsageError


def test_an_excerpt_follows_what_is_printed() -> None:
    printed = "title\nhead\na 1\nb 2\nc 3\n\nlast words\n"
    assert excerpt("anything\n", printed) == printed
    assert excerpt("title\nhead\n…\nc 3\n\nlast words\n", printed) == "title\nhead\n…\nc 3\n\nlast words\n"
    assert excerpt("title\nhead\n…\nc 4\n…\n", printed) == "title\nhead\n…\nc 3\n…\n"
    assert excerpt("tidle\nhaed\n…\n", printed) == "title\nhead\n…\n"


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def script(name: str) -> ModuleType:
    """A script of docs/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_command_option_cost_and_name() -> None:
    reference = script("reference")
    commands = reference.on_page_markdown("<!-- commands -->")
    assert re.findall(r"^## (.*)$", commands, re.MULTILINE) == list(COMMANDS)
    for name in ("factorize", "compare", "summary", "rewrite", "sweep", "join"):
        options = set(re.findall(r"--[\w-]+", invoke(name, "--help").stdout))
        assert not options - set(re.findall(r"--[\w-]+", commands))
    objects = re.findall(r"^## (.*)$", reference.on_page_markdown("<!-- schema -->"), re.MULTILINE)
    assert {"Report", "Comparison", "Variant"} <= set(objects)
    conventions = (ROOT / "docs/reference/conventions.md").read_text(encoding="utf-8")
    conventions = reference.on_page_markdown(conventions)
    assert [cost for cost in vggcalc.COSTS if f"`{cost}`" not in conventions] == []
    library = (ROOT / "docs/reference/library.md").read_text(encoding="utf-8")
    public = {name for name in vggcalc.__all__ if callable(getattr(vggcalc, name))}
    assert public == set(re.findall(r"^::: vggcalc\.(\w+)$", library, re.MULTILINE))


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


@pytest.mark.parametrize("command", DRAWN, ids=[command.rpartition("/")[2] for command in DRAWN])
def test_pictures_are_what_the_commands_beside_them_draw(command: str, tmp_path: Path, accept: bool) -> None:
    """But for their rounding: the words in them are compared."""
    pytest.importorskip("matplotlib")
    name = command.rpartition(" ")[2]
    picture, path = ROOT / name, ROOT / name if accept else tmp_path / "drawn.svg"
    done = invoke(*shlex.split(command.replace(name, str(path)))[1:])
    assert done.returncode == 0, done.stderr
    shown, drawn = (re.findall(r"<text .*?>(.*?)</text>", file.read_text(encoding="utf-8")) for file in (picture, path))
    assert shown == drawn
    assert len(shown) > 10


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
