"""How strongly a worker is confined: what this system can do, tried in throw-away workers, and what stays open."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import platform
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from bnbench.sandbox import cgroup, landlock, seccomp
from bnbench.sandbox.limits import Limits, resource_limits


class Tier(StrEnum):
    """Each has all that the ones before it have."""

    T0 = "T0"
    """A process of its own: wall deadline, clean environment, no inherited descriptor, verdicts elsewhere."""
    T1 = "T1"
    """Resource limits, no new privileges, a grader that can't be read; as root, a user of its own."""
    T2 = "T2"
    """Landlock and seccomp: no files, no network, no other process. The first that is called a sandbox."""
    T3 = "T3"
    """Namespaces: what is not granted does not exist."""
    T4 = "T4"
    """A control group for each worker: memory and processes of all that it starts."""


NOT_ENFORCED: Mapping[Tier, tuple[str, ...]] = {
    Tier.T0: ("files", "network", "other processes", "memory", "cpu time", "processes left running"),
    Tier.T1: ("files", "network", "other processes", "memory of a process tree", "processes left running"),
    Tier.T2: ("stat of outside files", "memory of all workers together", "timing and cache side channels"),
    Tier.T3: ("memory of all workers together", "timing and cache side channels"),
    Tier.T4: ("timing and cache side channels",),
}
"""What a tier leaves open. T1 kills what is left running as far as it is found."""

WARNING = (
    "Submissions run with your own rights: files, network and other processes are NOT protected. "
    "Use a container or a virtual machine for untrusted code."
)
"""Shown below T2."""

FIRST_UID, UIDS = 61184, 4096
"""Users for workers, where the parent is root: the range that systemd keeps for users who exist only while they run."""


class IsolationError(RuntimeError):
    """The isolation that was asked for is not available here; the command line exits with 4."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Isolation:
    """What confines a worker; stands in every graded result."""

    tier: Tier
    landlock_abi: int = 0
    seccomp: bool = False
    namespaces: bool = False
    uid_changed: bool = False
    cgroup: int = 0
    """Version of the control groups; 0 without. They are used from T1 on, where they can be had, whatever the tier."""
    not_enforced: tuple[str, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict, hash=False)
    """For each mechanism that is not used, the reason."""

    @property
    def warning(self) -> str:
        """What a person who runs others' code has to be told; "" from T2 on."""
        return "" if self.tier >= Tier.T2 else WARNING


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What of the file system a worker may use, and whether it may start programs."""

    readable: tuple[str, ...] = ()
    executable: tuple[str, ...] = ()
    """Readable as well."""
    writable: tuple[str, ...] = ()
    """Folders: files and folders may be made and removed below them."""
    programs: bool = False
    """Programs and processes may be started; the memory of them all is then watched."""
    sanitized: bool = False
    """AddressSanitizer needs an address space without limit, and /proc/self."""


def at(isolation: Isolation, tier: Tier, *, landlock_abi: int | None = None) -> Isolation:
    """The same system used only up to a tier, and as if its Landlock were of an older version.

    Raises IsolationError if the tier is above the one available.
    """
    if tier > isolation.tier:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in isolation.why.items())
        raise IsolationError(f"isolation {tier} is required, this system has {isolation.tier} ({reasons})")
    version = isolation.landlock_abi if landlock_abi is None else min(landlock_abi, isolation.landlock_abi)
    control = isolation.cgroup if tier is isolation.tier else 0
    return replace(
        isolation,
        tier=tier,
        landlock_abi=version if tier >= Tier.T2 else 0,
        seccomp=tier >= Tier.T2,
        namespaces=tier >= Tier.T3,
        uid_changed=isolation.uid_changed and tier >= Tier.T1,
        cgroup=control,
        not_enforced=tuple(what for what in NOT_ENFORCED[tier] if not (control and what.startswith("memory"))),
    )


def require(tier: str) -> Isolation:
    """The isolation of a tier on this system. Raises IsolationError, with the reasons, where it can't be had."""
    return at(probe(), Tier(tier))


@functools.cache
def probe() -> Isolation:
    """The strongest isolation of this system. Every mechanism is tried in a worker that does nothing else.

    Raises IsolationError on a system that is not POSIX: no worker can be started there.
    """
    if os.name != "posix":
        raise IsolationError("submissions can be run on Linux and macOS only; use a container or a virtual machine")
    from bnbench.sandbox.worker import Worker
    from bnbench.sandbox.zygote import SandboxError, Zygote

    version, why = landlock.abi(), {}
    root = os.geteuid() == 0
    limits = Limits()
    nothing = Isolation(tier=Tier.T0)
    tried = {
        "limits": replace(nothing, tier=Tier.T1, uid_changed=root),
        "landlock": replace(nothing, landlock_abi=version),
        "seccomp": replace(nothing, seccomp=True),
        "namespaces": replace(nothing, namespaces=True, uid_changed=root),
    }
    if version == 0:
        why["landlock"] = "this kernel has none, or it is switched off"
    zygote = Zygote()
    with contextlib.closing(zygote):
        for name, isolation in tried.items():
            if name in why:
                continue
            try:
                Worker(zygote, confinement(isolation, limits, 0), limits).close()
            except (SandboxError, KeyError) as error:  # KeyError: a machine for which there is no filter
                why[name] = str(error)
    tier = Tier.T0
    if "limits" not in why:
        tier = Tier.T1
        if not {"landlock", "seccomp"} & why.keys():
            tier = Tier.T2 if "namespaces" in why else Tier.T3
    control = _control_groups(why) if tier >= Tier.T1 else 0
    if control and tier is Tier.T3:
        tier = Tier.T4
    found = Isolation(tier=tier, landlock_abi=version, uid_changed=root, cgroup=control, why=why)
    return at(found, tier)


def _control_groups(why: dict[str, str]) -> int:
    """The version of those that can be had; 0, and the reason, without."""
    try:
        return cgroup.hierarchy().version
    except (cgroup.CgroupError, OSError) as error:  # OSError: a system without /proc
        why["cgroup"] = str(error)
        return 0


def confinement(
    isolation: Isolation, limits: Limits, slot: int, readable: tuple[str, ...] = (), *, grant: Grant | None = None
) -> dict[str, Any]:
    """What a worker is told to do to itself, as plain data.

    ``readable`` are paths beyond Python and NumPy that it may read. With ``grant`` it is to become a program, and may
    use nothing else. Raises KeyError for a machine without a filter.
    """
    uid = FIRST_UID + (os.getpid() * 16 + slot) % UIDS if isolation.uid_changed else None
    paths, hidden = granted()
    grant = grant or Grant(readable=(*paths, *readable))
    own_user = uid is not None or isolation.namespaces
    limited = resource_limits(limits, own_user=own_user, address_space=not grant.sanitized)
    program = seccomp.program(platform.machine(), programs=grant.programs) if isolation.seccomp else None
    reading = (*grant.readable, "/proc/self") if grant.sanitized else grant.readable
    rights = landlock.policy(
        isolation.landlock_abi, reading, hidden, executable=grant.executable, writable=grant.writable
    )
    return {
        "limits": limited if isolation.tier > Tier.T0 else {},
        "uid": uid,
        "no_new_privs": isolation.tier > Tier.T0 or isolation.landlock_abi > 0 or isolation.seccomp,
        "landlock": rights if isolation.landlock_abi else None,
        "seccomp": base64.b64encode(program).decode() if program else None,
        "namespaces": {
            "readable": [*grant.readable, *grant.executable],
            "hidden": hidden,
            "writable": list(grant.writable),
            "proc": grant.sanitized,
        }
        if isolation.namespaces
        else None,
        "cgroup": [],
        "resident": limits.memory if grant.programs and isolation.tier > Tier.T0 else None,
    }


def granted() -> tuple[list[str], list[str]]:
    """The folders that every worker may read, Python's library and NumPy, and those right below that it may not."""
    library = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    package = Path(np.__file__).resolve().parent
    paths = {*library, str(package), str(package.with_name("numpy.libs"))}
    hidden = [f"{path}/{name}" for path in sorted(library) for name in ("site-packages", "dist-packages")]
    return sorted(paths), hidden
