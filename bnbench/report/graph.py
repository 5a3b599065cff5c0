"""A computation graph as a drawing: which quantity is wrong, and which only inherit its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

from bnbench.report.layout import BETWEEN_LAYERS, SIDEWAYS, Box, Point, layered
from bnbench.report.words import scientific, visible

Verdict: TypeAlias = Literal["right", "wrong", "follows", "unknown"]

SIGNS: Mapping[Verdict, str] = {"wrong": "✗", "follows": "↳", "right": "✓", "unknown": "?"}
MEANINGS: Mapping[Verdict, str] = {
    "wrong": "wrong, though its inputs are right",
    "follows": "follows: wrong because an input is",
    "right": "right",
    "unknown": "unknown: not compared",
}

PAGE = 900.0
"""Pixels: a wider drawing is scaled to this width."""
HEIGHT, LETTER = 46.0, 7.9
"""Pixels: of a node, and the width of a letter of 13 px in a monospaced face."""
PADDING, HEADING, GAP, LEGEND = 18.0, 40.0, 44.0, 22.0
"""Pixels: within a frame and a node, above a frame's nodes, between the frames, of a row of the legend."""
LONGEST = 24
"""Letters of a label before it is cut; its tooltip has all of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One quantity: what it is called, the line that computes it, and how right it is."""

    name: str
    """By which edges refer to it."""
    label: str
    line: int | None = None
    verdict: Verdict = "unknown"
    error: float | None = None
    """Relative error; None where nothing was compared."""
    title: str = ""
    """What the tooltip adds: a formula, or the text of the line."""


class Edge(NamedTuple):
    """``target`` is computed from ``source``."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """A forward and a backward pass; edges may lead from one to the other.

    Raises:
        ValueError: two nodes of one name, or an edge to or from no node.

    """

    forward: tuple[Node, ...] = ()
    backward: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()

    def __post_init__(self) -> None:
        names = [node.name for node in self.nodes]
        if len(set(names)) < len(names):
            raise ValueError("two nodes have one name")
        if missing := {name for edge in self.edges for name in edge} - set(names):
            raise ValueError(f"an edge names no node: {', '.join(sorted(missing))}")

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.forward + self.backward


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrow:
    """An edge as it is drawn: an SVG path, where its head stands, and where that points (degrees clockwise)."""

    edge: Edge
    verdict: Verdict
    """Of what it carries: its source's."""
    path: str
    tip: Point
    direction: Literal[0, 90, 180, 270]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The panel of one pass."""

    heading: str
    box: Box


def graph_svg(graph: Graph) -> str:
    """The graph as an SVG document of at most 900 px: forward leads downwards, beside it backward upwards.

    Colours follow the reader's scheme, light or dark, and never stand alone: every node has its verdict's
    sign and word, and the arrows that carry an error are thick or dashed. An edge from a node to itself,
    as an update in place makes it, is not drawn. The same graph gives the same text.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    rows = {node.name: _rows(node) for node in graph.nodes}
    verdicts = {node.name: node.verdict for node in graph.nodes}
    edges = [edge for edge in dict.fromkeys(graph.edges) if edge.source != edge.target]
    frames: list[Frame] = []
    boxes: dict[str, Box] = {}
    lanes: dict[tuple[str, str], tuple[Point, ...]] = {}
    left = 1.0
    for heading, nodes, upwards in (("forward ↓", graph.forward, False), ("backward ↑", graph.backward, True)):
        widths = {node.name: max(map(len, rows[node.name])) * LETTER + PADDING for node in nodes}
        within = [edge for edge in edges if edge.source in widths and edge.target in widths]
        layout = layered(widths, within, height=HEIGHT, origin=(left + PADDING, HEADING), upwards=upwards)
        boxes |= layout.boxes
        lanes |= layout.lanes
        if nodes:
            box = Box(left=left, top=1.0, width=layout.width + 2 * PADDING, height=HEADING + layout.height + PADDING)
            frames.append(Frame(heading=heading, box=box))
            left = box.right + GAP

    arrows = [_arrow(edge, verdicts[edge.source], boxes, lanes.get(edge)) for edge in edges]
    width = max((frame.box.right for frame in frames), default=0.0) + 1
    bottom = max((frame.box.bottom for frame in frames), default=0.0)
    counts = {verdict: list(verdicts.values()).count(verdict) for verdict in SIGNS}
    height = bottom + LEGEND * (1 + len([verdict for verdict in SIGNS if counts[verdict]]))

    environment = Environment(
        loader=PackageLoader("bnbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    return environment.get_template("graph.svg.j2").render(
        width=width,
        height=height,
        shown=min(1.0, PAGE / width),
        frames=frames,
        # What carries an error is drawn over what does not.
        arrows=sorted(arrows, key=lambda arrow: arrow.verdict in {"wrong", "follows"}),
        nodes=[(node, boxes[node.name], rows[node.name], _tooltip(node)) for node in graph.nodes],
        counts=counts,
        signs=SIGNS,
        meanings=MEANINGS,
        legend=(bottom, LEGEND),
    )


def _rows(node: Node) -> tuple[str, str]:
    """What stands in the box: the label and its line, the verdict and the error."""
    label = visible(node.label)
    label = label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"
    line = "" if node.line is None else f", line {node.line}"
    error = "" if node.error is None else f" {scientific(node.error)}"
    return f"{label}{line}", f"{SIGNS[node.verdict]} {node.verdict}{error}"


def _tooltip(node: Node) -> str:
    parts = [visible(node.label), visible(node.title), "" if node.line is None else f"line {node.line}"]
    parts.append(MEANINGS[node.verdict])
    parts.append("" if node.error is None else f"relative error {scientific(node.error)}")
    return "\n".join(part for part in parts if part)


def _arrow(edge: Edge, verdict: Verdict, boxes: Mapping[str, Box], lanes: Sequence[Point] | None) -> Arrow:
    """Through the lanes of one pass; without any (None) sideways, from one pass to the other."""
    source, target = boxes[edge.source], boxes[edge.target]
    direction: Literal[0, 90, 180, 270]
    if lanes is None:
        rightwards = source.left < target.left
        points = _sideways(source, target, boxes) if rightwards else _sideways(target, source, boxes)[::-1]
        direction = 0 if rightwards else 180
    else:
        (x0, y0), (x1, y1) = source.centre, target.centre
        half = HEIGHT / 2 if y0 < y1 else -HEIGHT / 2
        # Upright within a layer, so that it touches none of its boxes; bent between the layers.
        points = [(x0, y0 + half), *((x, y + side) for x, y in lanes for side in (-half, half)), (x1, y1 - half)]
        direction = 90 if y0 < y1 else 270
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (a, b), (c, d) in pairwise(points):
        bends = ((a + c) / 2, b, (a + c) / 2, d) if lanes is None else (a, (b + d) / 2, c, (b + d) / 2)
        path += "C{:.1f},{:.1f} {:.1f},{:.1f} ".format(*bends) + f"{c:.1f},{d:.1f}"
    return Arrow(edge=edge, verdict=verdict, path=path, tip=points[-1], direction=direction)


def _sideways(left: Box, right: Box, boxes: Mapping[str, Box]) -> list[Point]:
    """From one box to another at its right, below the neighbours in their layers that stand between them."""
    neighbours = [box for box in boxes.values() if left.right < box.left and box.right < right.left]
    (_, y0), (_, y1) = left.centre, right.centre
    middle = (left.right + right.left) / 2
    after = max((box.right for box in neighbours if box.top < y0 < box.bottom and box.left < middle), default=None)
    before = min((box.left for box in neighbours if box.top < y1 < box.bottom and box.left >= middle), default=None)
    points = [(left.right, y0)]
    if after is not None:
        points += [(left.right + SIDEWAYS, left.bottom + BETWEEN_LAYERS / 2), (after, left.bottom + BETWEEN_LAYERS / 2)]
    if before is not None:
        points += [
            (before, right.bottom + BETWEEN_LAYERS / 2),
            (right.left - SIDEWAYS, right.bottom + BETWEEN_LAYERS / 2),
        ]
    return [*points, (right.left, y1)]
