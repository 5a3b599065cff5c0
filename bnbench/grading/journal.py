"""The journal of a class: one line of JSON for each graded submission, appended, on disk before the next begins.

A killed grader leaves whole lines and at most one torn one at the end, which is recognized and dropped. The reports
are projections of these lines, whatever their order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from bnbench import __version__
from bnbench.grading.model import Assignment, Grade

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class JournalError(ValueError):
    """A journal that can't be read, or that another grader is writing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """On what a grade depends, and all it depends on."""

    submission: str
    """SHA-256 of the bytes."""
    assignment: str
    """Digest of the assignment."""
    bnbench: str
    epoch: str

    def fits(self, grade: Grade) -> bool:
        """Whether the grade is one of this key: nobody's grade is written down as another's."""
        return self == Key(
            submission=grade.submission,
            assignment=grade.assignment_digest,
            bnbench=grade.bnbench,
            epoch=grade.epoch,
        )


def key_of(digest: str, assignment: Assignment, epoch: str, version: str = __version__) -> Key:
    """The key of a submission of this SHA-256, graded by this version of bnbench."""
    return Key(submission=digest, assignment=assignment.digest, bnbench=version, epoch=epoch)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line: what came of one submission."""

    schema: Literal["bnbench.journal/1"] = "bnbench.journal/1"
    key: Key
    grade: Grade | None
    """None where the grader failed altogether."""
    trouble: str = ""
    """Why there is no grade."""
    tokens: str = ""
    """Hash of the source without comments, layout and names: alike sources have the same. "" if it has none."""

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to do: a grade in which the grader owes no item."""
        return self.grade is not None and self.grade.points is not None


def read_journal(path: Path) -> Mapping[Key, Entry]:
    """The last entry of every key; {} where there is no journal yet. A torn last line is passed over.

    Raises JournalError when any other line is no entry: that is no crash, somebody changed the file.
    """
    entries: dict[Key, Entry] = {}
    with suppress(FileNotFoundError):
        for entry in _entries(path.read_bytes(), path):
            entries[entry.key] = entry
    return entries


class Journal:
    """An open journal. ``append`` returns when the line is on disk."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def append(self, entry: Entry) -> None:
        """Write a line and wait until it is on disk. Raises OSError when it can't be."""
        self._file.write(_line(entry))
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """The journal to append to, made if there is none; a torn last line is cut off first.

    Raises JournalError when another grader has it open, where the system has locks.
    """
    with path.open("ab") as file:
        _lock(file, path)
        text = path.read_bytes()
        # Also a whole last line of nonsense is torn: a file may have grown before its content reached the disk.
        file.truncate(sum(len(line) for line in _whole(text)))
        os.fsync(file.fileno())
        yield Journal(file)


def _entries(text: bytes, path: Path) -> Iterator[Entry]:
    for number, line in enumerate(_whole(text), 1):
        try:
            yield _parse(line)
        except ValueError as error:
            raise JournalError(
                f"{path.name}, line {number}: {error}; move the file away, or undo the change"
            ) from error


def _whole(text: bytes) -> list[bytes]:
    """The lines with their ends, without a torn last one."""
    lines = text.splitlines(keepends=True)
    if lines and not _is_whole(lines[-1]):
        lines.pop()
    return lines


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n")


def _parse(line: bytes) -> Entry:
    """Raises ValueError (pydantic's ValidationError is one) for what is no entry."""
    return _adapter().validate_json(line)


@cache
def _adapter() -> TypeAdapter[Entry]:
    # Once for all lines: making it takes ten times as long as reading one.
    from pydantic import TypeAdapter

    return TypeAdapter(Entry)


def _line(entry: Entry) -> bytes:
    return json.dumps(plain(entry), allow_nan=False, sort_keys=True).encode() + b"\n"


def plain(value: Any) -> Any:
    """Records, tuples and mappings as JSON has them; text that UTF-8 can't write is shown by its escapes."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return str(value).encode("utf-8", "backslashreplace").decode()
    return value


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise JournalError(f"{path.name}: another grader is writing it; wait for it, or grade elsewhere") from error
