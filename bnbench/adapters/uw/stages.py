"""A compiled homework file behind its six functions, in a process of its own: a crash is an answer."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

import numpy as np

from bnbench.adapters.uw.compiler import Compiled
from bnbench.diagnose.uw_stages import LAYER_RESULTS, Answer, Call, Stage
from bnbench.model import Array
from bnbench.sandbox.child import uw as child

STAGE_SECONDS = 5.0
"""Deadline of one call; the calls take microseconds."""
STDERR_BYTES = 1 << 16
DETAIL_CHARACTERS = 200
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class _Overdue(Exception):
    """The reply did not come before the deadline."""


@contextmanager
def open_stages(compiled: Compiled, *, seconds: float = STAGE_SECONDS) -> Iterator[Call]:
    """Give a function that calls the stages of ``compiled``; the process beside it ends with the block.

    The process starts with the first call, and again after a crash or a missed deadline. Array
    arguments are float, ``(rows, cols)``, and reach the submission as float32.
    """
    process: _Process | None = None

    def call(stage: Stage, groups: int, arguments: tuple[Array, ...]) -> Answer:
        nonlocal process
        process = process or _Process(compiled)
        answer = process.ask(stage, groups, arguments, time.monotonic() + seconds)
        if answer.status in {"crashed", "timeout"}:
            process.close()
            process = None
        return answer

    try:
        yield call
    finally:
        if process is not None:
            process.close()


class _Process:
    """A running child, and the bytes to and from it."""

    def __init__(self, compiled: Compiled) -> None:
        environment = {"LC_ALL": "C"}
        self.sanitized = bool(compiled.preload)
        if self.sanitized:
            environment |= SANITIZER_OPTIONS | {"LD_PRELOAD": compiled.preload}
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self.process = subprocess.Popen(  # noqa: S603 - the child is ours
            [sys.executable, "-I", "-S", child.__file__, str(compiled.library.resolve()), compiled.edition],
            env=environment,
            cwd=Path(tempfile.gettempdir()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            start_new_session=True,
        )
        assert self.process.stdin is not None  # noqa: S101 - both are pipes
        assert self.process.stdout is not None  # noqa: S101
        self.requests: IO[bytes] = self.process.stdin
        self.replies: IO[bytes] = self.process.stdout

    def ask(self, stage: Stage, groups: int, arguments: tuple[Array, ...], deadline: float) -> Answer:
        function = child.LAYER if stage == "forward" else child.STAGES.index(stage)
        request = child.REQUEST.pack(child.MAGIC, function, groups, len(arguments))
        for argument in arguments:
            request += child.SHAPE.pack(*argument.shape) + np.ascontiguousarray(argument, "<f4").tobytes()
        try:
            self.requests.write(request)
            self.requests.flush()
            return self._answer(len(arguments), deadline, layer=stage == "forward")
        except _Overdue:
            return Answer(status="timeout", detail="no answer before the deadline")
        except (OSError, EOFError, ValueError, struct.error):
            return Answer(status="crashed", detail=self._last_words())

    def _answer(self, arguments: int, deadline: float, *, layer: bool) -> Answer:
        magic, status, aliased, count = child.REPLY.unpack(self._read(child.REPLY.size, deadline))
        expected = {child.RETURNED: len(LAYER_RESULTS) if layer else 1 + arguments}
        if magic != child.MAGIC or count != expected.get(status, 0) or aliased > arguments:
            raise ValueError
        if status != child.RETURNED:
            details = {
                child.MISSING: "the function is missing",
                child.SHAPE_ABSURD: "the result has an impossible number of rows or columns",
                child.NO_DATA: "the result has no data",
            }
            kind: Literal["missing", "bad_result"] = "missing" if status == child.MISSING else "bad_result"
            return Answer(status=kind, detail=details[status])
        matrices = tuple(self._matrix(deadline) for _ in range(count))
        if layer:
            return Answer(status="returned", results=matrices)
        return Answer(
            status="returned",
            results=matrices[:1],
            arguments=matrices[1:],
            aliased=aliased - 1 if aliased else None,
        )

    def _matrix(self, deadline: float) -> Array:
        rows, cols = child.SHAPE.unpack(self._read(child.SHAPE.size, deadline))
        if rows < 0 or cols < 0 or rows * cols > child.MOST_ELEMENTS:
            raise ValueError
        data: Array = np.frombuffer(self._read(4 * rows * cols, deadline), "<f4").reshape(rows, cols)
        return data

    def _read(self, size: int, deadline: float) -> bytes:
        """Exactly ``size`` bytes, or EOFError, or _Overdue."""
        data = b""
        while len(data) < size:
            ready, _, _ = select.select([self.replies], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise _Overdue
            more = os.read(self.replies.fileno(), size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _last_words(self) -> str:
        """How the child ended: the name of the signal, its last line, or all that the sanitizers wrote."""
        try:
            returncode = self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "the process broke the protocol"
        self.stderr.seek(0)
        words = self.stderr.read(STDERR_BYTES).decode("utf-8", "replace")
        if self.sanitized:
            return words
        if returncode < 0 and not words.strip():
            return signal.Signals(-returncode).name
        last = (words.strip().splitlines() or [f"exit status {returncode}"])[-1]
        return "".join(filter(str.isprintable, last))[:DETAIL_CHARACTERS]

    def close(self) -> None:
        """End the process and whatever it started."""
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.requests, self.replies, self.stderr):
            with suppress(BrokenPipeError):  # what was still to be sent has no receiver
                stream.close()
