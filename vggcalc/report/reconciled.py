"""What another counter would report."""

from vggcalc.report.sections import Section
from vggcalc.results import Comparison


def reconciliation(comparison: Comparison) -> list[Section]:
    """Being written."""
    return []
