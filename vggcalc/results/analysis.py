"""Costs and receptive fields of a network, by layer, by block and in total, and a comparison of several networks.

It is over 300 lines long because the results contain one another, and the JSON reader needs their types in one module.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from vggcalc.errors import InputError, unknown
from vggcalc.nets.families import Mixing
from vggcalc.nets.graph import INPUT, Network, Node, Traced, Tracing
from vggcalc.nets.layers import Axes, Layer, Shape
from vggcalc.nets.origins import Origin
from vggcalc.results.display import ComparisonDisplay
from vggcalc.results.fitted import FittedKernel, TrainedKernel
from vggcalc.results.measured import (
    BlockRatio,
    Configuration,
    Crosscheck,
    EffectiveReceptiveField,
    Environment,
    Latency,
    LatencyRatio,
    Roof,
    Verification,
)

#: The costs that a choice between variants weighs against each other.
PARETO_COSTS = ("parameters", "macs", "saved_bytes")

#: By the keys of `analysis.costs.COSTS`; None is unknown.
Costs = dict[str, int | float | None]

#: For each cost that is a lower bound, the operators whose cost it lacks.
Partial = dict[str, tuple[str, ...]]

#: How far a figure can be relied on: a "partial" one is a lower bound, an "unavailable" one is not known.
CostState = Literal["complete", "partial", "unavailable"]

#: Which part of a convolution's window its factorization sees.
CoveredWindow = Literal["full", "holes", "cross"]

#: What a unit sees: the "window" that its receptive field gives; all of the "image"; a part that "varies"
#: from unit to unit; "nothing" of the input; or it is "unknown".
Sees = Literal["window", "image", "varies", "nothing", "unknown"]


class ReceptiveField(msgspec.Struct, frozen=True, omit_defaults=True):
    """In input positions, (height, width): output unit u depends on u·stride − padding … u·stride − padding + size − 1.

    It is `aligned` unless paths with different centres meet in it.
    """

    size: Axes
    stride: Axes
    padding: Axes
    aligned: bool = True


class _HasCosts(msgspec.Struct, frozen=True):
    """Every cost as an attribute: `variant.macs` is `variant.costs["macs"]`."""

    @property
    def _costs(self) -> Mapping[str, int | float | None]:
        costs: Mapping[str, int | float | None] = self.costs  # type: ignore[attr-defined]
        return costs

    @property
    def parameters(self) -> int | float | None:
        """Learnable scalars, biases and affine norm parameters included."""
        return self._costs["parameters"]

    @property
    def macs(self) -> int | float | None:
        """Multiply-accumulates."""
        return self._costs["macs"]

    @property
    def flops(self) -> int | float | None:
        """2 × MACs."""
        return self._costs["flops"]

    @property
    def activations(self) -> int | float | None:
        """Elements that convolutions and linear layers put out."""
        return self._costs["activations"]

    @property
    def output_bytes(self) -> int | float | None:
        """All that layers put out, views and what is computed in place left out."""
        return self._costs["output_bytes"]

    @property
    def weight_bytes(self) -> int | float | None:
        """Parameters × bytes of an element."""
        return self._costs["weight_bytes"]

    @property
    def traffic_bytes(self) -> int | float | None:
        """Inputs and weights read once, outputs written once."""
        return self._costs["traffic_bytes"]

    @property
    def peak_activation_bytes(self) -> int | float | None:
        """Activations alive at once in inference."""
        return self._costs["peak_activation_bytes"]

    @property
    def saved_bytes(self) -> int | float | None:
        """Activations that training saves for the backward pass."""
        return self._costs["saved_bytes"]

    @property
    def training_flops(self) -> int | float | None:
        """FLOPs of forward, weight gradient and input gradient."""
        return self._costs["training_flops"]

    @property
    def intensity(self) -> int | float | None:
        """FLOPs per byte of compulsory traffic."""
        return self._costs["intensity"]


#: The costs that are attributes.
COST_NAMES = frozenset(name for name, value in vars(_HasCosts).items() if isinstance(value, property)) - {"_costs"}


def _times(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _macs(costs: Costs) -> str:
    """The two costs that a `repr` shows, where they are known."""
    figures = ((costs["parameters"], "parameters"), (costs["macs"], "MACs"))
    return "".join(f", {value:,} {unit}" for value, unit in figures if value is not None)


class LayerResult(_HasCosts, frozen=True):
    """One layer: `layer` with its torch arguments, `inputs` the nodes that it reads.

    `sees` is "window" where one `receptive_field` holds for every unit; else that is None. `traced` is what only a
    trace knows. For a factorized kernel `same_size` and `valid_size` are the (height, width) that the output would have
    if all convolutions had padding="same", or padding="valid"; None where nothing would be left.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    input_shape: Shape
    output_shape: Shape
    costs: Costs
    receptive_field: ReceptiveField | None
    sees: Sees = "window"
    traced: Traced | None = None
    same_size: Axes | None = None
    valid_size: Axes | None = None

    def __repr__(self) -> str:
        return f"<LayerResult {self.name}: {self.type}, output {_times(self.output_shape)}{_macs(self.costs)}>"

    @property
    def type(self) -> str:
        """The name of its class: for most layers that of `torch.nn`."""
        return type(self.layer).__name__

    @property
    def kernel_size(self) -> Axes | None:
        """The size of its window along each axis, None for a layer without one."""
        size: Axes | None = getattr(self.layer, "kernel_size", None)
        return size

    @property
    def function(self) -> str | None:
        """torch's name of the operator, where no class of `torch.nn` stands for it."""
        name: str | None = getattr(self.layer, "function", None)
        return name

    @property
    def block(self) -> str:
        """The first part of its dotted name."""
        return self.name.partition(".")[0]


class BlockResult(_HasCosts, frozen=True):
    """The layers that share the first part of their names; `kernels` are the kernel sizes of its convolutions.

    A cost in `partial` is a lower bound: it lacks what the operators named there cost.
    Its latency is that of its convolutions and what follows each, on the feature map that they get in the network.
    """

    name: str
    costs: Costs
    receptive_field: ReceptiveField | None
    output_shape: Shape
    kernels: tuple[Axes, ...]
    latency: tuple[Latency, ...] = ()
    sees: Sees = "window"
    partial: Partial = {}

    def __repr__(self) -> str:
        return f"<BlockResult {self.name}: output {_times(self.output_shape)}{_macs(self.costs)}>"

    def latency_in(self, configuration: Configuration) -> Latency | None:
        """The latency in that configuration, None where it was not measured."""
        return Latency.find(self.latency, configuration)


class ModuleRow(msgspec.Struct, frozen=True):
    """A module with all that is inside it, or a single layer, as a row of a summary.

    `layers` are the names of the layers that `costs` add up. Of several equal modules one after the other, `count` of
    them, the name is a range (`layer3.1–5`), and the costs are those of all of them together.
    A cost in `partial` is a lower bound: it lacks what the operators named there cost.
    """

    name: str
    count: int
    layers: tuple[str, ...]
    costs: Costs
    partial: Partial = {}


class ModuleSummary(msgspec.Struct, frozen=True):
    """The modules of a network down to `depth` parts of their dotted names: `rows` and `others` add up to the total.

    `others` are the rows left out, all in one: `costless` of them have none of the costs that are shown, the rest are
    beyond the number of rows asked for. `deepest` is the depth at which every layer is a row of its own. `columns` are
    the costs asked for, none where all may be shown, and `sort` the one by which the rows are sorted.
    """

    depth: int
    deepest: int
    rows: tuple[ModuleRow, ...]
    others: ModuleRow | None = None
    costless: int = 0
    columns: tuple[str, ...] = ()
    sort: str | None = None


class WindowCoverage(msgspec.Struct, frozen=True):
    """How much of the convolution's window a factorization covers, and how it mixes channels.

    `positions` of the `of` positions of the window are covered: "full", all of them, or with "holes" or as a "cross".
    `mixing` of channels is "full", as the convolution's own, "separable" (depthwise, then 1×1) or "reduced", through no
    more than `narrowest` channels. Of several convolutions together the positions are summed, and `window` and `mixing`
    are those of the one that covers least.
    """

    window: CoveredWindow
    positions: int
    of: int
    mixing: Mixing
    narrowest: int


class Variant(_HasCosts, frozen=True):
    """One network of a comparison and what it costs.

    A cost in `partial` is a lower bound: it lacks what the operators named there cost. `origin` is
    where the module of a traced network comes from, `family` how it was factorized, None for the
    baseline; `coverage` is that of all replaced convolutions together, and only a factorized kernel
    has a `verification`. `effective` is how much of its receptive field the gradient shows. `tracing` says how the
    module of a traced network ran, `fitted` what a factorization makes of a trained kernel.
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
    sees: Sees = "window"
    partial: Partial = {}
    origin: Origin | None = None
    family: str | None = None
    coverage: WindowCoverage | None = None
    verification: Verification | None = None
    tracing: Tracing | None = None
    effective: EffectiveReceptiveField | None = None
    fitted: FittedKernel | None = None

    def __repr__(self) -> str:
        return f"<Variant {self.name}: {len(self.layers)} layers{_macs(self.costs)}>"

    @property
    def input_shape(self) -> Shape:
        """The shape of what it is called with, which only models of their own may have each for itself.

        Of a model that does nothing with its first input only its `origin` knows it: () where there is none.
        """
        used = (layer.input_shape for layer in self.layers if INPUT in layer.inputs[:1])
        return next(used, self.origin.input_shape if self.origin is not None else ())

    @property
    def network(self) -> Network:
        """The network itself, to be built with `vggcalc.build` unless it is a trace."""
        nodes = tuple(Node(layer.name, layer.layer, layer.inputs, layer.traced) for layer in self.layers)
        return Network(self.name, self.input_shape, nodes, self.layout, self.tracing)

    @property
    def has_run(self) -> bool:
        """Whether anything was timed or checked on a real module."""
        return bool(self.latency or self.crosscheck or self.verification or self.effective)

    def state(self, cost: str) -> CostState:
        """Whether that cost is complete, partial (a lower bound) or unavailable."""
        if self.costs[cost] is None:
            return "unavailable"
        return "partial" if cost in self.partial else "complete"

    def block(self, name: str) -> BlockResult | None:
        """The block of that name, None where there is none."""
        return next((block for block in self.blocks if block.name == name), None)

    def latency_in(self, configuration: Configuration) -> Latency | None:
        """The latency in that configuration, None where it was not measured."""
        return Latency.find(self.latency, configuration)


class Ratio(_HasCosts, frozen=True):
    """A variant against the baseline: every cost and latency as variant / baseline.

    Of a factorized kernel `break_even_width` is the number of channels between its layers at which
    it does as many MACs as the kernel; None where no such number is free to choose.
    """

    variant: str
    costs: dict[str, float | None]
    latency: tuple[LatencyRatio, ...] = ()
    blocks: tuple[BlockRatio, ...] = ()
    break_even_width: float | None = None

    def latency_in(self, configuration: Configuration) -> LatencyRatio | None:
        """The ratio of latencies in that configuration, None where it was not measured."""
        return LatencyRatio.find(self.latency, configuration)

    def block(self, name: str) -> tuple[LatencyRatio, ...]:
        """The ratios of the block of that name."""
        return next((block.latency for block in self.blocks if block.name == name), ())


class Replacement(msgspec.Struct, frozen=True):
    """One replacement in a network: the nodes `before` and `after` it.

    `kernels` (of the convolutions) and `costs` are pairs: before, after.
    """

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    kernels: tuple[tuple[Axes, ...], tuple[Axes, ...]]
    costs: tuple[Costs, Costs]


class CheaperStem(msgspec.Struct, frozen=True):
    """A stack in place of a network's first convolution that does fewer MACs than the stack that replaced it.

    Its stride is in its first layer, and between its layers are `width` channels. `macs_ratio` is its MACs over those
    of the convolution, with its `kernel`, itself.
    """

    name: str
    kernel: Axes
    width: int
    kernels: tuple[Axes, ...]
    macs_ratio: float
    receptive_field: Axes


class UnitField(msgspec.Struct, frozen=True):
    """On which input positions one unit of a layer depends: along each axis the first and the last; None if on all.

    `field` is the layer's receptive field, whose positions outside the input are padding.
    """

    layer: str
    unit: Axes
    span: tuple[tuple[int, int], ...] | None
    field: ReceptiveField | None
    sees: Sees


class Skipped(msgspec.Struct, frozen=True):
    """A convolution that was chosen to be replaced and cannot be; `variant` is in which, where there are several."""

    name: str
    kernel: Axes
    reason: str
    variant: str | None = None


class Infeasible(msgspec.Struct, frozen=True):
    """A variant that was asked for and cannot be made."""

    variant: str
    reason: str


class ReconciledLine(msgspec.Struct, frozen=True):
    """What a counter adds to the MACs in so many layers, in its own unit; below 0 what it leaves out."""

    term: str
    layers: int
    amount: int


class Reconciliation(msgspec.Struct, frozen=True):
    """What another counter reports: `total` = `factor` × `macs` + the amounts of the lines, to the unit.

    `figure` is the counter's own name for it, `source` where in its `version` the rule is. `unsure` names operators of
    which it is not established how the counter treats them: with any of them the total may differ.
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


class Finding(msgspec.Struct, frozen=True):
    """A sentence derived from the numbers; `code` says by which rule of `report.findings`."""

    code: str
    text: str


class Comparison(ComparisonDisplay, frozen=True):
    """The variants of one network or kernel; `comparison["naive"]` is one of them.

    With `of_models` they are not forms of one network but models of their own, and `input_shape` is the first one's.
    `pareto` are the Pareto-optimal variants in parameters, MACs, saved activations and measured latency; empty for
    fewer than three variants. `modules` is the table of a summary, `trained` the kernel whose weights were fitted.
    `environment` is the machine that was measured on; a JSON document has it once, beside its comparisons.
    """

    name: str
    input_shape: Shape
    dtype: str
    baseline: str
    variants: tuple[Variant, ...]
    ratios: tuple[Ratio, ...] = ()
    findings: tuple[Finding, ...] = ()
    roofs: tuple[Roof, ...] = ()
    replaced: tuple[Replacement, ...] = ()
    unit_field: UnitField | None = None
    skipped: tuple[Skipped, ...] = ()
    reconciliation: Reconciliation | None = None
    pareto: tuple[str, ...] = ()
    infeasible: tuple[Infeasible, ...] = ()
    modules: ModuleSummary | None = None
    environment: Environment | None = None
    of_models: bool = False
    cheaper_stems: tuple[CheaperStem, ...] = ()
    trained: TrainedKernel | None = None

    def __getitem__(self, name: str) -> Variant:
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(str(unknown("variant", name, [variant.name for variant in self.variants])))

    def __contains__(self, name: object) -> bool:
        return any(variant.name == name for variant in self.variants)

    def __iter__(self) -> Iterator[Variant]:
        return iter(self.variants)

    def __getattr__(self, name: str) -> int | float | None:
        """The costs, where there is a single variant: `vggcalc.summary("vgg16").macs`."""
        if name not in COST_NAMES:
            raise AttributeError(f"a comparison has no {name!r}")
        if len(self.variants) > 1:
            names = ", ".join(variant.name for variant in self.variants)
            raise AttributeError(
                f"{self.name} has several variants, {names}: name one, such as "
                f"comparison[{self.variants[-1].name!r}].{name}"
            )
        value: int | float | None = getattr(self.variants[0], name)
        return value

    def ratio(self, variant: str) -> Ratio:
        """That variant against the baseline. Raises `InputError` for a name that has none."""
        for ratio in self.ratios:
            if ratio.variant == variant:
                return ratio
        if not self.ratios:
            raise InputError(f"there is no ratio to {variant!r}: {self.name} has a single variant")
        raise unknown("ratio to the baseline of", variant, [ratio.variant for ratio in self.ratios])

    def ratios_in(self, configuration: Configuration) -> dict[str, LatencyRatio]:
        """The ratios of latencies in that configuration, by variant."""
        found = {ratio.variant: ratio.latency_in(configuration) for ratio in self.ratios}
        return {name: one for name, one in found.items() if one is not None}
