"""Names beside points, so that none covers another one, a point or a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import cos, dist, radians, sin
from typing import TYPE_CHECKING, NamedTuple

from vggcalc.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Points of type: how far from its point a name may stand, and from where on a thin line leads to it.
_DISTANCES, _LED = (4, 6, 8, 11, 15, 20, 26, 33, 41), 9.0

#: Degrees: to the right and the left first, then above and below.
_DIRECTIONS = (0, 180, 45, -45, 135, -135, 90, -90, 20, -20, 160, -160, 70, -70, 110, -110)

#: What a point covers around it, how wide a line is, and what one point of distance counts in points².
_POINT, _LINE, _FAR = 2.6, 1.6, 0.6

Place = tuple[float, float]


class Label(NamedTuple):
    """A name for the point (x, y) of the data."""

    text: str
    x: float
    y: float
    strong: bool = False


class _Box(NamedTuple):
    """In points of type, from the lower left corner of the panel."""

    left: float
    bottom: float
    right: float
    top: float

    def common(self, other: _Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 < height else 0.0

    def crossed(self, line: tuple[Place, Place]) -> float:
        """The length of the line that lies in it (Liang and Barsky 1984)."""
        (x, y), (to_x, to_y) = line
        enters, leaves = 0.0, 1.0
        for start, step, low, high in (
            (x, to_x - x, self.left, self.right),
            (y, to_y - y, self.bottom, self.top),
        ):
            if not step:
                if not low < start < high:
                    return 0.0
                continue
            near, far = sorted(((low - start) / step, (high - start) / step))
            enters, leaves = max(enters, near), min(leaves, far)
        return max(leaves - enters, 0.0) * dist(*line)

    def nearest(self, place: Place) -> Place:
        """Of its places."""
        x, y = place
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


def place(
    axes: Axes, labels: Sequence[Label], lines: Sequence[Sequence[Place]] = (), others: Sequence[Place] = ()
) -> None:
    """Write the labels beside their points, clear of each other, of lines and of other points of data.

    All else must be drawn. A label for which there is no free place takes the one where it covers least.
    """
    root = axes.get_figure(root=True)
    assert root is not None
    root.draw_without_rendering()  # where the panel lies is known only once all is laid out
    scale = 72 / root.dpi
    panel = axes.get_window_extent()
    inside = _Box(0, 0, round(panel.width * scale, 2), round(panel.height * scale, 2))

    def on_panel(x: float, y: float) -> Place:  # but for what differs from run to run
        across, up = axes.transData.transform((x, y))
        return round((across - panel.x0) * scale, 2), round((up - panel.y0) * scale, 2)

    points = {label: on_panel(label.x, label.y) for label in labels}
    taken = [_square(point, _POINT) for point in (*points.values(), *(on_panel(*one) for one in others))]
    crossing: list[tuple[Place, Place]] = []
    for line in lines:
        ends = [on_panel(*one) for one in line]
        crossing += pairwise(ends)
    for label in sorted(labels, key=lambda one: _room(one, points)):
        text = axes.annotate(
            label.text, (label.x, label.y), (0, 0), textcoords="offset points", fontsize=style.SMALL,
            fontweight="bold" if label.strong else "normal", ha="center", va="center", annotation_clip=False,
        )  # fmt: skip
        text.set_in_layout(False)
        extent = text.get_window_extent()
        point, size = points[label], (round(extent.width * scale, 2), round(extent.height * scale, 2))
        box = min(_boxes(point, size), key=lambda one: _cost(one, point, inside, taken, crossing))
        text.set_position(((box.left + box.right) / 2 - point[0], (box.bottom + box.top) / 2 - point[1]))
        taken.append(box)
        near = box.nearest(point)
        if dist(near, point) > _LED:
            crossing.append((point, near))
            leader = axes.annotate(
                "", (label.x, label.y), (near[0] - point[0], near[1] - point[1]), textcoords="offset points",
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": style.QUIET, "shrinkA": 0},
            )  # fmt: skip
            leader.set_in_layout(False)


def _room(label: Label, points: dict[Label, Place]) -> float:
    """How far it is to the nearest other point: the contention ones choose first."""
    others = [dist(points[label], point) for other, point in points.items() if other is not label]
    return min(others, default=0.0)


def _square(place: Place, half: float) -> _Box:
    x, y = place
    return _Box(x - half, y - half, x + half, y + half)


def _boxes(point: Place, size: Place) -> Iterator[_Box]:
    """The places for a label of that size around a point, the usual ones first."""
    wide, high = size
    for distance in _DISTANCES:
        for degrees in _DIRECTIONS:
            across, up = cos(radians(degrees)), sin(radians(degrees))
            x = point[0] + across * distance + wide / 2 * _side(across)
            y = point[1] + up * distance + high / 2 * _side(up)
            yield _Box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)


def _side(along: float) -> float:
    """The end of the label that is nearer to the point: a whole half of it away unless it is in line."""
    return max(-1.0, min(1.0, 2.5 * along))


def _cost(
    box: _Box,
    point: Place,
    panel: _Box,
    taken: Sequence[_Box],
    crossing: Sequence[tuple[Place, Place]],
) -> float:
    """The area that is covered twice or lies beside the panel, by the label and by what leads to it."""
    near = box.nearest(point)
    far = dist(near, point)
    cost = _FAR * far + 4 * ((box.right - box.left) * (box.top - box.bottom) - box.common(panel))
    cost += sum(box.common(other) for other in taken) + _LINE * sum(box.crossed(line) for line in crossing)
    if far > _LED:
        cost += _LINE * sum(other.crossed((point, near)) for other in taken)
    return cost
