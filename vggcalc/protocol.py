"""What parent and worker say to each other: one job on standard input, messages in reply.

Each is one line of JSON. A worker sends `WorkerInfo` first and `JobDone` last; a job is complete only
with `JobDone`, so half a reply is never taken for a whole one. When its standard input closes it
stops at the next round: the parent ends a measuring so, and a dead parent leaves no orphan.
"""

import msgspec

from vggcalc.nets.graph import Network
from vggcalc.nets.layers import Axes, Shape
from vggcalc.nets.origins import Origin
from vggcalc.results import AllocatorState, Configuration, Environment, Verification

PROTOCOL = 6

#: The name of the second copy of the baseline, the A/A control.
CONTROL = "control"


class ProbeTarget(msgspec.Struct, frozen=True):
    """One unit of a layer, whose map are the axes of `shape`, its output's, from `axis` on."""

    layer: str
    unit: Axes
    shape: Shape
    axis: int


class Subject(msgspec.Struct, frozen=True):
    """A network under the name that the parent gives it, and where its module comes from if not from it.

    `targets` are the units that a crosscheck may probe, the best first.
    """

    name: str
    network: Network
    origin: Origin | None = None
    targets: tuple[ProbeTarget, ...] = ()


class TraceJob(msgspec.Struct, frozen=True, tag=True):
    """Import a module and trace it."""

    origin: Origin
    name: str


class CheckJob(msgspec.Struct, frozen=True, tag=True):
    """Count the subjects again with torch; those named in `run` also by running them.

    What autograd keeps is looked at in `dtype`; everything else does not depend on it. Of each
    subject's targets the first is probed that can be met in its module.
    """

    subjects: tuple[Subject, ...]
    run: tuple[str, ...]
    dtype: str = "float32"


class ProbeJob(msgspec.Struct, frozen=True, tag=True):
    """Try each configuration on a small network: what is not supported is said before all else."""

    configurations: tuple[Configuration, ...]
    network: Network


class TimingJob(msgspec.Struct, frozen=True, tag=True):
    """Time the subjects in alternation, the first of them twice, until the parent says stop.

    `slice_s` is about what the process has, of which warming may take its share; `need_bytes` is
    what all subjects need at once on the device.
    """

    subjects: tuple[Subject, ...]
    configuration: Configuration
    seed: int
    slice_s: float
    need_bytes: int
    pin_allocator: bool = True


class VerifyJob(msgspec.Struct, frozen=True, tag=True):
    """Hold every subject without its activations to the one convolution that it then is.

    Weights and images are drawn from `seed`; None is taken that needs more than `free_bytes`.
    """

    subjects: tuple[Subject, ...]
    seed: int
    free_bytes: int | None = None


Job = TraceJob | CheckJob | ProbeJob | TimingJob | VerifyJob


class StartRounds(msgspec.Struct, frozen=True, tag=True):
    """The parent's answer to `ArmsReady`: time these arms, for so many rounds or until it closes its end.

    Then the worker finds the roof, and the kernels and the peak of memory of the arms in `explain`.
    """

    arms: tuple[str, ...]
    rounds: int | None = None
    explain: tuple[str, ...] = ()


class WorkerInfo(msgspec.Struct, frozen=True, tag=True):
    """What the worker runs on, and the devices that `auto` means there."""

    environment: Environment
    available: tuple[str, ...]
    protocol: int = PROTOCOL


class TracedNetwork(msgspec.Struct, frozen=True, tag=True):
    """What a traced module is."""

    network: Network


class GradientExtent(msgspec.Struct, frozen=True):
    """The first and last pixel along each axis with a gradient of the unit; None where none has one."""

    layer: str
    unit: Axes
    span: tuple[tuple[int, int], ...] | None


class TorchCounts(msgspec.Struct, frozen=True, tag=True):
    """One subject counted again; None where it was not run, or where torch is known to be wrong.

    `unprobed` is why a target was given and nothing seen, `refused` why fvcore could not run it.
    """

    subject: str
    parameters: int
    torch_macs: int
    torch_training_flops: int | None
    torch_saved_bytes: int | None
    fvcore_macs: int | None
    fvcore_activations: int | None
    uncounted: dict[str, int]
    seen: GradientExtent | None = None
    unprobed: str | None = None
    refused: str | None = None


class Verified(msgspec.Struct, frozen=True, tag=True):
    """What came of one subject: its verification, or why there is none."""

    subject: str
    verification: Verification | None
    reason: str = ""


class Unsupported(msgspec.Struct, frozen=True, tag=True):
    """The configuration of that index cannot be run here."""

    index: int
    reason: str


class ArmReady(msgspec.Struct, frozen=True, tag=True):
    """An arm is built and warm."""

    arm: str


class ArmsReady(msgspec.Struct, frozen=True, tag=True):
    """The arms are warm. For each: calls in a timing, and seconds that it takes of a round."""

    arms: tuple[str, ...]
    calls: tuple[int, ...]
    round_s: tuple[float, ...]
    compile_s: tuple[float | None, ...]
    allocator: AllocatorState


class Rounds(msgspec.Struct, frozen=True, tag=True):
    """Rounds since the last message; for each the arms' figures, in the order of `StartRounds.arms`.

    Wall and processor seconds for one call; minor page faults for one call.
    """

    wall_s: tuple[tuple[float, ...], ...]
    cpu_s: tuple[tuple[float, ...], ...]
    faults: tuple[tuple[float, ...], ...]


class RoofRates(msgspec.Struct, frozen=True, tag=True):
    """The best rates that the calibration reached."""

    flops_per_s: float
    bytes_per_s: float
    peak_by: str


class ArmProfile(msgspec.Struct, frozen=True, tag=True):
    """One subject's kernels, in the order first met, and the allocator's peak in one call."""

    subject: str
    kernels: tuple[str, ...]
    peak_allocated_bytes: int | None


class JobDone(msgspec.Struct, frozen=True, tag=True):
    """The job is complete."""


class JobRefused(msgspec.Struct, frozen=True, tag=True):
    """The job cannot be done here, for a reason that the user can act on."""

    reason: str


Message = (
    WorkerInfo
    | TracedNetwork
    | TorchCounts
    | Verified
    | Unsupported
    | ArmReady
    | ArmsReady
    | Rounds
    | RoofRates
    | ArmProfile
    | JobDone
    | JobRefused
)
