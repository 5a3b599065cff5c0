"""A confined program as the parent sees it: its standard input, its replies, its words, and how it ended."""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
import time
from typing import Any, Self

from bnbench.sandbox.cgroup import Group
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.zygote import Ended, SandboxError, Zygote

_GRACE = 5.0
"""Seconds for a program to start, and for a killed one to be gone, on a machine that is busy."""


class Program:
    """A program that runs. Raises SandboxError when it could not be confined or started."""

    def __init__(
        self,
        zygote: Zygote,
        confinement: dict[str, Any],
        program: dict[str, Any],
        limits: Limits,
        group: Group | None = None,
    ) -> None:
        self._zygote, self._group, self._limits = zygote, group, limits
        self._ended: Ended | None = None
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close(); bounded by RLIMIT_FSIZE from T1 on
        self.out_of_memory = False
        """Whether it was ended for holding, with all that it started, more memory than ``Limits.memory``."""
        self._slot, self.requests, self.replies, status = zygote.start_program(
            confinement, program, self._words.fileno()
        )
        problem = _all_of(status, time.monotonic() + _GRACE)
        if problem is None or problem:
            self.close()
            raise SandboxError("the program did not start" if problem is None else f"not started: {problem}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, seconds: float) -> Ended | None:
        """How it ended by itself; None if it has not within so many seconds."""
        if self._ended is None and self._slot:
            self._ended = self._zygote.ended(self._slot, time.monotonic() + seconds)
            if self._ended is not None:
                self._settle()
        return self._ended

    def words(self, most: int) -> bytes:
        """What it has written to standard error, so many bytes at most; its standard output goes nowhere."""
        return os.pread(self._words.fileno(), most, 0)

    def close(self) -> Ended | None:
        """Kill it and all that it started, where that runs, and wait until it is gone; may be repeated."""
        if self._ended is None and self._slot:
            with contextlib.suppress(SandboxError):  # without its zygote it is gone already
                self._zygote.stop(self._slot)
                self._ended = self._zygote.ended(self._slot, time.monotonic() + _GRACE)
            self._settle()
        if self._slot:
            os.close(self.requests)
            os.close(self.replies)
            self._words.close()
        self._slot = 0
        return self._ended

    def _settle(self) -> None:
        """Once it has ended: what for, and its control group."""
        self.out_of_memory = self._ended is not None and self._ended.over
        if self._group is not None:
            self.out_of_memory |= self._group.out_of_memory
            self._group.remove()


def _all_of(descriptor: int, deadline: float) -> str | None:
    """What is read until the other end closes; None if it has not by the deadline. Closes the descriptor."""
    parts = b""
    try:
        while True:
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            part = os.read(descriptor, 4096)
            if not part:
                return parts.decode("utf-8", "replace")
            parts += part
    finally:
        os.close(descriptor)
