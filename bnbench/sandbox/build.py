"""A compiler in the sandbox: what a stranger's source makes it read, write and use up is bounded."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.tiers import Grant

SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/nix/store")
"""Where a system keeps its programs and libraries, as far as they are there; nobody keeps a secret in them."""
BUILD = Limits(wall=30.0, cpu=15.0, memory=1 << 30, processes=32)
"""Of a compiler; memory both of each of its processes and of them all."""
WORDS_BYTES = 1 << 15
"""Of what a compiler says: so much is read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What a compiler came to."""

    returncode: int | None
    """Negative for a signal, None past the deadline."""
    words: bytes
    output: bytes | None
    """The file that it was to make; None where there is none."""


def build(
    sandbox: Sandbox, command: Sequence[str], files: Mapping[str, bytes], output: str, limits: Limits = BUILD
) -> Built:
    """Run a compiler in a folder of its own, with these files, and return the file ``output`` that it makes there.

    ``command[0]`` is its absolute path, in a folder of the system; the rest may name the files. It may start programs,
    read the folders of the system and write the folder, which is gone afterwards. Raises SandboxError where it can't be
    confined or started, and nothing that the source could cause: too much memory is an error in the words.
    """
    with tempfile.TemporaryDirectory(prefix="bnbench-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
            (folder / file).chmod(0o644)
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TMPDIR": name, "HOME": name}
        program = {"arguments": list(command), "environment": environment, "folder": name}
        grant = Grant(executable=SYSTEM, writable=(name,), programs=True)
        with sandbox.program(program, limits, grant) as running:
            ended = running.wait(limits.wall)
            words = running.words(WORDS_BYTES)
            running.close()
        if running.out_of_memory:
            words += b"\nthe compiler used more than %d MiB\n" % (limits.memory >> 20)
        if ended is None and not running.out_of_memory:
            return Built(returncode=None, words=words, output=None)
        returncode = -ended.signal or ended.code if ended else -9
        made = _regular(folder / output, limits.file) if returncode == 0 else None
        return Built(returncode=returncode, words=words, output=made)


def _regular(path: Path, most: int) -> bytes | None:
    """The content of a file that is one, and no link or pipe, and not too large; None otherwise."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            return None
        return file.read(most)
