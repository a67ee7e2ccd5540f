"""`trace`, `build`, `rewrite` and `fuse`: torch modules in this process. Calling one imports torch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from vggcalc.library.arguments import check_flags, check_whole, wrong_type
from vggcalc.library.factorizing import FactorizingOptions, Into, ReplacingOptions
from vggcalc.library.factorizing import replacings as rules
from vggcalc.library.models import Overrides, module_arguments, resolve
from vggcalc.nets.graph import Network
from vggcalc.nets.replacing import Replacing
from vggcalc.results import Variant

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vggcalc.runtime.fuse.fuse import FusedConv


def _checked(module: object) -> "nn.Module":
    from torch import nn

    if not isinstance(module, nn.Module):
        raise wrong_type("module", module, "a torch.nn.Module")
    return module


def trace(module: "nn.Module", inputs: "str | Sequence[int] | Tensor | None" = None) -> Network:
    """The network of a module, traced as it runs: nothing is computed unless its code reads values.

    Args:
        module: any `torch.nn.Module`; it is left as it was.
        inputs: the shape that it takes, (batch, channels, height, width), or an example tensor; (1, 3, 224, 224), or
            the size that a model of timm was made for, unless given.

    Raises:
        TypeError: it is no module.
        InputError: it cannot be run for these inputs; the cause is what its own code raised.

    >>> import torch
    >>> network = vggcalc.trace(torch.nn.Conv2d(3, 8, 7), (1, 3, 32, 32))
    >>> vggcalc.summary(network).macs
    794976
    """
    return resolve(_checked(module), inputs, Overrides()).network


def build(network: Network | Variant) -> "nn.Module":
    """The `torch.nn.Module` of a network that is not a trace, or of a variant of a comparison.

    Its weights have torch's own initialization; VGGs keep torchvision's names (`features.0.weight`).
    Raises `TypeError` for anything else, `InputError` for a trace, whose module you already have: see `rewrite`.

    >>> vggcalc.build(vggcalc.factorize(7)["factorized"])[0].conv1
    Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """
    from vggcalc.errors import InputError
    from vggcalc.runtime.build import build as built

    if isinstance(network, Variant):
        network = network.network
    if not isinstance(network, Network):
        raise wrong_type("network", network, "a vggcalc.Network or a variant of a comparison")
    if network.layout == "traced":
        raise InputError(f"{network.name} is the trace of a module, which alone runs it: use vggcalc.rewrite")
    return built(network)


def rewrite(
    module: "nn.Module",
    inputs: "str | Sequence[int] | Tensor | None" = None,
    *,
    into: Into = None,
    min_kernel: int | None = None,
    only: str | None = None,
    merge: bool = False,
    if_fewer: str | None = None,
    replacing: Replacing | None = None,
    stride_at: str | int | None = None,
    widths: int | str | Sequence[int] | None = None,
    widen: str | None = None,
    pad_at: str | None = None,
    between: str | None = None,
    fit: bool = False,
    energy: float | None = None,
    budget_macs: int | None = None,
    fit_on: "str | Tensor | None" = None,
) -> "nn.Module":
    """A copy of a module with its large convolutions replaced: what `compare` with the same arguments counts.

    The new layers have torch's own initialization and the dtype, device and mode of those that they replace; everything
    else keeps its weights. The arguments are those of `compare`, with one family.

    With `fit` the new layers take the weights over: those whose composition is nearest to the old kernel, with the old
    bias in the last layer. Activations and norms between the layers are new, and the fit knows of none. The module's
    `fitted` says for each replaced layer what share of the kernel's energy is explained, and how far its output is off.

    With `energy`, such as 0.95, every layer has the smallest width that explains this share of its kernel's energy, and
    one stays that would need more parameters than it has. With `budget_macs` the whole network has no more MACs than
    that, spent where they explain most. Both fit the weights, for a family that has widths to choose.

    With `fit_on`, a batch of inputs or a file of one (.pt, .safetensors, .npy, or a folder of images, from 0 to 1), the
    fit brings near what each layer puts out for them rather than its kernel, and all shares and errors are those for
    them.

    Raises `TypeError` for anything but a module, `InputError` for several families or a module that cannot be traced.

    >>> import torch
    >>> vggcalc.rewrite(torch.nn.Sequential(torch.nn.Conv2d(8, 8, 5, padding=2)), (1, 8, 16, 16))[0]
    Sequential(
      (conv1): Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (conv2): Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    )
    >>> trained = torch.nn.Sequential(torch.nn.Conv2d(2, 2, 5, padding=2))
    >>> small = vggcalc.rewrite(trained, (1, 2, 16, 16), into="asymmetric", widths=10, fit=True)
    >>> round(small.fitted[0].energy, 6)
    1.0
    """
    from torch import Tensor

    from vggcalc.errors import InputError
    from vggcalc.library.rewriting import WidthOptions
    from vggcalc.runtime.data import load_data
    from vggcalc.runtime.load.errors import LoadError
    from vggcalc.runtime.load.preparing import unwrapped
    from vggcalc.runtime.rewrite import rewrite_fitting

    module = unwrapped(_checked(module))
    check_flags(fit=fit)
    traced = trace(module, inputs)
    if replacing is None:
        factorizing = FactorizingOptions(
            into=into, stride_at=stride_at, widths=widths, widen=widen, pad_at=pad_at, between=between
        )
        wanted = ReplacingOptions(min_kernel=min_kernel, only=only, merge=merge, if_fewer=if_fewer)
        found: Mapping[str, Any] | None = rules(traced.name, traced, None, factorizing, wanted)
        assert found is not None  # it is a trace
        if len(found) > 1:
            raise InputError(f"rewrite makes one module, and {', '.join(found)} are {len(found)}: give one family")
        (replacing,) = found.values()
    check_whole(budget_macs=budget_macs)
    if energy is not None and (isinstance(energy, bool) or not isinstance(energy, int | float)):
        raise wrong_type("energy", energy, "a share, such as 0.95")
    fitting = WidthOptions(energy=energy, budget_macs=budget_macs).fitting(traced)
    if fit_on is not None and not isinstance(fit_on, str | Tensor):
        raise wrong_type("fit_on", fit_on, "a tensor of inputs, or the name of a file")
    try:
        data = load_data(fit_on, traced.input_shape) if isinstance(fit_on, str) else fit_on
    except LoadError as error:
        raise InputError(str(error)) from None
    rewritten = rewrite_fitting(module, replacing, module_arguments(module, inputs), fit, fitting, data)
    if fit or fitting.chooses or data is not None:
        rewritten.module.fitted = rewritten.layers  # type: ignore[assignment]
    return rewritten.module


class FusingWarning(UserWarning):
    """A linear part of a network was not fused, because that would not be exact at the edges of a feature map."""


@overload
def fuse(module: "nn.Module", inputs: None = None) -> "FusedConv": ...


@overload
def fuse(module: "nn.Module", inputs: "str | Sequence[int] | Tensor", *, exact: bool = True) -> "nn.Module": ...


def fuse(
    module: "nn.Module", inputs: "str | Sequence[int] | Tensor | None" = None, *, exact: bool = True
) -> "nn.Module":
    """The one convolution that a linear module is; with `inputs` a copy of any network with its linear parts fused.

    Without `inputs` the module is a chain or sum of convolutions, norms and additions without activations, and what is
    returned is one convolution whatever it costs.

    With `inputs`, what the module is called with as in `trace`, every linear part of it becomes one convolution where
    that does no more MACs than the part: batch norms are folded in, and parallel branches (RepVGG's 3×3, 1×1 and
    identity, a large kernel's small and dilated ones, a 1×1 before an average pooling) added up or subtracted; a factor
    or an offset for each channel, such as a layer scale, is part of it. The copy is for inference: batch norms hold
    their running statistics. A module whose `forward` adds branches becomes a
    `torch.fx.GraphModule`; one that torch.fx cannot trace stays, and what it holds is fused by itself.

    Args:
        module: any `torch.nn.Module`; it is left as it was.
        inputs: as for `trace`; the fused network takes other sizes too.
        exact: leave what would differ at the edges of its feature map, where a layer behind another pads zeros, with a
            `FusingWarning` that names it. Else fuse it: its convolution says in `border` how many positions may differ.

    Raises:
        TypeError: it is no module, or `inputs` are none.
        InputError: without `inputs` it is not linear; with them it cannot be run for them.

    >>> stack = vggcalc.build(vggcalc.factorize(7, activation="none")["factorized"])
    >>> fused = vggcalc.fuse(stack)
    >>> fused.kernel_size, fused.border
    ((7, 7), (2, 2))
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    >>> vggcalc.fuse(network, (1, 3, 32, 32))
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): Identity()
      (2): ReLU()
    )
    """
    module = _checked(module)
    check_flags(exact=exact)
    if inputs is None:
        from vggcalc.runtime.fuse.fuse import fuse as fused

        return fused(module)
    import warnings

    from vggcalc.runtime.fuse.networks import fuse_network
    from vggcalc.runtime.load.preparing import unwrapped

    module = unwrapped(module)
    network = fuse_network(module, module_arguments(module, inputs), exact)
    for one in network.unfused:
        text = f"{one.name} is left as it is: {one.reason}; exact=False fuses it"
        warnings.warn(text, FusingWarning, stacklevel=2)
    return network.module
