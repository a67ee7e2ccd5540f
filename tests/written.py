"""Modules made of parts and a forward pass, for tests of tracing."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Written(nn.Module):
    """A module of the given parts with the given forward pass."""

    def __init__(self, run: Callable[[Any, Tensor], Tensor], **parts: object) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, image: Tensor) -> Tensor:
        return self.run(self, image)
