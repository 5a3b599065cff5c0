"""The probe finds what the system can do, chooses accordingly and says why not more."""

from __future__ import annotations

import json
import platform
import struct
import subprocess
import sys

import pytest

from bnbench.sandbox import landlock, seccomp
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits, environment, resource_limits
from bnbench.sandbox.tiers import (
    NOT_ENFORCED,
    Isolation,
    IsolationError,
    Tier,
    at,
    confinement,
    granted,
    probe,
    require,
)
from bnbench.sandbox.worker import Worker
from bnbench.sandbox.zygote import SandboxError, Zygote

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's system calls")

FORBIDDEN = {"unshare": (272, 97), "mount": (165, 40), "landlock_create_ruleset": (444, 444), "seccomp": (317, 277)}

PROBE_WITHOUT = """
import base64, json, struct, sys
from bnbench.sandbox.child import confine
from bnbench.sandbox.tiers import probe
code = struct.pack("<HBBI", 0x20, 0, 0, 0)
for number in json.loads(sys.argv[1]):
    code += struct.pack("<HBBI", 0x15, 0, 1, number) + struct.pack("<HBBI", 0x06, 0, 0, 0x00050001)
code += struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
confine.forbid_new_privileges()
confine.seccomp(base64.b64encode(code).decode())
found = probe()
print(json.dumps([found.tier, dict(found.why), found.landlock_abi, found.seccomp, found.namespaces]))
"""


def probed_without(*names):
    """What the probe says in a process whose kernel refuses these system calls, as a container's profile does."""
    column = list(seccomp.MACHINES).index(platform.machine())
    numbers = json.dumps([FORBIDDEN[name][column] for name in names])
    run = subprocess.run([sys.executable, "-c", PROBE_WITHOUT, numbers], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@linux
@pytest.mark.skipif(probe().tier < Tier.T2, reason=f"{probe().why}")
@pytest.mark.parametrize(
    ("refused", "tier", "why"),
    [
        (("unshare", "mount"), "T2", {"namespaces": "unshare: Operation not permitted"}),
        (("landlock_create_ruleset", "unshare"), "T1", {"landlock": "this kernel has none, or it is switched off"}),
        (("seccomp",), "T1", {"seccomp": "seccomp: Operation not permitted"}),
    ],
)
def test_without_a_mechanism_the_probe_chooses_the_tier_below_and_says_why(refused, tier, why):
    found, reasons, version, filtered, spaces = probed_without(*refused)

    assert found == tier
    assert why.items() <= reasons.items()
    assert (version > 0, filtered, spaces) == (tier == "T2", tier == "T2", False)


def test_a_tier_that_is_not_available_is_refused_with_the_reasons():
    weak = Isolation(tier=Tier.T1, why={"landlock": "this kernel has none"})

    with pytest.raises(IsolationError, match=r"T2 is required, this system has T1 \(landlock: this kernel has none\)"):
        at(weak, Tier.T2)


def test_a_tier_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="T9"):
        require("T9")


def test_every_tier_says_what_it_leaves_open_and_a_lower_one_claims_nothing_of_a_higher():
    strong = Isolation(tier=Tier.T4, landlock_abi=7, seccomp=True, namespaces=True, uid_changed=True, cgroup=1)

    assert {tier: at(strong, tier).not_enforced for tier in Tier} == NOT_ENFORCED
    assert at(strong, Tier.T1) == Isolation(tier=Tier.T1, uid_changed=True, not_enforced=NOT_ENFORCED[Tier.T1])
    assert at(strong, Tier.T2, landlock_abi=2).landlock_abi == 2
    assert not at(strong, Tier.T0).uid_changed
    assert [bool(at(strong, tier).warning) for tier in Tier] == [True, True, False, False, False]
    assert [at(strong, tier).cgroup for tier in Tier] == [0, 0, 0, 0, 1]


def test_control_groups_without_namespaces_still_bound_memory():
    container = at(Isolation(tier=Tier.T2, landlock_abi=7, cgroup=2), Tier.T2)

    assert (container.cgroup, "memory of all workers together" in container.not_enforced) == (2, False)
    assert "memory of all workers together" in NOT_ENFORCED[Tier.T2]


@linux
@pytest.mark.parametrize("mechanism", ["landlock", "seccomp", "namespaces", "uid"])
def test_a_worker_that_can_not_be_confined_as_asked_serves_nothing(mechanism):
    wrong = {
        "landlock": landlock.policy(7, [], []) | {"handled_fs": 1 << 62},
        "seccomp": "AAAA",
        "namespaces": {"readable": ["/usr"], "hidden": [None], "writable": [], "proc": False},
        "uid": 2**32 - 1,
    }
    plan = confinement(Isolation(tier=Tier.T0), Limits(), 0) | {mechanism: wrong[mechanism]}
    zygote = Zygote()
    try:
        with pytest.raises(SandboxError):
            Worker(zygote, plan, Limits(wall=5))
        Worker(zygote, plan | {mechanism: None}, Limits()).close()
    finally:
        zygote.close()


def test_a_worker_of_a_closed_sandbox_is_refused():
    with pytest.raises(SandboxError, match="not open"):
        Sandbox(Isolation(tier=Tier.T0)).worker()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_jump_of_the_filter_lands_on_an_instruction(machine):
    code = list(struct.iter_unpack("<HBBI", seccomp.program(machine)))

    for position, (operation, if_true, if_false, _) in enumerate(code):
        if operation & 0x07 == 0x05:
            assert position + 1 + max(if_true, if_false) < len(code)
    assert code[-1][0] == 0x06


def verdict(machine, architecture, number, argument=0, second=0, *, programs=False):
    """What the filter returns for a system call: an interpreter of the few instructions it uses."""
    code = list(struct.iter_unpack("<HBBI", seccomp.program(machine, programs=programs)))
    data = {0: number, 4: architecture, 16: argument, 24: second}
    position = accumulator = 0
    while True:
        operation, if_true, if_false, value = code[position]
        position += 1
        if operation == 0x20:
            accumulator = data[value]
        elif operation == 0x06:
            return value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
            position += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_refuses_its_table_and_allows_the_rest(machine, column):
    architecture = seccomp.MACHINES[machine][1]
    refused, allowed, absent = 0x00050001, 0x7FFF0000, 0x00050026
    read, write, futex, mmap = {"x86_64": (0, 1, 202, 9), "aarch64": (63, 64, 98, 222)}[machine]
    clone, clone3, prctl, prlimit, fcntl = (
        n[column] for n in ((56, 220), (435, 435), (157, 167), (302, 261), (72, 25))
    )

    assert {verdict(machine, architecture, n[column]) for n in seccomp.SYSCALLS.values() if n[column] >= 0} == {refused}
    assert {verdict(machine, architecture, n) for n in (read, write, futex, mmap)} == {allowed}
    assert verdict(machine, architecture, clone3) == absent
    assert (verdict(machine, architecture, clone, 0x11), verdict(machine, architecture, clone, 0x10F00)) == (
        refused,
        allowed,
    )
    assert (verdict(machine, architecture, prctl, 1), verdict(machine, architecture, prctl, 15)) == (refused, allowed)
    assert (verdict(machine, architecture, prlimit, 99), verdict(machine, architecture, prlimit, 0)) == (
        refused,
        allowed,
    )
    assert [verdict(machine, architecture, fcntl, 10, command) for command in (3, 4, 8, 15, 1030)] == [
        allowed, allowed, refused, refused, allowed,
    ]  # fmt: skip
    assert verdict(machine, 0x40000003, read) == 0x80000000, "of another ABI"


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_of_a_compiler_lets_programs_start_and_nothing_else(machine, column):
    architecture = seccomp.MACHINES[machine][1]
    refused, allowed = 0x00050001, 0x7FFF0000
    table = {name: numbers[column] for name, numbers in seccomp.SYSCALLS.items() if numbers[column] >= 0}
    clone = (56, 220)[column]
    passed = {
        name for name, number in table.items() if verdict(machine, architecture, number, programs=True) == allowed
    }

    assert passed == table.keys() & {"execve", "execveat", "fork", "vfork", "chmod", "fchmod", "fchmodat", "setpgid"}
    assert verdict(machine, architecture, clone, 0x11, programs=True) == allowed
    for namespace in (0x80, 0x20000, *(1 << bit for bit in range(25, 31))):
        assert verdict(machine, architecture, clone, 0x11 | namespace, programs=True) == refused


def test_the_environment_of_a_worker_has_nothing_of_the_callers(monkeypatch):
    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")

    assert not {"TOKEN", "PYTHONPATH", "SSH_AUTH_SOCK"} & environment().keys()


def test_the_number_of_processes_is_limited_only_for_a_user_of_the_workers_own():
    assert "RLIMIT_NPROC" not in resource_limits(Limits(), own_user=False)
    assert resource_limits(Limits(cpu=0.2), own_user=True)["RLIMIT_CPU"] == [1, 2]


def test_other_packages_beside_pythons_library_are_not_granted():
    paths, hidden = granted()

    assert all(any(other.startswith(f"{path}/") for path in paths) for other in hidden)
    assert not any(path.endswith(("site-packages", "dist-packages")) for path in paths)
