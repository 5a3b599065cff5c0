"""A worker as the parent sees it: a submission behind two pipes, with one deadline for each request."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from bnbench.sandbox import frames
from bnbench.sandbox.answers import Answer, AtMost, Call, Wanted, answers, request, sizes
from bnbench.sandbox.cgroup import Group
from bnbench.sandbox.child import serve, wire
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.zygote import Ended, SandboxError, Zygote

ALL: tuple[Wanted, ...] = (AtMost(),) * 8
_FAILURE = (1, 5 + 9 + 5 + wire.TEXT_LIMIT)
_LOADED = (1, 1 << 20)
_GRACE = 5.0
"""Seconds for a killed process to be gone, on a machine that is busy."""


class Status(StrEnum):
    """Why there is no answer."""

    ERROR = "error"
    """The submission raised an exception, or returned what was not asked for."""
    CRASHED = "crashed"
    """A signal, or an exit without an answer."""
    TIMEOUT_CPU = "timeout_cpu"
    TIMEOUT_WALL = "timeout_wall"
    MEMORY = "memory"
    PROTOCOL = "protocol"
    """It wrote to the parent what is not an answer."""


class SubmissionError(RuntimeError):
    """A submission that gave no answer. The worker is gone after every status but ``error``, and mostly ``memory``."""

    def __init__(self, status: Status, detail: str, *, line: int = 0, call: int = 0) -> None:
        super().__init__(f"{status}: {detail}" + (f" (line {line})" if line else ""))
        self.status = status
        self.detail = detail
        """Text that the submission may have written: to be escaped wherever it is shown."""
        self.line = line
        """Of the submission's file; 0 where there is none."""
        self.call = call
        """Which call of a batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a submission turned out to hold, in its own words: nothing here proves anything."""

    functions: tuple[str, ...]
    problems: tuple[tuple[int, str], ...]
    """Lines and messages of the statements that failed."""
    missing: tuple[tuple[int, str], ...]
    """Lines and names of imports that were not resolved."""
    output: str
    """What it printed while it was loaded, cut short."""


class Worker:
    """A confined process that holds one submission. Raises SandboxError when it could not be confined."""

    def __init__(self, zygote: Zygote, confinement: dict[str, Any], limits: Limits, group: Group | None = None) -> None:
        self._zygote = zygote
        self._group = group
        self._limits = limits
        self._sequence = 0
        self._ended: Ended | None = None
        self._short_of_memory = False
        self._slot, self._requests, self._replies = zygote.start(confinement)
        deadline = time.monotonic() + max(_GRACE, limits.wall)
        allowed = {wire.READY: (1, 1), wire.UNCONFINED: _FAILURE}
        try:
            operation, _, value = self._received(allowed, deadline)
        except (frames.Late, frames.Closed, frames.Violation) as error:
            self.close()
            raise SandboxError(f"the worker did not start: {error!r}") from error
        if operation == wire.UNCONFINED:
            self.close()
            raise SandboxError(value[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, text: str, filename: str) -> Contents:
        """Run a submission's text. Raises SubmissionError where it ends the worker or does not end in time."""
        _, _, value = self._asked(wire.LOAD, wire.encode([text, filename]), {wire.LOADED: _LOADED})
        try:
            names, problems, missing, output = value
            contents = Contents(
                functions=tuple(str(name) for name in names),
                problems=tuple((int(line), str(text)) for line, text in problems),
                missing=tuple((int(line), str(name)) for line, name in missing),
                output=str(output),
            )
        except (TypeError, ValueError) as error:
            raise self._given_up(Status.PROTOCOL, "not an account of what was loaded") from error
        return contents

    def call(
        self, function: str, *arguments: Any, wanted: tuple[Wanted, ...] = ALL, keys: tuple[str, ...] = ()
    ) -> Answer:
        """Call one function of the submission: :class:`Call`. Raises SubmissionError."""
        return self.calls([Call(function=function, arguments=arguments, wanted=wanted, keys=keys)])[0]

    def calls(self, calls: Sequence[Call]) -> list[Answer]:
        """Call functions one after the other, in one round trip; a later call may use what an earlier one kept.

        All or nothing: the first call that fails is raised, as SubmissionError. Raises ValueError when the answer
        could be larger than ``Limits.answer``.
        """
        least, most = sizes(calls)
        if least > self._limits.answer:
            raise ValueError(f"the answer has {least} bytes or more, the limit is {self._limits.answer}")
        allowed = {wire.ANSWER: (least, min(most, self._limits.answer))}
        _, count, value = self._asked(wire.CALL, request(calls), allowed)
        try:
            return answers(calls, count, value)
        except frames.Violation as error:
            raise self._given_up(Status.PROTOCOL, str(error)) from error

    def probe(self, operation: str, *arguments: Any) -> Any:
        """Ask for what ``child/tracing.py`` does: "prepare", "trace" or "edited". Raises SubmissionError."""
        payload = wire.encode([operation, *arguments])
        _, _, value = self._asked(wire.PROBE, payload, {wire.PROBED: (1, self._limits.answer)})
        return value

    def finish(self) -> Ended:
        """Let the worker end by itself and see that it wrote nothing more. Raises SubmissionError."""
        deadline = time.monotonic() + self._limits.wall
        os.close(self._requests)
        self._requests = -1
        ended = self._zygote.ended(self._slot, deadline)
        if ended is None:
            raise self._given_up(Status.TIMEOUT_WALL, "did not end when there were no more requests")
        self._ended = ended
        quiet = frames.is_quiet(self._replies)
        self.close()
        if not quiet:
            raise SubmissionError(Status.PROTOCOL, "wrote more than the answers")
        if ended.signal or ended.code:
            raise self._of(ended)
        return ended

    def close(self) -> Ended | None:
        """Kill the worker if it runs and wait until it is gone; return how it ended. May be repeated."""
        if self._ended is None and self._slot:
            with contextlib.suppress(SandboxError):  # without its zygote it is gone already
                self._zygote.stop(self._slot)
                self._ended = self._zygote.ended(self._slot, time.monotonic() + _GRACE)
        if self._group is not None and self._slot:
            self._short_of_memory = self._group.out_of_memory
            self._group.remove()
        for descriptor in (self._requests, self._replies):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._slot, self._requests, self._replies = 0, -1, -1
        return self._ended

    def _asked(self, operation: int, payload: bytes, allowed: dict[int, tuple[int, int]]) -> tuple[int, int, Any]:
        if not self._slot:
            raise SandboxError("the worker has ended")
        deadline = time.monotonic() + self._limits.wall
        if not frames.is_quiet(self._replies):
            raise self._given_up(Status.PROTOCOL, "wrote something unasked")
        self._sequence += 1
        try:
            frames.send(self._requests, operation, self._sequence, payload, deadline)
            received, count, value = self._received(allowed | {wire.FAIL: _FAILURE}, deadline)
        except frames.Violation as error:
            raise self._given_up(Status.PROTOCOL, str(error)) from error
        except frames.Late as error:
            raise self._given_up(Status.TIMEOUT_WALL, f"no answer within {self._limits.wall:g} s") from error
        except frames.Closed as error:
            raise self._lost() from error
        if received == wire.FAIL:
            raise self._failed(count, value)
        return received, count, value

    def _received(self, allowed: dict[int, tuple[int, int]], deadline: float) -> tuple[int, int, Any]:
        return frames.receive(self._replies, self._sequence, allowed, deadline)

    def _failed(self, count: int, value: Any) -> SubmissionError:
        if type(value) is not list or [type(part) for part in value] != [int, str]:
            return self._given_up(Status.PROTOCOL, "not an account of a failure")
        line, text = value
        status = Status.MEMORY if text.partition(":")[0].endswith("MemoryError") else Status.ERROR
        return SubmissionError(status, serve.cut(text), line=max(0, line), call=count)

    def _given_up(self, status: Status, detail: str) -> SubmissionError:
        self.close()
        return SubmissionError(status, detail)

    def _lost(self) -> SubmissionError:
        """What to raise when the worker has closed its pipes."""
        self._ended = self._zygote.ended(self._slot, time.monotonic() + 1.0)
        if self._ended is None:
            return self._given_up(Status.PROTOCOL, "closed its pipe and ran on")
        ended = self._ended
        self.close()
        return self._of(ended)

    def _of(self, ended: Ended) -> SubmissionError:
        """What to raise for a worker that ended by itself."""
        if not ended.signal:
            return SubmissionError(Status.CRASHED, f"exited with status {ended.code} and no answer")
        if self._short_of_memory:
            return SubmissionError(Status.MEMORY, f"used more than {self._limits.memory >> 20} MiB")
        over = ended.cpu >= max(1, self._limits.cpu)
        if ended.signal == signal.SIGXCPU or (ended.signal == signal.SIGKILL and over):
            return SubmissionError(Status.TIMEOUT_CPU, f"used {ended.cpu:.1f} s of processor time")
        return SubmissionError(Status.CRASHED, f"ended by signal {ended.signal} ({signal.Signals(ended.signal).name})")
