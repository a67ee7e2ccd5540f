"""Convolutions that pad more on one side than on the other, such as causal ones: torch's own pad both alike."""

from itertools import chain

import msgspec
from torch import Tensor, nn
from torch.nn import functional

from vggcalc.nets.layers import Axes, Conv


class _PadsEachSide(nn.Module):
    """A convolution of torch's; with `sides` its input is padded with zeros, in front of each axis and behind it."""

    sides: tuple[Axes, Axes] | None = None

    def forward(self, data: Tensor) -> Tensor:
        if self.sides is not None:
            backwards = chain.from_iterable(reversed(list(zip(*self.sides, strict=True))))
            data = functional.pad(data, list(backwards))
        convolved: Tensor = super().forward(data)
        return convolved

    def extra_repr(self) -> str:
        sides = "" if self.sides is None else f", padding before={self.sides[0]}, after={self.sides[1]}"
        return f"{super().extra_repr()}{sides}"


class PaddedConv1d(_PadsEachSide, nn.Conv1d):
    """A `Conv1d` with other padding in front of its input than behind it."""


class PaddedConv2d(_PadsEachSide, nn.Conv2d):
    """A `Conv2d` with other padding in front of an axis than behind it."""


class PaddedConv3d(_PadsEachSide, nn.Conv3d):
    """A `Conv3d` with other padding in front of an axis than behind it."""


#: By the name of the torch class whose arguments they take.
PADDED: dict[str, type[PaddedConv1d | PaddedConv2d | PaddedConv3d]] = {
    "Conv1d": PaddedConv1d,
    "Conv2d": PaddedConv2d,
    "Conv3d": PaddedConv3d,
}


def sides_of(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> tuple[Axes, Axes]:
    """The padding in front of each axis of a module, and behind it. torch's "same" may have one more behind."""
    if isinstance(conv, _PadsEachSide) and conv.sides is not None:
        return conv.sides
    if not isinstance(conv.padding, str):
        return tuple(conv.padding), tuple(conv.padding)
    numbers = zip(conv.kernel_size, conv.dilation, strict=True)
    total = [d * (k - 1) * (conv.padding == "same") for k, d in numbers]
    return tuple(n // 2 for n in total), tuple(n - n // 2 for n in total)


def conv_module(layer: Conv) -> nn.Conv1d | nn.Conv2d | nn.Conv3d:
    """The module of a convolution: torch's own, or one that pads each side by itself."""
    arguments = msgspec.structs.asdict(layer)
    after = arguments.pop("padding_after")
    kind = type(layer).__name__
    if after is None:
        made: nn.Conv1d | nn.Conv2d | nn.Conv3d = getattr(nn, kind)(**arguments)
        return made
    padded = PADDED[kind](**(arguments | {"padding": 0}))
    padded.sides = layer.sides
    return padded
