"""The picture of a student's run: variables as nodes, the flow of the data as edges, what is wrong marked."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

import numpy as np

from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.points import Point
from bnbench.diagnose.program import AGREEMENT
from bnbench.diagnose.replays import forms
from bnbench.diagnose.suspect import Suspect
from bnbench.report.graph import Edge, Graph, Node, Verdict
from bnbench.sandbox.child.probe import Site

DRAWN = ("argument", "assigned", "changed")
MOST = 48
"""Nodes: a drawing of more is no picture any more. The ones that a wrong output depends on are kept."""


def picture(inquiry: Inquiry, suspects: Sequence[Suspect], *, backward: str) -> Graph:
    """The variables of the first run and what each is computed from; from the call of ``backward`` on, its own pass.

    What is blamed is a node too if it has no name. A loop is drawn by its first pass, whose elements have no error
    of their own. Numbers that are right (counts, eps) are left out. The error of a node is the largest deviation from
    the quantity that it shows or nearly shows, relative to that quantity's largest value; None where neither is known.
    """
    blamed = frozenset(site for suspect in suspects for site in _blamed(inquiry, suspect))
    drawn = {point.site: point for point in _drawn(inquiry, blamed)}
    names = {
        site: f"{place}:{_label(inquiry.reading.site(point))}" for place, (site, point) in enumerate(drawn.items())
    }
    edges = tuple(dict.fromkeys(_edges(inquiry, names)))
    start = _start_of(inquiry, backward)
    verdicts: dict[str, Verdict] = {}
    forward: list[Node] = []
    after: list[Node] = []
    for site, point in drawn.items():
        name = names[site]
        sources = {verdicts.get(edge.source) for edge in edges if edge.target == name}
        inherits = not sources.isdisjoint(("wrong", "follows"))
        verdicts[name] = "wrong" if site in blamed else _verdict(inquiry, point, inherits=inherits)
        (after if point.events[0] >= start else forward).append(_node(inquiry, point, name, verdicts[name], suspects))
    return Graph(forward=tuple(forward), backward=tuple(after), edges=edges)


def _drawn(inquiry: Inquiry, blamed: Container[int]) -> Iterator[Point]:
    """The first pass of every place that binds an array, at most :data:`MOST`, and of what is blamed."""
    kept = [
        point
        for point in inquiry.reading.points
        if point is inquiry.reading.by_site[point.site][0]
        and (point.site in blamed or inquiry.reading.site(point).role in DRAWN)
        and (not point.right or np.size(inquiry.trace.events[point.events[0]].value) > 1)
    ]
    if len(kept) > MOST:
        relevant = set(inquiry.relevant())
        kept = [point for point in kept if point in relevant or point.site in blamed][:MOST]
    yield from kept


def _blamed(inquiry: Inquiry, suspect: Suspect) -> list[int]:
    """The places that the suspect is; everything that its line binds where it is none of them."""
    here = {
        point.site: inquiry.reading.site(point)
        for point in inquiry.reading.points
        if inquiry.reading.site(point).line == suspect.line and inquiry.reading.site(point).role != "argument"
    }
    named = [index for index, site in here.items() if (site.name or site.text) == suspect.name]
    return named[-1:] or [index for index, site in here.items() if site.role in DRAWN]


def _start_of(inquiry: Inquiry, backward: str) -> int:
    """The first event of the backward's call; beyond the last where it was not called."""
    events = inquiry.trace.events
    sites = inquiry.trace.sites
    return next((index for index, event in enumerate(events) if sites[event.site].function == backward), len(events))


def _verdict(inquiry: Inquiry, point: Point, *, inherits: bool) -> Verdict:
    """What is right only under another name (``2 dvar``) is not right when it comes from something wrong."""
    if point.right:
        role = inquiry.reading.quantities[0][point.seen[0].quantity].role
        return "follows" if inherits and role == "piece" else "right"
    return "follows" if inherits or point in inquiry.relevant() else "unknown"


def _node(inquiry: Inquiry, point: Point, name: str, verdict: Verdict, suspects: Sequence[Suspect]) -> Node:
    site = inquiry.reading.site(point)
    near = next((miss for miss in inquiry.near(point) if miss.kind not in ("shifted", "term")), None)
    quantity = next((s.should_be for s in suspects if verdict == "wrong" and s.name == _label(site)), "")
    if not quantity and (point.seen or near):
        quantity = point.seen[0].quantity if point.seen else near.quantity if near else ""
    error = _error(inquiry, point, quantity)
    words = point.seen[0].words() if point.seen else near.words() if near else ""
    return Node(
        name=name,
        label=_label(site),
        line=site.line,
        verdict=verdict,
        error=None if error is None or (verdict == "right") is not (error <= AGREEMENT) else error,
        title=f"{_label(site)} = {words}" if words and words != site.name else site.text,
    )


def _label(site: Site) -> str:
    return site.name if site.role in DRAWN else " ".join(site.text.split())


def _error(inquiry: Inquiry, point: Point, quantity: str) -> float | None:
    known = inquiry.reading.quantities[0]
    if quantity not in known:
        return None
    got = np.asarray(inquiry.values(point)[0], np.float64)
    laid_out = [form for form in forms(known[quantity], got) if form.shape == got.shape]
    if not laid_out or not got.size:
        return None
    errors = [np.abs(got - form).max() / max(np.abs(form).max(), 1e-12) for form in laid_out]
    return float(min(errors))


def _edges(inquiry: Inquiry, names: Mapping[int, str]) -> Iterator[Edge]:
    """From every drawn variable to those computed from it, through whatever has no name."""
    events = inquiry.trace.events
    sources: list[frozenset[str]] = []
    for event in events:
        above = frozenset().union(*(sources[index] for index in event.inputs if index < len(sources)))
        if event.site in names:
            name = names[event.site]
            yield from (Edge(source, name) for source in sorted(above) if source != name)
            above = frozenset({name})
        sources.append(above)
