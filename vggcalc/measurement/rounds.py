"""The rounds of one comparison in one configuration, from all its processes, as results."""

from collections.abc import Sequence
from statistics import median

import msgspec

from vggcalc.errors import WorkerError
from vggcalc.measurement import intervals
from vggcalc.protocol import Arm, ArmProfile, ArmsReady, Rounds
from vggcalc.results import Configuration, Latency, LatencyRatio, StopReason

RoundRow = tuple[float, ...]


class ProcessRounds:
    """The rounds of one worker process: which arms it timed, and their figures round by round."""

    def __init__(self, start: ArmsReady, arms: tuple[Arm, ...]) -> None:
        self.start = start
        self.arms = arms
        self.wall: list[RoundRow] = []
        self.cpu: list[RoundRow] = []
        self.faults: list[RoundRow] = []

    def add(self, message: Rounds) -> None:
        """Append the rounds. Raises `WorkerError` for figures that no round can have."""
        rows = (*message.wall_s, *message.cpu_s, *message.faults)
        if any(len(row) != len(self.arms) for row in rows) or any(t <= 0 for row in message.wall_s for t in row):
            raise WorkerError("the worker sent rounds that do not fit its arms")
        self.wall += message.wall_s
        self.cpu += message.cpu_s
        self.faults += message.faults

    def times(self, arm: Arm) -> list[float]:
        return [row[self.arms.index(arm)] for row in self.wall]

    def fault_counts(self, arm: Arm) -> list[float]:
        return [row[self.arms.index(arm)] for row in self.faults]


class ArmPair(msgspec.Struct, frozen=True):
    """An arm and the arm that it is compared with."""

    baseline: Arm
    arm: Arm


def is_narrow(process: ProcessRounds, pairs: Sequence[ArmPair], precision: float) -> bool:
    """Whether the full width of every interval is at most `precision`. Whether it excludes 1 is never asked."""
    return all(_within(process, pair).width <= precision for pair in pairs if pair.arm in process.arms)


def _within(process: ProcessRounds, pair: ArmPair) -> intervals.Estimate:
    return intervals.within_process(_log_ratios(process, pair))


def _log_ratios(process: ProcessRounds, pair: ArmPair) -> list[float]:
    return intervals.log_ratios(process.times(pair.baseline), process.times(pair.arm))


class Measurements(msgspec.Struct, frozen=True):
    """The rounds of all processes of one comparison in one configuration, and why they ended."""

    configuration: Configuration
    processes: tuple[ProcessRounds, ...]
    seed: int
    stopped: StopReason
    load: float | None

    def _having(self, arm: Arm) -> list[ProcessRounds]:
        return [process for process in self.processes if arm in process.arms and process.wall]

    def latency(self, arm: Arm, compared: int = 1, profile: ArmProfile | None = None) -> Latency | None:
        """The arm's own times, all processes together; None where it was not timed.

        Its interval is that of its ratio to an arm that takes exactly one second.
        """
        having = self._having(arm)
        if not having:
            return None
        each = [process.times(arm) for process in having]
        times = [time for own in each for time in own]
        over_1_s = [intervals.log_ratios([1.0] * len(own), own) for own in each]
        first = having[0].start
        index = first.arms.index(arm)
        compiled = [s for process in having if (s := process.start.compile_s[index]) is not None]
        return Latency(
            **msgspec.structs.asdict(self.configuration),
            median_s=median(times),
            iqr_s=intervals.quartile_distance(times),
            times_s=tuple(times),
            calls_per_round=first.calls[index],
            faults_per_call=median(count for process in having for count in process.fault_counts(arm)),
            compile_s=median(compiled) if compiled else None,
            rounds_per_process=tuple(map(len, each)),
            ci95=intervals.estimate(over_1_s, compared).ci95,
            kernels=profile.kernels if profile is not None else (),
            peak_allocated_bytes=profile.peak_allocated_bytes if profile is not None else None,
        )

    def ratio(self, pair: ArmPair, control: ArmPair, compared: int) -> LatencyRatio | None:
        """The pair's ratio with its verdict against the control; None where it was not timed."""
        having = self._having(pair.arm)
        if not having:
            return None
        estimate = intervals.estimate([_log_ratios(process, pair) for process in having], compared)
        controlled = self._having(control.arm)
        copy = intervals.estimate([_log_ratios(process, control) for process in controlled])
        counts = tuple(len(process.wall) for process in having)
        return LatencyRatio(
            **msgspec.structs.asdict(self.configuration),
            ratio=estimate.ratio,
            ci95=estimate.ci95,
            verdict=intervals.verdict(estimate, copy),
            basis=estimate.basis,
            compared=compared,
            processes=len(having),
            rounds=min(counts),
            rounds_per_process=counts,
            control_ratio=copy.ratio,
            control_ci95=copy.ci95,
            control_times_s=tuple(time for process in controlled for time in process.times(control.arm)),
            floor=intervals.floor(estimate, copy),
            allocator=having[0].start.allocator,
            contended=self._contended(),
            load=self.load,
            seed=self.seed,
            stopped=self.stopped,
        )

    def _contended(self) -> float | None:
        """The share of timings that waited for a processor; None on accelerators and with several threads."""
        if self.configuration.device != "cpu" or self.configuration.threads != 1:
            return None
        waits = [
            wall > 1.1 * cpu
            for process in self.processes
            for walls, cpus in zip(process.wall, process.cpu, strict=True)
            for wall, cpu in zip(walls, cpus, strict=True)
        ]
        return sum(waits) / len(waits)
