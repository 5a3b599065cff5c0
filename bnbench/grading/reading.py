"""Read a submission's text without being held up by it: what does not parse is repaired in a process of its own."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
import warnings

from bnbench.adapters.source import Source, read_source

LARGEST = 1 << 20
"""Bytes of a file; of a notebook, which holds pictures, sixteen times as many."""
SECONDS = 20.0
"""For the repairs of one file: a thousand lines of Python 2 take less than one."""
_REPAIR = (
    "import pickle, sys; from bnbench.adapters.source import read_source; "
    "sys.stdout.buffer.write(pickle.dumps(read_source(sys.stdin.buffer.read(), sys.argv[1])))"
)


class UnreadableError(ValueError):
    """A submission that can't be read at all; the message is for its author."""


def read(data: bytes, name: str) -> Source:
    """The source of a file; ``name`` tells a notebook. Raises UnreadableError: too large, no notebook, too tangled."""
    most = LARGEST * (16 if name.endswith(".ipynb") else 1)
    if len(data) > most:
        raise UnreadableError(f"the file has {len(data)} bytes, at most {most} are read")
    try:
        if not name.endswith(".ipynb") and _parses(data):
            return read_source(data, name)
        return _repaired(data, name)
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError(str(error) or type(error).__name__) from error


def _parses(data: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(data.decode())  # and not in an encoding that the text may name
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _repaired(data: bytes, name: str) -> Source:
    """As :func:`read_source` in another process, which a text made for it can slow down or exhaust as it likes."""
    command = [sys.executable, "-P", "-c", _REPAIR, name]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603 - ours
    except subprocess.TimeoutExpired:
        raise UnreadableError(f"does not parse, and was not repaired within {SECONDS:g} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UnreadableError(f"does not parse: {said[-1][:200] if said else 'the reader died of it'}")
    source: Source = pickle.loads(done.stdout)  # noqa: S301 - of our own code, which runs nothing of the text
    return source
