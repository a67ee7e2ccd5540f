"""Where a report goes: standard output, or a file that is written whole or not at all."""

import errno
import os
import stat
import sys
import time
from typing import IO

from vggcalc.errors import OutputError

#: So long a pipe is waited for, until somebody reads it.
READER_WAIT_S = 10.0


def is_device(path: str) -> bool:
    """Whether it is written to and never replaced: a device, a pipe, or a stream of this process."""
    if path.startswith(("/dev/fd/", "/proc/self/fd/")) or path in ("/dev/stdout", "/dev/stderr"):
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def open_device(path: str, wait_s: float = READER_WAIT_S) -> IO[bytes]:
    """A device, or a pipe once somebody reads it, to write to behind what is there. Raises `OSError`."""
    until = time.monotonic() + wait_s
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
                raise
            if time.monotonic() > until:
                raise OSError(error.errno, "nobody reads this pipe") from None
        time.sleep(0.01)
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    return open(descriptor, "wb")


class Output:
    """A file or standard output, to be written once; `option` is the option that named it, for messages.

    Raises `OutputError` at once where it cannot be written, before anything is measured for it.
    """

    def __init__(self, path: str | None, option: str = "--output") -> None:
        self._option = option
        self._path, self._name = path, path
        self._beside: str | None = None
        if path is None:
            return
        if not path:
            raise OutputError(f"{option} is empty: name a file, or - for standard output")
        try:
            if os.path.isdir(path):
                raise IsADirectoryError(0, "it is a directory: name a file in it")
            if os.path.exists(path) and not os.access(path, os.W_OK):
                raise PermissionError(0, "permission denied")
            if is_device(path):
                return
            self._path = os.path.realpath(path)
            self._beside = f"{self._path}.{os.getpid()}.part"
            with open(self._beside, "x", encoding="utf-8"):
                pass
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            self._beside = None
            raise self._cannot(error) from None

    def _cannot(self, error: OSError | ValueError) -> OutputError:
        why = getattr(error, "strerror", None) or error
        return OutputError(f"{self._option} {self._name} cannot be written: {why}")

    def write(self, content: str | bytes) -> None:
        """Write all of it; standard output takes text alone."""
        if self._path is None:
            assert isinstance(content, str)
            sys.stdout.write(content)
            sys.stdout.flush()
            return
        try:
            if isinstance(content, str):
                content = content.encode()
            with open(self._beside, "wb") if self._beside is not None else open_device(self._path) as file:
                file.write(content)
            if self._beside is not None:
                if os.path.exists(self._path):
                    os.chmod(self._beside, stat.S_IMODE(os.stat(self._path).st_mode))
                os.replace(self._beside, self._path)
                self._beside = None
        except BrokenPipeError:  # a device's reader has gone, as standard output's may
            raise
        except OSError as error:
            raise self._cannot(error) from None

    def discard(self) -> None:
        """Remove the temporary file, if it was not written whole."""
        if self._beside is not None:
            os.unlink(self._beside)
            self._beside = None
