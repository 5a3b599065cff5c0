"""Who is in the class: rosters of Classroom 50, GitHub Classroom, Canvas and Gradescope, and who handed in what."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bnbench.grading.intake import Handed
from bnbench.grading.model import Grade

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "username": ("username", "github_username", "sis login id", "identifier"),
    "first_name": ("first_name", "first name"),
    "last_name": ("last_name", "last name"),
    "email": ("email", "email address"),
    "section": ("section", "sections"),
    "github_id": ("github_id",),
    "sid": ("sid", "student id", "sis user id"),
    "canvas_id": ("id",),
    "full_name": ("student", "name", "full name"),
}
"""The headers, in lower case, under which the four kinds of roster keep what identifies a student."""


class RosterError(ValueError):
    """A text that is no roster, or one that names a student twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Student:
    """One of the class. All of it is data from outside: names may hold anything."""

    username: str
    """What the roster identifies a student by: its user name, else the email, else a number."""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    section: str = ""
    github_id: str = ""
    sid: str = ""
    """The school's own number."""
    canvas_id: str = ""

    @property
    def keys(self) -> frozenset[str]:
        """Everything that may stand for this student, in lower case."""
        given = (self.username, self.email, self.github_id, self.sid, self.canvas_id)
        return frozenset(key.casefold() for key in given if key)


class Standing(StrEnum):
    """Where a student's grade stands. Only ``graded`` has points: trouble is never a zero."""

    GRADED = "graded"
    NOT_SUBMITTED = "not_submitted"
    MISSING_FILE = "missing_file"
    """Something was handed in, but not the file that was asked for, or not readable."""
    GRADER_ERROR = "grader_error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One student in a gradebook: what every export of a class is made of."""

    student: Student
    standing: Standing
    grade: Grade | None = None
    points: float | None = None
    """What counts, after lateness and overrides; None unless graded."""
    note: str = ""
    """What the instructor should know: the problem of the file, days late, an override."""

    def __post_init__(self) -> None:
        if (self.points is not None) is not (self.standing is Standing.GRADED):
            raise ValueError(f"{self.student.username}: {self.standing} with {self.points} points")


@dataclass(frozen=True, kw_only=True, slots=True)
class Matching:
    """What belongs to whom, and everything that belongs to nobody: nothing is dropped."""

    pairs: tuple[tuple[Student, Handed], ...]
    absent: tuple[Student, ...]
    """On the roster, without a submission."""
    unknown: tuple[Handed, ...]
    """Handed in by nobody on the roster, or by a name that fits several."""
    doubled: tuple[tuple[Student, tuple[Handed, ...]], ...]
    """More than one submission fits: someone has to choose."""


def read_roster(data: bytes) -> tuple[Student, ...]:
    """Read the CSV of a roster, or a gradebook exported by Canvas or Gradescope, in its order.

    UTF-8 with or without a byte order mark. Raises RosterError where no column identifies a student, or two
    students have the same identification.
    """
    try:
        text = data.decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RosterError(f"not a CSV file in UTF-8: {error}") from error
    students = tuple(student for row in rows if (student := _student(row)))
    if not students:
        raise RosterError(
            f"no student in it; the columns that identify one are {', '.join(COLUMNS['username'])}, email"
        )
    for name, count in Counter(student.username.casefold() for student in students).items():
        if count > 1:
            raise RosterError(f"{name!r} stands for {count} students")
    return students


def _student(row: Mapping[str | None, str | None]) -> Student | None:
    """None for the rows that are no student: Canvas puts "Points Possible" and a test student among them."""
    # Cells beyond the header stand under None.
    given = {header.strip().casefold(): (value or "").strip() for header, value in row.items() if header is not None}
    found = {field: _first(given, headers) for field, headers in COLUMNS.items()}
    full_name = found.pop("full_name")
    if "," in full_name and not found["last_name"]:
        found["last_name"], found["first_name"] = (part.strip() for part in full_name.split(",", 1))
    elif full_name and not found["last_name"]:
        found["first_name"], _, found["last_name"] = full_name.rpartition(" ")
    found["username"] = found["username"] or found["email"] or found["sid"] or found["canvas_id"]
    if not found["username"] or full_name in {"Points Possible", "Student, Test"}:
        return None
    return Student(**found)


def _first(given: Mapping[str, str], headers: Iterable[str]) -> str:
    return next((given[header] for header in headers if given.get(header)), "")


def match(students: Sequence[Student], handed: Sequence[Handed]) -> Matching:
    """Find for each submission the one student it is of.

    By anything that identifies alone; else by the end of a checkout's name (``assignment-login``, the longest
    login that fits); else by the name, if one student only has it. Canvas writes names as ``lastfirst``.
    """
    # The number that Canvas gives one student can be the school's number of another.
    uses = Counter(key for student in students for key in student.keys)
    by_key = {key: student for student in students for key in student.keys if uses[key] == 1}
    by_name: defaultdict[str, set[Student]] = defaultdict(set)
    for student in students:
        for name in (student.last_name + student.first_name, student.first_name + student.last_name):
            by_name[_letters(name)].add(student)
    claims: dict[Student, list[Handed]] = {student: [] for student in students}
    unknown: list[Handed] = []
    for submission in handed:
        owner = _of(submission, by_key, by_name)
        (unknown if owner is None else claims[owner]).append(submission)
    return Matching(
        pairs=tuple((student, found[0]) for student, found in claims.items() if len(found) == 1),
        absent=tuple(student for student, found in claims.items() if not found),
        unknown=tuple(unknown),
        doubled=tuple((student, tuple(found)) for student, found in claims.items() if len(found) > 1),
    )


def _of(handed: Handed, by_key: Mapping[str, Student], by_name: Mapping[str, set[Student]]) -> Student | None:
    label = handed.student.casefold()
    # From the longest: hw2-ann-lee is ann-lee's before it is lee's.
    endings = (label[found.end() :] for found in re.finditer("-", label))
    for key in (label, *endings):
        if key in by_key and (key == label or key == by_key[key].username.casefold()):
            return by_key[key]
    for name in (handed.name, handed.student):
        named = by_name.get(_letters(name), set())
        if _letters(name) and len(named) == 1:
            return next(iter(named))
    return None


def _letters(name: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", name).casefold() if c.isalnum())
