"""Joining what several machines measured: the same comparisons, or an error that says what differs."""

from collections.abc import Iterator, Sequence
from itertools import permutations

import msgspec

from vggcalc.errors import InputError
from vggcalc.results import (
    Comparison,
    Configuration,
    Disagreement,
    Environment,
    Fleet,
    FleetComparison,
    FleetRatio,
    LatencyRatio,
    Machine,
    MachineLatency,
    Report,
    Variant,
)
from vggcalc.results.measured import judge, least_floor


class MachineReport(msgspec.Struct, frozen=True):
    """A report with latencies, and the file that it is from."""

    file: str
    report: Report
    environment: Environment


def measured_report(file: str, report: Report) -> MachineReport:
    """A report to be joined. Raises `InputError` where it has no ratio of latencies, or no machine."""
    if report.fleet is not None:
        files = ", ".join(machine.file for machine in report.fleet.machines)
        raise InputError(f"{file} is joined already, of {files}: give these files")
    if not any(ratio.latency for comparison in report.comparisons for ratio in comparison.ratios):
        raise InputError(
            f"{file} compares no latencies: write it on each machine with vggcalc compare MODEL --output {file}"
        )
    if report.environment is None:
        raise InputError(f"{file} does not say on which machine it was measured")
    for comparison in report.comparisons:
        if {comparison.baseline, *(ratio.variant for ratio in comparison.ratios)} - {one.name for one in comparison}:
            raise InputError(f"{file} is damaged: {comparison.name} has ratios of variants that it has not")
        intervals = (measured.ci95 for ratio in comparison.ratios for measured in ratio.latency)
        if any(ends is not None and not 0 < ends[0] <= ends[1] for ends in intervals):
            raise InputError(f"{file} is damaged: {comparison.name} has a 95% interval that is none")
    return MachineReport(file, report, report.environment)


def join_reports(sources: Sequence[MachineReport], names: Sequence[str]) -> Fleet:
    """All of them beside each other, the machines under these names, each with its own verdicts.

    Raises `InputError` with the first difference between what two of them measured.
    """
    first = sources[0]
    for i, source in enumerate(sources):
        for earlier in sources[:i]:
            if _all_times(earlier.report) == _all_times(source.report):
                raise InputError(f"{earlier.file} and {source.file} hold the same measurement: give each machine's own")
        difference = next(_differences(first.report, source.report), None)
        if difference is not None:
            raise InputError(f"{first.file} and {source.file} do not compare the same: {difference}")
    machines = [
        Machine(name, source.file, source.report.vggcalc_version, source.environment)
        for name, source in zip(names, sources, strict=True)
    ]
    return Fleet(
        tuple(machines),
        tuple(
            FleetComparison(one.name, one.input_shape, one.dtype, one.baseline, tuple(v.name for v in one.variants))
            for one in first.report.comparisons
        ),
        tuple(_ratios(names, [source.report for source in sources])),
    )


def _all_times(report: Report) -> list[tuple[float, ...]]:
    """Every time that was measured, which two measurements never share."""
    return [latency.times_s for one in report.comparisons for variant in one.variants for latency in variant.latency]


def _differences(one: Report, other: Report) -> Iterator[str]:
    """What the second asks otherwise than the first."""
    names = [[comparison.name for comparison in report.comparisons] for report in (one, other)]
    if names[0] != names[1]:
        yield f"one is of {', '.join(names[0])}, the other of {', '.join(names[1])}"
        return
    for a, b in zip(one.comparisons, other.comparisons, strict=True):
        pairs: dict[str, tuple[Sequence[object], Sequence[object]]] = {
            "input": (a.input_shape, b.input_shape),
            "dtype of the counts": ([a.dtype], [b.dtype]),
            "variants": ([variant.name for variant in a], [variant.name for variant in b]),
            "baseline": ([a.baseline], [b.baseline]),
            "ratios": ([ratio.variant for ratio in a.ratios], [ratio.variant for ratio in b.ratios]),
        }
        different = {what: pair for what, pair in pairs.items() if list(pair[0]) != list(pair[1])}
        for what, (mine, its) in different.items():
            sign = "×" if what == "input" else ", "
            yield f"{what} of {a.name}: {sign.join(map(str, mine))} in one, {sign.join(map(str, its))} in the other"
        if not different:
            for before, after in zip(a.variants, b.variants, strict=True):
                yield from (f"{before.name} of {a.name}: {text}" for text in _other_layers(before, after))


def _other_layers(one: Variant, other: Variant) -> Iterator[str]:
    """Where two networks of one name differ: their layers, and how many there are."""
    for a, b in zip(one.layers, other.layers, strict=False):
        if a.name != b.name:
            yield f"layer {a.name} in one, {b.name} in the other"
        elif a.type != b.type:
            yield f"layer {a.name} is {a.type} in one, {b.type} in the other"
        elif (a.layer, a.inputs, a.input_shape) != (b.layer, b.inputs, b.input_shape):
            yield f"layer {a.name} has other arguments or inputs"
    if len(one.layers) != len(other.layers):
        yield f"{len(one.layers)} layers in one, {len(other.layers)} in the other"


def _ratios(machines: Sequence[str], reports: Sequence[Report]) -> Iterator[FleetRatio]:
    """For each comparison, configuration and variant what each machine measured."""
    for comparisons in zip(*(report.comparisons for report in reports), strict=True):
        configurations = dict.fromkeys(
            measured.configuration for one in comparisons for ratio in one.ratios for measured in ratio.latency
        )
        for configuration in configurations:
            for ratio in comparisons[0].ratios:
                measured = tuple(
                    found
                    for machine, one in zip(machines, comparisons, strict=True)
                    if (found := _measured(machine, one, ratio.variant, configuration)) is not None
                )
                if measured:
                    yield FleetRatio(
                        comparisons[0].name, ratio.variant, configuration, measured, _disagreements(measured)
                    )


def _measured(
    machine: str, comparison: Comparison, variant: str, configuration: Configuration
) -> MachineLatency | None:
    ratio = comparison.ratio(variant).latency_in(configuration)
    ends = [comparison[name].latency_in(configuration) for name in (comparison.baseline, variant)]
    if ratio is None or ends[0] is None or ends[1] is None:
        return None
    return MachineLatency(machine, ends[0].median_s, ends[1].median_s, _judged_again(ratio))


def _judged_again(ratio: LatencyRatio) -> LatencyRatio:
    """The ratio by the floor of its basis, which a document of an earlier version may not have had.

    Without an interval of the A/A control there is no verdict.
    """
    floor = max(ratio.floor, least_floor(ratio.basis))
    if floor == ratio.floor or ratio.control_ci95 is None:
        return ratio
    return msgspec.structs.replace(ratio, floor=floor, verdict=judge(ratio.ci95, floor))


def _disagreements(measured: Sequence[MachineLatency]) -> tuple[Disagreement, ...]:
    """Every two machines whose intervals are farther apart than what either's A/A control cannot tell from nothing.

    An interval of one process says nothing of its machine.
    """
    over_processes = [one for one in measured if one.ratio.basis == "processes" and one.ratio.ci95 is not None]
    found = []
    for lower, higher in permutations(over_processes, 2):
        assert lower.ratio.ci95 is not None
        assert higher.ratio.ci95 is not None
        beyond = higher.ratio.ci95[0] / lower.ratio.ci95[1]
        if beyond > 1 + max(lower.ratio.floor, higher.ratio.floor):
            found.append(Disagreement(lower.machine, higher.machine, beyond))
    return tuple(sorted(found, key=lambda one: -one.beyond))
