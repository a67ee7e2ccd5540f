"""The parent's side of `runtime`: what to measure, the crosscheck, and every comparison's trials."""

import os
from collections.abc import Callable, Sequence
from itertools import product

import msgspec

from vggcalc.errors import WorkerError
from vggcalc.measurement import limits as memory
from vggcalc.measurement.crosscheck import crosscheck, targets, too_large_to_run, why_unprobed
from vggcalc.measurement.interrupts import Deferred
from vggcalc.measurement.plan import Plan, unusual
from vggcalc.measurement.trial import Trial, inactivity_timeout_s
from vggcalc.measurement.verify import verifications
from vggcalc.measurement.worker import Worker
from vggcalc.nets.graph import Network, chain
from vggcalc.nets.layers import (
    GELU,
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    SiLU,
)
from vggcalc.protocol import CheckJob, ProbeJob, Subject, TorchCounts, Unsupported, WorkerInfo
from vggcalc.results import (
    Comparison,
    Configuration,
    Environment,
)

Progress = Callable[[str], None]


class MeasurementOutcome(msgspec.Struct, frozen=True):
    """The comparisons with what was measured, and one line for each thing that could not be."""

    comparisons: tuple[Comparison, ...]
    environment: Environment | None = None
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def disagrees(self) -> bool:
        """Whether torch, fvcore or a gradient refuted a closed form, or torch one kernel for a stack."""
        return any(
            found is not None and not found.agrees
            for comparison in self.comparisons
            for variant in comparison.variants
            for found in (variant.crosscheck, variant.verification)
        )


def measure_all(
    comparisons: Sequence[Comparison],
    plan: Plan,
    progress: Progress,
    say: Progress = lambda failure: None,
) -> MeasurementOutcome:
    """Crosscheck and time the comparisons. What fails costs only itself, and is told in `failures`.

    `say` is called with each failure as soon as it is known. Ctrl-C ends it with what was measured
    so far.
    """
    session = _Session(comparisons, plan, progress, say)
    interrupted = False
    try:
        if plan.check:
            session.check()
        if plan.verify:
            session.verify()
        if plan.latency:
            session.time()
    except KeyboardInterrupt:
        interrupted = True
    return MeasurementOutcome(
        tuple(session.comparisons),
        session.environment,
        tuple(session.failures),
        tuple(dict.fromkeys(session.warnings)),
        interrupted,
    )


class _Session:
    """One command's measuring: what is known so far survives whatever happens next."""

    def __init__(self, comparisons: Sequence[Comparison], plan: Plan, progress: Progress, say: Progress) -> None:
        self.comparisons = list(comparisons)
        self.plan = plan
        self.progress = progress
        self.say = say
        self.environment: Environment | None = None
        self.available: tuple[str, ...] = ()
        self.load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        self.failures: list[str] = []
        self.warnings: list[str] = []

    def _fail(self, *failures: str) -> None:
        self.failures += failures
        for failure in failures:
            self.say(failure)

    def note(self, facts: WorkerInfo) -> None:
        """Keep the first worker's environment, with every device that was used."""
        self.available = facts.available
        before = self.environment or facts.environment
        used = {device.name: device for device in (*before.devices, *facts.environment.devices)}
        self.environment = msgspec.structs.replace(before, devices=tuple(used.values()))

    def check(self) -> None:
        """Count every variant again, in one worker."""
        self.progress("counting again with torch and fvcore")
        named = {
            f"{index}/{variant.name}": variant
            for index, comparison in enumerate(self.comparisons)
            for variant in comparison.variants
        }
        free = memory.free_bytes()
        infeasible = {name: too_large_to_run(variant, free) for name, variant in named.items()}
        unprobed = {name: None if infeasible[name] else why_unprobed(variant, free) for name, variant in named.items()}
        job = CheckJob(
            tuple(
                Subject(
                    name,
                    variant.network,
                    variant.origin,
                    () if infeasible[name] or unprobed[name] else tuple(targets(variant)),
                )
                for name, variant in named.items()
            ),
            tuple(name for name, reason in infeasible.items() if reason is None),
            self.comparisons[0].dtype,
        )
        counts: dict[str, TorchCounts] = {}
        try:
            with Worker(job, inactivity_timeout_s(named.values())) as worker:
                for message in worker.messages():
                    match message:
                        case WorkerInfo():
                            self.note(message)
                        case TorchCounts():
                            counts[message.subject] = message
        except WorkerError as error:
            self._fail(f"crosscheck: {error}")
        for index, comparison in enumerate(self.comparisons):
            variants = tuple(
                msgspec.structs.replace(
                    variant, crosscheck=crosscheck(variant, counts[name], infeasible[name], unprobed[name])
                )
                if (name := f"{index}/{variant.name}") in counts
                else variant
                for variant in comparison.variants
            )
            self.comparisons[index] = msgspec.structs.replace(comparison, variants=variants)

    def verify(self) -> None:
        """Hold every variant but the baselines to the one convolution that it is without activations."""
        self.progress("composing every stack into one kernel")
        try:
            for index, name, found in verifications(self.comparisons, self.plan.seed, self.note):
                comparison = self.comparisons[index]
                if found.verification is None:
                    self._fail(f"verification of {name} for {comparison.name}: {found.reason}")
                variants = tuple(
                    msgspec.structs.replace(variant, verification=found.verification)
                    if variant.name == name
                    else variant
                    for variant in comparison.variants
                )
                self.comparisons[index] = msgspec.structs.replace(comparison, variants=variants)
        except WorkerError as error:
            self._fail(f"verification: {error}")

    def time(self) -> None:
        """Time every comparison in every configuration that this machine supports."""
        supported = self._supported()
        compared = len(self.comparisons) * len(supported)
        for index, configuration in product(range(len(self.comparisons)), supported):
            trial = Trial(self.comparisons[index], configuration, self.plan, compared, self.load)
            try:
                trial.run(self.note, self.progress)
            finally:
                with Deferred() as interrupt:
                    self._fail(*trial.failures)
                    self.warnings += trial.warnings
                    self.comparisons[index] = trial.result()
                if interrupt.came:
                    raise KeyboardInterrupt

    def _supported(self) -> list[Configuration]:
        """The grid without what fails on a small convolution, which is said before anything is timed."""
        try:
            if "auto" in self.plan.devices and not self.available:
                self._probe([])
            grid = self.plan.configurations(self.available)
            refused = self._probe(grid) if any(map(unusual, grid)) else {}
        except WorkerError as error:
            self._fail(f"latency: {error}")
            return []
        self._fail(*(f"latency on {grid[index].label}: {reason}" for index, reason in refused.items()))
        return [configuration for index, configuration in enumerate(grid) if index not in refused]

    def _tiny(self) -> Network:
        """A small network with every kind of layer that is to be timed, on maps first and then on vectors."""
        kinds = {layer.type for c in self.comparisons for v in c.variants for layer in v.layers}
        small: dict[str, Layer] = {
            "BatchNorm2d": BatchNorm2d(4),
            "LocalResponseNorm": LocalResponseNorm(),
            "ReLU": ReLU(),
            "GELU": GELU(),
            "SiLU": SiLU(),
            "MaxPool2d": MaxPool2d(),
            "AdaptiveAvgPool2d": AdaptiveAvgPool2d((2, 2)),
            "Flatten": Flatten(),
            "Dropout": Dropout(),
        }
        layers: list[Layer] = [Conv2d(4, 4, (3, 3), padding=(1, 1)), *(small[k] for k in small if k in kinds)]
        if "Flatten" in kinds and "AdaptiveAvgPool2d" in kinds:
            layers.append(Linear(16, 4))
        return chain("probe", (2, 4, 8, 8), [("block1", layer) for layer in layers])

    def _probe(self, configurations: Sequence[Configuration]) -> dict[int, str]:
        """Which of the configurations cannot be run here, and why."""
        self.progress("looking at what this machine supports")
        refused = {}
        with Worker(ProbeJob(tuple(configurations), self._tiny()), inactivity_timeout_s([])) as worker:
            for message in worker.messages():
                match message:
                    case WorkerInfo():
                        self.note(message)
                    case Unsupported():
                        refused[message.index] = message.reason
        return refused
