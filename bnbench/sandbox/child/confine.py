"""What a worker does to itself before it loads anything: the steps of a confinement, in the order that works.

The parent decides what is allowed and sends it as data; here are only the system calls. Every step that fails raises
OSError with the step's name, and the worker then serves nothing.
"""

# ruff: noqa: PTH112, PTH120 - paths as the kernel takes them

from __future__ import annotations

import base64
import ctypes
import errno
import os
import resource
import signal
import struct
import sys
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_EXECUTE, _READ_FILE, _READ_DIRECTORY = 1 << 0, 1 << 2, 1 << 3
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1, 4


def checked(result: int, step: str) -> int:
    """The result of a system call. Raises OSError with the step's name where it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{step}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)  # the kernel refuses options whose unused arguments are not zero
    checked(LIBC.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends, however it ends. To be repeated after a change of uid, which clears it."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended in between
        os._exit(1)


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same uid may read this process (/proc/PID/mem, ptrace)."""
    prctl(_PR_SET_DUMPABLE, int(dumpable))


def change_user(uid: int) -> None:
    """Become a user without any right, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (uid, uid, uid):
        raise OSError(errno.EPERM, f"change of user to {uid}: {os.strerror(errno.EPERM)}")  # -1 means "leave it"


def drop_capabilities() -> None:
    """Give up every capability, in the user namespace too."""
    header, sets = struct.pack("<Ii", 0x20080522, 0), bytes(24)
    checked(LIBC.capset(header, sets), "capset")


def limit_resources(limits: dict[str, list[int]]) -> None:
    """Set resource limits: ``{"RLIMIT_AS": [soft, hard], ...}``."""
    for name, (soft, hard) in limits.items():
        number = getattr(resource, name)
        _, present = resource.getrlimit(number)
        if present != resource.RLIM_INFINITY:  # an ordinary user can't raise what the caller's shell has set
            soft, hard = min(soft, present), min(hard, present)  # noqa: PLW2901 - capped, not replaced
        resource.setrlimit(number, (soft, hard))


def forbid_new_privileges() -> None:
    """Make setuid programs and file capabilities without effect; Landlock and seccomp ask for it."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def landlock_ruleset(policy: dict[str, Any]) -> int:
    """Return the file descriptor of a Landlock ruleset.

    ``handled_fs``, ``handled_net`` and ``scoped`` are the kernel's masks. What is below a path of ``readable`` can be
    read and listed, except what is in a directory of ``hidden`` right below it; below one of ``executable`` also run,
    and below one of ``writable``, which are folders, the mask ``writing`` holds.
    """
    attributes = struct.pack("<QQQ", policy["handled_fs"], policy["handled_net"], policy["scoped"])
    arguments = (attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    ruleset = checked(LIBC.syscall(_LANDLOCK_CREATE_RULESET, *arguments), "landlock_create_ruleset")
    hidden = set(policy["hidden"])
    for path in policy["readable"]:
        if any(os.path.dirname(other) == path for other in hidden):
            _allow(ruleset, path, _READ_DIRECTORY)
            for entry in os.scandir(path):
                if entry.path not in hidden:
                    _allow(ruleset, entry.path, _READ_FILE | _READ_DIRECTORY)
        else:
            _allow(ruleset, path, _READ_FILE | _READ_DIRECTORY)
    for path in policy["executable"]:
        _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIRECTORY)
    for path in policy["writable"]:
        _allow(ruleset, path, policy["writing"])
    return ruleset


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # a name on the search path that is not there
    try:
        if not os.path.isdir(path):
            access &= ~_READ_DIRECTORY
        rule = struct.pack("<Qi", access, parent)
        path_beneath = 1
        arguments = (ctypes.c_int(ruleset), ctypes.c_int(path_beneath), rule, ctypes.c_uint32(0))
        checked(LIBC.syscall(_LANDLOCK_ADD_RULE, *arguments), f"landlock_add_rule {path}")
    finally:
        os.close(parent)


def landlock(ruleset: int) -> None:
    """Confine this process to a ruleset, for good, and close it."""
    arguments = (ctypes.c_int(ruleset), ctypes.c_uint32(0))
    checked(LIBC.syscall(_LANDLOCK_RESTRICT_SELF, *arguments), "landlock_restrict_self")
    os.close(ruleset)


def seccomp(program: str) -> None:
    """Install a BPF program, given in base64: instructions of eight bytes."""
    code = base64.b64decode(program)
    buffer = ctypes.create_string_buffer(code, len(code))
    fprog = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    number = _SECCOMP[os.uname().machine]
    operation, flags = ctypes.c_uint(_SECCOMP_SET_MODE_FILTER), ctypes.c_uint(_SECCOMP_FILTER_FLAG_SPEC_ALLOW)
    checked(LIBC.syscall(number, operation, flags, fprog), "seccomp")


def confine(confinement: dict[str, Any], parent: int, ruleset: int | None) -> None:
    """Take every step of a confinement; namespaces, which fork, have been entered before.

    The order matters: after the change of uid no limit can be raised, after Landlock no path opened, and after
    seccomp none of the other steps taken.
    """
    limit_resources(confinement["limits"])
    if confinement["uid"] is not None:
        change_user(confinement["uid"])
    if sys.platform == "linux":
        die_with_parent(parent)
        if confinement["no_new_privs"]:
            drop_capabilities()
            forbid_new_privileges()
        if ruleset is not None:
            landlock(ruleset)
        if confinement["seccomp"] is not None:
            seccomp(confinement["seccomp"])
