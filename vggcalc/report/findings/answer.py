"""The answer: what a report comes to, in one sentence, which stands first in every format."""

from collections.abc import Iterator, Sequence

from vggcalc.nets.layers import Shape
from vggcalc.report import units
from vggcalc.report.findings.fleet import fleet_answer
from vggcalc.report.findings.networks import nothing_changed
from vggcalc.report.findings.trained import rewritten_answer, trained_answer
from vggcalc.report.findings.wording import (
    VERDICTS,
    amount_of,
    capital,
    compared_by,
    is_kernel_variant,
    known_cost,
    place,
    speedup_and_interval,
    subject,
    verdict_words,
)
from vggcalc.results import (
    Comparison,
    Latency,
    LatencyRatio,
    ModelCosts,
    Ratio,
    Report,
    TrainedKernel,
    UnitField,
    Variant,
)

#: So many configurations or comparisons are each in the sentence; of more it says how many there are.
_MOST_NAMED = 4

#: The costs of the answer, with their verbs.
_VERBS = {"parameters": ("has", "weights"), "macs": ("does", "MACs")}


def answer(report: Report, pending: bool = False) -> str:
    """What the report comes to, in one sentence; `pending` where the times are still being measured."""
    if report.fleet is not None:
        return fleet_answer(report.fleet)
    if report.rewritten is not None:
        return rewritten_answer(report.rewritten)
    if report.models:
        return _of_models(report.models)
    if len(report.comparisons) > 1:
        text = _of_several(report.comparisons)
    elif report.comparisons:
        text = _of_one(report.comparisons[0])
    else:
        return ""
    if any(one.unit_field or one.reconciliation for one in report.comparisons):
        return f"{text}."
    timed = any(variant.latency for comparison in report.comparisons for variant in comparison.variants)
    several = len(report.comparisons) > 1 or any(len(one.variants) > 2 for one in report.comparisons)
    if timed:
        return f"{text}."
    return f"{text}; {'the timing follows' if pending else 'none was timed' if several else 'it was not timed'}."


def _of_one(comparison: Comparison) -> str:
    if len(comparison.variants) == 1:
        return _of_summary(comparison)
    if comparison.trained is not None:
        return _of_trained(comparison, comparison.trained)
    if len(comparison.variants) > 2:
        return _of_variants(comparison)
    return _of_pair(comparison)


def _of_trained(comparison: Comparison, trained: TrainedKernel) -> str:
    """What explains most of a trained kernel, and the speed-up where it was timed."""
    timed = [(one.variant, one.latency[0]) for one in comparison.ratios if one.latency]
    return "; ".join(
        [trained_answer(comparison, trained), *_fastest(timed, subject(comparison, comparison.variants[0]))]
    )


def _of_pair(comparison: Comparison) -> str:
    """The variant against the baseline: faster or not where it was timed, then weights and MACs."""
    baseline, other = comparison.variants
    if is_kernel_variant(baseline) and (other.family, other.convolutions) == ("stack", 1):
        return f"A {comparison.name} is its own stack: there is nothing to factorize"
    if baseline.layers == other.layers:
        return nothing_changed(comparison).rstrip(".")
    ratio = comparison.ratio(other.name)
    name, than = subject(comparison, other), subject(comparison, baseline)
    if not ratio.latency:
        return _sentence(name, [*_cost_clauses(comparison, ratio, than)])
    weights = "".join(_cost_clauses(comparison, ratio, keys=("parameters",)))
    costs = ratio.costs["parameters"] or 1.0
    timings = _verdicts(ratio.latency, than)
    verdicts = {measured.verdict for measured in ratio.latency}
    if verdicts == {"unclear"}:
        places = units.names([f"on {place(measured)}" for measured in ratio.latency], _MOST_NAMED)
        figures = f" ({speedup_and_interval(ratio.latency[0])})" if len(ratio.latency) == 1 else ""
        return (
            f"Whether {name} is faster than {than} {places} is unclear{figures}{f'; it {weights}' if weights else ''}"
        )
    if not weights:
        return f"{capital(name)} {timings}"
    if len(ratio.latency) > _MOST_NAMED:
        timings += ","
    joined = "and" if (costs < 1 and verdicts == {"faster"}) or (costs > 1 and verdicts == {"slower"}) else "but"
    return f"{capital(name)} {timings} {'and' if costs == 1 else joined} {weights}"


def _cost_clauses(
    comparison: Comparison, ratio: Ratio, than: str = "", keys: Sequence[str] = ("parameters", "macs")
) -> Iterator[str]:
    """`has 45% fewer weights`, `does 45% fewer MACs than the 7×7`, of the costs whose ratio is known."""
    known = [key for key in keys if ratio.costs[key] is not None]
    for key in known:
        verb, noun = _VERBS[key]
        value = ratio.costs[key] or 0.0
        bound = any(key in comparison[name].partial for name in (comparison.baseline, ratio.variant))
        against = f" {compared_by(value)} {than}" if than and key == known[-1] else ""
        yield f"{verb} {amount_of(value, noun)}{against}{' (lower bounds)' * bound}"


def _sentence(name: str, amounts: Sequence[str]) -> str:
    if not amounts:
        return f"{capital(name)} has neither weights nor MACs to compare"
    return f"{capital(name)} {' and '.join(amounts)}"


def _verdicts(measured: Sequence[LatencyRatio], than: str) -> str:
    """`is 1.57 times faster than the 7×7 on this CPU (95% CI 1.56–1.57)`, so for each of a few configurations."""
    if len(measured) > _MOST_NAMED:
        counts = {verdict: sum(one.verdict == verdict for one in measured) for verdict in VERDICTS}
        found = [f"{VERDICTS[verdict]} in {number}" for verdict, number in counts.items() if number]
        return f"is, against {than} in {len(measured)} configurations, {units.names(found)}"
    first, *others = measured
    texts = [f"{verdict_words(first, than)} on {place(first)} ({speedup_and_interval(first)})"]
    texts += [f"{verdict_words(one)} on {place(one)} ({speedup_and_interval(one)})" for one in others]
    return f"is {units.names(texts)}"


def _of_variants(comparison: Comparison) -> str:
    """Of several variants the one with the largest speed-up where they were timed, then the fewest MACs and weights."""
    baseline, *others = comparison.variants
    than = subject(comparison, baseline)
    noun = "models" if comparison.of_models else "variants"
    kinds = f"{len(comparison.variants)} models" if comparison.of_models else f"{len(others)} {noun}"
    timed = [(one.variant, one.latency[0]) for one in comparison.ratios if one.latency]
    found = [f"of {kinds} {text}" for text in _fastest(timed, than)]
    if found:
        return capital(f"{found[0]}; {_least(comparison, 'macs', than)}")
    macs, weights = (_with_least(comparison, key) for key in ("macs", "parameters"))
    if macs is weights is baseline:
        return f"None of {kinds} does fewer MACs or has fewer weights than {than}"
    if macs is weights:
        costs = comparison.ratio(macs.name).costs
        fewer = (
            f"{units.percent(costs['macs'] or 0.0)} and {units.percent(costs['parameters'] or 0.0)} fewer than {than}"
        )
        return capital(
            f"of {kinds} {macs.name} does the fewest MACs and has the fewest weights, {fewer}{_uncovered(macs)}"
        )
    return capital(f"of {kinds} {_least(comparison, 'macs', than)}, and {_least(comparison, 'parameters', than)}")


def _with_least(comparison: Comparison, key: str) -> Variant:
    return min(comparison.variants, key=lambda variant: known_cost(variant.costs, key))


def _least(comparison: Comparison, key: str, than: str) -> str:
    """Which variant has the least of a cost: `separable does the fewest MACs, 97.2% fewer than the 7×7`."""
    verb, noun = _VERBS[key]
    least = _with_least(comparison, key)
    if least.name == comparison.baseline:
        return f"none {verb} fewer {noun} than {than}"
    amount = amount_of(comparison.ratio(least.name).costs[key] or 0.0, "").rstrip()
    return f"{least.name} {verb} the fewest {noun}, {amount} than {than}{_uncovered(least)}"


def _fastest(timed: Sequence[tuple[str, LatencyRatio]], than: str) -> Iterator[str]:
    """The variant with the largest speed-up of those that are faster in the first configuration."""
    if not timed:
        return
    won = [(name, one) for name, one in timed if one.verdict == "faster"]
    if not won:
        yield f"none is shown to be faster than {than} on {place(timed[0][1])}"
        return
    name, one = min(won, key=lambda entry: entry[1].ratio)
    faster = f"{verdict_words(one, than)} on {place(one)} ({speedup_and_interval(one)})"
    yield f"{name} has the largest speed-up: it is {faster}"


def _uncovered(variant: Variant) -> str:
    """What the fewest costs are bought with, where a part of the window is not covered."""
    coverage = variant.coverage
    if coverage is None or coverage.positions == coverage.of:
        return ""
    return f" (it covers {coverage.positions:,} of {coverage.of:,} positions of the window)"


def _of_summary(comparison: Comparison) -> str:
    """What one network has and does: or what was asked of it, a unit's receptive field or another counter's figure."""
    if comparison.unit_field is not None:
        return _of_unit(comparison.unit_field, comparison.input_shape)
    (variant,) = comparison.variants
    found = comparison.reconciliation
    if found is not None:
        more = found.total - found.factor * found.macs
        less = f"{units.count(abs(more))} {'more' if more > 0 else 'fewer'} than " if more else ""
        exact = f"{f'{found.factor} × ' if found.factor != 1 else ''}its {units.count(found.macs)} MACs"
        return f"{found.counter} reports {units.count(found.total)} {found.figure} for {comparison.name}, {less}{exact}"
    costs = [_own_cost(variant, key, noun) for key, noun in (("parameters", "parameters"), ("macs", "MACs"))]
    at = f"for an input of {units.shape(comparison.input_shape)}"
    if not variant.latency:
        return f"{comparison.name} has {costs[0]} and does {costs[1]} {at}"
    times = [f"{units.duration(one.median_s)} on {place(one)}{_interval(one)}" for one in variant.latency]
    return f"One call of {comparison.name} takes {units.names(times, _MOST_NAMED)}, and does {costs[1]} {at}"


def _of_unit(found: UnitField, input_shape: Shape) -> str:
    """On which part of the input one unit depends."""
    axis_names = ["row", "column"] if len(found.unit) == 2 else [f"axis {i}" for i in range(len(found.unit))]
    where = f"Unit {','.join(map(str, found.unit))} of {found.layer} depends on"
    if found.span is None:
        return f"{where} the whole input, {units.shape(input_shape[2:])}"
    if not found.span:
        return f"{where} nothing but padding"
    spans = [f"{name}s {first} to {last}" for name, (first, last) in zip(axis_names, found.span, strict=True)]
    size = units.shape([last - first + 1 for first, last in found.span])
    field = units.shape(found.field.size) if found.field is not None else size
    padding = f"; its receptive field is {field}, of which the rest is padding" if field != size else ""
    return f"{where} {' and '.join(spans)} of the input (from 0), {size}{padding}"


def _own_cost(variant: Variant, key: str, noun: str) -> str:
    return f"{'at least ' * (key in variant.partial)}{units.count(known_cost(variant.costs, key))} {noun}"


def _interval(latency: Latency) -> str:
    if latency.ci95 is None:
        return ""
    return f" (95% CI {' to '.join(map(units.duration, latency.ci95))})"


def _of_several(comparisons: Sequence[Comparison]) -> str:
    """Of several kernels or networks each one's speed-up or MACs, or which of its variants does the fewest."""
    if any(len(comparison.variants) != 2 for comparison in comparisons):
        least = [f"{_with_least(one, 'macs').name} for {_of(one)}" for one in comparisons]
        return f"Fewest MACs: {units.names(least, _MOST_NAMED)}"
    clauses = []
    for one in comparisons:
        other = one.variants[1]
        ratio = one.ratio(other.name)
        if ratio.latency:
            measured = ratio.latency[0]
            clauses.append(f"{verdict_words(measured, _of(one))} ({speedup_and_interval(measured)})")
        else:
            value = ratio.costs["macs"] or 1.0
            clauses.append(f"{amount_of(value, 'MACs' * (not clauses)).rstrip()} {compared_by(value)} {_of(one)}")
    name = capital(_shared_subject(comparisons))
    first = next((one.ratios[0].latency[0] for one in comparisons if one.ratios[0].latency), None)
    verb = "does" if first is None else f"on {place(first)} is"
    return f"{name} {verb} {units.names(clauses, _MOST_NAMED)}"


def _of(comparison: Comparison) -> str:
    baseline = comparison.variants[0]
    return subject(comparison, baseline)


def _shared_subject(comparisons: Sequence[Comparison]) -> str:
    """What the variants of several comparisons are called together."""
    families = {one.variants[1].family for one in comparisons}
    if families == {"stack"} and all(is_kernel_variant(one.variants[0]) for one in comparisons):
        return "the stack of 3×3 layers" if len(comparisons[0].input_shape) == 4 else "the stack"
    return comparisons[0].variants[1].name


def _of_models(models: Sequence[ModelCosts]) -> str:
    """Several models in a summary: the most and the fewest MACs, and how many could not be counted."""
    counted = [model for model in models if model.costs]
    failed = len(models) - len(counted)
    lost = f"; {failed} could not be counted" if failed else ""
    if not counted:
        return f"None of {len(models)} models could be counted."
    least, most = (chosen(counted, key=lambda one: known_cost(one.costs, "macs")) for chosen in (min, max))
    if least is most:
        return f"{least.model} does {_model_macs(least)}{lost}."
    extremes = (
        f"{least.model} does the fewest MACs, {_model_macs(least)}, and {most.model} the most, {_model_macs(most)}"
    )
    return f"Of {len(counted)} models {extremes}{lost}."


def _model_macs(model: ModelCosts) -> str:
    return f"{'at least ' * ('macs' in model.partial)}{units.count(known_cost(model.costs, 'macs'))}"
