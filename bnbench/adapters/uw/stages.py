"""A compiled homework file behind its six functions, in a process of its own: a crash is an answer."""

from __future__ import annotations

import os
import select
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from bnbench.adapters.uw.compiler import Compiled
from bnbench.adapters.uw.process import Child, Here, Launch
from bnbench.diagnose.uw_stages import LAYER_RESULTS, Answer, Call, Stage
from bnbench.model import Array
from bnbench.sandbox.child import uw as child
from bnbench.sandbox.zygote import SandboxError

STAGE_SECONDS = 5.0
"""Deadline of one call; the calls take microseconds."""
START_SECONDS = 30.0
STDERR_BYTES = 1 << 16
DETAIL_CHARACTERS = 200


class _Overdue(Exception):
    """The reply did not come before the deadline."""


@contextmanager
def open_stages(compiled: Compiled, *, seconds: float = STAGE_SECONDS, launch: Launch = Here) -> Iterator[Call]:
    """Give a function that calls the stages of ``compiled``; the process beside it ends with the block.

    The process starts with the first call, and again after a crash or a missed deadline. Array
    arguments are float, ``(rows, cols)``, and reach the submission as float32. ``launch`` starts the
    process: with the user's own rights, or a stranger's file with ``stages_in(sandbox)``
    (:mod:`bnbench.adapters.uw.sandboxed`). A call raises SandboxError where that fails.
    """
    process: _Conversation | None = None

    def call(stage: Stage, groups: int, arguments: tuple[Array, ...]) -> Answer:
        nonlocal process
        process = process or _Conversation(launch(compiled), sanitized=bool(compiled.preload))
        answer = process.ask(stage, groups, arguments, time.monotonic() + seconds)
        if answer.status in {"crashed", "timeout"}:
            process.child.close()
            process = None
        return answer

    try:
        yield call
    finally:
        if process is not None:
            process.child.close()


class _Conversation:
    """The bytes to and from a running child. Raises SandboxError where it does not even start to load the library."""

    def __init__(self, running: Child, *, sanitized: bool) -> None:
        self.child = running
        self.sanitized = sanitized
        try:
            ready = self._read(len(child.MAGIC), time.monotonic() + START_SECONDS) == child.MAGIC
        except (_Overdue, EOFError, OSError):
            ready = False
        if not ready:
            words = self._last_words()
            running.close()
            raise SandboxError(f"the process for the functions did not start: {words[-DETAIL_CHARACTERS:]}")

    def ask(self, stage: Stage, groups: int, arguments: tuple[Array, ...], deadline: float) -> Answer:
        function = child.LAYER if stage == "forward" else child.STAGES.index(stage)
        request = child.REQUEST.pack(child.MAGIC, function, groups, len(arguments))
        for argument in arguments:
            request += child.SHAPE.pack(*argument.shape) + np.ascontiguousarray(argument, "<f4").tobytes()
        try:
            self._write(request, deadline)
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

    def _write(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            _, ready, _ = select.select([], [self.child.requests], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise _Overdue
            rest = rest[os.write(self.child.requests, rest) :]

    def _read(self, size: int, deadline: float) -> bytes:
        """Exactly ``size`` bytes, or EOFError, or _Overdue."""
        data = b""
        while len(data) < size:
            ready, _, _ = select.select([self.child.replies], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise _Overdue
            more = os.read(self.child.replies, size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _last_words(self) -> str:
        """How the child ended: the name of the signal, its last line, or all that the sanitizers wrote."""
        returncode = self.child.wait(1.0)
        if returncode is None:
            return "the process broke the protocol"
        words = self.child.words(STDERR_BYTES).decode("utf-8", "replace")
        if self.sanitized:
            return words
        if returncode < 0 and not words.strip():
            return signal.Signals(-returncode).name
        last = (words.strip().splitlines() or [f"exit status {returncode}"])[-1]
        return "".join(filter(str.isprintable, last))[:DETAIL_CHARACTERS]
