"""How trained weights are carried over to what replaces a convolution."""

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.chains import Branches
from vggcalc.nets.layers import Conv, Layer, Shape


class Fitting(msgspec.Struct, frozen=True, kw_only=True):
    """Choosing widths by the weights: those given for all layers unless one of both is there.

    `energy`: each layer has the smallest width that explains this share of its kernel's energy, above 0 up to 1.
    `saving`: the widths save so many MACs of the network, and explain as much as may be of all kernels.
    Raises `InputError` for a share out of its range, and for both.
    """

    energy: float | None = None
    saving: int | None = None

    def __post_init__(self) -> None:
        if self.energy is not None and not 0 < self.energy <= 1:
            raise InputError(f"energy {self.energy:g} is no share: it is above 0 and at most 1, such as 0.95")
        if self.energy is not None and self.saving is not None:
            raise InputError("energy and budget_macs both choose the widths: leave out one of them")

    @property
    def chooses(self) -> bool:
        """Whether widths are chosen by the weights."""
        return self.energy is not None or self.saving is not None


class KernelVariants(msgspec.Struct, frozen=True, tag=True):
    """What is to take over the kernel of a `convolution` with an input of that shape, by variants' names.

    Each variant has its branches, and what stands between the layers of a branch: batch norm and activation.
    """

    convolution: Conv
    input_shape: Shape
    variants: tuple[tuple[str, Branches, tuple[Layer, ...]], ...]
