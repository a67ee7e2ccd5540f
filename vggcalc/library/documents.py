"""`load`, `join` and `gate`: results as files, of several machines together, and conditions that they must meet."""

import os
from collections.abc import Sequence

from vggcalc.errors import InputError
from vggcalc.library import arguments
from vggcalc.pipeline.report import make_report
from vggcalc.report.gate.gate import Gate, GateResult
from vggcalc.report.gate.gate import gate as read_gate
from vggcalc.results import Comparison, Environment, Fleet


def load(path: str | os.PathLike[str]) -> Comparison:
    """The comparison in a JSON document, of `Comparison.save` or of the command line's `--json`.

    Raises `InputError` for anything else, and for a document that holds several: see `load_all`.

    >>> vggcalc.factorize(7).save("seven.json")
    >>> vggcalc.load("seven.json").ratio("factorized").macs
    0.5510204081632653
    """
    found = load_all(path)
    if not found:
        raise InputError(f"{os.fspath(path)} holds no comparison")
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise InputError(f"{os.fspath(path)} holds {len(found)} comparisons, {names}: use vggcalc.load_all")
    return found[0]


def load_all(path: str | os.PathLike[str]) -> tuple[Comparison, ...]:
    """Every comparison in a JSON document, such as `vggcalc factorize 5 7 9 --json` writes.

    Raises `TypeError` for what is no path, `InputError` for a file that is no such document.

    >>> vggcalc.factorize(7).save("seven.json")
    >>> [comparison.name for comparison in vggcalc.load_all("seven.json")]
    ['7×7']
    """
    import msgspec

    from vggcalc.report.gate.changes import read_report

    report = read_report(arguments.path(path))
    return tuple(msgspec.structs.replace(one, environment=report.environment) for one in report.comparisons)


def join(measured: Sequence[str | os.PathLike[str] | Comparison], hosts: Sequence[str] | None = None) -> Fleet:
    """The same comparison as several machines measured it, with the verdict of each and where they disagree.

    Each of `measured` is the path of a JSON document with latencies, such as `vggcalc compare vgg16 --json` writes, or
    a comparison with latencies. `hosts` are the machines' names, in the same order; without them they are called by
    their processor and accelerators. `print` shows the table; `to_markdown`, `to_html`, `to_csv`, `to_json` and `save`
    hand it on. Nothing is averaged over machines.
    Raises `TypeError` for anything else, `InputError` for a file that is no such document, and where two do not compare
    the same: another network, input, dtype of the counts, or other variants.

    >>> seven = vggcalc.factorize(7, size=8)
    >>> vggcalc.measure(seven, budget=1, device="cpu", processes=1).save("laptop.json")
    >>> vggcalc.measure(seven, budget=1, device="cpu", processes=1).save("server.json")
    >>> vggcalc.join(["laptop.json", "server.json"], hosts=["laptop", "server"])
    <Fleet of 7×7: laptop, server>
    """
    from vggcalc.analysis.fleet import join_reports, measured_report
    from vggcalc.report.gate.changes import read_report

    if isinstance(measured, str | os.PathLike | Comparison) or not isinstance(measured, Sequence):
        raise arguments.wrong_type("measured", measured, "a list of paths or comparisons, one for each machine")
    if isinstance(hosts, str):
        raise arguments.wrong_type("hosts", hosts, "a list of names, one for each machine")
    for host in hosts or ():
        arguments.check_text(host=host)
    if len(measured) < 2:
        raise InputError(f"join takes the documents of two machines or more, not {len(measured)}")
    sources = [
        measured_report(f"comparison {i}", make_report("join", (one,)))
        if isinstance(one, Comparison)
        else measured_report(arguments.path(one, "measured"), read_report(arguments.path(one, "measured")))
        for i, one in enumerate(measured, 1)
    ]
    names = arguments.distinct_names("machine", hosts or (), [_machine_name(one.environment) for one in sources])
    return join_reports(sources, names)


def _machine_name(environment: Environment) -> str:
    """Its processor and its accelerators, by their models."""
    models = (device.model for device in environment.devices if device.name != "cpu")
    return " + ".join((environment.cpu, *models))


def gate(
    comparison: Comparison | Sequence[Comparison],
    *conditions: str,
    against: str | os.PathLike[str] | None = None,
) -> GateResult:
    """Whether any of the conditions holds, as the command line's `--fail-if` decides it.

    A condition is such as "factorized.macs > 16G", "factorized.ratio.latency >= 90%" or, with the path of an earlier
    document in `against`, "factorized.against.macs > 1.01". The result is true where all is well: no condition holds,
    and none is undecided; `held` and `undecided` say why not.
    Raises `InputError` for a condition that cannot be read or answered.

    >>> bool(vggcalc.gate(vggcalc.compare("vgg16"), "factorized.macs > 16G"))
    True
    >>> vggcalc.gate(vggcalc.compare("vgg16"), "factorized.macs > 15G").held[0][:48]
    'condition "factorized.macs > 15G" holds: vgg16 f'
    """
    comparisons = tuple(comparison) if isinstance(comparison, tuple | list) else (comparison,)
    for one in comparisons:
        if not isinstance(one, Comparison):
            raise arguments.wrong_type("comparison", one, "what vggcalc.compare, factorize or summary return")
    for condition in conditions:
        if not isinstance(condition, str):
            raise arguments.wrong_type("condition", condition, 'text such as "factorized.macs > 16G"')
    timed = any(variant.latency for one in comparisons for variant in one.variants)
    rule: Gate = read_gate(
        conditions, None if against is None else arguments.path(against, "against"), comparisons, timed
    )
    return rule.judge(rule.against(make_report("gate", comparisons)))
