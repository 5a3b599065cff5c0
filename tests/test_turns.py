"""Taking turns: the orders, what is timed and what is not, and that nobody's arrays lie elsewhere."""

import os
import subprocess
import sys
import time
import weakref
from itertools import islice

import pytest

from bnbench.turns import Turns, in_turns, rotated_orders


class FakeClock:
    """Stands still while nothing moves it."""

    now = 0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_every_implementation_takes_every_place_once_in_a_block(count):
    names = "abcdef"[:count]
    orders = rotated_orders(names, seed=3)
    for _ in range(5):
        block = list(islice(orders, count))
        for place in range(count):
            assert sorted(order[place] for order in block) == list(names)


def test_two_implementations_run_as_abba():
    orders = ["".join(order) for order in islice(rotated_orders("ab", seed=0), 40)]
    blocks = {first + second for first, second in zip(orders[::2], orders[1::2], strict=True)}
    assert blocks == {"abba", "baab"}


def test_orders_depend_on_the_seed_alone():
    first, same, other = (list(islice(rotated_orders("abcdef", seed=seed), 30)) for seed in (1, 1, 2))
    assert first == same
    assert first != other


def test_calls_to_warm_up_are_not_timed():
    clock = FakeClock()
    calls = []

    def call():
        calls.append(clock.now)
        clock.now += 1_000_000

    turns = in_turns({"one": lambda: call}, budget=0.02, warm_up=0.005, clock=clock)
    assert set(turns.times["one"]) == {turns.calls_per_round * 1_000_000}
    timed = turns.rounds * turns.calls_per_round
    calibration = len(calls) - timed - 5 * turns.rounds
    assert 0 < calibration < 20  # and 5 calls of a millisecond before each of the rounds


def test_what_was_called_is_gone_before_the_next_is_bound():
    clock = FakeClock()
    last = []

    class Call:
        def __call__(self):
            clock.now += 1_000_000

    def bind():
        assert not last or last[-1]() is None
        call = Call()
        last.append(weakref.ref(call))
        return call

    turns = in_turns({"one": bind, "other": bind}, budget=0.01, clock=clock)
    assert len(last) > 2 * turns.rounds


def turns_of(times, interrupted):
    return Turns(times=times, faults=dict.fromkeys(times, 0), interrupted=interrupted, calls_per_round=1)


def test_rounds_in_which_either_was_interrupted_are_left_out():
    times = {"one": list(range(20)), "other": list(range(100, 120)), "third": list(range(20))}
    interrupted = {"one": [i == 3 for i in range(20)], "other": [i in {3, 7} for i in range(20)], "third": [True] * 20}
    one, other = turns_of(times, interrupted).undisturbed("one", "other")
    assert one == [i for i in range(20) if i not in {3, 7}]
    assert other == [100 + time for time in one]


def test_where_nearly_every_round_was_interrupted_all_count():
    turns = turns_of({"one": list(range(20))}, {"one": [i > 6 for i in range(20)]})
    assert turns.undisturbed("one") == (list(range(20)),)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="two processes can't be held on one core")
def test_an_interruption_by_another_process_is_noticed():
    cores = os.sched_getaffinity(0)
    one = {min(cores)}
    clock = FakeClock()

    def spin():
        clock.now += 20_000_000
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    os.sched_setaffinity(0, one)
    busy = "import time; print(flush=True)\nwhile time.process_time() < 20: pass"
    other = subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE)
    other.stdout.readline()  # it runs, and goes on until it is killed
    try:
        turns = in_turns({"one": lambda: spin}, budget=0.02, clock=clock)
    finally:
        other.kill()
        other.communicate()
        os.sched_setaffinity(0, cores)
    assert any(turns.interrupted["one"])
