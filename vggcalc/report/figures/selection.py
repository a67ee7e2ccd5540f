"""Which figures a report holds."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from vggcalc.report.figures import architecture, effective, growth, kernels, roofline, style, tradeoff, trained, windows
from vggcalc.report.figures.picture import Figure
from vggcalc.results import Report

#: By the names of what they yield, in the order in which they are shown: those that the report has the numbers for.
FIGURES: dict[tuple[str, ...], Callable[[Report, Mapping[str, style.Style]], Iterator[Figure]]] = {
    ("kernel",): trained.trained_figures,
    ("effective-field",): effective.effective_figures,
    ("costs", "latency"): kernels.kernel_figures,
    ("coverage",): windows.window_figures,
    ("tradeoff",): tradeoff.tradeoff_figures,
    ("blocks",): architecture.block_bar_figures,
    ("architecture",): architecture.architecture_figures,
    ("receptive-field",): growth.growth_figures,
    ("roofline",): roofline.roofline_figures,
}

#: The names of all figures.
FIGURE_NAMES = tuple(name for names in FIGURES for name in names)


def figures(report: Report) -> list[Figure]:
    """All figures of a report, which are not drawn yet; none of one without comparisons."""
    if not report.comparisons:
        return []
    styles = style.styles(variant.name for one in report.comparisons for variant in one.variants)
    return distinctly_named([figure for of_kind in FIGURES.values() for figure in of_kind(report, styles)])


def distinctly_named(found: Sequence[Figure]) -> list[Figure]:
    """The figures with a name for each: the second `latency` is `latency-2`."""
    counts: Counter[str] = Counter()
    named = []
    for figure in found:
        counts[figure.name] += 1
        name = figure.name if counts[figure.name] == 1 else f"{figure.name}-{counts[figure.name]}"
        named.append(msgspec.structs.replace(figure, name=name))
    return named
