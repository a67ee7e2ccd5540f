"""Models of their own side by side: figure by figure for two, a line each for more."""

from vggcalc.report.tables.cells import Cell, Section, heading, shown_costs
from vggcalc.report.tables.layers import field_cell, input_and_dtype
from vggcalc.report.tables.replaced import skipped_text
from vggcalc.report.tables.variants import figure_by_figure, has_several_variants, inputs_differ, variant_tables
from vggcalc.results import Comparison, Variant


def model_tables(comparison: Comparison) -> list[Section]:
    """What each model costs and sees; each one's own input where they differ."""
    differ = inputs_differ(comparison)
    title = f"{comparison.name}, {comparison.dtype if differ else input_and_dtype(comparison)}"
    if has_several_variants(comparison):
        return [*variant_tables(comparison, title), *skipped_text(comparison)]
    keys = shown_costs(comparison.variants)

    def figures(model: Variant) -> dict[str, Cell]:
        own = {"input": Cell.shape(model.input_shape)} if differ else {}
        own |= {
            "convolutions": Cell.count(model.convolutions),
            "nonlinearities": Cell.count(model.nonlinearities),
            "receptive field": field_cell(model),
            "output": Cell.shape(model.output_shape),
        }
        return own | {heading(key): Cell.cost(model.costs, key, key in model.partial) for key in keys}

    return [figure_by_figure(comparison, title, figures), *skipped_text(comparison)]
