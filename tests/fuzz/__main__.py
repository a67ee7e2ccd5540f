"""`python -m tests.fuzz --cases 10000 --seed 0`: each failure on a line, and status 1 if there is any."""

import argparse
import random
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from . import real
from .cases import made
from .checks import Checker, ask
from .restating import restate

#: One case in so many is a pair of restatements, and one in so many runs in a process of its own.
EVERY_RESTATED, EVERY_REAL = 10, 100


def samples() -> tuple[bytes, bytes]:
    """A report and a sweep's rows, which cases damage."""
    report = ask(["compare", "64,M", "--no-latency", "--json"]).out
    rows = ask(["sweep", "--kernel", "3:7:2", "--format", "csv"]).out
    return report.encode(), rows.encode()


def run(seed: int, number: int, checker: Checker, kept: tuple[bytes, bytes], with_real: bool) -> str:
    """One case; its kind or status. Raises where something does not hold."""
    rng = random.Random(f"{seed} {number} kind")
    if with_real and number % EVERY_REAL == 0:
        act = rng.choice((real.interrupted, real.interrupted, real.in_a_locale, real.hostile))
        act(rng, checker.folder)
        return act.__name__
    if number % EVERY_RESTATED == 0:
        restate(rng, checker)
        return "restated"
    return f"status {checker.run(made(seed, number, *kept)).status}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="Run the case of that number alone, with its traceback.")
    chosen = parser.parse_args()
    kept, found, failures = samples(), Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(Path(folder))
        for number in range(chosen.cases) if chosen.only is None else [chosen.only]:
            try:
                found[run(chosen.seed, number, checker, kept, True)] += 1
            except Exception as error:  # whatever it is, it is what was looked for
                failures += 1
                case = made(chosen.seed, number, *kept)
                line = " ".join(map(ascii, case.arguments))
                print(f"case {number}: {type(error).__name__}: {str(error)[:300]!r}: {line[:400]}", flush=True)
                if chosen.only is not None:
                    traceback.print_exc()
    print(f"{sum(found.values())} held, {failures} failed; {dict(found)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
