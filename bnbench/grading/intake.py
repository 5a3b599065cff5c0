"""What was handed in, by whom: one file's bytes for each student, from whatever an instructor has of a class.

Nothing is unpacked to disk, nothing is executed, and no link is followed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from bnbench.grading import layouts
from bnbench.grading.layouts import Layout, Person, rank
from bnbench.grading.tree import ArchiveError, Entry, Parts, is_archive, read_regular, scan

SOURCE = 1 << 20
"""Bytes of a source file or a notebook."""
NESTED = 32 << 20
"""Bytes of an archive in a student's folder."""
METADATA = 64 << 20
"""Bytes of Gradescope's list of submissions, with all their results."""
TAKEN = 16 << 20
"""Bytes, together, of the wanted files in one such archive."""
NAMED = 3
"""How many other files a problem names."""


class IntakeError(ValueError):
    """A path in which there is no submission at all, or an archive that can't be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Handed:
    """What one student handed in. With a ``problem`` there are no bytes to grade."""

    student: str
    """As the source identifies: email or number (Gradescope), number (Canvas), folder or file name."""
    name: str = ""
    """The student's name as far as the source gives it."""
    source_name: str
    """Where the file was, as data: never trusted, never opened."""
    data: bytes = b""
    digest: str = ""
    """SHA-256 of ``data``; empty with a problem."""
    submitted: str | None = None
    """ISO 8601 with offset, where the source says so. Times of files say nothing."""
    problem: str = ""


def collect(path: Path, files: Sequence[str]) -> tuple[Handed, ...]:
    """Find in ``path`` one of ``files`` (names, best first) for each student; sorted by student.

    ``path`` is a source file; a folder or an archive of one submission; or one of a class: bulk downloads of
    Canvas and Gradescope, checkouts of GitHub Classroom, a folder or archive with a folder, an archive or a file for
    each student. Names of archives and the folders within do not matter. Where a student's own files hold none of
    ``files``, archives among them are looked into, one level deep. Several that differ are a problem, not a choice.

    Raises IntakeError when there is nobody in it or an archive of a class is damaged, OSError when it can't be read.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            head = file.read(512)
        if not is_archive(head):
            return (_single_file(path, files),)
    try:
        entries = tuple(scan(path, lambda parts: _limit(parts, files)))
        layout = layouts.recognize(path, entries, files)
        found = _by_owner(entries, layout)
        later = _read_later(path, found, layout, files)
    except ValueError as error:
        raise IntakeError(f"{path.name}: {error}") from error
    handed = [
        one
        for owner, people in layout.people.items()
        for one in _handed(people, _chosen(found.get(owner, ()), later.get(owner, ()), layout, files))
    ]
    if not handed:
        raise IntakeError(f"{path.name}: no submission in it; looked for {' or '.join(files)}")
    return tuple(sorted(handed, key=lambda one: (one.student, one.source_name)))


def _limit(parts: Parts, files: Sequence[str]) -> int:
    if parts[-1] == layouts.GRADESCOPE_METADATA and len(parts) <= 2:
        return METADATA
    return SOURCE if rank(layouts.plain_name(parts[-1]), files) is not None else 0


def _single_file(path: Path, files: Sequence[str]) -> Handed:
    """One file that was named outright: of any name, if it is of the right kind."""
    known = rank(path.name, files) is not None
    student = path.resolve().parent.name if known else path.stem
    if path.suffix.casefold() not in {PurePath(file).suffix for file in files}:
        raise IntakeError(f"{path.name}: neither an archive nor {' or '.join(files)}")
    entry = read_regular(path.resolve(), SOURCE)
    return _handed((Person(student=student),), _Choice(entry, entry.problem and f"{path.name} {entry.problem}"))[0]


def _by_owner(entries: Iterable[Entry], layout: Layout) -> Mapping[str, list[Entry]]:
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if (owner := layout.owner(entry.parts)) in layout.people:
            found[owner].append(entry)
    return found


def _read_later(
    path: Path, found: Mapping[str, list[Entry]], layout: Layout, files: Sequence[str]
) -> Mapping[str, list[_Choice]]:
    """What a second look yields for those without a file: archives of theirs, files named after their authors."""
    missing = {
        entry.parts: owner
        for owner, entries in found.items()
        if not any(entry.data is not None and rank(layout.name(entry.parts), files) is not None for entry in entries)
        for entry in entries
        if entry.kind == "file" and (layouts.is_archive_name(entry.parts[-1]) or entry.parts in layout.loose)
    }
    later: defaultdict[str, list[_Choice]] = defaultdict(list)
    for entry in scan(path, lambda parts: NESTED if parts in missing else 0) if missing else ():
        if (owner := missing.get(entry.parts)) is None or entry.kind != "file":
            continue
        if entry.data is None:
            later[owner].append(_Choice(None, f"{entry.path} {entry.problem}"))
        elif entry.parts not in layout.loose:
            later[owner].append(_in_archive(entry, files))
        elif len(entry.data) > SOURCE:
            later[owner].append(_Choice(None, f"{entry.path} is larger than {SOURCE >> 20} MiB"))
        else:
            later[owner].append(_Choice(entry, ""))
    return later


@dataclass(frozen=True, slots=True)
class _Choice:
    """The file that counts, or why there is none."""

    entry: Entry | None
    problem: str
    within: str = ""
    """The archive it was in."""


def _in_archive(archive: Entry, files: Sequence[str]) -> _Choice:
    try:
        wanted = scan(
            archive.data or b"", lambda parts: SOURCE if rank(parts[-1], files) is not None else 0, taken=TAKEN
        )
        entries = tuple(wanted)
    except ArchiveError as error:
        return _Choice(None, f"{archive.path}: {error}")
    chosen = _best([(entry, rank(entry.parts[-1], files)) for entry in entries], files)
    return _Choice(chosen.entry, chosen.problem and f"{archive.path}: {chosen.problem}", within=archive.path)


def _chosen(entries: Sequence[Entry], later: Sequence[_Choice], layout: Layout, files: Sequence[str]) -> _Choice:
    own = _best([(entry, rank(layout.name(entry.parts), files)) for entry in entries], files)
    if own.entry or not later:
        return own
    usable = [choice for choice in later if choice.entry]
    if len({choice.entry.data for choice in usable if choice.entry}) > 1:
        return _Choice(None, f"files that differ in {' and '.join(choice.within for choice in usable)}")
    return usable[0] if usable else later[0]


def _best(ranked: Sequence[tuple[Entry, int | None]], files: Sequence[str]) -> _Choice:
    """The one readable file of the best name; copies of it may lie around."""
    wanted = [(place, entry) for entry, place in ranked if place is not None and entry.kind != "folder"]
    readable = [(place, entry) for place, entry in wanted if entry.data is not None]
    if not readable:
        return _Choice(None, _why_none([entry for _, entry in wanted], [entry for entry, _ in ranked], files))
    place = min(place for place, _ in readable)
    best = [entry for at, entry in readable if at == place]
    if len({entry.data for entry in best}) > 1:
        return _Choice(None, f"several files that differ: {_named(best)}")
    return _Choice(best[0], "")


def _why_none(unreadable: Sequence[Entry], entries: Sequence[Entry], files: Sequence[str]) -> str:
    if unreadable:
        entry = unreadable[0]
        return f"{entry.path} {entry.problem or f'is a {entry.kind}, and not read'}"
    if links := [entry for entry in entries if entry.kind == "link"]:
        return f"no {' or '.join(files)}; {links[0].path} is a link, and not followed"
    others = [entry for entry in entries if entry.kind == "file"]
    return f"no {' or '.join(files)}" + (f"; there is {_named(others)}" if others else "; nothing was handed in")


def _named(entries: Sequence[Entry]) -> str:
    more = f" and {len(entries) - NAMED} more" if len(entries) > NAMED else ""
    return ", ".join(entry.path for entry in entries[:NAMED]) + more


def _handed(people: Iterable[Person], choice: _Choice) -> list[Handed]:
    entry, problem = choice.entry, choice.problem
    if entry is not None and not problem and entry.data is None:
        problem = f"{entry.path} is a {entry.kind}, and not read"
    data = entry.data if entry and entry.data and not problem else b""
    names: Iterator[str] = (name for name in (choice.within, entry.path if entry else "") if name)
    source_name = "!".join(names)
    digest = "" if problem else hashlib.sha256(data).hexdigest()
    return [
        Handed(
            student=person.student,
            name=person.name,
            source_name=source_name,
            data=data,
            digest=digest,
            submitted=person.submitted,
            problem=problem,
        )
        for person in people
    ]
