"""Frames as the parent writes and reads them: everything is checked before it is read, under one deadline.

The other end is hostile. It can write any bytes at any speed; it can't make this side wait past the deadline, allocate
more than it said it would accept, or run anything.
"""

from __future__ import annotations

import os
import select
import time
from typing import Any

from bnbench.sandbox.child import wire

CHUNK = 1 << 20


class Violation(Exception):
    """The other side sent what it may not send."""


class Late(Exception):
    """The deadline has passed."""


class Closed(Exception):
    """The other side has closed its end in between: as a rule it has ended."""


def send(descriptor: int, operation: int, sequence: int, payload: bytes, deadline: float) -> None:
    """Write a frame to a non-blocking descriptor before ``deadline`` (``time.monotonic``). Raises Late and Closed."""
    header = wire.HEADER.pack(wire.MAGIC, operation, sequence, 0, len(payload))
    rest = memoryview(header + payload)  # in one write, if it fits: the other side wakes once
    while rest:
        _wait(descriptor, select.POLLOUT, deadline)
        try:
            rest = rest[os.write(descriptor, rest[:CHUNK]) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            raise Closed from None


def receive(
    descriptor: int, sequence: int, allowed: dict[int, tuple[int, int]], deadline: float
) -> tuple[int, int, Any]:
    """Read one frame from a non-blocking descriptor; return its operation, its count and its value.

    ``allowed`` has the operations that may come, each with the least and the most bytes of its payload. Raises
    Violation, before a byte of the payload is read, for a wrong magic, operation, sequence number or size, and for a
    payload that is not one value; Late; Closed.
    """
    magic, operation, number, count, size = wire.HEADER.unpack(_exactly(descriptor, wire.HEADER.size, deadline))
    if magic != wire.MAGIC:
        raise Violation("not a frame")
    if operation not in allowed:
        raise Violation(f"operation {operation} is no answer to what was asked")
    if number != sequence:
        raise Violation(f"an answer to request {number}, expected {sequence}")
    least, most = allowed[operation]
    if not least <= size <= most:
        raise Violation(f"{size} bytes announced, expected {least if least == most else f'{least} to {most}'}")
    payload = _exactly(descriptor, size, deadline)
    try:
        return operation, count, wire.decode(payload)
    except wire.Malformed as error:
        raise Violation(str(error)) from error


def is_quiet(descriptor: int) -> bool:
    """Whether nothing waits to be read: between an answer and the next request nothing may."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return not any(event & select.POLLIN for _, event in poll.poll(0))


def _exactly(descriptor: int, size: int, deadline: float) -> bytes:
    parts = []
    while size:
        _wait(descriptor, select.POLLIN, deadline)
        try:
            part = os.read(descriptor, min(size, CHUNK))
        except BlockingIOError:
            continue
        if not part:
            raise Closed
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    left = deadline - time.monotonic()
    poll = select.poll()
    poll.register(descriptor, event)
    if left <= 0 or not poll.poll(1000 * left):
        raise Late
