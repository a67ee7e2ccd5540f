"""The table of a summary: a network's modules down to some depth, with the costs of all that is inside them.

What is chosen, folded, sorted and left out is decided here alone, so that the rows always add up to the total.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from vggcalc.analysis.costs import COSTS, partial_costs, total
from vggcalc.errors import InputError, unknown
from vggcalc.results import LayerResult, ModuleRow, ModuleSummary, Variant

#: Unless a depth is asked for, no more rows than fit a screen, if there is a depth at which there are so few.
SCREEN_ROWS = 30

#: The costs without any of which a row is left out, and the one that `top` looks at, unless others are asked for.
DECISIVE, USUAL_SORT = ("parameters", "macs"), "macs"

_DIGITS = "0123456789"


class SummaryOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows and columns the table of a summary has.

    Modules down to `depth`, the costs `columns`, the rows with most of the cost `sort` first, `top` of them. With
    `all_rows` none is left out for having no cost, and equal modules one after the other stay apart.
    """

    depth: int | None = None
    columns: tuple[str, ...] = ()
    sort: str | None = None
    top: int | None = None
    all_rows: bool = False

    def check(self) -> None:
        """Raise `InputError` for a cost that there is not, and for a depth or number of rows below 1."""
        for name in (*self.columns, *filter(None, [self.sort])):
            if name not in COSTS:
                raise unknown("cost", name, COSTS)
        for what, number in (("depth", self.depth), ("top", self.top)):
            if number is not None and number < 1:
                raise InputError(f"{what} is {number}: give 1 or more")


def summarize_modules(variant: Variant, options: SummaryOptions | None = None) -> ModuleSummary:
    """The table of a summary of that network.

    Unless `options` name a depth, it is that of the layers if these are few, else the greatest at which the modules,
    equal ones folded, fit a screen. Raises `InputError` for options that there are not.
    """
    options = options or SummaryOptions()
    options.check()
    sort = options.sort or (USUAL_SORT if options.top is not None else None)
    decisive = options.columns or (*DECISIVE, *([sort] if sort else []))
    parts = [_Part("", tuple(layer.name.split(".")), (layer,)) for layer in variant.layers]
    deepest = max(len(part.below) for part in parts)
    if options.depth is not None or options.top is not None or options.all_rows:
        depth = min(options.depth or deepest, deepest)
        rows = list(_rows_to(_modules(parts, fold=not options.all_rows), depth))
    else:
        depth, rows = _that_fit(parts, deepest, decisive)
    kept = [row for row in rows if options.all_rows or _has_cost(row, decisive)]
    found = [_module_row(row.name, row.number, row.layers) for row in kept]
    if sort is not None:
        found.sort(key=lambda row: -(row.costs[sort] or 0))
    shown = found[: options.top]
    names = {name for row in shown for name in row.layers}
    rest = [layer for layer in variant.layers if layer.name not in names]
    others = _module_row("others", len(rows) - len(shown), rest) if rest else None
    return ModuleSummary(depth, deepest, tuple(shown), others, len(rows) - len(kept), options.columns, sort)


class _Part(NamedTuple):
    """A layer, or the same layer of several equal modules; `below` are the parts of its name below the prefix."""

    prefix: str
    below: tuple[str, ...]
    members: tuple[LayerResult, ...]


class _Rows(NamedTuple):
    """A row before its costs are added up: the layers of so many modules, module by module."""

    name: str
    number: int
    layers: list[LayerResult]


class _Module(NamedTuple):
    """A module, or several equal ones: its own row, and the modules inside it, none where it is a layer."""

    row: _Rows
    inside: "list[_Module]"


def _that_fit(parts: Sequence[_Part], deepest: int, decisive: Sequence[str]) -> tuple[int, list[_Rows]]:
    """The greatest depth at which the rows fit a screen, layers that are not folded first; else depth 1."""
    rows: list[_Rows] = []
    for fold in (False, True):
        modules = _modules(parts, fold)
        for depth in range(deepest, 0, -1) if fold else (deepest,):
            rows = list(_rows_to(modules, depth))
            if sum(_has_cost(row, decisive) for row in rows) <= SCREEN_ROWS:
                return depth, rows
    return 1, rows


def _rows_to(modules: Iterable[_Module], depth: int) -> Iterator[_Rows]:
    """The rows of these modules down to that depth."""
    for module in modules:
        if depth > 1 and module.inside:
            yield from _rows_to(module.inside, depth - 1)
        else:
            yield module.row


def _modules(parts: Sequence[_Part], fold: bool) -> list[_Module]:
    """The modules that these layers are in, by the first part of their names below the prefix; equal ones folded."""
    found = []
    modules: dict[str, list[_Part]] = {}
    for part in parts:
        modules.setdefault(part.below[0], []).append(part)
    for name, equal in _runs(modules) if fold else ((name, [module]) for name, module in modules.items()):
        name = equal[0][0].prefix + name
        inside = [
            _Part(f"{name}.", same[0].below[1:], tuple(layer for part in same for layer in part.members))
            for same in zip(*equal, strict=True)
        ]
        number = len(inside[0].members)
        row = _Rows(name, number, [part.members[i] for i in range(number) for part in inside])
        found.append(_Module(row, _modules(inside, fold) if all(part.below for part in inside) else []))
    return found


def _runs(modules: dict[str, list[_Part]]) -> Iterator[tuple[str, list[list[_Part]]]]:
    """Equal modules that are numbered one after the other, as one: `1–5`; every other by itself."""
    run: list[str] = []
    for name in (*modules, ""):
        if run and not (_follows(name, run[0], len(run)) and _equal(modules[name], modules[run[0]])):
            last = f"–{run[-1][len(run[0].rstrip(_DIGITS)) :]}" if len(run) > 1 else ""
            yield run[0] + last, [modules[one] for one in run]
            run = []
        run.append(name)


def _follows(name: str, first: str, steps: int) -> bool:
    """Whether a name is so many steps behind the first: `block5` is four behind `block1`."""
    stem = first.rstrip(_DIGITS)
    return stem != first and name == f"{stem}{int(first[len(stem) :]) + steps}"


def _equal(one: Sequence[_Part], other: Sequence[_Part]) -> bool:
    """Whether two modules have the same layers, of the same costs."""
    return [_signature(part) for part in one] == [_signature(part) for part in other]


def _signature(part: _Part) -> tuple[object, ...]:
    """What equal layers of equal modules have in common; how large their receptive field is depends on where."""
    layer = part.members[0]
    own = [layer.costs.get(key) for key in ("parameters", "trainable", "macs")]
    return part.below[1:], len(part.members), layer.layer, layer.output_shape, own


def _has_cost(row: _Rows, decisive: Sequence[str]) -> bool:
    """Whether a row has any of these costs, or one that is unknown; a ratio that is none is no cost."""
    return any(
        layer.costs[key] or (layer.costs[key] is None and COSTS[key].total is not None)
        for layer in row.layers
        for key in decisive
    )


def _module_row(name: str, number: int, layers: Sequence[LayerResult]) -> ModuleRow:
    names = tuple(layer.name for layer in layers)
    if len(layers) == 1:  # whose unknown costs are no lower bound, but unknown
        return ModuleRow(name, number, names, layers[0].costs)
    return ModuleRow(name, number, names, total([layer.costs for layer in layers]), partial_costs(layers))
