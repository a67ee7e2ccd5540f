"""What parent and worker say to each other: one job on standard input, messages in reply.

Each is one line of JSON. A worker sends `WorkerInfo` first and `JobDone` last; a job is complete only
with `JobDone`, so half a reply is never taken for a whole one. When its standard input closes it
stops at the next round: the parent ends a measuring so, and a dead parent leaves no orphan.

It is over 300 lines long because the union of all jobs and that of all messages need them in one module.
"""

import msgspec

from vggcalc.nets.fitting import Fitting
from vggcalc.nets.graph import Network
from vggcalc.nets.layers import Axes, Shape
from vggcalc.nets.origins import Origin, Sources
from vggcalc.nets.replacing import Replacing
from vggcalc.results import AllocatorState, Configuration, Environment, Verification
from vggcalc.results.fitted import FittedVariant, ReadKernel, RewrittenModel

PROTOCOL = 14


class Arm(msgspec.Struct, frozen=True):
    """One of the modules that are timed in alternation: a whole variant, or one of its blocks.

    `comparison` tells several comparisons apart that are timed together.
    """

    variant: str
    block: str | None = None
    comparison: int = 0

    @property
    def label(self) -> str:
        """In a word, for messages: `naive`, `naive/block2`, `control`."""
        name = self.variant or "control"
        return name if self.block is None else f"{name}/{self.block}"


#: The A/A control, a second copy of the whole baseline: no variant's name is empty.
CONTROL = Arm("")


class ProbeTarget(msgspec.Struct, frozen=True):
    """One unit of a layer's feature map, which is the axes of the output's `shape` from `axis` on."""

    layer: str
    unit: Axes
    shape: Shape
    axis: int


class Subject(msgspec.Struct, frozen=True):
    """A network to build, or to import where it has an `origin`; `name` is its variant's.

    `comparison` is the index of its comparison in the command. A crosscheck runs the module only
    where `run` is true, and may probe the units in `targets`, the best first.
    """

    name: str
    network: Network
    origin: Origin | None = None
    targets: tuple[ProbeTarget, ...] = ()
    comparison: int = 0
    run: bool = True


class TraceJob(msgspec.Struct, frozen=True, tag=True):
    """Answer `ListModels` and `TraceModel`, one after the other, until standard input closes."""


class ListModels(msgspec.Struct, frozen=True, tag=True):
    """Name the models of a package's own registry, torchvision's or timm's."""

    package: str


class TraceModel(msgspec.Struct, frozen=True, tag=True):
    """Import a module and trace it."""

    origin: Origin
    name: str


class CheckJob(msgspec.Struct, frozen=True, tag=True):
    """Count the subjects again with torch, and by running them where they may be run.

    The activations that autograd saves are counted in `dtype`, on which nothing else depends. Of
    each subject's targets the first is probed that its module has.
    """

    subjects: tuple[Subject, ...]
    dtype: str = "float32"


class EnergyJob(msgspec.Struct, frozen=True, tag=True):
    """Look at the gradient of one unit of each subject in so many seeded inputs, and at its energy around a centre.

    A subject's unit is that of the first of its targets that its module has. `centres` are, for each subject, where the
    middle of the unit's field lies on the input, by the target's layer.
    """

    subjects: tuple[Subject, ...]
    centres: tuple[dict[str, tuple[float, ...]], ...]
    samples: int
    seed: int


class ProbeJob(msgspec.Struct, frozen=True, tag=True):
    """Run a small network in each configuration, to report what this machine does not support."""

    configurations: tuple[Configuration, ...]
    network: Network


class TimingJob(msgspec.Struct, frozen=True, tag=True):
    """Time the arms in alternation, with a second copy of each comparison's first as its control, until told to stop.

    `slice_s` is about how long the process may take, and bounds how long it warms the arms;
    `need_bytes` is the memory that all arms need at once on the device. With `same_outputs` it is an error if the
    arms put out different shapes.
    """

    arms: tuple[tuple[Arm, Subject], ...]
    configuration: Configuration
    seed: int
    slice_s: float
    need_bytes: int
    pin_allocator: bool = True
    same_outputs: bool = True


class TimingSeries(msgspec.Struct, frozen=True, tag=True):
    """Do one job after the other in the same process, each of which waits for its own `StartRounds`."""

    jobs: tuple[TimingJob, ...]


class VerifyJob(msgspec.Struct, frozen=True, tag=True):
    """Compare every subject, without its activations, with the one convolution that it then is.

    Weights and inputs are drawn from `seed`; a subject that needs more than `free_bytes` is refused.
    """

    subjects: tuple[Subject, ...]
    seed: int
    free_bytes: int | None = None


class RewriteJob(msgspec.Struct, frozen=True, tag=True):
    """Replace convolutions of a network that is built, or of the module of its `origin`, and write its state dict.

    The weights are those in the file `weights` where there is one. With `fit` the new layers take them over, `fitting`
    says how. `code` is a Python file to write, which makes the module. `fit_on` is a file or folder of inputs.
    """

    network: Network
    origin: Origin | None
    replacing: Replacing
    weights: str | None
    save: str
    fit: bool
    fitting: Fitting = Fitting()
    code: str | None = None
    fit_on: str | None = None


class FitJob(msgspec.Struct, frozen=True, tag=True):
    """Read one kernel from a file of weights, send what it is, a `ReadKernel`, and answer `KernelVariants`.

    Without a `key` it is the only one that there is.
    """

    weights: str
    key: str | None


Job = TraceJob | CheckJob | EnergyJob | ProbeJob | TimingJob | TimingSeries | VerifyJob | RewriteJob | FitJob


class StartRounds(msgspec.Struct, frozen=True, tag=True):
    """The parent's answer to `ArmsReady`: time these arms for `rounds`, or until standard input closes.

    With arms in `profile` the worker then calibrates the roof, and profiles each of them.
    """

    arms: tuple[Arm, ...]
    rounds: int | None = None
    profile: tuple[Arm, ...] = ()


class WorkerInfo(msgspec.Struct, frozen=True, tag=True):
    """What the worker runs on, and the devices that `auto` means there."""

    environment: Environment
    available: tuple[str, ...]
    protocol: int = PROTOCOL


class TracedNetwork(msgspec.Struct, frozen=True, tag=True):
    """The network that tracing the module gave; its `sources` where they are all of installed packages."""

    network: Network
    sources: Sources | None = None


class NotTraced(msgspec.Struct, frozen=True, tag=True):
    """The model could not be traced, or listed, for a reason that the user can do something about."""

    reason: str


class ModelNames(msgspec.Struct, frozen=True, tag=True):
    """The names that `ListModels` asks for."""

    names: tuple[str, ...]


class GradientExtent(msgspec.Struct, frozen=True):
    """Along each axis the first and last input position whose gradient of the unit is not 0.

    `span` is None where the gradient is 0 everywhere.
    """

    layer: str
    unit: Axes
    span: tuple[tuple[int, int], ...] | None


class TorchCounts(msgspec.Struct, frozen=True, tag=True):
    """One subject counted again; a count is None where it was not run, or torch is known to be wrong.

    `unprobed` is why none of its targets could be probed, `refused` why fvcore could not run it.
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
    comparison: int = 0


class GradientEnergy(msgspec.Struct, frozen=True, tag=True):
    """One sample of a subject: the share of the gradient's energy within a square of each of `sides` around the centre.

    `shares` is None where the gradient is 0 everywhere.
    """

    subject: str
    layer: str
    sides: tuple[int, ...]
    shares: tuple[float, ...] | None
    comparison: int = 0


class NoEnergy(msgspec.Struct, frozen=True, tag=True):
    """A subject whose gradient could not be looked at, and why."""

    subject: str
    reason: str
    comparison: int = 0


class Verified(msgspec.Struct, frozen=True, tag=True):
    """One subject's verification, or the `reason` why there is none."""

    subject: str
    verification: Verification | None
    reason: str = ""
    comparison: int = 0


class FittingLayer(msgspec.Struct, frozen=True, tag=True):
    """A `RewriteJob` has come to this layer, of so many that are replaced."""

    name: str
    number: int
    of: int


class Unsupported(msgspec.Struct, frozen=True, tag=True):
    """The job's configuration of that index cannot be run here."""

    index: int
    reason: str


class ArmReady(msgspec.Struct, frozen=True, tag=True):
    """An arm is built and warm."""

    arm: Arm


class ArmsReady(msgspec.Struct, frozen=True, tag=True):
    """All arms are warm. For each: calls in a timing, seconds that it takes of a round, and to compile."""

    arms: tuple[Arm, ...]
    calls: tuple[int, ...]
    round_s: tuple[float, ...]
    compile_s: tuple[float | None, ...]
    allocator: AllocatorState


class Rounds(msgspec.Struct, frozen=True, tag=True):
    """The rounds since the last message: a row for each, a column for each of `StartRounds.arms`.

    All figures are for one call: wall seconds, processor seconds and minor page faults.
    """

    wall_s: tuple[tuple[float, ...], ...]
    cpu_s: tuple[tuple[float, ...], ...]
    faults: tuple[tuple[float, ...], ...]


class RoofRates(msgspec.Struct, frozen=True, tag=True):
    """The best rates that the calibration reached; `peak_by` names what reached `flops_per_s`."""

    flops_per_s: float
    bytes_per_s: float
    peak_by: str


class ArmProfile(msgspec.Struct, frozen=True, tag=True):
    """One arm's kernels, in the order first met, and the allocator's peak in one call."""

    arm: Arm
    kernels: tuple[str, ...]
    peak_allocated_bytes: int | None


class JobDone(msgspec.Struct, frozen=True, tag=True):
    """The job is complete."""


class JobRefused(msgspec.Struct, frozen=True, tag=True):
    """The job cannot be done here, for a reason that the user can do something about."""

    reason: str


Message = (
    WorkerInfo
    | TracedNetwork
    | NotTraced
    | ModelNames
    | TorchCounts
    | GradientEnergy
    | NoEnergy
    | Verified
    | RewrittenModel
    | FittingLayer
    | ReadKernel
    | FittedVariant
    | Unsupported
    | ArmReady
    | ArmsReady
    | Rounds
    | RoofRates
    | ArmProfile
    | JobDone
    | JobRefused
)
