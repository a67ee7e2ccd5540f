"""The weights of a convolution carried over to the module that stands in its place."""

import copy

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.layers import Conv, Shape
from vggcalc.results.fitted import FittedLayer
from vggcalc.runtime.build import Graph, Sum
from vggcalc.runtime.fit.fit import Fit, fit
from vggcalc.runtime.fuse.fuse import CONV_MODULES, NORM_MODULES
from vggcalc.runtime.inputs import Arguments, own_dtype, random_values, seeded


def kernel_of(module: nn.Module, name: str) -> Tensor:
    """The kernel of a convolution. Raises `InputError` that begins with `name` for one without values."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    if weight.is_meta:
        raise InputError(f"{name} is on the meta device: it has no weights to fit")
    return weight


def carry_over(
    old: nn.Module,
    new: nn.Module,
    conv: Conv,
    branches: Branches,
    name: str,
    shape: Shape,
    found: Fit | None = None,
    root: Tensor | None = None,
) -> tuple[float, float]:
    """Give `new`, which has the layers of `branches`, the weights nearest to those of the convolution `old`.

    The bias goes to the last layer of the first branch; every other is 0. `shape` is that of the input on which the
    outputs are compared; `found` are the weights where they are fitted already, `root` is as `fit` takes it. Returned
    are the share of the kernel's energy that is explained, and the output's error. Raises `InputError` that begins with
    `name` for a kernel without values.
    """
    try:
        found = found or fit(kernel_of(old, name), conv, branches, root=root)
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
    return found.energy, _output_error(old, new, shape)


def describe(
    old: nn.Module,
    new: nn.Module,
    conv: Conv,
    name: str,
    macs: tuple[int, int],
    errors: tuple[float, float] | tuple[None, None] = (None, None),
) -> FittedLayer:
    """What stands for a convolution."""
    layers = [part for part in new.modules() if isinstance(part, CONV_MODULES)]
    linear = (*CONV_MODULES, *NORM_MODULES, Sum, nn.Sequential, Graph)
    return FittedLayer(
        name,
        (conv.kernel_size, tuple(layer.kernel_size for layer in layers)),
        tuple(layer.out_channels for layer in layers),
        (sum(one.numel() for one in old.parameters()), sum(one.numel() for one in new.parameters())),
        macs,
        errors[0],
        errors[1],
        not all(isinstance(part, linear) for part in new.modules()),
        None if errors[0] is None else float(kernel_of(old, name).detach().double().square().sum()),
    )


def _output_error(old: nn.Module, new: nn.Module, shape: Shape) -> float:
    """‖new − old‖ / ‖old‖ of what they put out for standard normal numbers, in evaluation mode and float32."""
    data = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = (copy.deepcopy(one).to("cpu", torch.float32).eval()(data) for one in (old, new))
    return relative_error(wanted, found)


def relative_error(wanted: Tensor, found: Tensor) -> float:
    """‖found − wanted‖ / ‖wanted‖."""
    size = float(wanted.norm())
    return float((found - wanted).norm()) / size if size else float(found.norm())


def network_error(old: nn.Module, new: nn.Module, arguments: Arguments) -> float | None:
    """The relative error of a whole network's outputs in evaluation mode, for the tensors given or random ones.

    None where what it puts out has no numbers that can be compared, or where it does not run with such values.
    """

    def random(shape: Shape, dtype: torch.dtype) -> Tensor:
        return random_values(old, torch.Generator().manual_seed(0))(shape, dtype)

    where = next(iter(old.parameters())).device
    given = arguments.with_values(random, own_dtype(old), where)
    outputs = []
    try:
        for module in (old, new):
            with torch.no_grad(), seeded():
                outputs.append(copy.deepcopy(module).eval()(*given.args, **given.kwargs))
    except Exception:  # whatever the model's own code raises with such values: the fit does not depend on them
        return None
    pairs = [
        (one.double().flatten(), other.double().flatten())
        for one, other in zip(*map(tree_leaves, outputs), strict=True)
        if isinstance(one, Tensor) and one.is_floating_point()
    ]
    return relative_error(*map(torch.cat, zip(*pairs, strict=True))) if pairs else None
