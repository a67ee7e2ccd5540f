"""One picture: what it is called, what it shows, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


class Figure(msgspec.Struct, frozen=True):
    """A picture that is not yet drawn.

    `caption` says in one sentence what is seen and by which conventions. `height` is in inches, of
    a width of `style.WIDTH`; `draw` puts it on an empty figure that is laid out "constrained".
    """

    title: str
    caption: str
    height: float
    draw: Callable[[FigureBase], None]
