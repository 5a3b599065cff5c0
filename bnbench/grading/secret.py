"""The secret of a course: without it nobody can guess the data that an item is tried on."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

SECRET = "secret"  # noqa: S105 - a name
"""The name of the file in a class's folder."""
FEWEST = 16
"""Bytes of a secret that nobody guesses."""

PUBLIC = b"bnbench: data that anybody can draw again"
"""For people who grade their own file: everybody gets the same data, and can reproduce a result."""


class SecretError(ValueError):
    """A file that is no secret, or not the one that the class was graded with."""


def read_secret(file: Path) -> bytes:
    """The secret in a file, without the line break around it. Raises SecretError for a short one, OSError."""
    secret = file.read_bytes().strip()
    if len(secret) < FEWEST:
        raise SecretError(f"{file.name}: a secret of {len(secret)} bytes, expected at least {FEWEST} random ones")
    return secret


def course_secret(out: Path, given: Path | None = None) -> bytes:
    """The secret that a class's folder keeps: the given one, or one that is made the first time.

    The file can be read by its owner alone. Raises SecretError where the class has another one already: its grades
    would not be of the same data; OSError.
    """
    kept = out / SECRET
    if not kept.exists():
        _keep(kept, read_secret(given) if given else new_secret())
    secret = read_secret(kept)
    if given and read_secret(given) != secret:
        raise SecretError(f"{given.name} is not the secret that this class was graded with; that one is {kept}")
    return secret


def new_secret() -> bytes:
    """256 random bits, as text."""
    return secrets.token_hex(32).encode()


def _keep(file: Path, secret: bytes) -> None:
    # mkstemp's files are their owner's alone from the beginning; renamed, it is whole or not there.
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".secret-")
    with os.fdopen(descriptor, "wb") as beside:
        beside.write(secret + b"\n")
        beside.flush()
        os.fsync(beside.fileno())
    Path(name).replace(file)
