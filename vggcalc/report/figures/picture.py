"""One picture: what it is called, what it shows, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


class Layout(NamedTuple):
    """How high a figure is at the width that it was laid out for, in inches, and what draws it.

    `draw` puts it on an empty figure of that size that is laid out "constrained".
    """

    height: float
    draw: Callable[[FigureBase], None]


class Figure(msgspec.Struct, frozen=True):
    """A picture that is not yet drawn.

    `name` chooses it, `caption` says in one sentence what is seen and by which conventions, and `layout` arranges it
    for a width in inches.
    """

    name: str
    title: str
    caption: str
    layout: Callable[[float], Layout]
