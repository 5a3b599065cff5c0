"""Control groups bound a whole tree, and nothing of them is left, however the grader ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnbench.sandbox import cgroup
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.tiers import Tier, at, probe
from bnbench.sandbox.worker import Status, SubmissionError

if sys.platform != "linux":
    pytest.skip("the mechanism is Linux's", allow_module_level=True)
try:
    FOUND = cgroup.hierarchy()
except cgroup.CgroupError as error:
    pytest.skip(str(error), allow_module_level=True)

ENTER = """
import os, sys
for path in sys.argv[1].split(","):
    with open(path, "w") as file:
        file.write("0")
"""


@pytest.fixture
def group():
    group = cgroup.Group(FOUND, "test", memory=64 << 20, processes=8)
    yield group
    group.remove()


def run(text, group=None):
    """Exit status of a program, within a group or without."""
    entering = ENTER if group else ""
    entrances = ",".join(group.entrances) if group else ""
    return subprocess.run([sys.executable, "-c", entering + text, entrances], check=False, timeout=60).returncode


def groups():
    return {folder.name for parent in FOUND.parents.values() for folder in parent.glob("bnbench-*")}


def test_the_memory_of_a_tree_is_bounded_together(group):
    text = """
import os, time
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        held = bytes(1) * (30 << 20)
        time.sleep(0.5)
        os._exit(0)
    children.append(pid)
os._exit(any([os.waitpid(pid, 0)[1] for pid in children]))
"""
    assert run(text) == 0, "the control"
    assert not group.out_of_memory
    assert run(text, group) != 0
    assert group.out_of_memory


def test_the_processes_of_a_tree_are_bounded_together(group):
    text = """
import os, time
started = 0
try:
    for _ in range(20):
        if os.fork() == 0:
            time.sleep(0.5)
            os._exit(0)
        started += 1
except BlockingIOError:
    pass
os._exit(started)
"""
    assert run(text) == 20, "the control"
    assert run(text, group) == 7


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 64)
        time.sleep(600)
    os._exit(0)
os.wait()
"""


def test_what_has_left_its_session_is_killed_with_the_group():
    group = cgroup.Group(FOUND, "daemon", memory=64 << 20, processes=8)
    assert run(DAEMON, group) == 0
    (daemon,) = Path(group.entrances[0]).read_text().split()
    assert alive(daemon)

    group.remove()

    assert not alive(daemon)
    assert not any(folder.exists() for folder in group.folders.values())


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


GRADER = """
import subprocess, sys, time
from bnbench.sandbox import cgroup
group = cgroup.Group(cgroup.hierarchy(), "orphan", memory=64 << 20, processes=8)
subprocess.run([sys.executable, "-c", sys.argv[1], ",".join(group.entrances)], check=True)
print(group.folders["memory"].name, flush=True)
time.sleep(600)
"""


def test_the_groups_of_a_killed_grader_are_swept_and_those_of_a_living_one_are_not():
    command = [sys.executable, "-c", GRADER, ENTER + DAEMON]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as grader:
        name = grader.stdout.readline().strip()
        (daemon,) = (FOUND.parents["pids"] / name / "cgroup.procs").read_text().split()
        assert name not in cgroup.sweep(FOUND)
        assert alive(daemon)

        grader.send_signal(signal.SIGKILL)
        grader.wait()

    assert alive(daemon), "the control"
    assert name in cgroup.sweep(FOUND)
    assert not alive(daemon)
    assert name not in groups()


def test_a_name_that_is_not_ours_is_not_swept():
    foreign = FOUND.parents["pids"] / "bnbench-but-not-ours"
    foreign.mkdir()
    try:
        cgroup.sweep(FOUND)
        assert foreign.exists()
    finally:
        foreign.rmdir()


def test_an_open_sandbox_sweeps_and_a_closed_one_leaves_no_group():
    if probe().tier < Tier.T4:
        pytest.skip(str(probe().why))
    before = groups()
    with Sandbox() as sandbox:
        worker = sandbox.worker()
        assert len(groups() - before) == 1
        worker.close()
        assert groups() <= before
        sandbox.worker()
        sandbox.worker()
    assert groups() <= before

    text = """
from bnbench.sandbox.host import Sandbox
with Sandbox() as sandbox:
    worker = sandbox.worker()
    print("ready", flush=True)
    import time; time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as grader:
        assert grader.stdout.readline() == b"ready\n"
        grader.kill()
        grader.wait()
    mark = f"-{grader.pid}-"
    assert any(mark in name for name in groups()), "the control"
    with Sandbox():
        assert not any(mark in name for name in groups())


def test_a_worker_short_of_its_groups_memory_is_told_so():
    if probe().tier < Tier.T4:
        pytest.skip(str(probe().why))
    text = "import mmap\ndef f():\n    return len(held := bytearray(200 << 20))"
    small = Limits(wall=20, memory=100 << 20)

    with Sandbox() as sandbox:
        worker = sandbox.worker(Limits(wall=20))
        worker.load(text, "layers.py")
        group = worker._group  # noqa: SLF001 - RLIMIT_AS comes first in a worker of its own accord
        (group.folders["memory"] / ("memory.limit_in_bytes" if FOUND.version == 1 else "memory.max")).write_text(
            str(small.memory)
        )
        with pytest.raises(SubmissionError) as caught:
            worker.call("f")
    assert caught.value.status == Status.MEMORY

    with Sandbox(at(probe(), Tier.T3)) as sandbox, sandbox.worker(Limits(wall=20)) as worker:
        worker.load(text, "layers.py")
        assert worker.call("f").values == (200 << 20,)


UNIFIED = next(
    (
        Path(line.split()[1])
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if line.split()[2] == "cgroup2" and os.access(line.split()[1], os.W_OK)
    ),
    None,
)


@pytest.mark.skipif(UNIFIED is None, reason="no writable control groups of version 2")
def test_a_group_of_version_2_is_removed_with_what_is_in_it():
    folder = UNIFIED / cgroup._name("two")  # noqa: SLF001
    folder.mkdir()
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        (folder / "cgroup.procs").write_text(str(sleeper.pid))
        cgroup._remove(folder)  # noqa: SLF001
        start = time.monotonic()
        assert sleeper.wait(10) == -signal.SIGKILL
        assert time.monotonic() - start < 10
    assert not folder.exists()


@pytest.mark.skipif(UNIFIED is None or FOUND.version == 2, reason="version 2 has the controllers here")
def test_version_2_without_its_controllers_says_which():
    with pytest.raises(cgroup.CgroupError, match="version 2 without memory, pids"):
        cgroup._delegated(UNIFIED)  # noqa: SLF001
