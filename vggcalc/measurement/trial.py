"""One comparison in one configuration: fresh processes, rounds, and what is made of them."""

from collections.abc import Callable, Iterable
from time import monotonic

import msgspec

from vggcalc.errors import WorkerError
from vggcalc.measurement import intervals
from vggcalc.measurement import limits as memory
from vggcalc.measurement.intervals import FIRST_LOOK, least_rounds, next_look
from vggcalc.measurement.plan import Plan, contention
from vggcalc.measurement.roof import placed, raised
from vggcalc.measurement.rounds import Measurements, Pair, Process, narrow
from vggcalc.measurement.schedule import EVERY, MOST_PROCESSES, NOWHERE, Schedule, schedule
from vggcalc.measurement.worker import Worker
from vggcalc.nets.blocks import blocks
from vggcalc.nets.graph import Network
from vggcalc.nets.names import ITEMSIZE
from vggcalc.protocol import (
    CONTROL,
    ArmProfile,
    ArmReady,
    ArmsReady,
    RoofRates,
    Rounds,
    StartRounds,
    Subject,
    TimingJob,
    WorkerInfo,
)
from vggcalc.results import BlockRatio, Comparison, Configuration, Costs, Latency, Ratio, Roof, StopReason, Variant

#: A worker that sends nothing for so long is taken for hung: longer before it has said how fast it
#: is, when every module runs a few times, and by its own rounds afterwards.
INACTIVITY_TIMEOUT_S, SLOWEST_MACS_PER_S, SLOW_ROUNDS = 60.0, 1e8, 20

#: What torch itself takes before it holds any tensor.
TORCH_BYTES = 600_000_000

#: Longer than that no one waits.
LONGEST_S = 1e6

#: Of the budget, what finding the reason takes.
EXPLAIN_SHARE, EXPLAIN_S = 0.4, 3.0

#: Later processes have been slower to start than the first, by up to a fifth.
SLACK = 1.2

#: After so many failed workers no further one is started.
MOST_FAILURES = 2

#: Why measuring ended: where processes ended for several reasons, the first of these is told.
STOP_REASONS: tuple[StopReason, ...] = ("interrupted", "failed", "budget", "rounds", "precise")


def cost(costs: Costs, key: str) -> int:
    """A cost that is a whole number."""
    value = costs[key]
    assert isinstance(value, int), key
    return value


def inactivity_timeout_s(variants: Iterable[Variant]) -> float:
    """How long a worker on these may send nothing before it is taken for hung."""
    macs = sum(cost(variant.costs, "macs") for variant in variants)
    return min(INACTIVITY_TIMEOUT_S + macs / SLOWEST_MACS_PER_S, LONGEST_S)


class Trial:
    """What is asked of the workers for one comparison in one configuration, and what they sent."""

    def __init__(
        self,
        comparison: Comparison,
        configuration: Configuration,
        plan: Plan,
        compared: int,
        load: float | None = None,
    ) -> None:
        """`compared` is how many such trials the command makes, for Bonferroni; `load` is from before them."""
        self.failures: list[str] = []
        self.warnings: list[str] = []
        self._comparison = comparison
        self._configuration = configuration
        self._plan = plan
        self._compared = compared
        self._what = f"latency of {comparison.name} on {configuration.label}"
        self._whole = {
            variant.name: Subject(variant.name, variant.network, variant.origin) for variant in comparison.variants
        }
        self._blocks = _blocks(comparison)
        self._planned: Schedule | None = None
        self._processes: list[Process] = []
        self._stopped: set[StopReason] = set()
        self._compile_s = 0.0
        self._peaks: RoofRates | None = None
        self._explained: dict[str, ArmProfile] = {}
        self._load = load

    def run(self, note: Callable[[WorkerInfo], None], progress: Callable[[str], None]) -> None:
        """Start the workers one after the other, within the budget. Ctrl-C passes through."""
        need = self._need_bytes()
        free = memory.free_bytes() if self._configuration.device == "cpu" else None  # others look themselves
        if free is not None and free < need:
            self.failures.append(
                f"{self._what}: it needs {need:,} bytes of memory, and {free:,} are free: "
                "try a smaller --size or --batch"
            )
            return
        self.warnings += contention(self._configuration.threads, self._load)
        budget_s = self._plan.budget_s - min(EXPLAIN_S, EXPLAIN_SHARE * self._plan.budget_s)
        began = monotonic()
        number = 0
        try:
            while self._planned is None or number < self._planned.processes:
                spent_s = monotonic() - began - self._compile_s
                left_s = (self._plan.budget_s if number else budget_s) - spent_s
                if number and left_s <= 0:
                    self._stopped.add("budget")
                    break
                of = f" of {self._planned.processes}" if self._planned else ""
                progress(f"{self._what}: process {number + 1}{of}")
                still = self._planned.processes - number if self._planned else MOST_PROCESSES
                try:
                    self._process(number, left_s / still, left_s, note, progress)
                except WorkerError as error:
                    self.failures.append(f"{self._what}, process {number + 1}{of}: {error}")
                    self._stopped.add("failed")
                    if self._planned is None or len(self.failures) >= MOST_FAILURES:
                        break
                number += 1
        except KeyboardInterrupt:
            self._stopped.add("interrupted")
            raise

    def _process(
        self,
        number: int,
        slice_s: float,
        left_s: float,
        note: Callable[[WorkerInfo], None],
        progress: Callable[[str], None],
    ) -> None:
        """One worker. What the first one's start and rounds cost makes the schedule."""
        with_blocks = self._planned is None or self._planned.blocks == EVERY
        subjects = self._whole | {
            name: Subject(name, network) for name, network in (self._blocks if with_blocks else {}).items()
        }
        job = TimingJob(
            tuple(subjects.values()),
            self._configuration,
            1000 * self._plan.seed + number,
            slice_s,
            self._need_bytes(),
            self._plan.pin_allocator,
        )
        began = monotonic()
        look = FIRST_LOOK
        bare_s = 0.0
        process: Process | None = None
        with Worker(job, inactivity_timeout_s(self._comparison.variants)) as worker:
            intervals.prepare()  # while the worker imports torch
            for message in worker.messages():
                match message:
                    case WorkerInfo():
                        note(message)
                    case ArmReady():
                        if message.arm in self._whole:
                            bare_s = monotonic() - began
                        progress(f"{self._what}: process {number + 1}, {message.arm} is warm")
                    case ArmsReady():
                        worker.inactivity_timeout_s = INACTIVITY_TIMEOUT_S + SLOW_ROUNDS * sum(message.round_s)
                        compile_s = sum(s for s in message.compile_s if s is not None)
                        self._compile_s += compile_s
                        began += compile_s
                        start_s = monotonic() - began
                        if self._planned is None:
                            self._planned = self._schedule(message, start_s, min(bare_s or start_s, start_s), left_s)
                            slice_s = self._planned.first_s
                            if self._planned.blocks == NOWHERE:
                                subjects = self._whole
                        process = Process(message, (*subjects, CONTROL))
                        self._processes.append(process)
                        explain = () if self._explained else tuple(self._whole)
                        worker.send(StartRounds(process.arms, self._plan.rounds, explain))
                    case Rounds() if process is not None and self._planned is not None:
                        process.add(message)
                        rounds, spent_s = len(process.wall), monotonic() - began
                        progress(
                            f"{self._what}: process {number + 1} of {self._planned.processes}, "
                            f"{rounds} rounds, {spent_s:.0f} of {slice_s:.0f} s"
                        )
                        enough = rounds >= self._least() or spent_s >= left_s
                        reason: StopReason | None = "budget" if enough and spent_s >= slice_s else None
                        if self._plan.rounds is not None:
                            reason = "rounds" if rounds >= self._plan.rounds else reason
                        elif rounds >= look:
                            look = next_look(rounds)
                            if narrow(process, self._pairs(), self._plan.precision):
                                reason = "precise"
                        if reason is not None:
                            self._stopped.add(reason)
                            worker.stop()
                    case RoofRates():
                        self._peaks = message
                    case ArmProfile():
                        self._explained[message.subject] = message
        if process is None:
            raise WorkerError("the worker ended without measuring")

    def _schedule(self, start: ArmsReady, start_s: float, bare_s: float, budget_s: float) -> Schedule:
        seconds = dict(zip(start.arms, start.round_s, strict=True))
        return schedule(
            budget_s / SLACK,
            start_s,
            bare_s,
            sum(seconds[name] for name in (*self._whole, CONTROL)),
            sum(seconds[name] for name in self._blocks),
            self._least(),
            self._plan.rounds or least_rounds(self._compared * self._block_pairs()),
            self._plan.processes,
        )

    def _need_bytes(self) -> int:
        """For all arms at once, the baseline twice, and a convolution's own buffers, as large again."""
        rows = [self._in_dtype(variant.costs) for variant in self._comparison.variants]
        weights = sum(cost(row, "weight_bytes") for row in (*rows, rows[0]))
        maps = 2 * max(cost(row, "peak_activation_bytes") for row in rows)
        if self._configuration.mode == "training":
            weights *= 2
            maps += 2 * max(cost(row, "saved_bytes") for row in rows)
        blocks = weights if self._blocks else 0
        return weights + blocks + maps + TORCH_BYTES

    def _least(self) -> int:
        """The rounds that a process needs for the claim about the whole networks."""
        return self._plan.rounds or least_rounds(self._compared)

    def _block_pairs(self) -> int:
        """How many blocks are held against the baseline's, for Bonferroni; 1 where there are none."""
        return max(1, len(self._blocks) - len(self._blocks) // len(self._whole))

    def _pairs(self) -> list[Pair]:
        """The control, every other variant, and every block of another variant, against the baseline."""
        baseline, *others = self._whole
        found = [Pair(baseline, CONTROL), *(Pair(baseline, other) for other in others)]
        for name in self._blocks:
            variant, _, block = name.partition("/")
            if variant != baseline:
                found.append(Pair(f"{baseline}/{block}", name))
        return found

    def result(self) -> Comparison:
        """The comparison with what was measured added; as it was where nothing was."""
        complete = [process for process in self._processes if process.wall]
        usable = [process for process in complete if len(process.wall) >= self._least()]
        usable = usable or sorted(complete, key=lambda process: len(process.wall))[-1:]
        if not usable:
            return self._comparison
        stopped: StopReason = next((reason for reason in STOP_REASONS if reason in self._stopped), "interrupted")
        collection = Measurements(self._configuration, tuple(usable), self._plan.seed, stopped, self._load)
        costs = self._costs()
        held = {name: self._compared * (1 if name in self._whole else self._block_pairs()) for name in costs}
        latencies = {name: latency for name in costs if (latency := collection.latency(name, held[name])) is not None}
        roof = self._roof(costs, latencies)
        if roof is not None:
            latencies = {name: placed(latency, costs[name], roof) for name, latency in latencies.items()}
        for name, explained in self._explained.items():
            if name in latencies:
                latencies[name] = msgspec.structs.replace(
                    latencies[name],
                    kernels=explained.kernels,
                    peak_allocated_bytes=explained.peak_allocated_bytes,
                )
        return msgspec.structs.replace(
            self._comparison,
            variants=tuple(_with_latencies(variant, latencies) for variant in self._comparison.variants),
            ratios=tuple(self._ratio(ratio, collection) for ratio in self._comparison.ratios),
            roofs=self._comparison.roofs + ((roof,) if roof is not None else ()),
        )

    def _costs(self) -> dict[str, Costs]:
        """The costs of every arm but the control, their bytes in this configuration's dtype."""
        costs = {variant.name: variant.costs for variant in self._comparison.variants}
        for variant in self._comparison.variants:
            costs |= {
                f"{variant.name}/{block.name}": block.costs
                for block in variant.blocks
                if f"{variant.name}/{block.name}" in self._blocks
            }
        return {name: self._in_dtype(row) for name, row in costs.items()}

    def _in_dtype(self, costs: Costs) -> Costs:
        scale = ITEMSIZE[self._configuration.dtype] / ITEMSIZE[self._comparison.dtype]
        scaled = ("weight_bytes", "traffic_bytes", "peak_activation_bytes", "saved_bytes")
        return costs | {key: int(cost(costs, key) * scale) for key in scaled}

    def _roof(self, costs: dict[str, Costs], latencies: dict[str, Latency]) -> Roof | None:
        if self._peaks is None:
            return None
        roof = Roof(
            **msgspec.structs.asdict(self._configuration),
            flops_per_s=self._peaks.flops_per_s,
            bytes_per_s=self._peaks.bytes_per_s,
            peak_by=self._peaks.peak_by,
        )
        for name, latency in latencies.items():
            roof = raised(roof, name, latency, costs[name])
        return roof

    def _ratio(self, ratio: Ratio, collection: Measurements) -> Ratio:
        """The variant's ratio in this configuration added, and each of its blocks'."""
        baseline = self._comparison.baseline
        control = Pair(baseline, CONTROL)
        whole = collection.ratio(Pair(baseline, ratio.variant), control, self._compared)
        names = [name.partition("/")[2] for name in self._blocks if name.startswith(f"{ratio.variant}/")]
        found = {block.name: block for block in ratio.blocks}
        for name in names:
            pair = Pair(f"{baseline}/{name}", f"{ratio.variant}/{name}")
            measured = collection.ratio(pair, control, self._compared * self._block_pairs())
            if measured is not None:
                before = found.get(name, BlockRatio(name, ()))
                found[name] = BlockRatio(name, (*before.latency, measured))
        latency = ratio.latency + ((whole,) if whole is not None else ())
        return msgspec.structs.replace(ratio, latency=latency, blocks=tuple(found.values()))


def _blocks(comparison: Comparison) -> dict[str, Network]:
    """Every block of every variant as `variant/block`, where the variants differ in it.

    None for a single variant, none of an imported module, whose blocks no one can cut out, and
    none where there is but one block, which is the whole.
    """
    if any(variant.origin is not None for variant in comparison.variants):
        return {}
    found = {variant.name: blocks(variant.network) for variant in comparison.variants}
    baseline, *others = found.values()
    if not others or len(baseline) < 2:
        return {}
    names = [name for name in baseline if all(name in other for other in others)]
    return {
        f"{variant}/{name}": networks[name]
        for name in names
        if any(other[name].nodes != baseline[name].nodes for other in others)
        for variant, networks in found.items()
    }


def _with_latencies(variant: Variant, latencies: dict[str, Latency]) -> Variant:
    def added(before: tuple[Latency, ...], name: str) -> tuple[Latency, ...]:
        return before + ((latencies[name],) if name in latencies else ())

    return msgspec.structs.replace(
        variant,
        latency=added(variant.latency, variant.name),
        blocks=tuple(
            msgspec.structs.replace(block, latency=added(block.latency, f"{variant.name}/{block.name}"))
            for block in variant.blocks
        ),
    )
