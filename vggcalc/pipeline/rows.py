"""Writing a sweep's rows as they are computed, to standard output or a file that may already have the first ones."""

import csv
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any

from vggcalc.errors import OutputError
from vggcalc.pipeline.files import is_device, open_device
from vggcalc.report.formats import rows as text


class RowWriter:
    """Takes rows of these columns; `path` None is standard output.

    Raises `OutputError` where nothing can be written, where the file has rows and is not to be
    continued (`resume`), and where they are not those of this sweep.
    """

    def __init__(self, format_: str, columns: Sequence[str], path: str | None = None, resume: bool = False) -> None:
        self._format, self._columns, self._path = format_, columns, path
        self._end = 0
        self._is_continued = False
        self._file: IO[bytes] | None = None
        self._writer: IO[str] | None = None
        self._there: Iterator[tuple[int, dict[str, str]]] = iter(())
        if path is None:
            return
        try:
            there = not is_device(path) and os.path.isfile(path) and os.path.getsize(path) > 0
            if there and not resume:
                raise OutputError(f"--output {path} is there already: give --resume to continue it, or another name")
            # `close` closes it
            self._file = open_device(path) if is_device(path) else open(path, "r+b" if there else "wb")  # noqa: SIM115
            self._is_continued = there
        except ValueError as error:  # such as a NUL in the name
            raise OutputError(f"--output {path} cannot be written: {error}") from None
        except OSError as error:
            raise self._cannot(error) from None
        if there:
            self._there = text.read(self._file, format_, columns)

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(f"--output {self._path} cannot be written: {error.strerror or error}")

    def done(self, rows: Sequence[Sequence[Any]], fixed: Mapping[str, str]) -> list[dict[str, str]]:
        """The next rows as they are there already; none unless all of them are.

        What they are named after must be the same, and so must what `fixed` says, where it is filled.
        """
        began = self._end
        found: list[dict[str, str]] = []
        try:
            for end, row in islice(self._there, len(rows)):
                for name, value in zip(self._columns, rows[len(found)], strict=False):
                    if row[name] != ("" if value is None else str(value)):
                        raise ValueError(f"a row has {name} {row[name]} where this sweep has {value}")
                for name, word in fixed.items():
                    if row[name] not in ("", word):
                        raise ValueError(f"a row has {name} {row[name]!r} where this sweep has {word!r}")
                self._end = end
                found.append(row)
        except (ValueError, csv.Error) as error:
            raise OutputError(f"--output {self._path} is of another sweep, or damaged: {error}") from None
        if len(found) == len(rows):
            return found
        self._end, self._there = began, iter(())
        return []

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows after those that are there."""
        try:
            writer = self._begun()
            text.STREAMED[self._format](writer, self._columns, rows)
            writer.flush()
        except OSError as error:
            if self._path is None or isinstance(error, BrokenPipeError):
                raise
            raise self._cannot(error) from None

    def _begun(self) -> IO[str]:
        """The file to write to, without a last line that was cut off."""
        if self._writer is not None:
            return self._writer
        if self._file is None:
            self._writer = sys.stdout
        else:
            if self._is_continued:
                self._file.seek(self._end)
                self._file.truncate()
            self._writer = io.TextIOWrapper(self._file, encoding="utf-8", newline="")
        if not self._end:
            self._writer.write(text.header(self._format, self._columns))
        return self._writer

    def finish(self) -> None:
        """Called after the last row. Raises `OutputError` if the file has more rows than the sweep."""
        try:
            more = next(self._there, None) is not None
        except (ValueError, csv.Error):
            more = True
        if more:
            raise OutputError(f"--output {self._path} is of another sweep: it has more rows than this one")
        self._begun()

    def close(self) -> None:
        """Close the file; only its last line may be incomplete."""
        try:
            if self._writer is not None and self._file is not None:
                self._writer.close()
            elif self._file is not None:
                self._file.close()
        except BrokenPipeError:
            pass  # a reader that has gone needs no more
        except OSError as error:
            raise self._cannot(error) from None
