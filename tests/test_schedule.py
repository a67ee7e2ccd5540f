"""How many processes a budget holds: laws over any costs, and the steps in which a claim is given up."""

from math import isclose

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vggcalc.measurement.intervals import least_rounds
from vggcalc.measurement.schedule import (
    EVERY,
    FIRST,
    LEAST_PROCESSES,
    MOST_PROCESSES,
    NOWHERE,
    Schedule,
    schedule,
)


class SweepRequest:
    """What is handed to `schedule`, and what its parts cost."""

    def __init__(
        self,
        budget_s: float,
        start_s: float,
        whole_s: float,
        blocks_s: float,
        least: int = 6,
        least_blocks: int = 6,
        processes: int | None = None,
        bare_s: float | None = None,
    ) -> None:
        bare_s = start_s if bare_s is None else bare_s
        self._costs = (start_s, whole_s, blocks_s, least, least_blocks, processes, bare_s)
        self.budget_s = budget_s
        self.most = processes or MOST_PROCESSES
        self.blocks = blocks_s > 0
        #: A process with the blocks, one whose blocks make a claim by themselves, and one without them.
        self.every = start_s + least * (whole_s + blocks_s)
        self.first = start_s + least_blocks * (whole_s + blocks_s)
        self.without = start_s + least * whole_s
        self.bare = bare_s + least * whole_s
        self.found = schedule(budget_s, start_s, bare_s, whole_s, blocks_s, least, least_blocks, processes)

    def with_budget(self, budget_s: float) -> "SweepRequest":
        return SweepRequest(budget_s, *self._costs)

    def planned_s(self, processes: int, blocks: str) -> float:
        """What that many processes take that do no more than their claims need."""
        if blocks == FIRST:
            return self.first + (processes - 1) * self.bare
        if blocks == NOWHERE:
            return self.without + (processes - 1) * self.bare
        return processes * self.every

    def holds(self, processes: int, blocks: str) -> bool:
        planned = self.planned_s(processes, blocks)
        return planned <= self.budget_s or isclose(planned, self.budget_s, rel_tol=1e-9)


@st.composite
def asked(draw: st.DrawFn, processes: st.SearchStrategy[int | None] = st.none() | st.integers(1, 100)) -> SweepRequest:
    """The budget as a multiple of what one of the processes takes, whole multiples among them."""
    seconds = st.floats(1e-6, 1e3)
    start_s, whole_s, blocks_s = draw(st.floats(0, 30)), draw(seconds), draw(st.just(0.0) | seconds)
    compared = draw(st.integers(1, 20))
    least, least_blocks = least_rounds(compared), least_rounds(compared * draw(st.integers(1, 12)))
    rounds, of_blocks = draw(st.sampled_from([(least, 0.0), (least, blocks_s), (least_blocks, blocks_s)]))
    one = start_s + rounds * (whole_s + of_blocks)
    budget_s = one * draw(st.floats(0.1, 12) | st.integers(1, 12))
    bare_s = start_s * draw(st.floats(0, 1)) if blocks_s else start_s
    return SweepRequest(budget_s, start_s, whole_s, blocks_s, least, least_blocks, draw(processes), bare_s)


#: 6.5 + 2 · 2.6 s are exactly the budget, though (11.7 − 6.5) / 2.6 is a little less than 2 in floating point.
EXACT = SweepRequest(11.7, 2.0, 0.1, 0.4, 6, 9)


@given(asked())
@example(EXACT)
def test_never_more_processes_than_asked_for_and_never_none(it: SweepRequest) -> None:
    assert 1 <= it.found.processes <= it.most


@given(asked())
@example(EXACT)
def test_several_processes_are_claimed_only_where_the_budget_holds_them(it: SweepRequest) -> None:
    if it.found.processes > 1:
        assert it.holds(it.found.processes, it.found.blocks)
        assert it.found.processes >= min(LEAST_PROCESSES, it.most)


@given(asked())
@example(EXACT)
def test_the_first_process_has_what_its_claims_need_and_leaves_the_others_theirs(it: SweepRequest) -> None:
    if it.found.processes > 1:
        own = {EVERY: it.every, FIRST: it.first, NOWHERE: it.without}[it.found.blocks]
        other = it.every if it.found.blocks == EVERY else it.bare
        assert it.found.first_s >= own * (1 - 1e-9)
        left = it.budget_s - it.found.first_s
        assert left >= (it.found.processes - 1) * other - 1e-9 * it.budget_s
    else:
        assert it.found.first_s == it.budget_s


@given(asked())
@example(EXACT)
def test_blocks_are_given_up_before_processes(it: SweepRequest) -> None:
    """Three processes without blocks are preferred to one with them, and blocks once to none at all."""
    enough = min(LEAST_PROCESSES, it.most)
    ways = (EVERY, FIRST, NOWHERE) if it.blocks else (NOWHERE,)
    if enough == 1:
        assert it.found.processes == 1
        return
    within = [way for way in ways if it.planned_s(enough, way) <= it.budget_s]
    if within:
        assert it.found.processes >= enough
        assert it.found.blocks == within[0]
    elif not any(it.holds(enough, way) for way in ways):
        assert it.found.processes == 1


@given(asked())
@example(EXACT)
def test_as_many_processes_as_the_budget_holds(it: SweepRequest) -> None:
    if 1 < it.found.processes < it.most:
        planned = it.planned_s(it.found.processes + 1, it.found.blocks)
        assert planned > it.budget_s * (1 - 1e-9)


@given(asked(st.just(1)))
def test_one_process_when_one_is_asked_for(it: SweepRequest) -> None:
    """Its blocks are timed where the budget holds the rounds of their own claim."""
    assert it.found == Schedule(1, EVERY if it.blocks and it.first <= it.budget_s else NOWHERE, it.budget_s)


@given(asked(st.just(2)))
def test_two_processes_when_two_are_asked_for(it: SweepRequest) -> None:
    """Where the budget holds them in any way; else one."""
    ways = (EVERY, FIRST, NOWHERE) if it.blocks else (NOWHERE,)
    expected = 2 if any(it.planned_s(2, way) <= it.budget_s for way in ways) else 1
    assert it.found.processes == expected


@given(asked())
def test_without_blocks_none_are_timed(it: SweepRequest) -> None:
    if not it.blocks:
        assert it.found.blocks == NOWHERE


@given(asked(), st.floats(1, 100))
def test_a_larger_budget_never_weakens_the_claim_over_processes(it: SweepRequest, factor: float) -> None:
    """Three processes stay three, and blocks that have been in every process stay there."""
    more = it.with_budget(it.budget_s * factor)
    if it.found.processes > 1:
        rank = (NOWHERE, FIRST, EVERY).index
        assert more.found.processes > 1
        assert rank(more.found.blocks) >= rank(it.found.blocks)


#: Seconds of the blocks in a round.
BLOCKS = 0.4


@pytest.mark.parametrize(
    ("budget", "blocks", "processes", "expected"),
    [
        # With blocks a process takes 2 + 6 · 0.5 = 5 s, without 2.6 s, the first with nine rounds 6.5 s.
        (30.0, BLOCKS, None, Schedule(6, EVERY, 5.0)),
        (300.0, BLOCKS, None, Schedule(6, EVERY, 50.0)),
        (24.9, BLOCKS, None, Schedule(4, EVERY, 24.9 / 4)),
        (15.0, BLOCKS, None, Schedule(3, EVERY, 5.0)),
        (14.9, BLOCKS, None, Schedule(4, FIRST, 6.5)),
        (11.8, BLOCKS, None, Schedule(3, FIRST, 6.5)),
        (11.6, BLOCKS, None, Schedule(4, NOWHERE, 2.9)),
        (7.9, BLOCKS, None, Schedule(3, NOWHERE, 7.9 / 3)),
        (7.7, BLOCKS, None, Schedule(1, EVERY, 7.7)),
        (6.4, BLOCKS, None, Schedule(1, NOWHERE, 6.4)),
        (0.1, BLOCKS, None, Schedule(1, NOWHERE, 0.1)),
        (30.0, 0.0, None, Schedule(6, NOWHERE, 5.0)),
        (7.7, 0.0, None, Schedule(1, NOWHERE, 7.7)),
        (300.0, BLOCKS, 1, Schedule(1, EVERY, 300.0)),
        (10.0, BLOCKS, 2, Schedule(2, EVERY, 5.0)),
        (9.2, BLOCKS, 2, Schedule(2, FIRST, 6.5)),
        (9.0, BLOCKS, 2, Schedule(2, NOWHERE, 4.5)),
        (5.1, BLOCKS, 2, Schedule(1, NOWHERE, 5.1)),
        (60.0, BLOCKS, 10, Schedule(10, EVERY, 6.0)),
        (49.0, BLOCKS, 10, Schedule(9, EVERY, 49.0 / 9)),
    ],
)
def test_what_is_given_up_step_by_step(budget: float, blocks: float, processes: int | None, expected: Schedule) -> None:
    found = schedule(budget, 2.0, 2.0, 0.1, blocks, 6, 9, processes)
    assert (found.processes, found.blocks) == (expected.processes, expected.blocks)
    assert found.first_s == pytest.approx(expected.first_s)
