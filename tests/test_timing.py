import gc
import math
import mmap
import time

import numpy as np
import pytest

from bnbench.blocks import GROUPED
from bnbench.cases import case_id, draw, draw_cotangent, parse_case
from bnbench.kernels import ARGUMENTS
from bnbench.registry import discover
from bnbench.timing import (
    CACHE_LINE,
    OPERATIONS,
    aligned,
    aligned_draw,
    bind,
    expected_outputs,
    minimal_traffic,
    operation_case,
    operations_of,
    relative_error,
    time_operation,
    timing_cases,
)

CASE = parse_case("float64/9x5/train")
SIMPLIFIED = discover().implementations["numpy_simplified"].load()


class FakeClock:
    """Stands still while nothing is called that takes its time from it."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def forward(self, nanoseconds):
        """A forward function whose n-th call takes ``nanoseconds(n)``."""
        calls = iter(range(10**9))

        def forward(*arrays, **options):
            self.now += int(nanoseconds(next(calls)))
            return SIMPLIFIED(*arrays, **options)

        return forward


def _by_name(measurements):
    return {measurement.implementation: measurement for measurement in measurements}


def test_ratio_of_known_durations_is_exact_though_the_machine_slows_down():
    clock = FakeClock()

    def lasting(nanoseconds):
        return clock.forward(lambda _: nanoseconds * (1 + clock.now / 1e8))

    timed = _by_name(
        time_operation(
            {"a": lasting(100_000), "b": lasting(200_000)}, CASE, "forward_train", baseline="a", budget=0.1, clock=clock
        )
    )
    assert timed["a"].ratio.low == timed["a"].ratio.high == 1
    assert timed["b"].ratio.median == pytest.approx(0.5, rel=0.05)
    assert timed["b"].ratio.low <= 0.5 <= timed["b"].ratio.high
    assert timed["b"].seconds.low > 200e-6


def test_interruptions_in_a_third_of_the_rounds_do_not_move_the_result():
    clock = FakeClock()
    rng = np.random.default_rng(0)
    forwards = {
        "a": clock.forward(lambda _: 2_000_000),
        "b": clock.forward(lambda _: 1_000_000 if rng.random() > 1 / 3 else 50_000_000),
    }
    timed = _by_name(time_operation(forwards, CASE, "forward_eval", baseline="a", budget=0.5, clock=clock))
    assert timed["b"].calls_per_round == 1
    assert timed["b"].ratio.median == pytest.approx(2)
    assert timed["b"].seconds.median == pytest.approx(1e-3)


def test_all_share_the_number_of_calls_that_the_slowest_needs():
    clock = FakeClock()
    forwards = {"fast": clock.forward(lambda _: 10_000), "slow": clock.forward(lambda _: 100_000)}
    timed = time_operation(forwards, CASE, "forward_train", baseline="slow", budget=0.05, clock=clock)
    assert len({measurement.calls_per_round for measurement in timed}) == 1
    assert timed[0].calls_per_round * 100e-6 == pytest.approx(0.5e-3, rel=0.25)
    assert [row.seconds.median for row in timed] == pytest.approx([10e-6, 100e-6])


class CoarseClock(FakeClock):
    """Shows multiples of 4 microseconds; reading it takes 1."""

    def __call__(self):
        self.now += 1_000
        return self.now // 4_000 * 4_000


@pytest.mark.parametrize(
    ("slow", "count"),
    [(100_000, 40), (250_000, 20)],
    ids=["until the fastest takes 1000 ticks", "but not beyond ten epochs of the slowest"],
)
def test_number_of_calls_is_raised_for_the_fastest(slow, count):
    clock = CoarseClock()
    forwards = {"fast": clock.forward(lambda _: 100_000), "slow": clock.forward(lambda _: slow)}
    timed = time_operation(forwards, CASE, "forward_eval", baseline="slow", budget=0.05, clock=clock)
    assert count / 1.25 <= timed[0].calls_per_round <= count + 1


def test_one_interrupted_trial_does_not_settle_the_number_of_calls():
    clock = FakeClock()
    forward = clock.forward(lambda call: 5_000_000 if call <= 1 else 100_000)
    (timed,) = time_operation({"a": forward}, CASE, "forward_train", baseline="a", budget=0.05, clock=clock)
    assert timed.calls_per_round >= 4


def test_rounds_are_whole_blocks_and_at_least_eight():
    clock = FakeClock()
    for count in (1, 2, 3, 6):
        forwards = {f"f{i}": clock.forward(lambda _: 400_000_000) for i in range(count)}
        timed = time_operation(forwards, CASE, "forward_eval", baseline="f0", budget=0.1, clock=clock)
        assert timed[0].calls_per_round == 1
        assert {row.rounds for row in timed} == {8 if 8 % count == 0 else math.ceil(8 / count) * count}


def test_budget_decides_the_number_of_rounds():
    clock = FakeClock()
    forwards = {name: clock.forward(lambda _: 2_000_000) for name in "ab"}
    timed = time_operation(forwards, CASE, "forward_eval", baseline="a", budget=0.1, clock=clock)
    assert timed[0].rounds == 26  # two turns of 4 ms with the call that fills the caches, in whole blocks


def test_garbage_is_not_collected_while_timing_and_again_afterwards():
    seen = []

    def forward(*arrays, **options):
        seen.append(gc.isenabled())
        return SIMPLIFIED(*arrays, **options)

    assert gc.isenabled()
    time_operation({"a": forward}, CASE, "forward_train", baseline="a", budget=0.01)
    assert seen[:2] == [True, True], "the first calls, whose outputs are compared with the reference"
    assert not any(seen[2:])
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_an_exception_leaves_the_collector_as_it_was():
    calls = iter(range(100))

    def forward(*arrays, **options):
        if next(calls) == 5:
            raise RuntimeError("sixth call")
        return SIMPLIFIED(*arrays, **options)

    with pytest.raises(RuntimeError, match="sixth call"):
        time_operation({"a": forward}, CASE, "forward_train", baseline="a", budget=0.01)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_implementation_against_itself_has_a_finite_positive_ratio(operation):
    timed = time_operation({"a": SIMPLIFIED, "b": SIMPLIFIED}, CASE, operation, baseline="a", budget=0.02)
    assert [row.implementation for row in timed] == ["a", "b"]
    for row in timed:
        assert 0 < row.ratio.low <= row.ratio.median <= row.ratio.high < math.inf
        assert 0 < row.seconds.low <= row.seconds.median <= row.seconds.high < math.inf
        assert row.gigabytes_per_second > 0
        assert row.faults_per_call >= 0
        assert row.rounds >= 8
        assert row.relative_error < 1e-14
        assert row.operation == operation


@pytest.mark.parametrize("operation", OPERATIONS)
def test_twin_that_does_the_work_twice_is_found_slower(operation):
    def twice(*arrays, **options):
        SIMPLIFIED(*arrays, **options)
        y, running, vjp = SIMPLIFIED(*arrays, **options)

        def vjp_twice(dy):
            vjp(dy)
            return vjp(dy)

        return y, running, vjp_twice

    # Processor time instead of wall time: other processes must not decide a test.
    timed = _by_name(
        time_operation(
            {"once": SIMPLIFIED, "twice": twice},
            parse_case("float64/64x32/train"),
            operation,
            baseline="once",
            budget=0.05,
            clock=time.thread_time_ns,
        )
    )
    assert timed["twice"].ratio.high < 1
    assert timed["once"].ratio.median == 1


def test_page_faults_are_counted_per_call():
    def faulting(*arrays, **options):
        with mmap.mmap(-1, 32 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as fresh:
            for page in range(32):
                fresh[page * mmap.PAGESIZE] = 1
        return SIMPLIFIED(*arrays, **options)

    timed = _by_name(time_operation({"a": SIMPLIFIED, "b": faulting}, CASE, "forward_train", baseline="a", budget=0.02))
    assert timed["b"].faults_per_call >= 32
    assert timed["a"].faults_per_call < 16


def test_operation_sets_the_mode_and_the_row_says_so():
    seen = set()

    def forward(*arrays, training, **options):
        seen.add(training)
        return SIMPLIFIED(*arrays, training=training, **options)

    for operation, case, training in (
        ("forward_train", "float32/4x5/eval", True),
        ("forward_eval", "float32/4x5/train", False),
        ("backward", "float32/4x5/eval", False),
        ("backward", "float32/4x5/train", True),
    ):
        seen.clear()
        (row,) = time_operation({"a": forward}, parse_case(case), operation, baseline="a", budget=0.01)
        assert seen == {training}
        assert parse_case(row.case).training is training
        assert row.relative_error < 1e-5


def test_nan_in_y_is_a_relative_error_that_passes_no_limit():
    def broken(*arrays, **options):
        y, running, vjp = SIMPLIFIED(*arrays, **options)
        y[0, 0] = np.nan
        return y, running, vjp

    (row,) = time_operation({"a": broken}, CASE, "forward_train", baseline="a", budget=0.01)
    assert not row.relative_error <= math.inf


@pytest.mark.parametrize("position", [0, 1, 2])
def test_nan_in_any_gradient_is_a_relative_error_that_passes_no_limit(position):
    def broken(*arrays, **options):
        y, running, vjp = SIMPLIFIED(*arrays, **options)

        def vjp_with_nan(dy):
            gradients = vjp(dy)
            gradients[position].flat[-1] = np.nan
            return gradients

        return y, running, vjp_with_nan

    (row,) = time_operation({"a": broken}, CASE, "backward", baseline="a", budget=0.01)
    assert not row.relative_error <= math.inf


def test_relative_error_is_that_of_the_worst_array():
    expected = (np.array([1.0, 100.0]), np.array([0.5, -1.0]))
    assert relative_error((np.array([1.0, 101.0]), np.array([0.5, -1.5])), expected) == 0.5


def test_relative_error_of_another_shape_is_infinite():
    assert relative_error((np.zeros((3, 1)),), (np.zeros(3),)) == math.inf


def test_relative_error_against_zero_is_zero_or_infinite():
    zero = np.zeros(3)
    assert relative_error((zero,), (zero,)) == 0
    assert relative_error((zero + 1e-300,), (zero,)) == math.inf


def test_missing_output_is_refused():
    with pytest.raises(ValueError, match="longer"):
        relative_error((np.zeros(3),), (np.zeros(3), np.zeros(3)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_bound_operation_returns_what_is_expected_of_it(operation):
    inputs, dy = aligned_draw(operation_case(CASE, operation))
    expected = expected_outputs(inputs, dy, operation)
    assert len(expected) == (3 if operation == "backward" else 1)
    assert relative_error(bind(SIMPLIFIED, inputs, dy, operation)(), expected) < 1e-14


def test_timed_arrays_start_on_a_cache_line():
    for text in ("float32/4x5/train", "float64/9x5/train", "float32/5x4x3/eval", "float64/8x16x14x14/train"):
        case = parse_case(text)
        inputs, dy = aligned_draw(case)
        plain = draw(case)
        for name in ARGUMENTS:
            array = getattr(inputs, name)
            assert array.ctypes.data % CACHE_LINE == 0
            assert array.dtype == case.dtype
            np.testing.assert_array_equal(array, getattr(plain, name), strict=True)
        assert dy.ctypes.data % CACHE_LINE == 0
        np.testing.assert_array_equal(dy, draw_cotangent(case), strict=True)


def test_aligned_copy_of_a_transposed_array_is_contiguous():
    a = np.arange(12.0).reshape(3, 4).T
    copy = aligned(a)
    assert copy.flags.c_contiguous
    assert not np.shares_memory(a, copy)
    np.testing.assert_array_equal(copy, a)


def test_minimal_traffic_counts_each_array_once():
    case = parse_case("float32/10x3x2/train")  # x holds 60 values, an array per channel 3
    assert minimal_traffic(case, "forward_train") == 4 * (60 + 60 + 3 * (4 + 2))
    assert minimal_traffic(case, "forward_eval") == 4 * (60 + 60 + 3 * 4)
    assert minimal_traffic(case, "backward") == 4 * (60 + 60 + 60 + 3 * (3 + 2))


@pytest.mark.parametrize("mode", ["layer", "group3", "instance", "rms"])
def test_a_norm_within_a_row_moves_only_gamma_beta_and_their_gradients_beside_the_large_arrays(mode):
    case = parse_case(f"float64/10x3x2/{mode}")
    assert minimal_traffic(case, "forward_train") == 8 * (60 + 60 + 3 + 3)
    assert minimal_traffic(case, "backward") == 8 * (60 + 60 + 60 + 3 + 3 + 3)


@pytest.mark.parametrize(
    ("case", "operations"),
    [
        ("float64/9x6/train", OPERATIONS),
        ("float64/9x6/eval", ("forward_eval", "backward")),
        ("float64/9x6/layer", ("forward_train", "backward")),
        ("float64/9x6/group2", ("forward_train", "backward")),
        ("float64/9x6x2/instance", ("forward_train", "backward")),
        ("float64/9x6/rms", ("forward_train", "backward")),
    ],
)
def test_a_case_has_the_operations_of_its_norm_and_mode(case, operations):
    case = parse_case(case)
    assert operations_of(case) == operations
    assert operations_of(case, ("backward", "forward_eval")) == tuple(
        operation for operation in ("backward", "forward_eval") if operation in operations
    )


@pytest.mark.parametrize("operation", ["forward_train", "backward"])
@pytest.mark.parametrize("norm", GROUPED)
def test_a_norm_within_a_row_is_timed_and_compared_with_the_reference(norm, operation):
    forward = discover().implementations[f"numpy_{norm}_norm"].load()
    case = parse_case(f"float64/4x6x5/{norm}{2 if norm == 'group' else ''}")
    (row,) = time_operation({"a": forward}, case, operation, baseline="a", budget=0.01)
    assert row.case == case_id(case)
    assert row.relative_error < 1e-14


@pytest.mark.parametrize("norm", GROUPED)
@pytest.mark.parametrize("operation", ["forward_train", "backward"])
def test_a_norm_within_a_row_gets_what_it_returns(norm, operation):
    implementation = discover().implementations[f"c_{norm}_norm"]
    if reason := discover().missing(implementation):
        pytest.skip(reason)
    assert implementation.takes_out
    inputs, dy = aligned_draw(parse_case(f"float64/4x6x5/{norm}{2 if norm == 'group' else ''}"))
    call = bind(implementation.load(), inputs, dy, operation, takes_out=True)
    first, second = call(), call()
    filled = 3 if operation == "backward" else 1
    assert all(a is b for a, b in zip(first[:filled], second[:filled], strict=True))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_who_takes_out_gets_the_same_aligned_arrays_in_every_call(operation):
    given = []

    def forward(*arrays, out=None, **options):
        y, kept, vjp = SIMPLIFIED(*arrays, **options)
        given.append(out)

        def filling(dy, out=None):
            given.append(out)
            return vjp(dy)

        return y, kept, filling

    inputs, dy = aligned_draw(CASE)
    call = bind(forward, inputs, dy, operation, takes_out=True)
    given.clear()
    call()
    call()
    large, *small = given[0]
    assert given[1] is given[0]
    assert large.shape == inputs.x.shape
    assert [a.shape for a in small] == [inputs.gamma.shape] * 2
    assert [a.ctypes.data % CACHE_LINE for a in given[0]] == [0, 0, 0]

    seen = []

    def twin(*arrays, **options):
        seen.append("out" in options)
        return SIMPLIFIED(*arrays, **{k: v for k, v in options.items() if k != "out"})

    if operation != "backward":
        time_operation({"a": twin, "b": SIMPLIFIED}, CASE, operation, baseline="b", takes_out={"a"}, budget=0.01)
        assert all(seen)


def test_a_row_says_what_is_left_of_a_fast_algorithm_on_hard_data():
    def one_pass(x, gamma, beta, running_mean, running_var, /, *, eps, **_):
        mean, square = x.mean(0), (x * x).mean(0)
        with np.errstate(invalid="ignore"):
            y = (x - mean) / np.sqrt(square - mean**2 + x.dtype.type(eps)) * gamma + beta
        return y, (running_mean, running_var), None

    right = discover().implementations["numpy_simplified"].load()
    case = parse_case("float32/64x8/train")
    fast, slow = time_operation({"fast": one_pass, "slow": right}, case, "forward_train", baseline="slow", budget=0.001)

    assert fast.relative_error < 1e-5
    assert not fast.hard_error <= 0.1
    assert slow.hard_error < 1e-5


def test_unknown_baseline_is_refused():
    with pytest.raises(ValueError, match="'c' is not among a, b"):
        time_operation({"a": SIMPLIFIED, "b": SIMPLIFIED}, CASE, "backward", baseline="c")


def test_timing_grid_has_no_case_twice_and_quick_is_smaller():
    full, quick = timing_cases(), timing_cases(quick=True)
    for cases in (full, quick):
        assert len({case_id(case) for case in cases}) == len(cases)
        assert {case.dtype for case in cases} == {"float32", "float64"}
        assert all(case.training for case in cases)
        for norm in GROUPED:
            assert any(case.norm == norm for case in cases)
    assert len(quick) < len(full)
    assert [case.norm for case in quick if case.norm != "batch"] == list(GROUPED)
