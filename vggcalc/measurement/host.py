"""What measuring takes from the machine it runs on: its clock, free memory, load and worker processes."""

import os
from collections.abc import Callable
from time import monotonic

import msgspec

from vggcalc.measurement.worker import StartWorker, Worker
from vggcalc.memory import free_bytes


def load() -> float | None:
    """The system's load over the last minute, None where it has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def cpu_only() -> bool:
    """Whether the torch that is installed is built for the CPU alone, which its version says: 2.13.0+cpu."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:  # one that was built here, say
        return False


class Host(msgspec.Struct, frozen=True):
    """The machine as the parent process sees it. Tests put in clocks and workers of their own."""

    clock: Callable[[], float] = monotonic
    free_bytes: Callable[[], int | None] = free_bytes
    load: Callable[[], float | None] = load
    start_worker: StartWorker = Worker
    cpu_only: Callable[[], bool] = cpu_only
