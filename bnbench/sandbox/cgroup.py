"""Limits of a whole process tree, by control groups of the kernel: version 2 where it is delegated, version 1 as root.

Each worker gets a group of its own below the group of this process, so that an outer limit keeps holding. A group's
name says whose it is, so that a later start can tell what a killed grader has left.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bnbench.sandbox.zygote import SandboxError

CONTROLLERS = ("memory", "pids")
REMOVE_SECONDS = 2.0
"""For killed processes to leave their group."""
_NAME = re.compile(r"bnbench-(?P<namespace>\d+)-(?P<pid>\d+)-(?P<start>\d+)-(?P<number>\w+)")
_LEAF = "leaf"
"""In place of a number: where the grader itself moves to in version 2, whose groups hold processes or groups."""


class CgroupError(RuntimeError):
    """Control groups can't be had here; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hierarchy:
    """Where groups are made: for each controller the folder of this process's own group."""

    version: int
    parents: Mapping[str, Path]


@functools.cache
def hierarchy() -> Hierarchy:
    """Find, and try, where this process may make groups. Raises CgroupError with the reason where it can't.

    In version 2 this process moves to a leaf of its own group, if it is alone there, and hands memory and pids on.
    """
    mounts = _mounts()
    groups = _own_groups()
    if "memory" in groups and "memory" in mounts:
        if "pids" not in groups or "pids" not in mounts:
            raise CgroupError("version 1 without the controller pids")
        found = Hierarchy(version=1, parents={name: _folder(mounts[name], groups[name]) for name in CONTROLLERS})
    elif "" in groups and "" in mounts:
        own = _folder(mounts[""], groups[""])
        found = Hierarchy(version=2, parents=dict.fromkeys(CONTROLLERS, _delegated(own)))
    else:
        raise CgroupError("no control groups are mounted")
    try:
        Group(found, "probe", memory=1 << 30, processes=64).remove()
    except OSError as error:
        raise CgroupError(f"version {found.version}: {error.filename}: {error.strerror}") from error
    except SandboxError as error:
        raise CgroupError(f"version {found.version}: {error}") from error
    return found


def _mounts() -> dict[str, tuple[str, Path]]:
    """For each controller of version 1, and for version 2 under "": which group is mounted, and where."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, options = right.split()[:3]
        if kind == "cgroup2":
            found[""] = root, Path(point)
        elif kind == "cgroup":
            found |= {name: (root, Path(point)) for name in options.split(",") if name in CONTROLLERS}
    return found


def _own_groups() -> dict[str, str]:
    lines = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
    return {name: path for _, names, path in lines for name in names.split(",")}


def _folder(mount: tuple[str, Path], group: str) -> Path:
    root, point = mount
    relative = os.path.relpath(group, root)
    if relative.startswith(".."):
        raise CgroupError("the group of this process is not mounted")
    return point / relative


def _delegated(own: Path) -> Path:
    """The group of version 2 below which groups with memory and pids can be made."""
    if _NAME.fullmatch(own.name):
        own = own.parent  # this process, or the one that started it, has moved to its leaf
    missing = {*CONTROLLERS} - {*_words(own / "cgroup.controllers")}
    if missing:
        raise CgroupError(f"version 2 without {', '.join(sorted(missing))}")
    if {*CONTROLLERS} <= {*_words(own / "cgroup.subtree_control")}:
        return own
    others = {*_words(own / "cgroup.procs")} - {str(os.getpid())}
    if others and own.parent != own and (own / "cgroup.type").exists():
        raise CgroupError(
            "version 2: other processes share the group; "
            "start with `systemd-run --user --scope -p Delegate=yes` to have one of its own"
        )
    try:
        if (own / "cgroup.type").exists():  # the root of all groups has none, and may hold processes
            leaf = own / _name(_LEAF)
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text("0")
        (own / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in CONTROLLERS))
    except OSError as error:
        raise CgroupError(f"version 2: {error.filename}: {error.strerror}") from error
    return own


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError as error:
        raise CgroupError(f"{file.name}: {error.strerror}") from error


def _name(number: str) -> str:
    return f"bnbench-{_process_namespace()}-{os.getpid()}-{_start(os.getpid())}-{number}"


def _process_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _start(pid: int) -> int | None:
    """When a process was started, in ticks since the system was; None if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError):
        return None


class Group:
    """One worker's group, made with its limits. Raises OSError where it can't be made."""

    def __init__(self, found: Hierarchy, number: str, *, memory: int, processes: int) -> None:
        name = _name(number)
        self.removed = False
        self.version = found.version
        self.folders = {controller: parent / name for controller, parent in found.parents.items()}
        try:
            for folder in {*self.folders.values()}:
                folder.mkdir(exist_ok=True)
            for controller, file, value in self._limits(memory, processes):
                (self.folders[controller] / file).write_text(str(value))
        except OSError:
            self.remove()
            raise

    def _limits(self, memory: int, processes: int) -> Iterator[tuple[str, str, int]]:
        if self.version == 1:
            yield "memory", "memory.limit_in_bytes", memory
            if (self.folders["memory"] / "memory.memsw.limit_in_bytes").exists():
                yield "memory", "memory.memsw.limit_in_bytes", memory
        else:
            yield "memory", "memory.max", memory
            if (self.folders["memory"] / "memory.swap.max").exists():
                yield "memory", "memory.swap.max", 0
            yield "memory", "memory.oom.group", 1
        yield "pids", "pids.max", processes

    @property
    def entrances(self) -> list[str]:
        """The files into which a process writes 0 to enter."""
        return sorted(str(folder / "cgroup.procs") for folder in {*self.folders.values()})

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel has killed a process for the group's memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        try:
            lines = (self.folders["memory"] / name).read_text().splitlines()
        except OSError:  # removed already
            return False
        return any(int(line.split()[1]) > 0 for line in lines if line.startswith("oom_kill "))

    def remove(self) -> None:
        """Kill what is in the group and remove it. Raises SandboxError where it does not go."""
        for folder in {*self.folders.values()}:
            try:
                _remove(folder)
            except OSError as error:
                raise SandboxError(f"control group {folder.name}: {error.strerror}") from error
        self.removed = True


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + REMOVE_SECONDS
    for pause in itertools.count(1):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        else:
            return
        _kill(folder)
        time.sleep(min(0.001 * pause, 0.05))


def _kill(folder: Path) -> None:
    if (folder / "cgroup.kill").exists():
        (folder / "cgroup.kill").write_text("1")
        return
    for pid in _words(folder / "cgroup.procs"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def sweep(found: Hierarchy) -> list[str]:
    """Remove the groups whose grader has ended without doing it; return their names.

    Those of another process namespace are left: their process ids mean nothing here.
    """
    removed = []
    for parent in {*found.parents.values()}:
        for folder in parent.glob("bnbench-*"):
            name = _NAME.fullmatch(folder.name)
            if name is None or int(name["namespace"]) != _process_namespace():
                continue
            if _start(int(name["pid"])) != int(name["start"]):
                with contextlib.suppress(OSError):  # of another user, or being swept by another start
                    _remove(folder)
                    removed.append(folder.name)
    return sorted({*removed})
