"""`python -m vggcalc.runtime.worker`: one job from standard input, messages to standard output.

Whatever torch, a library or a user's code prints goes to standard error, so that the parent
reads nothing but messages. The worker ends when its job is done or its standard input closes.
"""

import os
import queue
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice

import msgspec
import torch

from vggcalc.errors import InputError
from vggcalc.nets.layers import Shape
from vggcalc.protocol import (
    CONTROL,
    Arm,
    ArmProfile,
    ArmReady,
    ArmsReady,
    CheckJob,
    Job,
    JobDone,
    JobRefused,
    Message,
    ProbeJob,
    Rounds,
    StartRounds,
    Subject,
    TimingJob,
    TracedNetwork,
    TraceJob,
    Unsupported,
    Verified,
    VerifyJob,
    WorkerInfo,
)
from vggcalc.runtime.check.counts import count
from vggcalc.runtime.check.verify import verify
from vggcalc.runtime.load.errors import LoadError
from vggcalc.runtime.load.load import traced
from vggcalc.runtime.time import allocator
from vggcalc.runtime.time.arms import Built, context, prepare
from vggcalc.runtime.time.devices import DeviceUnavailable, available, device, environment
from vggcalc.runtime.time.roofline import calibrate
from vggcalc.runtime.time.rounds import TimedCall, Timing, rounds, warm

#: Send rounds no more often than this, so that the parent's reading does not disturb them.
SEND_EVERY_S = 0.5

Send = Callable[[Message], None]


class Inbox:
    """Lines from the parent; `closed` once it has closed its end, or has gone.

    Once it has gone the process ends, with all that it started: a user's code may loop for ever, and
    no one else would end it.
    """

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._stdin = os.dup(0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what a user's code reads is not the parent's
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.closed = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        while piece := os.read(self._stdin, 1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._lines.put(line)
        self.closed.set()
        self._lines.put(b"")
        while os.getppid() == self._parent:  # it has only said that it is enough, and ends us itself
            time.sleep(0.5)
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    def line(self) -> bytes:
        """The next line; empty when the parent has gone."""
        return self._lines.get()


def trace_module(job: TraceJob, send: Send) -> None:
    """Import a module and write down what it does."""
    send(TracedNetwork(traced(job.origin, job.name)))


def check(job: CheckJob, send: Send) -> None:
    """Count every subject again, on all processors."""
    send(WorkerInfo(environment(), available()))
    for subject in job.subjects:
        send(count(subject, subject.run, job.dtype))


def verify_each(job: VerifyJob, send: Send) -> None:
    """Compare every subject with the one convolution that it is, on all processors."""
    send(WorkerInfo(environment(), available()))
    for subject in job.subjects:
        verification, reason = None, ""
        try:
            verification = verify(subject.network, job.seed, job.free_bytes)
        except InputError as error:
            reason = str(error)
        send(Verified(subject.name, verification, reason, subject.comparison))


def probe(job: ProbeJob, send: Send) -> None:
    """Run a small network in every configuration and report those that fail."""
    send(WorkerInfo(environment(), available()))
    for index, configuration in enumerate(job.configurations):
        try:
            where = device(configuration.device)
            where.configure(configuration)
            with context(configuration):
                prepare(Subject("probe", job.network), configuration, where, 0)
        except Exception as error:  # whatever torch raises is the answer to the question
            lines = str(error).strip().splitlines() or [type(error).__name__]
            send(Unsupported(index, lines[0]))


def time_arms(job: TimingJob, send: Send, inbox: Inbox) -> None:
    """Time the job's arms in alternation until the parent says stop; then profile those that it names."""
    pinned = allocator.pin() if job.pin_allocator else "default"
    configuration = job.configuration
    where = device(configuration.device)
    where.configure(configuration)
    send(WorkerInfo(environment(where.facts()), available()))
    free = where.free_bytes()
    if free is not None and free < job.need_bytes:
        raise DeviceUnavailable(f"{where.name} has {free:,} bytes free, and {job.need_bytes:,} are needed")
    torch.manual_seed(job.seed)
    least, flush = where.least_timing_s(), where.flush if configuration.cold else None
    with context(configuration):
        built: dict[Arm, Built] = {}
        timed: dict[Arm, TimedCall] = {}
        shapes: dict[str | None, Shape] = {}
        for arm, subject in ((CONTROL, job.arms[0][1]), *job.arms):
            ready = built[arm] = prepare(subject, configuration, where, job.seed)
            shape = shapes.setdefault(arm.block, ready.output_shape)
            if job.same_outputs and shape != ready.output_shape:
                raise ValueError(f"{arm.label} puts out {ready.output_shape}, and another variant {shape}")
            timed[arm] = warm(ready.call, where.clock, least, job.slice_s, flush)
            send(ArmReady(arm))
        send(
            ArmsReady(
                tuple(timed),
                tuple(one.calls for one in timed.values()),
                tuple(one.round_s for one in timed.values()),
                tuple(ready.compile_s for ready in built.values()),
                pinned,
            )
        )
        line = inbox.line()
        if line:
            start = msgspec.json.decode(line, type=StartRounds)
            chosen = rounds([timed[arm] for arm in start.arms], where.clock, random.Random(job.seed))
            send_rounds(islice(chosen, start.rounds), send, inbox.closed.is_set)
            if start.profile:
                send(calibrate(configuration, where))
                for arm in start.profile:
                    ready = built[arm]
                    peak = where.peak_bytes(ready.eager)
                    allocated = None if peak is None else peak + ready.image_bytes
                    send(ArmProfile(arm, where.kernels(ready.call), allocated))


def send_rounds(
    timed: Iterable[tuple[Timing, ...]],
    send: Send,
    stopped: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Send rounds in bundles until there are no more or it is stopped; the first is always measured."""
    waiting: list[tuple[Timing, ...]] = []
    sent = clock()

    def send_waiting() -> None:
        walls, cpus, faults = (
            tuple(tuple(getattr(timing, figure) for timing in row) for row in waiting)
            for figure in ("wall_s", "cpu_s", "faults")
        )
        send(Rounds(walls, cpus, faults))

    for timings in timed:
        waiting.append(timings)
        if stopped():
            break
        if clock() - sent > SEND_EVERY_S:
            send_waiting()
            waiting, sent = [], clock()
    if waiting:
        send_waiting()


def main() -> None:
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def send(message: Message) -> None:
        channel.write(msgspec.json.encode(message) + b"\n")

    inbox = Inbox()
    job = msgspec.json.decode(inbox.line(), type=Job)
    try:
        match job:
            case TraceJob():
                trace_module(job, send)
            case CheckJob():
                check(job, send)
            case VerifyJob():
                verify_each(job, send)
            case ProbeJob():
                probe(job, send)
            case TimingJob():
                time_arms(job, send, inbox)
    except (DeviceUnavailable, LoadError) as error:
        send(JobRefused(str(error)))
    else:
        send(JobDone())
    channel.close()


if __name__ == "__main__":
    main()
