"""The zygote: a clean, warm process that forks one worker for each start that is asked of it.

Run by path in a clean environment: ``main.py CONTROL PARENT SITE``, with the number of a stream socket's descriptor,
the process id of the parent and the folder of NumPy. It imports, and never computes: the threads of a library would not
survive the fork. It holds no reference, no input and no submission, so that there is nothing in a worker to be found.

On the socket each message is four bytes of length and JSON. The parent sends ``{"start": slot, "confinement": {...}}``
with two descriptors, of the requests and of the replies, or with a ``"program"`` (child/program.py) and two more, of
its words and of its status, which ends when the program starts; and ``{"stop": slot}``. The zygote sends
``{"ready": true}`` once and, for each worker, ``{"ended": slot, "status": wait status, "cpu": seconds, "memory": KiB,
"over": whether it was killed for its memory}``. When the parent ends, however it ends, the zygote kills every worker
and ends.
"""

# ruff: noqa: PTH100, PTH120, PTH123 - paths as the kernel takes them

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

REQUESTS, REPLIES, RULESET, STATUS = 10, 11, 12, 13
"""Descriptors of a worker."""
WATCH_MILLISECONDS = 20
"""Between two looks at the memory of programs."""

PRELOADED = """
    math cmath copy itertools functools collections collections.abc operator typing types dataclasses enum abc numbers
    time timeit random string re json pickle warnings contextlib traceback linecache io platform pprint textwrap inspect
    datetime logging fractions decimal statistics glob argparse os.path builtins unittest
    encodings.ascii encodings.latin_1 encodings.idna numpy numpy.linalg numpy.random numpy.fft numpy.testing numpy.ma
""".split()  # noqa: SIM905 - a list of sixty strings would be two pages
"""What a submission may import although it can't read the files: as another user, or behind Landlock."""


def main(control: int, parent: int, site: str) -> None:
    """Serve the parent until it ends."""
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:0] = [os.path.dirname(folder)]
    sys.path.append(site)
    serve = importlib.import_module("child.serve")
    confine = importlib.import_module("child.confine")
    namespaces = importlib.import_module("child.namespaces")
    program = importlib.import_module("child.program")
    resident = importlib.import_module("child.resident")
    importlib.import_module("child.uw")
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    sys.path = [path for path in sys.path if path not in {site, os.path.dirname(folder), folder}]
    gc.freeze()
    with socket.socket(fileno=control) as connection:
        connection.set_inheritable(False)
        Zygote(connection, parent, (serve, confine, namespaces, program, resident)).run()


class Zygote:
    """The workers that run, by process id."""

    def __init__(self, connection: socket.socket, parent: int, modules: tuple[Any, ...]) -> None:
        self.connection = connection
        self.parent = parent
        self.serve, self.confine, self.namespaces, self.program, self.resident = modules
        self.slots: dict[int, int] = {}
        self.watched: dict[int, int] = {}
        self.over: set[int] = set()
        self.rulesets: dict[str, int] = {}

    def run(self) -> None:
        awake, wake = os.pipe()
        for descriptor in (awake, wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        poll.register(awake, select.POLLIN)
        linux = sys.platform == "linux"
        if linux:
            self.confine.set_dumpable(False)
            pr_set_child_subreaper = 36  # a worker's daemon becomes a child of this process
            self.confine.prctl(pr_set_child_subreaper, 1)
            with contextlib.suppress(OSError):  # the end of the connection tells as well, mostly
                poll.register(os.pidfd_open(self.parent), select.POLLIN)
        if os.getppid() != self.parent:
            return
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        self.tell({"ready": True})
        try:
            while True:
                events = dict(poll.poll(WATCH_MILLISECONDS if self.watched else None))
                self.watch()
                if events.pop(awake, 0):
                    os.read(awake, 4096)
                    self.reap()
                if events.pop(self.connection.fileno(), 0) and not self.obey():
                    return
                if events:
                    return
        finally:
            for pid in self.slots:
                os.kill(pid, signal.SIGKILL)
            self.sweep(set())

    def tell(self, message: dict[str, Any]) -> None:
        text = json.dumps(message).encode()
        self.connection.sendall(struct.pack("<I", len(text)) + text)

    def obey(self) -> bool:
        """Do what one message asks; False when the parent has closed the connection."""
        try:
            head, descriptors, _, _ = socket.recv_fds(self.connection, 4, 4)
            if len(head) < 4:
                return False
            text = self.serve.receive(self.connection.fileno(), struct.unpack("<I", head)[0])
        except ConnectionError:
            return False
        message = json.loads(text)
        if "start" in message:
            self.start(message["start"], message["confinement"], message.get("program"), descriptors)
        else:
            for pid, slot in self.slots.items():
                if slot == message["stop"]:
                    os.kill(pid, signal.SIGKILL)
        return True

    def start(
        self, slot: int, confinement: dict[str, Any], program: dict[str, Any] | None, descriptors: list[int]
    ) -> None:
        ruleset = None
        problem = None
        try:
            if confinement["landlock"] is not None and program is None:
                key = json.dumps(confinement["landlock"])
                if key not in self.rulesets:
                    self.rulesets[key] = self.confine.landlock_ruleset(confinement["landlock"])
                ruleset = self.rulesets[key]
        except OSError as error:
            problem = str(error)
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            places = (REQUESTS, REPLIES) if program is None else (0, REPLIES, 2, STATUS)
            placed = dict(zip(places, descriptors, strict=True)) | ({} if ruleset is None else {RULESET: ruleset})
            self.work(confinement, program, zygote, placed, problem)
        self.slots[pid] = slot
        if confinement["resident"] is not None:
            self.watched[pid] = confinement["resident"]
        for descriptor in descriptors:
            os.close(descriptor)

    def watch(self) -> None:
        """Kill what holds more memory than it may, and what it has left, whose memory would not be counted."""
        for pid, limit in self.watched.items():
            if self.resident.resident(pid) > limit:
                self.over.add(pid)
                os.kill(pid, signal.SIGKILL)
        if self.watched:
            self.sweep(set(self.slots))

    def work(
        self,
        confinement: dict[str, Any],
        program: dict[str, Any] | None,
        zygote: int,
        descriptors: dict[int, int],
        problem: str | None,
    ) -> NoReturn:
        """Be a worker: confine this process, load and serve, and end."""
        code = 70  # "internal software error", sysexits.h
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            _placed(descriptors)
            ruleset = RULESET if RULESET in descriptors else None
            try:
                if problem is not None:
                    raise OSError(problem)  # noqa: TRY301 - told where every other step's failure is
                os.setsid()
                for path in confinement["cgroup"]:
                    with open(path, "w") as file:
                        file.write("0")
                if sys.platform == "linux":
                    self.confine.die_with_parent(zygote)
                parent = zygote
                if confinement["namespaces"] is not None:
                    self.namespaces.enter(**confinement["namespaces"])
                    parent = 0  # outside, and so without a number here
                if program is not None and confinement["landlock"] is not None:  # of the /proc that is its own
                    ruleset = self.confine.landlock_ruleset(confinement["landlock"])
                self.confine.confine(confinement, parent, ruleset)
                if program is not None:
                    self.program.run(program, STATUS)
            except OSError as error:
                text = self.serve.cut(str(error.args[-1]))
                if program is None:
                    failure = self.serve.wire.encode([0, text])
                    self.serve.send(REPLIES, self.serve.wire.UNCONFINED, 0, 0, failure)
                else:
                    os.write(STATUS, text.encode())
                os._exit(code)
            if program is None:
                self.serve.serve(REQUESTS, REPLIES)
            code = 0
        finally:
            os._exit(code)  # and so without the submission's atexit functions and the zygote's own end

    def reap(self) -> None:
        """Report the workers that have ended, and kill what they left running."""
        ended = False
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self.slots:
                ended = True
                cpu = usage.ru_utime + usage.ru_stime
                slot = self.slots.pop(pid)
                self.sweep(set(self.slots))
                self.watched.pop(pid, None)
                over = pid in self.over
                self.over.discard(pid)
                self.tell({"ended": slot, "status": status, "cpu": cpu, "memory": usage.ru_maxrss, "over": over})
        if not ended:
            self.sweep(set(self.slots))

    def sweep(self, kept: set[int]) -> None:
        """Kill the children that are no workers: what a worker has started comes here when it loses its parent."""
        for _ in range(1000):  # a fork bomb that runs as this user may be faster
            try:
                with open(f"/proc/self/task/{os.getpid()}/children") as file:
                    strays = {int(pid) for pid in file.read().split()} - kept
            except OSError:  # not on every system
                return
            if not strays:
                return
            for pid in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in strays:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _placed(descriptors: dict[int, int]) -> None:
    """Move a worker's descriptors to their places and close all others but the three that go nowhere."""
    safe = {place: fcntl.fcntl(d, fcntl.F_DUPFD, 100) for place, d in descriptors.items()}  # out of the way
    for place, descriptor in safe.items():
        os.dup2(descriptor, place)
    kept = sorted({2, *descriptors})
    for low, high in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        if low >= 2:
            os.closerange(low + 1, high)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
