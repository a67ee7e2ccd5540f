"""Factorized kernels without activations beside the one convolution that each of them is."""

from vggcalc.report import units
from vggcalc.report.tables import cells
from vggcalc.report.tables.cells import Cell, Column, Row, Section, Table, Text
from vggcalc.results import Comparison, Verification

_COLUMNS = (
    Column("variant", right=False),
    Column("is", right=False),
    Column("border"),
    Column("seen"),
    Column("interior"),
    Column("at edge"),
    Column("pads once"),
    Column("dilation", wide=True),
)


def verifications(comparison: Comparison) -> list[Section]:
    """A line for each variant that was composed into one kernel: how wide a border differs, and by how much."""
    verified = {
        variant.name: variant.verification for variant in comparison.variants if variant.verification is not None
    }
    if not verified:
        return []
    table = Table(
        f"{comparison.name} without activations: every variant as one convolution, in float64",
        _COLUMNS,
        tuple(
            Row((Cell(name), *_cells(verification)), strong=not verification.agrees)
            for name, verification in verified.items()
        ),
    )
    return [table, Text(_conditions(verified), quiet=True)]


def _cells(verification: Verification) -> tuple[Cell, ...]:
    return (
        Cell(units.pair(verification.convolution.kernel_size)),
        cells.axes(verification.border),
        cells.axes(verification.border_seen),
        cells.error(verification.interior_error),
        cells.error(verification.border_error),
        cells.error(verification.pads_once_error),
        cells.axes(verification.convolution.dilation),
    )


def _conditions(verified: dict[str, Verification]) -> tuple[str, ...]:
    """What was compared with what, and why there is a border; first of all what is not one convolution."""
    found = list(verified.values())
    shapes = " or ".join(dict.fromkeys(units.shape(verification.input_shape) for verification in found))
    lines = [
        f"The largest difference over the largest output, with random weights from seed {found[0].seed} and a "
        f"random image {shapes}."
    ]
    if any(any(verification.border) for verification in found):
        lines.append(
            "Border: so many pixels from each edge may differ, because a later layer pads zeros where the one "
            "kernel meets the image or a bias. A stack that pads once, in its first layer, is exact everywhere."
        )
    refuted = [name for name, verification in verified.items() if not verification.agrees]
    if refuted:
        lines.insert(0, f"Refuted: {', '.join(refuted)}, by more than rounding where all is to be exact.")
    return tuple(lines)
