"""The parent's side of `runtime`: plans, starts workers, turns what they send into results."""

from collections.abc import Callable, Sequence
from statistics import median
from time import monotonic

import msgspec

from vggcalc import intervals, memory
from vggcalc.jobs import CheckJob, Counts, Facts, Rounds, Start, Subject, TimingJob
from vggcalc.results import (
    Comparison,
    Costs,
    Counted,
    Crosscheck,
    Environment,
    Latency,
    LatencyRatio,
    Variant,
)
from vggcalc.workers import Worker, WorkerFailed

#: A worker that sends nothing for so long, and no rate this low, is taken for hung.
SILENCE_S, SLOWEST_MACS_PER_S = 90.0, 1e8

#: What torch itself takes before it holds any tensor.
TORCH_BYTES = 600_000_000

#: Beyond this fvcore, which runs the module, is left out of the crosscheck.
LARGEST_FVCORE_MACS = 100_000_000_000

MODE = "inference"


class Plan(msgspec.Struct, frozen=True):
    """What to measure and for how long. `precision` is the full width at which an interval will do."""

    latency: bool = True
    check: bool = True
    devices: tuple[str, ...] = ("auto",)
    threads: int = 1
    budget_s: float = 30.0
    precision: float = 0.03
    seed: int = 0
    pin_allocator: bool = True


class Outcome(msgspec.Struct, frozen=True):
    """The comparisons with what was measured, and one line for each thing that could not be."""

    comparisons: tuple[Comparison, ...]
    environment: Environment | None = None
    failures: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def disagrees(self) -> bool:
        """Whether torch or fvcore counted something else than the closed form."""
        return any(
            variant.crosscheck is not None and not variant.crosscheck.agrees
            for comparison in self.comparisons
            for variant in comparison.variants
        )


Progress = Callable[[str], None]


class _Session:
    """One command's measuring: what is known so far survives whatever happens next."""

    def __init__(self, comparisons: Sequence[Comparison], plan: Plan, progress: Progress) -> None:
        self.comparisons = list(comparisons)
        self.plan = plan
        self.progress = progress
        self.environment: Environment | None = None
        self.available: tuple[str, ...] = ()
        self.failures: list[str] = []

    def note(self, facts: Facts) -> None:
        """Keep the first worker's environment, with every device that was used."""
        self.available = facts.available
        before = self.environment or facts.environment
        used = {device.name: device for device in (*before.devices, *facts.environment.devices)}
        self.environment = msgspec.structs.replace(before, devices=tuple(used.values()))

    def check(self) -> None:
        """Count every variant again, in one worker."""
        free = memory.free_bytes()
        subjects, left_out = [], {}
        for index, comparison in enumerate(self.comparisons):
            for variant in comparison.variants:
                name = f"{index}/{variant.name}"
                reason = _too_large_for_fvcore(variant, free)
                if reason:
                    left_out[name] = reason
                subjects.append(Subject(name, variant.network, fvcore=not reason))
        slowest = max(_cost(v.costs, "macs") for c in self.comparisons for v in c.variants)
        counts: dict[str, Counts] = {}
        self.progress("counting again with torch and fvcore")
        try:
            with Worker(CheckJob(tuple(subjects)), _silence(slowest)) as worker:
                for message in worker.messages():
                    match message:
                        case Facts():
                            self.note(message)
                        case Counts():
                            counts[message.subject] = message
        except WorkerFailed as error:
            self.failures.append(f"crosscheck: {error}")
        for index, comparison in enumerate(self.comparisons):
            variants = []
            for variant in comparison.variants:
                name = f"{index}/{variant.name}"
                if name in counts:
                    crosscheck = _crosscheck(variant, counts[name], left_out.get(name))
                    variant = msgspec.structs.replace(variant, crosscheck=crosscheck)
                variants.append(variant)
            self.comparisons[index] = msgspec.structs.replace(comparison, variants=tuple(variants))

    def time(self) -> None:
        """Time every comparison on every device."""
        for index in range(len(self.comparisons)):
            waiting = [name for name in self.plan.devices if name != "auto"]
            if "auto" in self.plan.devices:
                waiting += [name for name in ("cpu", *self.available) if name not in waiting]
            for device in dict.fromkeys(waiting):
                self._time_on(index, device)
            if "auto" in self.plan.devices:  # the first worker may just have told us of an accelerator
                for device in self.available:
                    if device not in waiting:
                        self._time_on(index, device)

    def _time_on(self, index: int, device: str) -> None:
        comparison = self.comparisons[index]
        what = f"latency of {comparison.name} on {device}"
        need = _need(comparison.variants)
        free = memory.free_bytes()
        if free is not None and free < need:
            self.failures.append(
                f"{what}: it needs {need:,} bytes of memory, and {free:,} are free: "
                f"try a smaller --size or --batch"
            )
            return
        job = TimingJob(
            tuple(Subject(variant.name, variant.network) for variant in comparison.variants),
            device,
            comparison.dtype,
            self.plan.threads,
            self.plan.seed,
            self.plan.budget_s,
            need,
            self.plan.pin_allocator,
        )
        slowest = max(_cost(variant.costs, "macs") for variant in comparison.variants)
        measured = _Measured()
        try:
            with Worker(job, _silence(slowest)) as worker:
                self.progress(f"{what}: starting")
                for message in worker.messages():
                    match message:
                        case Facts():
                            self.note(message)
                        case Start():
                            measured.start = message
                        case Rounds():
                            measured.add(message)
                            self.progress(f"{what}: {measured.describe(self.plan)}")
                            if measured.narrow(self.plan.precision):
                                worker.stop()
        except WorkerFailed as error:
            self.failures.append(f"{what}: {error}")
            measured.stopped = "the worker failed"
        except KeyboardInterrupt:
            measured.stopped = "interrupted"
            raise
        finally:
            if measured.wall:
                self.comparisons[index] = measured.into(comparison, job)


def carry_out(comparisons: Sequence[Comparison], plan: Plan, progress: Progress) -> Outcome:
    """Crosscheck and time the comparisons. What fails costs only itself, and is told in `failures`.

    Ctrl-C ends it with what was measured so far.
    """
    session = _Session(comparisons, plan, progress)
    interrupted = False
    try:
        if plan.check:
            session.check()
        if plan.latency:
            session.time()
    except KeyboardInterrupt:
        interrupted = True
    return Outcome(tuple(session.comparisons), session.environment, tuple(session.failures), interrupted)


class _Measured:
    """The rounds of one worker, as they come in."""

    def __init__(self) -> None:
        self.start: Start | None = None
        self.wall: list[tuple[float, ...]] = []
        self.cpu: list[tuple[float, ...]] = []
        self.faults: list[tuple[float, ...]] = []
        self.stopped = "the budget was spent"
        self._began = monotonic()
        self._look = intervals.FIRST_LOOK

    def add(self, message: Rounds) -> None:
        self.wall += message.wall_s
        self.cpu += message.cpu_s
        self.faults += message.faults

    def times(self, arm: int) -> tuple[float, ...]:
        return tuple(row[arm] for row in self.wall)

    def estimates(self) -> list[intervals.Estimate]:
        """Every arm but the first against the first."""
        return [intervals.estimate(self.times(0), self.times(arm)) for arm in range(1, len(self.wall[0]))]

    def narrow(self, precision: float) -> bool:
        """Whether, at a look, every interval is as narrow as was asked for: width, not significance."""
        if self.stopped == "precise enough":
            return True
        if len(self.wall) < self._look:
            return False
        self._look = intervals.next_look(len(self.wall))
        if all(estimate.width <= precision for estimate in self.estimates()):
            self.stopped = "precise enough"
            return True
        return False

    def describe(self, plan: Plan) -> str:
        spent = monotonic() - self._began
        return f"{len(self.wall)} rounds, {spent:.0f} of {plan.budget_s:.0f} s"

    def into(self, comparison: Comparison, job: TimingJob) -> Comparison:
        """The comparison with these latencies and ratios added."""
        assert self.start is not None
        names = self.start.arms
        *estimates, control = self.estimates()
        variants = []
        for variant in comparison.variants:
            arm = names.index(variant.name)
            times = self.times(arm)
            latency = Latency(
                job.device,
                job.dtype,
                job.threads,
                MODE,
                median(times),
                intervals.quartile_distance(times),
                times,
                self.start.calls[arm],
                median(row[arm] for row in self.faults),
            )
            variants.append(msgspec.structs.replace(variant, latency=(*variant.latency, latency)))
        pairs = [
            (w, c)
            for wall, cpu in zip(self.wall, self.cpu, strict=True)
            for w, c in zip(wall, cpu, strict=True)
        ]
        contended = sum(w > 1.1 * c for w, c in pairs) / len(pairs) if job.device == "cpu" else None

        def ratio(estimate: intervals.Estimate) -> LatencyRatio:
            return LatencyRatio(
                job.device,
                job.dtype,
                job.threads,
                MODE,
                estimate.ratio,
                estimate.ci95,
                intervals.verdict(estimate, control),
                1,
                len(self.wall),
                control.ratio,
                control.ci95,
                self.times(len(names) - 1),
                intervals.floor(control),
                self.start.allocator if self.start else "",
                contended,
                job.seed,
                self.stopped,
            )

        ratios = [
            msgspec.structs.replace(old, latency=(*old.latency, ratio(estimate)))
            for old, estimate in zip(comparison.ratios, estimates, strict=True)
        ]
        return msgspec.structs.replace(comparison, variants=tuple(variants), ratios=tuple(ratios))


def _cost(costs: Costs, key: str) -> int:
    value = costs[key]
    assert isinstance(value, int)
    return value


def _silence(macs: int) -> float:
    return SILENCE_S + 10 * macs / SLOWEST_MACS_PER_S


def _need(variants: Sequence[Variant]) -> int:
    """Bytes for all arms at once, the baseline twice, and a convolution's own buffers, as large again."""
    weights = [_cost(variant.costs, "weight_bytes") for variant in (*variants, variants[0])]
    maps = max(_cost(variant.costs, "peak_activation_bytes") for variant in variants)
    return sum(weights) + 2 * maps + TORCH_BYTES


def _too_large_for_fvcore(variant: Variant, free: int | None) -> str | None:
    """Why fvcore is left out, if it is. Its trace keeps every layer's output, in float32."""
    macs = _cost(variant.costs, "macs")
    if macs > LARGEST_FVCORE_MACS:
        return f"fvcore runs the module, and {macs:,} MACs are more than {LARGEST_FVCORE_MACS:,}"
    elements = _cost(variant.costs, "parameters")
    for layer in variant.layers:
        size = 1
        for n in layer.output_shape:
            size *= n
        elements += size
    need = 4 * elements + TORCH_BYTES
    if free is not None and need > free:
        return f"fvcore runs the module, which needs {need:,} bytes of memory, and {free:,} are free"
    return None


def _crosscheck(variant: Variant, counts: Counts, left_out: str | None) -> Crosscheck:
    parameters = Counted(_cost(variant.costs, "parameters"), torch=counts.parameters)
    macs = Counted(_cost(variant.costs, "macs"), torch=counts.torch_macs, fvcore=counts.fvcore_macs)
    activations = Counted(_cost(variant.costs, "activations"), fvcore=counts.fvcore_activations)
    notes = [f"left out: {left_out}"] if left_out else []
    if counts.uncounted:
        names = ", ".join(f"{name} ×{number}" for name, number in sorted(counts.uncounted.items()))
        notes.append(f"fvcore has no rule for {names}")
    agrees = parameters.agrees and macs.agrees and activations.agrees
    return Crosscheck(agrees, parameters, macs, activations, tuple(notes))
