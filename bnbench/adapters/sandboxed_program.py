"""One layer of a stranger's file as a program that can be traced, replayed and edited, in a worker."""

from __future__ import annotations

import ast
import contextlib
import time
from collections.abc import Mapping
from typing import Any, Self, get_args

import numpy as np

from bnbench.adapters.cs231n import Layer
from bnbench.adapters.program import LayerProgram
from bnbench.diagnose.program import Definition
from bnbench.model import Array
from bnbench.sandbox.answers import Handle
from bnbench.sandbox.child.history import Event
from bnbench.sandbox.child.probe import Failure, Trace
from bnbench.sandbox.child.sites import Role, Site
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.worker import Status, SubmissionError

LIMITS = Limits(wall=10.0, cpu=20.0, answer=64 << 20)
SECONDS = 60.0
"""Of one diagnosis in all; an ordinary one takes a few."""
_SITE = [str, int, int, int, int, str, str, str]


class SandboxedProgram(LayerProgram):
    """As the program of one's own file, but for where it runs; what comes back is checked, and proves nothing.

    Its methods raise SubmissionError and SandboxError as well. A context manager that leaves no worker behind.
    """

    def __init__(self, sandbox: Sandbox, text: str, filename: str, layer: Layer, **options: Any) -> None:
        self._sandbox = sandbox
        self._closing = contextlib.ExitStack()
        super().__init__(text, filename, layer, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _load(self, text: str, filename: str, names: tuple[str, ...]) -> None:
        self._worker = self._closing.enter_context(self._sandbox.worker(LIMITS))
        self._deadline = time.monotonic() + SECONDS
        self._asked("prepare", text, filename, list(names))

    def _asked(self, operation: str, *arguments: Any) -> Any:
        if time.monotonic() > self._deadline:
            raise SubmissionError(Status.TIMEOUT_WALL, f"the diagnosis took longer than {SECONDS:g} s")
        return self._worker.probe(operation, *arguments)

    def _again(self, text: str) -> SandboxedProgram:
        changed = SandboxedProgram(self._sandbox, text, "<corrected>", self.layer, **self._options)
        return self._closing.enter_context(changed)

    def trace(self, run: int, replace: Mapping[int, Array] | None = None) -> Trace:
        replace = replace or {}
        arrays = [np.asarray(a) for a in replace.values()]
        answer = self._asked("trace", self._script(run), list(replace), arrays)
        try:
            return _trace(answer)
        except (TypeError, ValueError, KeyError) as error:
            raise SubmissionError(Status.PROTOCOL, "not a trace") from error

    def edited(self, run: int, definition: Definition) -> Mapping[str, Array]:
        try:
            source = ast.unparse(definition)
        except (ValueError, RecursionError):
            return {}
        answer = self._asked("edited", definition.name, source, self._script(run))
        if answer is None:
            return {}
        if type(answer) is not list or [type(part) for part in answer] != [list, list]:
            raise SubmissionError(Status.PROTOCOL, "not the answers of an edited run")
        return self._outputs(run, answer[0], [answer[1]])

    def _script(self, run: int) -> list[Any]:
        script: list[Any] = [[self.layer.forward, list(self._arguments(self.cases[run][0]))]]
        if self._backward:
            script.append([self.layer.backward, [self.cases[run][1], Handle(0)]])
        return script


def _trace(answer: Any) -> Trace:
    """The trace in an answer. Raises TypeError, ValueError and KeyError for what is none."""
    sites = tuple(_site(fields) for fields in answer["sites"])
    events = tuple(_event(fields, len(sites), index) for index, fields in enumerate(answer["events"]))
    error = answer["error"]
    if error is not None:
        kind, message, function, line, text = error
        if [type(part) for part in (kind, message, function, text)] != [str] * 4 or type(line) not in (int, type(None)):
            raise TypeError
        error = Failure(type=kind, message=message, function=function, line=line, text=text)
    results, arguments = answer["results"], answer["arguments"]
    if type(results) is not list or type(arguments) is not list or any(type(given) is not list for given in arguments):
        raise TypeError
    return Trace(
        sites=sites,
        events=events,
        results=tuple(results),
        arguments=tuple(tuple(given) for given in arguments),
        error=error,
        truncated=bool(answer["truncated"]),
    )


def _site(fields: Any) -> Site:
    site = Site(*fields)
    if [type(part) for part in site] != _SITE or site.role not in get_args(Role):
        raise TypeError
    return site


def _event(fields: Any, sites: int, index: int) -> Event:
    site, call, value, inputs = fields
    if type(value) is not np.ndarray or not 0 <= site < sites or type(call) is not int:
        raise TypeError
    if type(inputs) is not list or not all(type(i) is int and 0 <= i < index for i in inputs):
        raise TypeError
    return Event(site, call, value, tuple(inputs))
