"""A class graded: resumable at every moment, whatever dies, and the same reports in the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

from bnbench.grading.classreport import render_class
from bnbench.grading.cluster import grade_on_cluster
from bnbench.grading.files import write_whole
from bnbench.grading.intake import Handed
from bnbench.grading.journal import Entry, Key, key_of, open_journal, read_journal
from bnbench.grading.late import Extension, read_extensions
from bnbench.grading.local import Done, Job, Work, grade_here
from bnbench.grading.members import Member, members
from bnbench.grading.model import Assignment, Grade
from bnbench.grading.overrides import Override, read_overrides
from bnbench.grading.results import ClassResult, class_result
from bnbench.grading.roster import Student
from bnbench.grading.sets import (
    JOURNAL,
    ClassSet,
    SetError,
    applied_set,
    apply_set,
    entries_of,
    read_set,
    set_names,
    write_set,
)

Render: TypeAlias = Callable[[ClassResult], str | bytes]
Progress: TypeAlias = Callable[[str, int, int, str], None]
"""Told the phase, how many submissions are done, of how many, and whose is next."""

RENDERERS: Mapping[str, Render] = {"class.html": render_class}


class GradeOne(Protocol):
    """Grades one submission. A module's function or a partial of one, so that it can be pickled."""

    def __call__(self, data: bytes, name: str, assignment: Assignment, *, epoch: str) -> Grade: ...


def grade_class(
    handed: Sequence[Handed],
    assignment: Assignment,
    grade_one: GradeOne,
    out: Path,
    *,
    epoch: str,
    roster: Sequence[Student] = (),
    jobs: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    regrade: str | None = None,
    only: Collection[str] = (),
    renderers: Mapping[str, Render] = RENDERERS,
    progress: Progress = lambda *_: None,
) -> ClassResult:
    """Grade whoever is not graded yet and write the reports; the same bytes are graded once.

    ``out`` is the class's folder (:mod:`bnbench.grading.sets`). A first grading counts at once. ``resume`` goes on with
    the newest set, leaving out what has a grade without grader errors. ``regrade`` is the reason of a new set, which
    counts when it is applied; ``only`` these students are graded, by user name, the others keep what they have.
    ``jobs`` processes, or the workers of the Dask ``scheduler``. Without a ``roster`` that of the set before holds on.

    Raises SetError when there are grades already and neither is asked for, JournalError, SchedulerError, OSError, and
    whatever overrides.csv and extensions.csv are refused with. Each leaves the journal valid, and so does Ctrl-C.
    """
    out.mkdir(parents=True, exist_ok=True)
    decisions_of(out)  # refused before hours of work, not after
    name, begun = _set_for(out, resume=resume, regrade=regrade)
    known = begun or (read_set(out, applied) if (applied := applied_set(out)) else None)
    roster = tuple(roster) or (known.roster if known else ())
    record = _record(out, begun, assignment, epoch, members(handed, roster), regrade=regrade, only=only)
    record = replace(record, roster=roster)
    wanted = [member for member in record.members if member.digest and _is_wanted(member, only, record)]
    # Of the same bytes under several names the first member's stands for all.
    names = {member.digest: member.source_name for member in reversed(wanted)}
    data = {one.digest: one.data for one in handed}
    folder = write_set(out, name, record)
    with open_journal(folder / JOURNAL) as journal:
        entries = read_journal(folder / JOURNAL)
        keys = {digest: key_of(digest, assignment, epoch) for digest in names}
        todo = [
            Job(digest=digest, data=data[digest], name=names[digest])
            for digest, key in keys.items()
            if key not in entries or not entries[key].settled
        ]
        work = partial(grade_one, assignment=assignment, epoch=epoch)
        progress("grade", 0, len(todo), "")
        # Closed whatever happens here, or its processes would wait for more.
        with closing(_grade(todo, work, jobs, scheduler)) as finished:
            for count, done in enumerate(finished, 1):
                journal.append(_entry(done, keys[done.job.digest]))
                progress("grade", count, len(todo), done.job.name)
    if applied_set(out) is None:
        apply_set(out, name)
    return publish(out, renderers) if applied_set(out) == name else result_of(out, name)


def publish(out: Path, renderers: Mapping[str, Render] = RENDERERS) -> ClassResult:
    """Write the reports of the set that counts, each whole or not at all. Raises SetError where none does."""
    name = applied_set(out)
    if name is None:
        raise SetError(f"no set of {out.name} counts yet")
    result = result_of(out, name)
    for file, render in renderers.items():
        write_whole(out / file, render(result))
    return result


def result_of(out: Path, name: str) -> ClassResult:
    """A set as it stands, with the overrides and extensions of today. Raises SetError, JournalError."""
    record = read_set(out, name)
    overrides, extensions = decisions_of(out)
    return class_result(
        record.assignment,
        record.members,
        entries_of(out, name),
        epoch=record.epoch,
        bnbench=record.bnbench,
        overrides=overrides,
        extensions=extensions,
    )


def decisions_of(out: Path) -> tuple[tuple[Override, ...], Mapping[str, Extension]]:
    """The overrides and extensions of a class; none where the files are not. Raises what these are refused with."""
    overrides, extensions = out / "overrides.csv", out / "extensions.csv"
    return (
        read_overrides(overrides.read_text(encoding="utf-8-sig")) if overrides.exists() else (),
        read_extensions(extensions.read_text(encoding="utf-8-sig")) if extensions.exists() else {},
    )


def _set_for(out: Path, *, resume: bool, regrade: str | None) -> tuple[str, ClassSet | None]:
    """The set to write, and what it is of if it is begun."""
    names = set_names(out)
    if names and resume:
        return names[-1], read_set(out, names[-1])
    if names and regrade is None:
        raise SetError(f"{out.name} has grades already: resume, or regrade with a reason, or choose another folder")
    return str(int(names[-1]) + 1 if names else 1), None


def _record(
    out: Path,
    begun: ClassSet | None,
    assignment: Assignment,
    epoch: str,
    everyone: tuple[Member, ...],
    *,
    regrade: str | None,
    only: Collection[str],
) -> ClassSet:
    from bnbench import __version__

    strangers = sorted(set(only) - {member.student.username for member in everyone})
    if strangers:
        raise SetError(f"only {', '.join(strangers)}: nobody in the class has this user name")
    if begun is None:
        older = applied_set(out) or ""
        # A first grading of some is no regrade: the others are owed their grades.
        chosen = tuple(sorted(only)) if older else ()
        begun = ClassSet(
            assignment=assignment, epoch=epoch, bnbench=__version__, reason=regrade or "", based_on=older, only=chosen
        )
    return replace(begun, assignment=assignment, epoch=epoch, bnbench=__version__, members=everyone)


def _is_wanted(member: Member, only: Collection[str], record: ClassSet) -> bool:
    username = member.student.username
    return (not only or username in only) and (not record.only or username in record.only)


def _grade(todo: Sequence[Job], work: Work, jobs: int, scheduler: str | None) -> Generator[Done, None, None]:
    if scheduler is None:
        yield from grade_here(todo, work, processes=jobs)
    elif todo:
        yield from grade_on_cluster(todo, work, address=scheduler)


def _entry(done: Done, key: Key) -> Entry:
    grade, trouble = done.grade, done.trouble
    if grade is not None and not key.fits(grade):
        trouble = f"what came back is of another run: bnbench {grade.bnbench}, epoch {grade.epoch!r}"
        grade = None
    return Entry(key=key, grade=grade, trouble=trouble, tokens=done.tokens)
