"""One command's measuring: the crosscheck, the verification, and every comparison's trials."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import msgspec

from vggcalc.errors import WorkerError
from vggcalc.measurement.assemble import TrialResult, with_measurements
from vggcalc.measurement.crosscheck import crosscheck, targets, too_large_to_run, why_unprobed
from vggcalc.measurement.effective import effective_fields
from vggcalc.measurement.host import Host
from vggcalc.measurement.interrupts import Deferred
from vggcalc.measurement.limits import warm_up_timeout_s
from vggcalc.measurement.plan import QUICK_S, Plan, unusual
from vggcalc.measurement.support import refused_configurations
from vggcalc.measurement.together import SharedTrial
from vggcalc.measurement.trial import Trial, TrialProgress
from vggcalc.measurement.verify import verifications
from vggcalc.protocol import CheckJob, Subject, TorchCounts, WorkerInfo
from vggcalc.results import (
    Comparison,
    Configuration,
    Crosscheck,
    EffectiveReceptiveField,
    Environment,
    Variant,
    Verification,
)

ProgressCallback = Callable[[str], None]


class MeasurementOutcome(msgspec.Struct, frozen=True):
    """The comparisons with what was measured, and one line for each thing that could not be."""

    comparisons: tuple[Comparison, ...]
    environment: Environment | None = None
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def disagrees(self) -> bool:
        """Whether torch, fvcore or a gradient refuted a formula, or torch a variant's one convolution."""
        return any(
            found is not None and not found.agrees
            for comparison in self.comparisons
            for variant in comparison.variants
            for found in (variant.crosscheck, variant.verification)
        )


def measure_all(
    comparisons: Sequence[Comparison],
    plan: Plan,
    progress: ProgressCallback,
    say: ProgressCallback = lambda failure: None,
    host: Host = Host(),
) -> MeasurementOutcome:
    """Crosscheck, verify, probe and time the comparisons. What fails costs only itself, and is named in `failures`.

    `say` is called with each failure as soon as it is known. Ctrl-C ends it with what was measured
    so far.
    """
    session = _Session(comparisons, plan, progress, say, host)

    def measure() -> None:
        if plan.check:
            session.check()
        if plan.verify:
            session.verify()
        if plan.effective_samples:
            session.measure_effective_fields()
        if plan.latency:
            session.time()

    return session.outcome(measure)


def measure_together(
    comparisons: Sequence[Comparison],
    plan: Plan,
    progress: TrialProgress,
    say: ProgressCallback = lambda failure: None,
    host: Host = Host(),
) -> tuple[MeasurementOutcome, int]:
    """Time many comparisons in the same processes, in the one configuration of the plan, and do nothing else of it.

    `progress` gets the seconds that it will still take too. Returns also how many of the comparisons, from the first
    on, were timed or could not be: others had no turn before the budget was spent, or Ctrl-C came.
    """
    session = _Session(comparisons, plan, lambda text: progress(text, None), say, host)
    outcome = session.outcome(lambda: session.time_together(progress))
    return outcome, session.reached


class _Session:
    """One command's measuring: what was collected so far survives whatever happens next."""

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        plan: Plan,
        progress: ProgressCallback,
        say: ProgressCallback,
        host: Host,
    ) -> None:
        self.comparisons = tuple(comparisons)
        self.plan = plan
        self.progress = progress
        self.say = say
        self.host = host
        self.environment: Environment | None = None
        self.available: tuple[str, ...] = ()
        self.load = host.load()
        self._began = host.clock()
        self._budget_s = plan.budget_s
        self.reached = 0
        self.failures: list[str] = []
        self.warnings: list[str] = []
        self._crosschecks: list[dict[str, Crosscheck]] = [{} for _ in comparisons]
        self._verifications: list[dict[str, Verification]] = [{} for _ in comparisons]
        self._effective: list[dict[str, EffectiveReceptiveField]] = [{} for _ in comparisons]
        self._trials: list[list[TrialResult]] = [[] for _ in comparisons]

    def outcome(self, measure: Callable[[], None]) -> MeasurementOutcome:
        """What there is after measuring, or after Ctrl-C."""
        interrupted = False
        try:
            measure()
        except KeyboardInterrupt:
            interrupted = True
        with Deferred() as late:
            complete = self.complete()
        return MeasurementOutcome(
            complete,
            self.environment,
            tuple(self.failures),
            tuple(dict.fromkeys(self.warnings)),
            interrupted or late.came,
        )

    def complete(self) -> tuple[Comparison, ...]:
        """The comparisons with all that was collected."""
        found = self._trials, self._crosschecks, self._verifications, self._effective
        return tuple(with_measurements(*one) for one in zip(self.comparisons, *found, strict=True))

    def _fail(self, *failures: str) -> None:
        self.failures += failures
        for failure in failures:
            self.say(failure)

    def note(self, worker: WorkerInfo) -> None:
        """Keep the first worker's environment, with every device that was used."""
        self.available = worker.available
        before = self.environment or worker.environment
        used = {device.name: device for device in (*before.devices, *worker.environment.devices)}
        self.environment = msgspec.structs.replace(before, devices=tuple(used.values()))

    def check(self) -> None:
        """Count every variant again, in one worker."""
        self._show("counting again with torch and fvcore")
        free = self.host.free_bytes()
        subjects: list[Subject] = []
        skipped: dict[tuple[int, str], tuple[Variant, str | None, str | None]] = {}
        for index, comparison in enumerate(self.comparisons):
            for variant in comparison.variants:
                too_large = too_large_to_run(variant, free)
                unprobed = None if too_large else why_unprobed(variant, free)
                probes = () if too_large or unprobed else tuple(targets(variant))
                subjects.append(
                    Subject(variant.name, variant.network, variant.origin, probes, index, run=too_large is None)
                )
                skipped[index, variant.name] = variant, too_large, unprobed
        job = CheckJob(tuple(subjects), self.comparisons[0].dtype)
        timeout_s = warm_up_timeout_s(variant for variant, _, _ in skipped.values())
        try:
            with self.host.start_worker(job, timeout_s) as worker:
                for message in worker.messages():
                    match message:
                        case WorkerInfo():
                            self.note(message)
                        case TorchCounts():
                            variant, too_large, unprobed = skipped[message.comparison, message.subject]
                            found = crosscheck(variant, message, too_large, unprobed)
                            self._crosschecks[message.comparison][message.subject] = found
                            done = sum(map(len, self._crosschecks))
                            self._show(f"counting again with torch and fvcore: {done} of {len(subjects)}")
        except WorkerError as error:
            self._fail(f"crosscheck: {error}")

    def verify(self) -> None:
        """Compare every variant but the baselines with the one convolution that it is without activations."""
        self._show("composing every stack into one kernel")
        try:
            for found in verifications(self.comparisons, self.plan.seed, self.note, self.host):
                if found.verification is not None:
                    self._verifications[found.comparison][found.subject] = found.verification
                else:
                    name = self.comparisons[found.comparison].name
                    self._fail(f"verification of {found.subject} for {name}: {found.reason}")
        except WorkerError as error:
            self._fail(f"verification: {error}")

    def measure_effective_fields(self) -> None:
        """See how much of its receptive field the gradient of each variant's centre unit shows."""
        self._show("effective receptive field")
        plan, failed = self.plan, dict[tuple[int, str], list[str]]()
        try:
            for index, name, found in effective_fields(
                self.comparisons, plan.effective_samples, plan.seed, self.note, self.host, self._show
            ):
                if isinstance(found, str):
                    failed.setdefault((index, found), []).append(name)
                else:
                    self._effective[index][name] = found
        except WorkerError as error:
            self._fail(f"effective receptive field: {error}")
        for (index, why), names in failed.items():
            self._fail(f"{self.comparisons[index].name}: no effective receptive field of {', '.join(names)}: {why}")

    def time(self) -> None:
        """Time every comparison in every configuration that this machine supports."""
        supported = self._supported()
        compared = len(self.comparisons) * len(supported)
        if self.plan.quick and self._budget_s is None:
            self._budget_s = self.host.clock() - self._began + QUICK_S * compared
        for number, (index, configuration) in enumerate(product(range(len(self.comparisons)), supported)):
            others = compared - number - 1
            left_s = self._left_s()
            budget_s = None if left_s is None else left_s / (others + 1)
            trial = Trial(self.comparisons[index], configuration, self.plan, compared, self.load, self.host, budget_s)
            try:
                trial.run(self.note, partial(self._show_trial, others, self.host.clock()))
            finally:
                with Deferred() as interrupt:
                    self._fail(*trial.failures)
                    self.warnings += trial.warnings
                    self._trials[index].append(trial.result())
                if interrupt.came:
                    raise KeyboardInterrupt

    def time_together(self, progress: TrialProgress) -> None:
        """Time all comparisons in the same processes, in the one configuration that there is."""
        supported = self._supported()
        if not supported:
            self.reached = len(self.comparisons)
            return
        trial = SharedTrial(self.comparisons, supported[0], self.plan, self.load, self.host, self._left_s())
        try:
            trial.run(self.note, progress)
        finally:
            with Deferred() as interrupt:
                self._fail(*trial.failures)
                self.warnings += trial.warnings
                self.reached = trial.reached
                for collected, result in zip(self._trials, trial.results(), strict=True):
                    collected.append(result)
            if interrupt.came:
                raise KeyboardInterrupt

    def _left_s(self) -> float | None:
        """What is left of the budget, None where there is none."""
        return None if self._budget_s is None else max(0.0, self._budget_s - (self.host.clock() - self._began))

    def _show_trial(self, others: int, began: float, text: str, left_s: float | None) -> None:
        """Show what a trial does; each of the `others` after it is taken to last as long as it."""
        whole_s = self.host.clock() - began + (left_s or 0.0)
        self._show(text, None if left_s is None else left_s + others * whole_s)

    def _show(self, text: str, left_s: float | None = None) -> None:
        """Show what happens now, and how long all of it will still take, where that is known."""
        if self._budget_s is not None:
            left_s = self._left_s()
        self.progress(text if left_s is None else f"{text}, about {left_s:.0f} s left")

    def _supported(self) -> list[Configuration]:
        """The grid without what fails on a small network, which is reported before anything is timed."""
        try:
            if "auto" in self.plan.devices and not self.available:
                if self.host.cpu_only():
                    self.available = ("cpu",)
                else:
                    self._refused([])
            grid = self.plan.configurations(self.available)
            refused = self._refused(grid) if any(map(unusual, grid)) else {}
        except WorkerError as error:
            self._fail(f"latency: {error}")
            return []
        self._fail(*(f"latency on {grid[index].label}: {reason}" for index, reason in refused.items()))
        return [configuration for index, configuration in enumerate(grid) if index not in refused]

    def _refused(self, configurations: Sequence[Configuration]) -> dict[int, str]:
        """Which of the configurations cannot be run here, and why."""
        self._show("looking at what this machine supports")
        return refused_configurations(configurations, self.comparisons, self.note, self.host)
