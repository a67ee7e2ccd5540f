"""How fast a sweep on paper is, and what memory it takes, beside the same points one by one.

Whole processes, standard output to a file that is thrown away; the rate of `factorize` is that of
`vggcalc.factorize` in a running process. Prints a table in Markdown.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {status}")
    rows = sum(1 for _ in path.open(encoding="utf-8")) - (format_ == "csv")
    path.unlink()
    return rows, seconds, usage.ru_maxrss / 1024


def one_by_one(seconds: float) -> float:
    """Rows a second of `factorize` for every way, for so long."""
    began, rows = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for kernel in range(3, 32, 2):
            rows += len(vggcalc.factorize(kernel, into=list(FAMILIES)).variants)
    return rows / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, nargs="+", default=[9, 84, 834], help="how many, for each line")
    arguments = parser.parse_args()
    alone = one_by_one(3)
    print("| rows | format | wall time | rows a second | × `factorize` in a loop | peak memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for channels in arguments.channels:
            for format_ in ("csv", "jsonl"):
                rows, seconds, peak = sweep(channels, format_, Path(folder))
                rate = rows / seconds
                cells = (f"{rows:,}", format_, f"{seconds:.2f} s", f"{rate:,.0f}", f"{rate / alone:.0f}")
                print(f"| {' | '.join(cells)} | {peak:.0f} MiB |")
    load = f"; load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    print(f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}, vggcalc {vggcalc.__version__}{load}.")  # fmt: skip


if __name__ == "__main__":
    main()
