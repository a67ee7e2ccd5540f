"""How much memory is free, as the system and its control groups say."""

import os


def free_bytes() -> int | None:
    """Memory free without swapping: the system's, or less where a control group limits it.

    None where the platform does not report it.
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
    """Limit minus use of this process's control group, version 2 and version 1.

    Cached files count as used there, although they give way: they are taken off again.
    """
    group = ""
    for line in (_read("/proc/self/cgroup") or "").splitlines():
        if line.startswith("0::"):
            group = line[3:].strip().rstrip("/")
    folders = dict.fromkeys((f"/sys/fs/cgroup{group}", "/sys/fs/cgroup"))
    found = [_free_in(folder, "memory.max", "memory.current", "inactive_file") for folder in folders]
    old = "/sys/fs/cgroup/memory"
    return [*found, _free_in(old, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")]


def _free_in(folder: str, limit: str, used: str, cached: str) -> int | None:
    free = _cgroup_difference(_read(f"{folder}/{limit}"), _read(f"{folder}/{used}"))
    if free is None:
        return None
    for line in (_read(f"{folder}/memory.stat") or "").splitlines():
        key, _, value = line.partition(" ")
        if key == cached and value.isdigit():
            return free + int(value)
    return free


def _cgroup_difference(limit: str | None, used: str | None) -> int | None:
    if limit is None or used is None or not limit.strip().isdigit() or not used.strip().isdigit():
        return None
    return max(0, int(limit) - int(used))
