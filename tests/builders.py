"""What several tests make up: times, ratios of times, reports of comparisons, and a worker under a clock of its own."""

from types import TracebackType
from typing import Any, ClassVar, Self

import msgspec
from msgspec.structs import asdict

import vggcalc
from vggcalc.protocol import Job, StartRounds
from vggcalc.results import (
    CONVENTIONS,
    SCHEMA_VERSION,
    Comparison,
    Configuration,
    Environment,
    Latency,
    LatencyRatio,
    Report,
)

CPU = Configuration("cpu", "float32")


def latency(seconds: float, configuration: Configuration = CPU, **changes: Any) -> Latency:
    """One round of that time in a configuration."""
    figures = {"median_s": seconds, "iqr_s": 0.0, "times_s": (seconds,), "calls_per_round": 1, "faults_per_call": 0.0}
    return Latency(**asdict(configuration) | figures | changes)


def latency_ratio(
    ratio: float, ci95: tuple[float, float] | None = None, configuration: Configuration = CPU, **changes: Any
) -> LatencyRatio:
    """That ratio and interval of one process of nine rounds, beside a control that is 1."""
    figures = {
        "ratio": ratio, "ci95": ci95, "verdict": "unclear", "basis": "process", "compared": 1, "processes": 1,
        "rounds": 9, "rounds_per_process": (9,), "control_ratio": 1.0, "control_ci95": None, "control_times_s": (),
        "floor": 0.01, "allocator": "pinned", "contended": None, "load": None, "seed": 0, "stopped": "precise",
    }  # fmt: skip
    return LatencyRatio(**asdict(configuration) | figures | changes)


def report(*comparisons: Comparison, command: str = "test", environment: Environment | None = None) -> Report:
    """The document that a command would print."""
    return Report(SCHEMA_VERSION, vggcalc.__version__, command, CONVENTIONS, environment, comparisons)


#: The families that mean something in two dimensions.
PLANAR = tuple(name for name, family in vggcalc.FAMILIES.items() if 2 in family.dims)


class ClockedWorker:
    """A worker in this process, for which time passes as its class says: `messages` is for the test to write."""

    now: ClassVar[float] = 0.0
    jobs: ClassVar[list[Any]] = []

    def __init__(self, job: Job, inactivity_timeout_s: float) -> None:
        self.inactivity_timeout_s = inactivity_timeout_s
        self._job: Any = job
        self._go: StartRounds | None = None
        self._stopped = False
        type(self).jobs.append(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def send(self, message: msgspec.Struct) -> None:
        assert isinstance(message, StartRounds)
        self._go = message

    def stop(self) -> None:
        self._stopped = True

    @classmethod
    def clock(cls) -> float:
        return 4096.0 + cls.now  # a clock counts from whenever it likes
