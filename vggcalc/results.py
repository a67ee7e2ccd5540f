"""What every room hands on: frozen results in integers, seconds and names, without formatting.

These Structs are the JSON output, schema version 1: keys are added, never renamed.
"""

import msgspec

from vggcalc.spec.layers import INPUT, LAYERS, Axes, Conv2d, Network, Node, Shape, Traced
from vggcalc.spec.origins import Origin

SCHEMA_VERSION = 1

#: The costs that a choice between variants weighs against each other.
WEIGHED = ("parameters", "macs", "saved_bytes")

#: A relative difference between two computations in float64 that rounding may explain.
ROUNDING = 1e-9

Costs = dict[str, int | float | None]


class ReceptiveField(msgspec.Struct, frozen=True, omit_defaults=True):
    """In input pixels, (height, width): output unit u sees u·stride − padding … + size − 1.

    `aligned` unless paths with other centres meet in it.
    """

    size: Axes
    stride: Axes
    padding: Axes
    aligned: bool = True


class LayerResult(msgspec.Struct, frozen=True):
    """One layer: `type` and `arguments` are those of its `torch.nn` class, `inputs` the nodes it reads.

    `sees` is "window" where the receptive field holds for every unit; else "image", the whole of it,
    "varies" from unit to unit, "nothing" or "unknown", and there is none. `traced` is what only a trace knows.
    For a factorized kernel `same_map` and `valid_map` are its output's (height, width) if all
    convolutions had padding that keeps the map, or none at all; None where no map is left.
    """

    name: str
    type: str
    arguments: dict[str, int | float | bool | str | Axes | dict[str, int | float | bool | str]]
    inputs: tuple[str, ...]
    input_shape: Shape
    output_shape: Shape
    costs: Costs
    receptive_field: ReceptiveField | None
    sees: str = "window"
    traced: Traced | None = None
    same_map: Axes | None = None
    valid_map: Axes | None = None


class Configuration(msgspec.Struct, frozen=True):
    """How a module was run. `mode` "training" is forward and backward, without an optimizer's step.

    `execution` is eager, compiled (torch.compile) or graph (a CUDA graph, replayed). `cold` means
    that the caches were flushed before every call.
    """

    device: str
    dtype: str
    threads: int = 1
    mode: str = "inference"
    memory_format: str = "contiguous"
    execution: str = "eager"
    cold: bool = False

    @property
    def label(self) -> str:
        """In a few words, what is usual left out: `cpu`, `cpu bfloat16 2 threads training`."""
        words = [self.device]
        if self.dtype != "float32":
            words.append(self.dtype)
        if self.threads != 1:
            words.append(f"{self.threads} threads")
        usual = ("inference", "contiguous", "eager")
        words += [word for word in (self.mode, self.memory_format, self.execution) if word not in usual]
        return " ".join(words + ["cold"] * self.cold)

    @property
    def way(self) -> "Configuration":
        """The configuration alone, also of a latency, a ratio or a roof."""
        return Configuration(**{name: getattr(self, name) for name in Configuration.__struct_fields__})


class Latency(Configuration, frozen=True, kw_only=True):
    """Seconds for one call.

    `times_s` are per call, one for each round, process after process in the order measured;
    `iqr_s` is the distance between their quartiles, None for a single round. `faults_per_call` are
    minor page faults. `rounds_per_process` cuts `times_s` into its processes; `ci95` is the interval
    of the time of a call over them, on the same basis as a `LatencyRatio`'s, None where there is none.
    `flops_per_s` is FLOPs / median, `roof_share` that rate against what the roofline allows (see
    `Roof`), which is `bound` by "compute" or by "memory". `kernels` are the kernels that torch
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
    bound: str | None = None
    kernels: tuple[str, ...] = ()
    peak_allocated_bytes: int | None = None
    rounds_per_process: tuple[int, ...] = ()
    ci95: tuple[float, float] | None = None


class BlockResult(msgspec.Struct, frozen=True):
    """The layers that share the first part of their names; `kernels` are its convolutions'.

    A cost in `partial` is a lower bound: it lacks what the operators named there cost.
    Its latency is that of its convolutions and what follows them, on the map that they meet.
    """

    name: str
    costs: Costs
    receptive_field: ReceptiveField | None
    output_shape: Shape
    kernels: tuple[Axes, ...]
    latency: tuple[Latency, ...] = ()
    sees: str = "window"
    partial: dict[str, tuple[str, ...]] = {}


class Counted(msgspec.Struct, frozen=True):
    """One figure as the closed form has it and as others counted it; None where they did not."""

    closed_form: int
    torch: int | None = None
    fvcore: int | None = None

    @property
    def agrees(self) -> bool:
        return all(other in (None, self.closed_form) for other in (self.torch, self.fvcore))


class Probe(msgspec.Struct, frozen=True):
    """What one unit sees: along each axis the first and last pixel, as `expected` and by its gradient.

    The gradient is that of the real module in float64 with positive weights, averages for maxima,
    and neither norms nor activations; `seen` None if it is zero everywhere. An expected pixel may lie
    beside the image, which is then an end that is not compared. `sees` is "window" or "image".
    """

    layer: str
    unit: Axes
    sees: str
    expected: tuple[tuple[int, int], ...]
    seen: tuple[tuple[int, int], ...] | None
    agrees: bool


class Crosscheck(msgspec.Struct, frozen=True):
    """The closed forms beside torch's and fvcore's counts of the real modules, and beside a gradient."""

    agrees: bool
    parameters: Counted
    macs: Counted
    activations: Counted
    training_flops: Counted
    saved_bytes: Counted
    notes: tuple[str, ...] = ()
    receptive_field: Probe | None = None


class Proof(msgspec.Struct, frozen=True):
    """A variant without its activations beside the one `convolution` that it then is, in float64.

    Both ran on one random image of `input_shape`, with weights drawn from `seed`. An error is the
    largest absolute difference over the largest absolute output: of the interior, of the border, and
    of the variant when it pads once, by the total, in its first layer. `border` (height, width) is how
    many output pixels from each edge at most differ, because a padding between layers is zeros where
    the one kernel meets real pixels or a bias; `border_seen` how many did by more than 1e-9. None
    where there is no border, or no chain whose first layer could have all of the padding.
    """

    convolution: Conv2d
    input_shape: Shape
    seed: int
    border: Axes
    border_seen: Axes
    interior_error: float
    border_error: float | None
    pads_once_error: float | None

    @property
    def agrees(self) -> bool:
        """Whether all that is exact is so but for rounding."""
        exact = (self.interior_error, self.pads_once_error)
        return all(error is None or error <= ROUNDING for error in exact)


class Keeps(msgspec.Struct, frozen=True):
    """What a way to factorize a convolution keeps of it, and so what it gives up.

    `pixels` of the `of` pixels that the convolution's window holds are seen: "full", all of them, or
    "holes" or a "cross". `mixing` of channels is "full", as the convolution's own, "separable"
    (depthwise, then 1×1) or "reduced", through no more than `narrowest` channels. Of several
    convolutions the sums, and the words of the one that keeps least.
    """

    window: str
    pixels: int
    of: int
    mixing: str
    narrowest: int


class Variant(msgspec.Struct, frozen=True):
    """One network of a comparison and what it costs.

    A cost in `partial` is a lower bound: it lacks what the operators named there cost. `origin` is
    where the module of a traced network comes from, `family` the way in which it was factorized,
    None for the baseline; `keeps` is what is kept of all that was replaced together, and `proof` is
    there for a factorized kernel alone.
    """

    name: str
    output_shape: Shape
    costs: Costs
    weights_per_channel_pair: int | None
    convolutions: int
    nonlinearities: int
    receptive_field: ReceptiveField | None
    blocks: tuple[BlockResult, ...]
    layers: tuple[LayerResult, ...]
    layout: str = "nodes"
    latency: tuple[Latency, ...] = ()
    crosscheck: Crosscheck | None = None
    sees: str = "window"
    partial: dict[str, tuple[str, ...]] = {}
    origin: Origin | None = None
    family: str | None = None
    keeps: Keeps | None = None
    proof: Proof | None = None

    @property
    def network(self) -> Network:
        """The network itself, to be built with `vggcalc.runtime.build` unless it is a trace."""
        nodes = tuple(
            Node(layer.name, LAYERS[layer.type](**layer.arguments), layer.inputs, layer.traced)
            for layer in self.layers
        )
        first = next(layer for layer in self.layers if INPUT in layer.inputs)
        return Network(self.name, first.input_shape, nodes, self.layout)


class LatencyRatio(Configuration, frozen=True, kw_only=True):
    """Time of the variant / time of the baseline, measured in alternation; below 1 is faster.

    `basis` says what the interval rests on: "processes" is Student's t interval of the processes'
    median log-ratios, "process" the exact interval of one process's median, "none" that there is
    no interval, because fewer than six rounds hold no exact one. `compared` intervals hold their
    95% together (Bonferroni). `rounds` is the fewest in a process, `rounds_per_process` all.
    `control_ratio` is a second copy of the baseline against the baseline, and `floor` what that
    shows to be indistinguishable from 1. `contended` is the share of timings whose wall time
    exceeded the processor time by a tenth, None where that says nothing.
    """

    ratio: float
    ci95: tuple[float, float] | None
    verdict: str
    basis: str
    compared: int
    processes: int
    rounds: int
    rounds_per_process: tuple[int, ...]
    control_ratio: float
    control_ci95: tuple[float, float] | None
    control_times_s: tuple[float, ...]
    floor: float
    allocator: str
    contended: float | None
    load: float | None
    seed: int
    stopped: str


class BlockRatio(msgspec.Struct, frozen=True):
    """The latencies of one block against those of the baseline's block of that name."""

    name: str
    latency: tuple[LatencyRatio, ...]


class Ratio(msgspec.Struct, frozen=True):
    """A variant against the baseline: every cost and latency as variant / baseline.

    Of a factorized kernel `break_even_width` is the number of channels between its layers at which
    it does as many MACs as the kernel; None where no such number is free to choose.
    """

    variant: str
    costs: dict[str, float | None]
    latency: tuple[LatencyRatio, ...] = ()
    blocks: tuple[BlockRatio, ...] = ()
    break_even_width: float | None = None


class Roof(Configuration, frozen=True, kw_only=True):
    """The best rates observed in one process, which bound what a layer can reach (the roofline).

    `peak_by` names what reached the peak; `raised_by` the module that was measured faster than
    every calibration and so became the roof itself, if one was.
    """

    flops_per_s: float
    bytes_per_s: float
    peak_by: str
    raised_by: str | None = None


class ReplacedResult(msgspec.Struct, frozen=True):
    """What one replacing made of a network: the nodes that went and those that came, with their costs.

    `kernels` are those of the convolutions that went and of those that came.
    """

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    kernels: tuple[tuple[Axes, ...], tuple[Axes, ...]]
    costs: tuple[Costs, Costs]


class Pixels(msgspec.Struct, frozen=True):
    """What one unit of a layer sees: along each axis its first and last pixel, None if all of the image.

    `field` is the layer's receptive field, whose pixels beside the image are padding.
    """

    layer: str
    unit: Axes
    pixels: tuple[tuple[int, int], ...] | None
    field: ReceptiveField | None
    sees: str


class Kept(msgspec.Struct, frozen=True):
    """A convolution that was to be replaced and had to stay, in that variant, of several."""

    name: str
    kernel: Axes
    reason: str
    variant: str | None = None


class LeftOut(msgspec.Struct, frozen=True):
    """A variant that was asked for and cannot be made."""

    variant: str
    reason: str


class ReconciledLine(msgspec.Struct, frozen=True):
    """What a counter adds to the MACs, or below 0 leaves out, in so many layers; in the counter's unit."""

    term: str
    layers: int
    amount: int


class Reconciliation(msgspec.Struct, frozen=True):
    """What another counter reports: `total` = `factor` × `macs` + the amounts of the lines, to the unit.

    `figure` is what the counter calls it, `source` where its rule stands in `version`. `unsure` names
    operators whose treatment by the counter is not established: with any of them the total may differ.
    """

    counter: str
    figure: str
    version: str
    source: str
    macs: int
    factor: int
    lines: tuple[ReconciledLine, ...]
    total: int
    unsure: tuple[str, ...] = ()
    note: str = ""


class Note(msgspec.Struct, frozen=True):
    """A sentence that follows from the numbers by a rule, which `code` names."""

    code: str
    text: str


class Comparison(msgspec.Struct, frozen=True):
    """The variants of one network or kernel; `comparison["naive"]` is one of them.

    `pareto` are those that no other beats in parameters, MACs, bytes kept for backward and measured
    latency together; it is said where more than two are compared.
    """

    name: str
    input_shape: Shape
    dtype: str
    baseline: str
    variants: tuple[Variant, ...]
    ratios: tuple[Ratio, ...] = ()
    notes: tuple[Note, ...] = ()
    roofs: tuple[Roof, ...] = ()
    replaced: tuple[ReplacedResult, ...] = ()
    pixels: Pixels | None = None
    kept: tuple[Kept, ...] = ()
    reconciliation: Reconciliation | None = None
    pareto: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def __getitem__(self, name: str) -> Variant:
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(f"{name!r} is none of {', '.join(variant.name for variant in self.variants)}")


class Device(msgspec.Struct, frozen=True):
    """What was measured on: `name` as torch has it, `model` as its maker calls it."""

    name: str
    model: str
    details: dict[str, str] = {}


class Environment(msgspec.Struct, frozen=True):
    """What every measured figure holds for."""

    python: str
    torch: str
    fvcore: str
    platform: str
    cpu: str
    instruction_set: str
    cores: int
    load: float | None
    devices: tuple[Device, ...] = ()


#: How the figures are to be read; they stand in every JSON output.
CONVENTIONS: dict[str, str] = {
    "receptive_field": "per axis (height, width) in input pixels: output unit u sees pixels "
    "u·stride − padding … u·stride − padding + size − 1; null where `sees` says that it is the whole "
    "image, varies from unit to unit (paths of other strides, transposed convolutions, resizing), or is "
    "unknown; norms and activations count as looking at one unit",
    "partial": "a cost named there is a lower bound, without what the operators listed cost",
    "shapes": "(batch, channels, height, width); spatial pairs are (height, width)",
    "ratios": "variant / baseline; of latencies the median of rounds in which both alternate",
    "times": "seconds for one call",
}


class Change(msgspec.Struct, frozen=True):
    """A figure of a variant in an earlier report and now; None on the side where there is none.

    `figure` is a cost's key, convolutions, nonlinearities, receptive_field (its size),
    receptive_field_stride, receptive_field_padding or sees; layers_gone and layers_new count the layers
    that only the one side has; latency and ratio.latency, `on` a configuration, are there only where
    the 95% intervals over processes do not overlap. A whole `variant` or `comparison` is new or gone. Without a
    comparison it is what the times were measured on. `partial` says on which side a cost is a lower bound.
    """

    comparison: str | None
    variant: str | None
    figure: str
    before: int | float | str | Axes | None
    after: int | float | str | Axes | None
    partial: tuple[bool, bool] = (False, False)
    on: str | None = None


class Report(msgspec.Struct, frozen=True):
    """What a command puts out: the JSON document of schema version 1.

    `changes` are those since the report in the file `against`.
    """

    schema_version: int
    vggcalc_version: str
    command: str
    conventions: dict[str, str]
    environment: Environment | None
    comparisons: tuple[Comparison, ...]
    against: str | None = None
    changes: tuple[Change, ...] = ()
