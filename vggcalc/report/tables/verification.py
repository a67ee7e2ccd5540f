"""Factorized kernels without activations, compared with the one convolution that each of them equals."""

from vggcalc.report import units
from vggcalc.report.tables.cells import Cell, Column, Row, Section, Table, Text
from vggcalc.results import Comparison, Verification

_COLUMNS = (
    Column("variant", right=False),
    Column("kernel", right=False),
    Column("border"),
    Column("border seen"),
    Column("interior error"),
    Column("border error"),
    Column("padded once"),
    Column("dilation", wide=True),
)


def verification_tables(comparison: Comparison) -> list[Section]:
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
            Row((Cell(name), *_verified_cells(verification)), strong=not verification.agrees)
            for name, verification in verified.items()
        ),
    )
    return [table, Text(_conditions(verified), quiet=True)]


def _verified_cells(verification: Verification) -> tuple[Cell, ...]:
    return (
        Cell(units.window(verification.convolution.kernel_size)),
        Cell.axes(verification.border),
        Cell.axes(verification.border_seen),
        Cell.error(verification.interior_error),
        Cell.error(verification.border_error),
        Cell.error(verification.pads_once_error),
        Cell.axes(verification.convolution.dilation),
    )


def _conditions(verified: dict[str, Verification]) -> tuple[str, ...]:
    """How it was compared, and why there is a border; first, which variants are not the same as one convolution."""
    found = list(verified.values())
    shapes = " or ".join(dict.fromkeys(units.shape(verification.input_shape) for verification in found))
    lines = [
        f"The largest difference over the largest output, with random weights from seed {found[0].seed} and a "
        f"random input {shapes}."
    ]
    if any(any(verification.border) for verification in found):
        lines.append(
            "Border: up to so many positions from each edge differ, because a later layer pads with zeros where the "
            "one kernel reads the input or a bias. A stack that pads once, in its first layer, is exact everywhere."
        )
    refuted = [name for name, verification in verified.items() if not verification.agrees]
    if refuted:
        lines.insert(0, f"Not the same: {', '.join(refuted)} differs by more than rounding where it should be exact.")
    return tuple(lines)
