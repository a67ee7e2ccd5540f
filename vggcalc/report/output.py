"""Where a report goes: standard output, or a file that is written whole or not at all."""

import os
import stat
import sys


class OutputError(Exception):
    """The file cannot be written; the message names it and says why."""


class Output:
    """A place to write text once. Raises `OutputError` before anything is measured in vain."""

    def __init__(self, path: str | None) -> None:
        self._path = os.path.realpath(path) if path is not None else None
        self._name = path
        self._beside: str | None = None
        if self._path is None:
            return
        try:
            if os.path.isdir(self._path):
                raise IsADirectoryError(0, "it is a directory")
            if os.path.exists(self._path) and not stat.S_ISREG(os.stat(self._path).st_mode):
                return  # a device or a pipe is written to, not replaced
            if os.path.exists(self._path) and not os.access(self._path, os.W_OK):
                raise PermissionError(0, "permission denied")
            self._beside = f"{self._path}.{os.getpid()}.part"
            with open(self._beside, "x", encoding="utf-8"):
                pass
        except OSError as error:
            self._beside = None
            raise self._cannot(error) from None

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(f"--output {self._name} cannot be written: {error.strerror or error}")

    def write(self, text: str) -> None:
        """Write the whole text."""
        if self._path is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        try:
            with open(self._beside or self._path, "w", encoding="utf-8") as file:
                file.write(text)
            if self._beside is not None:
                if os.path.exists(self._path):
                    os.chmod(self._beside, stat.S_IMODE(os.stat(self._path).st_mode))
                os.replace(self._beside, self._path)
                self._beside = None
        except OSError as error:
            raise self._cannot(error) from None

    def discard(self) -> None:
        """Leave nothing behind that was not written whole."""
        if self._beside is not None:
            os.unlink(self._beside)
            self._beside = None
