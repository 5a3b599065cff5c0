"""What the values of a recorded run are: the same point of the program, seen in every run, and its name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from bnbench.diagnose.cause import Quantity, belongs_to
from bnbench.diagnose.quantities import Quantities
from bnbench.diagnose.recognize import Recognition, recognize
from bnbench.diagnose.variants import Kind
from bnbench.sandbox.child.probe import Site, Trace

OCCURRENCES = 6
"""Of a place that is passed more often (the body of a loop), the first and last passes are looked at."""

ELSEWHERE: Mapping[str, tuple[Quantity, Kind]] = MappingProxyType(
    {
        "var of divisor M-1": ("var", "divisor"),
        "running_var (after, divisor M-1)": ("running_var", "state"),
        "sd of running_var": ("sd", "mode"),
        "x_hat of the running averages": ("x_hat", "mode"),
    }
)
"""Known quantities that are right under other conventions, and wrong where they are met here."""

OF_THE_BATCH = " of the batch"
"""How the names of a batch's own statistics end where they have no business: in test mode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One place of the source, passed for the n-th time: the values there, run by run."""

    site: int
    events: tuple[int, ...]
    """Its event in each run."""
    seen: tuple[Recognition, ...]
    """What the values are, exactly; best first, empty if they are not known."""

    @property
    def right(self) -> bool:
        """Whether a correct program may compute this, under whatever name."""
        return bool(self.seen) and self.seen[0].exact and self.elsewhere is None

    @property
    def elsewhere(self) -> Recognition | None:
        """The slip that this is, where it is a quantity that has no business here."""
        if not self.seen:
            return None
        name = self.seen[0].quantity
        if name.endswith(OF_THE_BATCH):
            quantity = self.seen[0].node or belongs_to(name.removesuffix(OF_THE_BATCH))
            return replace(self.seen[0], quantity=name, node=quantity, kind="mode")
        if name not in ELSEWHERE:
            return None
        node, kind = ELSEWHERE[name]
        return replace(self.seen[0], quantity=name, node=node, kind=kind)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All runs of a program, read: traces, the right values, and the points that were recognized."""

    traces: tuple[Trace, ...]
    quantities: tuple[Quantities, ...]
    points: tuple[Point, ...]
    """In the order of execution of the first run."""
    by_event: Mapping[int, Point]
    """By the event of the first run."""
    by_site: Mapping[int, tuple[Point, ...]]

    def site(self, point: Point) -> Site:
        return self.traces[0].sites[point.site]

    def right(self, event: int) -> bool:
        """Whether what an event of the first run shows is right, as far as it was looked at."""
        if event in self.by_event:
            return self.by_event[event].right
        passes = self.by_site.get(self.traces[0].events[event].site, ())
        return bool(passes) and all(point.right for point in passes)


def read(traces: Sequence[Trace], quantities: Sequence[Quantities]) -> Reading:
    """Recognize what was recorded. All traces are of the same program, on different shapes."""
    passes: list[dict[int, list[int]]] = []
    for trace in traces:
        events: dict[int, list[int]] = defaultdict(list)
        for index, event in enumerate(trace.events):
            events[event.site].append(index)
        passes.append(events)
    points = []
    for site in passes[0]:
        counts = [len(events[site]) for events in passes]
        for occurrence in _sampled(min(counts)):
            # Loops are longer in one run than in another: count the first passes from the start, the last from the end.
            from_end = occurrence - min(counts)
            place = occurrence if occurrence < (min(counts) + 1) // 2 else from_end
            found = tuple(events[site][place] for events in passes)
            values = [trace.events[index].value for trace, index in zip(traces, found, strict=True)]
            points.append(Point(site=site, events=found, seen=recognize(values, quantities)))
    points.sort(key=lambda point: point.events[0])
    start = next((p.events[0] for p in points if p.seen and p.seen[0].quantity == "dy"), len(traces[0].events))
    points = [_before_the_backward(point) if point.events[0] < start else point for point in points]
    points = [replace(point, seen=()) if _cancels(point, traces[0]) else point for point in points]
    by_site: dict[int, list[Point]] = defaultdict(list)
    for point in points:
        by_site[point.site].append(point)
    return Reading(
        traces=tuple(traces),
        quantities=tuple(quantities),
        points=tuple(points),
        by_event={point.events[0]: point for point in points},
        by_site={site: tuple(seen) for site, seen in by_site.items()},
    )


def _before_the_backward(point: Point) -> Point:
    """Without the gradients that it shows by chance: the mean of xc is zero, and so is what reaches mu from var."""
    return replace(point, seen=tuple(seen for seen in point.seen if not (seen.node or "").startswith("d")))


def _cancels(point: Point, trace: Trace) -> bool:
    """Whether it is an array of zeros that was computed from two others: ``x - x``, right nowhere."""
    event = trace.events[point.events[0]]
    zero = bool(point.seen) and point.seen[0].quantity == "0" and event.value.size > 1
    given = [trace.events[before].value for before in event.inputs]
    return zero and sum(value.size > 1 and bool(value.any()) for value in given) > 1


def _sampled(count: int) -> list[int]:
    if count <= OCCURRENCES:
        return list(range(count))
    half = OCCURRENCES // 2
    return [*range(half), *range(count - half, count)]


def ancestors(trace: Trace, events: Iterable[int]) -> set[int]:
    """These events and all that they were computed from."""
    found: set[int] = set()
    stack = list(events)
    while stack:
        event = stack.pop()
        if event not in found:
            found.add(event)
            stack.extend(trace.events[event].inputs)
    return found
