"""Whether what replaces a convolution costs less, as `Replacing.if_fewer` asks for."""

from collections.abc import Iterable, Mapping

from vggcalc.errors import InputError
from vggcalc.nets.graph import Node
from vggcalc.nets.layers import BatchNorm, Convolution, Layer, PlainConvolution, Shape


def check_fewer(before: Iterable[Node], after: Iterable[Node], shape_of: Mapping[str, Shape], cost: str | None) -> None:
    """Raise `InputError` unless what comes has less of that cost than what goes, or None is asked for."""
    if cost is None:
        return
    old, new = (sum(_cost(node.layer, shape_of[node.name], cost) for node in nodes) for nodes in (before, after))
    if new >= old:
        raise InputError(f"its replacement would have no fewer {'MACs' if cost == 'macs' else cost}")


def _cost(layer: Layer, output: Shape, cost: str) -> int:
    if cost == "parameters":
        return layer.parameters if isinstance(layer, Convolution | BatchNorm) else 0
    return layer.macs((), output) if isinstance(layer, PlainConvolution) else 0  # what is replaced is no transposed one
