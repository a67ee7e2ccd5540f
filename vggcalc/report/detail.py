"""How much of a report is shown."""

from enum import IntEnum


class Detail(IntEnum):
    """What is shown: all that is of this level or a lower one."""

    BRIEF = 0
    NORMAL = 1
    FULL = 2
