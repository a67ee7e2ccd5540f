"""Files from outside, whatever they hold or are: each failure is one line that names the file, and status 2."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from process import invoke

from vggcalc.errors import InputError
from vggcalc.nets.reader import Kind, read_file
from vggcalc.pipeline.files import is_device, open_device

pytestmark = pytest.mark.usefixtures("warm_workers")

ANY = Kind("text", "write some", 1000)

DEEP = 5_000

#: Name and content of a MODEL, and what its error says.
MODELS = [
    ("a.json", "[" * DEEP + "]" * DEEP, "nested too deeply"),
    ("a.json", '{"features": ' + "[" * DEEP + "]" * DEEP + "}", "nested too deeply"),
    ("a.json", '{"a":' * DEEP + "1" + "}" * DEEP, "nested too deeply"),
    ("a.toml", "features = " + "[" * DEEP + "]" * DEEP, "nested too deeply"),
    ("a.toml", "[" + ".".join("a" * DEEP) + "]\nfeatures = [64]", "unknown field `a`"),
    ("a.json", r'{"name": "\ud800", "features": [64]}', "half of a surrogate pair"),
    ("a.json", r'{"features": ["\udfff"]}', "half of a surrogate pair"),
    ("a.json", r'{"\ud800": 3, "features": [64]}', "half of a surrogate pair"),
    ("a.json", json.dumps({"name": "x" * 100_000, "features": [64]}), "longer than 300 characters"),
    ("a.json", json.dumps({"features": ["x" * 100_000]}), "token 1"),
    ("a.json", json.dumps({"x" * 100_000: 1, "features": [64]}), "unknown field"),
    ("a.json", json.dumps({"features": [64] * 100_000}), "give at most 10,000"),
    ("a.json", '{"features": [' + "9" * 5000 + "]}", "malformed JSON"),
    ("a.toml", "features = [" + "9" * 5000 + "]", "malformed TOML"),
    ("a.toml", 'features = [64]\n"a\\u001b[31m\\u202e" = 3', r"unknown field `a\x1b[31m\u202e`"),
    ("a.toml", "features = [64]\x1b[31m", "malformed TOML"),
    ("a.toml", "\0", "malformed TOML"),
]


@pytest.mark.parametrize(("name", "content", "why"), MODELS, ids=[f"{i}" for i in range(len(MODELS))])
def test_models(tmp_path: Path, name: str, content: str, why: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    done = invoke("compare", str(tmp_path / name), "--no-latency")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"vggcalc: error: {tmp_path / name}: ")
    assert why in done.stderr
    assert len(done.stderr) < 1100
    assert done.stderr[:-1].isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 5_000_000,
        b"[" * 100_000,
        b'{"schema_version": 1, "vggcalc_version": "1", "comparisons": ' + b"[" * 100_000,
        b'{"schema_version": 1, "vggcalc_version": "\\ud800"}',
        b'{"schema_version": 1, "vggcalc_version": "\xff"}',
        b'{"schema_version": 1, "vggcalc_version": "1", "' + b"x" * 100_000 + b'": ]',
        b'{"schema_version": 1',
        b"null",
    ],
)
def test_earlier_reports(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(content)
    done = invoke("compare", "vgg16", "--no-latency", "--against", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path} is no " in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 1100


@pytest.mark.parametrize("content", [b"\0" * 3_000_000, b"kernel;", b"x" * 200_000 + b"\n", b'{"a', b"3"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_what_is_no_beginning_of_a_sweep_is_not_written_over(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    path.write_bytes(content)
    done = invoke("sweep", "--kernel", "3:5:2", "--output", str(path), "--resume")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is of another sweep, or damaged: line 1" in done.stderr
    assert path.read_bytes() == content


posix = pytest.mark.skipif(not Path("/dev/zero").exists(), reason="reads Unix's devices")


@posix
@pytest.mark.parametrize("option", ["MODEL", "--against", "stdin"])
def test_a_device_without_end(option: str) -> None:
    arguments = {"MODEL": ["/dev/zero"], "--against": ["vgg16", "--against", "/dev/zero"], "stdin": ["-"]}[option]
    with open("/dev/zero", "rb") as zero:
        done = subprocess.run(
            [sys.executable, "-m", "vggcalc", "compare", "--no-latency", *arguments],
            stdin=zero, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


@posix
def test_pipes_and_sockets(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="nobody writes to this pipe"):
        read_file(str(pipe), ANY, wait_s=0.05)
    with pytest.raises(OSError, match="nobody reads this pipe"):
        open_device(str(pipe), 0.05)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(read_file(str(pipe), ANY, wait_s=600.0)))
    reader.start()
    with open_device(str(pipe), 600.0) as file:
        file.write(b"features = [64]")
    reader.join()
    assert found == [b"features = [64]"]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        done = invoke("compare", str(tmp_path / "socket"))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        done = invoke("compare", "64", "--no-latency", "--output", str(tmp_path / "socket"))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@posix
@pytest.mark.parametrize("command", ["factorize 7 --no-latency --json", "sweep --kernel 3:31:2 --format csv"])
@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/fd/1", "/dev/null", "/dev/full"])
def test_devices_are_written_to_as_devices(tmp_path: Path, command: str, target: str) -> None:
    def run(ending: str, redirected: str = "") -> subprocess.CompletedProcess[str]:
        line = f"set -o pipefail; {sys.executable} -m vggcalc {command} {ending} {redirected}"
        return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=600, cwd=tmp_path)

    done = run(f"--output {target}")
    if target == "/dev/full":
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "vggcalc: error: --output /dev/full cannot be written: No space left on device\n"
        return
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (invoke(*command.split()).stdout if target != "/dev/null" else "")
    if target == "/dev/null":
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
        return
    head = run(f"--output {target}", "| head -c 10")
    assert (head.returncode, head.stdout) == (0, done.stdout[:10])
    (tmp_path / "f").write_text("before\n")
    assert run(f"--output {target}", ">> f").returncode == 0
    assert (tmp_path / "f").read_text() == "before\n" + done.stdout
    assert is_device(target)


@posix
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("mkdir gone; cd gone; rmdir ../gone; {} compare 64 --no-latency -o x.json", "-"),
        ("mkdir gone; cd gone; rmdir ../gone; {} compare x.toml", "x.toml: No such file"),
        ("{} compare - <&-", "standard input is closed"),
        ("ulimit -n 8; {} compare 64 --no-latency --check", ""),
    ],
)
def test_odd_surroundings(tmp_path: Path, line: str, why: str) -> None:
    done = subprocess.run(
        ["bash", "-c", line.format(f"{sys.executable} -P -m vggcalc")],
        capture_output=True, text=True, timeout=600, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "standard output" not in done.stderr
    assert why in done.stderr


def test_nothing_is_written_over_its_own_input(tmp_path: Path) -> None:
    model, link = tmp_path / "m.toml", tmp_path / "l.json"
    model.write_text("features = [64]")
    os.link(model, link)
    code = tmp_path / "net.py"
    code.write_text("import torch\nNet = torch.nn.Conv2d(3, 8, 7)\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for source, target in ((str(model), model), (f"{tmp_path}/./m.toml", link), (f"{code}:Net", code)):
        done = invoke("compare", source, "--no-latency", "--json", "--output", str(target))
        assert (done.returncode, done.stdout) == (2, "")
        assert "would overwrite what is read" in done.stderr
    with model.open() as stdin:
        done = subprocess.run(
            [sys.executable, "-m", "vggcalc", "compare", "-", "--no-latency", "--json", "-o", str(link)],
            stdin=stdin, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_format_than_the_name_says_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    done = invoke("compare", "64", "--no-latency", "--json", "--output", str(path))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"vggcalc: {path} is written as json, which its name does not say\n"
    assert json.loads(path.read_text())["schema_version"] == 1
