"""One network, layer by layer, and the words for a layer that every table shares."""

from collections.abc import Iterator, Sequence

import msgspec

from vggcalc.nets.layers import Axes, Convolution, MaxPool
from vggcalc.report import units
from vggcalc.report.detail import Detail
from vggcalc.report.tables.cells import (
    ALWAYS,
    EMPTY,
    Cell,
    Column,
    Row,
    Section,
    Table,
    Text,
    cost_columns,
    heading,
    shown_costs,
    total_costs,
)
from vggcalc.results import BlockResult, Comparison, LayerResult, ModelCosts, ModuleSummary, Variant

#: Where no one receptive field holds for every unit.
_SEES = {"image": "image", "varies": "varies"}

#: So many of the rows with most MACs are shown briefly.
_BRIEF_ROWS = 5

#: Kinds of layers whose names in torch are long, in any number of dimensions.
_SHORT_KINDS = {"AdaptiveAvgPool": "avg-pool", "BatchNorm": "batch norm", "LocalResponseNorm": "LRN"}


def field_cell(of: LayerResult | BlockResult | Variant | ModelCosts) -> Cell:
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
        return str(function).replace("_", " ") if function else _SHORT_KINDS.get(layer.type.rstrip("123d"), layer.type)
    words = [units.window(kernel)]
    if function:
        words.append(function.rstrip("123d").replace("_", "-"))
    elif isinstance(layer.layer, MaxPool):
        words.append("max-pool")
    elif layer.type.startswith("ConvTranspose"):
        words.append("transposed")
    stride: Axes = getattr(layer.layer, "stride", ())
    groups = getattr(layer.layer, "groups", 1)
    if stride and set(stride) != {1} and not isinstance(layer.layer, MaxPool):
        words.append(f"/{units.axes(stride)}")
    if groups != 1:
        words.append(f"g{groups}")
    return " ".join(words)


def shortened_kernels(kernels: str, most: int = 24) -> str:
    """The kernels of a block, cut at a comma where they are many."""
    if len(kernels) <= most:
        return kernels
    return kernels[:most].rpartition(",")[0] + ", …"


def module_tables(comparison: Comparison, modules: ModuleSummary) -> list[Section]:
    """A line for each row of the summary, with the totals of blocks that have several rows apart."""
    (variant,) = comparison.variants
    layers = {layer.name: layer for layer in variant.layers}
    keys = modules.columns or shown_costs([variant])
    rows: list[Row] = []
    costliest = sorted(modules.rows, key=lambda one: -(one.costs["macs"] or 0))[:_BRIEF_ROWS]
    within: list[str] = []  # the block of each row, by the name of its first layer
    for one in modules.rows:
        of_row = [layers[name] for name in one.layers]
        within.append(of_row[0].block)
        name = f"{one.name} ×{one.count}" if one.count > 1 else one.name
        first = of_row[: len(of_row) // one.count]
        rows.append(
            Row(
                (Cell(name), _kind_of_row(first), Cell.shape(of_row[-1].output_shape[1:]), field_cell(of_row[-1]),
                 *total_costs(one.costs, one.partial, keys)),
                detail=Detail.BRIEF if one in costliest else Detail.NORMAL,
            )
        )  # fmt: skip
    if modules.sort is None:
        rows = _ruled(rows, within)
    if modules.others is not None:
        costs = total_costs(modules.others.costs, modules.others.partial, keys)
        rows.append(Row((Cell(_others(modules.others.count)), *[EMPTY] * 3, *costs), ruled=True))
    if modules.sort is None:
        several = [block for block in variant.blocks if within.count(block.name) > 1]
        for i, block in enumerate(several):
            kind = _kind_of_row([layer for layer in variant.layers if layer.block == block.name])
            rows.append(Row((Cell(block.name), kind, *_totals(block, keys)), "subtotal", ruled=i == 0))
    convolutions = Cell(f"{variant.convolutions} conv")
    rows.append(Row((Cell("total"), convolutions, *_totals(variant, keys)), "total", ruled=True, detail=Detail.BRIEF))
    columns = (Column("layer", right=False), Column("kind", right=False, wide=True), Column("output", wide=True),
               Column("RF", wide=True), *cost_columns(keys, _decisive(modules)))  # fmt: skip
    title = f"{comparison.name}, {input_and_dtype(comparison)}"
    explained = tuple(_explained(modules))
    return [Table(title, columns, tuple(rows)), *([Text(explained, quiet=True)] if explained else [])]


def _decisive(modules: ModuleSummary) -> tuple[str, ...]:
    """The costs that the rows are chosen by, which are shown in any case."""
    return modules.columns or tuple(dict.fromkeys((*ALWAYS, *([modules.sort] if modules.sort else []))))


def _ruled(rows: list[Row], within: list[str]) -> list[Row]:
    """The rows with a line above each in which a block begins or ends that has several."""
    return [
        msgspec.structs.replace(row, ruled=True)
        if i > 0 and within[i] != within[i - 1] and max(within.count(block) for block in within[i - 1 : i + 1]) > 1
        else row
        for i, row in enumerate(rows)
    ]


def _kind_of_row(layers: list[LayerResult]) -> Cell:
    """What a layer is, or of a module the layers in it that do MACs."""
    if len(layers) == 1:
        return Cell(layer_kind(layers[0]))
    kinds = [
        units.window(layer.layer.kernel_size) if isinstance(layer.layer, Convolution) else layer_kind(layer)
        for layer in layers
        if layer.macs != 0
    ]
    return Cell(shortened_kernels(units.runs(kinds), most=16))


def _explained(modules: ModuleSummary) -> Iterator[str]:
    """What stands in the rows, what does not, and how to see it."""
    deeper = modules.depth < modules.deepest
    words = [f"modules down to depth {modules.depth} of {modules.deepest}"] if deeper else []
    if any(row.count > 1 for row in modules.rows):
        words.append("×N: N equal modules, with the costs of all N")
    if modules.costless:
        costs = units.names([heading(key) for key in _decisive(modules)], last_by="or")
        words.append(f"{_others(modules.costless)} without {costs}")
    if modules.others is not None and modules.others.count > modules.costless:
        beyond = _others(modules.others.count - modules.costless)
        words.append(f"{beyond} beyond the first {len(modules.rows)} by {heading(modules.sort or '')}")
    if words:
        text = "; ".join(words)
        yield f"{text[0].upper()}{text[1:]}. More: {'--depth, ' * deeper}--all-rows."


def _others(number: int) -> str:
    return f"{units.count(number)} other{'s' * (number != 1)}"


def _totals(of: BlockResult | Variant, keys: Sequence[str]) -> tuple[Cell, ...]:
    return (Cell.shape(of.output_shape[1:]), field_cell(of), *total_costs(of.costs, of.partial, keys))
