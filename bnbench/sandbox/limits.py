"""How much a worker may use, and what it finds in its environment."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What bounds a worker. Time is in seconds, sizes are in bytes."""

    wall: float = 10.0
    """From one request to its complete answer, and for the start."""
    cpu: float = 10.0
    """Of the whole worker, in every thread."""
    memory: int = 2 << 30
    """Address space of a process: NumPy alone maps a quarter of a GiB."""
    file: int = 16 << 20
    """Largest file that may be written, where any may."""
    descriptors: int = 64
    processes: int = 16
    """Of the worker's user: only where that user is the worker's alone."""
    answer: int = 256 << 20
    """Largest answer to one request that is read at all."""


def resource_limits(limits: Limits, *, own_user: bool, address_space: bool = True) -> dict[str, list[int]]:
    """The kernel's limits, as ``{"RLIMIT_AS": [soft, hard], ...}``.

    At the soft CPU limit the kernel sends SIGXCPU, which can be ignored; one second later SIGKILL. RLIMIT_NPROC counts
    every process of the user, so it is set only when the user is the worker's own. Without ``address_space`` there is
    no RLIMIT_AS: AddressSanitizer reserves terabytes.
    """
    cpu = max(1, math.ceil(limits.cpu))
    table = {
        "RLIMIT_AS": [limits.memory, limits.memory],
        "RLIMIT_CPU": [cpu, cpu + 1],
        "RLIMIT_FSIZE": [limits.file, limits.file],
        "RLIMIT_NOFILE": [limits.descriptors, limits.descriptors],
        "RLIMIT_CORE": [0, 0],
    }
    if not address_space:
        del table["RLIMIT_AS"]
    if own_user:
        table["RLIMIT_NPROC"] = [limits.processes, limits.processes]
    return table


def environment() -> dict[str, str]:
    """The whole environment of the zygote and its workers: nothing of the caller's, but where libraries are found.

    One thread for each library: threads do not survive the fork, and their CPU time would be the submission's. The seed
    of Python's hashes is fixed, so that the same submission takes the same course.
    """
    fixed = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
    fixed |= {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB", "NUMEXPR")}
    return fixed | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


@contextlib.contextmanager
def unreadable() -> Iterator[None]:
    """Close this process to others of the same user, while it holds references and seeds: ptrace, /proc/PID/mem.

    On Linux; elsewhere nothing changes. It is ``PR_SET_DUMPABLE``, which also keeps an ordinary user from reading its
    own /proc/self and from core dumps.
    """
    if sys.platform != "linux":
        yield
        return
    pr_get_dumpable, pr_set_dumpable = 3, 4
    libc = ctypes.CDLL(None, use_errno=True)
    before = libc.prctl(pr_get_dumpable, 0, 0, 0, 0)
    libc.prctl(pr_set_dumpable, 0, 0, 0, 0)
    try:
        yield
    finally:
        if before == 1:  # 2, readable by root alone, can't be set
            libc.prctl(pr_set_dumpable, 1, 0, 0, 0)
