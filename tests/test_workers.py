"""What becomes of a worker that dies, hangs or prints rubbish: one line that says why."""

import os
import signal
import sys
import time

import pytest

from vggcalc.jobs import PROTOCOL, CheckJob, Message, Subject
from vggcalc.measurement.workers import Worker, WorkerFailed
from vggcalc.spec.layers import Conv2d, chain

JOB = CheckJob((Subject("naive", chain("tiny", (1, 2, 5, 5), [("block1", Conv2d(2, 2, (3, 3)))])),), ())

FACTS = (
    '{"type":"Facts","environment":{"python":"3","torch":"2","fvcore":"0","platform":"p","cpu":"c",'
    '"instruction_set":"i","cores":1,"load":null,"devices":[]},"available":["cpu"],"protocol":%d}'
)


def worker(script: str, silence_s: float = 20.0) -> Worker:
    return Worker(JOB, silence_s, (sys.executable, "-c", "import sys, os, time\n" + script))


def messages(script: str, silence_s: float = 20.0) -> list[Message]:
    with worker(script, silence_s) as running:
        return list(running.messages())


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("os.kill(os.getpid(), 9)", r"ended by SIGKILL \(the system kills so when memory runs out\)"),
        ("os.kill(os.getpid(), 11)", r"ended by SIGSEGV"),
        ("raise MemoryError('no room')", r"ended with status 1: MemoryError: no room"),
        ("sys.exit(7)", r"ended with status 7"),
        ("print('hello', flush=True); time.sleep(60)", r"no message: b'hello"),
        ('sys.stdout.write(\'{"type":"Do\'); sys.stdout.flush()', r"status 0 in the middle of a message"),
        ('print(\'{"type":"Refused","reason":"not here"}\')', r"^not here$"),
        (f"print('{FACTS % 0}')", r"another version"),
        ("os.close(0); os.kill(os.getpid(), 15)", r"ended by SIGTERM"),
    ],
)
def test_a_worker_that_fails(script: str, why: str) -> None:
    with pytest.raises(WorkerFailed, match=why):
        messages(script)


def test_a_silent_worker_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(WorkerFailed, match="silent for 0 s"):
        messages("time.sleep(60)", silence_s=0.3)
    assert time.monotonic() - start < 30


def test_a_worker_that_does_its_job() -> None:
    found = messages(f"sys.stdin.readline(); print('{FACTS % PROTOCOL}'); print('{{\"type\":\"Done\"}}')")
    assert [type(message).__name__ for message in found] == ["Facts"]


def test_leaving_ends_the_process_whatever_it_does() -> None:
    """Also one that ignores that its standard input closed, and SIGTERM."""
    script = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"print('{FACTS % PROTOCOL}', flush=True); time.sleep(60)"
    )

    with worker(script) as running:
        next(running.messages())
        pid = running._process.pid
        running.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)
