"""How much memory a worker may take, so that too large a network is a message and not a kill."""

import os


def free_bytes() -> int | None:
    """What can be had without swapping: the system's, or less where a control group says so.

    None where the platform does not tell.
    """
    known = [value for value in (_available(), *_cgroup()) if value is not None]
    return min(known) if known else None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def _available() -> int | None:
    for line in (_read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _cgroup() -> list[int | None]:
    """Limit minus use of this process's control group, version 2 and version 1."""
    pairs = (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    )
    return [_difference(_read(limit), _read(used)) for limit, used in pairs]


def _difference(limit: str | None, used: str | None) -> int | None:
    if limit is None or used is None or not limit.strip().isdigit() or not used.strip().isdigit():
        return None
    return max(0, int(limit) - int(used))
