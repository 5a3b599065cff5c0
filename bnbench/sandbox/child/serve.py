"""The loop of a worker: requests in, answers out, until the requests end.

A request is a list of batches. A batch is a list: the name of a function, the arguments of each call, what to do with
each of its results, and the keys to read back from the dicts among the arguments. Of a result, None drops it, an int
keeps it under that handle, and a dict says what to send: ``{"limit": bytes}``, or ``{"shape": [...], "dtype": "<f8"}``
where the parent knows. An answer is a list: the results sent, the number of results that the function returned, a dict
for each dict among the arguments, and for each array among them whether this call or a later one of the request has
changed it: a backward may write into what the forward was given and has kept.
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from . import load, tracing, wire

OUTPUT_LIMIT = 4000
"""Bytes of what a submission printed while it was loaded."""

ENTRY_LIMIT = 1 << 20
"""Bytes of an array that is read back from a dict."""


class Unanswered(Exception):
    """The call can't be answered as it was asked; the text goes to the parent."""


class Submission:
    """What was loaded, and what is kept of its results."""

    def __init__(self) -> None:
        self.filename = ""
        self.namespace: dict[str, Any] = {}
        self.kept: dict[int, Any] = {}
        self.traced: tracing.Traced | None = None
        """The same once more, for a diagnosis."""


def serve(requests: int, replies: int) -> None:
    """Answer the frames of one file descriptor on another, until the first ends."""
    submission = Submission()
    send(replies, wire.READY, 0, 0, wire.encode(None))
    while header := receive(requests, wire.HEADER.size):
        _, operation, sequence, _, size = wire.HEADER.unpack(header)
        request = wire.decode(receive(requests, size), once=True)
        done = 0
        try:
            if operation == wire.LOAD:
                payload = wire.encode(loaded(submission, *request))
                send(replies, wire.LOADED, sequence, 0, payload)
                continue
            if operation == wire.PROBE:
                send(replies, wire.PROBED, sequence, 0, wire.encode(probed(submission, *request)))
                continue
            answers = []
            given = []
            for function, batch, wanted, keys in request:
                for arguments in batch:
                    given.append([(a, a.tobytes()) for a in arguments if type(a) is np.ndarray])
                    answers.append(answered(submission, function, arguments, wanted, keys))
                    done += 1
            for answer, arrays in zip(answers, given, strict=True):
                answer.append([a.tobytes() != before for a, before in arrays])
            send(replies, wire.ANSWER, sequence, done, wire.encode(answers))
        except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are a submission's to raise, too
            send(replies, wire.FAIL, sequence, done, wire.encode(failure(error, submission.filename)))


def receive(descriptor: int, size: int) -> bytes:
    """Read exactly so many bytes; b"" at the end of the requests."""
    parts = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(descriptor: int, operation: int, sequence: int, count: int, payload: bytes) -> None:
    header = wire.HEADER.pack(wire.MAGIC, operation, sequence, count, len(payload))
    rest = memoryview(header + payload)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def loaded(submission: Submission, text: str, filename: str) -> list[Any]:
    """Load the submission; return its functions' names, its problems, imports that it missed and what it printed."""
    submission.filename = filename
    outcome = load.load(text, filename)
    submission.namespace = outcome.namespace
    names = [n for n, v in outcome.namespace.items() if callable(v) and not n.startswith("__") and len(n) < 100]
    problems = [[problem.line, cut(problem.text)] for problem in outcome.problems[:50]]
    missing = [[missing.line, cut(missing.name)] for missing in outcome.missing[:50]]
    return [names[:500], problems, missing, cut(outcome.output, OUTPUT_LIMIT)]


def probed(submission: Submission, operation: str, *arguments: Any) -> Any:
    """Prepare a text to be traced, or answer what :class:`tracing.Traced` does."""
    if operation == "prepare":
        submission.traced = tracing.Traced(*arguments)
        return None
    if submission.traced is None:
        raise Unanswered("nothing was prepared")
    return (submission.traced.trace if operation == "trace" else submission.traced.edited)(*arguments)


def answered(
    submission: Submission, function: str, arguments: list[Any], wanted: list[Any], keys: list[str]
) -> list[Any]:
    """Call a function of the submission and return what crosses, but for what it changed."""
    if not callable(submission.namespace.get(function)):
        raise Unanswered(f"there is no function {function}")
    given = [_given(submission, argument) for argument in arguments]
    returned = submission.namespace[function](*given)
    results = list(returned) if type(returned) in (tuple, list) else [returned]
    if any(type(want) is dict and "shape" in want for want in wanted[len(results) :]):
        raise Unanswered(f"{function} returned {len(results)} of {len(wanted)} results")
    sent = []
    for position, (result, want) in enumerate(zip(results, wanted, strict=False)):
        if type(want) is int:
            submission.kept[want] = result
        elif want is not None:
            sent.append(_checked(sendable(result), want, f"result {position} of {function}"))
    # Of the request's own, not of what a handle stands for: a cache may be a dict, too.
    dicts = [{key: _entry(a[key]) for key in keys if key in a} for a in arguments if type(a) is dict]
    return [sent, len(results), dicts]


def sendable(value: Any) -> Any:
    """The value itself where it can cross, and the name of its type where it can't.

    Only exact types cross: a subclass may answer for itself whatever it likes.
    """
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else wire.Other("int of more than 64 bits")
    if kind is str:
        return cut(value)
    if kind in _SCALARS:
        value, kind = np.array(value), np.ndarray
    if kind is np.ndarray:
        return value if value.dtype.str in wire.DTYPES else wire.Other(f"array of {value.dtype}")
    return wire.Other(cut(kind.__name__))


_SCALARS = frozenset(np.dtype(dtype).type for dtype in wire.DTYPES)


def _given(submission: Submission, argument: Any) -> Any:
    if type(argument) is wire.Handle:
        return submission.kept[argument.number]
    return argument


def _checked(value: Any, want: dict[str, Any], what: str) -> Any:
    """The value, if it is of the shape or size that the parent reads. Raises Unanswered."""
    if "shape" in want:
        if type(value) is not np.ndarray:
            raise Unanswered(f"{what} is {_named(value)}, expected an array of shape {tuple(want['shape'])}")
        if [*value.shape] != want["shape"]:
            raise Unanswered(f"{what} has shape {value.shape}, expected {tuple(want['shape'])}")
        if value.dtype.str != want["dtype"]:
            raise Unanswered(f"{what} has dtype {value.dtype}, expected {np.dtype(want['dtype'])}")
    elif type(value) is np.ndarray and value.nbytes > want["limit"]:
        raise Unanswered(f"{what} has {value.nbytes} bytes, expected at most {want['limit']}")
    return value


def _entry(value: Any) -> Any:
    entry = sendable(value)
    if type(entry) is np.ndarray and entry.nbytes > ENTRY_LIMIT:
        return wire.Other(f"array of {entry.nbytes} bytes")
    return entry


def _named(value: Any) -> str:
    return value.name if type(value) is wire.Other else type(value).__name__


def failure(error: BaseException, filename: str) -> list[Any]:
    """The line of the submission where an exception was raised (0 where there is none), and its text."""
    text = str(error) if type(error) is Unanswered else load.describe(error)
    return [load.line_of(error, filename) or 0, cut(text)]


def cut(text: str, limit: int = wire.TEXT_LIMIT) -> str:
    """The text without control characters, in at most so many bytes."""
    plain = re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", "?", text[:limit])
    return plain.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
