"""Costs of many convolutions at once: NumPy arrays take the place of the integers in families and formulas.

Arithmetic on shapes and channels works for arrays as it does for integers. An `if` does not: whether the groups divide
the channels may be true for some convolutions of an array and false for others. A `BatchedInts` in an `if` is true or
false where all of its elements agree; where they do not, it raises `MixedAnswers`, and the caller splits the array into
the convolutions for which the condition holds and those for which it does not, and evaluates each part on its own.
"""

from typing import Any

import numpy as np

from vggcalc.nets.graph import KINDS
from vggcalc.nets.layers import Conv, Conv1d, Conv2d, Conv3d


class MixedAnswers(Exception):
    """A condition holds for some elements of an array only: those where `truths` is true."""

    def __init__(self, truths: Any) -> None:
        super().__init__()
        self.truths = truths


class BatchedInts(np.ndarray[Any, np.dtype[Any]]):
    """An array of integers, one for each convolution, that can stand in an `if`. Raises `MixedAnswers` there."""

    def __bool__(self) -> bool:
        truths = np.asarray(self).astype(bool)
        if truths.all():
            return True
        if truths.any():
            raise MixedAnswers(truths)
        return False


class BatchedConv1d(Conv1d, frozen=True):
    """Many `Conv1d`s whose channels and groups are arrays; whoever makes one checks the values."""

    def __post_init__(self) -> None:
        pass


class BatchedConv2d(Conv2d, frozen=True):
    """The same of `Conv2d`s."""

    def __post_init__(self) -> None:
        pass


class BatchedConv3d(Conv3d, frozen=True):
    """The same of `Conv3d`s."""

    def __post_init__(self) -> None:
        pass


#: By the number of spatial axes.
BATCHED: dict[int, type[Conv]] = {1: BatchedConv1d, 2: BatchedConv2d, 3: BatchedConv3d}

KINDS.update(dict.fromkeys(BATCHED.values(), KINDS[Conv2d]))  # so that layers of them get the same names
