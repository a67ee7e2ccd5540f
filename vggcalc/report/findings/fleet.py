"""Findings about several machines: what holds on all of them or on some, and where they differ."""

from collections.abc import Iterator

from vggcalc.report import units
from vggcalc.report.findings.wording import VERDICTS
from vggcalc.results import Finding, Fleet, FleetRatio, Verdict

#: So many machines are named; of more it is said how many they are.
_MOST_NAMES = 3

#: So many verdicts stand in the answer; the table has the others.
_MOST_VERDICTS = 2


def fleet_answer(fleet: Fleet) -> str:
    """The verdicts of all machines, in one sentence."""
    verdicts = [finding.text.rstrip(".") for finding in fleet.findings if finding.code == "fleet"]
    others = len(verdicts) - _MOST_VERDICTS
    more = f"; {others} more below" if others > 0 else ""
    return f"{'; '.join(verdicts[:_MOST_VERDICTS])}{more}."


def fleet_findings(fleet: Fleet) -> tuple[Finding, ...]:
    """For each comparison, configuration and variant the verdicts, then by how much the machines disagree."""
    several = len({(ratio.comparison, ratio.configuration) for ratio in fleet.ratios}) > 1
    found = []
    for ratio in fleet.ratios:
        baseline = next(one.baseline for one in fleet.comparisons if one.name == ratio.comparison)
        place = f"{ratio.comparison} on {ratio.configuration.label}: " if several else ""
        found.append(Finding("fleet", place + _verdict(ratio, baseline, fleet)))
        found += [Finding("fleet_basis", place + text) for text in _weak(ratio)]
        found += [Finding("fleet_disagreement", place + text) for text in _disagreement(ratio)]
    return tuple(found)


def _verdict(ratio: FleetRatio, baseline: str, fleet: Fleet) -> str:
    """On how many machines it is faster, slower, as fast, unclear, and on which it was not measured."""
    by_verdict: dict[Verdict, list[str]] = {}
    for verdict in VERDICTS:
        by_verdict[verdict] = [one.machine for one in ratio.measured if one.ratio.verdict == verdict]
    total = len(ratio.measured)
    groups = sorted(((v, names) for v, names in by_verdict.items() if names), key=lambda group: -len(group[1]))
    (verdict, names), *others = groups
    everywhere = "both machines" if total == 2 else f"all {total} machines"
    where = everywhere if len(names) == total else f"{len(names)} of {total} machines ({_named(names)})"
    where = names[0] if total == 1 else where
    if verdict == "unclear":
        sentence = f"Whether {ratio.variant} is faster than {baseline} is unclear on {where}"
    else:
        how = f"as fast as {baseline}{_apart_by(ratio, names)}" if verdict == "same" else f"{verdict} than {baseline}"
        sentence = f"{ratio.variant} is {how} on {where}"
    for other, names in others:
        within = _apart_by(ratio, names) if other == "same" else ""
        sentence += f"; on {_named(names)} {'it is ' if other != 'unclear' else 'that is '}{VERDICTS[other]}{within}"
    missing = [machine.name for machine in fleet.machines if ratio.on(machine.name) is None]
    return f"{sentence}{f'; it was not measured on {_named(missing)}' if missing else ''}."


def _weak(ratio: FleetRatio) -> Iterator[str]:
    """On which machines the verdict holds less far."""
    weak = [one.machine for one in ratio.measured if one.ratio.basis != "processes"]
    if weak:
        yield f"On {_named(weak)} the verdict rests on one process: another run may say otherwise."


def _apart_by(ratio: FleetRatio, machines: list[str]) -> str:
    """The largest difference that could not be told from none on any of these machines."""
    return f" within {max(one.ratio.floor for one in ratio.measured if one.machine in machines):.1%}"


def _disagreement(ratio: FleetRatio) -> Iterator[str]:
    """The two machines that are farthest apart, or that no two are shown to differ."""
    if not ratio.disagreements:
        if sum(one.ratio.basis == "processes" for one in ratio.measured) > 1:
            yield (
                f"No two machines are shown to differ in {ratio.variant}'s speed-up: their 95% intervals overlap, or "
                "are no farther apart than A/A can tell."
            )
        return
    most = ratio.disagreements[0]
    ends = {name: found.ratio for name in (most.lower, most.higher) if (found := ratio.on(name)) is not None}
    texts = [f"{units.speedup(one.ratio)} on {name}" for name, one in ends.items()]
    others = len(ratio.disagreements) - 1
    more = (
        f", and {others} other pair{'s' * (others > 1)} of machines differ{'s' * (others == 1)} less" if others else ""
    )
    yield (
        f"The machines disagree about {ratio.variant}: its speed-up is {' and '.join(texts)}, "
        f"{units.change(most.beyond).lstrip('+')} or more apart by the nearer ends of their 95% intervals{more}."
    )


def _named(machines: list[str]) -> str:
    return units.names(machines, _MOST_NAMES)
