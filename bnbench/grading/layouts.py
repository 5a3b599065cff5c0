"""How a class lies in a folder: which files are whose, told from names alone."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from bnbench.grading.tree import Entry, Parts

GRADESCOPE_METADATA = "submission_metadata.yml"
COURSE_FOLDERS = {"cs231n", "src", "submit", "uwnet", "dubnet", "dl-hw2", "assignment2"}
"""Folders of the courses' own: what lies around them is one submission and no class."""

_CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<user>\d+)_(?P<attachment>\d+)_(?P<file>.+)", re.DOTALL)
_RENAMED = re.compile(r"(?:-\d+| ?\(\d+\))(?=\.[^.]*$)")
"""What a second upload or download adds to a name: ``layers-2.py``, ``layers (1).py``."""
_ARCHIVE_NAME = re.compile(r"\.(?:tar|tgz|gz|zip)$", re.IGNORECASE)
_ARCHIVE_ENDS = re.compile(r"(?:\.tar(?:-\d+)?)?\.(?:tar|tgz|gz|zip)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Someone who handed in, as the source names them."""

    student: str
    name: str = ""
    submitted: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Who owns what. Several people own one submission where they worked as a group."""

    owner: Callable[[Parts], str]
    """The owner's key for a path; one that is not in ``people`` for what is nobody's."""
    people: Mapping[str, tuple[Person, ...]]
    loose: frozenset[Parts] = frozenset()
    """Files that are submissions under any name, since they are named after their authors."""
    name: Callable[[Parts], str] = lambda parts: parts[-1]
    """The name under which a file was handed in."""


def is_archive_name(name: str) -> bool:
    return _ARCHIVE_NAME.search(name) is not None


def plain_name(name: str) -> str:
    """The name that the student gave: Canvas puts ``lastfirst_12345_67890_`` before it."""
    found = _CANVAS.fullmatch(name)
    return found["file"] if found else name


def rank(name: str, files: Sequence[str]) -> int | None:
    """The place of a file's name among the wanted ones, the smaller the better; None if it is none of them.

    Upper and lower case do not matter. What a second upload adds counts less than the plain name.
    """
    wanted = [file.casefold() for file in files]
    plain = _RENAMED.sub("", name.casefold())
    if name.casefold() in wanted:
        return wanted.index(name.casefold())
    return len(wanted) + wanted.index(plain) if plain in wanted else None


def recognize(path: Path, entries: Sequence[Entry], files: Sequence[str]) -> Layout:
    """The layout of the entries of ``path``: Gradescope's, Canvas's, one submission, or a child for each student."""
    for entry in entries:
        if entry.parts[-1] == GRADESCOPE_METADATA and entry.data is not None and len(entry.parts) <= 2:
            return _gradescope(entry, entries)
    root = () if path.is_dir() else _common_folder(entries)
    label = _stem(path.name)
    here = [entry for entry in entries if len(entry.parts) == len(root) + 1 and entry.parts[: len(root)] == root]
    if any(entry.kind == "file" and _CANVAS.fullmatch(entry.parts[-1]) for entry in here):
        return _canvas(here)
    holding = [e.parts for e in entries if e.kind != "folder" and rank(e.parts[-1], files) is not None]
    if any(len(parts) == len(root) + 1 or parts[len(root)] in COURSE_FOLDERS for parts in holding):
        return Layout(owner=lambda _: label, people={label: (Person(student=label),)})
    return _children(here, root, label, files, entries)


def _children(here: Sequence[Entry], root: Parts, label: str, files: Sequence[str], entries: Sequence[Entry]) -> Layout:
    """Every folder (or link in place of one) and every archive is a student's; else every file of the right kind."""
    depth = len(root)
    kinds = {PurePath(file).suffix.casefold() for file in files}
    own = [entry for entry in here if entry.kind in {"folder", "link"} or is_archive_name(entry.parts[-1])]
    # An archive need not name its folders, only the files in them.
    heads = {entry.parts[depth] for entry in entries if len(entry.parts) > depth + 1} | {e.parts[depth] for e in own}
    loose: frozenset[Parts] = frozenset()
    if not heads:
        loose = frozenset(
            e.parts for e in here if e.kind == "file" and PurePath(e.parts[-1]).suffix.casefold() in kinds
        )
        heads = {parts[depth] for parts in loose}
    # `gh classroom clone student-repos` makes the folder assignment-submissions of folders assignment-login.
    prefix = label.removesuffix("-submissions") + "-" if label.endswith("-submissions") else ""
    people = {head: (Person(student=_student(head, files).removeprefix(prefix)),) for head in sorted(heads)}
    return Layout(owner=lambda parts: parts[depth] if len(parts) > depth else "", people=people, loose=loose)


def _student(head: str, files: Sequence[str]) -> str:
    """The student in the name of a child: ``alice``, ``alice.tar.gz``, ``alice.py``, ``alice_layers.py``."""
    stem = _stem(head)
    for file in files:
        stem = re.sub(rf"(?<=.)[-_. ]{re.escape(PurePath(file).stem)}$", "", stem, flags=re.IGNORECASE)
    return stem


def _stem(name: str) -> str:
    if is_archive_name(name):
        return _ARCHIVE_ENDS.sub("", name) or name
    path = PurePath(name)
    return path.stem if path.suffix in {".py", ".c", ".ipynb"} else name


def _canvas(here: Iterable[Entry]) -> Layout:
    found = {entry.parts: m for entry in here if entry.kind == "file" and (m := _CANVAS.fullmatch(entry.parts[-1]))}
    people = {m["user"]: (Person(student=m["user"], name=m["name"]),) for m in found.values()}

    def owner(parts: Parts) -> str:
        return found[parts]["user"] if parts in found else ""

    return Layout(owner=owner, people=people, name=lambda parts: plain_name(parts[-1]))


def _gradescope(metadata: Entry, entries: Iterable[Entry]) -> Layout:
    """``submission_1234/`` by its number, whose submitters ``submission_metadata.yml`` lists; all of them own it."""
    root = metadata.parts[:-1]
    listed = _submitters(metadata.data or b"")
    folders = {e.parts[len(root)] for e in entries if len(e.parts) > len(root) + 1 and e.parts[: len(root)] == root}
    unlisted = {folder: (Person(student=folder),) for folder in folders - listed.keys()}

    def owner(parts: Parts) -> str:
        return parts[len(root)] if len(parts) > len(root) + 1 and parts[: len(root)] == root else ""

    return Layout(owner=owner, people={**listed, **unlisted})


def _submitters(data: bytes) -> dict[str, tuple[Person, ...]]:
    """Keys are written as Ruby's symbols (``:name``). Raises ValueError for what is no such list."""
    import yaml

    # Every scalar as text: a student number keeps its zeros. The C parser, since results of all tests are in it.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        read = yaml.load(data, Loader=loader)  # noqa: S506 - constructs mappings, lists and text only
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{GRADESCOPE_METADATA} is no YAML: {error}") from error
    if not isinstance(read, dict):
        raise ValueError(f"{GRADESCOPE_METADATA} is no list of submissions")  # noqa: TRY004 - of bytes from outside
    return {str(folder): _people(str(folder), value) for folder, value in read.items() if isinstance(value, dict)}


def _people(folder: str, submission: Mapping[str, Any]) -> tuple[Person, ...]:
    submitters = _value(submission, "submitters")
    submitted = _time(str(_value(submission, "created_at")))
    people = tuple(
        Person(
            student=str(_value(one, "email") or _value(one, "sid") or _value(one, "name") or folder),
            name=str(_value(one, "name")),
            submitted=submitted,
        )
        for one in (submitters if isinstance(submitters, list) else ())
        if isinstance(one, dict)
    )
    return people or (Person(student=folder, submitted=submitted),)


def _value(record: Mapping[str, Any], key: str) -> Any:
    return record.get(f":{key}") or record.get(key) or ""


def _time(text: str) -> str | None:
    """``2026-01-02 03:04:05.678901234 Z`` in ISO 8601, to the microsecond; Gradescope writes UTC."""
    try:
        read = datetime.fromisoformat(re.sub(r"\s+(?=Z$|[+-]\d\d:?\d\d$)", "", text.strip()))
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).isoformat()


def _common_folder(entries: Sequence[Entry]) -> Parts:
    """The folder that holds everything: archives are mostly made of one, whose name says nothing."""
    folders = [entry.parts[:-1] for entry in entries if entry.kind != "folder"]
    return tuple(posixpath.commonprefix(folders))
