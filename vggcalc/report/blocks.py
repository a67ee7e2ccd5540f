"""Networks side by side, as a picture shows them: of each block the layers, and bars of what they cost."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import msgspec

from vggcalc.nets.layers import Convolution, Linear
from vggcalc.report import units
from vggcalc.report.tables.cells import ALWAYS, heading
from vggcalc.report.tables.kernels import is_kernel
from vggcalc.report.tables.layers import layer_kind
from vggcalc.results import BlockResult, Comparison, Configuration, LayerResult, Variant

#: Boxes in a row of a block, and blocks under each other, that can still be looked through.
_MOST_BOXES, MOST_BLOCKS = 5, 32


class LayerBox(msgspec.Struct, frozen=True):
    """A convolution or linear layer, or `times` equal ones one behind the other."""

    kind: str
    channels: str
    times: int = 1

    @property
    def label(self) -> str:
        """Its kind, and how many they are."""
        return self.kind if self.times == 1 else f"{self.kind} ×{self.times}"


class Bar(msgspec.Struct, frozen=True):
    """What a bar shows: a value, its share of the largest in its column, and its change from the baseline."""

    value: float | None
    share: float
    text: str
    change: str = ""


class BlockLine(msgspec.Struct, frozen=True):
    """One variant of a block: its layers, and a bar for each heading of the drawing."""

    variant: str
    boxes: tuple[LayerBox, ...]
    bars: tuple[Bar, ...]


class DrawnBlock(msgspec.Struct, frozen=True):
    """A block, the shape that it puts out, and a line for each variant. The `total` has bars of its own scale."""

    name: str
    output: str
    lines: tuple[BlockLine, ...]
    total: bool = False


class Drawing(msgspec.Struct, frozen=True):
    """What is drawn: `headings` are those of the bars, `text` is for those who do not see it."""

    variants: tuple[str, ...]
    headings: tuple[str, ...]
    blocks: tuple[DrawnBlock, ...]
    text: str


def drawing_of(comparisons: Sequence[Comparison]) -> Drawing | None:
    """A block for each of several kernels, or those of one comparison; None where there are too many or none.

    Of more than two variants of a network only the totals are drawn.
    """
    if not comparisons or len({one.input_shape[2:] for one in comparisons}) > 1:
        return None
    first = comparisons[0]
    if all(is_kernel(one) for one in comparisons):
        rows = [
            _block_row(one.name, one.variants, [(v, v.blocks[0].name) for v in one.variants]) for one in comparisons
        ]
        return _drawing(comparisons, rows, [])
    if len(comparisons) > 1 or first.of_models:
        return None
    totals = [_block_row("total", first.variants, [(variant, None) for variant in first.variants])]
    if len(first.variants) > 2:
        return _drawing(comparisons, [], totals)
    blocks = [block for block in first.variants[0].blocks if any(block.costs[key] for key in ALWAYS)]
    if len(blocks) > MOST_BLOCKS:
        return None
    found = [
        [(part, (variant, block.name)) for variant in first.variants if (part := variant.block(block.name)) is not None]
        for block in blocks
    ]
    rows = [
        _block_row(block.name, [part for part, _ in parts], [where for _, where in parts])
        for block, parts in zip(blocks, found, strict=True)
    ]
    return _drawing(comparisons, rows, totals if len(rows) > 1 else [])


class _BlockRow(msgspec.Struct, frozen=True):
    """A block before it is drawn: of each variant its name, what has the costs, and its layers."""

    name: str
    output: str
    lines: tuple[tuple[str, BlockResult | Variant, tuple[LayerBox, ...]], ...]


def _block_row(
    name: str, parts: Sequence[BlockResult | Variant], places: Sequence[tuple[Variant, str | None]]
) -> _BlockRow:
    lines = tuple(
        (variant.name, part, layer_boxes([] if block is None else _layers(variant, block)))
        for part, (variant, block) in zip(parts, places, strict=True)
    )
    return _BlockRow(name, units.shape(parts[0].output_shape[1:]), lines)


def _layers(variant: Variant, block: str) -> list[LayerResult]:
    return [layer for layer in variant.layers if layer.block == block]


def layer_boxes(layers: Iterable[LayerResult]) -> tuple[LayerBox, ...]:
    """The convolutions and linear layers in order; where they are many, equal ones are one box."""
    found = [box for layer in layers if (box := _box_of(layer)) is not None]
    if len(found) > _MOST_BOXES:
        runs = [(box, len(list(run))) for box, run in groupby(found)]
        found = [msgspec.structs.replace(box, times=times) for box, times in runs]
    if len(found) > _MOST_BOXES:
        rest = sum(box.times for box in found[_MOST_BOXES - 1 :])
        found = [*found[: _MOST_BOXES - 1], LayerBox("…", f"{rest} more")]
    return tuple(found)


def _box_of(layer: LayerResult) -> LayerBox | None:
    match layer.layer:
        case Convolution(in_channels=before, out_channels=after):
            return LayerBox(layer_kind(layer), f"{after:,}" if before == after else f"{before:,} → {after:,}")
        case Linear(out_features=features):
            return LayerBox("linear", f"{features:,}")
    return None


#: The value of a bar, and its text.
_Measure = tuple[Callable[[BlockResult | Variant], float | None], Callable[[BlockResult | Variant], str]]


def _measures(comparisons: Sequence[Comparison]) -> dict[str, _Measure]:
    """By its heading: parameters, MACs, and the latency in the first configuration that was measured."""
    found: dict[str, _Measure] = {heading(key): (_cost_value(key), _cost_text(key)) for key in ALWAYS}
    timed = [latency.configuration for one in comparisons for v in one.variants for latency in v.latency]
    if timed:
        median = _median(timed[0])
        found[f"time, {timed[0].label}"] = (median, lambda part: units.duration(median(part)))
    return found


def _cost_value(key: str) -> Callable[[BlockResult | Variant], float | None]:
    return lambda part: part.costs[key]


def _cost_text(key: str) -> Callable[[BlockResult | Variant], str]:
    """To three digits; a lower bound says that it is one."""
    return lambda part: units.LOWER_BOUND * (key in part.partial) + units.compact(part.costs[key])


def _median(configuration: Configuration) -> Callable[[BlockResult | Variant], float | None]:
    return lambda part: one.median_s if (one := part.latency_in(configuration)) else None


def _drawing(comparisons: Sequence[Comparison], rows: Sequence[_BlockRow], totals: Sequence[_BlockRow]) -> Drawing:
    measures = _measures(comparisons)
    blocks = [*_drawn(rows, measures, total=False), *_drawn(totals, measures, total=True)]
    names = tuple(dict.fromkeys(variant.name for one in comparisons for variant in one.variants))
    text = f"{units.names(names, 4)}, drawn beside each other with bars of their costs; a table below has the figures."
    return Drawing(names, tuple(measures), tuple(blocks), text)


def _drawn(rows: Sequence[_BlockRow], measures: dict[str, _Measure], total: bool) -> list[DrawnBlock]:
    most = [
        max((value(part) or 0.0 for row in rows for _, part, _ in row.lines), default=0.0)
        for value, _ in measures.values()
    ]
    return [
        DrawnBlock(
            row.name,
            row.output,
            tuple(
                BlockLine(name, boxes, tuple(_bars_of(part, row.lines[0][1], measures, most)))
                for name, part, boxes in row.lines
            ),
            total,
        )
        for row in rows
    ]


def _bars_of(
    part: BlockResult | Variant, baseline: BlockResult | Variant, measures: dict[str, _Measure], most: Sequence[float]
) -> Iterable[Bar]:
    for (value, written), largest in zip(measures.values(), most, strict=True):
        own, base = value(part), value(baseline)
        changed = units.change(own / base) if own is not None and base and own != base else ""
        yield Bar(own, own / largest if own and largest else 0.0, written(part), changed)
