"""Numbers of many points at once, in place of one: laws are arithmetic, and a decision is made for all.

What the families and the laws compute of a convolution holds for arrays of channels as well. Where one of
them asks a question, such as whether groups divide the channels, the array is the answer if it is the same
for all of it; else `MixedAnswers` says for which points it is yes.
"""

from typing import Any

import numpy as np

from vggcalc.nets.graph import KINDS
from vggcalc.nets.layers import Conv2d


class MixedAnswers(Exception):
    """A question has one answer for some points and another for others; `truths` says which."""

    def __init__(self, truths: Any) -> None:
        super().__init__()
        self.truths = truths


class BatchedInts(np.ndarray[Any, np.dtype[Any]]):
    """Numbers of many points; as a truth, what holds for all of them or for none."""

    def __bool__(self) -> bool:
        truths = np.asarray(self).astype(bool)
        if truths.all():
            return True
        if truths.any():
            raise MixedAnswers(truths)
        return False


class BatchedConv2d(Conv2d, frozen=True):
    """A `Conv2d` whose channels and groups are arrays, which who makes it has checked."""

    def __post_init__(self) -> None:
        pass


KINDS[BatchedConv2d] = KINDS[Conv2d]  # it is named as any other
