"""What became of a convolution whose trained kernel a factorization took over."""

import msgspec

from vggcalc.nets.layers import Axes


class FittedLayer(msgspec.Struct, frozen=True):
    """One convolution that was replaced, and how near what stands instead comes to it.

    `energy` is the share of its kernel's energy that the new layers explain without what stands between them,
    1 − residual² / ‖kernel‖². `output_error` is ‖new − old‖ / ‖old‖ of the outputs for an input of standard normal
    numbers, with everything between. `nonlinear` if activations stand there: they are new, and the fit knows of none.
    """

    name: str
    kernels: tuple[Axes, tuple[Axes, ...]]
    parameters: tuple[int, int]
    energy: float
    output_error: float
    nonlinear: bool
