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


class Host(msgspec.Struct, frozen=True):
    """The machine as the parent process sees it. Tests put in clocks and workers of their own."""

    clock: Callable[[], float] = monotonic
    free_bytes: Callable[[], int | None] = free_bytes
    load: Callable[[], float | None] = load
    start_worker: StartWorker = Worker
