"""`python -m vggcalc.runtime.worker`: one job from standard input, messages to standard output.

Whatever torch, a library or a user's code prints goes to standard error, so that the parent
reads nothing but messages. The worker ends when its job is done or its standard input closes.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import msgspec
import torch

from vggcalc.jobs import CheckJob, Done, Facts, Job, Message, Refused, Rounds, Start, TimingJob
from vggcalc.runtime import allocator
from vggcalc.runtime.building import build
from vggcalc.runtime.crosscheck import count
from vggcalc.runtime.devices import Device, NoSuchDevice, available, device, environment
from vggcalc.runtime.timing import CONTROL, Arm, Timing, rounds, warm

#: Send rounds no more often than this, so that the parent's reading does not disturb them.
SEND_EVERY_S = 0.5

Send = Callable[[Message], None]


def check(job: CheckJob, send: Send) -> None:
    """Count every subject again, on all processors."""
    send(Facts(environment([]), tuple(available())))
    for subject in job.subjects:
        send(count(subject))


def time_arms(job: TimingJob, send: Send, stopped: threading.Event) -> None:
    """Time the job's subjects in alternation until the budget is spent or the parent says stop."""
    pinned = allocator.pin() if job.pin_allocator else "default"
    try:
        where = device(job.device)
    except NoSuchDevice as error:
        send(Refused(str(error)))
        return
    free = where.free_bytes()
    if free is not None and free < job.need_bytes:
        send(Refused(f"{job.device} has {free:,} bytes free, and {job.need_bytes:,} are needed"))
        return
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    send(Facts(environment([where.facts()]), tuple(available())))
    calls = _calls(job, where)
    deadline = time.monotonic() + job.budget_s
    with torch.inference_mode():
        arms = [warm(name, call, where, job.budget_s) for name, call in calls]
        send(
            Start(
                tuple(arm.name for arm in arms),
                tuple(arm.calls for arm in arms),
                tuple(arm.settling for arm in arms),
                pinned,
            )
        )
        _run(
            arms, where, random.Random(job.seed), send, lambda: stopped.is_set() or time.monotonic() > deadline
        )


def _calls(job: TimingJob, where: Device) -> list[tuple[str, Callable[[], object]]]:
    """A call for every subject, and the baseline's second copy; one image for all of them."""
    dtype = getattr(torch, job.dtype)
    baseline = job.subjects[0]
    image = torch.rand(baseline.network.input_shape).to(where.name, dtype)
    calls: list[tuple[str, Callable[[], object]]] = []
    shapes = set()
    for name, subject in [*((s.name, s) for s in job.subjects), (CONTROL, baseline)]:
        module = build(subject.network).eval().to(where.name, dtype)
        with torch.inference_mode():
            output = module(image)
        if not torch.isfinite(output).all():
            raise ValueError(f"{name} puts out values that are not finite in {job.dtype}")
        shapes.add(tuple(output.shape))
        calls.append((name, partial(module, image)))
    if len(shapes) > 1:
        raise ValueError(f"the variants' outputs differ in shape: {sorted(shapes)}")
    return calls


def _run(arms: list[Arm], where: Device, rng: random.Random, send: Send, over: Callable[[], bool]) -> None:
    """Send rounds in bundles until it is over; the first round is always measured."""
    waiting: list[tuple[Timing, ...]] = []
    sent = time.monotonic()
    for timings in rounds(arms, where.clock, rng):
        waiting.append(timings)
        ended = over()
        if ended or time.monotonic() - sent > SEND_EVERY_S:
            send(
                Rounds(
                    tuple(tuple(t.wall_s for t in row) for row in waiting),
                    tuple(tuple(t.cpu_s for t in row) for row in waiting),
                    tuple(tuple(t.faults for t in row) for row in waiting),
                )
            )
            waiting, sent = [], time.monotonic()
        if ended:
            return


def main() -> None:
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: Message) -> None:
        channel.write(msgspec.json.encode(message) + b"\n")

    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    stopped = threading.Event()

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stopped.set()

    threading.Thread(target=watch, daemon=True).start()
    match job:
        case CheckJob():
            check(job, send)
        case TimingJob():
            time_arms(job, send, stopped)
    send(Done())
    channel.close()


if __name__ == "__main__":
    main()
