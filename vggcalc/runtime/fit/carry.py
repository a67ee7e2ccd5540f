"""The weights of a convolution carried over to the module that stands in its place."""

import copy

import torch
from torch import Tensor, nn

from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.layers import Conv, Shape
from vggcalc.results.fitted import FittedLayer
from vggcalc.runtime.build import Graph, Sum
from vggcalc.runtime.fit.fit import fit
from vggcalc.runtime.fuse.fuse import CONV_MODULES, NORM_MODULES


def carry_over(old: nn.Module, new: nn.Module, conv: Conv, branches: Branches, name: str, shape: Shape) -> FittedLayer:
    """Give `new`, which has the layers of `branches`, the weights nearest to those of the convolution `old`.

    The bias goes to the last layer of the first branch; every other is 0. `shape` is that of the input on which the
    outputs are compared. Raises `InputError` that begins with `name` for a kernel without values.
    """
    weight = old.weight
    assert isinstance(weight, Tensor)
    if weight.is_meta:
        raise InputError(f"{name} is on the meta device: it has no weights to fit")
    try:
        found = fit(weight, conv, branches)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    layers = [part for part in new.modules() if isinstance(part, CONV_MODULES)]
    with torch.no_grad():
        for layer, own in zip(layers, (one for branch in found.weights for one in branch), strict=True):
            layer.weight.copy_(own)
            if layer.bias is not None:
                layer.bias.zero_()
        last = layers[len(branches[0]) - 1]
        if last.bias is not None:
            assert isinstance(old.bias, Tensor)
            last.bias.copy_(old.bias)
    return describe(old, new, conv, name, found.energy, _output_error(old, new, shape))


def describe(
    old: nn.Module,
    new: nn.Module,
    conv: Conv,
    name: str,
    energy: float | None = None,
    output_error: float | None = None,
) -> FittedLayer:
    """What stands for a convolution."""
    layers = [part for part in new.modules() if isinstance(part, CONV_MODULES)]
    linear = (*CONV_MODULES, *NORM_MODULES, Sum, nn.Sequential, Graph)
    return FittedLayer(
        name,
        (conv.kernel_size, tuple(layer.kernel_size for layer in layers)),
        (sum(one.numel() for one in old.parameters()), sum(one.numel() for one in new.parameters())),
        energy,
        output_error,
        not all(isinstance(part, linear) for part in new.modules()),
    )


def _output_error(old: nn.Module, new: nn.Module, shape: Shape) -> float:
    """‖new − old‖ / ‖old‖ of what they put out for standard normal numbers, in evaluation mode and float32."""
    data = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, made = (copy.deepcopy(one).to("cpu", torch.float32).eval()(data) for one in (old, new))
        size = float(wanted.norm())
        return float((made - wanted).norm()) / size if size else float(made.norm())
