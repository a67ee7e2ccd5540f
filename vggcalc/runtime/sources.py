"""Of which files a traced module was made: the trace can be kept only where all are of installed packages."""

import os
import sys
import time
from functools import cache
from typing import Any

import vggcalc
from vggcalc.nets.origins import Sources, importable

#: vggcalc itself counts as installed wherever it is: its files are among those that must not have changed.
_OWN = os.path.dirname(os.path.abspath(vggcalc.__file__))

_STANDARD_LIBRARY = os.path.dirname(os.__file__)

#: What the system says of itself in files, which have no content of their own.
_OF_THE_SYSTEM = ("/proc/", "/sys/", "/dev/")


class Watch:
    """Notices every file that is opened for reading, from its making to the end of the process."""

    def __init__(self) -> None:
        self._began_ns = time.time_ns()
        #: Where packages are looked for; what is appended later, the user's folder, holds no installed ones.
        self._search_path = tuple(dict.fromkeys(sys.path))
        searched = (root for root in self._search_path if os.path.isdir(root) and not _is_standard(root))
        self._importable = {root: importable(root) for root in searched}
        self._opened: set[str] = set()
        sys.addaudithook(self._notice)

    def _notice(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes) and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            self._opened.add(os.fsdecode(arguments[0]))

    def sources(self) -> Sources | None:
        """The files of the modules imported so far, and those opened; None if one is of no installed package."""
        modules = (getattr(module, "__dict__", {}) for module in sys.modules.copy().values())
        files = {file for one in modules if isinstance(file := one.get("__file__"), str) and os.path.isabs(file)}
        opened = (
            file for file in self._opened.copy() if not file.endswith(".pyc") and not file.startswith(_OF_THE_SYSTEM)
        )
        files.update(file for file in opened if os.path.isfile(file))
        files.discard(sys.argv[0])  # what started this process, and has no part in the model
        folders: dict[str, set[str]] = {}
        packages = set[str]()
        for file in files:
            root = _OWN if file.startswith(_OWN + os.sep) else self._root(file)
            if root is None:
                return None
            if _is_standard(root):
                continue
            if root != _OWN:
                top = file[len(root) + 1 :].partition(os.sep)[0]
                record = _record(root, top)
                if record is None:
                    return None
                packages.add(top.partition(".")[0].lower())
                folders.setdefault(record, set()).add("RECORD")
            folder, _, name = file.rpartition(os.sep)
            folders.setdefault(folder, set()).add(name)
        by_folder = {key: tuple(sorted(folders[key])) for key in sorted(folders)}
        return Sources(by_folder, self._importable, tuple(sorted(packages)), self._began_ns)

    def _root(self, file: str) -> str | None:
        """The innermost folder of the search path that a file is in."""
        above = [root for root in (*self._search_path, _STANDARD_LIBRARY) if file.startswith(root + os.sep)]
        return max(above, key=len, default=None)


def _is_standard(root: str) -> bool:
    return root in (_STANDARD_LIBRARY, os.path.join(_STANDARD_LIBRARY, "lib-dynload"))


@cache
def _record(root: str, top: str) -> str | None:
    """The folder of the distribution that has installed a module, package or folder `top` in `root`.

    An editable installation's RECORD does not list the files that it stands for.
    """
    wanted = top.partition("-")[0].partition(".")[0].lower()
    begins = tuple(f"\n{top}{sign}".encode() for sign in "/,")
    found = (name for name in os.listdir(root) if name.endswith(".dist-info"))
    for name in sorted(found, key=lambda name: name.partition("-")[0].lower() != wanted):
        lines = _record_lines(os.path.join(root, name, "RECORD"))
        if any(begin in lines for begin in begins):
            return os.path.join(root, name)
    return None


@cache
def _record_lines(record: str) -> bytes:
    try:
        with open(record, "rb") as file:
            return b"\n" + file.read()
    except OSError:
        return b""
