"""Trials against scripted workers, in processes of their own, under a clock that the test sets.

The scripted worker speaks the protocol in plain JSON, without torch, and its times are numbers. The
parent's clock stands still, so that however slow the machine is no budget is ever spent.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import ClockedWorker
from hypothesis import given
from hypothesis import strategies as st

import vggcalc
from vggcalc.measurement import limits, trial
from vggcalc.measurement import session as measurement
from vggcalc.measurement.assemble import Arms, TrialRecord, TrialResult, assemble, with_measurements
from vggcalc.measurement.host import Host
from vggcalc.measurement.intervals import least_rounds
from vggcalc.measurement.limits import PROFILE_S
from vggcalc.measurement.plan import Plan
from vggcalc.measurement.rounds import ProcessRounds
from vggcalc.measurement.schedule import LEAST_PROCESSES, MOST_PROCESSES
from vggcalc.measurement.session import MeasurementOutcome, measure_all
from vggcalc.measurement.trial import SLACK, Trial
from vggcalc.measurement.worker import Worker
from vggcalc.nets.names import ITEMSIZE
from vggcalc.pipeline.run import measure_and_write
from vggcalc.protocol import (
    CONTROL,
    PROTOCOL,
    Arm,
    ArmProfile,
    ArmReady,
    ArmsReady,
    Job,
    Message,
    RoofRates,
    Rounds,
    TimingJob,
    WorkerInfo,
)
from vggcalc.results import Comparison, Configuration, Environment, LatencyRatio, Variant

KERNEL = vggcalc.factorize(5, in_channels=2, out_channels=2, size=6)
NETWORK = vggcalc.compare("2,M,2@5,M", size=8)
CPU = Configuration("cpu", "float32")
RATIO = 0.6

SCRIPT = r"""
import json, os, random, select, signal, sys, time

script = json.loads(sys.argv[1])
data = b""
while not data.endswith(b"\n"):
    piece = os.read(0, 1 << 16)
    if not piece:
        sys.exit()  # the parent has gone
    data += piece
job = json.loads(data)
kind = job["type"]
key = str(job["seed"]) if kind == "TimingJob" else kind
moment, deed = script["acts"].get(key, script["acts"].get("*" if kind == "TimingJob" else "", ["never", ""]))

def log(**entry):
    with open(script["log"], "a") as file:
        file.write(json.dumps({"pid": os.getpid(), "key": key} | entry) + "\n")

def write(data):
    while data:
        data = data[os.write(1, data):]

def send(kind, **fields):
    write(json.dumps({"type": kind} | fields).encode() + b"\n")

def act(now):
    if now != moment:
        return
    if deed == "die once":
        with open(script["log"]) as file:
            if [json.loads(line)["key"] for line in file].count(key) > 1:
                return
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "raise":
        raise MemoryError("no room")
    if deed == "half":
        write(b'{"type":"Rounds","wall_s":[[0.00')
        os._exit(0)
    if deed == "rubbish":
        write(b"OMP: Warning #96: something\n")
    if deed == "refuse":
        send("JobRefused", reason="cpu has 3 bytes free, and 4 are needed")
        os._exit(0)
    if deed == "done":
        send("JobDone")
        os._exit(0)
    # What it sends now is read behind everything else: the parent's side then does what it says.
    send("ArmReady", arm={"variant": deed, "block": None})
    time.sleep(600)

def rounds(go, rng):
    sent = 0
    while go["rounds"] is None or sent < go["rounds"]:
        rows = []
        for _ in range(script["bundle"]):
            level = 1e-3 * rng.uniform(1, 1.2)
            rows.append([level * script["ratios"].get(label(arm), 1) * rng.gauss(1, 0.002) for arm in go["arms"]])
        rows = rows[: None if go["rounds"] is None else go["rounds"] - sent]
        sent += len(rows)
        send("Rounds", wall_s=rows, cpu_s=rows, faults=[[0.0] * len(row) for row in rows])
        act("rounds %d" % sent)
        if select.select([0], [], [], 0.002)[0]:
            return  # the parent has closed its end

def label(arm):
    return arm["variant"] if arm["block"] is None else arm["variant"] + "/" + arm["block"]

log(asked=[label(arm) for arm, _ in job.get("arms", ())])
if kind == "TimingJob":
    log(pinned=job["pin_allocator"])
act("job")
send("WorkerInfo", **script["facts"])
act("facts")
if kind == "CheckJob":
    for count in script["counts"]:
        send("TorchCounts", **count)
        act("counts")
if kind == "ProbeJob":
    for index, configuration in enumerate(job["configurations"]):
        if configuration["dtype"] in script["refused"]:
            send("Unsupported", index=index, reason="no such kernel")
if kind == "TimingJob":
    arms = [arm for arm, _ in job["arms"]] + [{"variant": "", "block": None}]
    seconds = [script["round_s"].get("block" if arm["block"] else "whole", 1e-4) for arm in arms]
    compiled = [script["compile_s"]] * len(arms)
    send("ArmsReady", arms=arms, calls=[3] * len(arms), round_s=seconds, compile_s=compiled, allocator="pinned")
    act("start")
    go = json.loads(os.read(0, 1 << 16))
    log(go={"arms": list(map(label, go["arms"])), "profile": list(map(label, go["profile"]))})
    rounds(go, random.Random(job["seed"]))
    act("over")
    if go["profile"]:
        send("RoofRates", flops_per_s=1.0, bytes_per_s=1.0, peak_by="a product")
        act("peaks")
        for arm in go["profile"]:
            send("ArmProfile", arm=arm, kernels=["jit:x"], peak_allocated_bytes=1000)
send("JobDone")
"""


def facts(*available: str) -> dict[str, Any]:
    environment = {"python": "3", "torch": "2", "fvcore": "0", "platform": "p", "cpu": "c"}
    environment |= {"instruction_set": "i", "cores": 4, "load": None, "devices": []}
    return {"environment": environment, "available": available, "protocol": PROTOCOL}


def counts(index: int, variant: Variant, macs: int = 0) -> dict[str, Any]:
    """What torch and fvcore count, with as many MACs too many."""
    costs = variant.costs
    return {
        "subject": variant.name,
        "comparison": index,
        "parameters": costs["parameters"],
        "torch_macs": costs["macs"] + macs,
        "torch_training_flops": costs["training_flops"],
        "torch_saved_bytes": costs["saved_bytes"],
        "fvcore_macs": costs["macs"],
        "fvcore_activations": costs["activations"],
        "uncounted": {},
    }


class ScriptedWorker(Worker):
    """A worker process that follows a script, and may ask that this process be interrupted."""

    def messages(self) -> Iterator[Message]:
        for message in super().messages():
            if message == ArmReady(Arm("interrupt")):
                raise KeyboardInterrupt
            if message == ArmReady(Arm("hang")):
                self.inactivity_timeout_s = 0.2  # it is silent from now on
            else:
                yield message


def silently(_: str) -> None:
    pass


class Scripted:
    """Sets what workers do, and knows what jobs they had."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "worker.py"
        self._script.write_text(SCRIPT, encoding="utf-8")
        self._log = folder / "log"
        self._log.touch()
        self.host = Host(lambda: 0.0, lambda: None, lambda: None, self._start, lambda: False)
        self()

    def _start(self, job: Job, inactivity_timeout_s: float) -> Worker:
        return ScriptedWorker(job, inactivity_timeout_s, self.command)

    def __call__(self, acts: dict[str, tuple[str, str]] | None = None, **changes: Any) -> None:
        """`acts`: by the process's number, `*` for every one, or the kind of its job, when and what."""
        script = {
            "log": str(self._log),
            "acts": acts or {},
            "facts": facts("cpu"),
            "ratios": {"factorized": RATIO},
            "round_s": {},
            "bundle": 10,
            "compile_s": None,
            "counts": [counts(0, variant) for variant in KERNEL.variants],
            "refused": [],
        } | changes
        self.command = (sys.executable, "-I", "-S", str(self._script), json.dumps(script))

    def measured(
        self, *comparisons: Comparison, progress: Callable[[str], None] = silently, **plan: Any
    ) -> MeasurementOutcome:
        """What is measured of the comparisons, of `KERNEL` where there are none."""
        chosen = {"check": False, "devices": ("cpu",), "seed": 0, "budget_s": 30.0} | plan
        return measure_all(comparisons or (KERNEL,), Plan(**chosen), progress, host=self.host)

    def run(self, plan: Plan, format_: str = "table", comparison: Comparison = KERNEL) -> int:
        """The exit status of a command."""
        return measure_and_write("factorize", [comparison], plan, format_, None, host=self.host)

    def log(self, what: str) -> list[Any]:
        entries = [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines()]
        return [entry[what] for entry in entries if what in entry]


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Ctrl-C interrupts also where a shell, for its background jobs, has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Scripted]:
    """Scripted workers, none of which is left behind."""
    found = Scripted(tmp_path)
    yield found
    for pid in set(found.log("pid")):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def ratio(outcome: MeasurementOutcome, index: int = 0) -> LatencyRatio:
    (one,) = outcome.comparisons[index].ratios
    (found,) = one.latency
    return found


# Where all goes well


def test_six_processes_that_are_precise_enough(scripted: Scripted) -> None:
    outcome = scripted.measured()
    found = ratio(outcome)
    assert (found.basis, found.processes, found.stopped, found.verdict) == (
        "processes", MOST_PROCESSES, "precise", "faster",
    )  # fmt: skip
    assert found.ratio == pytest.approx(RATIO, rel=0.01)
    assert found.control_ratio == pytest.approx(1, rel=0.01)
    assert min(found.rounds_per_process) >= 30
    assert found.rounds == min(found.rounds_per_process)
    assert (outcome.failures, outcome.interrupted, outcome.disagrees) == ((), False, False)
    assert scripted.log("key") == [str(n) for n in range(6) for _ in "jpg"], "each with a seed of its own"


def test_the_rounds_asked_for_are_done_in_every_process(scripted: Scripted) -> None:
    found = ratio(scripted.measured(rounds=7, processes=4, precision=1e-9))
    assert found.rounds_per_process == (7, 7, 7, 7)
    assert (found.basis, found.stopped) == ("processes", "rounds")


def test_one_process_says_so(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(check=False, devices=("cpu",), processes=1)
    assert scripted.run(plan) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "this process only: " in text
    assert "exact interval of their median, until each process was precise enough" in text
    assert re.search(r"\(95% CI 1\.6\d–1\.6\d, in one process\)", text), "the answer says it too"
    assert "interval over processes" not in text


def test_rounds_too_few_for_an_interval_claim_none(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(check=False, devices=("cpu",), processes=1, rounds=5)
    assert scripted.run(plan) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "no interval: 5 rounds of one process" in text
    assert "none: 5 rounds unclear" in text
    assert "is unclear (1.67 times as fast in 5 rounds, too few for" in text


def test_the_first_process_finds_the_roof_and_the_kernels(scripted: Scripted) -> None:
    """A roof of one FLOP a second, which every module beats: none is above 100% all the same."""
    (comparison,) = scripted.measured(NETWORK, rounds=6).comparisons
    profiled = [go["profile"] for go in scripted.log("go")]
    assert profiled == [["naive", "factorized"]] + [[]] * 5
    (roof,) = comparison.roofs
    assert roof.peak_by == "a product"
    assert roof.raised_by in ("naive", "factorized", "naive/block2", "factorized/block2")
    for variant in comparison.variants:
        (whole,) = variant.latency
        assert (whole.kernels, whole.peak_allocated_bytes) == (("jit:x",), 1000)
        for latency in (whole, *(one for block in variant.blocks for one in block.latency)):
            assert latency.flops_per_s is not None
            assert 0 < (latency.roof_share or 0) <= 1


# Blocks


def blocks_of(outcome: MeasurementOutcome) -> list[LatencyRatio]:
    (one,) = outcome.comparisons[0].ratios
    return [found for block in one.blocks for found in block.latency]


def test_blocks_are_timed_in_every_process_where_the_budget_holds_them(scripted: Scripted) -> None:
    outcome = scripted.measured(NETWORK, rounds=7)
    assert [go["arms"] for go in scripted.log("go")] == [
        ["naive", "factorized", "naive/block2", "factorized/block2", CONTROL.variant]
    ] * MOST_PROCESSES
    (block,) = blocks_of(outcome)
    assert (block.basis, block.processes) == ("processes", MOST_PROCESSES)
    naive, factorized = outcome.comparisons[0].variants
    assert [len(b.latency) for b in naive.blocks] == [len(b.latency) for b in factorized.blocks] == [0, 1]


def test_blocks_in_the_first_process_alone_claim_that_process_alone(
    scripted: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    """A round of them is said to take 8 s: three processes with six such rounds do not go into 100 s."""
    scripted(round_s={"block": 4.0})
    outcome = scripted.measured(NETWORK, budget_s=100.0)
    whole = ["naive", "factorized", CONTROL.variant]
    first, *others = (go["arms"] for go in scripted.log("go"))
    assert set(first) - set(whole) == {"naive/block2", "factorized/block2"}
    assert others == [whole] * (MOST_PROCESSES - 1)
    assert scripted.log("asked")[1:] == [["naive", "factorized"]] * (MOST_PROCESSES - 1), "nor built"
    (block,) = blocks_of(outcome)
    assert (block.basis, block.processes) == ("process", 1)
    assert (ratio(outcome).basis, ratio(outcome).processes) == ("processes", MOST_PROCESSES)
    assert len(outcome.comparisons[0].variants[0].blocks[1].latency[0].times_s) == block.rounds


def test_blocks_without_a_claim_are_left_out(scripted: Scripted) -> None:
    scripted(round_s={"block": 40.0})
    outcome = scripted.measured(NETWORK, budget_s=100.0)
    assert [go["arms"] for go in scripted.log("go")] == [["naive", "factorized", CONTROL.variant]] * MOST_PROCESSES
    assert blocks_of(outcome) == []
    assert ratio(outcome).processes == MOST_PROCESSES


def test_one_process_where_the_budget_does_not_hold_three(scripted: Scripted) -> None:
    scripted(round_s={"whole": 2.0, "block": 40.0})
    found = ratio(scripted.measured(NETWORK, budget_s=100.0))
    assert (found.basis, found.processes) == ("process", 1)


def test_blocks_share_their_95_percent(scripted: Scripted) -> None:
    """Two blocks in which the variants differ, in two comparisons: each of four intervals."""
    comparison = vggcalc.compare("2@5,M,2@5,M", size=8)
    (one,) = scripted.measured(comparison, comparison, rounds=8, processes=3).comparisons[0].ratios
    assert [block.latency[0].compared for block in one.blocks] == [4, 4]
    assert one.latency[0].compared == 2


# Several comparisons and configurations


def test_each_of_several_comparisons_holds_its_share_of_95_percent(scripted: Scripted) -> None:
    outcome = scripted.measured(KERNEL, KERNEL, dtypes=("float32", "bfloat16"), rounds=9, processes=3)
    for comparison in outcome.comparisons:
        (one,) = comparison.ratios
        assert [(found.dtype, found.compared) for found in one.latency] == [("float32", 4), ("bfloat16", 4)]
        assert [latency.dtype for latency in comparison.variants[0].latency] == ["float32", "bfloat16"]


def test_an_accelerator_found_on_the_way_counts_among_the_comparisons(scripted: Scripted) -> None:
    """What `auto` means is known only once the first worker has told."""
    scripted(facts=facts("cpu", "mps"))
    (comparison,) = scripted.measured(devices=("auto",), rounds=9, processes=3).comparisons
    (one,) = comparison.ratios
    assert [(found.device, found.compared) for found in one.latency] == [("cpu", 2), ("mps", 2)]


def test_what_a_machine_does_not_support_is_said_and_the_rest_is_measured(scripted: Scripted) -> None:
    scripted(refused=["float16"])
    outcome = scripted.measured(dtypes=("float16", "float32"), rounds=6, processes=3)
    assert outcome.failures == ("latency on cpu float16: no such kernel",)
    assert ratio(outcome).dtype == "float32"
    assert ratio(outcome).compared == 1


# Workers that fail


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        ("kill", "the worker was ended by SIGKILL (the system kills so when memory runs out)"),
        ("raise", "the worker ended with status 1: MemoryError: no room"),
        ("half", "the worker ended with status 0 in the middle of a message"),
        ("rubbish", "the worker sent something that is no message: b'OMP: Warning #96: something\\n'"),
        ("refuse", "cpu has 3 bytes free, and 4 are needed"),
        ("hang", "the worker was silent for 0 s and was ended"),
    ],
)
def test_a_worker_that_fails_in_the_middle_of_its_rounds(scripted: Scripted, deed: str, why: str) -> None:
    """In the second of six, after too few rounds: the claim rests on the five others."""
    scripted({"1": ("rounds 4", deed)}, bundle=4)
    outcome = scripted.measured()
    assert outcome.failures == (f"latency of 5×5 on cpu, process 2 of 6: {why}",)
    found = ratio(outcome)
    assert (found.basis, found.processes, found.stopped) == ("processes", 5, "failed")
    assert found.ratio == pytest.approx(RATIO, rel=0.01)
    assert found.rounds >= 30
    assert len(outcome.comparisons[0].variants[0].latency[0].times_s) == sum(found.rounds_per_process)
    assert not outcome.interrupted


def test_what_a_failed_worker_had_sent_counts_where_it_is_enough(scripted: Scripted) -> None:
    scripted({"1": ("rounds 20", "kill")})
    found = ratio(scripted.measured())
    assert (found.processes, found.stopped) == (6, "failed")
    assert found.rounds == found.rounds_per_process[1] == 20


@pytest.mark.parametrize("moment", ["job", "facts", "start", "rounds 4"])
def test_workers_that_all_fail(scripted: Scripted, capsys: pytest.CaptureFixture[str], moment: str) -> None:
    """The counts are printed, the reason is named, and no third one is started."""
    scripted({"*": (moment, "kill")}, bundle=4)
    plan = Plan(check=False, devices=("cpu",))
    assert scripted.run(plan) == 1
    out, err = capsys.readouterr()
    assert f"{KERNEL['naive'].costs['macs']:,}" in out
    assert "ended by SIGKILL" in err
    assert "Traceback" not in err
    assert 1 <= len(set(scripted.log("pid"))) <= trial.MOST_FAILURES
    if not moment.startswith("rounds"):
        assert "Latency of" not in out
    else:
        assert "no interval: 4 rounds of one process, until a worker failed" in " ".join(out.split())


@pytest.mark.parametrize("moment", ["start", "rounds 30"])
def test_the_first_worker_fails_after_its_start(scripted: Scripted, moment: str) -> None:
    scripted({"0": (moment, "kill")})
    outcome = scripted.measured()
    assert len(outcome.failures) == 1
    assert "process 1" in outcome.failures[0]
    if moment == "rounds 30":
        found = ratio(outcome)
        assert found.stopped == "failed"
        assert (found.basis == "processes") == (found.processes > 1), "labelled by what it rests on"


def test_all_workers_but_the_first_fail(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    """Then the claim is that of one process, in its words."""
    scripted({str(n): ("start", "raise") for n in range(1, 6)})
    assert scripted.run(Plan(check=False, devices=("cpu",))) == 1
    out, err = capsys.readouterr()
    text = " ".join(out.split())
    assert "this process only: " in text
    assert "until a worker failed" in text
    assert "interval over processes" not in text
    assert [line for line in err.splitlines() if "process 2 of 6: " in line and "no room" in line]
    assert [line for line in err.splitlines() if "process 3 of 6: " in line and "no room" in line]
    assert "process 4" not in err
    assert len(set(scripted.log("pid"))) == 3


def test_workers_that_are_done_before_they_have_begun_are_not_started_for_ever(scripted: Scripted) -> None:
    scripted({"*": ("facts", "done")})
    told: list[str] = []

    def progress(text: str) -> None:
        told.append(text)
        if len(told) > 2 * MOST_PROCESSES:
            raise KeyboardInterrupt

    outcome = scripted.measured(progress=progress)
    assert not outcome.interrupted
    assert outcome.failures


@pytest.mark.parametrize("deed", ["kill", "half", "rubbish", "raise"])
def test_a_worker_that_fails_after_its_rounds_leaves_them(scripted: Scripted, deed: str) -> None:
    """While it looks for the kernels: only these are missing."""
    scripted({"0": ("peaks", deed)})
    outcome = scripted.measured(rounds=6, processes=3)
    assert len(outcome.failures) == 1
    assert ratio(outcome).rounds_per_process == (6,) * 3
    assert outcome.comparisons[0].variants[0].latency[0].kernels == ("jit:x",), "the next process looks again"
    (roof,) = outcome.comparisons[0].roofs
    assert roof.peak_by == "a product"


def test_a_worker_that_dies_while_probing_is_started_once_more(scripted: Scripted) -> None:
    """Its job holds nothing; the second one's death is a failure."""
    scripted({"ProbeJob": ("facts", "die once")})
    outcome = scripted.measured(dtypes=("bfloat16",), rounds=6, processes=3)
    assert outcome.failures == ()
    assert outcome.comparisons[0]["naive"].latency
    scripted({"ProbeJob": ("facts", "kill")})
    (failure,) = scripted.measured(dtypes=("bfloat16",), rounds=6, processes=3).failures
    assert "the worker was ended by SIGKILL" in failure


def test_a_failure_costs_only_its_own_comparison(scripted: Scripted) -> None:
    """Each comparison bears as many as it bears alone."""
    scripted({"*": ("facts", "kill")})
    outcome = scripted.measured(KERNEL, NETWORK)
    assert [failure.partition(" on cpu")[0] for failure in outcome.failures] == [
        "latency of 5×5",
        "latency of 2,M,2@5,M",
    ]
    assert outcome.comparisons == (KERNEL, NETWORK)
    assert outcome.environment is not None


# The crosscheck


def test_a_crosscheck_that_agrees(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    assert scripted.run(Plan(latency=False)) == 0
    out, err = capsys.readouterr()
    assert "of 5×5 confirmed by torch and fvcore." in " ".join(out.split())
    assert "disagrees" not in out
    assert err == "", "progress is for terminals"


def test_one_mac_too_many_is_status_3_with_both_numbers(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    naive, factorized = KERNEL.variants
    scripted(counts=[counts(0, naive, macs=1), counts(0, factorized)])
    plan = Plan(devices=("cpu",), rounds=6, processes=3)
    assert scripted.run(plan) == 3
    out, _ = capsys.readouterr()
    assert "The crosscheck of 5×5 disagrees" in out
    macs = naive.costs["macs"]
    assert isinstance(macs, int)
    (line,) = (line for line in out.splitlines() if "differs" in line)
    assert line.split() == ["naive", "MACs", f"{macs:,}", f"{macs + 1:,}", f"{macs:,}", "differs"]
    assert "confirmed" not in out
    assert "Latency of 5×5" in out, "it is measured all the same"


@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
@pytest.mark.parametrize("dtype", ITEMSIZE)
def test_what_agrees_in_float32_agrees_in_every_dtype(dtype: str) -> None:
    from vggcalc.protocol import Subject
    from vggcalc.runtime.check.counts import torch_counts

    comparison = vggcalc.factorize(5, in_channels=2, out_channels=2, size=6, batch_norm=True, dtype=dtype)
    for variant in comparison.variants:
        found = measurement.crosscheck(variant, torch_counts(Subject(variant.name, variant.network), True, dtype), None)
        assert found.agrees


@pytest.mark.parametrize(
    ("moment", "deed"),
    [
        ("job", "kill"),
        ("facts", "kill"),
        *(("counts", deed) for deed in ("kill", "raise", "half", "rubbish", "refuse")),
    ],
)
def test_a_crosscheck_that_fails(
    scripted: Scripted, capsys: pytest.CaptureFixture[str], moment: str, deed: str
) -> None:
    """What was not counted again is not confirmed, and the rest is measured."""
    scripted({"CheckJob": (moment, deed)})
    plan = Plan(devices=("cpu",), rounds=6, processes=1)
    assert scripted.run(plan) == 1
    out, err = capsys.readouterr()
    assert "Latency of 5×5" in out
    assert len([line for line in err.splitlines() if line.startswith("vggcalc: crosscheck: ")]) == 1
    assert "of 5×5 confirmed by" not in " ".join(out.split()), "which would be both variants"


# Ctrl-C


@pytest.mark.parametrize(
    ("key", "moment", "rounds"),
    [
        ("CheckJob", "job", 0),
        ("CheckJob", "counts", 0),
        ("ProbeJob", "facts", 0),
        ("0", "job", 0),
        ("0", "facts", 0),
        ("0", "start", 0),
        ("0", "rounds 6", 6),
        ("2", "job", 14),
        ("2", "rounds 6", 14),
        ("5", "over", 42),
        ("0", "peaks", 7),
    ],
)
def test_ctrl_c_at_any_moment(
    scripted: Scripted, capsys: pytest.CaptureFixture[str], key: str, moment: str, rounds: int
) -> None:
    """What was measured is printed, and says that it was interrupted; no process is left.

    Of the interrupted process's rounds those count that had been sent, where they are enough or the only ones.
    """
    scripted({key: (moment, "interrupt")}, bundle=2)
    plan = Plan(devices=("cpu",), dtypes=("bfloat16",), rounds=7)
    comparison = vggcalc.factorize(5, in_channels=2, out_channels=2, size=6)
    assert scripted.run(plan, "json", comparison) == 130
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "vggcalc: interrupted: only what was measured before is reported\n" in err
    (found,) = json.loads(out)["comparisons"]
    assert found["variants"][0]["costs"]["macs"] == comparison["naive"].costs["macs"]
    times = [len(latency["times_s"]) for variant in found["variants"] for latency in variant["latency"]]
    assert times == ([rounds] * 2 if rounds else [])
    told = [latency for one in found["ratios"] for latency in one["latency"]]
    assert [latency["stopped"] for latency in told] == ["interrupted"] * bool(rounds)
    assert [sum(latency["rounds_per_process"]) for latency in told] == times[:1]


@pytest.mark.parametrize("call", range(1, 9))
def test_ctrl_c_while_the_parent_works(scripted: Scripted, call: int) -> None:
    """Wherever it tells its progress: the crosscheck, the probe, the start and every bundle of rounds."""
    told: list[str] = []

    def progress(text: str) -> None:
        told.append(text)
        if len(told) == call:
            raise KeyboardInterrupt

    plan: dict[str, Any] = {"check": True, "dtypes": ("bfloat16",), "rounds": 7, "processes": 3}
    outcome = scripted.measured(progress=progress, **plan)
    assert outcome.interrupted
    assert len(told) == call


def test_ctrl_c_in_the_second_comparison_leaves_the_first(scripted: Scripted) -> None:
    def progress(text: str) -> None:
        if "2,M,2@5,M" in text:
            raise KeyboardInterrupt

    outcome = scripted.measured(KERNEL, NETWORK, progress=progress, rounds=6, processes=3)
    assert outcome.interrupted
    assert ratio(outcome).stopped == "rounds"
    assert outcome.comparisons[1] == NETWORK


def test_ctrl_c_while_the_intervals_are_computed(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing scipy for them takes a moment, in which a key is soon pressed."""
    original = Trial.result
    pressed: list[bool] = []

    def result(self: Trial) -> TrialResult:
        if not pressed:
            pressed.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    monkeypatch.setattr(Trial, "result", result)
    outcome = scripted.measured(rounds=6, processes=3)
    assert outcome.interrupted
    assert ratio(outcome).rounds_per_process == (6, 6, 6)


#: `vggcalc` with a worker of our own, and Ctrl-C when it comes to import a module.
WITH_CTRL_C = """
import json, os, signal, sys
import vggcalc.cli.main, vggcalc.measurement.worker

module, command, *arguments = sys.argv[1:]

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored
sys.meta_path.insert(0, Finder())
vggcalc.measurement.worker.COMMAND = tuple(json.loads(command))
sys.argv[1:] = arguments
vggcalc.cli.main.main()
"""


@pytest.mark.parametrize(
    "module", ["scipy", "numpy.lib", "scipy.special", "vggcalc.measurement.trial", "vggcalc.measurement.session"]
)
def test_ctrl_c_while_something_is_imported(scripted: Scripted, module: str) -> None:
    """numpy, once interrupted, cannot be imported again in that process."""
    command = json.dumps(scripted.command)
    arguments = ("factorize", "5", "--json", "--no-check", "--device", "cpu", "--budget", "5")
    done = subprocess.run(
        [sys.executable, "-c", WITH_CTRL_C, module, command, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 130
    if not module.startswith("vggcalc"):
        assert json.loads(done.stdout)["comparisons"][0]["variants"][0]["costs"]["parameters"] == 102_464


# Memory


def test_too_large_a_comparison_starts_no_worker(scripted: Scripted) -> None:
    scripted.host = msgspec.structs.replace(scripted.host, free_bytes=lambda: 1_000_000)
    outcome = scripted.measured()
    (failure,) = outcome.failures
    assert failure.startswith("latency of 5×5 on cpu: it needs 600,")
    assert failure.endswith(" bytes of memory, and 1,000,000 are free: try a smaller --size or --batch")
    assert outcome.comparisons == (KERNEL,)
    assert scripted.log("pid") == []


def test_a_system_that_does_not_report_its_memory_is_trusted(scripted: Scripted) -> None:
    assert scripted.host.free_bytes() is None
    assert ratio(scripted.measured(rounds=6)).processes == MOST_PROCESSES


@pytest.mark.parametrize(("spare", "starts"), [(-1, False), (0, True), (1, True)])
def test_memory_that_is_just_enough_is_enough(scripted: Scripted, spare: int, starts: bool) -> None:
    free = limits.needed_bytes(KERNEL, CPU, blocks=False) + spare
    scripted.host = msgspec.structs.replace(scripted.host, free_bytes=lambda: free)
    outcome = scripted.measured(rounds=6, processes=3)
    assert bool(scripted.log("pid")) == bool(outcome.comparisons[0].roofs) == starts
    assert bool(outcome.failures) != starts


def test_the_library_pins_the_allocator_unless_it_is_told_not_to(scripted: Scripted) -> None:
    """As the command line does."""
    scripted.measured(rounds=6, processes=1)
    scripted.measured(rounds=6, processes=1, pin_allocator=False)
    assert scripted.log("pinned") == [True, False]


# What was measured, assembled


def sent(seed: int, rounds: int, arms: tuple[Arm, ...]) -> ProcessRounds:
    """One process's rounds; an arm of a block takes half the time of its whole."""
    rng = random.Random(seed)
    count = len(arms)
    process = ProcessRounds(ArmsReady(arms, (1,) * count, (1e-3,) * count, (None,) * count, "pinned"), arms)
    wall = tuple(
        tuple(rng.uniform(1, 1.1) * (2e-3 if arm.block is None else 1e-3) for arm in arms) for _ in range(rounds)
    )
    process.add(Rounds(wall, wall, wall))
    return process


def record(*rounds: int, **changes: Any) -> TrialRecord:
    arms = Arms.of(NETWORK, 1)
    timed = (*arms.whole, *arms.blocks, CONTROL)
    processes = tuple(sent(seed, number, timed) for seed, number in enumerate(rounds))
    return msgspec.structs.replace(TrialRecord(arms, CPU, processes, frozenset({"rounds"}), 3, 0.5), **changes)


def test_without_rounds_nothing_is_assembled() -> None:
    assert assemble(record(), NETWORK, 6) == assemble(record(0, 0), NETWORK, 6) == TrialResult()
    assert with_measurements(NETWORK, [TrialResult()]) == NETWORK


def test_processes_with_too_few_rounds_are_left_out_unless_there_is_no_other() -> None:
    baseline = Arm("naive")
    assert assemble(record(6, 5, 7), NETWORK, 6).latencies[baseline].rounds_per_process == (6, 7)
    assert assemble(record(2, 5, 3), NETWORK, 6).latencies[baseline].rounds_per_process == (5,)


def test_of_several_reasons_to_stop_the_gravest_is_reported() -> None:
    for reasons, expected in (
        ({"precise", "budget"}, "budget"),
        ({"rounds", "failed"}, "failed"),
        ({"failed", "interrupted"}, "interrupted"),
        (set(), "interrupted"),
    ):
        found = assemble(record(6, stopped=frozenset(reasons)), NETWORK, 6).ratios[Arm("factorized")]
        assert (found.stopped, found.seed, found.load) == (expected, 3, 0.5)


def test_a_comparison_holds_its_trials_in_order_with_profiles_and_roofs() -> None:
    profile = ArmProfile(Arm("naive"), ("jit:x",), 1000)
    first = assemble(record(6, profiles={profile.arm: profile}, rates=RoofRates(1e12, 1e11, "a copy")), NETWORK, 6)
    second = assemble(record(7, 8), NETWORK, 6)
    found = with_measurements(NETWORK, [first, second])
    naive, factorized = found.variants
    assert [sum(latency.rounds_per_process) for latency in naive.latency] == [6, 15]
    assert [latency.kernels for latency in naive.latency] == [("jit:x",), ()]
    assert [latency.peak_allocated_bytes for latency in naive.latency] == [1000, None]
    assert [latency.kernels for latency in factorized.latency] == [(), ()]
    assert [len(block.latency) for block in factorized.blocks] == [0, 2]
    assert [roof.peak_by for roof in found.roofs] == ["a copy"]
    (one,) = found.ratios
    assert [ratio.rounds_per_process for ratio in one.latency] == [(6,), (7, 8)]
    (block,) = one.blocks
    assert (block.name, [ratio.rounds_per_process for ratio in block.latency]) == ("block2", [(6,), (7, 8)])
    flops = naive.costs["flops"]
    assert flops is not None
    assert naive.latency[0].flops_per_s == pytest.approx(flops / naive.latency[0].median_s)


# The budget, under a clock that the test sets


class FakeWorker(ClockedWorker):
    """Does one job, with these times."""

    start_s = round_s = block_start_s = 0.0
    compile_s: float | None = None

    def messages(self) -> Iterator[Message]:
        assert isinstance(self._job, TimingJob)
        rng = random.Random(self._job.seed)
        environment = Environment("3", "2", "0", "p", "c", "i", 4, None)
        yield WorkerInfo(environment, ("cpu",))
        for arm, _ in self._job.arms:
            type(self).now += self.start_s / len(self._job.arms) + (self.compile_s or 0)
            type(self).now += self.block_start_s if arm.block is not None else 0
            yield ArmReady(arm)
        arms = (*(arm for arm, _ in self._job.arms), CONTROL)
        each, compiled = self.round_s / len(arms), (*(self.compile_s for _ in self._job.arms), None)
        yield ArmsReady(arms, (1,) * len(arms), (each,) * len(arms), compiled, "default")
        assert self._go is not None
        sent = 0
        while not self._stopped and sent != self._go.rounds:
            type(self).now += each * len(self._go.arms)
            row = tuple(rng.uniform(1, 2) for _ in self._go.arms)
            yield Rounds((row,), (row,), (row,))
            sent += 1


def under_a_clock(
    comparison: Comparison, plan: Plan, start_s: float, round_s: float, compile_s: float | None = None
) -> tuple[float, int, Comparison]:
    """Seconds that pass, workers that are started, and the result."""
    times = {"jobs": [], "start_s": start_s, "round_s": round_s, "compile_s": compile_s}
    worker = type("Timed", (FakeWorker,), times)
    host = Host(worker.clock, lambda: None, lambda: None, worker)
    one = Trial(comparison, CPU, plan, 1, None, host, plan.budget_s)
    one.run(lambda facts: None, lambda text, left_s: None)
    assert one.failures == []
    return worker.now, len(worker.jobs), with_measurements(comparison, [one.result()])


@given(st.floats(1, 100), st.floats(1e-3, 20), st.floats(0.02, 20))
def test_the_budget_is_kept_within_one_round_and_one_start(budget_s: float, start_s: float, round_s: float) -> None:
    """And what is claimed rests on as many processes and rounds as it says."""
    plan = Plan(budget_s=budget_s, precision=1e-12)
    spent, started, comparison = under_a_clock(KERNEL, plan, start_s, round_s)
    assert spent <= budget_s + start_s + round_s
    (one,) = comparison.ratios
    (found,) = one.latency
    assert found.stopped == "budget"
    assert found.processes <= started <= MOST_PROCESSES
    if started > 1:
        assert (found.basis, found.processes) == ("processes", started)
        assert found.processes >= LEAST_PROCESSES
        assert found.rounds >= least_rounds(1)
    else:
        assert found.basis == ("process" if found.rounds >= least_rounds(1) else "none")


@given(st.sampled_from([KERNEL, NETWORK]), st.floats(0.1, 20), st.floats(0.02, 10))
def test_without_a_budget_the_headline_rests_on_processes_and_is_done_when_it_says(
    comparison: Comparison, start_s: float, round_s: float
) -> None:
    """After the first process has started it is known how long all of it takes, 5 minutes at most."""
    told: list[tuple[float, float]] = []
    worker = type("Timed", (FakeWorker,), {"jobs": [], "start_s": start_s, "round_s": round_s})
    one = Trial(comparison, CPU, Plan(precision=1e-12), 1, None, Host(worker.clock, lambda: None, lambda: None, worker))
    one.run(lambda facts: None, lambda text, left_s: told.append((worker.now, left_s)) if left_s is not None else None)
    (found,) = with_measurements(comparison, [one.result()]).ratio("factorized").latency
    assert found.basis == "processes"
    assert found.processes >= LEAST_PROCESSES
    assert found.rounds >= least_rounds(1)
    assert worker.now <= 300 + start_s + round_s
    at_s, left_s = told[0]
    assert worker.now <= 1.3 * (at_s + left_s) + start_s + round_s
    assert at_s + left_s <= 1.3 * worker.now + PROFILE_S


def test_what_building_the_blocks_takes_is_planned_for_once() -> None:
    """In the first process, and not in the others, which have none."""

    def planned_s(block_start_s: float) -> float:
        times = {"jobs": [], "start_s": 4.0, "round_s": 0.1, "block_start_s": block_start_s}
        worker = type("Timed", (FakeWorker,), times)
        host, told = Host(worker.clock, lambda: None, lambda: None, worker), []
        one = Trial(NETWORK, CPU, Plan(precision=1e-12), 1, None, host)
        one.run(lambda facts: None, lambda text, left_s: told.append(worker.now + left_s) if left_s else None)
        return told[0]

    assert planned_s(10) - planned_s(0) == pytest.approx(SLACK * 2 * 10)


@given(st.floats(0.1, 4), st.floats(0.02, 0.4), st.integers(1, 3))
def test_quick_is_one_process_and_ten_seconds_with_the_commands_own(start_s: float, round_s: float, many: int) -> None:
    """Half a second of the ten is left to the command. Six rounds fit, and so there is an interval."""
    worker = type("Timed", (FakeWorker,), {"jobs": [], "start_s": start_s, "round_s": round_s})
    plan = Plan(check=False, devices=("cpu",), quick=True, precision=1e-12)
    host = Host(worker.clock, lambda: None, lambda: None, worker)
    outcome = measure_all([KERNEL] * many, plan, silently, host=host)
    assert len(worker.jobs) == many
    assert [ratio(outcome, index).basis for index in range(many)] == ["process"] * many
    assert worker.now <= 9.5 * many + round_s


@given(st.floats(1, 100), st.floats(1e-3, 20), st.integers(1, 40), st.integers(1, 10))
def test_rounds_that_are_asked_for_keep_the_budget_too(
    budget_s: float, start_s: float, rounds: int, processes: int
) -> None:
    plan = Plan(budget_s=budget_s, precision=1e-12, rounds=rounds, processes=processes)
    spent, started, comparison = under_a_clock(KERNEL, plan, start_s, 0.3)
    assert spent <= budget_s + start_s + 0.3
    assert started <= processes
    (one,) = comparison.ratios
    (found,) = one.latency
    assert max(found.rounds_per_process) <= rounds
    assert found.stopped in ("rounds", "budget")
    if found.stopped == "rounds":
        assert set(found.rounds_per_process) == {rounds}


def test_a_budget_that_is_spent_ends_a_process_at_the_fewest_rounds_of_an_interval() -> None:
    """6 rounds of 1 s are more than what is planned with, and 7 less than what is left beside the profiles."""
    budget_s = 7.2 + PROFILE_S
    assert 7.2 / SLACK < 0.1 + 6 < 0.1 + 7 < 7.2
    _, _, comparison = under_a_clock(KERNEL, Plan(budget_s=budget_s, precision=1e-12), 0.1, 1.0)
    (one,) = comparison.ratios
    assert one.latency[0].rounds_per_process == (least_rounds(1),)


@given(st.floats(200, 300), st.integers(1, 3))
def test_a_budget_is_that_of_all_comparisons_and_enough_of_it_buys_processes(budget_s: float, many: int) -> None:
    worker = type("Timed", (FakeWorker,), {"jobs": [], "start_s": 1.0, "round_s": 0.1})
    plan = Plan(check=False, devices=("cpu",), budget_s=budget_s, precision=1e-12)
    host = Host(worker.clock, lambda: None, lambda: None, worker)
    outcome = measure_all([KERNEL] * many, plan, silently, host=host)
    assert [ratio(outcome, index).basis for index in range(many)] == ["processes"] * many
    assert budget_s / 3 < worker.now <= budget_s + 1.1


def test_precision_ends_the_measuring_before_the_budget() -> None:
    """At the first look that is narrow enough, and never because the interval excludes 1."""
    _, _, comparison = under_a_clock(KERNEL, Plan(budget_s=1e4, precision=1.0), 1.0, 0.1)
    (one,) = comparison.ratios
    looks = (30, 39, 51, 67, 88, 115)
    assert one.latency[0].stopped == "precise"
    assert set(one.latency[0].rounds_per_process) <= set(looks)


def test_compiling_is_told_and_does_not_cost_the_budget() -> None:
    plan = Plan(budget_s=20.0, precision=1e-12)
    eager, number, _ = under_a_clock(KERNEL, plan, 1.0, 0.1)
    spent, started, comparison = under_a_clock(KERNEL, plan, 1.0, 0.1, compile_s=1000.0)
    assert started == number == MOST_PROCESSES
    assert spent == pytest.approx(eager + 2000 * MOST_PROCESSES)
    assert [variant.latency[0].compile_s for variant in comparison.variants] == [1000.0] * 2


def names(items: Sequence[Any]) -> list[str]:
    return [item.name for item in items]


def test_the_control_is_measured_and_is_no_variant() -> None:
    _, _, comparison = under_a_clock(KERNEL, Plan(budget_s=20.0), 1.0, 0.1)
    assert names(comparison.variants) == ["naive", "factorized"]
    (one,) = comparison.ratios
    assert len(one.latency[0].control_times_s) == sum(one.latency[0].rounds_per_process)


def test_sigint_is_left_as_it_was(scripted: Scripted) -> None:
    before = signal.getsignal(signal.SIGINT)
    scripted.measured(rounds=6, processes=1)
    assert signal.getsignal(signal.SIGINT) is before
