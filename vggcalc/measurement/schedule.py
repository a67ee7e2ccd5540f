"""How many processes and which arms a budget can hold: pure arithmetic, decided once.

The first process tells what a start and a round cost here. A budget buys first what the headline claims: three
processes with six rounds each of the whole networks; then more processes; then the blocks, in one process; then the
blocks in all of them. What it does not hold is given up in the opposite order, and the result says which claim is no
longer made.
"""

from math import ceil, sqrt

import msgspec

#: A t interval over fewer is legal and useless: its factor is 12.7 for two, 4.3 for three.
LEAST_PROCESSES, MOST_PROCESSES = 3, 6

#: Where the blocks are timed.
EVERY, FIRST, NOWHERE = "every process", "the first process", "no process"

#: The longest that measuring takes by itself, where no budget is given.
LONGEST_BUDGET_S = 300.0

#: The standard deviation of a median of rounds, over that between processes: 4.0% · √(π/2) against 1.1%, as measured
#: for a 7×7 against its stack.
ROUNDS_TO_PROCESSES = 4.5

#: More rounds are no use by default: so many are judged first for their precision.
MOST_ROUNDS = 30


class Schedule(msgspec.Struct, frozen=True):
    """How many processes, which of them time the blocks, and the seconds of the first."""

    processes: int
    blocks: str
    first_s: float


class TrialCosts(msgspec.Struct, frozen=True):
    """What one comparison in one configuration takes here.

    `start_s` is from a process's start to its first round, `bare_s` the same without the blocks; `whole_s` is what the
    whole networks take of a round, `blocks_s` what the blocks take (0 where there are none). `least` rounds make the
    claim for the whole networks, `least_blocks` the one for blocks in a single process; `processes` is what the user
    asked for, of which the budget may allow fewer.
    """

    start_s: float
    bare_s: float
    whole_s: float
    blocks_s: float
    least: int
    least_blocks: int
    processes: int | None = None

    @property
    def most(self) -> int:
        """The most processes."""
        return self.processes or MOST_PROCESSES

    @property
    def enough(self) -> int:
        """The fewest processes for a claim over processes."""
        return min(LEAST_PROCESSES, self.most)

    def first(self, rounds: int, blocks: bool) -> float:
        """Seconds of the first process, which has built the blocks in any case."""
        alone = self.start_s + rounds * self.whole_s
        return max(alone, self.start_s + self.least_blocks * (self.whole_s + self.blocks_s)) if blocks else alone

    def later(self, rounds: int) -> float:
        """Seconds of a process without the blocks."""
        return self.bare_s + rounds * self.whole_s


def rounds_worth_taking(costs: TrialCosts) -> int:
    """The rounds of a process that make the interval narrowest for the time.

    √(start / round) times the ratio of the standard deviations (Kalibera & Jones 2013, section 5), between
    `costs.least` and `MOST_ROUNDS`.
    """
    best = ceil(ROUNDS_TO_PROCESSES * sqrt(costs.bare_s / costs.whole_s)) if costs.whole_s > 0 else MOST_ROUNDS
    return max(costs.least, min(best, MOST_ROUNDS))


def default_budget(costs: TrialCosts, rounds: int | None = None) -> float:
    """The seconds that the claims take, `LONGEST_BUDGET_S` at most: `costs.most` processes, the blocks in the first.

    Each has as many rounds as are worth taking; `rounds` where the user asked for so many.
    """
    rounds = rounds or rounds_worth_taking(costs)
    later, alone = costs.later(rounds), costs.first(rounds, blocks=False)
    held = costs.most if later <= 0 else 1 + int(max(0.0, LONGEST_BUDGET_S - alone) / later)
    processes = min(costs.most, max(costs.enough, held))
    total = alone + (processes - 1) * later
    with_blocks = costs.first(rounds, blocks=True) + (processes - 1) * later
    wanted = with_blocks if costs.blocks_s and processes == costs.most else total
    return min(wanted if wanted <= LONGEST_BUDGET_S else total, LONGEST_BUDGET_S)


def schedule(budget_s: float, costs: TrialCosts) -> Schedule:
    """What `budget_s` holds, the first process's start included."""
    most, enough, later = costs.most, costs.enough, costs.later(costs.least)
    first, alone = costs.first(costs.least_blocks, blocks=True), costs.first(costs.least, blocks=False)
    if most > 1 and alone + (enough - 1) * later <= budget_s:
        every = costs.start_s + costs.least * (costs.whole_s + costs.blocks_s)
        if costs.blocks_s and most * every <= budget_s:
            return Schedule(most, EVERY, budget_s / most)
        if costs.blocks_s and first + (most - 1) * later <= budget_s:
            return Schedule(most, FIRST, max(first, budget_s / most))
        held = most if later <= 0 else min(most, max(enough, 1 + int((budget_s - alone) / later)))
        return Schedule(held, NOWHERE, max(alone, budget_s / held))
    return Schedule(1, EVERY if costs.blocks_s and first <= budget_s else NOWHERE, budget_s)
