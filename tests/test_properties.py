"""Correct implementations pass wherever the data lie: shapes, scales, eps, norms and seeds drawn at random."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bnbench.cases import case_id, draw, draw_cotangent, elements, parse_case
from bnbench.checks import ESSENTIAL
from bnbench.kernels import same_bits
from bnbench.model import Case, Status
from bnbench.mutants import ALL_MUTANTS, Mutant, forward_of
from bnbench.reference import normalize
from bnbench.registry import discover
from bnbench.runner import execute, load, plan

REGISTRY = discover().implementations
NORMS = ("batch", "layer", "group", "instance", "rms")


def powers(low, high):
    """Numbers spread evenly over their orders of magnitude."""
    return st.floats(math.log10(low), math.log10(high)).map(lambda exponent: float(f"{10**exponent:.3g}"))


@st.composite
def cases(draw_from, norms=NORMS):
    """Cases with at least three elements a block, from 1e-6 to 1e6 in scale and up to 1e3 sd from zero.

    Of two elements x_hat is 1 and -1 whatever they are: dx is nearly zero, and proves nothing.
    """
    norm = draw_from(st.sampled_from(norms))
    channels = draw_from(st.integers(1, 8))
    spatial = draw_from(st.lists(st.integers(1, 4), max_size=3))
    groups = draw_from(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    sd = draw_from(powers(1e-6, 1e6))
    case = Case(
        shape=(draw_from(st.integers(1, 12)), channels, *spatial),
        dtype=draw_from(st.sampled_from(["float32", "float64"])),
        training=norm != "batch" or draw_from(st.booleans()),
        norm=norm,
        groups=groups if norm == "group" else 1,
        mean=draw_from(st.sampled_from([-1e3, -1.0, 0.0, 1e-3, 1.0, 12.0, 1e2])) * sd,
        sd=sd,
        eps=draw_from(powers(1e-8, 1e-1)),
        momentum=draw_from(st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9])),
        seed=draw_from(st.integers(0, 99)),
    )
    assume(elements(case) >= 3)
    return case


def objections(implementation, case):
    subjects = load([implementation]).subjects
    findings = list(execute(plan(subjects, [case], ESSENTIAL), subjects))
    assert findings
    return [(f.check, f.status, f.reason) for f in findings if f.status is not Status.PASSED]


@given(cases())
@settings(derandomize=True, max_examples=150, deadline=None)
def test_no_essential_check_objects_to_the_correct_recipe(case):
    correct = Mutant(name="correct", bug="none", norm=case.norm, make=lambda: forward_of(norm=case.norm))

    assert objections(correct.implementation(), case) == []


@pytest.mark.parametrize("name", ["numpy_staged", "numpy_simplified"])
@given(case=cases(norms=("batch",)))
@settings(derandomize=True, max_examples=75, deadline=None)
def test_no_essential_check_objects_to_a_shipped_implementation(name, case):
    assert objections(REGISTRY[name], case) == []


@given(cases(norms=("batch",)))
@settings(derandomize=True, max_examples=50, deadline=None)
def test_a_missing_gamma_is_objected_to_wherever_differences_can_see_it(case):
    (without_gamma,) = (mutant for mutant in ALL_MUTANTS if mutant.name == "dx_without_gamma")
    # Far from zero, differences of a float32 forward are too noisy for the few elements of one channel.
    assume(case.dtype == "float64" or abs(case.mean) <= 12 * case.sd)
    assume(np.abs(draw(case).gamma - 1).max() > 0.05)

    assert "BN301" in {check for check, _, _ in objections(without_gamma.implementation(), case)}


@given(cases())
@settings(derandomize=True, max_examples=200)
def test_a_case_that_went_through_its_id_draws_the_same_data(case):
    again = parse_case(case_id(case))

    assert again == case
    assert same_bits(draw(again).x, draw(case).x)
    assert same_bits(draw_cotangent(again), draw_cotangent(case))


@given(cases())
@settings(derandomize=True, max_examples=100, deadline=None)
def test_the_reference_does_not_see_the_order_of_the_rows(case):
    inputs, dy = draw(replace(case, dtype="float64")), draw_cotangent(replace(case, dtype="float64"))
    order = np.random.default_rng(case.seed).permutation(case.shape[0])
    straight = normalize(inputs, dy)
    shuffled = normalize(replace(inputs, x=inputs.x[order]), dy[order])

    scale = np.abs(straight.gradients[0].dx).max() + np.abs(dy).max() / case.sd
    np.testing.assert_allclose(shuffled.y, straight.y[order], rtol=0, atol=1e-9)
    np.testing.assert_allclose(shuffled.gradients[0].dx, straight.gradients[0].dx[order], rtol=0, atol=1e-9 * scale)
