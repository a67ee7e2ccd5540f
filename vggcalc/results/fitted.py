"""What became of a convolution whose trained kernel a factorization took over."""

import msgspec

from vggcalc.nets.layers import Axes


class FittedLayer(msgspec.Struct, frozen=True):
    """One convolution that was replaced, and how near what stands instead comes to it.

    `widths` are the channels that the new layers put out. `energy` is the share of its kernel's energy that they
    explain without what stands between them, 1 − residual² / ‖kernel‖². `output_error` is ‖new − old‖ / ‖old‖ of the
    outputs for an input of standard normal numbers, with everything between. `nonlinear` if activations stand there:
    they are new, and the fit knows of none. Both numbers are None where nothing was fitted.
    """

    name: str
    kernels: tuple[Axes, tuple[Axes, ...]]
    widths: tuple[int, ...]
    parameters: tuple[int, int]
    macs: tuple[int, int]
    energy: float | None
    output_error: float | None
    nonlinear: bool


class RewrittenModel(msgspec.Struct, frozen=True, tag=True):
    """What was replaced in a model, its parameters before and after, and the relative error of all that it puts out.

    `stays` are convolutions that might have been replaced, each with the reason why it was not.
    """

    layers: tuple[FittedLayer, ...]
    parameters: tuple[int, int]
    output_error: float | None = None
    stays: tuple[tuple[str, str], ...] = ()
