"""The limits of arithmetic: each claim fails on its mutant, and correct code meets it in its own way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnbench.checks import ALL_CHECKS
from bnbench.kernels import local_kernel
from bnbench.model import Case, Status, Subject
from bnbench.mutants import ALL_MUTANTS, forward_of
from bnbench.runner import judge

CHECKS = {check.code: check for check in ALL_CHECKS}
MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
CASES = {
    "batch": Case(shape=(9, 5)),
    "layer": Case(shape=(7, 9), norm="layer"),
    "group": Case(shape=(3, 6, 5), norm="group", groups=2),
    "instance": Case(shape=(3, 4, 7), norm="instance"),
    "rms": Case(shape=(4, 15), norm="rms"),
}
NUMERICS = [code for code in CHECKS if "BN131" <= code <= "BN136"]


def comparisons(code, forward, case):
    return tuple(CHECKS[code].run(Subject(name="subject", kernel=local_kernel(forward)), case))


def mutated(name):
    return MUTANTS[name].make()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("code", "names"),
    {
        "BN131": ("one_value_divides_by_m_minus_1", "rms_with_centring"),
        "BN132": ("an_empty_batch_moves_the_running_statistics",),
        "BN133": ("textbook_variance", "layer_textbook_variance", "instance_textbook_variance"),
        "BN134": ("x_clipped_at_1e9", "layer_x_clipped_at_1e9"),
        "BN135": ("tiny_deviations_count_as_none", "rms_tiny_deviations_count_as_none", "group_eps_missing"),
        "BN136": (
            "statistics_skip_nan",
            "layer_statistics_skip_nan",
            "rms_nan_becomes_zero",
            "instance_over_the_batch",
        ),
    }.items(),
)
def test_the_check_objects_to_its_mutants(code, names, dtype):
    for name in names:
        with np.errstate(all="ignore"):
            found = comparisons(code, mutated(name), replace(CASES[MUTANTS[name].norm], dtype=dtype))
        assert judge(found)[0] is Status.FAILED, name


@pytest.mark.parametrize("mean", [0.0, 1e6])
@pytest.mark.parametrize("sd", [1e-6, 1e6])
@pytest.mark.parametrize("norm", CASES)
def test_correct_code_is_not_objected_to_at_extreme_scales(norm, mean, sd):
    for code in NUMERICS:
        if norm in CHECKS[code].norms:
            found = comparisons(code, forward_of(norm=norm), replace(CASES[norm], mean=mean, sd=sd))
            assert judge(found)[0] is Status.PASSED, code


@pytest.mark.parametrize("code", ["BN131", "BN132"])
def test_too_few_values_may_be_refused(code):
    def refusing(x, *others, **options):
        if x.shape[0] < 2:
            raise ValueError("expected more than 1 value per channel")
        return forward_of()(x, *others, **options)

    (found,) = comparisons(code, refusing, CASES["batch"])

    assert judge([found])[0] is Status.PASSED
    assert found.got == "refused: ValueError: expected more than 1 value per channel"


def test_a_crash_on_an_empty_batch_is_no_refusal():
    def crashing(x, *others, **options):
        if x.shape[0] == 0:
            raise ZeroDivisionError
        return forward_of()(x, *others, **options)

    with pytest.raises(ZeroDivisionError):
        comparisons("BN132", crashing, CASES["batch"])


@pytest.mark.parametrize("grade", ["A", "B", "C"])
def test_accuracy_at_a_large_mean_is_graded(grade):
    def off(x, *others, **options):
        """Off by 0, 4 or 16 roundings of the mean."""
        y, *rest = forward_of(norm="layer")(x.astype(np.float64), *(a.astype(np.float64) for a in others), **options)
        units = {"A": 0, "B": 4, "C": 16}[grade]
        gamma = np.abs(others[0])
        return (y + units * 1.2e-7 * gamma * np.abs(x).max()).astype(x.dtype), *rest

    for found in comparisons("BN133", off, replace(CASES["layer"], dtype="float32")):
        assert found.note == f"grade {grade}"
        assert found.error <= found.limit


def test_a_negative_variance_is_infinitely_wrong():
    def negative(x, *others, **options):
        y, *rest = forward_of(norm="layer")(x, *others, **options)
        return np.where(np.abs(x).max() > 1e3, np.nan, y), *rest

    small, large = comparisons("BN133", negative, CASES["layer"])

    assert small.error <= small.limit
    assert large.error == np.inf


def test_a_nan_that_reaches_another_block_is_seen():
    def spreading(x, *others, **options):
        y, *rest = forward_of()(x, *others, **options)
        return y + 0 * x.sum(), *rest

    found = comparisons("BN136", spreading, CASES["batch"])
    assert {c.quantity for c in found if not c.error <= c.limit} == {"y of blocks beside NaN", "y of blocks beside inf"}


def test_infinity_may_vanish_in_rms_norm_alone():
    for norm, vanished in (("rms", Status.PASSED), ("layer", Status.FAILED)):

        def vanishing(x, gamma, beta, *, norm=norm, **options):
            y, vjp = forward_of(norm=norm)(x, gamma, beta, **options)
            hidden = np.isinf(x).any(1, keepdims=True) & ~np.isinf(x)
            return np.where(hidden, beta, y), vjp

        assert judge(comparisons("BN136", vanishing, CASES[norm]))[0] is vanished
