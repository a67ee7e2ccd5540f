"""What is known on paper, as tables."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from vggcalc.nets.layers import Axes, Convolution
from vggcalc.report import units
from vggcalc.report.tables.cells import ALWAYS, Column, Row, Section, Table, Text, cost, heading
from vggcalc.report.tables.reconciliation import reconciliation
from vggcalc.report.tables.replaced import replacements
from vggcalc.report.tables.variants import choices, infeasible, is_choice, kept, layers, total_cells
from vggcalc.results import BlockResult, Comparison, Costs, LayerResult, ReceptiveField, Variant


def _cost_columns(costs: Costs) -> list[Column]:
    return [Column(heading(key), wide=key not in ALWAYS) for key in costs]


def _cost_cells(costs: Costs) -> list[str]:
    return [cost(costs, key) for key in costs]


def _field(field: ReceptiveField | None, sees: str) -> str:
    """The size of a receptive field, or in a word why there is none."""
    return units.axes(field.size) if field else _SEES.get(sees, units.UNKNOWN)


#: Where no one receptive field holds for every unit.
_SEES = {"image": "image", "varies": "varies"}


def is_kernel(comparison: Comparison) -> bool:
    """Whether it compares one kernel with its stack, not whole networks."""
    return comparison.variants[0].weights_per_channel_pair is not None


def network_tables(comparison: Comparison) -> list[Section]:
    """What is known on paper."""
    if len(comparison.variants) == 1:
        return [*reconciliation(comparison), *_pixels(comparison), _layers(comparison, comparison.variants[0])]
    if is_kernel(comparison):
        if is_choice(comparison):
            return choices(comparison, f"{comparison.name} factorized: {_words(comparison)}")
        return [_kernel(comparison), _stack(comparison), *infeasible(comparison)]
    sections = [*replacements(comparison), _network(comparison)]
    if is_choice(comparison):
        return choices(comparison, f"{comparison.name}, {_setting(comparison)}") + sections
    return sections + infeasible(comparison)


def at_a_glance(comparisons: Sequence[Comparison]) -> list[Section]:
    """Several kernels together: weights per channel pair, costs, the map without padding."""
    kernels = [comparison for comparison in comparisons if is_kernel(comparison)]
    return [_overview(kernels)] if len(kernels) > 1 else []


def _overview(comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for comparison in comparisons:
        naive, *others = comparison.variants
        one = naive.weights_per_channel_pair or 0
        for i, other in enumerate(others):
            many = other.weights_per_channel_pair
            ratio = next(ratio for ratio in comparison.ratios if ratio.variant == other.name)
            rows.append(
                Row(
                    (
                        comparison.name if not i else "",
                        other.name,
                        layers(other),
                        f"{one}/{many}" if many else units.UNKNOWN,
                        units.times(one / many) if many else units.UNKNOWN,
                        units.pair(other.layers[-1].same_size),
                        units.pair(other.layers[-1].valid_size),
                        units.ratio(ratio.costs["parameters"]),
                        units.ratio(ratio.costs["macs"]),
                    ),
                    ruled=not i and is_choice(comparison),
                )
            )
    columns = ("kernel", "variant", "layers", "weights", "=", "padded map", "without", "params ×", "MACs ×")
    title = "Weights per channel pair and output maps, kernel against what it becomes"
    wide = "padded map" if any(map(is_choice, comparisons)) else "variant"
    heads = tuple(Column(head, right=i > 2, wide=head == wide) for i, head in enumerate(columns))
    return Table(title, heads, tuple(rows))


def _setting(comparison: Comparison) -> str:
    return f"input {units.shape(comparison.input_shape)}, {comparison.dtype}"


def _kernel(comparison: Comparison) -> Table:
    """A kernel against its stack, a line for each figure."""
    variants = comparison.variants
    told = variants[1].family != "stack"

    def figures(variant: Variant) -> dict[str, str]:
        kernels = [kernel for block in variant.blocks for kernel in block.kernels]
        areas = [height * width for height, width in kernels]
        total = units.count(variant.weights_per_channel_pair)
        if 1 < len(areas) <= 3 and variant.weights_per_channel_pair:
            total = f"{' + '.join(map(str, areas))} = {total}"
        elif len(areas) > 3 and len(set(areas)) == 1 and variant.weights_per_channel_pair:
            total = f"{len(areas)} · {areas[0]} = {total}"
        field = variant.receptive_field
        return {
            "kernels": units.kernels(kernels),
            "weights per channel pair": total,
            "receptive field": units.pair(field.size) if field else units.UNKNOWN,
            "output": units.shape(variant.output_shape),
            "nonlinearities": units.count(variant.nonlinearities),
            **({key: kept(variant, key) for key in ("window", "mixing")} if told else {}),
        } | {heading(key): cost(variant.costs, key) for key in variant.costs}

    columns = [figures(variant) for variant in variants]
    ratios: dict[str, float | None] = {
        heading(key): value for ratio in comparison.ratios for key, value in ratio.costs.items()
    }
    one, many = (variant.weights_per_channel_pair for variant in variants)
    ratios["weights per channel pair"] = many / one if one and many else None
    rows = []
    for label in columns[0]:
        ratio = ratios.get(label)
        known = ratio is not None
        rows.append(
            Row(
                (
                    label,
                    *(column[label] for column in columns),
                    units.ratio(ratio) if known else "",
                    units.change(ratio) if known else "",
                )
            )
        )
    return Table(
        f"{comparison.name} against {_its(variants[1])}: {_words(comparison)}",
        (
            Column("", right=False),
            *(Column(variant.name) for variant in variants),
            Column("ratio"),
            Column("change"),
        ),
        tuple(rows),
    )


def _its(variant: Variant) -> str:
    return "its stack" if variant.family == "stack" else f"its factorization, {variant.family}"


def _words(comparison: Comparison) -> str:
    """The convolution that is factorized, and on what."""
    conv = comparison.variants[0].layers[0].layer
    assert isinstance(conv, Convolution)
    words = [f"{conv.in_channels} → {conv.out_channels} channels"]
    for key in ("stride", "padding", "dilation"):
        value: Axes = getattr(conv, key)
        if key == "padding" or value != (1, 1):
            words.append(f"{key} {units.axes(value)}")
    if conv.groups != 1:
        words.append(f"{conv.groups} groups")
    return ", ".join([*words, _setting(comparison)])


def _stack(comparison: Comparison) -> Table:
    """What the kernel becomes layer by layer, with the map as padding keeps it and as it shrinks without."""
    variant = comparison.variants[-1]
    image = units.pair(comparison.input_shape[2:])
    blank = [units.UNKNOWN] * len(variant.costs)
    rows = [Row(("input", "", image, image, image, "1", *blank))]
    rows += [
        Row(
            (
                layer.name.rpartition(".")[2],
                _kernel_of(layer),
                units.pair(layer.output_shape[2:]),
                units.pair(layer.same_size),
                units.pair(layer.valid_size),
                _field(layer.receptive_field, layer.sees),
                *_cost_cells(layer.costs),
            )
        )
        for layer in variant.layers
    ]
    sees = _field(variant.receptive_field, variant.sees)
    rows.append(Row(("total", "", "", "", "", sees, *_cost_cells(variant.costs)), True, True))
    return Table(
        f"{'The stack' if variant.family == 'stack' else variant.family}, layer by layer, and its map with "
        "padding and without",
        (
            Column("layer", right=False),
            Column("kind", right=False),
            Column("map"),
            Column("with padding"),
            Column("without"),
            Column("sees"),
            *_cost_columns(variant.costs),
        ),
        tuple(rows),
    )


#: Kinds of layers whose names in torch are long.
_SHORT = {"AdaptiveAvgPool2d": "avg-pool", "BatchNorm2d": "batch norm", "LocalResponseNorm": "LRN"}


def _kernel_of(layer: LayerResult) -> str:
    """A layer in a word: 3×3 for a convolution, with what is not plain about it; else its type."""
    kernel, function = layer.kernel_size, layer.function
    if layer.type == "Opaque":
        return f"{function} (no law)"
    if kernel is None or (set(kernel) == {1} and function):
        return str(function).replace("_", " ") if function else _SHORT.get(layer.type, layer.type)
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


def _short(kernels: str, most: int = 24) -> str:
    """The kernels of a block, cut at a comma where they are many."""
    if len(kernels) <= most:
        return kernels
    return kernels[:most].rpartition(",")[0] + ", …"


def _pixels(comparison: Comparison) -> list[Section]:
    """What one unit sees."""
    found = comparison.unit_field
    if found is None:
        return []
    height_width = ["row", "column"] if len(found.unit) == 2 else [f"axis {i}" for i in range(len(found.unit))]
    where = f"Unit {','.join(map(str, found.unit))} of {found.layer} sees"
    if found.span is None:
        return [Text((f"{where} the whole image, {units.shape(comparison.input_shape[2:])} pixels.",))]
    if not found.span:
        return [Text((f"{where} nothing but padding.",))]
    spans = [f"{name}s {first} to {last}" for name, (first, last) in zip(height_width, found.span, strict=True)]
    size = units.shape([last - first + 1 for first, last in found.span])
    lines = [f"{where} {' and '.join(spans)} of the image (from 0), {size} pixels."]
    if found.field is not None and units.shape(found.field.size) != size:
        lines.append(f"The receptive field there is {units.shape(found.field.size)}: the rest is padding.")
    return [Text(tuple(lines))]


def _network(comparison: Comparison) -> Table:
    """Block by block, the variants under each other; totals with the classifier apart."""
    rows: list[Row] = []
    for block in comparison.variants[0].blocks:
        groups = _alike(comparison, block.name)
        if not any(one.costs[key] or key in one.partial for _, one in groups for key in ALWAYS):
            continue  # such as a lone pooling of a traced model
        rows += _beside(block.name, [(name, _short(units.kernels(one.kernels)), one) for name, one in groups])
    totals = [(v.name, f"{v.convolutions} conv", v) for v in comparison.variants]
    rows += _beside("total", totals, strong=True)
    return Table(
        f"{comparison.name}, {_setting(comparison)}",
        (
            Column("block", right=False),
            Column("variant", right=False),
            Column("kernels", right=False),
            Column("sees"),
            *_cost_columns(comparison.variants[0].costs),
            Column("ratio"),
        ),
        tuple(rows),
    )


def _alike(comparison: Comparison, name: str) -> list[tuple[str, BlockResult]]:
    """The different blocks of that name, each with the variants that have it so."""
    groups: list[tuple[list[str], BlockResult]] = []
    for variant in comparison.variants:
        for block in variant.blocks:
            if block.name != name:
                continue
            paper = msgspec.structs.replace(block, latency=())
            found = next((names for names, one in groups if one == paper), None)
            if found is None:
                groups.append(([variant.name], paper))
            else:
                found.append(variant.name)
    if len(groups) == 1 and len(groups[0][0]) > 1:
        return [("both" if len(groups[0][0]) == 2 else "all", groups[0][1])]
    return [
        (" and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} others", block)
        for names, block in groups
    ]


def _beside(label: str, lines: Sequence[tuple[str, str, BlockResult | Variant]], strong: bool = False) -> list[Row]:
    """The variants under each other, with the ratio of their MACs to the first one's."""
    rows = []
    base = lines[0][2].costs["macs"]
    for i, (name, kernels, one) in enumerate(lines):
        macs = one.costs["macs"]
        ratio = units.ratio(macs / base) if i and macs is not None and base else ""
        sees = _field(one.receptive_field, one.sees)
        cells = (label if not i else "", name, kernels, sees, *total_cells(one.costs, one.partial), ratio)
        rows.append(Row(cells, strong, ruled=not i))
    return rows


def _layers(comparison: Comparison, variant: Variant) -> Table:
    """One network, layer by layer, with the totals of blocks that have several layers apart."""
    lengths = Counter(_block(layer) for layer in variant.layers)
    rows = [
        Row(
            (
                layer.name,
                _kernel_of(layer),
                units.shape(layer.output_shape[1:]),
                _field(layer.receptive_field, layer.sees),
                *_cost_cells(layer.costs),
            ),
            ruled=i > 0
            and _block(layer) != (before := _block(variant.layers[i - 1]))
            and max(lengths[_block(layer)], lengths[before]) > 1,
        )
        for i, layer in enumerate(variant.layers)
    ]
    rows += [
        Row(
            (
                block.name,
                _short(units.kernels(block.kernels)),
                units.shape(block.output_shape[1:]),
                _field(block.receptive_field, block.sees),
                *total_cells(block.costs, block.partial),
            ),
            ruled=i == 0,
        )
        for i, block in enumerate(block for block in variant.blocks if lengths[block.name] > 1)
    ]
    rows.append(
        Row(
            (
                "total",
                f"{variant.convolutions} conv",
                units.shape(variant.output_shape[1:]),
                _field(variant.receptive_field, variant.sees),
                *total_cells(variant.costs, variant.partial),
            ),
            strong=True,
            ruled=True,
        )
    )
    return Table(
        f"{comparison.name}, {_setting(comparison)}",
        (
            Column("layer", right=False),
            Column("kind", right=False),
            Column("output"),
            Column("sees"),
            *_cost_columns(variant.costs),
        ),
        tuple(rows),
    )


def _block(layer: LayerResult) -> str:
    return layer.name.partition(".")[0]
