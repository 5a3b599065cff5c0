"""Cases print and parse back, and draw the same data every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnbench.cases import CaseError, case_id, draw, draw_cotangent, grid, parse_case
from bnbench.model import Case

floats = st.floats(allow_nan=False, allow_infinity=False)
batch_cases = st.builds(
    Case,
    shape=st.lists(st.integers(1, 40), min_size=2, max_size=5).map(tuple),
    dtype=st.sampled_from(["float32", "float64"]),
    training=st.booleans(),
    mean=floats,
    sd=floats.map(abs),
    eps=floats.map(abs),
    momentum=floats,
    seed=st.integers(0, 2**63),
)
grouped_cases = batch_cases.flatmap(
    lambda case: st.sampled_from(
        [replace(case, norm=norm, training=True) for norm in ("layer", "instance", "rms")]
        + [
            replace(case, norm="group", groups=g, training=True)
            for g in range(1, case.channels + 1)
            if case.channels % g == 0
        ]
    )
)


@given(batch_cases | grouped_cases)
def test_every_case_prints_and_parses_back(case):
    assert parse_case(case_id(case)) == case


@pytest.mark.parametrize("case", grid(), ids=case_id)
def test_the_default_grid_has_ids_that_differ(case):
    assert [case_id(other) for other in grid()].count(case_id(case)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "dtype ''"),
        ("float8/9x5/train", "dtype 'float8': expected one of float16, float32, float64"),
        ("float64/4x6/group4", "6 channels do not fall into 4 groups"),
        ("float64/4x6/group", "mode 'group': expected one of train, eval, layer"),
        ("float64/9/train", "shape '9': expected N x C"),
        ("float64/9x0/train", "shape '9x0'"),
        ("float64/9xfive/train", "shape '9xfive'"),
        ("float64/9x5/test", "mode 'test': expected one of train, eval"),
        ("float64/9x5/train/speed=3", "'speed=3': expected one of mean="),
        ("float64/9x5/train/mean=much", "'much' is not a number"),
        ("float64/9x5/train/mean=nan", "'mean=nan': expected a finite number"),
        ("float64/9x5/train/sd=inf", "'sd=inf': expected a finite number, not negative"),
        ("float64/9x5/train/eps=-1", "'eps=-1': expected a finite number, not negative"),
        ("float64/9x5/train/seed=-1", "'seed=-1': expected a finite number, not negative"),
        ("float64/99999999x9999/train", "999,899,990,001 elements, expected at most 134,217,728"),
        ("float64/9x5/train/seed=1.5", "'1.5' is not a number"),
    ],
)
def test_a_text_that_is_not_a_case_says_what_was_expected(text, message):
    with pytest.raises(CaseError, match=message):
        parse_case(text)


def test_a_case_draws_the_same_numbers_again():
    case = Case(shape=(9, 5), seed=7)

    assert np.array_equal(draw(case).x, draw(case).x)
    assert np.array_equal(draw_cotangent(case), draw_cotangent(case))


def test_another_seed_draws_other_numbers():
    case = Case(shape=(9, 5))

    assert not np.array_equal(draw(case).x, draw(replace(case, seed=1)).x)


def test_float32_draws_what_float64_draws_rounded():
    case = Case(shape=(9, 5))

    assert np.array_equal(draw(replace(case, dtype="float32")).x, draw(case).x.astype(np.float32))


def test_the_data_could_not_hide_a_forgotten_parameter():
    inputs = draw(Case(shape=(50, 40)))

    assert inputs.gamma.min() < 0 < inputs.gamma.max()
    assert np.abs(inputs.gamma).min() >= 0.5
    assert not np.allclose(inputs.running_var, inputs.x.var(0), rtol=0.1)
