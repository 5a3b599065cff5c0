"""Who is graded: everyone on the roster and everyone who handed in, each with at most one submission."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bnbench.grading.intake import Handed
from bnbench.grading.roster import Student, match


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One student and what is known of their submission, without its bytes."""

    student: Student
    source_name: str = ""
    digest: str = ""
    """SHA-256 of the bytes to grade; "" where there are none."""
    submitted: str | None = None
    """ISO 8601 with offset."""
    problem: str = ""
    """Why there is nothing to grade though something was handed in."""
    note: str = ""

    @property
    def handed_in(self) -> bool:
        return bool(self.digest or self.problem)


def members(handed: Sequence[Handed], roster: Sequence[Student] = ()) -> tuple[Member, ...]:
    """Submissions matched to a roster, sorted by user name; without a roster those who handed in are the class.

    A submission that fits nobody stands under its own name, with a note. Where several fit one student, none is
    chosen: that is a problem for a person.
    """
    return tuple(sorted(_members(handed, roster), key=lambda member: (member.student.username, member.source_name)))


def _members(handed: Sequence[Handed], roster: Sequence[Student]) -> Iterator[Member]:
    matching = match(roster, handed)
    for student, one in matching.pairs:
        yield _member(student, one)
    for student in matching.absent:
        yield Member(student=student)
    for one in matching.unknown:
        yield _member(Student(username=one.student), one, note="not on the roster" if roster else "")
    for student, several in matching.doubled:
        names = ", ".join(one.source_name for one in several)
        yield Member(student=student, problem=f"{len(several)} submissions fit, choose one of {names}")


def _member(student: Student, handed: Handed, note: str = "") -> Member:
    return Member(
        student=student,
        source_name=handed.source_name,
        digest="" if handed.problem else handed.digest,
        submitted=handed.submitted,
        problem=handed.problem,
        note=note,
    )
