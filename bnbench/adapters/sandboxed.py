"""A handed-in file of cs231n in a worker, which is called as long as it lasts: what became of it is kept beside.

Arrays and options are all that the submission sees. A cache stays with the worker and is handed on by number.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Self

from bnbench.sandbox.answers import Answer, Call
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.worker import Contents, Status, SubmissionError, Worker
from bnbench.sandbox.zygote import SandboxError

SURVIVED = frozenset({Status.ERROR, Status.MEMORY})
"""After these the worker goes on."""
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}")


class SandboxedFile:
    """One submission behind a worker, which is started when it is needed and again after it died.

    ``limits.wall`` bounds each request and all requests since :meth:`begin` together. A context manager that leaves
    no worker behind.
    """

    def __init__(self, sandbox: Sandbox, text: str, filename: str, limits: Limits) -> None:
        self._sandbox, self._text, self._filename, self._limits = sandbox, text, filename, limits
        self._worker: Worker | None = None
        self._spent = 0.0
        self._unloadable: SubmissionError | None = None
        self.trouble: SubmissionError | SandboxError | None = None
        """Since :meth:`begin`: what ended the worker, or else the first exception of the submission."""
        self.fresh = True
        """Whether the worker has served nothing before :meth:`begin`, or is still to be started."""
        self.finite = True
        """Whether every number that came back since :meth:`begin` was finite."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def begin(self) -> None:
        """Forget what went before; the next call starts a worker where there is none."""
        self.trouble, self._spent, self.finite = self._unloadable, 0.0, True
        self.fresh = self._worker is None

    def load(self) -> Contents:
        """Start a worker and load the file into it. Raises SubmissionError where that fails, and SandboxError."""
        self.close()
        try:
            self._worker = self._sandbox.worker(self._limits)
            return self._worker.load(self._text, self._filename)
        except (SubmissionError, SandboxError) as error:
            self.close()
            self.trouble = error
            if isinstance(error, SubmissionError):
                self._unloadable = error
            raise

    @property
    def lost(self) -> bool:
        """Whether nothing more is to be had before :meth:`begin`."""
        return self.trouble is not None and not (
            isinstance(self.trouble, SubmissionError) and self.trouble.status in SURVIVED
        )

    def answers(self, calls: Sequence[Call]) -> Iterator[Answer]:
        """The answers to calls that are made one after the other, in one round trip.

        If one raises an exception, they are made again one by one, each when its answer is fetched: so that it is
        known which, and that none is made on what another did not give. Raises ValueError and TypeError where the
        submission does, SubmissionError and SandboxError.
        """
        before = self.trouble
        try:
            return iter(self._answered(calls))
        except SubmissionError as error:
            if self.lost or len(calls) == 1:
                raise _as_raised(error) from error
            first, self.trouble = self.trouble, before
            return self._one_by_one(calls, error, first)

    def _one_by_one(
        self, calls: Sequence[Call], error: SubmissionError, trouble: SubmissionError | SandboxError | None
    ) -> Iterator[Answer]:
        for number, call in enumerate(calls, start=1):
            try:
                (answer,) = self._answered([call])
            except SubmissionError as again:
                raise _as_raised(again) from again
            if number == len(calls):  # all is well the second time, and it may have known
                self.trouble = self.trouble or trouble
                raise _as_raised(error) from error
            yield answer

    def _answered(self, calls: Sequence[Call]) -> list[Answer]:
        if self.lost and self.trouble is not None:
            raise self.trouble
        try:
            if self._worker is None:
                self.load()
            return self._timed(calls)
        except (SubmissionError, SandboxError) as error:
            cleaned = _cleaned(error)
            if self.trouble is None or (isinstance(cleaned, SandboxError) or cleaned.status not in SURVIVED):
                self.trouble = cleaned
            if self.lost:
                self.close()
            raise cleaned from error

    def _timed(self, calls: Sequence[Call]) -> list[Answer]:
        if self._worker is None:
            raise SandboxError("there is no worker")
        start = time.monotonic()
        answers = self._worker.calls(calls)
        self._spent += time.monotonic() - start
        if self._spent > self._limits.wall:
            raise SubmissionError(Status.TIMEOUT_WALL, f"took longer than {self._limits.wall:g} s in all")
        return answers


def _as_raised(error: SubmissionError) -> Exception:
    """A ValueError or TypeError of the submission as such, for the checks that allow a refusal."""
    for builtin in (ValueError, TypeError):
        if error.detail.startswith(f"{builtin.__name__}:"):
            return builtin(error.detail)
    return error


def _cleaned(error: SubmissionError | SandboxError) -> SubmissionError | SandboxError:
    """Without addresses in memory, which differ from run to run."""
    if isinstance(error, SandboxError):
        return error
    detail = _ADDRESS.sub("0x...", error.detail)
    return SubmissionError(error.status, detail, line=error.line, call=error.call)
