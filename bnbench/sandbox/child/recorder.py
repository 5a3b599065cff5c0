"""What a rewritten function calls: each method does what the student's code would have done, and notes the outcome."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping
from types import BuiltinMethodType, GeneratorType, MethodType
from typing import Any

import numpy as np

from . import history, sites

Inputs = history.Inputs
is_a = history.is_a

OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mult": operator.mul,
    "Div": operator.truediv,
    "FloorDiv": operator.floordiv,
    "Mod": operator.mod,
    "Pow": operator.pow,
    "MatMult": operator.matmul,
    "LShift": operator.lshift,
    "RShift": operator.rshift,
    "BitAnd": operator.and_,
    "BitOr": operator.or_,
    "BitXor": operator.xor,
    "UAdd": operator.pos,
    "USub": operator.neg,
    "Invert": operator.invert,
}


class Index:
    """``Index()[1:n, None]`` is what stands in the brackets."""

    def __getitem__(self, index: Any) -> Any:
        return index


class Recorder(history.History):
    """The methods are called by rewritten code and answer what the student's code would have.

    They never raise on their own account: what is raised comes from the student's operation. When ``full``, they
    do nothing but that operation.
    """

    index = Index()

    def _take(self, number: int, first: str) -> dict[str, Any]:
        """What the parts of this statement left, from the latest entry ``first`` on."""
        for start in range(len(self._pending) - 1, -1, -1):
            if self._pending[start][:2] == (number, first):
                taken = {part: value for owner, part, value in self._pending[start:] if owner == number}
                self._pending[start:] = [entry for entry in self._pending[start:] if entry[0] != number]
                return taken
        return {}

    def _leave(self, number: int, part: str, value: Any) -> None:
        if not self.full:
            self._pending.append((number, part, value))

    # -- called by rewritten code: expressions ----------------------------------------------------------------------

    def binary(self, call: int, number: int, name: str, of_left: Any, of_right: Any, left: Any, right: Any, /) -> Any:
        if self.full:
            return OPERATIONS[name](left, right)
        inputs = self.origins(of_left, left) + self.origins(of_right, right)
        return self.note(call, number, OPERATIONS[name](left, right), inputs)

    def unary(self, call: int, number: int, name: str, operand: sites.Operand, value: Any, /) -> Any:
        inputs = self.origins(operand, value)
        return self.note(call, number, OPERATIONS[name](value), inputs)

    def choice(self, call: int, number: int, operands: tuple[sites.Operand, sites.Operand], value: Any, /) -> Any:
        for operand in operands:
            if inputs := self.origins(operand, value):
                return self.note(call, number, value, inputs)
        return self.note(call, number, value, ())

    def value(self, call: int, number: int, value: Any, /) -> Any:
        return self.note(call, number, value, ())

    def owner(self, number: int, operand: sites.Operand, base: Any, /) -> Any:
        self._leave(number, "owner", (base, self.origins(operand, base)))
        return base

    def attribute(self, call: int, number: int, name: str, value: Any, /) -> Any:
        if self.full:
            return value
        base, origins = self._take(number, "owner").get("owner", (None, ()))
        return self.note(call, number, value, self.member(base, name, value) or origins or self.by_identity(value))

    def subscript(self, call: int, number: int, of_base: Any, of_index: Any, base: Any, index: Any, /) -> Any:
        if self.full:
            return base[index]
        origins = self.origins(of_base, base)
        at = self.origins(of_index, index)
        value = base[index]
        if type(base) in (dict, list, tuple):
            inputs = self.member(base, index, value) or self.by_identity(value) or self._whole(base, origins)
        else:
            inputs = origins + at
        return self.note(call, number, value, inputs)

    def call(
        self, call: int, number: int, operands: tuple[Any, ...] | None, function: Any, /, *args: Any, **kwargs: Any
    ) -> Any:
        if self.full:
            return function(*args, **kwargs)
        receiver = function.__self__ if type(function) in (BuiltinMethodType, MethodType) else None
        given = (receiver, *args, *kwargs.values())
        if operands is None:
            operands = (sites.UNKNOWN,) * len(given)
        origins = [self.origins(operand, value) for operand, value in zip(operands, given, strict=True)]
        self._passing = {id(value): found for value, found in zip(given, origins, strict=True) if found}
        arrays = [value for value in given if is_a(value, np.ndarray)]
        before = [history.content(array) for array in arrays]
        start = len(self.events)

        try:
            result = function(*args, **kwargs)
        finally:
            self._passing = {}

        if function is np.empty or function is np.empty_like:
            result.fill(np.nan if result.dtype.kind in "fc" else 0)  # what was in memory differs from run to run
        if self.full:
            return result
        inputs = tuple(itertools.chain.from_iterable(origins))
        for array, was in zip(arrays, before, strict=True):
            self._look(call, number, array, was, inputs)
        known = self._known.get(id(result), -1)
        if known >= start:  # made by a function that was recorded, or written into
            inputs = self.latest(known, result)
        elif type(receiver) is dict and args:
            inputs = self.member(receiver, args[0], result) or self.by_identity(result)
        else:
            inputs += tuple(self._generated(given, start))
            inputs = inputs or self.by_identity(result)
        return self.note(call, number, result, inputs)

    def _look(self, call: int, number: int, array: history.Value, was: tuple[Any, ...], inputs: Inputs) -> None:
        """After a call: was its argument written into by code that is not recorded?"""
        now = history.content(array)
        known = self._known.get(id(array))
        if now == was or (known is not None and history.content(self.events[known].value) == now):
            return
        name = next(
            (s for s, a in reversed(self._groups.get(id(history.buffer(array)), {}).items()) if a is array), ":"
        )
        further = self.sites[number]._replace(role="changed", name="")
        key = (number, "changed")
        if key not in self._further:
            self._further[key] = len(self.sites)
            self.sites.append(further)
        self.change(call, self.further_site(self._further[key], name.partition(":")[2]), array, inputs)

    def _generated(self, given: tuple[Any, ...], start: int) -> Iterator[int]:
        """Events of the elements that a generator expression among the arguments made since ``start``."""
        for value in given:
            if type(value) is GeneratorType and id(value) in self._generators:
                element = self._generators[id(value)][1]
                yield from (i for i in range(start, len(self.events)) if self.events[i].site == element)

    def generated(self, operand: sites.Operand, generator: Any, /) -> Any:
        if not self.full:
            self._generators[id(generator)] = (generator, operand)
        return generator

    def pack(self, operands: tuple[tuple[Any, sites.Operand], ...], container: Any, /) -> Any:
        if not self.full:
            for key, operand in operands:
                for event in self.origins(operand, container[key])[:1]:
                    self.put(container, key, event)
        return container

    # -- called by rewritten code: bindings -------------------------------------------------------------------------

    def assign(self, call: int, number: int, slot: str | None, operand: sites.Operand, value: Any, /) -> Any:
        return self._assigned(call, number, slot, value, self.origins(operand, value))

    def _assigned(self, call: int, number: int, slot: str | None, value: Any, inputs: Inputs) -> Any:
        if self.full:
            return value
        value = self.note(call, number, value, inputs)
        self.bind(slot, value)
        return value

    def chain(self, call: int, templates: tuple[Any, ...], operand: sites.Operand, value: Any, /) -> tuple[Any, ...]:
        inputs = self.origins(operand, value)
        return tuple([self._distribute(call, template, value, inputs) for template in templates])

    def unpack(self, call: int, template: tuple[Any, ...], operand: sites.Operand, value: Any, /) -> Any:
        return value if self.full else self._distribute(call, template, value, self.origins(operand, value))

    def _distribute(self, call: int, template: tuple[Any, ...], value: Any, inputs: Inputs) -> Any:
        """Bind what a target binds and return what Python is then to unpack: it complains of a wrong number itself."""
        if template and isinstance(template[0], int):
            return self._assigned(call, template[0], template[1], value, inputs)
        stars = [position for position, part in enumerate(template) if part and part[-1] is True]
        if type(value) in (tuple, list):
            items = list(value)
        else:
            try:
                iterator = iter(value)
            except TypeError:
                return value
            items = list(iterator if stars else itertools.islice(iterator, len(template) + 1))
            if not stars and len(items) != len(template):
                return items
        if len(items) < len(template) - len(stars) or (not stars and len(items) > len(template)):
            return value if type(value) in (tuple, list) else iter(items)
        several = len(items) - len(template) + 1
        done: list[Any] = []
        for position, part in enumerate(template):
            at = len(done)
            if position in stars:
                rest = items[at : at + several]
                self._assigned(call, part[0], part[1], rest, ())
                done += rest
                continue
            item = items[at]
            found = self.member(value, at, item) or self.by_identity(item)
            done.append(self._distribute(call, part, item, found or self._whole(value, inputs)))
        return tuple(done)

    def _whole(self, value: Any, inputs: Inputs) -> Inputs:
        """Where the items of ``value`` come from if nothing is known of each: not from one another."""
        if type(value) in (tuple, list):
            return self._carried.get(id(value), (None, ()))[1]
        return inputs

    def loop(self, call: int, template: tuple[Any, ...], operand: sites.Operand, iterable: Any, /) -> Any:
        if self.full:
            return iterable
        inputs = self.origins(operand, iterable)
        return self._each(call, template, inputs, iterable, iter(iterable))

    def _each(
        self, call: int, template: tuple[Any, ...], inputs: Inputs, iterable: Any, iterator: Iterator[Any]
    ) -> Iterator[Any]:
        for position, item in enumerate(iterator):
            found = self.member(iterable, position, item) or self.by_identity(item)
            yield self._distribute(call, template, item, found or self._whole(iterable, inputs))

    # -- called by rewritten code: changes --------------------------------------------------------------------------

    def base(self, number: int, value: Any, /) -> Any:
        self._leave(number, "base", value)
        return value

    def key(self, number: int, value: Any, /) -> Any:
        self._leave(number, "key", value)
        return value

    def operand(self, number: int, operand: sites.Operand, value: Any, /) -> Any:
        self._leave(number, "operand", self.origins(operand, value))
        return value

    def augmented(self, call: int, number: int, slot: str, value: Any, /) -> Any:
        """After ``name op= operand``; returns what the name is to be bound to."""
        if self.full:
            return value
        operand = self._take(number, "operand").get("operand", ())
        before = self._bound.get(slot)
        if is_a(value, np.ndarray) and id(value) in self._known:  # in place
            result = self.change(call, number, value, self.latest(self._known[id(value)], value) + operand)
        else:
            result = self.note(call, number, value, (() if before is None else (before,)) + operand)
        self.bind(slot, result)
        return result

    def stored(
        self, call: int, number: int, assigned: int | None, attribute: str | None, slot: str | None, name: Any, /
    ) -> Any:
        """After a store to ``base[key]`` or ``base.attribute``; returns what the base's name is to be bound to."""
        if self.full:
            return name
        taken = self._take(number, "base")
        base: Any = taken.get("base")
        key = taken.get("key")
        new: Inputs = taken.get("operand", ()) if assigned is None else (self._last.get(assigned, -1),)
        if type(base) is np.flatiter:
            base = base.base  # the array it walks over
        if is_a(base, np.ndarray):
            old = self.by_identity(base)
            result = self.change(call, number, base, old + new)
            if result is not base and name is base:
                self.bind(slot, result)
                return result
            return name
        key = attribute if attribute is not None else key
        if assigned is not None:
            self.put(base, key, new[0])
        elif attribute is not None or type(base) in (dict, list):
            self._item_augmented(call, number, base, key, new, attribute is not None)
        return name

    def _item_augmented(self, call: int, number: int, base: Any, key: Any, new: Inputs, attribute: bool) -> None:
        try:
            items = object.__getattribute__(base, "__dict__") if attribute else base
            value = items[key]
        except (AttributeError, KeyError, IndexError, TypeError):  # a slot or a property: not to be read twice
            return
        old = self._members.get((id(base), key), -1) if type(key) in (str, int) else -1
        inputs = tuple(i for i in (old, *new) if i >= 0)
        if is_a(value, np.ndarray) and id(value) in self._known:
            result = self.change(call, number, value, self.latest(self._known[id(value)], value) + new)
        else:
            result = self.note(call, number, value, inputs)
        if result is not value:
            items[key] = result
        self.put(base, key, self._event)

    # -- called by rewritten code: functions ------------------------------------------------------------------------

    def enter(self) -> int:
        self._calls += 1
        return self._calls

    def argument(self, call: int, number: int, slot: str, value: Any, /) -> Any:
        if self.full:
            return value
        inputs = self._passing.get(id(value))
        return self._assigned(call, number, slot, value, self.by_identity(value) if inputs is None else inputs)

    def returned(self, call: int, numbers: tuple[int, ...], operand: sites.Operand, value: Any, /) -> Any:
        """The elements of a tuple or list one by one, anything else as a whole."""
        if self.full:
            return value
        if not is_a(value, (tuple, list)):
            return self.note(call, numbers[0], value, self.origins(operand, value)) if numbers else value
        items, whole = list(value), self._whole(value, ())
        for position, item in enumerate(items):
            own = len(numbers) == len(items) > 1
            number = numbers[position] if own else self.further_site(numbers[0], str(position))
            inputs = self.member(value, position, item) or self.by_identity(item) or whole
            items[position] = self.note(call, number, item, inputs)
            self.put(value, position, self._event)
        return self._refilled(value, items)

    def _refilled(self, value: Any, items: list[Any]) -> Any:
        """The same container, or one with what was replaced."""
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        if is_a(value, list):
            value[:] = items
            return value
        new = type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        for position in range(len(items)):
            self.put(new, position, self._members.get((id(value), position), -1))
        return new

    def invoke(
        self, taken: tuple[tuple[int, str], ...], number: int, operand: sites.Operand, function: Any, /, *given: Any
    ) -> Any:
        """The body of a lambda."""
        call = self.enter()
        given = tuple([self.argument(call, at, slot, value) for (at, slot), value in zip(taken, given, strict=True)])
        return self.returned(call, (number,), operand, function(call, *given))


IDLE = Recorder()
"""What a rewritten module starts with: records nothing."""
