"""What several tests make up: times, ratios of times, and reports of comparisons."""

from typing import Any

from msgspec.structs import asdict

import vggcalc
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
