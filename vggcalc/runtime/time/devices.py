"""Everything that differs from device to device, behind one small interface."""

import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import perf_counter
from typing import Protocol

import torch

from vggcalc import results
from vggcalc.results import Configuration

Program = Callable[[], object]


class DeviceUnavailable(Exception):
    """A device or a configuration is not available here; the message says what is."""


class Device(Protocol):
    """Where modules run."""

    name: str

    def configure(self, configuration: Configuration) -> None:
        """Set threads and precision flags. Raises `DeviceUnavailable`."""

    def clock(self) -> float:
        """Seconds, once all that was queued has run."""

    def least_timing_s(self) -> float:
        """The least length of one timing, beside which the clock's own cost is negligible."""

    def facts(self) -> results.DeviceInfo:
        """Name, model and the flags that were set."""

    def free_bytes(self) -> int | None:
        """Free memory; None where the parent process has checked it, or the device does not report it."""

    def flush(self) -> None:
        """Evict what an arm left in the caches."""

    def graph(self, call: Program) -> Program:
        """The call, recorded once and replayed. Raises `DeviceUnavailable`."""

    def kernels(self, call: Program) -> tuple[str, ...]:
        """The kernels that one call ran, in the order first met."""

    def peak_bytes(self, call: Program) -> int | None:
        """The allocator's peak within one call, beyond what was allocated before."""


class Cpu:
    """The processor: calls return when they are done."""

    name = "cpu"

    def configure(self, configuration: Configuration) -> None:
        torch.set_num_threads(configuration.threads)

    def clock(self) -> float:
        return perf_counter()

    def least_timing_s(self) -> float:
        return 1e-3

    def facts(self) -> results.DeviceInfo:
        return results.DeviceInfo(self.name, cpu_model(), {"flushed_bytes": str(self._cache_bytes())})

    def free_bytes(self) -> int | None:
        return None

    def _cache_bytes(self) -> int:
        """Twice the last-level cache, as Linux reports it; 128 MiB where it does not."""
        path = "/sys/devices/system/cpu/cpu0/cache/index3/size"
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            return 2 * 1024 * int(file.read().strip().removesuffix("K"))
        return 128 * 2**20

    def flush(self) -> None:
        torch.ones(self._cache_bytes() // 4).sum()

    def graph(self, call: Program) -> Program:
        raise DeviceUnavailable("the CPU has no graphs to replay")

    def kernels(self, call: Program) -> tuple[str, ...]:
        """oneDNN's, by its own verbose output, which C code prints on file descriptor 1, and torch's own.

        torch has slower kernels of its own for convolutions that it does not hand to oneDNN.
        """
        mkldnn = torch.backends.mkldnn
        if not mkldnn.is_available():
            return ()
        with tempfile.TemporaryFile() as file:
            before = os.dup(1)
            os.dup2(file.fileno(), 1)
            try:
                with mkldnn.verbose(mkldnn.VERBOSE_ON):
                    call()
            finally:
                os.dup2(before, 1)
                os.close(before)
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines()
        found = (re.search(r",exec,cpu,([^,]*),([^,]*),", line) for line in lines)
        with torch.profiler.profile() as profile:
            call()
        own = re.compile(r"aten::(?!.*mkldnn).*(slow_conv|conv_depthwise|thnn_conv).*")
        fallback = [event.name for event in profile.events() if own.fullmatch(event.name)]
        return counted([*(f"{match[1]} {match[2]}" for match in found if match), *fallback])

    def peak_bytes(self, call: Program) -> int | None:
        """From the profiler's record of every allocation."""
        import json

        with torch.profiler.profile(profile_memory=True) as profile:
            kept = call()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trace.json")
            profile.export_chrome_trace(path)
            with open(path, encoding="utf-8") as file:
                events = json.load(file)["traceEvents"]
        del kept
        changes = [(e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]"]
        now = peak = 0
        for _, change in sorted(changes, key=lambda pair: pair[0]):
            now += change
            peak = max(peak, now)
        return peak


class Accelerator:
    """CUDA, MPS, XPU, … through `torch.accelerator`: calls return early, the clock synchronizes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._kind = torch.device(name).type
        torch.accelerator.set_device_index(torch.device(name).index or 0)

    def configure(self, configuration: Configuration) -> None:
        """Warm with cuDNN's search for the fastest algorithm; no TF32 anywhere, which torch mixes."""
        torch.set_num_threads(configuration.threads)
        if self._kind == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False

    def clock(self) -> float:
        torch.accelerator.synchronize()
        return perf_counter()

    def least_timing_s(self) -> float:
        """50 times a synchronization, and no less than on the CPU."""
        start = self.clock()
        for _ in range(9):
            self.clock()
        return max(1e-3, 50 * (self.clock() - start) / 10)

    def facts(self) -> results.DeviceInfo:
        details = {"clock": "wall time after torch.accelerator.synchronize", "L2": "warm unless cold"}
        model = self._kind
        if self._kind == "cuda":
            model = torch.cuda.get_device_name(self.name)
            details["memory_bytes"] = str(torch.cuda.get_device_properties(self.name).total_memory)
            details["tf32"] = (
                f"cudnn {'on' if torch.backends.cudnn.allow_tf32 else 'off'}, "
                f"matmul {'on' if torch.backends.cuda.matmul.allow_tf32 else 'off'}"
            )
            details["cudnn_benchmark"] = "on" if torch.backends.cudnn.benchmark else "off"
            with suppress(Exception):  # torch asks NVML, whose bindings and permissions may be missing
                details["sm_clock_mhz"] = str(torch.cuda.clock_rate(self.name))
        elif self._kind == "xpu":
            model = torch.xpu.get_device_name(self.name)
        return results.DeviceInfo(self.name, model, details)

    def free_bytes(self) -> int | None:
        return torch.cuda.mem_get_info(self.name)[0] if self._kind == "cuda" else None

    def flush(self) -> None:
        torch.ones(2**26, device=self.name).sum()

    def graph(self, call: Program) -> Program:
        if self._kind != "cuda":
            raise DeviceUnavailable(f"torch replays graphs on cuda, not on {self._kind}")
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()

        def replay() -> None:
            graph.replay()

        replay.recorded = call  # type: ignore[attr-defined]  # it replays this call's weights and image
        return replay

    def kernels(self, call: Program) -> tuple[str, ...]:
        with torch.profiler.profile() as profile:
            call()
            torch.accelerator.synchronize()
        events = (event for event in profile.events() if "CPU" not in str(event.device_type))
        return counted(event.name for event in events)

    def peak_bytes(self, call: Program) -> int | None:
        if self._kind != "cuda":
            return None
        before = torch.cuda.memory_allocated(self.name)
        torch.cuda.reset_peak_memory_stats(self.name)
        call()
        torch.accelerator.synchronize()
        return torch.cuda.max_memory_allocated(self.name) - before


def counted(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order first met, with how often each was: `reorder jit:blk ×6`."""
    numbers: dict[str, int] = {}
    for name in names:
        numbers[name] = numbers.get(name, 0) + 1
    return tuple(name if number == 1 else f"{name} ×{number}" for name, number in numbers.items())


def cpu_model() -> str:
    """The processor's name as /proc/cpuinfo, or else Python's platform module, has it."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _accelerator(name: str) -> Device:
    wanted = torch.device(name)
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if here is None:
        raise DeviceUnavailable(f"device {name!r} is not here: torch {torch.__version__} finds only cpu")
    if wanted.type != here.type:
        raise DeviceUnavailable(f"device {name!r} is not here: torch finds cpu and {here.type}")
    if (wanted.index or 0) >= torch.accelerator.device_count():
        raise DeviceUnavailable(
            f"device {name!r} is not here: there are {torch.accelerator.device_count()} of {here.type}"
        )
    return Accelerator(name)


#: How to reach a device, by the part of its name before the colon; others go to torch.accelerator.
DEVICES: dict[str, Callable[[str], Device]] = {"cpu": lambda name: Cpu()}


def device(name: str) -> Device:
    """The device of that name. Raises `DeviceUnavailable`."""
    try:
        kind = torch.device(name).type
    except RuntimeError:
        raise DeviceUnavailable(
            f"{name!r} is no device that torch {torch.__version__} knows: try cpu or cuda"
        ) from None
    return DEVICES.get(kind, _accelerator)(name)


def available() -> tuple[str, ...]:
    """The CPU, and the accelerator where there is one: what `--device auto` means."""
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return ("cpu",) if here is None else ("cpu", here.type)


def environment(*devices: results.DeviceInfo) -> results.Environment:
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
        devices=devices,
    )
