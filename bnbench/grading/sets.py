"""Sets of grades of one class: the first grading and every regrade, side by side, one of them applied.

    out/overrides.csv, out/extensions.csv    what people decided; every set is seen through them
    out/sets/1/class.json, journal.jsonl     what was asked, and what came of it
    out/applied                              the number of the set that counts

A regrade is a new set, to be compared, then applied or discarded. No set is ever changed by another, or deleted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bnbench.grading.files import write_whole
from bnbench.grading.journal import Entry, key_of, plain, read_journal
from bnbench.grading.members import Member
from bnbench.grading.model import Assignment
from bnbench.grading.roster import Student

JOURNAL = "journal.jsonl"
CLASS = "class.json"
DISCARDED = "discarded"
APPLIED = "applied"


class SetError(ValueError):
    """A set that is not there, is damaged, or is there already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassSet:
    """What a set of grades is of."""

    schema: Literal["bnbench.class/1"] = "bnbench.class/1"
    assignment: Assignment
    epoch: str
    bnbench: str
    members: tuple[Member, ...] = ()
    roster: tuple[Student, ...] = ()
    """As it was given, or as the set before had it; a later set without one takes this."""
    reason: str = ""
    """Of a regrade."""
    based_on: str = ""
    """The set that a regrade of some takes the others from."""
    only: tuple[str, ...] = ()
    """User names of those who were regraded, if not all."""


def folder_of(out: Path, name: str) -> Path:
    """The folder of a set. Raises SetError, naming those that there are."""
    folder = out / "sets" / name
    if name not in set_names(out):
        raise SetError(f"there is no set {name!r} in {out.name}; there are {', '.join(set_names(out)) or 'none'}")
    return folder


def set_names(out: Path) -> tuple[str, ...]:
    """The names of all sets, the oldest first: ``1``, ``2``, ..."""
    # A folder without the file is one whose making was interrupted.
    numbers = [path.parent.name for path in (out / "sets").glob(f"*/{CLASS}")]
    return tuple(sorted(filter(str.isdecimal, numbers), key=int))


def applied_set(out: Path) -> str | None:
    """The name of the set that counts; None before anything was graded."""
    file = out / APPLIED
    return file.read_text(encoding="utf-8").strip() if file.exists() else None


def apply_set(out: Path, name: str) -> None:
    """Let this set count. Raises SetError for one that is not there, not begun, or was discarded."""
    if (folder_of(out, name) / DISCARDED).exists():
        raise SetError(f"set {name} was discarded; regrade again")
    read_set(out, name)
    write_whole(out / APPLIED, f"{name}\n")


def discard_set(out: Path, name: str) -> None:
    """Mark a set so that it can't be applied. Raises SetError for the one that counts."""
    if name == applied_set(out):
        raise SetError(f"set {name} is the one that counts; apply another one first")
    write_whole(folder_of(out, name) / DISCARDED, "")


def set_lateness(out: Path, name: str, assignment: Assignment) -> None:
    """Give a set the due date and late policy of another assignment: they change what grades count, and none of them.

    Raises SetError for a set that can't be read.
    """
    record = read_set(out, name)
    changed = replace(record.assignment, due=assignment.due, late=assignment.late)
    write_set(out, name, replace(record, assignment=changed))


def write_set(out: Path, name: str, record: ClassSet) -> Path:
    """Note what a set is of; its folder, which is made if there is none."""
    folder = out / "sets" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / CLASS, json.dumps(plain(record), indent=1, sort_keys=True) + "\n")
    return folder


def read_set(out: Path, name: str) -> ClassSet:
    """What a set is of. Raises SetError."""
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(ClassSet).validate_json((folder_of(out, name) / CLASS).read_bytes())
    except (OSError, ValueError) as error:
        raise SetError(f"set {name}: {CLASS} can't be read: {error}") from error


def entries_of(out: Path, name: str) -> Mapping[str, Entry]:
    """The set's entries by digest of the submission; of those that a partial regrade left out, the older set's.

    Raises SetError and JournalError.
    """
    record = read_set(out, name)
    own = read_journal(folder_of(out, name) / JOURNAL)
    again = {member.digest for member in record.members if not record.only or member.student.username in record.only}
    older = entries_of(out, record.based_on) if record.based_on and record.only else {}
    found = {digest: entry for digest, entry in older.items() if digest not in again}
    for member in record.members:
        key = key_of(member.digest, record.assignment, record.epoch, record.bnbench)
        if key in own:
            found[member.digest] = own[key]
    return found
