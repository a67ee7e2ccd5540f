"""A timed sweep: many points in the same workers, several processes of each, under a clock that the test sets."""

import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from builders import ClockedWorker
from hypothesis import given, settings
from hypothesis import strategies as st

import vggcalc
from vggcalc.analysis.sweep import Grid
from vggcalc.errors import WorkerError
from vggcalc.measurement.host import Host
from vggcalc.measurement.intervals import least_rounds
from vggcalc.measurement.limits import needed_bytes
from vggcalc.measurement.plan import Plan
from vggcalc.measurement.schedule import LEAST_PROCESSES, MOST_PROCESSES
from vggcalc.measurement.session import MeasurementOutcome, measure_together
from vggcalc.measurement.together import MOST_FAILURES_IN_A_ROW, NEIGHBOURS
from vggcalc.nets.layers import Conv2d
from vggcalc.pipeline.points import TIMED_TOGETHER
from vggcalc.pipeline.sweep import SweepRequest, run_sweep
from vggcalc.protocol import CONTROL, Arm, ArmsReady, Message, Rounds, TimingSeries, WorkerInfo
from vggcalc.report.formats import Screen
from vggcalc.results import Configuration, Environment, LatencyRatio

CPU = Configuration("cpu", "float32")
POINTS = [vggcalc.factorize(kernel, channels=2, size=9) for kernel in range(3, 25, 2)]


class FakeWorker(ClockedWorker):
    """Does a series under a clock of its own: every class of it is one machine."""

    start_s, warm_s, round_s = 3.0, 0.2, 0.01
    #: The kernels at which it dies.
    broken: ClassVar[frozenset[int]] = frozenset()
    #: The number of groups, in all processes together, behind which Ctrl-C comes.
    interrupt_after: ClassVar[int | None] = None
    groups_done: ClassVar[int] = 0
    #: Whether it dies behind the last of its groups.
    dies_when_done: ClassVar[bool] = False

    def messages(self) -> Iterator[Message]:
        kind = type(self)
        assert isinstance(self._job, TimingSeries)
        yield WorkerInfo(Environment("3", "2", "0", "p", "c", "i", 4, None), ("cpu",))
        kind.now += self.start_s
        for job in self._job.jobs:
            rng = random.Random(job.seed)
            naive = {arm.comparison: subject.network for arm, subject in job.arms if arm.variant == "naive"}
            arms = (*(Arm(CONTROL.variant, comparison=i) for i in naive), *(arm for arm, _ in job.arms))
            kind.now += self.warm_s * len(arms)
            first_layers = [network.nodes[0].layer for network in naive.values()]
            if self.broken & {layer.kernel_size[0] for layer in first_layers if isinstance(layer, Conv2d)}:
                raise WorkerError("no room")
            yield ArmsReady(arms, (1,) * len(arms), (self.round_s,) * len(arms), (None,) * len(arms), "pinned")
            assert self._go is not None
            for _ in range(self._go.rounds or 0):
                kind.now += self.round_s * len(arms)
                of_point = {arm.comparison: rng.uniform(1, 1.2) for arm in arms}
                row = tuple(
                    of_point[arm.comparison]
                    * (0.6 if arm.variant in ("factorized", "stack") else 1.0)
                    * rng.gauss(1, 0.001)
                    for arm in self._go.arms
                )
                yield Rounds((row,), (row,), (row,))
                if self._stopped:
                    return
            kind.groups_done += 1
            if kind.groups_done == self.interrupt_after:
                raise KeyboardInterrupt
        if self.dies_when_done:
            raise WorkerError("killed")


def machine(**changes: Any) -> type[FakeWorker]:
    """A machine of its own, at its beginning."""
    return type("Machine", (FakeWorker,), {"now": 0.0, "jobs": [], "groups_done": 0} | changes)


def host(of: type[FakeWorker], free: int | None = None) -> Host:
    return Host(of.clock, lambda: free, lambda: None, of)


def measured(
    of: type[FakeWorker], budget_s: float = 300.0, free: int | None = None, **plan: Any
) -> tuple[MeasurementOutcome, int, list[tuple[float, float]]]:
    """The outcome, how many points had their turn, and when it was said how long it would still take."""
    told: list[tuple[float, float]] = []

    def progress(text: str, left_s: float | None) -> None:
        if left_s is not None:
            told.append((of.now, left_s))

    chosen = Plan(check=False, devices=("cpu",), budget_s=budget_s, **plan)
    outcome, reached = measure_together(POINTS, chosen, progress, host=host(of, free))
    return outcome, reached, told


def ratios(outcome: MeasurementOutcome) -> list[LatencyRatio | None]:
    return [comparison.ratios[0].latency_in(CPU) for comparison in outcome.comparisons]


def test_a_worker_that_dies_when_all_is_measured_costs_nothing() -> None:
    plain, _, _ = measured(machine())
    outcome, reached, _ = measured(machine(dies_when_done=True))
    assert reached == len(POINTS)
    assert outcome.failures == ()
    assert ratios(outcome) == ratios(plain)


def test_every_point_is_timed_in_several_processes_and_none_has_its_own() -> None:
    of = machine()
    outcome, reached, told = measured(of)
    assert reached == len(POINTS)
    assert len(of.jobs) == MOST_PROCESSES
    for ratio in ratios(outcome):
        assert ratio is not None
        assert (ratio.basis, ratio.processes, ratio.verdict) == ("processes", MOST_PROCESSES, "faster")
        assert ratio.rounds >= least_rounds(1)
        assert 0.59 < ratio.ratio < 0.61
        assert 0.99 < ratio.control_ratio < 1.01
    assert of.now < MOST_PROCESSES * 30 < 300
    at_s, left_s = next((at_s, left_s) for at_s, left_s in told if at_s > of.now / 2)
    assert at_s + left_s == pytest.approx(of.now, rel=0.3)
    assert told[-1][1] <= 1


def test_neighbours_alternate_and_every_other_process_goes_back() -> None:
    of = machine()
    measured(of)
    for number, series in enumerate(of.jobs):
        groups = [list(dict.fromkeys(arm.comparison for arm, _ in job.arms)) for job in series.jobs]
        assert all(len(group) <= NEIGHBOURS for group in groups)
        there = [index for group in (groups if number % 2 == 0 else reversed(groups)) for index in group]
        assert there == list(range(len(POINTS)))
        assert {job.seed for job in series.jobs} == {number}


def test_what_does_not_fit_into_memory_together_is_timed_apart() -> None:
    need = max(needed_bytes(point, CPU, blocks=False) for point in POINTS)
    of = machine()
    outcome, reached, _ = measured(of, free=need)
    assert all(len({arm.comparison for arm, _ in job.arms}) == 1 for job in of.jobs[0].jobs)
    assert (reached, outcome.failures) == (len(POINTS), ())
    outcome, reached, _ = measured(of, free=1)
    assert reached == len(POINTS)
    assert len(outcome.failures) == len(POINTS)
    assert ratios(outcome) == [None] * len(POINTS)


@settings(deadline=None)
@given(st.floats(1, 400), st.floats(0.1, 10), st.floats(0, 1), st.floats(1e-4, 1))
def test_the_budget_is_kept_within_one_start_and_one_group(
    budget_s: float, start_s: float, warm_s: float, round_s: float
) -> None:
    """And whatever is claimed over processes rests on several with enough rounds each."""
    of = machine(start_s=start_s, warm_s=warm_s, round_s=round_s)
    outcome, reached, _ = measured(of, budget_s)
    arms = 3 * NEIGHBOURS
    assert of.now <= budget_s + start_s + arms * (warm_s + least_rounds(1) * round_s) + 1e-6
    for index, ratio in enumerate(ratios(outcome)):
        assert (ratio is None) == (index >= reached)
        if ratio is not None:
            assert ratio.rounds >= least_rounds(1)
            assert ratio.basis == ("processes" if ratio.processes > 1 else "process")
            assert ratio.processes <= MOST_PROCESSES
    if 2 * LEAST_PROCESSES * (start_s + 3 * len(POINTS) * (warm_s + least_rounds(1) * round_s)) < budget_s:
        assert all(ratio is not None and ratio.processes >= LEAST_PROCESSES for ratio in ratios(outcome))


def test_what_is_asked_for_is_done() -> None:
    of = machine()
    outcome, _, _ = measured(of, 3000.0, processes=2, rounds=9)
    assert [ratio and ratio.rounds_per_process for ratio in ratios(outcome)] == [(9, 9)] * len(POINTS)
    assert {ratio and ratio.stopped for ratio in ratios(outcome)} == {"rounds"}
    assert len(of.jobs) == 2


def test_without_rounds_the_budget_says_when_it_is_enough() -> None:
    outcome, _, _ = measured(machine())
    assert {ratio and ratio.stopped for ratio in ratios(outcome)} == {"budget"}


def test_a_budget_that_the_last_round_exceeds_cuts_nothing_off() -> None:
    of = machine()
    measured(of, 3000.0, processes=1, rounds=9)
    again = machine()
    outcome, _, _ = measured(again, of.now - FakeWorker.round_s / 2, processes=1, rounds=9)
    assert again.now == of.now
    assert {ratio and (ratio.rounds_per_process, ratio.stopped) for ratio in ratios(outcome)} == {((9,), "rounds")}


def test_a_point_that_fails_costs_only_itself() -> None:
    of = machine(broken=frozenset({13}))
    outcome, reached, _ = measured(of)
    assert reached == len(POINTS)
    assert [index for index, ratio in enumerate(ratios(outcome)) if ratio is None] == [5]
    assert [ratio.processes for ratio in ratios(outcome) if ratio is not None] == [MOST_PROCESSES] * (len(POINTS) - 1)
    (failure,) = outcome.failures
    assert failure == f"latency of {POINTS[5].name} on cpu, process 1: no room"


def test_where_all_fail_it_ends() -> None:
    of = machine(broken=frozenset(range(3, 25)))
    outcome, reached, _ = measured(of)
    assert len(outcome.failures) == reached == MOST_FAILURES_IN_A_ROW
    assert ratios(outcome) == [None] * len(POINTS)


@pytest.mark.parametrize("groups", [1, 2, 3, 5, 9])
def test_ctrl_c_leaves_what_was_measured(groups: int) -> None:
    of = machine(interrupt_after=groups)
    outcome, reached, _ = measured(of)
    assert outcome.interrupted
    assert reached == min(groups * NEIGHBOURS, len(POINTS))
    for ratio in ratios(outcome)[:reached]:
        assert ratio is not None
        assert ratio.stopped == "interrupted"
        assert ratio.basis == ("processes" if ratio.processes > 1 else "process")


# The command


GRID = Grid(tuple(range(3, 3 + TIMED_TOGETHER + 8)), ((2, 2),), ((9, 9),))
PLAN = Plan(check=False, devices=("cpu",), budget_s=3000.0)


def swept(
    of: type[FakeWorker], path: Path, plan: Plan = PLAN, resume: bool = False
) -> tuple[int, list[dict[str, str]]]:
    """The exit status, and the rows of the file."""
    status = run_sweep(GRID, SweepRequest("csv", str(path), resume, plan=plan), Screen(), host(of))
    return status, list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_rows_are_written_in_their_order_with_what_was_measured(tmp_path: Path) -> None:
    of = machine()
    status, rows = swept(of, tmp_path / "rows.csv")
    assert status == 0
    assert [int(row["kernel"]) for row in rows if row["variant"] == "naive"] == list(GRID.kernels)
    assert {row["basis"] for row in rows if row["variant"] == "stack"} == {"processes"}
    assert all(bool(row["latency_s"]) == (int(row["kernel"]) % 2 == 1) for row in rows)
    assert len(of.jobs) == 2 * MOST_PROCESSES


def test_an_interrupted_sweep_keeps_its_points_and_goes_on_behind_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    status, rows = swept(machine(interrupt_after=2), path)
    assert status == 130
    kernels = [int(row["kernel"]) for row in rows if row["variant"] == "stack"]
    assert kernels == [3, 5, 7, 9, 11, 13, 15, 17]
    assert {row["basis"] for row in rows if row["variant"] == "stack"} == {"process"}
    assert "interrupted after" in capsys.readouterr().err
    before = path.read_text(encoding="utf-8")
    _, all_rows = swept(machine(), path, resume=True)
    assert path.read_text(encoding="utf-8").startswith(before)
    assert [int(row["kernel"]) for row in all_rows if row["variant"] == "naive"] == list(GRID.kernels)
    assert {row["basis"] for row in all_rows[len(rows) :] if row["variant"] == "stack"} == {"processes"}


def test_a_spent_budget_is_said_with_how_far_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.csv"
    of = machine(round_s=1.0)
    status, rows = swept(of, path, msgspec.structs.replace(PLAN, budget_s=200.0))
    assert status == 1
    assert 0 < len(rows) < 2 * len(GRID)
    assert f"the budget of 200 s was spent after {len(rows)} rows; --resume continues there" in capsys.readouterr().err
    assert of.now <= 200 + of.start_s + 3 * NEIGHBOURS * (of.warm_s + least_rounds(1))


def test_three_failed_points_in_a_row_end_it_and_are_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    status, rows = swept(machine(broken=frozenset(range(7, 99))), path)
    assert status == 1
    assert [row["kernel"] for row in rows if row["latency_s"]] == ["3", "3", "5", "5"]
    assert rows[-1]["kernel"] == "6"
    assert "3 points could not be measured, one after the other, after" in capsys.readouterr().err
    _, rows = swept(machine(), path, resume=True)
    assert all(bool(row["latency_s"]) == (int(row["kernel"]) % 2 == 1) for row in rows)
