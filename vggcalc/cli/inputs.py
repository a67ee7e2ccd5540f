"""From MODEL and the options beside it to a network, and to what is to be replaced in it."""

import os
import sys
from typing import Any

import click
from msgspec.structs import replace

import vggcalc
from vggcalc.nets.families import FAMILIES, Factorization, factorizations
from vggcalc.nets.graph import Network
from vggcalc.nets.layers import Convolution, check_number
from vggcalc.nets.origins import OWN, Origin, arguments, input_shape, is_import
from vggcalc.nets.replacing import Replacing, has_large_kernels
from vggcalc.nets.sources import is_classic
from vggcalc.results import Comparison

#: The command's options, by their parameter.
Given = dict[str, Any]


def check(given: Given, has_stride: bool, widens: bool) -> None:
    """Raise `click.UsageError` for options of a kernel that contradict each other or do nothing."""
    ends = given["in_channels"], given["out_channels"]
    if given["channels"] is not None and ends != (None, None):
        raise click.UsageError("--channels says both ends: leave it out beside --in-channels or --out-channels")
    if given["depthwise"] and given["groups"] is not None:
        raise click.UsageError("--depthwise says the groups already: leave out --groups")
    if given["widths"] and given["widen"]:
        raise click.UsageError("--widths name every layer already: leave out --widen")
    if given["widen"] and not widens:
        raise click.UsageError("--widen says where the channels change, and they do not: leave it out")
    if given["stride_at"] and not has_stride:
        raise click.UsageError("--stride-at places a stride, but --stride is 1: give --stride too")


def into(given: Given) -> dict[str, Factorization]:
    """Every way in which a kernel is to be split, by the name of its variant."""
    families, stride_at = given["into"] or ("stack",), given["stride_at"] or ("last",)
    widths = given.get("widths") or (None,)
    for option in ("widen", "widths"):
        if given.get(option) and not any(FAMILIES[family].widens for family in families):
            raise click.UsageError(f"{' and '.join(families)} has no width to choose: leave out --{option}")
    found = factorizations(families, stride_at, widths, given["widen"] or "first")
    if given["into"] is None and len(found) == 1:
        return {"factorized": next(iter(found.values()))}
    return found


def stem(given: Given, kernel: int) -> Given:
    """The options of `factorize --stem`: the question of a network's first layer, where nothing else is said.

    The stride stands in the first of as few layers as cover the kernel, or in each layer of the whole
    stack in turn; between the layers are as many channels as come out, or half of them (ResNet-C: He et
    al. 2018, arXiv 1812.01187, section 4.2).
    """
    if given["channels"] is not None or given["depthwise"]:
        option = "--channels" if given["channels"] is not None else "--depthwise"
        raise click.UsageError(f"--stem widens an image's channels: leave out {option}")
    if given["stride"] == 1:
        raise click.UsageError("--stem places a stride, and --stride 1 is none: give 2 or more")
    out_of = 64 if given["out_channels"] is None else given["out_channels"]
    usual = {
        "in_channels": 3,
        "out_channels": out_of,
        "size": (224, 224),
        "stride": 2,
        "stride_at": ("first", *range(1, max(kernel // 2, 1) + 1)) if given["into"] is None else ("last",),
        "widths": () if given["widen"] or given["into"] else ((out_of,), (max(out_of // 2, 1),)),
    }
    return given | {key: value for key, value in usual.items() if given[key] in (None, ())}


def replacings(model: str, network: Network, origin: Origin | None, given: Given) -> dict[str, Replacing] | None:
    """What to replace in each variant, unless the network is compared as VGGs are: merged with split."""
    if given["merge"] and given["into"]:
        raise click.UsageError("--merge goes the other way than --into: leave out one of them")
    if (given["widen"] or given["stride_at"]) and (given["merge"] or not (given["into"] or has_large_kernels(network))):
        option = "--widen" if given["widen"] else "--stride-at"
        why = "--merge splits nothing" if given["merge"] else f"{model} has no kernel of 5×5 or more to split"
        raise click.UsageError(f"{why}: leave out {option}")
    if given["stride_at"] and not any(
        isinstance(node.layer, Convolution) and max(node.layer.stride) > 1 for node in network.nodes
    ):
        raise click.UsageError(f"no convolution of {model} has a stride to place: leave out --stride-at")
    asked = given["min_kernel"] is not None or given["only"] is not None or given["merge"]
    if given["merge"] and given["min_kernel"] is not None:
        raise click.UsageError("--merge takes kernels of every size: leave out --min-kernel")
    if origin is None and not asked and not is_classic(model):
        return None
    min_kernel = 5 if given["min_kernel"] is None else given["min_kernel"]
    if given["into"] is None and min_kernel < 5:
        raise click.UsageError(
            f"--min-kernel {min_kernel}: a 3×3 is its own stack, so give 5 or more, or --into another family"
        )
    found = {name: Replacing(one, min_kernel, given["only"], given["merge"]) for name, one in into(given).items()}
    chosen = next(iter(found.values()))
    if given["merge"]:
        found = {"merged": chosen}
    named = [node.name for node in network.nodes if isinstance(node.layer, Convolution)]
    if given["only"] is not None and not any(map(chosen.chooses, named)):
        some = ", ".join(named[:6]) + (" …" if len(named) > 6 else "")
        raise click.UsageError(f"--only {given['only']!r} is found in the name of no convolution: {some}")
    return found


def with_origin(
    comparison: Comparison, origin: Origin | None, replacings: dict[str, Replacing] | None = None
) -> Comparison:
    """The comparison with where its modules come from."""
    if origin is None:
        return comparison
    of = replacings or {}
    variants = tuple(
        replace(variant, origin=replace(origin, replacing=of.get(variant.name))) for variant in comparison.variants
    )
    return replace(comparison, variants=variants)


def network(model: str, given: Given) -> tuple[Network, Origin | None]:
    """The network that MODEL names, and, if it is to be imported, where its module comes from."""
    if os.path.exists(model) or not is_import(model):
        for parameter, option in (("input_", "--input"), ("args", "--arg")):
            if given[parameter]:
                raise click.UsageError(f"{option} is for imported models, and {model} is none: leave it out")
        return _built_in(model, given), None
    from vggcalc.measurement.trace import trace

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
    origin = Origin(model, tuple(OWN if number is None else number for number in shape), arguments(given["args"]))
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
