"""The attacks of ``attacks.py`` at every tier: each gets through below its tier, and at none from there on."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.tiers import IsolationError, Tier, at, probe
from bnbench.sandbox.worker import SubmissionError

if sys.platform != "linux":
    pytest.skip("the mechanisms are Linux's", allow_module_level=True)

ROOT = Path(__file__).resolve().parent.parent.parent
ATTACKS = Path(__file__).with_name("attacks.py")
USER = 1500
AS_ROOT = os.geteuid() == 0

STOPPED_FROM = {
    # the first tier that stops it when the grader is root, and when it is an ordinary user
    "write_a_file": ("T1", "T2"),
    "read_a_secret": ("T1", "T2"),
    "stat_a_secret": ("T3", "T3"),
    "chmod_a_secret": ("T1", "T2"),
    "truncate_a_secret": ("T1", "T2"),
    "find_a_token_in_the_environment": ("T0", "T0"),
    "read_the_environment_of_the_grader": ("T1", "T1"),
    "read_the_memory_of_the_grader": ("T1", "T1"),
    "read_the_memory_of_the_grader_by_a_system_call": ("T1", "T1"),
    "connect_by_tcp": ("T2", "T2"),
    "send_by_udp": ("T2", "T2"),
    "connect_to_an_abstract_socket": ("T2", "T2"),
    "kill_a_process": ("T1", "T2"),
    "kill_a_thread": ("T1", "T2"),
    "kill_a_process_as_owner_of_a_pipe": ("T1", "T2"),
    "limit_another_process": ("T1", "T2"),
    "slow_another_process_down": ("T1", "T2"),
    "leave_a_daemon": ("T0", "T0"),
    "start_forty_processes": ("T1", "T2"),
    "execute_a_program": ("T2", "T2"),
    "enter_a_user_namespace": ("T2", "T2"),
    "enter_a_mount_namespace_of_a_user_namespace": ("T2", "T2"),
    "fill_the_disk": ("T1", "T1"),
    "fill_the_memory_with_a_file": ("T1", "T1"),
    "leave_a_shared_memory_segment": ("T2", "T2"),
    "import_a_package_that_was_not_granted": ("T2", "T2"),
    "read_an_inherited_descriptor": ("T0", "T0"),
    "outlive_the_parent": ("T2", "T2"),
    "open_an_io_ring": ("T2", "T2"),
}

LEVELS = [("plain", None), ("T0", None), ("T1", None), ("T2", 1), ("T2", 2), ("T2", 4), ("T2", None), ("T3", None)]
LEVELS += [("T4", None)]


@pytest.fixture(
    scope="module", params=LEVELS, ids=lambda level: level[0] + (f"-landlock{level[1]}" if level[1] else "")
)
def level(request):
    """A tier's name and its open sandbox; "plain" is a process without any."""
    tier, version = request.param
    if tier == "plain":
        yield tier, None
        return
    try:
        isolation = at(probe(), Tier(tier), landlock_abi=version)
    except IsolationError as error:
        pytest.skip(str(error))
    with Sandbox(isolation) as sandbox:
        yield tier, sandbox


class Prizes:
    """What attacks are after, made anew for each: files, a process, listeners, a token in the grader's memory."""

    def __init__(self, folder):
        self.token = f"token-{os.urandom(8).hex()}"
        self.folder = folder
        folder.chmod(0o755)
        self.secret = folder / "secret"
        self.secret.write_text(self.token)
        self.secret.chmod(0o600)
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        (folder / "site").mkdir()
        (folder / "site" / "granted_to_nobody.py").write_text("ANSWER = 42\n")
        self.in_memory = ctypes.create_string_buffer(self.token.encode())
        self.victim = subprocess.Popen(["sleep", "60"])
        self.tcp, self.udp, self.abstract = socket.socket(), socket.socket(type=socket.SOCK_DGRAM), socket.socket(1)
        self.tcp.bind(("127.0.0.1", 0))
        self.tcp.listen()
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        self.abstract.bind("\0" + self.token)
        self.abstract.listen()
        self.descriptor = os.open(self.secret, os.O_RDONLY)
        os.set_inheritable(self.descriptor, True)
        self.key = int.from_bytes(os.urandom(3))

    @property
    def target(self):
        return {
            "folder": str(self.folder),
            "open_folder": str(self.folder / "open"),
            "secret": str(self.secret),
            "site": str(self.folder / "site"),
            "token": self.token,
            "grader": os.getpid(),
            "address": ctypes.addressof(self.in_memory),
            "victim": self.victim.pid,
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "abstract": self.token,
            "descriptor": self.descriptor,
            "key": self.key,
        }

    def is_taken(self, attack):  # noqa: PLR0911 - one for each that leaves a trace
        """What the grader itself sees of an attack, where it sees anything; None where it does not."""
        if attack == "write_a_file":
            return (self.folder / "written").exists()
        if attack == "chmod_a_secret":
            return self.secret.stat().st_mode & 0o777 != 0o600
        if attack == "truncate_a_secret":
            return self.secret.stat().st_size == 0
        if attack == "fill_the_disk":
            return (self.folder / "open" / "large").exists() and (
                (self.folder / "open" / "large").stat().st_size == 20 << 20
            )
        if attack == "send_by_udp":
            return self.has_datagram()
        if attack.startswith("kill_"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.victim.wait(0.2)
            return self.victim.poll() is not None
        if attack == "slow_another_process_down":
            return os.getpriority(os.PRIO_PROCESS, self.victim.pid) == 19
        if attack == "leave_a_shared_memory_segment":
            return ctypes.CDLL(None).shmget(self.key, 4096, 0) >= 0
        return None

    def has_datagram(self):
        with contextlib.suppress(BlockingIOError):
            return self.udp.recv(1) == b"x"
        return False

    def close(self):
        libc = ctypes.CDLL(None)
        segment = libc.shmget(self.key, 4096, 0)
        if segment >= 0:
            libc.shmctl(segment, 0, None)  # IPC_RMID
        self.victim.kill()
        self.victim.wait()
        for connection in (self.tcp, self.udp, self.abstract):
            connection.close()
        os.close(self.descriptor)


@pytest.fixture
def prizes(monkeypatch):
    folder = Path(tempfile.mkdtemp())
    prizes = Prizes(folder)
    monkeypatch.setenv("BNBENCH_TEST_TOKEN", prizes.token)
    yield prizes
    prizes.close()
    shutil.rmtree(folder)


def plainly(attack, target):
    """What the attack returns, and its exit code, as an ordinary program that the grader starts."""
    text = f"import json, sys; exec(open(sys.argv[1]).read()); print(json.dumps({attack}(json.loads(sys.argv[2]))))"
    arguments = [sys.executable, "-c", text, str(ATTACKS), json.dumps(target)]
    run = subprocess.run(arguments, capture_output=True, text=True, close_fds=False, timeout=30, check=False)
    return (run.returncode == 0 and json.loads(run.stdout) is True) or run.returncode == 42


def sandboxed(attack, target, sandbox):
    with sandbox.worker() as worker:
        worker.load(ATTACKS.read_text(), "attacks.py")
        try:
            return worker.call(attack, target).values == (True,)
        except SubmissionError as error:
            return "exited with status 42" in error.detail


def descendants():
    """Processes, zombies aside, that run the attacks or a zygote of this process, or were forked from one."""
    found = set()
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = arguments.read_bytes().decode(errors="replace").split("\0")
            if str(ATTACKS) in words or (any(w.endswith("child/main.py") for w in words) and str(os.getpid()) in words):
                found.add(int(arguments.parent.name))
    return found


def left_over(before, *, wait):
    """The processes that an attack has left; waits a little for the killed to be gone, then kills the others."""
    for _ in range(50 if wait else 1):
        left = descendants() - before
        if not left:
            break
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


@pytest.mark.parametrize("attack", STOPPED_FROM)
def test_an_attack_gets_through_below_its_tier_and_not_from_there_on(attack, level, prizes):
    tier, sandbox = level
    ptrace_scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if "memory_of_the_grader" in attack and ptrace_scope.exists() and int(ptrace_scope.read_text()):
        pytest.skip("Yama keeps processes from reading others")
    if tier in ("plain", "T0", "T1") and attack == "open_an_io_ring" and _is_positive("kernel/io_uring_disabled"):
        pytest.skip("io_uring is switched off here")
    expected = tier == "plain" or tier < STOPPED_FROM[attack][0 if AS_ROOT else 1]
    before = descendants()

    got = plainly(attack, prizes.target) if sandbox is None else sandboxed(attack, prizes.target, sandbox)
    left = left_over(before, wait=not expected)

    taken = bool(left) if attack == "leave_a_daemon" else prizes.is_taken(attack)

    assert (got if taken is None else taken) == expected
    assert not left or attack == "leave_a_daemon"


def _is_positive(name):
    file = Path("/proc/sys") / name
    return file.exists() and int(file.read_text()) > 0


@pytest.mark.skipif(not AS_ROOT or "BNBENCH_TEST_INNER" in os.environ, reason="from root alone")
def test_the_attacks_fare_the_same_when_an_ordinary_user_grades():
    """The same file again, under another user."""
    helper = Path(__file__).with_name("as_user.py")
    paths = [sys.base_prefix, sys.prefix, str(ROOT)]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", __file__]
    environment = os.environ | {"BNBENCH_TEST_INNER": "1", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
    run = subprocess.run(
        [sys.executable, str(helper), str(USER), *paths, "--", *command],
        capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|skipped)", run.stdout)}
    assert sum(counts.values()) == len(STOPPED_FROM) * len(LEVELS) + 1
    assert counts["passed"] >= len(STOPPED_FROM) * 3, "plain, T0 and T1 need nothing of the kernel"
