"""What is to be measured, and in which configurations."""

import os
from collections.abc import Sequence
from itertools import product

import msgspec

from vggcalc.results import Configuration

#: Seconds of a quick comparison in one configuration, its worker's start included; the command's own make 10 of them.
QUICK_S = 9.5


class Plan(msgspec.Struct, frozen=True):
    """What to measure and for how long: every comparison in every configuration of the grid.

    `budget_s` are the seconds for all of it, workers' starts and the crosscheck included; None is as many as the
    claims take here. `quick` is one process of the whole networks, and 10 s for each comparison and configuration
    unless a budget is given. `precision` is the full width at which an interval will do; `processes` and `rounds` None
    leave them to the budget. `effective_samples` are the inputs over which the effective receptive field is averaged, 0
    for none.
    """

    latency: bool = True
    check: bool = True
    verify: bool = False
    effective_samples: int = 0
    devices: tuple[str, ...] = ("auto",)
    dtypes: tuple[str, ...] = ("float32",)
    threads: tuple[int, ...] = (1,)
    modes: tuple[str, ...] = ("inference",)
    memory_formats: tuple[str, ...] = ("contiguous",)
    executions: tuple[str, ...] = ("eager",)
    cold: bool = False
    budget_s: float | None = None
    precision: float = 0.03
    processes: int | None = None
    rounds: int | None = None
    quick: bool = False
    seed: int = 0
    pin_allocator: bool = True

    @property
    def most_processes(self) -> int | None:
        """One where it is to be quick; None leaves their number to the budget."""
        return 1 if self.quick else self.processes

    def configurations(self, available: Sequence[str]) -> list[Configuration]:
        """The grid; `auto` is what is available. On CUDA inference is timed as a graph too."""
        devices: list[str] = []
        for name in self.devices:
            devices += available if name == "auto" else [name]
        grid = []
        for device, dtype, threads, mode, memory_format in product(
            dict.fromkeys(devices), self.dtypes, self.threads, self.modes, self.memory_formats
        ):
            graph = ("graph",) if device.startswith("cuda") and mode == "inference" else ()
            grid += [
                Configuration(device, dtype, threads, mode, memory_format, execution, self.cold)
                for execution in (*self.executions, *graph)
            ]
        return grid


def unusual(configuration: Configuration) -> bool:
    """Whether it asks for more than any machine with torch can do."""
    plain = Configuration("cpu", "float32", configuration.threads, cold=configuration.cold)
    return configuration != plain


def usable_cpus() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def contention(threads: int, load: float | None) -> list[str]:
    """Warnings about the processors: more threads than there are, or other programs that use them."""
    cpus = usable_cpus()
    if threads > cpus:
        return [f"{threads} threads share {cpus} processors: they wait for each other, and so do the times"]
    if load is not None and load + threads > cpus + 0.5:
        return [
            f"the load is {load:.2f} on {cpus} processors, which leaves less than {threads} free: "
            "an interval holds for this state of the machine only"
        ]
    return []
