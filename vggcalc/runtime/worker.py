"""`python -m vggcalc.runtime.worker`: one job from standard input, messages to standard output.

Whatever torch, a library or a user's code prints goes to standard error, so that the parent
reads nothing but messages. The worker ends when its job is done or its standard input closes.
What a job needs is imported once the job is known: torch takes seconds.
"""

import os
import queue
import signal
import sys
import threading
import time

import msgspec

from vggcalc.protocol import Job, Message, TraceJob
from vggcalc.runtime.sources import Watch


class Inbox:
    """Lines from the parent; `closed` once it has closed its end, or has gone.

    Once it has gone the process ends, with all that it started: a user's code may loop for ever, and
    no one else would end it.
    """

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._stdin = os.dup(0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what a user's code reads is not the parent's
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.closed = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        while piece := os.read(self._stdin, 1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._lines.put(line)
        self.closed.set()
        self._lines.put(b"")
        while os.getppid() == self._parent:  # it has only said that it is enough, and ends us itself
            time.sleep(0.5)
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    def line(self) -> bytes:
        """The next line; empty when the parent has gone."""
        return self._lines.get()


def main() -> None:
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def send(message: Message) -> None:
        channel.write(msgspec.json.encode(message) + b"\n")

    inbox = Inbox()
    job = msgspec.json.decode(inbox.line(), type=Job)
    if isinstance(job, TraceJob):
        watch = Watch()
        from vggcalc.runtime import tracing

        tracing.trace_models(inbox.line, send, watch.sources)
    else:
        from vggcalc.runtime import jobs

        jobs.run(job, send, inbox.line, inbox.closed.is_set)
    channel.close()
    sys.stderr.flush()


if __name__ == "__main__":
    main()
    os._exit(0)  # what torch does at the end of a process takes long, and nobody needs it
