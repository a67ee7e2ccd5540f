"""What a rule for an operator is called with and what it returns; and the two rules for what cannot be traced."""

from collections.abc import Callable, Sequence

import msgspec

from vggcalc.nets.layers import Layer, Opaque, Operation, Shape
from vggcalc.runtime.trace.calls import Call
from vggcalc.runtime.trace.spatial_axes import SpatialAxes, no_axes

Inputs = Sequence[tuple[Shape, SpatialAxes]]
Outputs = Sequence[Shape]


class OpOutput(msgspec.Struct, frozen=True):
    """One output of a call: its layer, what its units see of the inputs (`Traced.reach`), and its spatial axes."""

    layer: Layer
    reach: str
    spatial: SpatialAxes


#: Inputs are the tensors among a call's arguments that depend on the network's input.
Rule = Callable[[Call, Inputs, Outputs], list[OpOutput]]


def operation(call: Call, shape: Shape, **options: int | float | bool | str) -> Operation:
    """An operator that does no MACs."""
    return Operation(call.function, shape, inplace=call.mutates, options=options)


def opaque(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """An operator without a formula: it may do MACs, and how many is unknown."""
    return [OpOutput(Opaque(call.function, shape), "unknown", no_axes(shape)) for shape in outputs]


def rearranged(call: Call, inputs: Inputs, outputs: Outputs) -> list[OpOutput]:
    """Reorders elements, or writes some, in a way that cannot be traced: the receptive field is unknown from here."""
    return [OpOutput(operation(call, shape), "unknown", no_axes(shape)) for shape in outputs]
