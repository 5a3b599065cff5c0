"""The bytes between the two sides: a frame's header, and values without pickle.

A frame is a header and a payload. The payload is one value: None, a bool, an int of 64 bits, a float, text, bytes, a
list, a dict with names as keys, an array, a handle of something the child keeps, or the name of what can't cross. Each
value is a tag of one byte and its contents, little-endian; an array is its dtype, its shape and its elements in C
order. An array that occurs twice in a request is sent once; in an answer that is refused, since a few bytes could ask
for any amount of memory.

Reading never runs anything, never reads past the end, and allocates no more than the payload's own size for each array.
"""

from __future__ import annotations

import functools
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

HEADER = struct.Struct("<4sIIIQ")
"""Magic, operation, sequence number, number of calls, bytes of payload."""
MAGIC = b"bnb1"

READY, LOAD, LOADED, CALL, ANSWER, FAIL, UNCONFINED, PROBE, PROBED = range(1, 10)
"""The operations. Of the parent: LOAD, CALL, PROBE. Of the child: READY, LOADED, ANSWER, FAIL, UNCONFINED, PROBED."""

TEXT_LIMIT = 500
"""Bytes of an exception's text, of a type's name, of a problem's message: longer ones are cut."""
DEPTH = 8
"""Lists and dicts in one another; deeper is refused."""
DTYPES = ("<f8", "<f4", "<f2", "<i8", "<i4", "|b1", "|u1")
"""What an array may consist of; the position is the code in the frame."""

_DTYPES = tuple(np.dtype(dtype) for dtype in DTYPES)
_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}
_ARRAY, _REFERENCE, _NONE, _TRUE, _FALSE, _INT, _FLOAT, _TEXT, _BYTES, _LIST, _DICT, _HANDLE, _OTHER = b"ARNTFIDSBLMHX"

_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_F64 = struct.Struct("<d")


@functools.cache
def _lengths(ndim: int) -> struct.Struct:
    """The shape of an array with so many axes: at most 255."""
    return struct.Struct(f"<{ndim}Q")


@dataclass(frozen=True, slots=True)
class Handle:
    """Something that stays on the child's side, under a number that the parent chose."""

    number: int


@dataclass(frozen=True, slots=True)
class Other:
    """Something that can't cross: the name of its type."""

    name: str


class Malformed(ValueError):
    """The payload is not one value."""


def encode(value: Any, *, once: bool = False) -> bytes:
    """Return the payload of a value, with ``once`` each array only once. Raises TypeError for what has no encoding."""
    parts: list[bytes] = []
    _write(value, parts, {} if once else None)
    return b"".join(parts)


def _write(value: Any, parts: list[bytes], sent: dict[int, int] | None) -> None:  # noqa: C901, PLR0912 - one branch a type
    kind = type(value)
    if kind is np.ndarray:
        if sent is not None:
            if id(value) in sent:
                parts += (b"R", _U32.pack(sent[id(value)]))
                return
            sent[id(value)] = len(sent)
        code = _CODES.get(value.dtype)
        if code is None:  # of a type that has two names, or without an encoding
            code = DTYPES.index(value.dtype.str)
        parts += (b"A", bytes((code, value.ndim)), _lengths(value.ndim).pack(*value.shape), value.tobytes())
    elif value is None or kind is bool:
        parts.append(b"N" if value is None else b"T" if value else b"F")
    elif kind is int:
        parts += (b"I", _I64.pack(value))
    elif kind is float:
        parts += (b"D", _F64.pack(value))
    elif kind is str:
        text = value.encode("utf-8", "replace")
        parts += (b"S", _U32.pack(len(text)), text)
    elif kind is bytes:
        parts += (b"B", _U32.pack(len(value)), value)
    elif kind is list or kind is tuple:
        parts += (b"L", _U32.pack(len(value)))
        for item in value:
            _write(item, parts, sent)
    elif kind is dict:
        parts += (b"M", _U32.pack(len(value)))
        for key, item in value.items():
            _write(key, parts, sent)
            _write(item, parts, sent)
    elif kind is Handle:
        parts += (b"H", _U32.pack(value.number))
    elif kind is Other:
        text = value.name.encode("utf-8", "replace")[:TEXT_LIMIT]
        parts += (b"X", _U32.pack(len(text)), text)
    else:
        raise TypeError(f"a {kind.__name__} can't be sent")


def decode(payload: bytes, *, once: bool = False) -> Any:
    """Return the value of a payload; arrays are copies, one for each occurrence, which ``once`` allows.

    Raises Malformed for bytes that are not exactly one value: cut short, too long, unknown tag, deeper than ``DEPTH``,
    a key that is no text, an array whose shape and bytes disagree.
    """
    reader = _Reader(payload, once=once)
    try:
        value = reader.value(0)
    except (struct.error, IndexError) as error:
        raise Malformed(f"cut short: {error}") from error
    except (UnicodeDecodeError, OverflowError) as error:
        raise Malformed(f"not a value: {error}") from error
    if reader.at != len(payload):
        raise Malformed(f"{len(payload) - reader.at} bytes after the value")
    return value


class _Reader:
    """Where in a payload we are."""

    def __init__(self, payload: bytes, *, once: bool) -> None:
        self.payload = payload
        self.once = once
        self.at = 0
        self.arrays: list[np.ndarray[Any, Any]] = []

    def number(self) -> int:
        at = self.at
        self.at = at + 4
        return int(_U32.unpack_from(self.payload, at)[0])

    def text(self) -> bytes:
        start = self.at + 4
        self.at = end = start + int(_U32.unpack_from(self.payload, self.at)[0])
        if end > len(self.payload):
            raise Malformed("cut short")
        return self.payload[start:end]

    def value(self, depth: int) -> Any:  # noqa: C901, PLR0911, PLR0912 - one branch a tag, the most frequent first
        if depth > DEPTH:
            raise Malformed("too deep")
        at = self.at + 1
        tag = self.payload[self.at]
        self.at = at
        if tag == _ARRAY:
            return self.array()
        if tag == _TEXT:
            return self.text().decode()
        if tag == _LIST:
            return [self.value(depth + 1) for _ in range(self.number())]
        if tag == _REFERENCE and self.once:
            return self.arrays[self.number()].copy()
        if tag == _FLOAT:
            self.at = at + 8
            return _F64.unpack_from(self.payload, at)[0]
        if tag == _INT:
            self.at = at + 8
            return _I64.unpack_from(self.payload, at)[0]
        if tag == _DICT:
            return dict([self.item(depth + 1) for _ in range(self.number())])
        if tag == _NONE:
            return None
        if tag in (_TRUE, _FALSE):
            return tag == _TRUE
        if tag == _BYTES:
            return self.text()
        if tag == _HANDLE:
            return Handle(self.number())
        if tag == _OTHER:
            return Other(self.text().decode("utf-8", "replace"))
        raise Malformed(f"unknown tag {tag}")

    def item(self, depth: int) -> tuple[str, Any]:
        key = self.value(depth)
        if type(key) is not str:
            raise Malformed("a key that is no text")
        return key, self.value(depth)

    def array(self) -> np.ndarray[Any, Any]:
        start = self.at
        code, ndim = self.payload[start], self.payload[start + 1]
        if code >= len(DTYPES):
            raise Malformed(f"unknown dtype {code}")
        shape = _lengths(ndim).unpack_from(self.payload, start + 2)
        dtype = _DTYPES[code]
        count = math.prod(shape)  # in Python's integers, where nothing overflows
        start += 2 + 8 * ndim
        self.at = start + count * dtype.itemsize
        if self.at > len(self.payload):
            raise Malformed("cut short")
        array = np.frombuffer(self.payload, dtype, count, start) if count else np.empty(0, dtype)
        try:
            array = array.reshape(shape)
        except ValueError as error:  # more than 64 axes, or lengths past 2**63 beside a zero
            raise Malformed(f"no such shape: {error}") from error
        if self.once:
            self.arrays.append(array)
        return array.copy()
