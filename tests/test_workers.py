"""What becomes of a worker that dies, hangs or prints rubbish: one line that says why."""

import os
import signal
import sys

import pytest

from vggcalc.errors import WorkerError
from vggcalc.measurement import worker as workers
from vggcalc.measurement.worker import Worker
from vggcalc.nets.graph import chain
from vggcalc.nets.layers import Conv2d
from vggcalc.protocol import PROTOCOL, CheckJob, Message, Subject

JOB = CheckJob((Subject("naive", chain("tiny", (1, 2, 5, 5), [("block1", Conv2d(2, 2, (3, 3)))])),))

FACTS = (
    '{"type":"WorkerInfo","environment":{"python":"3","torch":"2","fvcore":"0","platform":"p","cpu":"c",'
    '"instruction_set":"i","cores":1,"load":null,"devices":[]},"available":["cpu"],"protocol":%d}'
)


def worker(script: str, inactivity_timeout_s: float = 300.0) -> Worker:
    return Worker(JOB, inactivity_timeout_s, (sys.executable, "-c", "import sys, os, time\n" + script))


def messages(script: str, inactivity_timeout_s: float = 300.0) -> list[Message]:
    with worker(script, inactivity_timeout_s) as running:
        return list(running.messages())


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("os.kill(os.getpid(), 9)", r"ended by SIGKILL \(the system kills so when memory runs out\)"),
        ("os.kill(os.getpid(), 11)", r"ended by SIGSEGV"),
        ("raise MemoryError('no room')", r"ended with status 1: MemoryError: no room"),
        ("sys.exit(7)", r"ended with status 7"),
        ("print('hello', flush=True); time.sleep(600)", r"no message: b'hello"),
        ('sys.stdout.write(\'{"type":"Do\'); sys.stdout.flush()', r"status 0 in the middle of a message"),
        ('print(\'{"type":"JobRefused","reason":"not here"}\')', r"^not here$"),
        (f"print('{FACTS % 0}')", r"another version"),
        ("os.close(0); os.kill(os.getpid(), 15)", r"ended by SIGTERM"),
    ],
)
def test_a_worker_that_fails(script: str, why: str) -> None:
    with pytest.raises(WorkerError, match=why):
        messages(script)


def test_a_silent_worker_is_ended() -> None:
    with worker("time.sleep(600)", inactivity_timeout_s=0.3) as running:
        with pytest.raises(WorkerError, match="silent for 0 s"):
            list(running.messages())
        assert running._process.wait() == -signal.SIGKILL


def test_a_worker_that_does_its_job() -> None:
    found = messages(f"sys.stdin.readline(); print('{FACTS % PROTOCOL}'); print('{{\"type\":\"JobDone\"}}')")
    assert [type(message).__name__ for message in found] == ["WorkerInfo"]


def test_leaving_ends_the_process_whatever_it_does() -> None:
    """Also one that ignores that its standard input closed, and SIGTERM."""
    script = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"print('{FACTS % PROTOCOL}', flush=True); time.sleep(600)"
    )

    with worker(script) as running:
        next(running.messages())
        pid = running._process.pid
        running.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)


@pytest.mark.parametrize(
    "script",
    [
        "while True: os.write(1, b'x' * 65536)",
        "while True: os.write(1, b'\\n' * 65536)",
        'while True: os.write(1, b\'{"type":"ArmReady","arm":{"variant":"a"}}\\n\' * 1000)',
    ],
)
def test_a_worker_that_writes_without_end(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LONGEST_MESSAGE_LINE", 1_000_000)
    monkeypatch.setattr(workers, "MOST_MESSAGE_BYTES", 5_000_000)
    with pytest.raises(WorkerError, match=r"sent rubbish|sent something that is no message"):
        messages(script)


def test_a_worker_that_cannot_be_started() -> None:
    with pytest.raises(WorkerError, match="no worker can be started: No such file or directory"):
        Worker(JOB, 1.0, ("/nowhere/python",))
