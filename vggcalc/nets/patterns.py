"""A user's regular expression, found in names within a bounded time.

Python's `re` backtracks, holds the interpreter while it does, and has no limit: what may take long is searched for in
a process of its own, which can be ended. Most expressions, with few quantifiers and no group, cannot take long.
"""

import re
import sys
import warnings
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from vggcalc.errors import InputError

LONGEST_PATTERN = 1000

#: How long a search may take in a process of its own.
LIMIT_S = 5.0

#: So many steps of `re` take well under a second.
_MOST_STEPS = 10_000_000

_SEARCH = (
    "import json, re, sys, warnings; warnings.simplefilter('ignore'); pattern, names = json.load(sys.stdin); "
    "print(json.dumps([re.search(pattern, name) is not None for name in names]))"
)


def check_pattern(pattern: str) -> None:
    """Raise `InputError` for what is no regular expression, or none that can be used."""
    if len(pattern) > LONGEST_PATTERN:
        raise InputError(f"only {pattern[:40]!r} … is longer than {LONGEST_PATTERN:,} characters: give a shorter one")
    try:
        pattern.encode()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Python may read otherwise
            re.compile(pattern)
    except re.error as error:
        raise InputError(f"only {pattern!r} is no regular expression: {error}") from None
    except UnicodeEncodeError:
        raise InputError(f"only {pattern!a} is no text that a name could have") from None
    except (OverflowError, RecursionError) as error:
        why = "a number in it is too large" if isinstance(error, OverflowError) else "it is nested too deeply"
        raise InputError(f"only {pattern!r} is no regular expression: {why}") from None


@lru_cache(maxsize=8)
def found_in(pattern: str, names: tuple[str, ...], limit_s: float = LIMIT_S) -> frozenset[str]:
    """The names in which the expression is found. Raises `InputError` where that takes too long."""
    if may_take_long(pattern, names):
        return _found_apart(pattern, names, limit_s)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = re.compile(pattern).search
    return frozenset(name for name in names if search(name))


def may_take_long(pattern: str, names: Sequence[str]) -> bool:
    """Whether backtracking may take more than `_MOST_STEPS`.

    A group may be repeated, and then the steps grow exponentially; without one they grow by a power of the length
    for each quantifier.
    """
    quantifiers = len(re.findall(r"[*+?{]", pattern))
    if quantifiers and re.search(r"[(|]", pattern):
        return True
    steps: int = sum(len(name) ** (quantifiers + 1) for name in names) * len(pattern)
    return steps > _MOST_STEPS


def _found_apart(pattern: str, names: tuple[str, ...], limit_s: float) -> frozenset[str]:
    """The same, in a process that is ended where it takes longer than so many seconds."""
    import subprocess  # which is seldom needed, and takes its time

    command = (sys.executable, "-I", "-S", "-c", _SEARCH)
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode((pattern, names)), capture_output=True, timeout=limit_s, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = f"cannot be searched for: {error}"
        if isinstance(error, subprocess.TimeoutExpired):
            why = f"takes more than {limit_s:g} s to search for: leave out repetitions within repetitions"
        raise InputError(f"only {pattern!r} {why}") from None
    found = msgspec.json.decode(done.stdout, type=list[bool])
    return frozenset(name for name, one in zip(names, found, strict=True) if one)
