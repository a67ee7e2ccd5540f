"""One comparison in one configuration: the loop over its worker processes, within a budget."""

from collections.abc import Callable

from vggcalc.errors import WorkerError
from vggcalc.measurement import intervals
from vggcalc.measurement.assemble import Arms, TrialRecord, TrialResult, assemble
from vggcalc.measurement.host import Host
from vggcalc.measurement.intervals import FIRST_CHECK, least_rounds, next_check
from vggcalc.measurement.limits import (
    PROFILE_S,
    Budget,
    lacking_memory,
    needed_bytes,
    rounds_timeout_s,
    warm_up_timeout_s,
)
from vggcalc.measurement.plan import Plan, contention
from vggcalc.measurement.rounds import ProcessRounds, is_narrow
from vggcalc.measurement.schedule import (
    EVERY,
    LONGEST_BUDGET_S,
    MOST_PROCESSES,
    NOWHERE,
    Schedule,
    TrialCosts,
    default_budget,
    schedule,
)
from vggcalc.protocol import (
    CONTROL,
    Arm,
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
from vggcalc.results import Comparison, Configuration, StopReason

#: Later processes have been slower to start than the first, by up to a fifth.
SLACK = 1.2

#: What warming takes its share of where no budget is given, until the first process has told what things cost.
WARM_SLICE_S = 10.0

#: What is called with what happens now, and the seconds that this comparison will still take, where that is known.
TrialProgress = Callable[[str, float | None], None]

#: After so many failed workers no further one is started.
MOST_FAILURES = 2


class Trial:
    """Runs the workers of one comparison in one configuration, and collects what they send."""

    def __init__(
        self,
        comparison: Comparison,
        configuration: Configuration,
        plan: Plan,
        compared: int,
        load: float | None,
        host: Host,
        budget_s: float | None = None,
    ) -> None:
        """`compared` is how many such trials the command makes, for Bonferroni; `load` is from before them.

        `budget_s` None is as much as the claims take here.
        """
        self.failures: list[str] = []
        self.warnings: list[str] = []
        self._comparison = comparison
        self._configuration = configuration
        self._plan = plan
        self._load = load
        self._host = host
        self._what = f"latency of {comparison.name} on {configuration.label}"
        self._arms = Arms.of(comparison, compared, not plan.quick)
        self._need = needed_bytes(comparison, configuration, bool(self._arms.blocks))
        self._least = plan.rounds or least_rounds(compared)
        self._given = budget_s is not None
        self._budget = Budget(LONGEST_BUDGET_S if budget_s is None else budget_s, host.clock)
        self._planned: Schedule | None = None
        self._processes: list[ProcessRounds] = []
        self._stopped: set[StopReason] = set()
        self._rates: RoofRates | None = None
        self._profiles: dict[Arm, ArmProfile] = {}

    def run(self, note: Callable[[WorkerInfo], None], progress: TrialProgress) -> None:
        """Start the workers one after the other, within the budget. Ctrl-C passes through."""
        free = self._host.free_bytes() if self._configuration.device == "cpu" else None  # others check themselves
        lacking = lacking_memory(self._need, free)
        if lacking is not None:
            self.failures.append(f"{self._what}: it {lacking}: try a smaller --size or --batch")
            return
        self.warnings += contention(self._configuration.threads, self._load)
        number = 0
        try:
            while self._planned is None or number < self._planned.processes:
                left_s = self._budget.left_s(profile=not number)
                if number and left_s <= 0:
                    self._stopped.add("budget")
                    break
                of = f" of {self._planned.processes}" if self._planned else ""
                progress(f"{self._what}: process {number + 1}{of}", self._remaining_s())
                if self._planned:
                    slice_s = left_s / (self._planned.processes - number)
                else:
                    slice_s = left_s / (self._plan.most_processes or MOST_PROCESSES) if self._given else WARM_SLICE_S
                try:
                    self._process(number, slice_s, left_s, note, progress)
                except WorkerError as error:
                    self.failures.append(f"{self._what}, process {number + 1}{of}: {error}")
                    self._stopped.add("failed")
                    if self._planned is None or len(self.failures) >= MOST_FAILURES:
                        break
                number += 1
        except KeyboardInterrupt:
            self._stopped.add("interrupted")
            raise

    def result(self) -> TrialResult:
        """What was measured so far, also after a failure or Ctrl-C."""
        record = TrialRecord(
            self._arms,
            self._configuration,
            tuple(self._processes),
            frozenset(self._stopped),
            self._plan.seed,
            self._load,
            self._rates,
            self._profiles,
        )
        return assemble(record, self._comparison, self._least)

    def _process(
        self,
        number: int,
        slice_s: float,
        left_s: float,
        note: Callable[[WorkerInfo], None],
        progress: TrialProgress,
    ) -> None:
        """One worker. What the first one's start and rounds cost makes the schedule."""
        clock = self._host.clock
        with_blocks = self._planned is None or self._planned.blocks == EVERY
        arms = (*self._arms.whole, *self._arms.blocks) if with_blocks else self._arms.whole
        began = clock()
        check_at = FIRST_CHECK
        bare_s = 0.0
        process: ProcessRounds | None = None
        timeout_s = warm_up_timeout_s(self._comparison.variants)
        with self._host.start_worker(self._job(number, arms, slice_s), timeout_s) as worker:
            intervals.import_scipy()  # while the worker imports torch
            for message in worker.messages():
                match message:
                    case WorkerInfo():
                        note(message)
                    case ArmReady():
                        if message.arm in self._arms.whole:
                            bare_s = clock() - began
                        progress(
                            f"{self._what}: process {number + 1}, {message.arm.label} is warm", self._remaining_s()
                        )
                    case ArmsReady():
                        worker.inactivity_timeout_s = rounds_timeout_s(sum(message.round_s))
                        compile_s = sum(s for s in message.compile_s if s is not None)
                        self._budget.add(compile_s)
                        began += compile_s
                        start_s = clock() - began
                        if self._planned is None:
                            costs = self._costs(message, start_s, min(bare_s or start_s, start_s))
                            if not self._given:
                                left_s = min(
                                    SLACK * default_budget(costs, self._plan.rounds), LONGEST_BUDGET_S - PROFILE_S
                                )
                                self._budget.limit(left_s + PROFILE_S)
                            self._planned = schedule(left_s / SLACK, costs)
                            slice_s = self._planned.first_s
                            if self._planned.blocks == NOWHERE:
                                arms = self._arms.whole
                        process = ProcessRounds(message, (*arms, CONTROL))
                        self._processes.append(process)
                        profile = () if self._profiles else self._arms.whole
                        worker.send(StartRounds(process.arms, self._plan.rounds, profile))
                    case Rounds() if process is not None and self._planned is not None:
                        process.add(message)
                        spent_s = clock() - began
                        of = f"process {number + 1} of {self._planned.processes}"
                        progress(f"{self._what}: {of}, {len(process.wall)} rounds", self._remaining_s())
                        reason = self._why_stop(process, check_at, spent_s, slice_s, left_s)
                        if len(process.wall) >= check_at:
                            check_at = next_check(len(process.wall))
                        if reason is not None:
                            self._stopped.add(reason)
                            worker.stop()
                    case RoofRates():
                        self._rates = message
                    case ArmProfile():
                        self._profiles[message.arm] = message
        if process is None:
            raise WorkerError("the worker ended without measuring")

    def _job(self, number: int, arms: tuple[Arm, ...], slice_s: float) -> TimingJob:
        def subject(arm: Arm) -> Subject:
            if arm in self._arms.blocks:
                return Subject(arm.label, self._arms.blocks[arm])
            variant = self._comparison[arm.variant]
            return Subject(arm.label, variant.network, variant.origin)

        return TimingJob(
            tuple((arm, subject(arm)) for arm in arms),
            self._configuration,
            1000 * self._plan.seed + number,
            slice_s,
            self._need,
            self._plan.pin_allocator,
            not self._comparison.of_models,
        )

    def _why_stop(
        self, process: ProcessRounds, check_at: int, spent_s: float, slice_s: float, left_s: float
    ) -> StopReason | None:
        """Why the process has done enough rounds, None where it has not; precision counts from `check_at` rounds on."""
        rounds = len(process.wall)
        if self._plan.rounds is not None and rounds >= self._plan.rounds:
            return "rounds"
        if (
            self._plan.rounds is None
            and rounds >= check_at
            and is_narrow(process, self._arms.pairs, self._plan.precision)
        ):
            return "precise"
        enough = rounds >= self._least or spent_s >= left_s
        return "budget" if enough and spent_s >= slice_s else None

    def _remaining_s(self) -> float | None:
        """Seconds that are left of the budget; None before it is known."""
        return max(0.0, self._budget.left_s()) if self._given or self._planned else None

    def _costs(self, start: ArmsReady, start_s: float, bare_s: float) -> TrialCosts:
        """What a process and a round of it take here."""
        seconds = dict(zip(start.arms, start.round_s, strict=True))
        return TrialCosts(
            start_s,
            bare_s,
            sum(seconds[arm] for arm in (*self._arms.whole, CONTROL)),
            sum(seconds[arm] for arm in self._arms.blocks),
            self._least,
            self._plan.rounds or self._arms.least_block_rounds(),
            self._plan.most_processes,
        )
