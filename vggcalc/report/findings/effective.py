"""Findings about effective receptive fields."""

from collections.abc import Iterator

from vggcalc.report import units
from vggcalc.report.findings.wording import in_prose, only_pair
from vggcalc.results import Comparison


def energy_within(comparison: Comparison) -> Iterator[str]:
    """Within which square 95% of the gradient's energy of one unit lies, beside what it sees."""
    for naive, other in only_pair(comparison):
        if naive.effective is None or other.effective is None:
            continue
        mine, its = (units.window((one.most.side,) * len(one.unit)) for one in (naive.effective, other.effective))
        theoretical = other.effective.theoretical
        if naive.effective.theoretical != theoretical:  # the table has both
            continue
        of = "the whole input" if theoretical is None else f"the {units.window(theoretical)} positions"
        yield (
            f"Of {of} that a unit sees, the middle {its} hold 95% of its gradient's energy in "
            f"{in_prose(comparison, other)}, and the middle {mine} in {in_prose(comparison, naive)}."
        )
