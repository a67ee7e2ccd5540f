"""Everything that differs from device to device, behind one small interface."""

import os
import platform
from collections.abc import Callable
from typing import Protocol

import torch
from torch.utils.benchmark import timer

from vggcalc import results


class Device(Protocol):
    """Where modules run. `clock` reads seconds after all that was queued has run."""

    name: str

    def clock(self) -> float: ...

    def facts(self) -> results.Device: ...

    def free_bytes(self) -> int | None: ...

    def least_timing_s(self) -> float:
        """How long one timing must at least take so that the clock's own cost does not show."""
        ...


class Cpu:
    """The processor: calls return when they are done."""

    name = "cpu"

    def clock(self) -> float:
        return timer()

    def facts(self) -> results.Device:
        return results.Device(
            self.name, cpu_model(), {"instruction_set": torch.backends.cpu.get_cpu_capability()}
        )

    def free_bytes(self) -> int | None:
        return None  # the parent has compared the need with the memory before it started us

    def least_timing_s(self) -> float:
        return 1e-3


class Accelerator:
    """CUDA, MPS, XPU, … through `torch.accelerator`: calls return early, the clock synchronizes."""

    def __init__(self, name: str) -> None:
        self.name = name
        torch.accelerator.set_device_index(torch.device(name).index or 0)

    def clock(self) -> float:
        return timer()

    def facts(self) -> results.Device:
        kind = torch.device(self.name).type
        details = {"synchronized": "by torch.accelerator.synchronize"}
        model = kind
        if kind == "cuda":
            model = torch.cuda.get_device_name(self.name)
            details["tf32"] = (
                f"convolutions {'on' if torch.backends.cudnn.allow_tf32 else 'off'}, "
                f"matmul {'on' if torch.backends.cuda.matmul.allow_tf32 else 'off'}"
            )
            details["cudnn_benchmark"] = "on" if torch.backends.cudnn.benchmark else "off"
        elif kind == "xpu":
            model = torch.xpu.get_device_name(self.name)
        return results.Device(self.name, model, details)

    def free_bytes(self) -> int | None:
        if torch.device(self.name).type == "cuda":
            return torch.cuda.mem_get_info(self.name)[0]
        return None

    def least_timing_s(self) -> float:
        """50 times a synchronization, and no less than on the CPU."""
        start = self.clock()
        for _ in range(10):
            self.clock()
        return max(1e-3, 50 * (self.clock() - start) / 10)


def cpu_model() -> str:
    """The processor's name as /proc/cpuinfo, or else Python's platform module, has it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class NoSuchDevice(Exception):
    """The device that was asked for is not here; the message says which are."""


def _accelerator(name: str) -> Device:
    asked = torch.device(name)
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if here is None:
        raise NoSuchDevice(
            f"device {name!r} is not here: torch {torch.__version__} finds no accelerator, only cpu"
        )
    if asked.type != here.type:
        raise NoSuchDevice(f"device {name!r} is not here: torch finds cpu and {here.type}")
    if (asked.index or 0) >= torch.accelerator.device_count():
        raise NoSuchDevice(
            f"device {name!r} is not here: there are {torch.accelerator.device_count()} of {here.type}"
        )
    if here.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return Accelerator(name)


#: How to reach a device, by the part of its name before the colon; others go to torch.accelerator.
DEVICES: dict[str, Callable[[str], Device]] = {"cpu": lambda name: Cpu()}


def device(name: str) -> Device:
    """The device of that name. Raises `NoSuchDevice`."""
    try:
        kind = torch.device(name).type
    except RuntimeError:
        raise NoSuchDevice(
            f"{name!r} is no device that torch {torch.__version__} knows: try cpu or cuda"
        ) from None
    return DEVICES.get(kind, _accelerator)(name)


def available() -> list[str]:
    """The CPU, and the accelerator where there is one: what `--device auto` means."""
    names = ["cpu"]
    if torch.accelerator.is_available():
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None:
            names.append(accelerator.type)
    return names


def environment(devices: list[results.Device]) -> results.Environment:
    """What every figure measured here holds for."""
    from importlib.metadata import version

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return results.Environment(
        python=platform.python_version(),
        torch=str(torch.__version__),
        fvcore=version("fvcore"),
        platform=platform.platform(),
        cpu=cpu_model(),
        instruction_set=torch.backends.cpu.get_cpu_capability(),
        cores=usable,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        devices=tuple(devices),
    )
