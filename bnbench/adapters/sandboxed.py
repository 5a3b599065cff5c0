"""A handed-in file of cs231n in a worker: its functions, to be called from here as if they were here.

What :mod:`bnbench.adapters.cs231n` makes of a module's functions it makes of these as well, so that every check runs on
them in this process, and arrays are all that the submission sees. A cache stays with the worker and is handed on by
number. Running statistics that are all zero are left out of bn_param, as on a student's first call.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from bnbench.adapters.cs231n import FUNCTIONS, GRADIENTS, AnswerTypeError, Function
from bnbench.sandbox.answers import Answer, AtMost, Call, Handle, Keep, Other, Wanted
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.worker import Contents, Status, SubmissionError, Worker
from bnbench.sandbox.zygote import SandboxError

RUNNING = ("running_mean", "running_var")
CACHES = 8
"""Caches that a worker keeps at a time: a kernel needs two at once."""
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
        self._numbers = cycle(range(CACHES))
        self._spent = 0.0
        self._unloadable: SubmissionError | None = None
        self.trouble: SubmissionError | SandboxError | None = None
        """Since :meth:`begin`: what ended the worker, or else the first exception of the submission."""
        self.fresh = True
        """Whether the worker has served nothing before :meth:`begin`."""
        self.finite = True
        """Whether every number that came back since :meth:`begin` was finite."""

    def __enter__(self) -> SandboxedFile:
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
        """Start a worker and load the file into it. Raises SubmissionError where it can't be loaded, and SandboxError."""
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

    def namespace(self, names: frozenset[str]) -> dict[str, Function]:
        """The functions of the course that are among ``names``. They raise SubmissionError; ValueError and TypeError
        where the submission does."""
        made: dict[str, Function] = {}
        for name in FUNCTIONS:
            if name in names:
                made[name] = partial(self._backward if "backward" in name else self._forward, name)
        return made

    @property
    def lost(self) -> bool:
        """Whether nothing more is to be had before :meth:`begin`."""
        return self.trouble is not None and not (
            isinstance(self.trouble, SubmissionError) and self.trouble.status in SURVIVED
        )

    def _forward(self, name: str, x: Any, gamma: Any, beta: Any, *rest: Any) -> Any:
        param = rest[-1]
        given = {key: value for key, value in param.items() if key not in RUNNING or not _is_fresh(param)}
        keys = RUNNING if "batchnorm" in name else ()
        wanted: tuple[Wanted, ...] = (AtMost(), Keep(next(self._numbers)))
        arguments = (x, gamma, beta, *rest[:-1], given)
        answer = self._answered(name, arguments, wanted, keys)
        for key in keys:
            param.pop(key, None)
            if key in answer.dicts[0]:
                param[key] = self._value(name, f'bn_param["{key}"]', answer.dicts[0][key])
        if answer.returned != len(wanted):
            return self._wrong_number(name, answer, ("out",))
        keep = wanted[1]
        return self._value(name, "out", answer.values[0]), Handle(keep.number if isinstance(keep, Keep) else 0)

    def _backward(self, name: str, dout: Any, cache: Any) -> Any:
        answer = self._answered(name, (dout, cache), (AtMost(),) * len(GRADIENTS), ())
        if answer.returned != len(GRADIENTS):
            return self._wrong_number(name, answer, GRADIENTS)
        return tuple(self._value(name, what, value) for what, value in zip(GRADIENTS, answer.values, strict=True))

    def _wrong_number(self, name: str, answer: Answer, names: tuple[str, ...]) -> Any:
        """What was returned in place of the values that were asked for, as far as it can be told from here."""
        if answer.returned == 1 and answer.values:
            return self._value(name, names[0], answer.values[0])
        return (None,) * answer.returned

    def _value(self, name: str, what: str, value: Any) -> Any:
        if isinstance(value, Other):
            raise AnswerTypeError(f"{name}: {what} is of type {value.name}, expected a NumPy array of floats")
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            self.finite = False
        return value

    def _answered(
        self, name: str, arguments: tuple[Any, ...], wanted: tuple[Wanted, ...], keys: tuple[str, ...]
    ) -> Answer:
        if self.lost and self.trouble is not None:
            raise self.trouble
        try:
            if self._worker is None:
                self.load()
            answer = self._timed(Call(function=name, arguments=arguments, wanted=wanted, keys=keys))
        except (SubmissionError, SandboxError) as error:
            cleaned = _cleaned(error)
            if self.trouble is None or (isinstance(cleaned, SandboxError) or cleaned.status not in SURVIVED):
                self.trouble = cleaned
            if self.lost:
                self.close()
            for builtin in (ValueError, TypeError):
                if isinstance(cleaned, SubmissionError) and cleaned.detail.startswith(f"{builtin.__name__}:"):
                    raise builtin(cleaned.detail) from cleaned  # a refusal, for the checks that allow one
            raise cleaned from error
        for position in answer.changed:
            arguments[position].fill(np.nan)  # so that the change shows here as it would in one process
        return answer

    def _timed(self, call: Call) -> Answer:
        if self._worker is None:
            raise SandboxError("there is no worker")
        start = time.monotonic()
        answers = self._worker.calls([call])
        self._spent += time.monotonic() - start
        if self._spent > self._limits.wall:
            raise SubmissionError(Status.TIMEOUT_WALL, f"took longer than {self._limits.wall:g} s in all")
        return answers[0]


def _is_fresh(param: dict[str, Any]) -> bool:
    return param.get("mode") == "train" and not any(np.any(param[key]) for key in RUNNING if key in param)


def _cleaned(error: SubmissionError | SandboxError) -> SubmissionError | SandboxError:
    """Without addresses in memory, which differ from run to run."""
    if isinstance(error, SandboxError):
        return error
    detail = _ADDRESS.sub("0x...", error.detail)
    return SubmissionError(error.status, detail, line=error.line, call=error.call)


Opener = Callable[[], SandboxedFile]
