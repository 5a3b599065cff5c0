"""A filter of system calls, as a BPF program: what a function of arrays never needs is refused.

Refused are the network, other processes, new processes and programs, metadata of files (which Landlock does not cover),
memory and IPC objects that outlive a process, and the kernel's large interfaces. The numbers are those of
``asm/unistd_64.h`` and ``asm-generic/unistd.h``; a filter for another machine than the kernel's kills the process.
"""

from __future__ import annotations

import struct

_ABSENT = -1

SYSCALLS = {
    # name: x86_64, aarch64
    "socket": (41, 198), "socketpair": (53, 199), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "connect": (42, 203),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, _ABSENT), "vfork": (58, _ABSENT),
    "setsid": (112, 157), "setpgid": (109, 154), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181), "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "truncate": (76, 45), "chmod": (90, _ABSENT), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, _ABSENT), "fchown": (93, 55), "lchown": (94, _ABSENT), "fchownat": (260, 54),
    "utime": (132, _ABSENT), "utimes": (235, _ABSENT), "futimesat": (261, _ABSENT), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "file_setattr": (469, 469), "mknod": (133, _ABSENT), "mknodat": (259, 33),
    "inotify_init": (253, _ABSENT), "inotify_init1": (294, 26),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    "personality": (135, 92), "acct": (163, 89), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "syslog": (103, 116), "quotactl": (179, 60), "quotactl_fd": (443, 443), "vhangup": (153, 58),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162),
    "iopl": (172, _ABSENT), "ioperm": (173, _ABSENT), "modify_ldt": (154, _ABSENT), "flock": (73, 32),
}  # fmt: skip
"""What is refused with EPERM."""

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the table, and the kernel's name of the machine (AUDIT_ARCH)."""
_CLONE, _CLONE3, _PRCTL, _PRLIMIT64 = (56, 220), (435, 435), (157, 167), (302, 261)
_FCNTL = (72, 25)
_CLONE_THREAD = 0x10000
_CLONE_NEW = 0x7E020080
"""Every namespace: time, mount, cgroup, uts, ipc, user, process, network."""
_OF_PROGRAMS = frozenset({"execve", "execveat", "fork", "vfork", "chmod", "fchmod", "fchmodat", "setpgid"})
"""What a compiler needs beyond: it starts others, and makes its output executable."""
_F_SETOWN, _F_SETOWN_EX = 8, 15
_PR_SET_PDEATHSIG = 1
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_KILL, _ALLOW, _EPERM, _ENOSYS = 0x80000000, 0x7FFF0000, 0x00050001, 0x00050026


def program(machine: str, *, programs: bool = False) -> bytes:
    """Return the filter for a machine ("x86_64", "aarch64"): instructions of eight bytes, ``struct sock_filter``.

    Beyond the table: a thread may be started and a process not (clone3, whose flags a filter can't see, does not
    exist); limits may be set for oneself alone; the signal at the parent's death can't be taken back; nobody can be
    made the owner of a descriptor, whose readiness then sends signals; system calls of another ABI (32 bit, x32) kill.
    With ``programs`` processes and programs may be started as well, for a compiler, but no namespace entered. Raises
    KeyError for a machine without a table.
    """
    column, architecture = MACHINES[machine]
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for name, numbers in SYSCALLS.items():
        if numbers[column] != _ABSENT and not (programs and name in _OF_PROGRAMS):
            code += [_step(_EQUAL, numbers[column], 0, 1), _step(_RETURN, _EPERM)]
    code += [_step(_EQUAL, _CLONE3[column], 0, 1), _step(_RETURN, _ENOSYS)]
    clone = _step(_ANY_BIT, _CLONE_NEW, 0, 1) if programs else _step(_ANY_BIT, _CLONE_THREAD, 1, 0)
    code += _if_argument(_CLONE[column], _FIRST_ARGUMENT, clone)
    code += _if_argument(_PRCTL[column], _FIRST_ARGUMENT, _step(_EQUAL, _PR_SET_PDEATHSIG, 0, 1))
    code += _if_argument(_PRLIMIT64[column], _FIRST_ARGUMENT, _step(_EQUAL, 0, 1, 0))
    owner = (_step(_EQUAL, _F_SETOWN, 1, 0), _step(_EQUAL, _F_SETOWN_EX, 0, 1))
    code += _if_argument(_FCNTL[column], _SECOND_ARGUMENT, *owner)
    code.append(_step(_RETURN, _ALLOW))
    return b"".join(code)


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", operation, if_true, if_false, value)


def _if_argument(number: int, argument: int, *tests: bytes) -> list[bytes]:
    """For this call: refuse, unless a test of an argument's low half jumps over the refusal."""
    return [
        _step(_EQUAL, number, 0, 3 + len(tests)),
        _step(_LOAD, argument),
        *tests,
        _step(_RETURN, _EPERM),
        _step(_RETURN, _ALLOW),
    ]
