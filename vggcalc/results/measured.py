"""What was measured or counted on real modules: latencies, ratios, rooflines, crosschecks, verifications."""

from typing import Literal, Self

import msgspec

from vggcalc.nets.layers import Axes, Conv

#: How a module was run.
Mode = Literal["inference", "training"]
MemoryFormat = Literal["contiguous", "channels_last"]
Execution = Literal["eager", "compiled", "graph"]

#: What an interval says of a ratio, what the interval rests on, and why measuring ended.
Verdict = Literal["faster", "slower", "same", "unclear"]
Basis = Literal["processes", "process", "none"]
StopReason = Literal["precise", "budget", "rounds", "failed", "interrupted"]

#: What became of malloc's thresholds: "no_glibc" where there are none, "refused" where glibc kept its own.
AllocatorState = Literal["pinned", "default", "no_glibc", "refused"]

#: What a layer's rate is bound by on the roofline.
Bound = Literal["compute", "memory"]

#: A relative difference between two computations in float64 that rounding may explain.
ROUNDING = 1e-9

#: A smaller difference than this is never reported as one: over processes, and in one process alone, where an interval
#: says nothing of what differs from process to process (their medians of the same modules do, by 1% and now and then
#: by more: a copy of VGG-16 took 1.015 [1.005–1.027] times as long as VGG-16).
LEAST_FLOOR, LEAST_FLOOR_OF_ONE = 0.01, 0.03

#: Where a module cannot be told from its own copy within this, nothing is called the same.
LARGEST_FLOOR_OF_SAME = 0.1


def least_floor(basis: Basis) -> float:
    """The smallest difference that an interval on that basis can be about."""
    return LEAST_FLOOR if basis == "processes" else LEAST_FLOOR_OF_ONE


def judge(ci95: tuple[float, float] | None, floor: float) -> Verdict:
    """Where the interval lies: outside 1 ± floor "faster" or "slower", inside "same", else "unclear".

    A floor above `LARGEST_FLOOR_OF_SAME` is of a machine that had other work to do: then what is inside is "unclear".
    """
    if ci95 is None:
        return "unclear"
    low, high = ci95
    if high < 1 - floor:
        return "faster"
    if low > 1 + floor:
        return "slower"
    inside = low >= 1 - floor and high <= 1 + floor
    return "same" if inside and floor <= LARGEST_FLOOR_OF_SAME else "unclear"


class Configuration(msgspec.Struct, frozen=True):
    """How a module was run. `mode` "training" is forward and backward, without an optimizer's step.

    `execution` is eager, compiled (torch.compile) or graph (a CUDA graph, replayed). `cold` means
    that the caches were flushed before every call.
    """

    device: str
    dtype: str
    threads: int = 1
    mode: Mode = "inference"
    memory_format: MemoryFormat = "contiguous"
    execution: Execution = "eager"
    cold: bool = False

    @property
    def label(self) -> str:
        """Device and whatever is not the default: `cpu`, `cpu bfloat16 2 threads training`."""
        words = [self.device]
        if self.dtype != "float32":
            words.append(self.dtype)
        if self.threads != 1:
            words.append(f"{self.threads} threads")
        usual = ("inference", "contiguous", "eager")
        words += [word for word in (self.mode, self.memory_format, self.execution) if word not in usual]
        return " ".join(words + ["cold"] * self.cold)

    @property
    def configuration(self) -> "Configuration":
        """The configuration alone, also of a latency, a ratio or a roof."""
        return Configuration(**{name: getattr(self, name) for name in Configuration.__struct_fields__})

    @classmethod
    def find(cls, measured: tuple[Self, ...], configuration: "Configuration") -> Self | None:
        """The first of `measured` that ran in that configuration, None if there is none."""
        return next((one for one in measured if one.configuration == configuration), None)


class Latency(Configuration, frozen=True, kw_only=True):
    """Seconds for one call.

    `times_s` are per call, one for each round, process after process in the order measured;
    `iqr_s` is the distance between their quartiles, None for a single round. `faults_per_call` are
    minor page faults. `rounds_per_process` says which of `times_s` are of which process; `ci95` is the
    interval of the time of a call over them, on the same basis as a `LatencyRatio`'s, None where there is none.
    `flops_per_s` is FLOPs / median, `roof_share` its share of what the roofline allows (see `Roof`), which is
    `bound` by "compute" or by "memory". `kernels` are the kernels that torch
    names, `peak_allocated_bytes` the allocator's peak in a pass of its own; each None or empty
    where it was not measured.
    """

    median_s: float
    iqr_s: float | None
    times_s: tuple[float, ...]
    calls_per_round: int
    faults_per_call: float
    compile_s: float | None = None
    flops_per_s: float | None = None
    roof_share: float | None = None
    bound: Bound | None = None
    kernels: tuple[str, ...] = ()
    peak_allocated_bytes: int | None = None
    rounds_per_process: tuple[int, ...] = ()
    ci95: tuple[float, float] | None = None


class LatencyRatio(Configuration, frozen=True, kw_only=True):
    """Time of the variant / time of the baseline, measured in alternation; below 1 is faster.

    `basis` says what the interval rests on: "processes" is Student's t interval of the processes'
    median log-ratios, "process" the exact interval of one process's median, "none" that there is
    no interval, because fewer than six rounds hold no exact one. `compared` intervals hold their
    95% together (Bonferroni). `rounds` is the fewest in a process, `rounds_per_process` all.
    `control_ratio` is a second copy of the baseline against the baseline (A/A), and `floor` the difference
    from 1 that according to it cannot be told from none. `contended` is the share of timings whose wall time
    exceeded the processor time by a tenth, None where the two cannot be compared. `stopped` is why measuring
    ended: every process was "precise" enough, the "budget" was spent, all "rounds" asked for were
    done, a worker "failed", or the user "interrupted" it.
    """

    ratio: float
    ci95: tuple[float, float] | None
    verdict: Verdict
    basis: Basis
    compared: int
    processes: int
    rounds: int
    rounds_per_process: tuple[int, ...]
    control_ratio: float
    control_ci95: tuple[float, float] | None
    control_times_s: tuple[float, ...]
    floor: float
    allocator: AllocatorState
    contended: float | None
    load: float | None
    seed: int
    stopped: StopReason


class BlockRatio(msgspec.Struct, frozen=True):
    """The latencies of one block against those of the baseline's block of that name."""

    name: str
    latency: tuple[LatencyRatio, ...]


class Roof(Configuration, frozen=True, kw_only=True):
    """The best rates observed in one process, which bound what a layer can reach (the roofline).

    `peak_by` names what reached the peak; `raised_by` the module that was measured faster than
    every calibration and so became the roof itself, if one was.
    """

    flops_per_s: float
    bytes_per_s: float
    peak_by: str
    raised_by: str | None = None


class Counted(msgspec.Struct, frozen=True):
    """One figure by its formula (`closed_form`), and as torch and fvcore counted it; None where they did not."""

    closed_form: int
    torch: int | None = None
    fvcore: int | None = None

    @property
    def agrees(self) -> bool:
        """Whether every count equals the formula."""
        return all(other in (None, self.closed_form) for other in (self.torch, self.fvcore))


class GradientProbe(msgspec.Struct, frozen=True):
    """The input positions that one unit depends on, along each axis the first and last: `expected`, and by gradient.

    The gradient is that of the real module in float64 with positive weights, average instead of max pooling, and
    neither norms nor activations; `seen` is where it is not zero, None if it is zero everywhere. An end that is
    expected outside of the input, in the padding, is not compared. `sees` is "window" or "image".
    """

    layer: str
    unit: Axes
    sees: Literal["window", "image"]
    expected: tuple[tuple[int, int], ...]
    seen: tuple[tuple[int, int], ...] | None
    agrees: bool


class Crosscheck(msgspec.Struct, frozen=True):
    """The figures by formula beside torch's and fvcore's counts of the real modules; a receptive field by gradient."""

    agrees: bool
    parameters: Counted
    macs: Counted
    activations: Counted
    training_flops: Counted
    saved_bytes: Counted
    notes: tuple[str, ...] = ()
    receptive_field: GradientProbe | None = None


class HeldEnergy(msgspec.Struct, frozen=True):
    """The side of the smallest square that holds a share of the energy, in input positions, with its 95% interval."""

    side: int
    ci95: tuple[int, int] | None


class EffectiveReceptiveField(msgspec.Struct, frozen=True):
    """How the energy of one unit's gradient is spread over the input (Luo et al. 2016, arXiv 1701.04128).

    The unit is the centre of the last feature map. The energy at a position is the squared gradient, over all channels
    of unit and input; `shares` are the means, over `samples` seeded inputs, of what lies within a square of each of
    `sides` around the centre of the unit's `theoretical` receptive field, None where that is all of the input; an
    interval in one dimension, a cube in three. `half` and `most` are the sides that hold 50% and 95%. An interval is
    that of the means' curve (Woodruff 1952), None of one sample. `weights` are "random", drawn anew for each sample, or
    the "model"'s own. `silent` samples had no gradient at all and are left out.
    """

    layer: str
    unit: Axes
    theoretical: Axes | None
    half: HeldEnergy
    most: HeldEnergy
    sides: tuple[int, ...]
    shares: tuple[float, ...]
    shares_ci95: tuple[tuple[float, float], ...] | None
    samples: int
    silent: int
    weights: Literal["random", "model"]
    seed: int


class Verification(msgspec.Struct, frozen=True):
    """A variant without its activations, compared with the one `convolution` that it then equals, in float64.

    Both ran on one random input of `input_shape`, with weights drawn from `seed`. An error is the
    largest absolute difference over the largest absolute output: of the interior, of the border, and
    of the variant when it pads once, by the total, in its first layer. `border` is along each axis how
    many output positions from each edge may differ, because padding between layers is zeros where the
    one kernel reads real values or a bias; `border_seen` how many did by more than 1e-9. None
    where there is no border, or no chain whose first layer could have all of the padding.
    """

    convolution: Conv
    input_shape: tuple[int, ...]
    seed: int
    border: Axes
    border_seen: Axes
    interior_error: float
    border_error: float | None
    pads_once_error: float | None

    @property
    def agrees(self) -> bool:
        """Whether all that should be exact differs by no more than rounding."""
        exact = (self.interior_error, self.pads_once_error)
        return all(error is None or error <= ROUNDING for error in exact)


class DeviceInfo(msgspec.Struct, frozen=True):
    """A device that was measured on: torch's name for it, and its maker's `model`."""

    name: str
    model: str
    details: dict[str, str] = {}


class Environment(msgspec.Struct, frozen=True):
    """The machine and the versions that every measured figure holds for."""

    python: str
    torch: str
    fvcore: str
    platform: str
    cpu: str
    instruction_set: str
    cores: int
    load: float | None
    devices: tuple[DeviceInfo, ...] = ()
