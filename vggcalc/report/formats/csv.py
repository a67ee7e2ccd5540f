"""CSV: a row for each layer, block, module of a summary, total and latency."""

import io
from collections.abc import Iterable, Iterator, Sequence
from csv import DictWriter

import msgspec

from vggcalc.nets.layers import AXIS_NAMES
from vggcalc.report import units
from vggcalc.report.escape import csv_value
from vggcalc.report.formats import Screen
from vggcalc.results import (
    Comparison,
    Costs,
    EffectiveReceptiveField,
    Fleet,
    Latency,
    LatencyRatio,
    ModelCosts,
    ModuleSummary,
    ReceptiveField,
    Report,
    Variant,
    Verification,
)


def render(report: Report, screen: Screen) -> str:
    """One line for each layer, block, module, total and latency, or each of several models or machines.

    The `level` says which.
    """
    rows = [row for comparison in report.comparisons for row in records(comparison)]
    rows += [_model_columns(model) for model in report.models]
    rows += _machine_rows(report.fleet) if report.fleet is not None else []
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO()
    writer = DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_value(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def records(comparison: Comparison) -> Iterator[dict[str, object]]:
    """A row for each layer, block, module, total, latency, verification and effective field, by column."""
    for variant in comparison.variants:
        ratios = next((ratio for ratio in comparison.ratios if ratio.variant == variant.name), None)
        place: dict[str, object] = {"comparison": comparison.name, "variant": variant.name}
        for layer in variant.layers:
            yield (
                place
                | {
                    "level": "layer",
                    "name": layer.name,
                    "type": layer.type,
                    "kernels": units.shape(layer.kernel_size) if layer.kernel_size else "",
                    "output_shape": units.shape(layer.output_shape),
                }
                | _field_and_cost_columns(layer.receptive_field, layer.costs)
            )
        for block in variant.blocks:
            yield (
                place
                | {
                    "level": "block",
                    "name": block.name,
                    "kernels": " ".join(units.shape(kernel) for kernel in block.kernels),
                    "output_shape": units.shape(block.output_shape),
                }
                | _field_and_cost_columns(block.receptive_field, block.costs)
                | _lower_bound_columns(block.partial)
            )
            yield from _latency_rows(
                place | {"name": block.name}, block.latency, ratios.block(block.name) if ratios else ()
            )
        if comparison.modules is not None:
            yield from _module_rows(place, comparison.modules)
        yield (
            place
            | {
                "level": "total",
                "name": comparison.name,
                "output_shape": units.shape(variant.output_shape),
            }
            | _pareto_columns(comparison, variant)
            | _field_and_cost_columns(variant.receptive_field, variant.costs)
            | _lower_bound_columns(variant.partial)
        )
        yield from _latency_rows(place | {"name": comparison.name}, variant.latency, ratios.latency if ratios else ())
        if variant.verification is not None:
            yield (
                place | {"level": "verification", "name": comparison.name} | _verification_columns(variant.verification)
            )

        if variant.effective is not None:
            yield place | {"level": "effective", "name": comparison.name} | _effective_columns(variant.effective)


def _module_rows(place: dict[str, object], modules: ModuleSummary) -> Iterator[dict[str, object]]:
    """The rows of a summary with every cost; what is left out in one row, so that they add up to the total."""
    for row in (*modules.rows, *([modules.others] if modules.others else [])):
        yield (
            place
            | {"level": "module", "name": row.name, "count": row.count}
            | row.costs
            | _lower_bound_columns(row.partial)
        )


def _model_columns(model: ModelCosts) -> dict[str, object]:
    """One model of several, by column."""
    place = {"level": "model", "name": model.model, "status": model.status, "dtype": model.dtype}
    shape = {"input_shape": units.shape(model.input_shape) if model.input_shape else ""}
    figures = _field_and_cost_columns(model.receptive_field, model.costs)
    return place | shape | figures | _lower_bound_columns(model.partial) | {"reason": model.reason}


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


def _latency_rows(
    place: dict[str, object], latencies: Iterable[Latency], ratios: Sequence[LatencyRatio]
) -> Iterator[dict[str, object]]:
    """A row for each configuration, with its ratio where there is one."""
    for latency in latencies:
        row = place | {"level": "latency"} | msgspec.structs.asdict(latency)
        for key in ("times_s", "rounds_per_process", "ci95"):
            del row[key]
        row["kernels"] = "; ".join(latency.kernels)
        for ratio in ratios:
            if ratio.configuration == latency.configuration:
                row |= _ratio_columns(ratio)
        yield row


def _ratio_columns(ratio: LatencyRatio) -> dict[str, object]:
    low, high = ratio.ci95 or (None, None)
    columns = {"ratio": ratio.ratio, "ci95_low": low, "ci95_high": high, "verdict": ratio.verdict}
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
                {"level": "machine", "machine": one.machine, "cpu": environment.cpu, "torch": environment.torch}
                | {"comparison": ratio.comparison, "variant": ratio.variant}
                | msgspec.structs.asdict(ratio.configuration)
                | {"baseline_s": one.baseline_s, "median_s": one.variant_s}
                | _ratio_columns(one.ratio)
                | {"differs_from": other, "differs_by": times}
            )


def _verification_columns(verification: Verification) -> dict[str, object]:
    """The one kernel, and how far the variant without activations is from it."""
    flat: dict[str, object] = {"kernels": units.shape(verification.convolution.kernel_size)}
    for what in ("border", "border_seen"):
        flat |= _by_axis(what, getattr(verification, what))
    for what in ("interior_error", "border_error", "pads_once_error"):
        flat[what] = getattr(verification, what)
    return flat


def _effective_columns(effective: EffectiveReceptiveField) -> dict[str, object]:
    """The theoretical size, and the sides that hold 50% and 95% of the energy with their intervals."""
    flat: dict[str, object] = {"unit_of": effective.layer, "samples": effective.samples, "weights": effective.weights}
    if effective.theoretical is not None:
        flat |= _by_axis("receptive_field_size", effective.theoretical)
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
