"""What lateness costs: pure functions of times, so that a new policy needs no new run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from bnbench.grading.model import LatePolicy

DAY = 86400
EXTENSIONS_HEADER = ("id", "due", "slip_days_used", "note")


class ExtensionsError(ValueError):
    """A text that is no extensions.csv, or a line of it that can't be understood."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extension:
    """What was agreed with one student."""

    due: str | None = None
    """Their own due date, ISO 8601 with offset; None for everybody's."""
    slip_days_used: int = 0
    """Spent on other assignments of the course."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lateness:
    """How late a submission is, and what that costs."""

    days: int = 0
    """Days begun after the due date and its grace."""
    slip_days: int = 0
    """Of these, paid by the student's budget."""
    percent: float = 0.0
    """Taken off the points reached."""
    counts: bool = True
    """False where it came later than the assignment is accepted at all."""

    @property
    def sentence(self) -> str:
        """In words; "" for a submission in time."""
        if not self.days:
            return ""
        late = f"{self.days} day{'s'[: self.days != 1]} late"
        if not self.counts:
            return f"{late}: later than is accepted"
        slip = f", {self.slip_days} of them slip days" if self.slip_days else ""
        return f"{late}{slip}: {self.percent:g} % off"


IN_TIME = Lateness()


def lateness(
    submitted: str | None, due: str | None, policy: LatePolicy, extension: Extension | None = None
) -> Lateness:
    """How late a submission is. Without a time of submission, or without a due date, nothing is late.

    Times are ISO 8601 with offset. The grace minutes move the due date; a day begins where the one before ends, at 24
    hours, whatever clocks show. Slip days are spent on the first days. Raises ValueError for a time without offset.
    """
    extension = extension or Extension()
    due = extension.due or due
    if submitted is None or due is None:
        return IN_TIME
    seconds = (instant(submitted) - instant(due)).total_seconds() - 60 * policy.grace_minutes
    if seconds <= 0:
        return IN_TIME
    days = math.ceil(seconds / DAY)
    slip = min(days, max(policy.slip_days - extension.slip_days_used, 0))
    counts = policy.latest_days is None or days <= policy.latest_days
    percent = min(policy.percent_per_day * (days - slip), 100.0) if counts else 100.0
    return Lateness(days=days, slip_days=slip if counts else 0, percent=percent, counts=counts)


def final_points(points: int, late: Lateness) -> float:
    """The points after lateness, to two decimals, halves up: exact arithmetic, the same on every machine.

    >>> final_points(17, Lateness(days=1, percent=12.5))
    14.88
    """
    exact = points * (1 - Fraction(late.percent) / 100)
    return math.floor(exact * 100 + Fraction(1, 2)) / 100


def instant(text: str) -> datetime:
    """A time with offset. Raises ValueError for any other text."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC, expected one such as 2026-03-01T23:59:00-08:00")
    return time


def read_extensions(text: str) -> Mapping[str, Extension]:
    """The extensions.csv of a course, ``id,due,slip_days_used,note``, by student. Raises ExtensionsError."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if tuple(rows.fieldnames or ()) != EXTENSIONS_HEADER:
        raise ExtensionsError(f"line 1: got {rows.fieldnames}, expected the header {','.join(EXTENSIONS_HEADER)}")
    found: dict[str, Extension] = {}
    for row in rows:
        where = f"line {rows.line_num}"
        student, due, used = ((row[key] or "").strip() for key in EXTENSIONS_HEADER[:3])
        if not student or student in found:
            raise ExtensionsError(f"{where}: id {student!r}: expected one line for each student")
        try:
            if due:
                instant(due)
        except ValueError as error:
            raise ExtensionsError(f"{where}: due: {error}") from None
        if used and not used.isdecimal():
            raise ExtensionsError(f"{where}: slip_days_used: got {used!r}, expected a whole number")
        found[student] = Extension(due=due or None, slip_days_used=int(used or 0))
    return found
