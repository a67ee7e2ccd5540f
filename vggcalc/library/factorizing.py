"""Options that choose factorizations and replacements, the same for `factorize`, `compare`, `sweep` and `rewrite`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from vggcalc.errors import InputError
from vggcalc.library import arguments
from vggcalc.nets.families import FAMILIES, Factorization, factorization_grid
from vggcalc.nets.graph import Network
from vggcalc.nets.layers import Convolution
from vggcalc.nets.names import BETWEEN, PAD_AT, WIDEN
from vggcalc.nets.origins import Origin
from vggcalc.nets.replacing import Replacing
from vggcalc.nets.sources import is_classic

#: `into`, as users write it.
Into = str | Sequence[str] | Factorization | Mapping[str, Factorization] | None

#: The names of what the variants are compared with.
BASELINES = ("naive", "given")


class FactorizingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How convolutions are factorized; several places or widths make several variants.

    `into` are families, `stride_at` which layer has the stride ("last", "first", or its number from 1), `widen` which
    layer changes the channels ("first" or "last"), `widths` the channels out of each layer, `pad_at` which layer pads
    ("each" or "first"), `between` what stands between the layers ("activation" or "nothing").
    """

    into: Any = None
    stride_at: Any = None
    widths: Any = None
    widen: str | None = None
    pad_at: str | None = None
    between: str | None = None

    def factorizations(self, dims: Collection[int] = (1, 2, 3)) -> dict[str, Factorization]:
        """The factorizations by the names of their variants: `factorized` alone where no family is named.

        Of all families those are meant that mean something in any of the dimensions `dims`.
        """
        words = (("widen", self.widen, WIDEN), ("pad_at", self.pad_at, PAD_AT), ("between", self.between, BETWEEN))
        for name, value, accepted in words:
            if value is not None:
                arguments.word(name, value, accepted)
        if isinstance(self.into, Factorization):
            return {"factorized": self.into}
        if isinstance(self.into, Mapping):
            return _own_names(self.into)
        families = arguments.parse_families(self.into)
        if families == tuple(FAMILIES):
            families = tuple(name for name in families if set(FAMILIES[name].dims).intersection(dims))
        places = _several(self.stride_at, arguments.parse_stride_at, (str, int)) or ("last",)
        widths = _several(self.widths, arguments.parse_widths, (str, int), int) or (None,)
        if self.widths and self.widen not in (None, WIDEN[0]):  # the default says nothing
            raise InputError("widths name every layer already: leave out widen")
        chosen = [value or accepted[0] for _, value, accepted in words]
        found = factorization_grid(families or ("stack",), places, widths, *chosen)
        if families is None and len(found) == 1:
            return {"factorized": next(iter(found.values()))}
        return found


def _several(value: Any, parse: Any, single: tuple[type, ...], items: type | None = None) -> tuple[Any, ...]:
    """The values of an argument that takes one or several; () for None.

    A list whose elements are all of the types `items` is one value.
    """
    if value is None or (isinstance(value, list | tuple) and not value):
        return ()
    if (
        isinstance(value, single)
        or not isinstance(value, list | tuple)
        or (items is not None and all(isinstance(one, items) for one in value))
    ):
        return (parse(value),)
    return tuple(dict.fromkeys(parse(one) for one in value))


def _own_names(into: Mapping[str, Factorization]) -> dict[str, Factorization]:
    for name, one in into.items():
        if name in BASELINES:
            raise InputError(f"{name} is what the others are compared with: give the variant another name")
        if not isinstance(one, Factorization):
            raise arguments.wrong_type(f"into: {name}", one, "a vggcalc.Factorization for each name")
    if not into:
        raise InputError(f"into names no family: there are {', '.join(FAMILIES)}")
    return dict(into)


class ReplacingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which convolutions of a network are replaced.

    Those with a kernel of `min_kernel` or more (5 unless given) in whose names `only`, a regular expression, is found;
    with `merge` runs of convolutions become one instead. With `if_fewer`, "macs" or "parameters", those alone that
    lower that cost.
    """

    min_kernel: int | None = None
    only: str | None = None
    merge: bool = False
    if_fewer: str | None = None

    def check(self) -> None:
        """Raise `TypeError` for an option of a type that is not accepted."""
        arguments.check_whole(min_kernel=self.min_kernel)
        arguments.check_text(only=self.only, if_fewer=self.if_fewer)
        arguments.check_flags(merge=self.merge)

    @property
    def any_chosen(self) -> bool:
        """Whether any is there, so that a built-in network is compared as it is, not in its naive form."""
        return any((self.min_kernel is not None, self.only is not None, self.merge, self.if_fewer is not None))


def check_rules(replacing: object) -> None:
    """Raise `TypeError` unless it is None, a rule, or rules by the names of their variants."""
    rules = list(replacing.items()) if isinstance(replacing, Mapping) else [("factorized", replacing)]
    if replacing is not None and not all(isinstance(name, str) and isinstance(one, Replacing) for name, one in rules):
        raise arguments.wrong_type("replacing", replacing, "a vggcalc.Replacing, or one for each name of a variant")


def replacings(
    name: str, network: Network, origin: Origin | None, factorizing: FactorizingOptions, replacing: ReplacingOptions
) -> dict[str, Replacing] | None:
    """What to replace in each variant; None where the network is compared as VGGs are, merged against split.

    Raises `InputError` for contradictions and where `only` is found in no convolution's name.
    """
    if replacing.merge and factorizing.into is not None:
        raise InputError("merge goes the other way than into: leave out one of them")
    if origin is None and network.layout != "traced" and not replacing.any_chosen and not is_classic(name):
        return None
    min_kernel = 5 if replacing.min_kernel is None else replacing.min_kernel
    if replacing.merge:
        found = {"merged": Replacing(only=replacing.only, merge=True, if_fewer=replacing.if_fewer)}
    else:
        ways = factorizing.factorizations(convolved_dims(network))
        found = {
            variant: Replacing(one, min_kernel, replacing.only, if_fewer=replacing.if_fewer)
            for variant, one in ways.items()
        }
    if not next(iter(found.values())).chosen(network) and replacing.only is not None:
        convolutions = [node.name for node in network.nodes if isinstance(node.layer, Convolution)]
        some = ", ".join(convolutions[:6]) + (" …" if len(convolutions) > 6 else "")
        raise InputError(f"only {replacing.only!r} is found in the name of no convolution: {some}")
    return found


def convolved_dims(network: Network) -> Collection[int]:
    """In how many dimensions the network convolves; all where it does in none."""
    return {node.layer.axes for node in network.nodes if isinstance(node.layer, Convolution)} or (1, 2, 3)


def check_ends(channels: object, in_channels: object, out_channels: object, depthwise: bool, groups: object) -> None:
    """Raise `InputError` for channels and groups that are given twice."""
    if channels is not None and {channels, in_channels, out_channels} - {channels, None}:
        raise InputError("channels is both ends: leave it out beside in_channels or out_channels")
    if depthwise and groups not in (None, 1, (1,)):  # the default says nothing
        raise InputError("depthwise says the groups already: leave out groups")
