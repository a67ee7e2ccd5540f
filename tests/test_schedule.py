"""How many processes a budget holds: laws over any costs, and the steps in which a claim is given up."""

from math import isclose

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vggcalc.measurement.intervals import least_rounds
from vggcalc.measurement.schedule import (
    EVERY,
    FIRST,
    LONGEST_BUDGET_S,
    MOST_PROCESSES,
    MOST_ROUNDS,
    NOWHERE,
    Schedule,
    TrialCosts,
    default_budget,
    rounds_worth_taking,
    schedule,
)


class Case(msgspec.Struct, frozen=True):
    """A budget and what things cost."""

    budget_s: float
    costs: TrialCosts

    @property
    def found(self) -> Schedule:
        return schedule(self.budget_s, self.costs)

    def planned_s(self, processes: int, blocks: str) -> float:
        """What that many processes take that do no more than their claims need."""
        c = self.costs
        bare = c.bare_s + c.least * c.whole_s
        if blocks == FIRST:
            return c.start_s + c.least_blocks * (c.whole_s + c.blocks_s) + (processes - 1) * bare
        if blocks == NOWHERE:
            return c.start_s + c.least * c.whole_s + (processes - 1) * bare
        return processes * (c.start_s + c.least * (c.whole_s + c.blocks_s))

    def holds(self, processes: int, blocks: str) -> bool:
        planned = self.planned_s(processes, blocks)
        return planned <= self.budget_s or isclose(planned, self.budget_s, rel_tol=1e-9)


@st.composite
def costs(draw: st.DrawFn, processes: st.SearchStrategy[int | None]) -> TrialCosts:
    seconds = st.floats(1e-6, 1e3)
    start_s, whole_s, blocks_s = draw(st.floats(0, 30)), draw(seconds), draw(st.just(0.0) | seconds)
    compared = draw(st.integers(1, 20))
    least, least_blocks = least_rounds(compared), least_rounds(compared * draw(st.integers(1, 12)))
    bare_s = start_s * draw(st.floats(0, 1)) if blocks_s else start_s
    return TrialCosts(start_s, bare_s, whole_s, blocks_s, least, least_blocks, draw(processes))


@st.composite
def cases(draw: st.DrawFn, processes: st.SearchStrategy[int | None] = st.none() | st.integers(1, 100)) -> Case:
    """The budget as a multiple of what one of the processes takes, whole multiples among them."""
    c = draw(costs(processes))
    rounds, of_blocks = draw(st.sampled_from([(c.least, 0.0), (c.least, c.blocks_s), (c.least_blocks, c.blocks_s)]))
    one = c.start_s + rounds * (c.whole_s + of_blocks)
    return Case(one * draw(st.floats(0.1, 12) | st.integers(1, 12)), c)


#: 6.5 + 2 · 2.6 s are exactly the budget, though (11.7 − 6.5) / 2.6 is a little less than 2 in floating point.
EXACT = Case(11.7, TrialCosts(2.0, 2.0, 0.1, 0.4, 6, 9))


@given(cases())
@example(EXACT)
def test_never_more_processes_than_asked_for_and_never_none(it: Case) -> None:
    assert 1 <= it.found.processes <= it.costs.most


@given(cases())
@example(EXACT)
def test_several_processes_are_claimed_only_where_the_budget_holds_them(it: Case) -> None:
    if it.found.processes > 1:
        assert it.holds(it.found.processes, it.found.blocks)
        assert it.found.processes >= it.costs.enough


@given(cases())
@example(EXACT)
def test_the_first_process_has_what_its_claims_need_and_leaves_the_others_theirs(it: Case) -> None:
    if it.found.processes > 1:
        others = it.found.processes - 1
        alone = it.planned_s(1, it.found.blocks)
        assert it.found.first_s >= alone * (1 - 1e-9)
        left = it.budget_s - it.found.first_s
        assert left >= it.planned_s(others + 1, it.found.blocks) - alone - 1e-9 * it.budget_s
    else:
        assert it.found.first_s == it.budget_s


@given(cases())
@example(EXACT)
def test_the_headline_first_then_more_processes_then_the_blocks(it: Case) -> None:
    """Three processes of the whole networks wherever they fit; blocks only once all the processes fit beside them."""
    c, found = it.costs, it.found
    if c.enough == 1:
        assert found.processes == 1
    elif it.planned_s(c.enough, NOWHERE) <= it.budget_s:
        assert found.processes >= c.enough
        assert found.blocks == NOWHERE or found.processes == c.most
    elif not it.holds(c.enough, NOWHERE):
        assert found.processes == 1
    if found.processes > 1 and found.blocks == NOWHERE and c.blocks_s:
        assert it.planned_s(c.most, FIRST) > it.budget_s * (1 - 1e-9)


@given(cases())
@example(EXACT)
def test_as_many_processes_as_the_budget_holds(it: Case) -> None:
    if 1 < it.found.processes < it.costs.most:
        assert it.planned_s(it.found.processes + 1, it.found.blocks) > it.budget_s * (1 - 1e-9)


@given(cases(st.just(1)))
def test_one_process_when_one_is_asked_for(it: Case) -> None:
    """Its blocks are timed where the budget holds the rounds of their own claim."""
    timed = it.costs.blocks_s and it.planned_s(1, FIRST) <= it.budget_s
    assert it.found == Schedule(1, EVERY if timed else NOWHERE, it.budget_s)


@given(cases())
def test_without_blocks_none_are_timed(it: Case) -> None:
    if not it.costs.blocks_s:
        assert it.found.blocks == NOWHERE


@given(cases(), st.floats(1, 100))
def test_a_larger_budget_never_weakens_the_claim_over_processes(it: Case, factor: float) -> None:
    """Processes do not become fewer, and blocks that have been in every process stay there."""
    more = schedule(it.budget_s * factor, it.costs)
    if it.found.processes > 1:
        rank = (NOWHERE, FIRST, EVERY).index
        assert more.processes >= it.found.processes
        assert rank(more.blocks) >= rank(it.found.blocks)


@pytest.mark.parametrize(
    ("budget", "processes", "expected"),
    [
        # With blocks a process takes 2 + 6 · 0.5 = 5 s, without 2.6 s, the first with nine rounds 6.5 s.
        (300.0, None, Schedule(6, EVERY, 50.0)),
        (30.1, None, Schedule(6, EVERY, 30.1 / 6)),
        (29.9, None, Schedule(6, FIRST, 6.5)),
        (19.6, None, Schedule(6, FIRST, 6.5)),
        (19.4, None, Schedule(6, NOWHERE, 19.4 / 6)),
        (15.5, None, Schedule(5, NOWHERE, 3.1)),
        (7.9, None, Schedule(3, NOWHERE, 7.9 / 3)),
        (7.7, None, Schedule(1, EVERY, 7.7)),
        (6.4, None, Schedule(1, NOWHERE, 6.4)),
        (0.1, None, Schedule(1, NOWHERE, 0.1)),
        (300.0, 1, Schedule(1, EVERY, 300.0)),
        (10.1, 2, Schedule(2, EVERY, 5.05)),
        (9.2, 2, Schedule(2, FIRST, 6.5)),
        (9.0, 2, Schedule(2, NOWHERE, 4.5)),
        (5.1, 2, Schedule(1, NOWHERE, 5.1)),
        (60.0, 10, Schedule(10, EVERY, 6.0)),
        (49.0, 10, Schedule(10, FIRST, 6.5)),
    ],
)
def test_what_is_given_up_step_by_step(budget: float, processes: int | None, expected: Schedule) -> None:
    found = schedule(budget, TrialCosts(2.0, 2.0, 0.1, 0.4, 6, 9, processes))
    assert (found.processes, found.blocks) == (expected.processes, expected.blocks)
    assert found.first_s == pytest.approx(expected.first_s)


# Where no budget is given


@given(costs(st.none() | st.integers(1, 12)))
def test_the_default_budget_holds_the_claims_wherever_five_minutes_do(it: TrialCosts) -> None:
    budget = default_budget(it)
    assert 0 < budget <= LONGEST_BUDGET_S
    claim = Case(LONGEST_BUDGET_S, it).planned_s(it.enough, NOWHERE)
    if claim <= budget:
        assert schedule(budget, it).processes >= it.enough
    else:
        assert budget == LONGEST_BUDGET_S or isclose(claim, budget)


def test_what_it_takes_by_hand() -> None:
    """Rounds: 4.5 · √(start / round), 30 at the most."""
    assert default_budget(TrialCosts(4.0, 4.0, 1.0, 0.0, 6, 6)) == pytest.approx(MOST_PROCESSES * (4 + 9 * 1))
    assert default_budget(TrialCosts(4.0, 4.0, 0.01, 0.0, 6, 6)) == pytest.approx(
        MOST_PROCESSES * (4 + MOST_ROUNDS * 0.01)
    )
    with_blocks = TrialCosts(5.0, 4.0, 1.0, 1.0, 6, 9)
    assert default_budget(with_blocks) == pytest.approx(5 + 9 * 2 + 5 * (4 + 9 * 1))
    assert default_budget(TrialCosts(1.0, 1.0, 100.0, 0.0, 6, 6)) == LONGEST_BUDGET_S
    assert default_budget(TrialCosts(1.0, 1.0, 1.0, 0.0, 6, 6), rounds=2) == pytest.approx(MOST_PROCESSES * 3)


def test_what_takes_no_time_by_the_clock_is_done_as_often_as_anyone_may_want() -> None:
    """A coarse clock may say 0 of a start and of a round."""
    nothing = TrialCosts(0.0, 0.0, 0.0, 0.0, 6, 6)
    assert rounds_worth_taking(nothing) == MOST_ROUNDS
    assert default_budget(nothing) == 0
    assert schedule(3.0, nothing) == Schedule(MOST_PROCESSES, NOWHERE, 3.0 / MOST_PROCESSES)
    assert schedule(0.0, nothing) == Schedule(MOST_PROCESSES, NOWHERE, 0.0)
    first_alone = TrialCosts(5.0, 0.0, 0.0, 0.0, 6, 6)
    assert default_budget(first_alone) == 5
    assert schedule(5.0, first_alone).processes == MOST_PROCESSES
    assert schedule(4.9, first_alone).processes == 1


def test_rounds_worth_taking_are_between_what_the_claim_needs_and_the_most() -> None:
    """4.5 · √(bare / whole): 9 where a start takes four rounds, and the next whole number of what is none."""
    for bare, least, rounds in ((4.0, 6, 9), (4.0, 9, 9), (4.0, 10, 10), (1.0, 2, 5), (900.0, 6, MOST_ROUNDS)):
        assert rounds_worth_taking(TrialCosts(bare, bare, 1.0, 0.0, least, least)) == rounds
