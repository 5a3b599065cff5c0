"""The process that serves a compiled file's functions: what :mod:`bnbench.adapters.uw.stages` needs of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias

from bnbench.adapters.uw.compiler import Compiled
from bnbench.sandbox.child import uw as child

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class Child(Protocol):
    """A running child/uw.py."""

    requests: int
    """Descriptor to write to, non-blocking."""
    replies: int
    """Descriptor to read from, non-blocking."""

    def wait(self, seconds: float) -> int | None:
        """How it ended, within so many seconds: an exit status or minus a signal; None if it runs on."""

    def words(self, most: int) -> bytes:
        """What it has written to standard error, so many bytes at most."""

    def close(self) -> None:
        """End it and whatever it started; wait until it is gone."""


Launch: TypeAlias = Callable[[Compiled], Child]


class Here(Child):
    """A child with the user's own rights."""

    def __init__(self, compiled: Compiled) -> None:
        environment = {"LC_ALL": "C"}
        if compiled.preload:
            environment |= SANITIZER_OPTIONS | {"LD_PRELOAD": compiled.preload}
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        theirs_in, self.requests = os.pipe()
        self.replies, theirs_out = os.pipe()
        arguments = ["-I", "-S", child.__file__, str(compiled.library.resolve()), compiled.edition, str(theirs_out)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the child is ours
                [sys.executable, *arguments],
                env=environment,
                cwd=tempfile.gettempdir(),
                stdin=theirs_in,
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                pass_fds=[theirs_out],
                start_new_session=True,
            )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        for descriptor in (self.requests, self.replies):
            os.set_blocking(descriptor, False)

    def wait(self, seconds: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def words(self, most: int) -> bytes:
        return os.pread(self._words.fileno(), most, 0)

    def close(self) -> None:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self.requests)
        os.close(self.replies)
        self._words.close()
