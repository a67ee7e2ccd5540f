"""From what the worker processes sent to results: pure functions, without processes or clocks."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from vggcalc.measurement.intervals import least_rounds
from vggcalc.measurement.limits import in_dtype
from vggcalc.measurement.roof import placed, raised
from vggcalc.measurement.rounds import ArmPair, Measurements, ProcessRounds
from vggcalc.nets.blocks import blocks
from vggcalc.nets.graph import Network
from vggcalc.protocol import CONTROL, Arm, ArmProfile, RoofRates
from vggcalc.results import (
    BlockRatio,
    BlockResult,
    Comparison,
    Configuration,
    Costs,
    Crosscheck,
    EffectiveReceptiveField,
    Latency,
    LatencyRatio,
    Ratio,
    Roof,
    StopReason,
    Variant,
    Verification,
)

#: Why measuring ended: where processes ended for several reasons, the first of these is reported.
STOP_REASONS: tuple[StopReason, ...] = ("interrupted", "failed", "budget", "rounds", "precise")


class Arms(msgspec.Struct, frozen=True):
    """The arms of one comparison, and how many intervals share the 95% (Bonferroni).

    `compared` is how many comparisons and configurations the command measures.
    """

    baseline: str
    whole: tuple[Arm, ...]
    blocks: Mapping[Arm, Network]
    compared: int

    @classmethod
    def of(cls, comparison: Comparison, compared: int, with_blocks: bool = True) -> "Arms":
        """Those of a comparison: every variant, and, unless they are not wanted, every block in which they differ."""
        whole = tuple(Arm(variant.name) for variant in comparison.variants)
        return cls(comparison.baseline, whole, differing_blocks(comparison) if with_blocks else {}, compared)

    @property
    def pairs(self) -> list[ArmPair]:
        """The control, every other variant, and every block of another variant, against the baseline."""
        baseline = Arm(self.baseline)
        others = [ArmPair(baseline, arm) for arm in self.whole if arm != baseline]
        of_blocks = [ArmPair(Arm(self.baseline, arm.block), arm) for arm in self.blocks if arm.variant != self.baseline]
        return [ArmPair(baseline, CONTROL), *others, *of_blocks]

    def intervals(self, arm: Arm) -> int:
        """How many intervals hold their 95% together with that arm's."""
        if arm.block is None:
            return self.compared
        of_blocks = sum(other.variant != self.baseline for other in self.blocks)
        return self.compared * max(1, of_blocks)

    def least_block_rounds(self) -> int:
        """The rounds of one process in which the blocks' intervals can be exact."""
        return least_rounds(max([self.compared, *map(self.intervals, self.blocks)]))


def differing_blocks(comparison: Comparison) -> dict[Arm, Network]:
    """Every block of every variant, where the variants differ in it.

    None of a single variant, nor of models of their own; none of an imported module, whose blocks cannot be cut out;
    and none where there is only one block, which is the whole.
    """
    if comparison.of_models or any(variant.origin is not None for variant in comparison.variants):
        return {}
    by_variant = {variant.name: blocks(variant.network) for variant in comparison.variants}
    baseline, *others = by_variant.values()
    if not others or len(baseline) < 2:
        return {}
    names = [name for name in baseline if all(name in other for other in others)]
    return {
        Arm(variant, name): networks[name]
        for name in names
        if any(other[name].nodes != baseline[name].nodes for other in others)
        for variant, networks in by_variant.items()
    }


class TrialRecord(msgspec.Struct, frozen=True):
    """What the processes of one comparison in one configuration sent."""

    arms: Arms
    configuration: Configuration
    processes: tuple[ProcessRounds, ...]
    stopped: frozenset[StopReason]
    seed: int
    load: float | None
    rates: RoofRates | None = None
    profiles: Mapping[Arm, ArmProfile] = {}


class TrialResult(msgspec.Struct, frozen=True):
    """The latencies of one comparison in one configuration, their ratios to the baseline, and the roof."""

    latencies: Mapping[Arm, Latency] = {}
    ratios: Mapping[Arm, LatencyRatio] = {}
    roof: Roof | None = None


def assemble(record: TrialRecord, comparison: Comparison, least: int) -> TrialResult:
    """The results of one trial, empty where nothing was measured.

    Processes with fewer than `least` rounds are left out, unless no process has more.
    """
    complete = [process for process in record.processes if process.wall]
    usable = [process for process in complete if len(process.wall) >= least]
    usable = usable or sorted(complete, key=lambda process: len(process.wall))[-1:]
    if not usable:
        return TrialResult()
    arms, configuration = record.arms, record.configuration
    stopped: StopReason = next((reason for reason in STOP_REASONS if reason in record.stopped), "interrupted")
    measurements = Measurements(configuration, tuple(usable), record.seed, stopped, record.load)
    costs = {arm: in_dtype(row, comparison.dtype, configuration.dtype) for arm, row in _costs(comparison, arms)}
    latencies = {
        arm: latency
        for arm in costs
        if (latency := measurements.latency(arm, arms.intervals(arm), record.profiles.get(arm))) is not None
    }
    roof = None
    if record.rates is not None:
        roof = _roof(record.rates, configuration, costs, latencies)
        latencies = {arm: placed(latency, costs[arm], roof) for arm, latency in latencies.items()}
    control, *pairs = arms.pairs
    ratios = {
        pair.arm: ratio
        for pair in pairs
        if (ratio := measurements.ratio(pair, control, arms.intervals(pair.arm))) is not None
    }
    return TrialResult(latencies, ratios, roof)


def _costs(comparison: Comparison, arms: Arms) -> Iterable[tuple[Arm, Costs]]:
    """The costs of every arm but the control."""
    for variant in comparison.variants:
        yield Arm(variant.name), variant.costs
    for arm in arms.blocks:
        block = comparison[arm.variant].block(arm.block or "")
        if block is not None:
            yield arm, block.costs


def _roof(
    rates: RoofRates, configuration: Configuration, costs: Mapping[Arm, Costs], latencies: Mapping[Arm, Latency]
) -> Roof:
    roof = Roof(
        **msgspec.structs.asdict(configuration),
        flops_per_s=rates.flops_per_s,
        bytes_per_s=rates.bytes_per_s,
        peak_by=rates.peak_by,
    )
    for arm, latency in latencies.items():
        roof = raised(roof, arm.label, latency, costs[arm])
    return roof


def with_measurements(
    comparison: Comparison,
    trials: Sequence[TrialResult] = (),
    crosschecks: Mapping[str, Crosscheck] = {},
    verifications: Mapping[str, Verification] = {},
    effective: Mapping[str, EffectiveReceptiveField] = {},
) -> Comparison:
    """The comparison with everything that was measured of it, by variant's name, added at once."""

    def latencies(arm: Arm) -> tuple[Latency, ...]:
        return tuple(trial.latencies[arm] for trial in trials if arm in trial.latencies)

    def block(variant: str, one: BlockResult) -> BlockResult:
        return msgspec.structs.replace(one, latency=one.latency + latencies(Arm(variant, one.name)))

    def variant(one: Variant) -> Variant:
        return msgspec.structs.replace(
            one,
            latency=one.latency + latencies(Arm(one.name)),
            blocks=tuple(block(one.name, part) for part in one.blocks),
            crosscheck=crosschecks.get(one.name, one.crosscheck),
            verification=verifications.get(one.name, one.verification),
            effective=effective.get(one.name, one.effective),
        )

    def ratio(one: Ratio) -> Ratio:
        of_blocks = {block.name: block.latency for block in one.blocks}
        whole = list(one.latency)
        for trial in trials:
            for arm, measured in trial.ratios.items():
                if arm == Arm(one.variant):
                    whole.append(measured)
                elif arm.variant == one.variant and arm.block is not None:
                    of_blocks[arm.block] = (*of_blocks.get(arm.block, ()), measured)
        found = tuple(BlockRatio(name, latency) for name, latency in of_blocks.items())
        return msgspec.structs.replace(one, latency=tuple(whole), blocks=found)

    return msgspec.structs.replace(
        comparison,
        variants=tuple(map(variant, comparison.variants)),
        ratios=tuple(map(ratio, comparison.ratios)),
        roofs=comparison.roofs + tuple(trial.roof for trial in trials if trial.roof is not None),
    )
