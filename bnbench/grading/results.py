"""A class as it stands: a pure projection of a set's members and journal, and of what people decided."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bnbench.grading.journal import Entry
from bnbench.grading.late import IN_TIME, Extension, Lateness, final_points, lateness
from bnbench.grading.members import Member
from bnbench.grading.model import Assignment
from bnbench.grading.overrides import Override, misfits, overridden
from bnbench.grading.roster import Row, Standing, Student


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassResult:
    """Everything that reports of a class are made of."""

    assignment: Assignment
    epoch: str
    bnbench: str
    rows: tuple[Row, ...]
    """In the order of user names."""
    identical: tuple[tuple[Student, ...], ...] = ()
    """Groups that handed in the same bytes."""
    alike: tuple[tuple[Student, ...], ...] = ()
    """Groups whose sources differ in comments, layout and names alone; those identical are among them."""
    remarks: tuple[str, ...] = ()
    """Overrides without effect, and the like."""

    def count(self, standing: Standing) -> int:
        return sum(row.standing is standing for row in self.rows)

    @property
    def summary(self) -> str:
        """``187/200 graded, 9 not submitted, 4 grader errors``."""
        errors = self.count(Standing.GRADER_ERROR)
        missing = self.count(Standing.MISSING_FILE)
        without = f", {missing} without a usable file" if missing else ""
        return (
            f"{self.count(Standing.GRADED)}/{len(self.rows)} graded, {self.count(Standing.NOT_SUBMITTED)} not submitted"
            f"{without}, {errors} grader error{'s'[: errors != 1]}"
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """In a notebook: the class as its instructor sees it."""
        from bnbench.grading.notebook import class_html, class_text

        return {"text/plain": class_text(self), "text/html": class_html(self)}


def class_result(
    assignment: Assignment,
    members: Sequence[Member],
    entries: Mapping[str, Entry],
    *,
    epoch: str,
    bnbench: str,
    overrides: Sequence[Override] = (),
    extensions: Mapping[str, Extension] | None = None,
) -> ClassResult:
    """Project. ``entries`` are by digest of the submission; the order of members and of entries makes no difference."""
    members = sorted(members, key=lambda member: (member.student.username, member.source_name))
    by_student: defaultdict[str, list[Override]] = defaultdict(list)
    for override in overrides:
        by_student[override.student].append(override)
    machine = {
        member.student.username: entry.grade
        for member in members
        if (entry := entries.get(member.digest)) and entry.grade is not None
    }
    unknown = sorted(set(extensions or ()) - {member.student.username for member in members})
    return ClassResult(
        assignment=assignment,
        epoch=epoch,
        bnbench=bnbench,
        rows=tuple(
            _row(
                assignment,
                member,
                entries.get(member.digest),
                by_student[member.student.username],
                (extensions or {}).get(member.student.username),
            )
            for member in members
        ),
        identical=_groups(members, lambda member: member.digest),
        alike=_alike(members, entries),
        remarks=(*misfits(overrides, machine), *(f"extension of {name}: nobody has this id" for name in unknown)),
    )


def _row(
    assignment: Assignment,
    member: Member,
    entry: Entry | None,
    overrides: Sequence[Override],
    extension: Extension | None,
) -> Row:
    if not member.handed_in:
        return Row(student=member.student, standing=Standing.NOT_SUBMITTED, note=member.note)
    if member.problem:
        note = _joined(member.problem, member.note)
        return Row(student=member.student, standing=Standing.MISSING_FILE, note=note)
    if entry is None or entry.grade is None:
        trouble = entry.trouble if entry else "not graded yet"
        note = _joined(trouble, member.note)
        return Row(student=member.student, standing=Standing.GRADER_ERROR, note=note)
    # The grade is of the bytes; the name is each student's own.
    grade = overridden(replace(entry.grade, file=member.source_name), overrides)
    late, problem = _late(assignment, member, extension)
    set_by_hand = ", ".join(f"item {override.item} set by hand" for override in overrides)
    note = _joined(late.sentence, problem, set_by_hand, member.note)
    if grade.points is None:
        note = _joined("the grader failed on some items", note)
        return Row(student=member.student, standing=Standing.GRADER_ERROR, grade=grade, note=note)
    points = final_points(grade.points, late)
    return Row(student=member.student, standing=Standing.GRADED, grade=grade, points=points, note=note)


def _late(assignment: Assignment, member: Member, extension: Extension | None) -> tuple[Lateness, str]:
    try:
        return lateness(member.submitted, assignment.due, assignment.late, extension), ""
    except ValueError as error:
        return IN_TIME, f"lateness unknown: {error}"


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _alike(members: Iterable[Member], entries: Mapping[str, Entry]) -> tuple[tuple[Student, ...], ...]:
    members = tuple(members)
    digests = {member.student: member.digest for member in members}

    def tokens(member: Member) -> str:
        return entries[member.digest].tokens if member.digest in entries else ""

    # A group of identical files alone is in the other list already.
    return tuple(group for group in _groups(members, tokens) if len({digests[student] for student in group}) > 1)


def _groups(members: Iterable[Member], key: Callable[[Member], str]) -> tuple[tuple[Student, ...], ...]:
    groups: defaultdict[str, list[Student]] = defaultdict(list)
    for member in members:
        if key(member):
            groups[key(member)].append(member.student)
    return tuple(sorted((tuple(g) for g in groups.values() if len(g) > 1), key=lambda g: (-len(g), g[0].username)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What another set says otherwise of one student."""

    student: Student
    item: str
    """Number of an item; "" for the student's standing and points."""
    before: str
    after: str


def diff(before: ClassResult, after: ClassResult) -> tuple[Change, ...]:
    """Everything that differs between two sets, by student: standing and points first, then each item."""
    old, new = ({row.student.username: row for row in result.rows} for result in (before, after))
    return tuple(
        change
        for username in sorted(old.keys() | new.keys())
        for change in _changes(old.get(username), new.get(username))
    )


def changed_points(changes: Iterable[Change]) -> int:
    """How many students have another standing or other points."""
    return len(Counter(change.student.username for change in changes if not change.item))


def _changes(old: Row | None, new: Row | None) -> Iterator[Change]:
    row = new or old
    if row is None:
        return
    if _standing(old) != _standing(new):
        yield Change(student=row.student, item="", before=_standing(old), after=_standing(new))
    before, after = _items(old), _items(new)
    for number in dict.fromkeys((*before, *after)):
        if before.get(number) != after.get(number):
            yield Change(
                student=row.student,
                item=number,
                before=before.get(number, "none"),
                after=after.get(number, "none"),
            )


def _standing(row: Row | None) -> str:
    if row is None:
        return "not in the class"
    return f"{row.standing}, {row.points:g} points" if row.points is not None else str(row.standing)


def _items(row: Row | None) -> dict[str, str]:
    results = row.grade.results if row and row.grade else ()
    return {r.number: f"{r.outcome}, {r.points}/{r.max_points}" for r in results}
