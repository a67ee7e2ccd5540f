"""Many comparisons timed in the same worker processes, as the points of a sweep are, within one budget for all.

A process is where most of the variance arises, and its start most of what a small module takes: so each process times
all of them, a few neighbours in alternation at a time, and there are several. Every other process goes through them
backwards, so that what drifts while it runs does not follow the axis of the sweep.
"""

from collections.abc import Callable, Sequence

import msgspec

from vggcalc.errors import WorkerError
from vggcalc.measurement import intervals
from vggcalc.measurement.assemble import Arms, TrialRecord, TrialResult, assemble
from vggcalc.measurement.host import Host
from vggcalc.measurement.intervals import least_rounds
from vggcalc.measurement.limits import Budget, lacking_memory, needed_bytes, rounds_timeout_s, warm_up_timeout_s
from vggcalc.measurement.plan import Plan, contention
from vggcalc.measurement.rounds import ProcessRounds
from vggcalc.measurement.schedule import LONGEST_BUDGET_S, MOST_PROCESSES, TrialCosts, rounds_worth_taking, schedule
from vggcalc.measurement.trial import SLACK, TrialProgress
from vggcalc.protocol import Arm, ArmsReady, Rounds, StartRounds, Subject, TimingJob, TimingSeries, WorkerInfo
from vggcalc.results import Comparison, Configuration, StopReason, Variant

#: So many comparisons are timed in alternation.
NEIGHBOURS = 4

#: After so many workers that failed one after the other no further one is started.
MOST_FAILURES_IN_A_ROW = 3

Group = tuple[int, ...]


class SharedTrial:
    """Runs the worker processes of many comparisons in one configuration, and collects what they send."""

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        configuration: Configuration,
        plan: Plan,
        load: float | None,
        host: Host,
        budget_s: float | None = None,
    ) -> None:
        """`load` is from before them; `budget_s` None is 5 minutes."""
        self.failures: list[str] = []
        self.warnings: list[str] = []
        #: How many of the comparisons, from the first on, were timed or could not be.
        self.reached = 0
        self._comparisons = comparisons
        self._configuration = configuration
        self._plan = plan
        self._load = load
        self._host = host
        self._arms = [Arms.of(comparison, 1, with_blocks=False) for comparison in comparisons]
        self._least = plan.rounds or least_rounds(1)
        self._budget = Budget(LONGEST_BUDGET_S if budget_s is None else budget_s, host.clock)
        self._processes: list[list[ProcessRounds]] = [[] for _ in comparisons]
        self._stopped: set[StopReason] = set()
        self._failed_in_a_row = 0
        self._groups: list[Group] = []
        self._number, self._of = 0, plan.processes or MOST_PROCESSES
        self._costs: TrialCosts | None = None
        self._began, self._since = host.clock(), 0
        self._rounds_s = 0.0

    def run(self, note: Callable[[WorkerInfo], None], progress: TrialProgress) -> None:
        """Start the processes one after the other, within the budget. Ctrl-C passes through."""
        self.warnings += contention(self._configuration.threads, self._load)
        self._groups = self._grouped()
        try:
            while self._number < self._of and not self._ended:
                if self._number and self._budget.left_s() <= 0:
                    self._stopped.add("budget")
                    break
                self._process(note, progress)
                self._number += 1
            else:  # all processes have done what was planned for them, by the rounds asked for or by the budget
                self._stopped.add("budget" if self._plan.rounds is None else "rounds")
        except KeyboardInterrupt:
            self._stopped.add("interrupted")
            raise

    def results(self) -> list[TrialResult]:
        """What was measured of each comparison so far, also after a failure or Ctrl-C."""
        records = (
            TrialRecord(arms, self._configuration, tuple(own), frozenset(self._stopped), self._plan.seed, self._load)
            for arms, own in zip(self._arms, self._processes, strict=True)
        )
        both = zip(records, self._comparisons, strict=True)
        return [assemble(record, comparison, self._least) for record, comparison in both]

    @property
    def _ended(self) -> bool:
        """Whether no further worker is started."""
        return self._failed_in_a_row >= MOST_FAILURES_IN_A_ROW or "budget" in self._stopped

    def _grouped(self) -> list[Group]:
        """Neighbours that fit into memory together; one that does not fit alone is a failure."""
        free = self._host.free_bytes() if self._configuration.device == "cpu" else None  # others check themselves
        groups: list[Group] = []
        held = 0
        for index, comparison in enumerate(self._comparisons):
            need = needed_bytes(comparison, self._configuration, blocks=False)
            if (lacking := lacking_memory(need, free)) is not None:
                self.failures.append(f"latency of {comparison.name}: it {lacking}")
                continue
            held += need
            if not groups or len(groups[-1]) == NEIGHBOURS or lacking_memory(held, free) is not None:
                groups.append(())
                held = need
            groups[-1] += (index,)
        return groups

    def _process(self, note: Callable[[WorkerInfo], None], progress: TrialProgress) -> None:
        """One process through every group; where a worker fails another goes on behind what it failed at."""
        began = self._host.clock()
        self._rounds_s = 0.0
        waiting = list(reversed(self._groups)) if self._number % 2 else list(self._groups)
        while waiting and not self._ended:
            try:
                self._series(waiting, note, progress)
                if waiting and not self._ended:
                    raise WorkerError("the worker ended without measuring")
            except WorkerError as error:
                if not waiting:  # it failed behind the last group, of which all was heard
                    break
                self._failed_in_a_row += 1
                waiting[:1] = self._without(waiting[0], error)
        if self._number == 0 and not self._ended:
            self.reached = len(self._comparisons)
            spent_s = self._host.clock() - began
            bare_s = max(0.0, spent_s - self._rounds_s)
            most = self._plan.processes
            self._costs = TrialCosts(bare_s, bare_s, self._rounds_s / self._least, 0.0, self._least, self._least, most)
            self._of = schedule((self._budget.left_s() + spent_s) / SLACK, self._costs).processes

    def _without(self, group: Group, error: WorkerError) -> list[Group]:
        """What becomes of a group at which a worker failed: each by itself, or of a single one nothing."""
        at = self._groups.index(group)
        if len(group) > 1:
            self._failed_in_a_row -= 1
            apart: list[Group] = [(index,) for index in group]
            self._groups[at : at + 1] = apart
            return apart
        del self._groups[at]
        (index,) = group
        self.reached = max(self.reached, index + 1)
        self.failures.append(
            f"latency of {self._comparisons[index].name} on {self._configuration.label}, "
            f"process {self._number + 1}: {error}"
        )
        self._stopped.add("failed")
        return []

    def _series(self, waiting: list[Group], note: Callable[[WorkerInfo], None], progress: TrialProgress) -> None:
        """One worker through the groups, which leave `waiting` when they are done."""
        clock = self._host.clock
        rounds = self._rounds()
        warming_s = max(warm_up_timeout_s(self._variants(group)) for group in waiting)
        jobs = tuple(self._job(group) for group in waiting)
        group: GroupRounds | None = None
        began = clock()
        with self._host.start_worker(TimingSeries(jobs), warming_s) as worker:
            intervals.import_scipy()  # while the worker imports torch
            for message in worker.messages():
                match message:
                    case WorkerInfo():
                        note(message)
                    case ArmsReady():
                        worker.inactivity_timeout_s = max(warming_s, rounds_timeout_s(sum(message.round_s)))
                        self._budget.add(sum(s for s in message.compile_s if s is not None))
                        group = GroupRounds(message)
                        for index, own in group.processes.items():
                            self._processes[index].append(own)
                        began = clock()
                        worker.send(StartRounds(message.arms, rounds))
                    case Rounds() if group is not None:
                        group.add(message)
                        done = group.rounds >= rounds
                        if done:
                            self._rounds_s += clock() - began
                            self._done(waiting.pop(0))
                            group = None
                        progress(self._where(waiting), self._remaining_s(waiting))
                        if self._budget.left_s() <= 0 and waiting and (done or self._number):
                            self._stopped.add("budget")
                            worker.stop()
                            break

    def _done(self, group: Group) -> None:
        """A group has all of its rounds in this process."""
        self._failed_in_a_row = 0
        self.reached = max(self.reached, group[-1] + 1)
        self._since += 1

    def _rounds(self) -> int:
        """The rounds of a process: as few as an interval takes in the first, which tells what they cost."""
        if self._plan.rounds is not None or self._costs is None:
            return self._least
        later = max(1, self._of - self._number)
        held = (self._budget.left_s() / SLACK / later - self._costs.bare_s) / max(self._costs.whole_s, 1e-9)
        return max(self._least, min(rounds_worth_taking(self._costs), int(max(held, 0))))

    def _variants(self, group: Group) -> list[Variant]:
        return [variant for index in group for variant in self._comparisons[index]]

    def _job(self, group: Group) -> TimingJob:
        arms = tuple(
            (Arm(variant.name, comparison=index), Subject(variant.name, variant.network, variant.origin))
            for index in group
            for variant in self._comparisons[index]
        )
        return TimingJob(
            arms,
            self._configuration,
            1000 * self._plan.seed + self._number,
            max(self._budget.left_s(), 0) / max(1, self._of - self._number) / len(self._groups),
            sum(needed_bytes(self._comparisons[index], self._configuration, blocks=False) for index in group),
            self._plan.pin_allocator,
        )

    def _where(self, waiting: list[Group]) -> str:
        """Which process, and how many of the comparisons it has timed."""
        of = f" of {self._of}" if self._costs is not None or self._plan.processes else ""
        there = sum(map(len, self._groups)) - sum(map(len, waiting))
        return f"process {self._number + 1}{of}, {there} timed"

    def _remaining_s(self, waiting: list[Group]) -> float | None:
        """Seconds that it will still take, at most what is left of the budget; None before a group is done."""
        left_s = max(0.0, self._budget.left_s())
        if self._costs is not None:
            each_s = self._costs.later(self._rounds())
        elif self._since:
            each_s = (self._host.clock() - self._began) / self._since * len(self._groups)
        else:
            return None
        processes = self._of - self._number - 1 + len(waiting) / max(1, len(self._groups))
        return min(left_s, processes * each_s)


class GroupRounds:
    """The rounds of one group in one worker process, handed on to each comparison's own."""

    def __init__(self, start: ArmsReady) -> None:
        self.rounds = 0
        self._width = len(start.arms)
        self._columns: dict[int, list[int]] = {}
        for column, arm in enumerate(start.arms):
            self._columns.setdefault(arm.comparison, []).append(column)
        self.processes = {index: _process_of(start, columns) for index, columns in self._columns.items()}

    def add(self, message: Rounds) -> None:
        """Append the rounds. Raises `WorkerError` for figures that no round can have."""
        figures = message.wall_s, message.cpu_s, message.faults
        if any(len(row) != self._width for rows in figures for row in rows):
            raise WorkerError("the worker sent rounds that do not fit its arms")
        self.rounds += len(message.wall_s)
        for index, process in self.processes.items():
            columns = self._columns[index]
            process.add(Rounds(*(tuple(tuple(row[i] for i in columns) for row in rows) for rows in figures)))


def _process_of(start: ArmsReady, columns: Sequence[int]) -> ProcessRounds:
    """One comparison's part of a group, as if it had been timed alone."""
    arms = tuple(msgspec.structs.replace(start.arms[i], comparison=0) for i in columns)
    own = msgspec.structs.replace(
        start,
        arms=arms,
        calls=tuple(start.calls[i] for i in columns),
        round_s=tuple(start.round_s[i] for i in columns),
        compile_s=tuple(start.compile_s[i] for i in columns),
    )
    return ProcessRounds(own, arms)
