"""One network, layer by layer, and the words for a layer that every table shares."""

from collections import Counter
from collections.abc import Sequence

from vggcalc.nets.layers import Axes
from vggcalc.report import units
from vggcalc.report.tables.cells import Cell, Column, Row, Section, Table, Text, cost_columns, shown_costs, total_costs
from vggcalc.results import BlockResult, Comparison, LayerResult, Variant

#: Where no one receptive field holds for every unit.
_SEES = {"image": "image", "varies": "varies"}

#: Kinds of layers whose names in torch are long.
_SHORT_KINDS = {"AdaptiveAvgPool2d": "avg-pool", "BatchNorm2d": "batch norm", "LocalResponseNorm": "LRN"}


def field_cell(of: LayerResult | BlockResult | Variant) -> Cell:
    """The size of a receptive field, or in a word why there is none."""
    return Cell.axes(of.receptive_field.size) if of.receptive_field else Cell(_SEES.get(of.sees, units.NO_FIGURE))


def input_and_dtype(comparison: Comparison) -> str:
    """Input shape and dtype, which a comparison holds for."""
    return f"input {units.shape(comparison.input_shape)}, {comparison.dtype}"


def layer_kind(layer: LayerResult) -> str:
    """A layer in a few words: 3×3 for a convolution, with stride and groups where there are any; else its type."""
    kernel, function = layer.kernel_size, layer.function
    if layer.type == "Opaque":
        return f"{function} (no formula)"
    if kernel is None or (set(kernel) == {1} and function):
        return str(function).replace("_", " ") if function else _SHORT_KINDS.get(layer.type, layer.type)
    words = [units.shape(kernel)]
    if function:
        words.append(function.rstrip("123d").replace("_", "-"))
    elif layer.type == "MaxPool2d":
        words.append("max-pool")
    elif layer.type.startswith("ConvTranspose"):
        words.append("transposed")
    stride: Axes = getattr(layer.layer, "stride", ())
    groups = getattr(layer.layer, "groups", 1)
    if stride and set(stride) != {1} and layer.type != "MaxPool2d":
        words.append(f"/{units.axes(stride)}")
    if groups != 1:
        words.append(f"g{groups}")
    return " ".join(words)


def shortened_kernels(kernels: str, most: int = 24) -> str:
    """The kernels of a block, cut at a comma where they are many."""
    if len(kernels) <= most:
        return kernels
    return kernels[:most].rpartition(",")[0] + ", …"


def layer_table(comparison: Comparison, variant: Variant) -> Table:
    """A line for each layer, with the totals of blocks that have several layers apart."""
    lengths, keys = Counter(layer.block for layer in variant.layers), shown_costs([variant])
    rows = [
        Row(
            (Cell(layer.name), Cell(layer_kind(layer)), Cell.shape(layer.output_shape[1:]), field_cell(layer),
             *total_costs(layer.costs, {}, keys)),
            ruled=i > 0
            and layer.block != (before := variant.layers[i - 1].block)
            and max(lengths[layer.block], lengths[before]) > 1,
        )
        for i, layer in enumerate(variant.layers)
    ]  # fmt: skip
    several = [block for block in variant.blocks if lengths[block.name] > 1]
    for i, block in enumerate(several):
        kernels = Cell(shortened_kernels(units.kernels(block.kernels)))
        rows.append(Row((Cell(block.name), kernels, *_totals(block, keys)), "subtotal", ruled=i == 0))
    convolutions = Cell(f"{variant.convolutions} conv")
    rows.append(Row((Cell("total"), convolutions, *_totals(variant, keys)), "total", ruled=True))
    return Table(
        f"{comparison.name}, {input_and_dtype(comparison)}",
        (
            Column("layer", right=False),
            Column("kind", right=False),
            Column("output"),
            Column("RF"),
            *cost_columns(keys),
        ),
        tuple(rows),
    )


def _totals(of: BlockResult | Variant, keys: Sequence[str]) -> tuple[Cell, ...]:
    return (Cell.shape(of.output_shape[1:]), field_cell(of), *total_costs(of.costs, of.partial, keys))


def unit_field(comparison: Comparison) -> list[Section]:
    """On which part of the input one unit depends, as a sentence."""
    found = comparison.unit_field
    if found is None:
        return []
    axis_names = ["row", "column"] if len(found.unit) == 2 else [f"axis {i}" for i in range(len(found.unit))]
    where = f"Unit {','.join(map(str, found.unit))} of {found.layer} sees"
    if found.span is None:
        return [Text((f"{where} the whole input, {units.shape(comparison.input_shape[2:])}.",))]
    if not found.span:
        return [Text((f"{where} nothing but padding.",))]
    spans = [f"{name}s {first} to {last}" for name, (first, last) in zip(axis_names, found.span, strict=True)]
    size = units.shape([last - first + 1 for first, last in found.span])
    lines = [f"{where} {' and '.join(spans)} of the input (from 0): {size}."]
    if found.field is not None and units.shape(found.field.size) != size:
        lines.append(f"The receptive field there is {units.shape(found.field.size)}: the rest is padding.")
    return [Text(tuple(lines))]
