"""The one reader of files from outside: bounded in size, depth and time, every failure one `InputError`."""

import os
import select
import stat
from collections.abc import Callable
from typing import NamedTuple

from vggcalc.errors import InputError

#: So long a pipe is waited for, until somebody writes to it.
PIPE_WAIT_S = 10.0

_PIECE = 1 << 20

#: What is read piece by piece: so many bytes or fewer, none at the end.
Read = Callable[[int], bytes]


class Kind(NamedTuple):
    """What a file must be: at most so many bytes, beginning with some; `what` it is, and what is `needed`, for errors.

    Nothing is read further that begins otherwise, such as an endless device.
    """

    what: str
    needed: str
    most: int
    begins: bytes = b""


def read_file(path: str, kind: Kind, wait_s: float = PIPE_WAIT_S) -> bytes:
    """The content of a file, a device or a pipe. A pipe to which nobody writes is given up."""
    needed = kind.needed
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
            if hasattr(os, "set_blocking"):
                os.set_blocking(descriptor, True)

            def read(size: int) -> bytes:
                if is_pipe and not select.select([descriptor], [], [], wait_s)[0]:
                    raise InputError(f"{path}: nobody writes to this pipe: {needed}")
                return os.read(descriptor, size)

            return read_at_most(read, path, kind)
        finally:
            os.close(descriptor)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # a ValueError is of a NUL in the name
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}: {needed}") from None


def read_at_most(read: Read, where: str, kind: Kind) -> bytes:
    """All that `read` gives. Raises `InputError` where that is more, or begins otherwise, than the kind says."""
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := read(min(_PIECE, kind.most + 1 - size)):
            if not pieces and not piece.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(kind.begins):
                raise InputError(f"{where} is no {kind.what}: {kind.needed}")
            pieces.append(piece)
            size += len(piece)
            if size > kind.most:
                raise InputError(f"{where} is larger than {kind.most:,} bytes: no {kind.what} is")
        return b"".join(pieces)
    except MemoryError:
        raise InputError(f"{where} is larger than the memory that is free: {kind.needed}") from None


def text_of(content: bytes, where: str) -> str:
    """As UTF-8. Raises `InputError` for anything else."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not text: byte {error.start} is not UTF-8; write TOML or JSON") from None


def json_value(text: str, where: str) -> object:
    """What JSON stands for. Raises `InputError` with the place at which it is malformed."""
    import json

    def refuse(constant: str) -> object:
        raise InputError(f"{where}: {constant} is no number of a network")

    try:
        value: object = json.loads(text, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{where}: malformed JSON: {error.msg} (at {place})") from None
    except UnicodeEncodeError:
        raise InputError(f"{where}: malformed JSON: half of a surrogate pair, which no text has") from None
    except (RecursionError, ValueError) as error:
        raise _malformed("JSON", where, error) from None


def toml_value(text: str, where: str) -> object:
    """What TOML stands for. Raises `InputError`."""
    import tomllib

    try:
        return tomllib.loads(text)
    except (RecursionError, ValueError) as error:
        raise _malformed("TOML", where, error) from None


def _malformed(what: str, where: str, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    return InputError(
        f"{where}: malformed {what}: {'nested too deeply' if isinstance(error, RecursionError) else error}"
    )
