"""Factorized kernels without activations beside the one convolution that each of them is."""

from vggcalc.report import units
from vggcalc.report.sections import Column, Row, Section, Table, Text
from vggcalc.results import Comparison, Proof

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


def proofs(comparison: Comparison) -> list[Section]:
    """A line for each variant that was composed into one kernel: how wide a border differs, and by how much."""
    proved = {variant.name: variant.proof for variant in comparison.variants if variant.proof is not None}
    if not proved:
        return []
    table = Table(
        f"{comparison.name} without activations: every variant as one convolution, in float64",
        _COLUMNS,
        tuple(Row((name, *_cells(proof)), strong=not proof.agrees) for name, proof in proved.items()),
    )
    return [table, Text(_conditions(proved), quiet=True)]


def _cells(proof: Proof) -> tuple[str, ...]:
    return (
        units.pair(proof.convolution.kernel_size),
        units.axes(proof.border),
        units.axes(proof.border_seen),
        _error(proof.interior_error),
        _error(proof.border_error),
        _error(proof.pads_once_error),
        units.axes(proof.convolution.dilation),
    )


def _error(value: float | None) -> str:
    return units.UNKNOWN if value is None else "0" if not value else f"{value:.1e}".replace("e-0", "e-")


def _conditions(proved: dict[str, Proof]) -> tuple[str, ...]:
    """What was compared with what, and why there is a border; first of all what is not one convolution."""
    found = list(proved.values())
    shapes = " or ".join(dict.fromkeys(units.shape(proof.input_shape) for proof in found))
    lines = [
        f"The largest difference over the largest output, with random weights from seed {found[0].seed} and a "
        f"random image {shapes}."
    ]
    if any(any(proof.border) for proof in found):
        lines.append(
            "Border: so many pixels from each edge may differ, because a later layer pads zeros where the one "
            "kernel meets the image or a bias. A stack that pads once, in its first layer, is exact everywhere."
        )
    refuted = [name for name, proof in proved.items() if not proof.agrees]
    if refuted:
        lines.insert(0, f"Refuted: {', '.join(refuted)}, by more than rounding where all is to be exact.")
    return tuple(lines)
