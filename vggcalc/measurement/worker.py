"""Running a job in a worker process, and the error that follows when the worker dies or falls silent."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import IO, Protocol, Self, cast

import msgspec

from vggcalc.errors import WorkerError
from vggcalc.protocol import PROTOCOL, Job, JobDone, JobRefused, Message, WorkerInfo

#: A network of many layers is one line of many megabytes; a worker that writes without end is ended at these bounds.
LONGEST_MESSAGE_LINE, MOST_MESSAGE_BYTES = 100_000_000, 400_000_000

#: What a line takes beside its bytes while it waits to be read.
_LINE_OVERHEAD = 100

_RUBBISH = b"rubbish\n"

COMMAND = (sys.executable, "-P", "-m", "vggcalc.runtime.worker")


class RunningWorker(Protocol):
    """A worker with its job, as the parent uses it."""

    #: How long it may send nothing before it is taken for hung.
    inactivity_timeout_s: float

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def send(self, message: msgspec.Struct) -> None:
        """Write it a message."""

    def stop(self) -> None:
        """Ask it to stop at the next round."""

    def messages(self) -> Iterator[Message]:
        """Its messages up to `JobDone`, which is not among them. Raises `WorkerError`."""


#: Starts a worker on a job, with the seconds that it may send nothing.
StartWorker = Callable[[Job, float], RunningWorker]


class Worker:
    """A worker process with its job. Leaving the context ends the process, whatever it does."""

    def __init__(self, job: Job, inactivity_timeout_s: float, command: tuple[str, ...] | None = None) -> None:
        """`inactivity_timeout_s` is how long it may send nothing before it is taken for hung."""
        self.inactivity_timeout_s = inactivity_timeout_s
        first = msgspec.json.encode(job) + b"\n"  # a job that cannot be encoded fails here, before there is a process
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._errors: list[bytes] = []
        try:
            # A session of its own: Ctrl-C in the terminal reaches the parent alone, which then decides.
            self._process = subprocess.Popen(
                command or COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=_environment(),
            )
        except OSError as error:
            raise WorkerError(f"no worker can be started: {error.strerror or error}") from None
        streams = self._process.stdin, self._process.stdout, self._process.stderr
        self._stdin, output, errors = cast("tuple[IO[bytes], IO[bytes], IO[bytes]]", streams)
        self._readers = [
            threading.Thread(target=self._read, args=(output,), daemon=True),
            threading.Thread(target=self._read_errors, args=(errors,), daemon=True),
        ]
        # A job may be more than a pipe holds, and the worker reads it only once it has imported torch.
        self._writer = threading.Thread(target=self._write, args=(first,), daemon=True)

    def __enter__(self) -> Self:
        for thread in (*self._readers, self._writer):
            thread.start()
        return self

    def send(self, message: msgspec.Struct) -> None:
        """Write it a message. If it has died, `messages` raises the error that says how."""
        self._writer.join()  # the job comes first
        self._write(msgspec.json.encode(message) + b"\n")

    def _write(self, line: bytes) -> None:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._stdin.write(line)
            self._stdin.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._writer.is_alive():
                self.stop()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(5.0)
        finally:  # also if Ctrl-C comes meanwhile
            self._kill()
            self._process.wait()
        self._writer.join(1.0)
        self.stop()
        for reader in self._readers:
            reader.join(1.0)  # a process that left the worker's session may hold the pipe open

    def _kill(self) -> None:
        """End the process and whatever it started."""
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def stop(self) -> None:
        """Ask it to stop at the next round."""
        with suppress(OSError):
            self._stdin.close()

    def messages(self) -> Iterator[Message]:
        """Its messages up to `JobDone`, which is not among them. Raises `WorkerError`."""
        while True:
            try:
                line = self._lines.get(timeout=self.inactivity_timeout_s)
            except queue.Empty:
                self._kill()
                raise WorkerError(
                    f"the worker was silent for {self.inactivity_timeout_s:.0f} s and was ended"
                ) from None
            if line == _RUBBISH:
                self._kill()
                raise WorkerError("the worker sent rubbish: more than any job's messages have")
            if not line.endswith(b"\n"):
                raise WorkerError(self._why_dead(line))
            try:
                message = msgspec.json.decode(line, type=Message)
            except msgspec.MsgspecError:
                self._kill()
                raise WorkerError(f"the worker sent something that is no message: {line[:60]!r}") from None
            match message:
                case JobDone():
                    return
                case JobRefused():
                    raise WorkerError(message.reason)
                case WorkerInfo() if message.protocol != PROTOCOL:
                    raise WorkerError(f"the worker is of another version: protocol {message.protocol}, not {PROTOCOL}")
            yield message

    def _read(self, stream: IO[bytes]) -> None:
        """Every line, then an empty one; or a mark in its place where a line or all of them are too long."""
        left = MOST_MESSAGE_BYTES
        with stream:
            while line := stream.readline(LONGEST_MESSAGE_LINE):
                left -= len(line) + _LINE_OVERHEAD
                if len(line) == LONGEST_MESSAGE_LINE or left < 0:
                    self._lines.put(_RUBBISH)
                    return
                self._lines.put(line)
        self._lines.put(b"")

    def _read_errors(self, stream: IO[bytes]) -> None:
        with stream:
            while line := stream.readline(10_000):
                self._errors = [*self._errors[-20:], line]

    def _why_dead(self, rest: bytes) -> str:
        """How it ended: by a signal, or with the last line that it wrote to standard error."""
        try:
            status = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return "the worker closed its output and went on running: it was ended"
        self._readers[1].join(1.0)
        last = next((line for line in reversed(self._errors) if line.strip()), b"")
        line = last.decode(errors="replace").strip()
        half = " in the middle of a message" if rest else ""
        if status < 0:
            name = _signal(-status)
            killed = " (the system kills so when memory runs out)" if name == "SIGKILL" else ""
            return f"the worker was ended by {name}{half}{killed}"
        return f"the worker ended with status {status}{half}" + (f": {line}" if line else "")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _environment() -> dict[str, str]:
    """This process's environment, with which the worker imports the same vggcalc, never the user's folder."""
    import vggcalc

    here = os.path.dirname(os.path.dirname(os.path.abspath(vggcalc.__file__)))
    if here in (os.path.abspath(path) for path in sys.path[1:] if path):
        return dict(os.environ)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), here)))}
