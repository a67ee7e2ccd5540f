"""Ctrl-C, SIGTERM and SIGHUP in real processes, each sent when the process shows by itself how far it is."""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from process import wait_until

from vggcalc.measurement import interrupts
from vggcalc.measurement.interrupts import ENDING, Deferred

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")

SIGNALS = pytest.mark.parametrize("number", ENDING, ids=lambda number: signal.Signals(number).name)

SWEEP = ("sweep", "--kernel", "3:31:2", "--channels", "1:2000", "--into", "all", "--format", "csv")


def start(*command: str, ignored: tuple[int, ...] = (), **environment: str) -> subprocess.Popen[str]:
    """A process in which signals do what they do in a terminal, whatever this one was started with."""

    def reset() -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        preexec_fn=reset,
    )


@SIGNALS
def test_a_sweep_in_the_middle_of_its_rows(number: int) -> None:
    """Nobody reads on, so that it waits in the middle of them."""
    process = start("-m", "vggcalc", *SWEEP)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("kernel,")
    process.send_signal(number)
    _, stderr = process.communicate()
    assert process.returncode == 128 + number
    assert "vggcalc: interrupted after " in stderr
    assert "Traceback" not in stderr


@SIGNALS
def test_a_measuring_run(number: int, tmp_path: Path) -> None:
    """The counts are written, no part of a file is left, and no worker either."""
    mark, path = uuid.uuid4().hex, tmp_path / "out.json"
    process = start(
        "-m", "vggcalc", "factorize", "3", "--channels", "4", "--size", "4", "--no-check", "--device", "cpu",
        "--precision", "0.01%", "--budget", "3600", "--output", str(path), VGGCALC_TEST_MARK=mark,
    )  # fmt: skip
    wait_until(lambda: len(marked(mark)) > 1)  # itself and a worker
    assert [one.suffix for one in tmp_path.iterdir()] == [".part"]
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (128 + number, "")
    assert stderr.endswith("vggcalc: interrupted: only what was measured before is reported\n")
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == [path]
    assert json.loads(path.read_text(encoding="utf-8"))["comparisons"][0]["variants"][0]["costs"]["macs"] == 2304
    wait_until(lambda: marked(mark) == [])  # one only just started sees by itself that its parent has gone


def marked(mark: str) -> list[str]:
    """The processes that have inherited the mark."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environment.read_bytes():
                found.append(environment.parent.name)
        except OSError:  # it has gone, or is another user's
            continue
    return found


#: `vggcalc`, which sends itself a signal when it comes to import the module.
WHILE_IMPORTING = """
import os, sys

module, number = sys.argv[1], int(sys.argv[2])

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            exec("os.kill(os.getpid(), number); [0 for _ in range(9)]")  # as a named tuple is made while importing

sys.meta_path.insert(0, Finder())
from vggcalc.cli.main import main
sys.argv[1:] = ["compare", "vgg16", "--no-latency"]
main()
"""


@SIGNALS
@pytest.mark.parametrize("module", ["click", "vggcalc.cli.app", "vggcalc.cli.compare", "msgspec", "rich.table"])
def test_the_first_moments(number: int, module: str) -> None:
    process = start("-c", WHILE_IMPORTING, module, str(int(number)))
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout, stderr) == (128 + number, "", "")


def test_what_is_ignored_stays_ignored() -> None:
    """As under nohup, and as Ctrl-C is in a script's background job."""
    process = start("-m", "vggcalc", *SWEEP, ignored=(signal.SIGHUP, signal.SIGINT))
    assert process.stdout is not None
    assert process.stdout.readline().startswith("kernel,")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().startswith("3,")
    process.stdout.close()  # as head does
    assert process.stderr is not None
    stderr = process.stderr.read()
    assert process.wait() == 0
    assert "interrupted" not in stderr
    process.stderr.close()


#: A program whose ending signal comes within a weak reference's callback, and which then waits.
WITHIN_A_CALLBACK = """
import signal, sys, time, weakref
from vggcalc.measurement import interrupts

class Gone: pass

interrupts.install()
one = Gone()
reference = weakref.ref(one, lambda _: signal.raise_signal(int(sys.argv[1])))
try:
    del one
    print("went on", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    sys.exit(interrupts.signal_exit_status())
"""


@SIGNALS
def test_a_signal_within_a_callback_is_not_lost(number: int) -> None:
    """Python prints what a weak reference's callback raises, and goes on."""
    process = start("-c", WITHIN_A_CALLBACK, str(int(number)))
    assert process.communicate() == ("went on\n", "")
    assert process.returncode == 128 + number


@SIGNALS
def test_a_deferred_signal_is_noted_and_another_programs_handlers_stay(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "_received", signal.SIGINT)  # and so it is again for the tests behind this one
    came: list[int] = []
    before = signal.signal(number, lambda number, frame: came.append(number))
    try:
        own = signal.getsignal(number)
        with Deferred() as interrupt:
            os.kill(os.getpid(), number)
            assert interrupt.came
        assert came == []
        assert signal.getsignal(number) is own
        os.kill(os.getpid(), number)
        assert came == [number]
    finally:
        signal.signal(number, before)


def test_an_interrupted_exec_does_not_change_the_exit_status(tmp_path: Path) -> None:
    """CPython would end a module that is run by its name by SIGINT, though the interrupt was caught."""
    (tmp_path / "interrupted.py").write_text(
        "import sys\nfrom vggcalc.measurement import interrupts\n"
        "try:\n    exec('raise KeyboardInterrupt')\nexcept KeyboardInterrupt:\n    interrupts.ignore()\nsys.exit(143)\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    process = start("-m", "interrupted", PYTHONPATH=path)
    assert process.communicate(timeout=600) == ("", "")
    assert process.returncode == 143
