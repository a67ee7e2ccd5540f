"""Where a report goes: standard output, or a file that is written whole or not at all."""

import os
import stat
import sys

from vggcalc.errors import OutputError


class Output:
    """A file or standard output, to be written once; `option` is the option that named it, for messages.

    Raises `OutputError` at once where it cannot be written, before anything is measured for it.
    """

    def __init__(self, path: str | None, option: str = "--output") -> None:
        self._option = option
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
        return OutputError(f"{self._option} {self._name} cannot be written: {error.strerror or error}")

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
            with open(self._beside or self._path, "wb") as file:
                file.write(content)
            if self._beside is not None:
                if os.path.exists(self._path):
                    os.chmod(self._beside, stat.S_IMODE(os.stat(self._path).st_mode))
                os.replace(self._beside, self._path)
                self._beside = None
        except OSError as error:
            raise self._cannot(error) from None

    def discard(self) -> None:
        """Remove the temporary file, if it was not written whole."""
        if self._beside is not None:
            os.unlink(self._beside)
            self._beside = None
