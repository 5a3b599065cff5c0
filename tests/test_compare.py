"""Comparisons can fail: NaN, shapes and bits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bnbench.compare import compare, compare_bits, relative_error
from bnbench.tolerances import ROUNDING, band

ONE = np.array([1.0, 2.0, 3.0])


def test_equal_arrays_have_no_error():
    assert compare("y", ONE, ONE, 1.0, ROUNDING).error == 0


def test_the_largest_error_is_found_where_it_is():
    got = ONE + np.array([0.0, 0.5, 0.25])
    comparison = compare("y", got, ONE, 0.25, ROUNDING)

    assert (comparison.error, comparison.index, comparison.got, comparison.expected) == (2.0, (1,), 2.5, 2.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_infinitely_far(bad):
    assert compare("y", np.array([1.0, bad, 3.0]), ONE, 1.0, ROUNDING).error == math.inf


def test_nan_in_the_unit_is_infinitely_far():
    assert compare("y", ONE + 1, ONE, math.nan, ROUNDING).error == math.inf


def test_shapes_never_broadcast():
    comparison = compare("y", ONE.reshape(1, 3), ONE, 1.0, ROUNDING)

    assert comparison.error == math.inf
    assert (comparison.got, comparison.expected) == ("shape (1, 3)", "shape (3,)")


def test_zeros_on_both_sides_are_trivial():
    assert compare("dx", np.zeros(3), np.zeros(3), 1.0, ROUNDING).trivial
    assert not compare("dx", np.zeros(3), ONE, 1.0, ROUNDING).trivial


def test_bits_tell_zero_from_minus_zero_and_nan_from_itself_not():
    assert compare_bits("y", np.array([0.0]), np.array([-0.0])).error == 1
    assert compare_bits("y", np.array([math.nan]), np.array([math.nan])).error == 0


def test_bits_count_every_difference_and_name_the_first():
    comparison = compare_bits("y", ONE * [1, 2, 2], ONE)

    assert (comparison.error, comparison.index) == (2.0, (1,))


def test_bits_of_another_dtype_differ():
    assert compare_bits("y", ONE.astype(np.float32), ONE).error == math.inf


def test_the_relative_error_is_the_courses():
    assert relative_error(np.array([1.0]), np.array([1.1])) == pytest.approx(0.1 / 2.1)
    assert relative_error(np.array([0.0]), np.array([1e-9])) == pytest.approx(0.1), "the floor is 1e-8"
    assert math.isnan(relative_error(np.array([math.nan]), np.array([1.0])))


@pytest.mark.parametrize(
    ("relative", "word"),
    [
        (0.0, "comfortable"),
        (1e-7, "comfortable"),
        (2e-7, "acceptable with kinks"),
        (2e-4, "doubtful"),
        (2e-2, "wrong"),
        (math.inf, "wrong"),
        (math.nan, "wrong"),
    ],
)
def test_bands_are_the_courses(relative, word):
    assert band(relative) == word
