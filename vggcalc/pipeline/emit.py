"""Exit statuses, messages on standard error, and standard output whose reader may close the pipe.

Encodings: to anything but a terminal it is UTF-8. A terminal that lacks a sign gets it in ASCII (`x` for ×), and any
other character as its escape. JSON is all ASCII where the locale's encoding is not UTF-8, since that is what its reader
may take it for.
"""

import codecs
import os
import sys
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, TextIO

from vggcalc.errors import shortened
from vggcalc.report.escape import json_in_ascii, replace_unencodable, visible


class ExitStatus(IntEnum):
    """The result of a run. Where several apply, the exit status is the first of them in this order."""

    INTERRUPTED = 130
    USAGE = 2
    DISAGREES = 3
    CONDITION_HOLDS = 4
    INCOMPLETE = 1
    DONE = 0


def exit_status(found: Iterable[ExitStatus]) -> int:
    """The exit status of a run to which all these apply; that of an interrupted one is 128 + the signal."""
    applies = set(found)
    first = next((status for status in ExitStatus if status in applies), ExitStatus.DONE)
    if first is ExitStatus.INTERRUPTED:
        from vggcalc.measurement import interrupts

        return interrupts.signal_exit_status()
    return int(first)


def message(text: str) -> None:
    """A line for people, on standard error."""
    print(f"vggcalc: {visible(shortened(text))}", file=sys.stderr)


def json_for_stdout(text: str) -> str:
    """JSON as standard output takes it."""
    return text if writes_utf8() else json_in_ascii(text)


def writes_utf8() -> bool:
    """Whether the reader of standard output expects UTF-8."""
    return not _narrow_stdout


class StandardOutput:
    """Standard output, whose reader may close the pipe (`| head`).

    That ends the run quietly, by `BrokenPipeError`, unless there is `more_to_come`, such as a file or an exit status
    that says something: then the run goes on, and what else is written is discarded.
    """

    def __init__(self, more_to_come: bool) -> None:
        self._more_to_come = more_to_come
        self.abandoned = False

    def write(self, write: Callable[[], None]) -> None:
        """Call `write`, unless the reader has closed the pipe."""
        if self.abandoned:
            return
        try:
            write()
        except BrokenPipeError:
            if not self._more_to_come:
                raise
            discard_stdout()
            self.abandoned = True


def discard_stdout() -> None:
    """Discard what is still written to standard output, at exit too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class TolerantStderr:
    """Standard error that may be closed: a failed write neither raises nor changes the exit status."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write; from the first failure on, discard."""
        try:
            written = self._stream.write(text)
            self._stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            return len(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


#: Whether standard output's own encoding was another than UTF-8 when the process began.
_narrow_stdout = False


def make_streams_safe() -> None:
    """Let no closed stream, no unread one and no narrow encoding end the process with a traceback."""
    global _narrow_stdout
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open as long as we run
    _narrow_stdout = not _is_utf8(sys.stdout)
    codecs.register_error("vggcalc", replace_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding=stream.encoding if stream.isatty() else "utf-8", errors="vggcalc")
    sys.stderr = TolerantStderr(sys.stderr)


def _is_utf8(stream: TextIO) -> bool:
    return codecs.lookup(stream.encoding).name == "utf-8"
