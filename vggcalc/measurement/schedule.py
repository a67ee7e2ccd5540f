"""How many processes and which arms a budget can hold: pure arithmetic, decided once.

The first process tells what a start and a round cost here. A claim over processes needs three of
them with six rounds each; where the budget cannot hold that, the blocks are given up first in all
processes but one, then the processes, and the result says which claim is no longer made.
"""

import msgspec

#: A t interval over fewer is legal and useless: its factor is 12.7 for two, 4.3 for three.
LEAST_PROCESSES, MOST_PROCESSES = 3, 6

#: Where the blocks are timed.
EVERY, FIRST, NOWHERE = "every process", "the first process", "no process"


class Schedule(msgspec.Struct, frozen=True):
    """How many processes, which of them time the blocks, and the seconds of the first."""

    processes: int
    blocks: str
    first_s: float


def schedule(
    budget_s: float,
    start_s: float,
    bare_s: float,
    whole_s: float,
    blocks_s: float,
    least: int,
    least_blocks: int,
    processes: int | None = None,
) -> Schedule:
    """What `budget_s` holds, the first process's start included.

    `start_s` is from a process's start to its first round, `bare_s` the same without the blocks;
    `whole_s` is what the whole networks take of a round, `blocks_s` what the blocks take (0 where
    there are none). `least` rounds make the claim for the whole networks, `least_blocks` the one
    for blocks in a single process; `processes` is what the user asked for, of which the budget may
    allow fewer.
    """
    most = processes or MOST_PROCESSES
    enough = min(LEAST_PROCESSES, most)
    every = start_s + least * (whole_s + blocks_s)
    first = start_s + least_blocks * (whole_s + blocks_s)
    bare = bare_s + least * whole_s
    if most > 1 and enough * every <= budget_s:
        held = min(most, max(enough, int(budget_s / every)))
        return Schedule(held, EVERY if blocks_s else NOWHERE, budget_s / held)
    if most > 1 and blocks_s and first + (enough - 1) * bare <= budget_s:
        held = min(most, max(enough, 1 + int((budget_s - first) / bare)))
        return Schedule(held, FIRST, max(first, budget_s / held))
    without = start_s + least * whole_s  # the first process has built the blocks already
    if most > 1 and without + (enough - 1) * bare <= budget_s:
        held = min(most, max(enough, 1 + int((budget_s - without) / bare)))
        return Schedule(held, NOWHERE, max(without, budget_s / held))
    return Schedule(1, EVERY if blocks_s and first <= budget_s else NOWHERE, budget_s)
