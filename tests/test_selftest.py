"""The timing against itself: what is planted is what is found, and a run tests itself on all sizes that it times."""

import math
import sys

import pytest

from bnbench.cases import parse_case
from bnbench.registry import discover
from bnbench.selftest import (
    BUNDLE,
    PLANTED,
    SHARE,
    _nothing,
    against_itself,
    boundary,
    run_selftest,
    selftest_rows,
    size_of,
    spread,
)
from bnbench.timing import FLOOR, OPERATIONS, aligned_draw, bind, operations_of, timing_cases

IMPLEMENTATION = discover().implementations["numpy_simplified"]
SIMPLIFIED = IMPLEMENTATION.load()
CASE = parse_case("float32/4x5/train")


class Lasting:
    """A clock, and forwards that take so many nanoseconds of it."""

    def __init__(self, nanoseconds):
        self.now = 0
        self.nanoseconds = nanoseconds

    def __call__(self):
        return self.now

    def forward(self, *arrays, **options):
        self.now += self.nanoseconds
        return SIMPLIFIED(*arrays, **options)


def test_on_a_quiet_machine_equal_functions_are_equal_but_for_the_floor():
    clock = Lasting(20_000)
    row = against_itself("a", clock.forward, (CASE, "forward_train"), budget=0.02, clock=clock)
    assert row.ratio.median == 1
    assert (row.ratio.low, row.ratio.high) == (1 / (1 + FLOOR), 1 + FLOOR)
    assert row.slowed is None


def test_what_is_planted_is_one_call_more_in_twenty():
    clock = Lasting(20_000)
    row = against_itself("a", clock.forward, (CASE, "forward_train"), budget=0.02, plant=True, clock=clock)
    assert row.slowed.median == pytest.approx(BUNDLE / (BUNDLE + 1))
    assert 1 / row.slowed.median == pytest.approx(1 + PLANTED)
    assert row.slowed.high < 1


def test_nothing_is_planted_where_twenty_calls_take_long():
    clock = Lasting(100_000)
    row = against_itself("a", clock.forward, (CASE, "forward_train"), budget=0.02, plant=True, clock=clock)
    assert row.slowed is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("float32/4x5/train", "small"),
        ("float32/64x128/train", "small"),
        ("float64/64x128/train", "small"),
        ("float64/64x129/train", "medium"),
        ("float32/256x1024/train", "medium"),
        ("float64/256x1024/train", "medium"),
        ("float32/32x64x28x28/train", "large"),
    ],
)
def test_sizes_are_those_of_x_in_bytes(text, size):
    assert size_of(parse_case(text)) == size


@pytest.mark.parametrize("quick", [False, True])
def test_a_run_tests_itself_on_every_size_that_it_times_within_its_share(quick):
    rows = [(case, operation) for case in timing_cases(quick=quick) for operation in operations_of(case)]
    functions = 4 * len(rows)
    chosen = spread(rows, functions)
    sizes = {size_of(case) for case, _ in rows}
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(rows)
    assert {size_of(case) for case, _ in chosen} == sizes
    assert 2 * len(chosen) <= max(SHARE * functions, 2 * len(sizes))


def test_a_run_of_one_row_tests_itself_on_that_row():
    assert spread([(CASE, "backward")], 2) == ((CASE, "backward"),)
    assert spread([], 0) == ()


def test_the_command_has_every_size_and_quick_all_but_the_large():
    assert {size_of(case) for case, _ in selftest_rows()} == {"small", "medium", "large"}
    assert {size_of(case) for case, _ in selftest_rows(quick=True)} == {"small", "medium"}
    assert {operation for _, operation in selftest_rows(quick=True)} == set(OPERATIONS)


def test_every_row_is_repeated_and_the_small_ones_are_slowed_too():
    seen = []
    rows = [(CASE, "forward_train")]
    found = run_selftest([IMPLEMENTATION], rows, repeats=2, budget=0.002, progress=lambda *told: seen.append(told))
    assert [(row.operation, row.size) for row in found.rows] == [("forward_train", "small")] * 2
    assert all(0 < row.ratio.low <= row.ratio.median <= row.ratio.high < math.inf for row in found.rows)
    assert all(row.slowed is not None for row in found.rows)
    assert [told[:2] for told in seen] == [(i, 2) for i in range(3)]
    assert found.planted == PLANTED


def test_a_timed_call_runs_nothing_of_bnbench_but_what_passes_the_arguments():
    inputs, dy = aligned_draw(CASE)
    call = bind(_nothing, inputs, dy, "forward_train", takes_out=True)
    entered = []
    sys.setprofile(lambda frame, event, _: entered.append(frame.f_code.co_name) if event == "call" else None)
    try:
        call()
    finally:
        sys.setprofile(None)
    assert entered == ["<lambda>", "_nothing"]
    assert 0 < boundary(0.002) < math.inf
