"""The checks of state, each on evidence whose size is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnbench.checks import ALL_CHECKS
from bnbench.kernels import local_kernel
from bnbench.model import Case, Status, Subject
from bnbench.mutants import ALL_MUTANTS, EQUIVALENT, forward_of
from bnbench.mutants.caches import CACHES
from bnbench.mutants.state import STATE
from bnbench.runner import execute, judge, plan

CODES = {check.code: check for check in ALL_CHECKS}
NAMED = {mutant.name: mutant for mutant in (*ALL_MUTANTS, *EQUIVALENT)}


def evidence(code, name, case):
    mutant = NAMED[name]
    subject = Subject(name=name, kernel=local_kernel(mutant.make()), capabilities=mutant.implementation().capabilities)
    return {c.quantity: c for c in CODES[code].run(subject, case)}


def test_statistics_that_never_move_miss_constant_batches_by_the_whole_way():
    found = evidence("BN212", "running_statistics_never_move", Case(shape=(9, 5)))

    # The three channels start 2 - 3, 9 - -2 and 16 - -7 from the constants; 37/64 of the way was due.
    assert found["running_mean"].error == 37 / 64 * 23
    assert found["running_var"].error == 37 / 64 * 3


@pytest.mark.parametrize("shape", [(9, 5), (5, 4, 3), (3, 2, 2, 3, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["running_var_with_ddof_1", "welford", "merged_halves", "moved_by_the_difference"])
def test_constant_batches_are_exact_for_every_correct_rule(shape, dtype, name):
    found = evidence("BN212", name, Case(shape=shape, dtype=dtype))

    assert [c.error for c in found.values()] == [0, 0]


def test_an_inexact_fraction_would_be_noticed():
    def drifting(*arrays, **options):
        y, (mean, variance), vjp = forward_of()(*arrays, **options)
        return y, (np.nextafter(mean, np.inf, dtype=mean.dtype), variance), vjp

    subject = Subject(name="drifting", kernel=local_kernel(drifting))
    status, reason = judge(tuple(CODES["BN212"].run(subject, Case(shape=(9, 5)))))

    assert status is Status.FAILED
    assert reason.startswith("running_mean")


def test_the_other_mode_beside_is_what_shows_a_global_mode():
    found = evidence("BN217", "one_mode_for_all_calls", Case(shape=(9, 5)))

    assert found["dx beside another batch"].error == 0
    assert found["dx beside the other mode"].error == 45


def test_what_is_overwritten_is_named():
    (comparison,) = evidence("BN218", "one_buffer_for_every_dx", Case(shape=(3, 6, 5), norm="group", groups=2)).values()

    assert comparison.got == "dx overwritten later"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_counter_shows_in_a_chain_of_batches(dtype):
    found = evidence("BN213", "momentum_is_one_over_the_calls", Case(shape=(9, 5), dtype=dtype))

    assert min(c.error / c.limit for c in found.values()) > 100


def test_the_chain_stays_far_inside_its_limit_for_the_least_accurate_of_the_correct():
    cases = [Case(shape=(257, 3), dtype="float32", mean=mean, seed=seed) for mean in (0.0, 100.0) for seed in range(5)]
    ratios = [c.error / c.limit for case in cases for c in evidence("BN213", "sums_in_turn", case).values()]

    assert max(ratios) < 0.5


def test_nan_statistics_pass_no_check_of_state():
    def not_a_number(*arrays, **options):
        y, running, vjp = forward_of()(*arrays, **options)
        return y * np.nan, tuple(a * np.nan for a in running), vjp

    subject = Subject(name="nan", kernel=local_kernel(not_a_number))
    codes = ("BN212", "BN213", "BN214", "BN215", "BN216")
    cases = [Case(shape=(9, 5)), Case(shape=(9, 5), training=False)]
    findings = list(execute(plan([subject], cases, [CODES[code] for code in codes]), [subject]))

    assert {f.check for f in findings} == set(codes)
    assert {f.status for f in findings} == {Status.FAILED}


@pytest.mark.parametrize("mutant", [*STATE, *CACHES], ids=lambda mutant: mutant.name)
def test_a_mutant_of_state_gives_a_finite_y_of_the_right_shape(mutant):
    # A mutant that raises, or answers nonsense, would be caught for the wrong reason.
    from bnbench.cases import draw, draw_cotangent

    case = Case(shape=(6, 4, 3), norm=mutant.norm, groups=2 if mutant.norm == "group" else 1)
    for training in (True, False) if mutant.norm == "batch" else (True,):
        case = replace(case, training=training)
        outputs = local_kernel(mutant.make())(draw(case), draw_cotangent(case))
        assert outputs.y.shape == case.shape
        assert np.isfinite(outputs.y).all()
        assert {np.isfinite(gradient).all() for gradient in outputs.gradients[0]} == {True}
