"""The values of one run, each with the events it comes from, and what takes their place on a replay."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from . import sites

Value: TypeAlias = npt.NDArray[Any]
Inputs: TypeAlias = tuple[int, ...]

EVENTS = 20_000
"""Events that are kept of one run."""
BYTES = 64 * 2**20
"""Bytes that the kept values may take."""
ELEMENTS = 256
"""Elements of a list or tuple that are looked at for their origins."""

SHARED = (-5, 256)
"""Ints in this range are one object for all uses, so that identity says nothing about them."""

_CARRIERS = (tuple, list, set, range, zip, enumerate, map, filter, reversed, np.ndarray, np.flatiter, np.ndindex)
"""What has no event of its own and still comes from somewhere: ``x.shape``, ``range(N)``, a mask."""


class Event(NamedTuple):
    """One value, at the moment when it was computed, bound, changed or returned."""

    site: int
    """Index into :attr:`probe.Trace.sites`."""
    call: int
    """Which function invocation this was, counted from 1 over the whole run."""
    value: Value
    """A private copy; 0-d for a number."""
    inputs: Inputs
    """Indices of the events it was directly computed from, in the order of the operands."""


def is_number(kind: type[Any]) -> bool:
    """Whether values of this type are recorded as 0-d arrays; bool is none, nor is a time difference."""
    return issubclass(kind, (int, float, complex, np.number)) and not issubclass(kind, (bool, np.timedelta64))


def is_a(value: Any, kinds: type[Any] | tuple[type[Any], ...]) -> bool:
    """Like ``isinstance``, but never asks the object, which may be a student's and answer itself."""
    return issubclass(type(value), kinds)


def content(array: Value) -> tuple[Any, ...]:
    """Equal for arrays of the same shape, dtype and bits: NaN equals itself."""
    return (array.shape, array.dtype, array.tobytes())


class History:
    """One run's events. An object is known by its identity, and kept alive so that the identity stays its own."""

    def __init__(self, places: Iterable[sites.Site] = (), *, events: int = EVENTS, size: int = BYTES) -> None:
        self.sites = list(places)
        """Grows by the places that only a run shows: aliases that changed, elements of an opaque result."""
        self._limits = (events, size)
        self._further: dict[tuple[int, str], int] = {}
        self.full = True
        self.start({})
        self.stop()

    def start(self, replace: Mapping[int, npt.ArrayLike]) -> None:
        """Forget the last run and begin another; ``replace`` maps event indices to values."""
        self.events: list[Event] = []
        self.truncated = False
        self.full = False
        self._replace = dict(replace)
        self._left = self._limits[1]
        self._calls = 0
        self._objects: list[Any] = []
        """The object of each event; its copy is in the event."""
        self._last: dict[int, int] = {}
        """The latest event of each site."""
        self._bound: dict[str, int] = {}
        """The event that bound each slot last."""
        self._known: dict[int, int] = {}
        """The latest event of each object, by id."""
        self._changed: dict[int, int] = {}
        """The latest change of each array, by id."""
        self._carried: dict[int, tuple[Any, Inputs]] = {}
        """Objects that are no events, with the events they come from."""
        self._members: dict[tuple[int, Any], int] = {}
        """The event of the item of a container, by its id and the key."""
        self._kept: dict[int, Any] = {}
        """Containers, so that their ids stay theirs."""
        self._generators: dict[int, tuple[Any, sites.Operand]] = {}
        self._passing: dict[int, Inputs] = {}
        """Origins of the arguments of the call that is about to be made, by id."""
        self._pending: list[tuple[int, str, Any]] = []
        """What the parts of a statement left for the one that comes after it."""
        self._groups: dict[int, dict[str, Value]] = {}
        """Arrays with a name that share one buffer, by the id of the array that owns it."""
        self._group_of: dict[str, int] = {}

    def stop(self) -> None:
        """Record no more; functions that outlive the run still work."""
        self.full = True

    # -- events and their origins -----------------------------------------------------------------------------------

    def note(self, call: int, number: int, value: Any, inputs: Inputs) -> Any:
        """Record a value and return it, or what replaces it. ``self._event`` is then its index, -1 for none."""
        self._event = -1
        if self.full:
            return value
        array = is_a(value, np.ndarray)
        kind = type(value)
        if not (is_number(kind) or (array and value.dtype.kind in "iufc")):
            if inputs and is_a(value, _CARRIERS):
                self._carried[id(value)] = (value, inputs)
            return value
        size = value.nbytes if array else 0
        index = len(self.events)
        if index >= self._limits[0] or size > self._left:
            self.full = self.truncated = True
            return value
        if index in self._replace:
            value = _like(value, self._replace[index])
        copy = np.array(value)
        if copy.dtype.kind == "O":  # an int beyond 64 bits
            return value
        self._left -= size
        self.events.append(Event(number, call, copy, inputs))
        self._objects.append(value)
        self._last[number] = self._known[id(value)] = self._event = index
        return value

    def latest(self, event: int, value: Any) -> Inputs:
        """This event of this object, or a later one that changed it."""
        return (max(event, self._changed.get(id(value), event)),)

    def origins(self, operand: sites.Operand, value: Any) -> Inputs:
        """The events a value comes from: what the text says, if it is the same object, else the object's own."""
        if operand == sites.LITERAL or self.full:
            return ()
        event = self._bound.get(operand) if isinstance(operand, str) else self._last.get(operand)
        if event is not None and self._objects[event] is value:
            return self.latest(event, value)
        return self.by_identity(value)

    def by_identity(self, value: Any, depth: int = 3) -> Inputs:
        kind = type(value)
        if value is None or kind is bool or (kind is int and SHARED[0] <= value <= SHARED[1]):
            return ()
        event = self._known.get(id(value))
        if event is not None:
            return self.latest(event, value)
        if depth and kind in (tuple, list):
            found: list[int] = []
            for key, item in enumerate(itertools.islice(value, ELEMENTS)):
                found += self.member(value, key, item) or self.by_identity(item, depth - 1)
            if found:
                return tuple(found)
        return self._carried.get(id(value), (None, ()))[1]

    def member(self, container: Any, key: Any, item: Any) -> Inputs:
        """The event of an item that was put into its container where this could be seen."""
        if type(key) is int and key < 0 and is_a(container, (tuple, list)):
            key += len(container)
        event = self._members.get((id(container), key)) if type(key) in (str, int) else None
        return self.latest(event, item) if event is not None and self._objects[event] is item else ()

    def put(self, container: Any, key: Any, event: int) -> None:
        if event >= 0 and type(key) in (str, int):
            self._members[id(container), key] = event
            self._kept[id(container)] = container

    def bind(self, slot: str | None, value: Any) -> None:
        """The variable now has the value of the event just noted, or one that is not recorded."""
        if slot is None:
            return
        group = self._group_of.pop(slot, None)
        if group is not None:
            self._groups[group].pop(slot, None)
        if self._event < 0:
            self._bound.pop(slot, None)
            return
        self._bound[slot] = self._event
        if is_a(value, np.ndarray):
            group = id(buffer(value))
            self._groups.setdefault(group, {})[slot] = value
            self._group_of[slot] = group

    def further_site(self, number: int, name: str) -> int:
        """The place ``number``, under another name."""
        found = self._further.get((number, name))
        if found is None:
            found = self._further[number, name] = len(self.sites)
            self.sites.append(self.sites[number]._replace(name=name))
        return found

    # -- changes ----------------------------------------------------------------------------------------------------

    def change(self, call: int, number: int, target: Value, inputs: Inputs) -> Any:
        """Record that an array was written into, and the same for those that share its memory and show it."""
        result = self._changed_one(call, number, target, inputs)
        event = self._event
        done = {id(target)}
        group = self._groups.get(id(buffer(target)), {})
        for slot, array in reversed(list(group.items())):
            known = self._known.get(id(array))
            if id(array) in done or known is None:
                continue
            done.add(id(array))
            if content(array) != content(self.events[known].value):
                further = self.further_site(number, slot.partition(":")[2])
                self._changed_one(call, further, array, (*self.latest(known, array), event))
        self._event = event
        return result

    def _changed_one(self, call: int, number: int, array: Value, inputs: Inputs) -> Any:
        index = len(self.events)
        if index in self._replace and not self.full:
            value = np.asarray(self._replace[index])
            if (
                array.flags.writeable
                and array.shape == value.shape
                and np.can_cast(value.dtype, array.dtype, "same_kind")
            ):
                array[...] = value
                self._replace[index] = array
        result = self.note(call, number, array, tuple(i for i in inputs if i >= 0))
        if self._event >= 0:
            self._changed[id(result)] = self._event
        return result


def buffer(array: Value) -> Value:
    """The array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _like(value: Any, new: npt.ArrayLike) -> Any:
    """The replacement in the type of what it replaces: a number for a number, an array for an array.

    What has the very same contents stays the object it is, aliases and views included.
    """
    array = np.array(new)
    if content(array) == content(np.asarray(value)):
        return value
    if is_a(value, np.ndarray) or array.ndim:
        return array
    if is_a(value, np.generic):
        return array[()]
    number = array.item()
    return type(value)(number) if type(value)(number) == number else number
