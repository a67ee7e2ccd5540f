"""Measuring from the command line with real workers, and its claims made again with scipy alone."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import fmean, median
from typing import Any

import jsonschema
import pytest
import torch
from process import invoke, wait_until
from scipy import stats

#: Rounds instead of seconds end it, and no machine is so slow that it spends the budget before.
QUICK = ("factorize", "7", "--quick", "--channels", "8", "--size", "14", "--rounds", "8", "--budget", "3600")
HOW = ("device", "dtype", "threads", "mode", "memory_format", "execution", "cold")

pytestmark = pytest.mark.usefixtures("warm_workers")

linux = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")


def of_json(*arguments: str) -> Any:
    done = invoke(*arguments, "--json", "--no-check")
    assert done.returncode == 0, done.stderr
    assert only_messages(done.stderr)
    return json.loads(done.stdout)


def only_messages(stderr: str) -> bool:
    return all(line.startswith("vggcalc: ") for line in stderr.splitlines())


# The claim, made again


def interval(d: list[list[float]], level: float) -> tuple[float, tuple[float, float] | None]:
    """Ratio and interval from the log-ratios of each process."""
    if len(d) > 1:
        e = [median(process) for process in d]
        low, high = stats.t.interval(level, len(e) - 1, loc=fmean(e), scale=stats.sem(e))
        return math.exp(-fmean(e)), (math.exp(-high), math.exp(-low))
    low, high = stats.quantile_test(d[0], q=0, p=0.5).confidence_interval(level)
    return math.exp(-median(d[0])), None if math.isnan(low) else (math.exp(-high), math.exp(-low))


def log_ratios(baseline: list[float], arm: list[float], rounds_per_process: list[int]) -> list[list[float]]:
    d = iter([math.log(b / a) for b, a in zip(baseline, arm, strict=True)])
    return [[next(d) for _ in range(rounds)] for rounds in rounds_per_process]


def claims(document: Any) -> int:
    """Make every ratio of every variant and block again; how many there were."""
    number = 0
    for comparison in document["comparisons"]:
        variants = {variant["name"]: variant for variant in comparison["variants"]}

        def times(variant: Any, block: str | None, told: Any) -> list[float]:
            (part,) = [one for one in variant["blocks"] if one["name"] == block] if block else [variant]
            (found,) = (one for one in part["latency"] if all(one[key] == told[key] for key in HOW))
            assert found["median_s"] == median(found["times_s"])
            return list(found["times_s"])

        baseline = variants[comparison["baseline"]]
        for ratio in comparison["ratios"]:
            variant = variants[ratio["variant"]]
            blocks = [(block["name"], one) for block in ratio["blocks"] for one in block["latency"]]
            for block, told in [(None, one) for one in ratio["latency"]] + blocks:
                # The control is a copy of the whole baseline, also for the blocks.
                (whole,) = (one for one in ratio["latency"] if all(one[key] == told[key] for key in HOW))
                check_claim(
                    told,
                    log_ratios(
                        times(baseline, block, told),
                        times(variant, block, told),
                        told["rounds_per_process"],
                    ),
                    log_ratios(times(baseline, None, told), told["control_times_s"], whole["rounds_per_process"]),
                )
                number += 1
    return number


def check_claim(told: Any, d: list[list[float]], control: list[list[float]]) -> None:
    """Against what the log-ratios of each process make of it, by the rules of MEASURING."""
    ratio, ci95 = interval(d, 1 - 0.05 / told["compared"])
    control_ratio, control_ci95 = interval(control, 0.95)
    floor = max(0.03 if len(d) == 1 else 0.01, *(abs(end - 1) for end in control_ci95 or (control_ratio,)))
    verdict = "unclear"
    if ci95 is not None and control_ci95 is not None:
        if ci95[1] < 1 - floor:
            verdict = "faster"
        elif ci95[0] > 1 + floor:
            verdict = "slower"
        elif floor <= 0.1 and 1 - floor <= ci95[0] and ci95[1] <= 1 + floor:
            verdict = "same"
    assert told["verdict"] == verdict
    assert told["basis"] == ("processes" if len(d) > 1 else "process" if ci95 else "none")
    assert told["processes"] == len(d)
    assert told["rounds"] == min(map(len, d))
    for key, value in (("ratio", ratio), ("control_ratio", control_ratio), ("floor", floor)):
        assert told[key] == pytest.approx(value), key
    for key, ends in (("ci95", ci95), ("control_ci95", control_ci95)):
        assert told[key] == (ends and pytest.approx(ends)), key


def check_roofs(document: Any) -> None:
    """No share of the roof is above 100%, in JSON or anywhere."""
    shares = re.findall(r'"roof_share": ([^,\s]+)', json.dumps(document))
    assert shares
    assert all(share == "null" or 0 < float(share) <= 1 for share in shares)


@pytest.fixture(scope="module")
def quick() -> Any:
    return of_json(*QUICK)


@pytest.fixture(scope="module")
def over_processes() -> Any:
    return of_json(
        "factorize",
        "7",
        "--channels",
        "8",
        "--size",
        "14",
        "--processes",
        "3",
        "--rounds",
        "6",
        "--seed",
        "5",
        "--budget",
        "3600",
    )  # fmt: skip


@pytest.fixture(scope="module")
def with_blocks() -> Any:
    return of_json("compare", "8,M,8@5,M", "--size", "16", "--processes", "1", "--rounds", "8", "--budget", "3600")


def test_quick_shows_the_counts_the_times_and_who_confirms_them() -> None:
    done = invoke(*QUICK, "--check", "--details")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "of 7×7 confirmed by torch and fvcore." in text
    assert "Latency of 7×7, one call at batch 1" in text
    assert "cpu: this process only: " in text
    assert "cpu: 1 thread, float32, contiguous, inference, eager, seed " in text
    assert "interval over processes" not in text
    assert only_messages(done.stderr)
    assert "process 1" not in done.stdout, "progress is for standard error"
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_one_process_claims_what_scipy_finds(quick: Any) -> None:
    assert claims(quick) == 1
    told = quick["comparisons"][0]["ratios"][0]["latency"][0]
    assert (told["basis"], told["processes"], told["compared"]) == ("process", 1, 1)
    assert (told["stopped"], told["rounds"]) == ("rounds", 8)
    check_roofs(quick)


def test_three_processes_claim_what_scipy_finds(over_processes: Any) -> None:
    assert claims(over_processes) == 1
    told = over_processes["comparisons"][0]["ratios"][0]["latency"][0]
    assert (told["basis"], told["rounds_per_process"], told["seed"]) == ("processes", [6, 6, 6], 5)
    assert told["stopped"] == "rounds"
    check_roofs(over_processes)


def test_blocks_have_latencies_of_their_own(with_blocks: Any) -> None:
    """Where the variants differ: the first block is the same in both."""
    (comparison,) = with_blocks["comparisons"]
    for variant in comparison["variants"]:
        assert [len(block["latency"]) for block in variant["blocks"]] == [0, 1]
    (ratio,) = comparison["ratios"]
    assert [block["name"] for block in ratio["blocks"]] == ["block2"]
    assert claims(with_blocks) == 2
    check_roofs(with_blocks)


def test_json_with_latencies_is_valid_against_the_schema(quick: Any, over_processes: Any, with_blocks: Any) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(invoke("schema").stdout))
    for document in (quick, over_processes, with_blocks):
        validator.validate(document)


def test_what_was_measured_on_is_told(quick: Any) -> None:
    environment = quick["environment"]
    assert environment["torch"] == torch.__version__
    assert environment["cores"] >= 1
    assert [device["name"] for device in environment["devices"]] == ["cpu"]
    told = quick["comparisons"][0]["ratios"][0]["latency"][0]
    assert told["allocator"] in ("pinned", "no_glibc")
    assert 0 <= told["contended"] <= 1


# Ways of running


def test_a_grid_of_threads_with_cold_caches_and_a_single_variant() -> None:
    """`summary` has one variant, so there is nothing to hold it against."""
    document = of_json(
        "summary",
        "8,M",
        "--size",
        "16",
        "--quick",
        "--rounds",
        "2",
        "--budget",
        "3600",
        "--threads",
        "1",
        "--threads",
        "2",
        "--cold",
    )
    (comparison,) = document["comparisons"]
    assert comparison["ratios"] == []
    (variant,) = comparison["variants"]
    assert [(one["threads"], one["cold"]) for one in variant["latency"]] == [(1, True), (2, True)]
    assert all(one["calls_per_round"] == 1 for one in variant["latency"]), "each behind a flush of its own"
    assert all(one["median_s"] > 0 for one in variant["latency"])
    check_roofs(document)


def test_training_in_bfloat16_with_channels_last() -> None:
    document = of_json(
        "factorize", "5", "--channels", "8", "--size", "8", "--quick", "--rounds", "6", "--budget", "3600",
        "--mode", "training", "--dtype", "bfloat16", "--memory-format", "channels_last",
    )  # fmt: skip
    (comparison,) = document["comparisons"]
    for variant in comparison["variants"]:
        (one,) = variant["latency"]
        assert [one[key] for key in HOW] == ["cpu", "bfloat16", 1, "training", "channels_last", "eager", False]
        assert one["roof_share"] is None, "what training moves is not known"
        assert one["flops_per_s"] == pytest.approx(variant["costs"]["training_flops"] / one["median_s"])
    assert claims(document) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_device_that_is_not_here_costs_only_its_latency() -> None:
    done = invoke("factorize", "5", "--channels", "2", "--size", "6", "--quick", "--no-check", "--device", "cuda")
    assert done.returncode == 1
    assert "5×5 against its stack" in done.stdout
    assert "Latency" not in done.stdout
    assert only_messages(done.stderr)
    assert "vggcalc: latency on cuda: device 'cuda' is not here: torch " in done.stderr


def test_what_does_not_fit_in_memory_is_said_before_any_worker_starts() -> None:
    done = invoke("compare", "vgg16", "--batch", "100000", "--no-check", "--device", "cpu")
    assert done.returncode == 1
    assert "138M" in done.stdout
    assert "Latency of" not in done.stdout
    assert re.fullmatch(
        r"vggcalc: latency of vgg16 on cpu: it needs [\d,]{15,} bytes of memory, "
        r"and [\d,]+ are free: try a smaller --size or --batch\n",
        done.stderr,
    )


# Interrupted, or its worker killed


class Running:
    """A command in a session of its own, with a terminal for its progress if asked for."""

    def __init__(self, *arguments: str, terminal: bool = False) -> None:
        self._mark = uuid.uuid4().hex
        self._terminal, stderr = _terminal() if terminal else (None, subprocess.PIPE)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vggcalc", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=_with_sigint,
            env={**os.environ, "COLUMNS": "80", "VGGCALC_TEST": self._mark},
        )
        if terminal:
            os.close(stderr)
        self.said = ""

    def wait_for(self, pattern: str) -> None:
        """Read what it says on standard error until it has said that."""
        if self._terminal is None:
            assert self.process.stderr is not None
            self._terminal = self.process.stderr.fileno()
        deadline = time.monotonic() + 600
        while not re.search(pattern, self.said):
            assert time.monotonic() < deadline, self.said
            piece = os.read(self._terminal, 1 << 16)
            assert piece, self.said
            self.said += piece.decode()

    def end(self) -> tuple[int, str, str]:
        """Exit status, standard output, and all of standard error."""
        assert self.process.stdout is not None
        out = self.process.stdout.read().decode()
        status = self.process.wait(600)
        assert self._terminal is not None
        try:
            while piece := os.read(self._terminal, 1 << 16):
                self.said += piece.decode()
        except OSError:  # how Linux says that nobody holds the other end of a terminal
            pass
        return status, out, self.said

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        if self.process.stderr is None and self._terminal is not None:
            os.close(self._terminal)

    def workers(self) -> list[int]:
        """Every process that carries its mark but itself, whoever its parent has become."""
        found = []
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if self._mark.encode() in file.read() and int(pid) != self.process.pid:
                        found.append(int(pid))
            except OSError:  # it has ended, or is not ours
                pass
        return found


def _with_sigint() -> None:
    """Ctrl-C ends the command also where a shell, for its background jobs, has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _terminal() -> tuple[int, int]:
    """Both ends of a terminal 200 columns wide."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 200))
    return ours, theirs


@contextmanager
def running(*arguments: str, terminal: bool = False) -> Iterator[Running]:
    command = Running(*arguments, terminal=terminal)
    try:
        yield command
    finally:
        command.close()


#: One that goes on until it is stopped from outside.
ENDLESS = ("compare", "8,M,8@5,M", "--size", "16", "--no-check", "--precision", "0.01%", "--budget", "3600")


@linux
@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["to the group", "to the parent"])
def test_ctrl_c_before_anything_is_measured(send: Callable[[int, int], None]) -> None:
    """A terminal sends it to the whole group, in which the worker is not."""
    with running(*ENDLESS, terminal=True) as command:
        command.wait_for(r"latency of 8,M,8@5,M on cpu")
        send(command.process.pid, signal.SIGINT)
        status, out, err = command.end()
        wait_until(lambda: command.workers() == [])  # one only just started sees by itself that nobody wants it
    assert status == 130
    assert "129,024" in out
    assert "Latency of" not in out
    assert "Traceback" not in out + err
    assert "vggcalc: interrupted: only what was measured before is reported\r\n" in err


@linux
def test_ctrl_c_in_the_middle_of_the_rounds() -> None:
    with running(*ENDLESS, "--processes", "1", "--json", terminal=True) as command:
        command.wait_for(r"process 1 of 1, [1-9]\d+ rounds")
        (worker,) = command.workers()
        os.killpg(command.process.pid, signal.SIGINT)
        status, out, err = command.end()
        assert command.workers() == []
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    assert status == 130
    assert "Traceback" not in out + err
    document = json.loads(out)
    told = document["comparisons"][0]["ratios"][0]["latency"][0]
    assert told["stopped"] == "interrupted"
    assert claims(document) == 2


@linux
def test_a_worker_that_is_killed_in_the_middle_of_the_rounds() -> None:
    with running(*ENDLESS, "--processes", "1", terminal=True) as command:
        command.wait_for(r"process 1 of 1, [1-9]\d+ rounds")
        (worker,) = command.workers()
        os.kill(worker, signal.SIGKILL)
        status, out, err = command.end()
        assert command.workers() == []
    assert status == 1
    text = " ".join(out.split())
    assert "129,024" in text
    assert "this process only: " in text
    assert "until a worker failed" in text
    assert "process 1: the worker was ended by SIGKILL" in err.replace(" of 1: ", ": ")
    assert "Traceback" not in out + err
