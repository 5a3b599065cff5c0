"""The parent's side of the zygote: start it, ask it for workers, learn how they ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnbench.sandbox.limits import environment

PIPE_BYTES = 1 << 20
"""Of each pipe: a larger answer makes the two sides take turns."""
START_SECONDS = 60.0
"""For Python and NumPy to be imported, on a slow disk."""


class SandboxError(RuntimeError):
    """The sandbox itself does not work: never the submission's fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a worker ended."""

    signal: int
    """The signal that ended it; 0 if none did."""
    code: int
    """What it exited with, if no signal ended it."""
    cpu: float
    """Seconds, user and system."""
    memory: int
    """Largest resident size, in KiB."""
    over: bool = False
    """Whether it was killed because it and what it had started held more memory than they may."""


class Zygote:
    """A clean process that forks workers. One thread of the parent uses it; any number of workers may run at a time.

    Raises SandboxError when it does not start, and later when it is gone.
    """

    def __init__(self) -> None:
        main = Path(__file__).with_name("child") / "main.py"
        site = str(Path(np.__file__).parent.parent)
        self._connection, theirs = socket.socketpair()
        with theirs:
            arguments = ["-s", "-S", "-P", "-B", str(main), str(theirs.fileno()), str(os.getpid()), site]
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this file
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env=environment(),
            )
        self._slots = 0
        self._ended: dict[int, Ended] = {}
        try:
            self._read(time.monotonic() + START_SECONDS)
        except SandboxError:
            self._process.kill()
            _, errors = self._process.communicate()
            self._connection.close()
            raise SandboxError(f"the zygote did not start: {errors.decode(errors='replace')[-500:]}") from None
        if self._process.stderr:
            self._process.stderr.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, confinement: dict[str, Any]) -> tuple[int, int, int]:
        """Fork a worker; return its slot, where to write requests and where to read replies (non-blocking)."""
        requests, replies = os.pipe(), os.pipe()
        ours, theirs = (requests[1], replies[0]), (requests[0], replies[1])
        return self._sent({"confinement": confinement}, theirs, ours), *ours

    def start_program(self, confinement: dict[str, Any], program: dict[str, Any], words: int) -> tuple[int, ...]:
        """Fork a worker that becomes a program: ``child/program.py``; its words go to the descriptor ``words``.

        Return its slot, where to write its standard input, where to read its replies, and where to read why it did not
        start: nothing, when it did.
        """
        requests, replies, status = os.pipe(), os.pipe(), os.pipe()
        ours, theirs = (requests[1], replies[0], status[0]), (requests[0], replies[1], status[1])
        message = {"confinement": confinement, "program": program}
        return self._sent(message, (*theirs[:2], os.dup(words), theirs[2]), ours), *ours

    def _sent(self, message: dict[str, Any], theirs: tuple[int, ...], ours: tuple[int, ...]) -> int:
        """Send a start with the descriptors of the other side, which are closed here; return the slot."""
        self._slots += 1
        text = json.dumps({"start": self._slots} | message).encode()
        try:
            socket.send_fds(self._connection, [struct.pack("<I", len(text))], list(theirs))
            self._connection.sendall(text)
        except OSError as error:
            for descriptor in ours:
                os.close(descriptor)
            raise SandboxError("the zygote is gone") from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        for descriptor in ours:
            os.set_blocking(descriptor, False)
            if sys.platform == "linux":
                with contextlib.suppress(OSError):  # a user may have used up what pipes may hold
                    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return self._slots

    def stop(self, slot: int) -> None:
        """Kill a worker. Whether it has ended is told by :meth:`ended`."""
        text = json.dumps({"stop": slot}).encode()
        try:
            self._connection.sendall(struct.pack("<I", len(text)) + text)
        except OSError as error:
            raise SandboxError("the zygote is gone") from error

    def ended(self, slot: int, deadline: float) -> Ended | None:
        """How a worker ended; None if it has not by ``deadline`` (``time.monotonic``). To be asked once."""
        while slot not in self._ended:
            try:
                self._read(deadline)
            except TimeoutError:
                return None
        return self._ended.pop(slot)

    def close(self) -> None:
        """End the zygote and, with it, every worker."""
        self._connection.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:  # stopped by a worker that ran as the same user, say
            self._process.kill()
            self._process.wait()

    def _read(self, deadline: float) -> None:
        message = json.loads(self._exactly(struct.unpack("<I", self._exactly(4, deadline))[0], deadline))
        if "ended" in message:
            status = message["status"]
            self._ended[message["ended"]] = Ended(
                signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
                cpu=message["cpu"],
                memory=message["memory"],
                over=message["over"],
            )

    def _exactly(self, size: int, deadline: float) -> bytes:
        parts = b""
        while len(parts) < size:
            if not select.select([self._connection], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            try:
                part = self._connection.recv(size - len(parts))
            except ConnectionError:
                part = b""
            if not part:
                raise SandboxError("the zygote is gone")
            parts += part
        return parts
