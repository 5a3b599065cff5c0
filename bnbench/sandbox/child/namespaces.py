"""A process tree, a file system, a network and IPC objects of one's own: Linux namespaces.

As root nothing else is needed; an ordinary user enters a user namespace as well, where the kernel has one for them.
"""

# ruff: noqa: PTH102, PTH103, PTH106, PTH110, PTH112, PTH120, PTH123 - paths as the kernel takes them

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from typing import NoReturn

from . import confine

_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_MOUNT_SETATTR = 442
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_CAPBSET_DROP = 24


def enter(readable: list[str], hidden: list[str], writable: list[str], *, proc: bool) -> None:
    """Move into new namespaces, where only ``readable`` exists and nothing can be written but in ``writable``. Forks.

    With ``proc`` there is a /proc, of the new process namespace.

    It returns in the first process of the new process namespace: when that one ends, the kernel kills all others. The
    caller itself stays outside, waits, and ends as the inner one ended; when it is killed, so is the inner one.
    """
    uid, gid = os.getuid(), os.getgid()
    flags = _NEWNS | _NEWCGROUP | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
    if uid != 0:
        confine.set_dumpable(True)  # else /proc/self belongs to root
        flags |= _NEWUSER
    confine.checked(confine.LIBC.unshare(flags), "unshare")
    if uid != 0:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    ready, tell = os.pipe()
    inner = os.fork()
    if inner:
        _end_as(inner, tell)
    os.close(tell)
    confine.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; getppid() is 0 from here, so the pipe tells of the other's end
    os.set_blocking(ready, False)
    try:
        os.read(ready, 1)
        os._exit(1)
    except BlockingIOError:
        os.close(ready)
    _new_root(readable, hidden, writable, proc=proc)
    for capability in range(64):  # up to the last that this kernel knows
        if confine.LIBC.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break


def _end_as(inner: int, kept: int) -> NoReturn:
    """Wait for the inner process and end in the same way; ``kept`` stays open as long."""
    os.closerange(0, kept)  # the pipes are the inner one's: their other ends must see when it ends
    os.closerange(kept + 1, 64)
    _, status = os.waitpid(inner, 0)
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None, step: str) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    data = None if options is None else options.encode()
    confine.checked(confine.LIBC.mount(*texts, ctypes.c_ulong(flags), data), step)


def _new_root(readable: list[str], hidden: list[str], writable: list[str], *, proc: bool) -> None:
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE, None, "mount private")
    _mount("tmpfs", "/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755", "mount tmpfs")  # noqa: S108 - any folder
    os.mkdir("/tmp/old")  # noqa: S108
    confine.checked(confine.LIBC.pivot_root(b"/tmp", b"/tmp/old"), "pivot_root")
    os.chdir("/")
    for path in sorted({*readable, *writable}):  # a folder before what is below it
        if os.path.isdir(f"/old{path}"):
            os.makedirs(path, exist_ok=True)
        elif os.path.exists(f"/old{path}"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        else:
            continue
        _mount(f"/old{path}", path, None, _MS_BIND | _MS_REC, None, f"bind {path}")
        for other in hidden:
            if os.path.dirname(other) == path and os.path.isdir(other):
                _mount("tmpfs", other, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=4k,mode=755", f"hide {other}")
    if proc:  # while another is still mounted: without one a user namespace gets none
        os.mkdir("/proc")
        _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, None, "mount proc")
    confine.checked(confine.LIBC.umount2(b"/old", _MNT_DETACH), "umount")
    os.rmdir("/old")
    _set_attributes("/", _MS_RDONLY | _MS_NOSUID, 0, _AT_RECURSIVE)  # MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID
    for path in writable:
        _set_attributes(path, 0, _MS_RDONLY, 0)


def _set_attributes(path: str, given: int, taken: int, flags: int) -> None:
    attributes = struct.pack("<QQQQ", given, taken, 0, 0)
    target = (ctypes.c_int(_AT_FDCWD), os.fsencode(path), ctypes.c_uint(flags))
    step = f"mount_setattr {path}"
    confine.checked(confine.LIBC.syscall(_MOUNT_SETATTR, *target, attributes, ctypes.c_size_t(32)), step)
