"""What a worker does for each kind of job but tracing: it checks, verifies, probes and times."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import msgspec
import torch

from vggcalc.errors import InputError
from vggcalc.nets.fitting import KernelVariants
from vggcalc.nets.layers import Shape
from vggcalc.protocol import (
    CONTROL,
    Arm,
    ArmProfile,
    ArmReady,
    ArmsReady,
    CheckJob,
    EnergyJob,
    FitJob,
    FittingLayer,
    JobDone,
    JobRefused,
    Message,
    NoEnergy,
    ProbeJob,
    RewriteJob,
    Rounds,
    StartRounds,
    Subject,
    TimingJob,
    TimingSeries,
    Unsupported,
    Verified,
    VerifyJob,
    WorkerInfo,
)
from vggcalc.results import AllocatorState
from vggcalc.results.fitted import RewrittenModel, energy_of_all
from vggcalc.runtime.build import build
from vggcalc.runtime.check.counts import torch_counts
from vggcalc.runtime.check.energy import gradient_energies
from vggcalc.runtime.check.gradient import ProbeError
from vggcalc.runtime.check.verify import verify
from vggcalc.runtime.checkpoints import load_kernel, load_weights, save_weights
from vggcalc.runtime.code import write_code
from vggcalc.runtime.data import load_data
from vggcalc.runtime.fit.variants import fit_variants, read_kernel
from vggcalc.runtime.load.errors import LoadError, in_one_line
from vggcalc.runtime.load.load import call_arguments, load
from vggcalc.runtime.rewrite import rewrite_fitting
from vggcalc.runtime.time import allocator
from vggcalc.runtime.time.arms import Built, context, prepare
from vggcalc.runtime.time.devices import Device, DeviceUnavailable, available, device, environment
from vggcalc.runtime.time.roofline import calibrate
from vggcalc.runtime.time.rounds import TimedCall, Timing, rounds, warm

#: Send rounds no more often than this, so that the parent's reading does not disturb them.
SEND_EVERY_S = 0.5

Send = Callable[[Message], None]


def run(
    job: CheckJob | EnergyJob | VerifyJob | ProbeJob | TimingJob | TimingSeries | RewriteJob | FitJob,
    send: Send,
    next_line: Callable[[], bytes],
    stopped: Callable[[], bool],
) -> None:
    """Do a job, and say that it is done, or why it cannot be; what the parent sends comes by `next_line`."""
    try:
        match job:
            case CheckJob():
                check(job, send)
            case EnergyJob():
                look_at_energies(job, send)
            case VerifyJob():
                verify_each(job, send)
            case ProbeJob():
                probe(job, send)
            case TimingJob():
                time_series((job,), send, next_line, stopped)
            case TimingSeries():
                time_series(job.jobs, send, next_line, stopped)
            case RewriteJob():
                allocator.pin()  # else each step of a fit faults its memory in again, a quarter of its time
                rewrite_and_save(job, send)
            case FitJob():
                allocator.pin()
                fit_kernel(job, send, next_line)
    except (DeviceUnavailable, LoadError) as error:
        send(JobRefused(str(error)))
    else:
        send(JobDone())


def check(job: CheckJob, send: Send) -> None:
    """Count every subject again, on all processors."""
    send(WorkerInfo(environment(), available()))
    for subject in job.subjects:
        send(torch_counts(subject, subject.run, job.dtype))


def look_at_energies(job: EnergyJob, send: Send) -> None:
    """Send the gradient's energy of every subject sample by sample, on all processors, or why there is none."""
    send(WorkerInfo(environment(), available()))
    for subject, centres in zip(job.subjects, job.centres, strict=True):
        try:
            for found in gradient_energies(subject, centres, job.samples, job.seed):
                send(found)
        except ProbeError as error:
            send(NoEnergy(subject.name, str(error), subject.comparison))
        except Exception as error:  # whatever a module's own code raises costs only itself
            send(NoEnergy(subject.name, in_one_line(error), subject.comparison))


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


def rewrite_and_save(job: RewriteJob, send: Send) -> None:
    """Rewrite a model and write its weights. Raises `LoadError` for what a user can do something about."""
    send(WorkerInfo(environment(), available()))
    module = load(job.origin) if job.origin is not None else build(job.network)
    if job.weights is not None:
        load_weights(module, job.weights)
    inputs = call_arguments(module, job.origin, job.network)
    try:
        data = None if job.fit_on is None else load_data(job.fit_on, job.network.input_shape)
        done = rewrite_fitting(
            module,
            job.replacing,
            inputs,
            job.fit,
            job.fitting,
            data,
            lambda name, number, of: send(FittingLayer(name, number, of)),
        )
    except InputError as error:
        raise LoadError(str(error)) from None
    if not done.layers:
        reasons = "".join(f"; {name}: {reason}" for name, reason in done.stays[:1])
        why = reasons or ": see vggcalc compare, which says why"
        raise LoadError(f"nothing is replaced in {job.network.name}{why}")
    save_weights(done.module, job.save)
    if job.code is not None:
        write_code(done.module, done.places, job.origin, job.network.name, inputs, job.save, job.code)
    counts = [sum(tensor.numel() for tensor in one.parameters()) for one in (module, done.module)]
    send(
        RewrittenModel(
            job.network.name,
            done.layers,
            (counts[0], counts[1]),
            energy_of_all(done.layers),
            done.output_error,
            done.stays,
            done.chosen,
        )
    )


def fit_kernel(job: FitJob, send: Send, next_line: Callable[[], bytes]) -> None:
    """Read a kernel, and fit the variants that the parent names. Raises `LoadError` as `rewrite_and_save` does."""
    send(WorkerInfo(environment(), available()))
    key, weight, bias = load_kernel(job.weights, job.key)
    read = read_kernel(weight, key, bias is not None if key.endswith("weight") else None)
    send(read)
    if line := next_line():
        try:
            for one in fit_variants(weight, bias, read, msgspec.json.decode(line, type=KernelVariants)):
                send(one)
        except InputError as error:
            raise LoadError(str(error)) from None


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


def time_series(
    jobs: Sequence[TimingJob], send: Send, next_line: Callable[[], bytes], stopped: Callable[[], bool]
) -> None:
    """Do the jobs one after the other, all of them in the first one's configuration."""
    pinned = allocator.pin() if jobs[0].pin_allocator else "default"
    where = device(jobs[0].configuration.device)
    where.configure(jobs[0].configuration)
    send(WorkerInfo(environment(where.facts()), available()))
    for job in jobs:
        if stopped():
            break
        time_arms(job, where, pinned, send, next_line, stopped)


def time_arms(
    job: TimingJob,
    where: Device,
    pinned: AllocatorState,
    send: Send,
    next_line: Callable[[], bytes],
    stopped: Callable[[], bool],
) -> None:
    """Time the job's arms in alternation until the parent says stop; then profile those that it names."""
    configuration = job.configuration
    free = where.free_bytes()
    if free is not None and free < job.need_bytes:
        raise DeviceUnavailable(f"{where.name} has {free:,} bytes free, and {job.need_bytes:,} are needed")
    torch.manual_seed(job.seed)
    least, flush = where.least_timing_s(), where.flush if configuration.cold else None
    with context(configuration):
        built: dict[Arm, Built] = {}
        timed: dict[Arm, TimedCall] = {}
        shapes: dict[tuple[int, str | None], Shape] = {}
        baselines: dict[int, Subject] = {}
        for arm, subject in job.arms:
            baselines.setdefault(arm.comparison, subject)
        controls = ((msgspec.structs.replace(CONTROL, comparison=i), first) for i, first in baselines.items())
        for arm, subject in (*controls, *job.arms):
            ready = built[arm] = prepare(subject, configuration, where, job.seed)
            shape = shapes.setdefault((arm.comparison, arm.block), ready.output_shape)
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
        line = next_line()
        if line:
            start = msgspec.json.decode(line, type=StartRounds)
            chosen = rounds([timed[arm] for arm in start.arms], where.clock, random.Random(job.seed))
            send_rounds(islice(chosen, start.rounds), send, stopped)
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
