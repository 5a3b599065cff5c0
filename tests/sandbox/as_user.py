"""Run a command as an ordinary user, from root: ``as_user.py UID PATH... -- COMMAND``.

The paths are made reachable for that user, in a mount namespace of this process alone: Python may live in root's home.
"""

import ctypes
import os
import stat
import sys
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "as_user")


def make_reachable(path):
    """Put an empty folder that everybody may enter over the first that is closed, and ``path`` where it was."""
    closed = [p for p in reversed(path.parents) if not p.stat().st_mode & stat.S_IXOTH]
    if closed:
        there = os.open(path, os.O_PATH)
        checked(LIBC.mount(b"tmpfs", os.fsencode(closed[0]), b"tmpfs", 0, b"mode=755"))
        path.mkdir(parents=True)
        checked(LIBC.mount(f"/proc/self/fd/{there}".encode(), os.fsencode(path), None, 4096 | 16384, None))  # BIND, REC


def main():
    split = sys.argv.index("--")
    uid = int(sys.argv[1])
    checked(LIBC.unshare(0x20000))  # CLONE_NEWNS
    checked(LIBC.mount(b"none", b"/", None, 16384 | 1 << 18, None))  # REC, PRIVATE
    for name in sys.argv[2:split]:
        make_reachable(Path(name).resolve())
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execv(sys.argv[split + 1], sys.argv[split + 1 :])  # noqa: S606 - its very purpose


if __name__ == "__main__":
    main()
