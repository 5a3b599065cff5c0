"""What Landlock is asked to refuse, as far as the kernel's version of it can: files, TCP, signals, abstract sockets."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any

_CREATE_RULESET = 444
_VERSION = 1

_ALL_OF_FIRST = (1 << 13) - 1
_FILES_SINCE = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""REFER (to link or move across folders), TRUNCATE, IOCTL_DEV."""
_WRITING = 0b1_1011_1110 | 1 << 14
"""In a scratch folder: read, list, write, truncate, remove; make files and folders, but no link and no pipe."""
_TCP_SINCE, _TCP = 4, 0b11
"""Bind and connect."""
_SCOPES_SINCE, _SCOPES = 6, 0b11
"""Abstract Unix sockets and signals of processes outside."""


def abi() -> int:
    """The version of the kernel's Landlock; 0 where there is none or it is switched off."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))))


def policy(
    version: int,
    readable: Sequence[str],
    hidden: Sequence[str],
    *,
    executable: Sequence[str] = (),
    writable: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything that a version can refuse is refused, except reading below ``readable`` and not below ``hidden``.

    Below ``executable`` reading and executing are allowed, and below ``writable`` files and folders. A version does not
    cover what later ones do, and none covers UDP, stat, chmod and the like, System V IPC, and what a process already
    has open.
    """
    handled = _ALL_OF_FIRST | sum(bit for since, bit in _FILES_SINCE.items() if version >= since)
    return {
        "handled_fs": handled,
        "handled_net": _TCP if version >= _TCP_SINCE else 0,
        "scoped": _SCOPES if version >= _SCOPES_SINCE else 0,
        "readable": list(readable),
        "hidden": list(hidden),
        "executable": list(executable),
        "writable": list(writable),
        "writing": _WRITING & handled,
    }
