"""Where the boxes and arrows of a layered drawing go: every arrow leads from a layer to a later one.

Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (1981),
with the coordinates of Brandes and Köpf (2002), both as grandalf has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]

SIDEWAYS, BETWEEN_LAYERS, LANE = 18.0, 34.0, 14.0
"""Pixels between neighbours of a layer, between layers, and for an arrow that passes through a layer."""
ROUNDS = 8
"""How often the layers are reordered to lose crossings; graphs of some forty boxes settle sooner."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle in pixels; y grows downwards."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def centre(self) -> Point:
        return self.left + self.width / 2, self.top + self.height / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Boxes by name, the points that each arrow passes between its boxes, and the size of the whole."""

    boxes: Mapping[str, Box]
    lanes: Mapping[tuple[str, str], tuple[Point, ...]]
    """Centres of the arrow's lane in every layer that it passes through; empty between neighbouring layers."""
    width: float
    height: float


def layered(
    widths: Mapping[str, float],
    edges: Iterable[tuple[str, str]],
    *,
    height: float,
    origin: Point = (0.0, 0.0),
    upwards: bool = False,
) -> Layout:
    """Lay out boxes of given widths and one height: the sources on top, or at the bottom if ``upwards``.

    The whole has its upper left corner at ``origin``. Parts that no edge connects stand side by side.
    Of a cycle one arrow runs against the others; an edge from a box to itself is refused. Equal
    arguments give equal layouts.

    Raises:
        ValueError: an edge leads from a box to itself.
        KeyError: an edge names no box.

    """
    from grandalf.graphs import Edge, Graph, Vertex  # type: ignore[import-untyped]
    from grandalf.layouts import SugiyamaLayout, VertexViewer  # type: ignore[import-untyped]

    vertices = {name: Vertex(name) for name in widths}
    for name, vertex in vertices.items():
        vertex.view = VertexViewer(w=widths[name], h=height)
    routes = {edge: _Route() for edge in edges}
    if any(source == target for source, target in routes):
        raise ValueError("an edge leads from a box to itself")
    arrows = [Edge(vertices[source], vertices[target]) for source, target in routes]
    for arrow, route in zip(arrows, routes.values(), strict=True):
        arrow.view = route

    shifts: dict[str, float] = {}
    edge_of_last = -SIDEWAYS
    for part in Graph(list(vertices.values()), arrows).C:
        drawing = SugiyamaLayout(part)
        drawing.xspace, drawing.yspace, drawing.dw = SIDEWAYS, BETWEEN_LAYERS, LANE
        drawing.init_all(optimize=True)
        drawing.draw(ROUNDS)
        placed = [vertex.view for layer in drawing.layers for vertex in layer]  # arrows' lanes included
        shift = edge_of_last + SIDEWAYS - min(view.xy[0] - view.w / 2 for view in placed)
        shifts |= {vertex.data: shift for vertex in part.V()}
        edge_of_last = shift + max(view.xy[0] + view.w / 2 for view in placed)

    total = max((vertex.view.xy[1] for vertex in vertices.values()), default=-height / 2) + height / 2

    def place(name: str, point: Point) -> Point:
        x, y = point[0] + shifts[name], total - point[1] if upwards else point[1]
        return round(origin[0] + x, 1), round(origin[1] + y, 1)

    boxes = {}
    for name, vertex in vertices.items():
        x, y = place(name, vertex.view.xy)
        boxes[name] = Box(left=x - widths[name] / 2, top=y - height / 2, width=widths[name], height=height)
    lanes = {edge: tuple(place(edge[0], point) for point in route.points[1:-1]) for edge, route in routes.items()}
    return Layout(boxes=boxes, lanes=lanes, width=max(edge_of_last, 0.0), height=total)


class _Route:
    """What grandalf hands an arrow's course to: its name for the method, and the points."""

    points: list[Point]

    def setpath(self, points: list[Point]) -> None:
        self.points = points
