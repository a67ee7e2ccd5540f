"""How near a factorization comes to a trained kernel, and what became of a model whose kernels it took over."""

from collections.abc import Sequence

import msgspec

from vggcalc.nets.families import Factorization
from vggcalc.nets.layers import Axes, Shape
from vggcalc.results.measured import LatencyRatio

#: For each of several channel pairs the rows of a kernel's window, to four digits.
Windows = tuple[tuple[tuple[float, ...], ...], ...]


class FittedLayer(msgspec.Struct, frozen=True):
    """One convolution that was replaced, and how near what stands instead comes to it.

    `widths` are the channels that the new layers put out. `energy` is the share of its kernel's energy that they
    explain without what stands between them, 1 − residual² / ‖kernel‖², and `kernel_energy` is ‖kernel‖², the sum of
    the squares of its weights. `output_error` is ‖new − old‖ / ‖old‖ of the outputs for an input of standard normal
    numbers, with everything between. Fitted on data, `energy` and `output_error` are of the outputs for that, and
    `kernel_energy` is None. `nonlinear` if activations stand there: they are new, and the fit knows of none. These
    numbers are None where nothing was fitted.
    """

    name: str
    kernels: tuple[Axes, tuple[Axes, ...]]
    widths: tuple[int, ...]
    parameters: tuple[int, int]
    macs: tuple[int, int]
    energy: float | None
    output_error: float | None
    nonlinear: bool
    kernel_energy: float | None


class RewrittenModel(msgspec.Struct, frozen=True, tag=True):
    """What was replaced in a model, its parameters before and after, and the relative error of all that it puts out.

    `energy` is the share of the energy of all replaced kernels together that the new layers explain, None where nothing
    was fitted. `stays` are convolutions that might have been replaced, each with the reason why it was not. `chosen`
    are the factorizations of the layers where widths were chosen by the weights. `latency` is the time of a call of the
    model after by that before, where it was measured. `fit_on` is the file or folder of inputs that the fit is on.
    """

    model: str
    layers: tuple[FittedLayer, ...]
    parameters: tuple[int, int]
    energy: float | None = None
    output_error: float | None = None
    stays: tuple[tuple[str, str], ...] = ()
    chosen: tuple[tuple[str, Factorization], ...] | None = None
    latency: tuple[LatencyRatio, ...] = ()
    fit_on: str | None = None


def energy_of_all(layers: Sequence[FittedLayer]) -> float | None:
    """The share of all kernels' energy together that is explained: Σ energy·‖kernel‖² / Σ ‖kernel‖².

    None where not all are fitted.
    """
    pairs = [(one.energy, one.kernel_energy) for one in layers]
    known = [(share, of) for share, of in pairs if share is not None and of is not None]
    whole = sum(of for _, of in known)
    return sum(share * of for share, of in known) / whole if whole and len(known) == len(pairs) else None


class ChannelPair(msgspec.Struct, frozen=True):
    """A channel that a kernel puts out and one that it reads, from 0; in 3-D with a `plane` along its first axis."""

    out_channel: int
    in_channel: int
    plane: int | None = None


class TrainedKernel(msgspec.Struct, frozen=True):
    """The kernel that is factorized: the tensor `key` of the file `weights`, which is "" where there is none.

    `pairs` are the channel pairs that hold most of its energy, the strongest first.
    """

    weights: str
    key: str
    pairs: tuple[ChannelPair, ...]


class ReadKernel(msgspec.Struct, frozen=True, tag=True):
    """A kernel that was read: its name and shape, and whether it has a bias; None where its name does not say.

    `pairs` are its strongest channel pairs, of which channels in are counted within their group, and `windows` its
    weights there.
    """

    key: str
    shape: Shape
    bias: bool | None
    pairs: tuple[ChannelPair, ...]
    windows: Windows


class FittedKernel(msgspec.Struct, frozen=True):
    """What a factorization makes of a trained kernel, with the weights that come nearest to it.

    `energy` and `output_error` are as in `FittedLayer`. `windows` are the weights of the kernel that its layers compose
    to, for each of the trained kernel's `pairs`.
    """

    energy: float
    output_error: float
    windows: Windows


class FittedVariant(msgspec.Struct, frozen=True, tag=True):
    """What one variant makes of a kernel."""

    variant: str
    kernel: FittedKernel
