"""From MODEL and the options beside it to a network, and to what is to be replaced in it."""

import os
import sys
from typing import Any

import click
from msgspec.structs import replace

import vggcalc
from vggcalc.results import Comparison
from vggcalc.spec.factorization import Replacing, Splitting, has_large_kernels
from vggcalc.spec.layers import Convolution, Network, check_number
from vggcalc.spec.origins import OWN, Origin, arguments, input_shape, is_import
from vggcalc.spec.sources import is_classic

#: The command's options, by their parameter.
Given = dict[str, Any]


def splitting(given: Given) -> Splitting:
    """How a kernel is to be split."""
    return Splitting(given["stride_at"] or "last", given["widen"] or "first", given.get("widths"))


def replacing(model: str, network: Network, origin: Origin | None, given: Given) -> Replacing | None:
    """What to replace, where the network is not to be compared as VGGs are: merged with split."""
    if (given["widen"] or given["stride_at"]) and (given["merge"] or not has_large_kernels(network)):
        option = "--widen" if given["widen"] else "--stride-at"
        why = "--merge splits nothing" if given["merge"] else f"{model} has no kernel of 5×5 or more to split"
        raise click.UsageError(f"{why}: leave out {option}")
    asked = given["min_kernel"] is not None or given["only"] is not None or given["merge"]
    if given["merge"] and given["min_kernel"] is not None:
        raise click.UsageError("--merge takes kernels of every size: leave out --min-kernel")
    if origin is None and not asked and not is_classic(model):
        return None
    chosen = Replacing(
        splitting(given),
        min_kernel=5 if given["min_kernel"] is None else given["min_kernel"],
        only=given["only"],
        merge=given["merge"],
    )
    named = [node.name for node in network.nodes if isinstance(node.layer, Convolution)]
    if given["only"] is not None and not any(map(chosen.chooses, named)):
        some = ", ".join(named[:6]) + (" …" if len(named) > 6 else "")
        raise click.UsageError(f"--only {given['only']!r} is found in the name of no convolution: {some}")
    return chosen


def with_origin(comparison: Comparison, origin: Origin | None, replacing: Replacing | None) -> Comparison:
    """The comparison with where its modules come from."""
    if origin is None:
        return comparison
    baseline, *others = comparison.variants
    variants = (
        replace(baseline, origin=origin),
        *(replace(other, origin=replace(origin, replacing=replacing)) for other in others),
    )
    return replace(comparison, variants=variants)


def network(model: str, given: Given) -> tuple[Network, Origin | None]:
    """The network that MODEL names, and, if it is to be imported, where its module comes from."""
    if os.path.exists(model) or not is_import(model):
        for parameter, option in (("input_", "--input"), ("args", "--arg")):
            if given[parameter]:
                raise click.UsageError(f"{option} is for imported models, and {model} is none: leave it out")
        return _built_in(model, given), None
    from vggcalc.measurement.tracing import trace

    for parameter in ("classes", "batch_norm", "activation", "bias"):
        if given[parameter] is not None:
            name = "--" + parameter.replace("_", "-")
            raise click.UsageError(f"{model} is imported as it is: {name} cannot change it, --arg may")
    if given["input_"] is not None:
        if given["size"] or given["in_channels"] or given["batch"] is not None:
            raise click.UsageError("--input says all of the shape: leave out --size, --in-channels and --batch")
        shape = input_shape(given["input_"])
    else:
        batch = 1 if given["batch"] is None else given["batch"]
        shape = (batch, given["in_channels"], *(given["size"] or (None, None)))
        for name, number in zip(("--batch", "--in-channels", "--size", "--size"), shape, strict=True):
            if number is not None:
                check_number(name, number)
    origin = Origin(
        model, tuple(OWN if number is None else number for number in shape), arguments(given["args"])
    )
    network = trace(origin)
    return network, replace(origin, input_shape=network.input_shape)


def _built_in(model: str, given: Given) -> Network:
    return vggcalc.network(
        model,
        lambda size: sys.stdin.buffer.read(size),
        size=given["size"],
        batch=given["batch"],
        in_channels=given["in_channels"],
        classes=given["classes"],
        batch_norm=given["batch_norm"],
        activation=given["activation"],
        bias=given["bias"],
    )
