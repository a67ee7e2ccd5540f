"""What the same comparison took on several machines, each with a verdict of its own."""

import msgspec

from vggcalc.nets.layers import Shape
from vggcalc.results.analysis import Finding
from vggcalc.results.display import FleetDisplay
from vggcalc.results.measured import Configuration, Environment, LatencyRatio


class Machine(msgspec.Struct, frozen=True):
    """A machine that was measured on: its `name` in the fleet, the file that its times are from, and what it is."""

    name: str
    file: str
    vggcalc_version: str
    environment: Environment


class MachineLatency(msgspec.Struct, frozen=True):
    """What was measured on one machine: the medians of the baseline and the variant in seconds, and their ratio."""

    machine: str
    baseline_s: float
    variant_s: float
    ratio: LatencyRatio


class Disagreement(msgspec.Struct, frozen=True):
    """Two machines whose 95% intervals of a ratio, both over processes, do not overlap.

    They are farther apart than either's `floor`, which its A/A control cannot tell from nothing. On `higher` the
    ratio is at least `beyond` times that on `lower`, above 1: the quotient of the nearer ends.
    """

    lower: str
    higher: str
    beyond: float


class FleetRatio(msgspec.Struct, frozen=True):
    """A variant against the baseline in one configuration, on every machine that was measured in it.

    `disagreements` are by how much, the largest first. Nothing is averaged over machines.
    """

    comparison: str
    variant: str
    configuration: Configuration
    measured: tuple[MachineLatency, ...]
    disagreements: tuple[Disagreement, ...] = ()

    def on(self, machine: str) -> MachineLatency | None:
        """What was measured on that machine, None where it was not."""
        return next((one for one in self.measured if one.machine == machine), None)

    def farthest_from(self, machine: str) -> tuple[str | None, float | None]:
        """The machine from which it differs most and how: its ratio is so many times that machine's, at the nearest.

        Above 1 where its own is higher, below where it is lower; None for both where no other machine differs from it.
        """
        for one in self.disagreements:
            if one.higher == machine:
                return one.lower, one.beyond
            if one.lower == machine:
                return one.higher, 1 / one.beyond
        return None, None


class FleetComparison(msgspec.Struct, frozen=True):
    """What all machines were asked: the variants of one network or kernel, against the `baseline`."""

    name: str
    input_shape: Shape
    dtype: str
    baseline: str
    variants: tuple[str, ...]


class Fleet(FleetDisplay, frozen=True):
    """The same comparisons on several machines: `ratios` for each comparison, configuration and variant."""

    machines: tuple[Machine, ...]
    comparisons: tuple[FleetComparison, ...]
    ratios: tuple[FleetRatio, ...]
    findings: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(machine.name for machine in self.machines)
        return f"<Fleet of {', '.join(one.name for one in self.comparisons)}: {names}>"
