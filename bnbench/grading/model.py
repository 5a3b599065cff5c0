"""The nouns of grading: frozen records that every part of it passes around.

An assignment has items; grading a submission gives one result an item. Points are integers. Trouble of the
grader is never a zero: it is no grade at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from bnbench.diagnose.hints import Hints


class Outcome(StrEnum):
    """What became of one item. Only the grader's own trouble leaves it without points either way."""

    PASSED = "passed"
    FAILED = "failed"
    PARTIAL = "partial"
    ERROR = "error"
    """The submission raised an exception."""
    CRASHED = "crashed"
    """Killed by a signal, or gone without an answer."""
    TIMEOUT_CPU = "timeout_cpu"
    TIMEOUT_WALL = "timeout_wall"
    MEMORY = "memory"
    PROTOCOL = "protocol"
    """The answer was no answer: forged, of wrong size, or more than was asked for."""
    COMPILE_ERROR = "compile_error"
    UNIMPLEMENTED = "unimplemented"
    """The function is still the starter's."""
    MISSING = "missing"
    """The file, or the function in it, is not there."""
    NOT_SUBMITTED = "not_submitted"
    SKIPPED = "skipped"
    """An item that it needs did not pass."""
    GRADER_ERROR = "grader_error"
    """Our trouble, not the student's: no grade, tried again on resume."""


class Visibility(StrEnum):
    """When the student sees the result of an item."""

    VISIBLE = "visible"
    AFTER_DUE_DATE = "after_due_date"
    HIDDEN = "hidden"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One line of a rubric: some checks of one function, worth so many points."""

    number: str
    """Such as ``"2.1"``: unique in the assignment, and the order in which results are shown."""
    title: str
    function: str
    """The submission's function it is about: ``batchnorm_backward``, ``variance``."""
    checks: tuple[str, ...]
    """Codes of bnbench checks (``BN301``), or names of the assignment kind's own (``uw:normalize``)."""
    points: int
    outputs: tuple[str, ...] = ()
    """Only these outputs count (``dx``, ``dgamma``, ...); all of them if none."""
    visibility: Visibility = Visibility.VISIBLE
    needs: tuple[str, ...] = ()
    """Numbers of the items that must have passed first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LatePolicy:
    """What lateness costs: a pure function of times, recomputable without running anything."""

    grace_minutes: int = 0
    percent_per_day: float = 0.0
    """Of the points reached, for every day begun."""
    slip_days: int = 0
    """Days that cost nothing, over the whole course."""
    latest_days: int | None = None
    """Later than this counts nothing; None for no end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """What is asked for and what it is worth, as its TOML file says."""

    name: str
    title: str
    kind: Literal["cs231n", "uw"]
    files: tuple[str, ...]
    """Names under which the file is looked for, best first: ``layers.py``."""
    items: tuple[Item, ...]
    hints: Hints = Hints.WHERE
    eps_severity: Literal["points", "remark"] = "points"
    """Whether a mistake in eps alone costs the points of an item or is only remarked."""
    repair_points: int = 0
    """What each repair of the file's syntax costs."""
    due: str | None = None
    """ISO 8601 with offset."""
    late: LatePolicy = LatePolicy()
    digest: str = ""
    """SHA-256 of the file it was read from."""

    @property
    def points(self) -> int:
        return sum(item.points for item in self.items)


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemResult:
    """One item of one submission: what came out, why, where, and what to do."""

    number: str
    title: str
    function: str
    outcome: Outcome
    points: int
    max_points: int
    visibility: Visibility = Visibility.VISIBLE
    what: str = ""
    """One sentence: how far off, which outputs are right; or why it was not measured."""
    hint: str = ""
    line: int | None = None
    """In the student's file."""
    got: str = ""
    expected: str = ""
    check: str = ""
    """The code of the check that decided."""
    reproduce: str = ""
    """One command that shows it to the student; empty for a hidden item."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Isolation:
    """What protected the grader from the submission, and what did not."""

    tier: str
    not_enforced: tuple[str, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Reasons, by mechanism that is not in force."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grade:
    """One graded submission. The same bytes, assignment, version and epoch give the same record, byte for byte."""

    schema: Literal["bnbench.grade/1"] = "bnbench.grade/1"
    assignment: str
    assignment_digest: str
    submission: str
    """SHA-256 of the bytes that were graded."""
    file: str
    """The name it was handed in under, as data: never trusted, never opened."""
    bnbench: str
    epoch: str
    """The course's seed epoch: another one draws other data."""
    results: tuple[ItemResult, ...]
    isolation: Isolation
    remarks: tuple[str, ...] = ()
    """Repairs, and what is right but worth saying."""

    @property
    def points(self) -> int | None:
        """The sum; None while the grader owes an item."""
        if any(result.outcome is Outcome.GRADER_ERROR for result in self.results):
            return None
        return sum(result.points for result in self.results)

    @property
    def max_points(self) -> int:
        return sum(result.max_points for result in self.results)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """In a notebook: as its student sees it."""
        from bnbench.grading.notebook import grade_html, grade_text

        return {"text/plain": grade_text(self), "text/html": grade_html(self)}
