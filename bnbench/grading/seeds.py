"""Where the data of an item comes from: nobody can guess it, and the same submission always gets the same."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from bnbench.grading.model import Assignment, Item
from bnbench.model import Case

BITS = 62


def seed_of(secret: bytes, epoch: str, assignment: Assignment, submission: str, item: Item) -> int:
    """A seed below 2**62: HMAC-SHA256 of the course's secret over epoch, assignment, digest of the bytes and item."""
    message = f"{epoch}\0{assignment.name}\0{submission}\0{item.number}".encode()
    return int.from_bytes(hmac.new(secret, message, hashlib.sha256).digest()[:8]) >> (64 - BITS)


def seeded(cases: tuple[Case, ...], seed: int) -> tuple[Case, ...]:
    """The cases with data of their own; ``seed`` counts up, as checks that take several batches do too."""
    return tuple(replace(case, seed=seed + 1000 * place) for place, case in enumerate(cases))
