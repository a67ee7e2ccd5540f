"""How fast a sweep on paper is, and what memory it takes, beside the same points one by one.

Whole processes, standard output to a file that is thrown away; the rate of `factorize` is that of
`vggcalc.factorize` in a running process. Prints a table in Markdown.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from counters import launch, machine, print_table

import vggcalc
from vggcalc.nets.families import FAMILIES

KERNELS, SIZES, BATCHES = "3:31:2", "7,14,28,56", "1,8"


def sweep(channels: int, format_: str, folder: Path) -> tuple[int, float, float]:
    """Rows, seconds and the peak of memory in MiB."""
    path = folder / f"rows.{format_}"
    command = [
        sys.executable, "-m", "vggcalc", "sweep", "--kernel", KERNELS, "--channels", f"16:{15 + channels}",
        "--size", SIZES, "--batch", BATCHES, "--into", "all", "--output", str(path),
    ]  # fmt: skip
    found, _ = launch(command)
    with path.open("rb") as file:
        rows = sum(1 for _ in file) - (format_ == "csv")
    path.unlink()
    return rows, found.seconds, found.mebibytes


def one_by_one(seconds: float) -> float:
    """Rows a second of `factorize` for every way, for so long."""
    began, rows = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for kernel in range(3, 32, 2):
            rows += len(vggcalc.factorize(kernel, into=list(FAMILIES)).variants)
    return rows / (time.perf_counter() - began)


def table(channels: Sequence[int], alone: float) -> Iterable[Sequence[str]]:
    """Two lines, one for each format, for each number of channels; `alone` is the rate of `factorize`."""
    yield "rows", "format", "wall time", "rows a second", "× `factorize` in a loop", "peak memory"
    with tempfile.TemporaryDirectory() as folder:
        for number in channels:
            for format_ in ("csv", "jsonl"):
                rows, seconds, peak = sweep(number, format_, Path(folder))
                rate = rows / seconds
                yield f"{rows:,}", format_, f"{seconds:.2f} s", f"{rate:,.0f}", f"{rate / alone:.0f}", f"{peak:.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, nargs="+", default=[9, 84, 834], help="how many, for each line")
    parser.add_argument("--alone", type=float, default=3.0, metavar="S", help="seconds of factorize (%(default)s)")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    print_table(table(asked.channels, one_by_one(asked.alone)))
    print(f"{machine()}; {time.strftime('%Y-%m-%d')}; load {load:.2f} before, {os.getloadavg()[0]:.2f} after.")


if __name__ == "__main__":
    main()
