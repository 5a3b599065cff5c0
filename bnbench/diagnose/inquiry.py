"""A program whose outputs are wrong, and everything that is known of its runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from bnbench.diagnose.attempts import Attempts
from bnbench.diagnose.points import Point, Reading, ancestors, read
from bnbench.diagnose.program import Program, agrees, expected
from bnbench.diagnose.quantities import canonical
from bnbench.diagnose.recognize import Recognition, recognize
from bnbench.model import Array
from bnbench.sandbox.child.probe import Failure, Trace

RETURNED: Mapping[str, str] = MappingProxyType({"y": "0", "dx": "0", "dgamma": "1", "dbeta": "2"})
"""The places of the outputs among what is returned, as the recorder names them."""


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """One program, run, read and compared with what is right."""

    program: Program
    reading: Reading
    right: tuple[Mapping[str, Array], ...]
    """The right outputs of each run."""
    wrong: tuple[str, ...]
    """Outputs that are not right in every run; those that are missing are among them."""
    makers: Mapping[str, int]
    """The event of the first run that made each wrong output, where there is one."""

    @property
    def overwritten(self) -> tuple[str, ...]:
        """The arguments that the first run changed in place."""
        return self.program.overwritten(0, self.trace)

    @property
    def failure(self) -> Failure | None:
        """What ended a run, if something did."""
        return next((trace.error for trace in self.reading.traces if trace.error is not None), None)

    @property
    def training(self) -> bool:
        return self.reading.quantities[0].inputs.options.training

    def about(self, names: Collection[str]) -> Inquiry:
        """The same about some of the wrong outputs: the others have reasons of their own, and are to stay so."""
        others = [name for name in self.wrong if name not in names]
        now = [self.program.outputs(run, trace) for run, trace in enumerate(self.reading.traces)]
        return replace(
            self,
            right=tuple(
                {**right, **{name: answers[name] for name in others if name in answers}}
                for right, answers in zip(self.right, now, strict=True)
            ),
            wrong=tuple(name for name in self.wrong if name in names),
            makers={name: maker for name, maker in self.makers.items() if name in names},
        )

    def depending(self, point: Point) -> tuple[str, ...]:
        """The wrong outputs that were computed from a point, in any of its passes."""
        passes = {other.events[0] for other in self.reading.by_site[point.site]}
        return tuple(name for name, events in self._sources.items() if passes & events)

    @cached_property
    def _sources(self) -> dict[str, set[int]]:
        return {name: ancestors(self.trace, [maker]) for name, maker in self.makers.items()}

    def near(self, point: Point) -> tuple[Recognition, ...]:
        """What a point shows but for one slip; empty when it shows something right."""
        if point.elsewhere is not None:
            return (point.elsewhere,)
        if point not in self._near:
            found = recognize(self.values(point), self.reading.quantities, near_misses=True)
            self._near[point] = tuple(miss for miss in found if not miss.exact)
        return self._near[point]

    @cached_property
    def _near(self) -> dict[Point, tuple[Recognition, ...]]:
        return {}

    @cached_property
    def variables(self) -> frozenset[str]:
        """The names that hold arrays or numbers, wherever they are bound."""
        return frozenset(self.reading.site(point).name for point in self.reading.points)

    @cached_property
    def attempts(self) -> Attempts:
        """What was tried so far, and how much may still be."""
        return Attempts(len(self.trace.events))

    @property
    def trace(self) -> Trace:
        """Of the first run."""
        return self.reading.traces[0]

    def values(self, point: Point) -> list[Array]:
        """What a point shows, run by run."""
        pairs = zip(self.reading.traces, point.events, strict=True)
        return [trace.events[event].value for trace, event in pairs]

    def relevant(self) -> tuple[Point, ...]:
        """The points that a wrong output was computed from, in the order of execution; of a loop the first pass.

        Where the forward pass is wrong the gradients follow, and nothing is said of them yet.
        """
        forward = [events for name, events in self._sources.items() if not name.startswith("d")]
        events = set().union(*(forward or self._sources.values()))
        sites = {point.site for point in self.reading.points if point.events[0] in events}
        return tuple(
            point
            for point in self.reading.points
            if point.site in sites and point is self.reading.by_site[point.site][0]
        )

    def frontier(self) -> tuple[Point, ...]:
        """Points that are not right though all they were computed from is, in the order of execution.

        On the way from there to a wrong output no node of the graph is right: what is healed again is no suspect.
        """
        events: set[int] = set()
        first = [event for name, event in self.makers.items() if not name.startswith("d")]
        stack = first or list(self.makers.values())
        while stack:
            event = stack.pop()
            if event not in events:
                events.add(event)
                stack += [i for i in self.trace.events[event].inputs if not self._healed(i)]
        return tuple(
            point
            for point in self.relevant()
            if point.events[0] in events and not point.right and self._computed_from_right(point)
        )

    def follows(self, point: Point) -> bool:
        """Whether something that is not right was met on the way to a point."""
        before = ancestors(self.trace, self.trace.events[point.events[0]].inputs)
        return any(not self.reading.by_event[event].right for event in before if event in self.reading.by_event)

    def _healed(self, event: int) -> bool:
        point = self.reading.by_event.get(event)
        if point is None or not point.right:
            return False
        return self.reading.quantities[0][point.seen[0].quantity].role in ("node", "part", "constant")

    def _computed_from_right(self, point: Point) -> bool:
        return all(self.reading.right(event) for event in self.trace.events[point.events[0]].inputs)

    def repaired(self, run: int, answers: Mapping[str, Array], names: Iterable[str]) -> bool:
        """Whether these outputs of a run are right."""
        return all(agrees(answers.get(name), self.right[run][name]) for name in names)


def inquire(program: Program) -> Inquiry:
    """Run a program on its cases and compare what it answers."""
    quantities = tuple(canonical(*case) for case in program.cases)
    traces = tuple(program.trace(run) for run in range(len(program.cases)))
    right = tuple(expected(known, program.answers) for known in quantities)
    answers = [program.outputs(run, trace) for run, trace in enumerate(traces)]
    wrong = tuple(
        name
        for name in right[0]
        if not all(agrees(got.get(name), known[name]) for got, known in zip(answers, right, strict=True))
    )
    makers = {name: _maker(traces[0], name, answers[0].get(name)) for name in wrong}
    return Inquiry(
        program=program,
        reading=read(traces, quantities),
        right=right,
        wrong=wrong,
        makers={name: maker for name, maker in makers.items() if maker is not None},
    )


def _maker(trace: Trace, name: str, output: Array | None) -> int | None:
    """The last event that shows an output, at best where it is returned in its place."""
    if output is None:
        return None
    flat = np.ravel(output)
    same = [
        index
        for index, event in enumerate(trace.events)
        if event.value.size == flat.size and np.array_equal(event.value.ravel(), flat, equal_nan=True)
    ]
    sites = ((index, trace.sites[trace.events[index].site]) for index in same)
    returned = [index for index, site in sites if site.role == "returned" and site.name == RETURNED.get(name)]
    return next(reversed(returned or same), None)
