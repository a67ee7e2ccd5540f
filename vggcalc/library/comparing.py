"""`compare` and `summary`: what networks cost, on paper."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vggcalc.analysis.networks import compare_network, summarize
from vggcalc.errors import InputError
from vggcalc.library import arguments
from vggcalc.library.factorizing import (
    FactorizingOptions,
    Into,
    ReplacingOptions,
    check_rules,
    convolved_dims,
    replacings,
)
from vggcalc.library.models import Overrides, Resolved, resolve
from vggcalc.nets.graph import Network
from vggcalc.nets.origins import Argument
from vggcalc.nets.replacing import Replacing
from vggcalc.nets.vgg import Config
from vggcalc.results import Comparison

if TYPE_CHECKING:
    from torch import Tensor, nn


def compare(
    model: "str | os.PathLike[str] | Sequence[int | str] | Config | Network | nn.Module",
    *others: "str | os.PathLike[str] | Sequence[int | str] | Config | Network | nn.Module",
    inputs: "str | Sequence[int] | Tensor | None" = None,
    inputs_of: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
    fused: bool = False,
    into: Into = None,
    min_kernel: int | None = None,
    only: str | None = None,
    merge: bool = False,
    if_fewer: str | None = None,
    replacing: Replacing | Mapping[str, Replacing] | None = None,
    stride_at: str | int | Sequence[str | int] | None = None,
    widths: int | str | Sequence[int] | Sequence[Sequence[int]] | None = None,
    widen: str | None = None,
    pad_at: str | None = None,
    between: str | None = None,
    size: int | str | Sequence[int] | None = None,
    dims: int | None = None,
    batch: int | None = None,
    in_channels: int | None = None,
    classes: int | None = None,
    batch_norm: bool | None = None,
    activation: str | None = None,
    bias: bool | None = None,
    args: Mapping[str, Argument] | None = None,
    formulas: "str | os.PathLike[str] | None" = None,
    dtype: Any = None,
) -> Comparison:
    """A network with its large kernels against it as stacks of 3×3 layers, or what `into` names; or models as they are.

    A VGG is compared as `naive`, every run of its convolutions merged into one large kernel, with `factorized`. Any
    other network, and with `min_kernel`, `only` or `merge` a VGG too, is compared as `given` with its large kernels
    replaced; `replaced` then says what every single replacement saves. Several models, such as a module and what was
    made of it, are compared as they are with the first, and nothing in them is replaced.

    Args:
        model: a name ("vgg16", "torchvision:resnet50", "net.py:Net"), tokens ("64,M,128" or [64, "M", 128]), the path
            of a TOML or JSON file, a `Config`, a `Network`, or a `torch.nn.Module`, which is traced on the meta device.
        others: the models that it is compared with; one of `torch.compile` is timed compiled.
        inputs: the shape that the network takes, (batch, channels, height, width), or an example tensor.
        inputs_of: by a model's name those of one that needs others than `inputs`.
        names: of several models, or of one beside itself fused, in their order; their own unless given.
        fused: beside each module or imported model itself with its linear parts fused, as `vggcalc.fuse` makes it.
        into: families such as "stack,asymmetric", "all", or factorizations by the names of the variants.
        min_kernel: replace kernels of this size or more, 5 unless given.
        only: replace only convolutions in whose names this regular expression is found.
        merge: merge runs of convolutions instead of splitting kernels.
        if_fewer: "macs" or "parameters": replace only where that lowers this cost.
        replacing: rules by the names of the variants, instead of the options above.
        stride_at, widths, widen, pad_at, between: see `factorize`.
        size, batch, in_channels: parts of the input's shape, where `inputs` is not given.
        dims: how many spatial axes tokens or a configuration have, or a size of one number: 2 unless they say so.
        classes, batch_norm, activation, bias: change these in a built-in network, a configuration or tokens.
        args: arguments of an imported model's factory, such as {"pretrained": False}.
        formulas: a Python file that calls `register_formula`, to run before an imported model is.
        dtype: in which bytes are counted: a name, an alias such as "fp16", or a torch.dtype; the module's own, or
            float32, unless given.

    Raises:
        TypeError: an argument is of a type that is not accepted.
        InputError: there is no such network, or nothing that can be replaced as asked for.

    >>> comparison = vggcalc.compare("vgg16")
    >>> comparison["naive"].macs, comparison["factorized"].macs
    (15521644544, 15470264320)
    >>> round(vggcalc.compare("vgg16", "vgg19").ratio("vgg19").macs, 6)
    1.269019
    """
    overrides = Overrides(
        size=size,
        dims=dims,
        batch=batch,
        in_channels=in_channels,
        classes=classes,
        batch_norm=batch_norm,
        activation=activation,
        bias=bias,
        arguments=args,
        formulas=formulas,
    )
    factorizing = FactorizingOptions(
        into=into, stride_at=stride_at, widths=widths, widen=widen, pad_at=pad_at, between=between
    )
    wanted = ReplacingOptions(min_kernel=min_kernel, only=only, merge=merge, if_fewer=if_fewer)
    wanted.check()
    check_rules(replacing)
    arguments.check_flags(fused=fused)
    _check_names(others, names, inputs_of, fused)
    if others or fused:
        from vggcalc.library.side_by_side import chosen, side_by_side

        lost = [*chosen(factorizing, wanted), *(["replacing"] if replacing is not None else [])]
        if lost and others:
            raise InputError(f"{lost[0]} is for one model, and here are {len(others) + 1}: leave it out")
        if lost:
            raise InputError(f"{lost[0]} replaces convolutions, and fused none: leave out one of them")
        return side_by_side((model, *others), names or (), inputs, inputs_of or {}, overrides, dtype, fused=fused)
    resolved = resolve(model, inputs, overrides)
    bytes_of = arguments.parse_dtype(dtype, resolved.network.dtype)
    if replacing is None:
        return compare_options(model if isinstance(model, str) else "", resolved, factorizing, wanted, bytes_of)
    if isinstance(replacing, Replacing):
        replacing = {"merged" if replacing.merge else "factorized": replacing}
    return compare_network(resolved.network, None, replacing, bytes_of, resolved.origin)


def _check_names(others: Sequence[object], names: object, inputs_of: object, fused: bool) -> None:
    """Raise `TypeError` for names or inputs of no type that is accepted, `InputError` for those of one model alone."""
    for other in others:
        shape = isinstance(other, tuple) and bool(other) and all(type(number) is int for number in other)
        if shape or type(other).__name__ == "Tensor":
            raise TypeError("a shape or a tensor is no model: give it by name, such as inputs=(1, 3, 224, 224)")
    if names is not None and not (isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)):
        raise arguments.wrong_type("names", names, "a list of strings, one for each model")
    if inputs_of is not None and not isinstance(inputs_of, Mapping):
        raise arguments.wrong_type("inputs_of", inputs_of, 'inputs by names, such as {"b": (1, 3, 299, 299)}')
    for what, given in (("names", names), ("inputs_of", inputs_of)):
        if given and not others and not fused:
            raise InputError(f"{what} are for several models: with one, leave them out")


def compare_options(
    name: str, resolved: Resolved, factorizing: FactorizingOptions, replacing: ReplacingOptions, dtype: str
) -> Comparison:
    """`compare` with its options as structs, as the command line has them; `name` is how the user called the model."""
    network, origin = resolved
    rules = replacings(name, network, origin, factorizing, replacing)
    ways = factorizing.factorizations(convolved_dims(network))
    return compare_network(network, ways, rules, dtype, origin)


def summary(
    model: "str | os.PathLike[str] | Sequence[int | str] | Config | Network | nn.Module",
    inputs: "str | Sequence[int] | Tensor | None" = None,
    *,
    receptive_field: str | None = None,
    unit: Sequence[int] | None = None,
    counter: str | None = None,
    depth: int | None = None,
    columns: str | Sequence[str] | None = None,
    sort: str | None = None,
    top: int | None = None,
    all_rows: bool = False,
    size: int | str | Sequence[int] | None = None,
    dims: int | None = None,
    batch: int | None = None,
    in_channels: int | None = None,
    classes: int | None = None,
    batch_norm: bool | None = None,
    activation: str | None = None,
    bias: bool | None = None,
    args: Mapping[str, Argument] | None = None,
    formulas: "str | os.PathLike[str] | None" = None,
    dtype: Any = None,
) -> Comparison:
    """One network, layer by layer: a comparison with one variant, whose costs are attributes of it too.

    Args:
        model, inputs, size … formulas, dtype: see `compare`.
        receptive_field: the name of a layer, with `unit`, a position on its feature map such as (7, 7):
            `unit_field` then says on which part of the input that unit depends.
        counter: another tool ("fvcore", "torchinfo", "ptflops", "thop", …) whose figure `reconciliation` explains.
        depth: show modules down to this depth, with the costs of all that is inside; layers, or as deep as fits a
            screen, unless given. Equal modules one after the other are one row.
        columns: show these costs alone: names of `vggcalc.COSTS`, in a list or with commas between.
        sort, top: show the rows with most of this cost first, and so many of them alone.
        all_rows: show also rows that have no parameters and MACs (or none of `columns`), and equal modules apart.

    Raises:
        TypeError: an argument is of a type that is not accepted.
        InputError: there is no such network, layer, unit, counter or cost.

    >>> vggcalc.summary("vgg16").macs
    15470264320
    >>> vggcalc.summary([64, "M", 128], (1, 3, 32, 32)).parameters
    75648
    >>> [(row.name, row.costs["macs"]) for row in vggcalc.summary("vgg16", depth=1, sort="macs", top=2).modules.rows]
    [('block3', 4624220160), ('block4', 4624220160)]
    """
    if (receptive_field is None) != (unit is None):
        raise InputError("receptive_field names a layer and unit a position on its feature map: give both")
    if unit is not None and not (isinstance(unit, tuple | list) and all(type(place) is int for place in unit)):
        raise arguments.wrong_type("unit", unit, "a position on the feature map, such as (7, 7)")
    arguments.check_text(receptive_field=receptive_field, counter=counter)
    arguments.check_whole(depth=depth, top=top)
    arguments.check_flags(all_rows=all_rows)
    from vggcalc.analysis.modules import SummaryOptions

    table = SummaryOptions(
        depth=depth,
        columns=() if columns is None else arguments.parse_costs(columns),
        sort=None if sort is None else arguments.parse_cost(sort),
        top=top,
        all_rows=all_rows,
    )
    table.check()
    overrides = Overrides(
        size=size,
        dims=dims,
        batch=batch,
        in_channels=in_channels,
        classes=classes,
        batch_norm=batch_norm,
        activation=activation,
        bias=bias,
        arguments=args,
        formulas=formulas,
    )
    network, origin = resolve(model, inputs, overrides)
    place = None if receptive_field is None or unit is None else (receptive_field, tuple(unit))
    return summarize(network, arguments.parse_dtype(dtype, network.dtype), place, counter, origin, table)
