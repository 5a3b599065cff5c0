"""Taking turns: functions without arguments, timed round by round, so that all meet the same machine.

The design is that of nanobench's ``compare``: one number of calls per epoch for all, one epoch of each in
every round, rotating order. Measured one after the other, two identical functions differ by tens of percent
on a shared machine; in turns, they do not. Call :func:`bnbench.policy.settle_process` first.
"""

from __future__ import annotations

import gc
import math
import random
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress, islice, pairwise, repeat
from typing import NamedTuple, TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Nanoseconds, never going back."""
Bind: TypeAlias = Callable[[], Callable[[], object]]
"""Makes what is called."""

EPOCH = 5e-4
"""Seconds that the slowest function calculates without a break: long against the clock, and short against the
few milliseconds for which a scheduler leaves a process alone. With 2 ms, on two cores with three processes, one
round in five met an interruption, and a difference of 5 % was missed in one row of twelve; with 0.5 ms, in none."""
RESOLVABLE = 1000
"""Clock ticks that the fastest function must take per epoch."""
STRETCH = 10
"""How many times ``EPOCH`` the slowest may take for the sake of the fastest."""
MINIMUM_ROUNDS = 8


def rotated_orders(names: Sequence[str], seed: int) -> Iterator[tuple[str, ...]]:
    """Orders of the names, without end: cyclic Latin squares, each from a random start.

    Within a block of ``len(names)`` orders every name takes every place once. Two names give ABBA.
    """
    generator = random.Random(seed)  # noqa: S311 - an order of measurement is no secret
    count = len(names)
    while True:
        start = generator.randrange(count)
        for shift in range(start, start + count):
            yield tuple(names[(shift + place) % count] for place in range(count))


class Epoch(NamedTuple):
    """What is known of some calls."""

    nanoseconds: int
    faults: int
    """Minor page faults."""
    interrupted: bool
    """Whether the system took a core away from the process, or from one of its threads."""


def _epoch(call: Callable[[], object], count: int, clock: Clock) -> Epoch:
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = clock()
    for _ in repeat(None, count):
        call()
    elapsed = clock() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Epoch(elapsed, after.ru_minflt - before.ru_minflt, after.ru_nivcsw != before.ru_nivcsw)


def _turn(bind: Bind, count: int, warm_up: float, clock: Clock) -> Epoch:
    """What :func:`_epoch` says of what ``bind`` makes, after calls that fill the caches."""
    # Bound anew, and gone before the next is bound, so that every vjp and output lies where the others' lay: on
    # arrays that lie elsewhere the same function is up to 2 % faster or slower.
    call = bind()
    end = clock() + warm_up * 1e9
    call()
    while clock() < end:
        call()
    return _epoch(call, count, clock)


def _tick(clock: Clock) -> int:
    """The smallest step that the clock shows, in nanoseconds, with the cost of reading it."""
    readings = [clock() for _ in range(100)]
    return min((later - earlier for earlier, later in pairwise(readings) if later > earlier), default=1)


def _calibrate(binds: Sequence[Bind], epoch: float, clock: Clock) -> tuple[int, int]:
    """Calls per epoch, the same for all, and the nanoseconds that a round of such turns takes.

    The slowest is to take ``epoch`` nanoseconds; more if the fastest could not be resolved otherwise,
    but no more than ``STRETCH`` times that. A number of calls counts when two trials in a row confirm
    it: one alone may have met an interruption. The shorter of the two is the time of a round.
    """
    resolvable = RESOLVABLE * _tick(clock)
    count = 1
    confirmed: list[int] = []
    while len(confirmed) < 2:
        start = clock()
        times = [max(_turn(bind, count, 0.0, clock).nanoseconds, 1) for bind in binds]
        elapsed = max(clock() - start, 1)
        growth = min(max(epoch / max(times), resolvable / min(times)), STRETCH * epoch / max(times))
        if growth <= 1.25:
            confirmed.append(elapsed)
        else:
            count, confirmed = math.ceil(count * min(growth, 10)), []
    return count, min(confirmed)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Collect garbage only when told to, and then only what was made since."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


@dataclass(frozen=True, kw_only=True, slots=True)
class Turns:
    """What :func:`in_turns` measured."""

    times: Mapping[str, Sequence[int]]
    """Nanoseconds of every round."""
    faults: Mapping[str, int]
    """Minor page faults of all rounds together."""
    interrupted: Mapping[str, Sequence[bool]]
    """Whether the system took a core away, in every round."""
    calls_per_round: int

    @property
    def rounds(self) -> int:
        return len(next(iter(self.times.values())))

    def median(self, name: str) -> float:
        """Seconds of one call, in the median round."""
        return statistics.median(*self.undisturbed(name)) / self.calls_per_round / 1e9

    def undisturbed(self, *names: str) -> tuple[list[int], ...]:
        """The times of these in the rounds in which none of them was interrupted; in all, where that leaves too few.

        Whether a core is taken away depends on how long the others have waited for it, not on what is calculated.
        """
        quiet = [not any(of) for of in zip(*(self.interrupted[name] for name in names), strict=True)]
        if sum(quiet) < MINIMUM_ROUNDS:
            return tuple(list(self.times[name]) for name in names)
        return tuple(list(compress(self.times[name], quiet)) for name in names)


def in_turns(
    binds: Mapping[str, Bind],
    *,
    budget: float,
    warm_up: float = 0.0,
    epoch: float = EPOCH,
    seed: int = 0,
    clock: Clock = time.perf_counter_ns,
) -> Turns:
    """Time functions in turns, round by round. ``binds`` make them, anew for every turn.

    The slowest calculates for ``epoch`` seconds without a break: longer only to have fewer turns, where each is dear.
    ``budget`` is in seconds for each of them, calibration not included; at least ``MINIMUM_ROUNDS`` rounds
    are measured whatever they take. Every turn begins with calls that are not timed, for ``warm_up`` seconds
    but at least one: they fill the caches, and outlast the threads of whoever came before, which may keep a
    core busy for milliseconds looking for work. The first of them is within the budget.
    """
    times: dict[str, list[int]] = {name: [] for name in binds}
    interrupted: dict[str, list[bool]] = {name: [] for name in binds}
    faults = dict.fromkeys(binds, 0)
    with _no_collections():
        count, round_ = _calibrate(tuple(binds.values()), min(epoch, budget / MINIMUM_ROUNDS) * 1e9, clock)
        rounds = max(MINIMUM_ROUNDS, math.floor(len(binds) * budget * 1e9 / round_))
        rounds = math.ceil(rounds / len(binds)) * len(binds)
        for order in islice(rotated_orders(tuple(binds), seed), rounds):
            for name in order:
                measured = _turn(binds[name], count, warm_up, clock)
                times[name].append(measured.nanoseconds)
                interrupted[name].append(measured.interrupted)
                faults[name] += measured.faults
            gc.collect()
    return Turns(times=times, faults=faults, interrupted=interrupted, calls_per_round=count)
