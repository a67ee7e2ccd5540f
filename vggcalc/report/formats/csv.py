"""CSV: rows of one kind, so that a column can be summed: the totals of variants, their blocks, layers or modules."""

import io
from collections.abc import Callable, Iterator, Sequence
from csv import DictWriter

import msgspec

from vggcalc.errors import InputError, unknown
from vggcalc.nets.layers import AXIS_NAMES
from vggcalc.report import units
from vggcalc.report.escape import csv_value
from vggcalc.report.formats import Screen
from vggcalc.results import (
    Comparison,
    Costs,
    EffectiveReceptiveField,
    FittedLayer,
    Fleet,
    Latency,
    LatencyRatio,
    ModelCosts,
    ReceptiveField,
    Report,
    Variant,
    Verification,
)


def render(report: Report, screen: Screen) -> str:
    """A line for each row of the kind that `screen.rows` names; of several models or machines for each of these."""
    if report.fleet is not None:
        rows = list(_machine_rows(report.fleet))
    elif report.rewritten is not None:
        rows = [_fitted_columns(report.rewritten.model, layer) for layer in report.rewritten.layers]
    elif report.models:
        rows = [_model_columns(model) for model in report.models]
    else:
        rows = [row for comparison in report.comparisons for row in records(comparison, screen.rows)]
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO()
    writer = DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_value(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def records(comparison: Comparison, rows: str | None = None) -> Iterator[dict[str, object]]:
    """The rows of that kind, by column: see `ROW_KINDS`; None is the layers of a summary, the totals of a comparison.

    Raises `InputError` for another kind, and for modules of what is no summary.
    """
    kind = rows or ("total" if comparison.modules is None else "layer")
    if kind not in ROW_KINDS:
        raise unknown("kind of rows", kind, ROW_KINDS)
    if kind == "module" and comparison.modules is None:
        raise InputError(f"modules are the rows of a summary, and {comparison.name} is compared: choose other rows")
    for variant in comparison.variants:
        place: dict[str, object] = {"comparison": comparison.name, "variant": variant.name}
        yield from (place | row for row in ROW_KINDS[kind](comparison, variant))


def _total_rows(comparison: Comparison, variant: Variant) -> Iterator[dict[str, object]]:
    """A variant as a whole, once for each configuration in which it was timed."""
    ratio = next((one for one in comparison.ratios if one.variant == variant.name), None)
    row = (
        _pareto_columns(comparison, variant)
        | {"output_shape": units.shape(variant.output_shape)}
        | _field_and_cost_columns(variant.receptive_field, variant.costs)
        | _cost_ratios(variant.costs, comparison.variants[0].costs if comparison.ratios else None)
        | _lower_bound_columns(variant.partial)
    )
    if variant.verification is not None:
        row |= _verification_columns(variant.verification)
    if variant.effective is not None:
        row |= _effective_columns(variant.effective)
    if variant.fitted is not None:
        row |= {"energy": variant.fitted.energy, "output_error": variant.fitted.output_error}
    yield from _timed(row, variant.latency, ratio.latency if ratio else ())


def _block_rows(comparison: Comparison, variant: Variant) -> Iterator[dict[str, object]]:
    """The blocks of a variant, each once for each configuration in which it was timed."""
    ratio = next((one for one in comparison.ratios if one.variant == variant.name), None)
    for block in variant.blocks:
        base = comparison.variants[0].block(block.name) if comparison.ratios else None
        row = (
            {
                "block": block.name,
                "kernels": " ".join(units.shape(kernel) for kernel in block.kernels),
                "output_shape": units.shape(block.output_shape),
            }
            | _field_and_cost_columns(block.receptive_field, block.costs)
            | _cost_ratios(block.costs, base.costs if base else None)
            | _lower_bound_columns(block.partial)
        )
        yield from _timed(row, block.latency, ratio.block(block.name) if ratio else ())


def _layer_rows(comparison: Comparison, variant: Variant) -> Iterator[dict[str, object]]:
    for layer in variant.layers:
        yield {
            "block": layer.block,
            "layer": layer.name,
            "type": layer.type,
            "kernel": units.shape(layer.kernel_size) if layer.kernel_size else "",
            "output_shape": units.shape(layer.output_shape),
        } | _field_and_cost_columns(layer.receptive_field, layer.costs)


def _module_rows(comparison: Comparison, variant: Variant) -> Iterator[dict[str, object]]:
    """The rows of a summary with every cost; what is left out in one row, so that they add up to the total."""
    modules = comparison.modules
    for row in (*modules.rows, *([modules.others] if modules.others else [])) if modules is not None else ():
        yield {"module": row.name, "count": row.count} | row.costs | _lower_bound_columns(row.partial)


#: What a row may be of.
ROW_KINDS: dict[str, Callable[[Comparison, Variant], Iterator[dict[str, object]]]] = {
    "total": _total_rows,
    "block": _block_rows,
    "layer": _layer_rows,
    "module": _module_rows,
}


def _model_columns(model: ModelCosts) -> dict[str, object]:
    """One model of several, by column."""
    place = {"model": model.model, "status": model.status, "dtype": model.dtype}
    shape = {"input_shape": units.shape(model.input_shape) if model.input_shape else ""}
    figures = _field_and_cost_columns(model.receptive_field, model.costs)
    return place | shape | figures | _lower_bound_columns(model.partial) | {"reason": model.reason}


def _fitted_columns(model: str, layer: FittedLayer) -> dict[str, object]:
    """A layer that was replaced, with its costs before and after."""
    before, after = layer.kernels
    flat = {"model": model, "layer": layer.name, "kernel": units.shape(before), "by": " ".join(map(units.shape, after))}
    costs = {f"{key}_{when}": getattr(layer, key)[i] for key in ("parameters", "macs") for i, when in enumerate(_WHEN)}
    return flat | costs | {"energy": layer.energy, "output_error": layer.output_error}


#: Of a pair of figures, the first and the second.
_WHEN = ("before", "after")


def _pareto_columns(comparison: Comparison, variant: Variant) -> dict[str, object]:
    """Family, coverage and Pareto-optimality, in columns that are there for more than two variants."""
    if len(comparison.variants) < 3:
        return {}
    coverage = variant.coverage
    return {
        "family": variant.family,
        "window": coverage.window if coverage else None,
        "window_positions": coverage.positions if coverage else None,
        "window_of": coverage.of if coverage else None,
        "mixing": coverage.mixing if coverage else None,
        "pareto": variant.name in comparison.pareto,
    }


def _lower_bound_columns(partial: dict[str, tuple[str, ...]]) -> dict[str, object]:
    """The costs that are lower bounds, in a column that is there where any is."""
    return {"lower_bounds": " ".join(partial)} if partial else {}


def _cost_ratios(costs: Costs, base: Costs | None) -> dict[str, object]:
    """Each cost / the baseline's, in columns that are there where there is something to compare."""
    if base is None:
        return {}
    pairs = {key: (value, base.get(key)) for key, value in costs.items()}
    return {f"{key}_ratio": value / of if of and value is not None else None for key, (value, of) in pairs.items()}


def _timed(
    row: dict[str, object], latencies: Sequence[Latency], ratios: Sequence[LatencyRatio]
) -> Iterator[dict[str, object]]:
    """The row once for each configuration, with its latency and ratio; as it is where nothing was timed."""
    if not latencies:
        yield row
    for latency in latencies:
        timed = msgspec.structs.asdict(latency)
        for key in ("times_s", "rounds_per_process", "ci95"):
            del timed[key]
        timed["device_kernels"] = "; ".join(timed.pop("kernels"))
        ratio = LatencyRatio.find(tuple(ratios), latency.configuration)
        yield row | timed | (_ratio_columns(ratio) if ratio is not None else {})


def _ratio_columns(ratio: LatencyRatio) -> dict[str, object]:
    low, high = ratio.ci95 or (None, None)
    columns = {"latency_ratio": ratio.ratio, "ci95_low": low, "ci95_high": high, "verdict": ratio.verdict}
    names = ("basis", "processes", "rounds", "control_ratio", "floor", "stopped")
    return columns | {name: getattr(ratio, name) for name in names}


def _machine_rows(fleet: Fleet) -> Iterator[dict[str, object]]:
    """A row for each ratio on each machine; `differs_by` is its largest disagreement, above 1 if it is higher."""
    environments = {machine.name: machine.environment for machine in fleet.machines}
    for ratio in fleet.ratios:
        for one in ratio.measured:
            environment = environments[one.machine]
            other, times = ratio.farthest_from(one.machine)
            yield (
                {"machine": one.machine, "cpu": environment.cpu, "torch": environment.torch}
                | {"comparison": ratio.comparison, "variant": ratio.variant}
                | msgspec.structs.asdict(ratio.configuration)
                | {"baseline_s": one.baseline_s, "median_s": one.variant_s}
                | _ratio_columns(one.ratio)
                | {"differs_from": other, "differs_by": times}
            )


def _verification_columns(verification: Verification) -> dict[str, object]:
    """The one kernel, and how far the variant without activations is from it."""
    flat: dict[str, object] = {"verified_kernel": units.shape(verification.convolution.kernel_size)}
    for what in ("border", "border_seen"):
        flat |= _by_axis(what, getattr(verification, what))
    for what in ("interior_error", "border_error", "pads_once_error"):
        flat[what] = getattr(verification, what)
    return flat


def _effective_columns(effective: EffectiveReceptiveField) -> dict[str, object]:
    """The theoretical size, and the sides that hold 50% and 95% of the energy with their intervals."""
    flat: dict[str, object] = {
        "effective_layer": effective.layer,
        "effective_samples": effective.samples,
        "effective_weights": effective.weights,
    }
    if effective.theoretical is not None:
        flat |= _by_axis("theoretical_size", effective.theoretical)
    for share, held in (("50", effective.half), ("95", effective.most)):
        low, high = held.ci95 or (None, None)
        flat |= {f"side_{share}": held.side, f"side_{share}_low": low, f"side_{share}_high": high}
    return flat


def _field_and_cost_columns(field: ReceptiveField | None, costs: Costs) -> dict[str, object]:
    flat: dict[str, object] = {}
    for what in ("size", "stride", "padding") if field is not None else ():
        flat |= _by_axis(f"receptive_field_{what}", getattr(field, what))
    return flat | costs


def _by_axis(what: str, values: Sequence[object]) -> dict[str, object]:
    """A column for each spatial axis, which are torch's: length, or depth, height and width."""
    return {f"{what}_{name}": value for name, value in zip(AXIS_NAMES[len(values)], values, strict=True)}
