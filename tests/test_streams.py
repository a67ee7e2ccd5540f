"""Streams in other encodings, closed, full or without a reader; terminals of any kind; each in a real process."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from process import invoke

KERNEL = ("factorize", "7", "--no-latency")

LOCALES = [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "cp437"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "utf-8"},
]


def raw(*arguments: str, **environment: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "vggcalc", *arguments],
        capture_output=True, timeout=600, env={**os.environ, "COLUMNS": "80", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("locale", LOCALES, ids=lambda one: next(iter(one.values())))
def test_what_is_no_terminal_gets_utf_8_in_any_locale(locale: dict[str, str]) -> None:
    assert raw(*KERNEL, **locale).decode() == invoke(*KERNEL).stdout
    document = raw(*KERNEL, "--json", **locale)
    assert json.loads(document) == json.loads(invoke(*KERNEL, "--json").stdout)
    assert document.isascii() is (locale != LOCALES[-1])


def on_a_terminal(*arguments: str, **environment: str) -> bytes:
    """What a command writes to a terminal of its own."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vggcalc", *arguments],
        stdout=child, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", **environment},
    )  # fmt: skip
    os.close(child)
    written = b""
    while True:
        try:
            piece = os.read(parent, 1 << 16)
        except OSError:  # as Linux says that it was closed
            break
        if not piece:
            break
        written += piece
    os.close(parent)
    _, errors = process.communicate(timeout=600)
    assert (process.returncode, errors) == (0, b"")
    return written.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
def test_a_terminal_gets_what_it_can_show(encoding: str) -> None:
    whole = invoke(*KERNEL).stdout
    table = on_a_terminal(*KERNEL, PYTHONIOENCODING=encoding)
    assert b"?" not in table
    text = table.decode(encoding)
    if encoding == "utf-8":
        assert text == whole
    if encoding == "ascii":
        assert text.startswith("The stack of three 3x3 has 45% fewer weights")
        assert "\n7x7 against its stack: 64 -> 64 channels" in text
        assert re.search("^-{60,}$", text, re.MULTILINE)
        assert " -45%" in text
    numbers = re.compile(r"\d[\d,.]*")
    assert numbers.findall(text.replace("^2", "²")) == numbers.findall(whole)
    document = on_a_terminal(*KERNEL, "--json", PYTHONIOENCODING=encoding)
    assert json.loads(document.decode(encoding)) == json.loads(invoke(*KERNEL, "--json").stdout)


@pytest.mark.parametrize("value", ["²", "٣", "-5", "", " 80 ", "wide", "9" * 30])
def test_a_width_that_is_none_is_80(value: str) -> None:
    """Nor does rich look at LINES."""
    assert invoke(*KERNEL, COLUMNS=value, LINES=value).stdout == invoke(*KERNEL).stdout


ODD = "a\x1b[31m\x1b]0;t\x07\u202e\n\udc80b"


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", ODD),
        ("compare", f"64,M,{ODD}"),
        ("compare", f"{ODD}.toml"),
        ("compare", f"{ODD}:Net"),
        ("compare", "vgg16", "--only", f"{ODD}("),
        ("compare", "vgg16", "--fail-if", f"{ODD} > 3"),
        ("compare", "vgg16", "--fail-if", f"naive.macs > 3{ODD}"),
        ("compare", "vgg16", "--no-latency", "--output", f"/{ODD}/x"),
        ("compare", "vgg16", "--against", ODD),
        ("compare", "vgg16", "--format", ODD),
        ("compare", "vgg16", f"--{ODD}"),
        ("factorize", ODD),
        ("sweep", "--kernel", "7", "--crossover", ODD),
        ("summary", "vgg16", "--no-latency", "--as", ODD),
        (ODD,),
    ],
)
def test_errors_show_controls_as_escapes(arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("\n")
    assert done.stderr[:-1].isprintable()


@pytest.mark.parametrize("arguments", [("compare", "x" * 100_000), ("factorize", "9" * 100_000), ("x" * 100_000,)])
def test_errors_are_short(arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 1100


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to a full device")
@pytest.mark.parametrize("command", ["factorize 7 --no-latency", "sweep --kernel 3:9:2", "models", "schema", "--help"])
def test_a_full_device_as_standard_output(command: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "vggcalc", *command.split()], stdout=full, stderr=subprocess.PIPE, timeout=600
        )
    assert done.returncode == 2
    assert done.stderr == b"vggcalc: error: standard output cannot be written: No space left on device\n"
