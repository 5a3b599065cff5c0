"""What is asked of a submission and what comes back: calls, the results that are wanted, answers."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnbench.sandbox.child import serve, wire
from bnbench.sandbox.frames import Violation

Handle = wire.Handle
"""As an argument: what an earlier call kept under this number."""
Other = wire.Other
"""As a result: something that can't cross, with the name of its type."""


@dataclass(frozen=True, slots=True)
class Exactly:
    """Send this result, an array of this shape and dtype; anything else is the submission's error."""

    shape: tuple[int, ...]
    dtype: str = "<f8"


@dataclass(frozen=True, slots=True)
class AtMost:
    """Send this result: a number, text, None, or an array of at most so many bytes; the rest comes as ``Other``."""

    nbytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep this result on the other side under this number, in place of what was there."""

    number: int


Wanted = Exactly | AtMost | Keep | None
"""What to do with one result; None drops it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of a function of the submission, positionally."""

    function: str
    arguments: tuple[Any, ...]
    """Arrays, numbers, text, bools, None, lists and dicts of them, and handles."""
    wanted: tuple[Wanted, ...]
    """For each result in turn; results beyond are dropped."""
    keys: tuple[str, ...] = ()
    """What to read back from each dict among the arguments, after the call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one call came to."""

    values: tuple[Any, ...]
    """The results that were to be sent, in order; fewer if the function returned fewer."""
    returned: int
    """How many results the function returned: 1 if it was no tuple."""
    dicts: tuple[dict[str, Any], ...]
    """For each dict among the arguments, those of the keys that it has after the call."""
    changed: tuple[int, ...]
    """Positions of the arrays among the arguments that this call, or a later one of the request, changed in place."""


def request(calls: Sequence[Call]) -> bytes:
    """The payload of a request: what calls in succession have in common is said once."""
    batches = []
    for (function, wanted, keys), batch in itertools.groupby(calls, operator.attrgetter("function", "wanted", "keys")):
        arguments = [[_plain(argument) for argument in call.arguments] for call in batch]
        batches.append([function, arguments, [_told(want) for want in wanted], list(keys)])
    return wire.encode(batches, once=True)


def _plain(argument: Any) -> Any:
    """Without subclasses and foreign byte orders, which have no encoding."""
    if type(argument) is np.ndarray:
        return argument
    if isinstance(argument, np.generic):
        return argument.item()
    if isinstance(argument, dict):
        return {key: _plain(value) for key, value in argument.items()}
    return argument


def _told(want: Wanted) -> Any:
    if isinstance(want, Exactly):
        return {"shape": list(want.shape), "dtype": want.dtype}
    return {"limit": want.nbytes} if isinstance(want, AtMost) else None if want is None else want.number


def sizes(calls: Sequence[Call]) -> tuple[int, int]:
    """The least and the most bytes of the answer's payload; the same where every result is told exactly."""
    least = most = _LIST
    for call in calls:
        exact, open_results, entries = _results(call.wanted, call.keys)
        arrays = sum([type(argument) is np.ndarray for argument in call.arguments])
        dicts = sum([isinstance(argument, dict) for argument in call.arguments])
        fixed = 4 * _LIST + _NUMBER + arrays + exact
        least += fixed + dicts * _LIST
        most += fixed + open_results + dicts * (_LIST + entries)
    return least, most


@functools.lru_cache(64)
def _results(wanted: tuple[Wanted, ...], keys: tuple[str, ...]) -> tuple[int, int, int]:
    """Bytes of the results that are told exactly, at most of the others, and at most of a dict's entries."""
    exact = sum(_array(want.shape, want.dtype) for want in wanted if isinstance(want, Exactly))
    open_results = sum(_ANY + want.nbytes for want in wanted if isinstance(want, AtMost))
    entries = sum(_LIST + len(key.encode()) + _ANY + serve.ENTRY_LIMIT for key in keys)
    return exact, open_results, entries


_LIST, _NUMBER = 5, 9
_ANY = max(3 + 8 * 64, 5 + wire.TEXT_LIMIT)
"""What surrounds an array of any shape; any other value is smaller."""


def _array(shape: tuple[int, ...], dtype: str) -> int:
    count = np.dtype(dtype).itemsize
    for length in shape:
        count *= length
    return 3 + 8 * len(shape) + count


def answers(calls: Sequence[Call], count: int, value: Any) -> list[Answer]:
    """The answers in a decoded payload. Raises Violation where it is not what was asked for."""
    if count != len(calls) or type(value) is not list or len(value) != len(calls):
        raise Violation("another number of answers than of calls")
    return [_answer(call, entry) for call, entry in zip(calls, value, strict=True)]


def _answer(call: Call, entry: Any) -> Answer:
    if type(entry) is not list or [type(part) for part in entry] != [list, int, list, list]:
        raise Violation("not an answer")
    values, returned, dicts, changed = entry
    given = [i for i, a in enumerate(call.arguments) if type(a) is np.ndarray]
    sent = [want for want in call.wanted[:returned] if isinstance(want, Exactly | AtMost)] if returned > 0 else []
    if len(values) != len(sent) or len(changed) != len(given) or not {*map(type, changed)} <= {bool}:
        raise Violation("another number of results than was asked for")
    for want, value in zip(sent, values, strict=True):
        if isinstance(want, Exactly):
            alike = type(value) is np.ndarray and value.shape == want.shape and value.dtype.str == want.dtype
        else:
            alike = _is_result(value) and (type(value) is not np.ndarray or value.nbytes <= want.nbytes)
        if not alike:
            raise Violation("another result than was asked for")
    if len(dicts) != sum(isinstance(a, dict) for a in call.arguments) or not all(_is_read(d, call.keys) for d in dicts):
        raise Violation("other entries than were asked for")
    in_place = tuple(i for i, is_changed in zip(given, changed, strict=True) if is_changed)
    return Answer(values=tuple(values), returned=returned, dicts=tuple(dicts), changed=in_place)


def _is_result(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str, np.ndarray, wire.Other)


def _is_read(entries: Any, keys: tuple[str, ...]) -> bool:
    return type(entries) is dict and entries.keys() <= set(keys) and all(map(_is_result, entries.values()))
