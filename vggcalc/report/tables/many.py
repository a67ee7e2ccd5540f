"""Several models in a summary: a row of totals each, and why some have none."""

from collections.abc import Iterator, Sequence

from vggcalc.report.findings.wording import lacking
from vggcalc.report.tables.cells import (
    EMPTY,
    Cell,
    Column,
    Row,
    Section,
    Table,
    Text,
    cost_columns,
    shown_costs,
    total_costs,
)
from vggcalc.report.tables.layers import field_cell
from vggcalc.results import ModelCosts

#: The costs that stand there even where there is little room.
_SHOWN = ("parameters", "macs", "product_macs", "flops")


def many_tables(models: Sequence[ModelCosts]) -> list[Section]:
    """The table, and a line for each model that failed or whose costs are lower bounds."""
    counted = [model for model in models if model.costs]
    keys = shown_costs(counted) if counted else ()
    shapes, dtypes = {model.input_shape for model in counted}, {model.dtype for model in counted}
    rows = [
        Row(
            (
                Cell(model.model),
                *(total_costs(model.costs, model.partial, keys) if model.costs else [EMPTY] * len(keys)),
                field_cell(model) if model.costs else EMPTY,
                *([Cell.shape(model.input_shape)] if len(shapes) > 1 else []),
                Cell(model.status),
            )
        )
        for model in models
    ]
    words = [f"{len(models)} model{'s' * (len(models) != 1)}"]
    words += [f"input {Cell.shape(shape).text}" for shape in shapes if len(shapes) == 1]
    columns = (
        Column("model", right=False),
        *cost_columns(keys, _SHOWN),
        Column("RF"),
        *([Column("input")] if len(shapes) > 1 else []),
        Column("status", right=False),
    )
    lines = [line for model in models for line in _shortcomings(model)]
    table = Table(", ".join((*words, *(dtypes if len(dtypes) == 1 else ()))), columns, tuple(rows))
    return [table, *([Text(tuple(lines))] if lines else [])]


def _shortcomings(model: ModelCosts) -> Iterator[str]:
    """Why a model has no costs, or which are lower bounds."""
    if model.reason:
        yield model.reason if model.model in model.reason else f"{model.model}: {model.reason}"
    for noun, operators in lacking(model.partial):
        yield f"{model.model}: {noun} are a lower bound, without those of {operators}"
