"""Traces of installed packages' models, kept on disk: asked again, a question about one needs neither torch nor time.

A trace is kept by what was asked: the model, its arguments, its inputs, Python and the search path for packages. With
it is kept how every file of installed packages was that its process had read, torch's among them, and what there was to
import, and it is used only where all is so still. A file of the user's own among them, and there is no trace to keep.
What is damaged, or of another version, is as if it were not there.
"""

import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress

import msgspec

import vggcalc
from vggcalc.nets.graph import Network
from vggcalc.nets.origins import Origin, Sources, importable, is_exported

#: Of the files' content: another one is read by no version but its own.
FORMAT = 3

#: When there are more bytes, those that were used the longest ago go.
LARGEST_BYTES = 200 * 2**20

_ENDING = ".trace"

_NO_VALUE = b"\0"


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """What was asked, what the network depends on, how that was, and the network."""

    request: bytes
    sources: Sources
    state: bytes
    network: Network


def folder() -> str | None:
    """Where traces are kept: VGGCALC_CACHE_DIR, or the platform's place for it; None for nowhere."""
    own = os.environ.get("VGGCALC_CACHE_DIR")
    if own is not None:
        return os.path.abspath(own) if own else None
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        home = {"darwin": "~/Library/Caches", "win32": os.environ.get("LOCALAPPDATA", "~/AppData/Local")}
        base = os.path.expanduser(home.get(sys.platform, "~/.cache"))
    return os.path.join(base, "vggcalc") if os.path.isabs(base) else None


def request_for(origin: Origin, name: str) -> bytes | None:
    """All that a trace depends on beside files, None where it is never kept: a file of the user's takes part."""
    of_the_user = origin.is_file or is_exported(origin.source) or origin.inputs_from or origin.formulas
    if of_the_user or folder() is None:
        return None
    search = sys.path if sys.flags.safe_path else sys.path[1:]
    return msgspec.json.encode((FORMAT, vggcalc.__version__, sys.version, sys.prefix, search, origin, name))


def kept_trace(request: bytes) -> Network | None:
    """The network that was traced at the same request, if none of its files has changed since."""
    try:
        with open(_file_for(request), "rb") as file:
            entry = msgspec.msgpack.decode(zlib.decompress(file.read()), type=_Entry)
    except (OSError, zlib.error, msgspec.MsgspecError):
        return None
    if entry.request != request or not _same_packages(entry.sources) or _state_of(entry.sources)[0] != entry.state:
        return None
    with suppress(OSError):
        os.utime(_file_for(request))  # it was used
    return entry.network


def keep_trace(request: bytes, network: Network, sources: Sources) -> None:
    """Keep a trace, unless a file or package has changed while it was made, or nothing can be written."""
    state, last_change_ns = _state_of(sources)
    if last_change_ns > sources.began_ns or not _same_packages(sources):
        return
    content = zlib.compress(msgspec.msgpack.encode(_Entry(request, sources, state, network)), 1)
    path = _file_for(request)
    unfinished = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        try:
            with open(unfinished, "xb") as file:
                file.write(content)
            os.replace(unfinished, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(unfinished)
        _evict()
    except OSError:  # such as a home that is not there or a disk that is full: the next time it is traced again
        return


def entries() -> list[os.DirEntry[str]]:
    """The files of the traces that are kept. Raises `OSError`."""
    where = folder()
    if where is None or not os.path.isdir(where):
        return []
    with os.scandir(where) as found:
        return [entry for entry in found if _ENDING in entry.name and entry.is_file(follow_symlinks=False)]


def clear() -> int:
    """Remove every trace that is kept. Returns how many there were. Raises `OSError`."""
    found = entries()
    for entry in found:
        with suppress(FileNotFoundError):
            os.unlink(entry.path)
    return len(found)


def _evict() -> None:
    """Remove those that were used the longest ago, until all are no larger than they may be."""
    sized = [(found.st_mtime_ns, found.st_size, entry.path) for entry in entries() if (found := _stat(entry.path))]
    total = sum(size for _, size, _ in sized)
    for _, size, path in sorted(sized):
        if total <= LARGEST_BYTES:
            return
        with suppress(FileNotFoundError):
            os.unlink(path)
        total -= size


def _file_for(request: bytes) -> str:
    """Where it is kept; of two requests with the same checksums the last, since each says in the file what it is."""
    return os.path.join(folder() or "", f"{zlib.crc32(request):08x}{zlib.adler32(request):08x}{_ENDING}")


def _same_packages(sources: Sources) -> bool:
    """Whether the same can be imported as when the module was made."""
    return all(importable(folder) == names for folder, names in sources.search_path.items())


def _state_of(sources: Sources) -> tuple[bytes, int]:
    """How the files and the settings are now, and when a file has last changed."""
    parts, last = [], 0
    for path in _paths(sources):
        found = _stat(path)
        if found is not None:
            parts.append(b"%d %d %d" % (found.st_size, found.st_mtime_ns, found.st_ctime_ns))
            last = max(last, found.st_mtime_ns)
        else:
            parts.append(_NO_VALUE)
    for name, value in sorted(os.environ.items()):
        if "TORCH" in name or name.partition("_")[0].lower() in sources.packages:
            parts.append(f"{name}={value}".encode(errors="surrogateescape"))
    return b"\0".join(parts), last


def _paths(sources: Sources) -> Iterator[str]:
    return (f"{folder}{os.sep}{name}" for folder, names in sources.folders.items() for name in names)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
