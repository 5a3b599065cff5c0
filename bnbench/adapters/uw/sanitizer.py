"""What AddressSanitizer and UndefinedBehaviorSanitizer say, as a finding on the student's file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bnbench.adapters.uw.functions import Function

UNDEFINED = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+):\d+: runtime error: (?P<kind>.+)$", re.MULTILINE)
ADDRESS = re.compile(r"ERROR: AddressSanitizer: (?P<kind>[\w-]+)")
FRAME = re.compile(r"^\s*#\d+ 0x[0-9a-f]+ in \S+ (?P<file>\S+?):(?P<line>\d+)", re.MULTILINE)
KIND_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryFinding:
    """A memory error or undefined behaviour, where it happened."""

    kind: str
    """The sanitizer's word, such as ``heap-buffer-overflow``."""
    line: int | None
    """In the student's file; None if it happened outside of it."""
    function: str | None


def memory_finding(words: str, source_name: str, found: Mapping[str, Function]) -> MemoryFinding | None:
    """Read the first finding in a sanitizer's ``words``; None if there is none."""
    undefined, overrun = UNDEFINED.search(words), ADDRESS.search(words)
    if undefined:
        kind, places = undefined["kind"], [undefined]
    elif overrun:
        kind, places = overrun["kind"], list(FRAME.finditer(words))
    else:
        return None
    lines = [int(place["line"]) for place in places if place["file"].rpartition("/")[2] == source_name]
    line = lines[0] if lines else None
    within = [f.name for f in found.values() if line is not None and f.first <= line <= f.last]
    return MemoryFinding(kind=kind[:KIND_CHARACTERS], line=line, function=within[0] if within else None)
