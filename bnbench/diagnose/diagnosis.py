"""What is said of a file: every function's state, the suspects, and what each line was recognized as."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from bnbench.diagnose.cause import Cause
from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.points import Point
from bnbench.diagnose.suspect import Suspect
from bnbench.report.graph import Graph

Scenario: TypeAlias = Literal["train", "test", "defaults"]
"""How a layer was called: in a mode with every option given, or for the first time with no option but the mode."""


class State(StrEnum):
    """Where one function stands."""

    RIGHT = "right"
    WRONG = "wrong"
    RAISES = "raises"
    UNIMPLEMENTED = "unimplemented"
    ABSENT = "absent"
    """The file has no function of this name."""
    LOST = "lost"
    """It stands in the file and could not be loaded."""
    UNTRIED = "untried"
    """It needs another function that does not run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionState:
    """One function of the course."""

    name: str
    line: int | None
    """None where it is absent."""
    state: State
    wrong: tuple[str, ...] = ()
    """The outputs that are wrong, each with the scenario where it is not train mode: ``y (test)``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """What one line comes to."""

    line: int
    name: str
    """The variable that it binds, or "return"."""
    words: str
    """What its value was recognized as; empty if it was not."""
    verdict: Literal["right", "wrong", "follows", "unknown"]
    """``follows``: wrong because of an earlier line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerDiagnosis:
    """One layer of a file: a forward and its backward."""

    name: str
    functions: tuple[FunctionState, ...]
    suspects: tuple[Suspect, ...] = ()
    """One a scenario at most, in the order in which they should be mended; scenarios with the same one share it."""
    causes: tuple[Cause, ...] = ()
    """Of outputs that no line explains: from the answers alone."""
    annotations: tuple[Annotation, ...] = ()
    """In train mode, in the order of the source."""
    picture: Graph | None = None
    """Of train mode: the variables, and the flow of the data between them; None where nothing ran."""

    @property
    def right(self) -> bool:
        return all(function.state is State.RIGHT for function in self.functions)


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """A whole file."""

    file: str
    lines: tuple[str, ...]
    remarks: tuple[str, ...]
    """Repairs, imports that are missing, and what is right but worth saying."""
    layers: tuple[LayerDiagnosis, ...]


def annotate(inquiry: Inquiry, suspects: Collection[Suspect]) -> tuple[Annotation, ...]:
    """What every line that binds or returns something comes to."""
    wrong = {point.events[0] for point in inquiry.relevant() if not point.right}
    blamed = {suspect.line for suspect in suspects}
    found: dict[tuple[int, str], Annotation] = {}
    for point in inquiry.reading.points:
        site = inquiry.reading.site(point)
        if site.role not in ("assigned", "changed", "returned"):
            continue
        name = "return" if site.role == "returned" else site.name
        words = point.seen[0].words() if point.seen else _nearly(inquiry, point)
        verdict: Literal["right", "wrong", "follows", "unknown"] = "right" if point.right else "unknown"
        if point.events[0] in wrong:
            verdict = "follows"
        if site.line in blamed:
            verdict = "wrong"
        key = (site.line, f"{name}{site.name}")
        found[key] = Annotation(line=site.line, name=name, words=words, verdict=verdict)
    return tuple(sorted(found.values(), key=lambda annotation: annotation.line))


def _nearly(inquiry: Inquiry, point: Point) -> str:
    return next((miss.words() for miss in inquiry.near(point) if miss.kind not in ("shifted", "term")), "")
