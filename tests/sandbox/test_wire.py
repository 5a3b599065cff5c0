"""Values cross as they are, and no bytes make the reader do more than read them."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bnbench.sandbox.child import wire

ARRAYS = hnp.arrays(st.sampled_from(wire.DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary() | ARRAYS
VALUES = st.recursive(
    PLAIN, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4), max_leaves=8
)


def same(a, b):
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    return type(a) is type(b) and a == b


@given(VALUES)
def test_a_value_comes_back_bit_for_bit(value):
    assert same(value, wire.decode(wire.encode(value)))


@given(st.binary(max_size=60))
@settings(max_examples=500)
def test_any_bytes_are_a_value_or_malformed(payload):
    with contextlib.suppress(wire.Malformed):
        wire.decode(payload)


@given(VALUES, st.data())
def test_a_changed_byte_makes_another_value_or_malformed(value, data):
    payload = bytearray(wire.encode(value))
    position = data.draw(st.integers(0, len(payload) - 1))
    payload[position] ^= data.draw(st.integers(1, 255))
    try:
        changed = wire.decode(bytes(payload))
    except wire.Malformed:
        return
    assert wire.encode(changed) == bytes(payload) or not same(value, changed) or payload[position] in b"TF"


def test_every_payload_that_is_cut_short_or_goes_on_is_malformed():
    payload = wire.encode([{"a": np.ones((2, 3)), "b": "text"}, 1, 2.0, None, wire.Handle(3), wire.Other("set")])

    for length in range(len(payload)):
        with pytest.raises(wire.Malformed):
            wire.decode(payload[:length])
    with pytest.raises(wire.Malformed, match="1 bytes after the value"):
        wire.decode(payload + b"N")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"A" + struct.pack("<BB2Q", 0, 2, 2**63, 2), "cut short"),
        (b"A" + struct.pack("<BB2Q", 0, 2, 2**63, 0), "no such shape"),
        (b"A" + struct.pack("<BB70Q", 0, 70, *[1] * 70) + bytes(8), "no such shape"),
        (b"A" + struct.pack("<BB", 99, 0), "unknown dtype 99"),
        (b"L" + struct.pack("<I", 1) * 1, "cut short"),
        (b"L\x01\0\0\0" * 10 + b"N", "too deep"),
        (b"M\x01\0\0\0NN", "a key that is no text"),
        (b"S\x01\0\0\0\xff", "not a value"),
        (b"c__builtin__\nprint\n", "unknown tag"),
    ],
)
def test_what_does_not_add_up_is_malformed(payload, message):
    with pytest.raises(wire.Malformed, match=message):
        wire.decode(payload)


def test_an_array_is_sent_once_in_a_request_and_every_occurrence_is_a_copy():
    a = np.arange(1000.0)
    payload = wire.encode([a, a, a], once=True)
    first, second, third = wire.decode(payload, once=True)
    first[...] = 0.0

    assert len(payload) < 8100
    assert second.tolist() == third.tolist() == a.tolist()


def test_a_few_bytes_of_an_answer_can_not_ask_for_copies_of_an_array():
    with pytest.raises(wire.Malformed, match="unknown tag"):
        wire.decode(wire.encode([np.arange(1000.0)] * 2, once=True))
