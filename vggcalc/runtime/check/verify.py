"""A network without its activations, held to the one convolution that it then is, in float64."""

from math import prod

import msgspec
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vggcalc.errors import InputError
from vggcalc.nets.graph import INPUT, Network
from vggcalc.nets.layers import (
    Axes,
    Conv,
    PlainConvolution,
    in_axes,
    is_nonlinearity,
)
from vggcalc.nets.shapes import output_shape, window_extent
from vggcalc.results import ROUNDING, Verification
from vggcalc.runtime.build import build, make
from vggcalc.runtime.fuse.fuse import NORM_MODULES, FusedConv, fuse
from vggcalc.runtime.padded import sides_of

#: Positions along each axis that are held to the fused convolution beside its border, where the map has fewer.
INTERIOR = 8

#: Beyond this the map is taken no larger than its border and its interior need.
LARGEST_MAP_MACS, LARGEST_MAP_BYTES = 5_000_000_000, 2**29

#: Beyond this the layers are not composed.
LARGEST_COMPOSED_MACS = 100_000_000_000


def without_activations(network: Network) -> Network:
    """The network without its activations. Raises `InputError` if it has nothing else."""
    nodes, instead = [], {INPUT: INPUT}
    for node in network.nodes:
        inputs = tuple(instead[name] for name in node.inputs)
        if is_nonlinearity(node.layer):
            instead[node.name] = inputs[0]
        else:
            instead[node.name] = node.name
            nodes.append(msgspec.structs.replace(node, inputs=inputs))
    return msgspec.structs.replace(network, nodes=tuple(nodes))


def padded_once(network: Network, sides: tuple[Axes, Axes]) -> Network | None:
    """A chain whose first convolution has all of the padding; None if it is no chain that begins with one."""
    before, nodes = INPUT, []
    for node in network.nodes:
        layer = node.layer
        if node.inputs != (before,) or (before == INPUT and not isinstance(layer, PlainConvolution)):
            return None
        if isinstance(layer, PlainConvolution):
            none = (0,) * layer.axes
            layer = layer.padded(*(sides if before == INPUT else (none, none)))
        nodes.append(msgspec.structs.replace(node, layer=layer))
        before = node.name
    return msgspec.structs.replace(network, nodes=tuple(nodes))


def verify(network: Network, seed: int = 0, free_bytes: int | None = None) -> Verification:
    """Hold a network without its activations to its fused convolution, and to itself padded once.

    With torch's own initialization drawn from `seed`, norms with statistics that do something, and one
    random input of the network's input shape: larger where its map would be all border, smaller where
    that would be too much to compute. Raises `InputError` where it is not one convolution, and where
    what it takes is too large, or more than `free_bytes`.
    """
    plain = without_activations(network)
    with torch.device("meta"), FlopCounterMode(display=False) as composing:
        outline = fuse(build(plain))
    conv = _spec(outline)
    sizes = _sizes_to_try(plain, conv, outline.border)
    _check_size(composing.get_total_flops() // 2, conv, sizes, free_bytes)
    once = padded_once(plain, conv.sides)
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        stack = _randomized(build(plain).double().eval())
        image = torch.randn(1, conv.in_channels, *sizes, dtype=torch.float64)
        fused = fuse(stack)(image)
        difference = _largest_difference(stack(image), fused)
        once_error = None
        if once is not None:
            padded = build(once).double().eval()
            padded.load_state_dict(stack.state_dict())
            once_error = float(_largest_difference(padded(image), fused).max())
    interior = tuple(slice(b, n - b) for b, n in zip(outline.border, difference.shape, strict=True))
    interior_error = float(difference[interior].max())
    seen = tuple(_depth(difference.movedim(axis, 0)) for axis in range(difference.dim()))
    difference[interior] = 0
    border_error = float(difference.max()) if any(outline.border) else None
    shape = tuple(image.shape)
    return Verification(conv, shape, seed, outline.border, seen, interior_error, border_error, once_error)


def _spec(fused: FusedConv) -> Conv:
    """The layer of a fused convolution."""
    padding, after = sides_of(fused)
    made = in_axes("Conv", len(fused.border))(
        fused.in_channels,
        fused.out_channels,
        fused.kernel_size,
        fused.stride,
        padding,
        fused.dilation,
        fused.groups,
        fused.bias is not None,
        after,
    )
    assert isinstance(made, PlainConvolution)
    return made


def _randomized(module: nn.Module) -> nn.Module:
    """Norms that scale and shift."""
    for part in module.modules():
        if isinstance(part, NORM_MODULES):
            nn.init.normal_(part.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 2.0)
                nn.init.normal_(part.bias)
    return module


def _largest_difference(stack: Tensor, fused: Tensor) -> Tensor:
    """For each position the largest difference over the largest absolute output of the stack."""
    if stack.shape != fused.shape:
        raise ValueError(f"the stack puts out {tuple(stack.shape)}, and its kernel {tuple(fused.shape)}")
    return (stack - fused).abs().amax((0, 1)) / stack.abs().max()


def _depth(difference: Tensor) -> int:
    """How far along the first axis from the nearer edge the innermost position is that differs, in the middle."""
    starts = [(n - INTERIOR) // 2 for n in difference.shape[1:]]
    middle = difference[(slice(None), *(slice(first, first + INTERIOR) for first in starts))]
    differs = (middle > ROUNDING).flatten(1).any(1) if starts else middle > ROUNDING
    places = differs.nonzero().flatten().tolist()
    return max((min(place, len(differs) - 1 - place) + 1 for place in places), default=0)


def _sizes_to_try(plain: Network, conv: Conv, border: Axes) -> Axes:
    """An input whose map has an interior and is not too large."""
    units = [2 * positions + INTERIOR for positions in border]
    numbers = zip(units, conv.stride, window_extent(conv), *conv.sides, strict=True)
    needed = tuple(max((n - 1) * s + w - p - q, 1) for n, s, w, p, q in numbers)
    sizes = tuple(map(max, plain.input_shape[2:], needed))
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        image = torch.empty(1, conv.in_channels, *sizes)
        build(plain).eval()(image)
        make(conv, False)(image)
    large = counter.get_total_flops() // 2 > LARGEST_MAP_MACS or _windows(conv, sizes) > LARGEST_MAP_BYTES
    return needed if large else sizes


def _windows(conv: Conv, sizes: Axes) -> int:
    """Bytes of a group's windows side by side, as torch's convolution lays them out in float64."""
    area = output_shape(conv, [(1, conv.in_channels, *sizes)])[2:]
    return 8 * conv.in_channels // conv.groups * prod(conv.kernel_size) * prod(area)


def _check_size(macs: int, conv: Conv, sizes: Axes, free_bytes: int | None) -> None:
    """Raise `InputError` where the composing or the comparing is too large."""
    if macs > LARGEST_COMPOSED_MACS:
        raise InputError(f"composing its kernels takes {macs:,} MACs, more than {LARGEST_COMPOSED_MACS:,}")
    need = 3 * 8 * conv.parameters + 2 * _windows(conv, sizes)
    if free_bytes is not None and need > free_bytes:
        raise InputError(f"it needs {need:,} bytes of memory, and {free_bytes:,} are free")
