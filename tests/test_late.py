"""Lateness: pure functions of times."""

from __future__ import annotations

import pytest

from bnbench.grading.late import Extension, ExtensionsError, Lateness, final_points, lateness, read_extensions
from bnbench.grading.model import LatePolicy

DUE = "2026-03-01T23:59:00-08:00"
POLICY = LatePolicy(grace_minutes=15, percent_per_day=10.0, slip_days=2, latest_days=5)
WITHOUT_SLIP = LatePolicy(grace_minutes=15, percent_per_day=10.0, latest_days=5)


@pytest.mark.parametrize(
    ("submitted", "days", "percent"),
    [
        ("2026-03-01T23:59:00-08:00", 0, 0),
        ("2026-03-02T00:14:00-08:00", 0, 0),
        ("2026-03-02T08:14:00+00:00", 0, 0),
        ("2026-03-02T00:14:01-08:00", 1, 10),
        ("2026-03-03T00:14:00-08:00", 1, 10),
        ("2026-03-03T00:14:01-08:00", 2, 20),
        (None, 0, 0),
    ],
)
def test_every_day_begun_after_the_grace_costs(submitted, days, percent):
    late = lateness(submitted, DUE, WITHOUT_SLIP)

    assert (late.days, late.percent) == (days, percent)


def test_slip_days_pay_for_the_first_days_as_far_as_the_budget_goes():
    third_day = "2026-03-04T12:00:00-08:00"

    assert lateness(third_day, DUE, POLICY) == Lateness(days=3, slip_days=2, percent=10.0)
    used = Extension(slip_days_used=5)
    assert lateness(third_day, DUE, POLICY, used) == Lateness(days=3, percent=30.0)


def test_what_comes_after_the_last_day_counts_nothing_and_costs_no_slip_days():
    late = lateness("2026-03-07T12:00:00-08:00", DUE, POLICY)

    assert late == Lateness(days=6, percent=100.0, counts=False)
    assert final_points(20, late) == 0


def test_an_extension_moves_the_due_date_of_one():
    own = Extension(due="2026-03-08T23:59:00-08:00")

    assert lateness("2026-03-07T12:00:00-08:00", DUE, POLICY, own).days == 0
    assert lateness("2026-03-09T12:00:00-08:00", DUE, POLICY, own).days == 1


def test_a_penalty_takes_no_more_than_there_is():
    assert lateness("2026-03-20T00:00:00-08:00", DUE, LatePolicy(percent_per_day=40.0)).percent == 100.0


@pytest.mark.parametrize(
    ("points", "percent", "final"), [(20, 10.0, 18), (7, 33.0, 4.69), (1, 0.5, 1.0), (3, 100.0, 0)]
)
def test_final_points_are_rounded_to_two_decimals_halves_up(points, percent, final):
    assert final_points(points, Lateness(days=1, percent=percent)) == final


def test_a_time_without_offset_is_refused():
    with pytest.raises(ValueError, match="offset"):
        lateness("2026-03-02T00:14:00", DUE, POLICY)


def test_extensions_are_read_by_student():
    read = read_extensions("\ufeffid,due,slip_days_used,note\nann,2026-03-08T23:59:00-08:00,,ill\nbob,,3,\n")

    assert read == {"ann": Extension(due="2026-03-08T23:59:00-08:00"), "bob": Extension(slip_days_used=3)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("student,due\nann,\n", "line 1"),
        ("id,due,slip_days_used,note\nann,tomorrow,,\n", "line 2: due"),
        ("id,due,slip_days_used,note\nann,,many,\n", "line 2: slip_days_used"),
        ("id,due,slip_days_used,note\nann,,1,\nann,,2,\n", "line 3: id"),
    ],
)
def test_extensions_that_can_not_be_understood_are_refused_by_line(text, said):
    with pytest.raises(ExtensionsError, match=said):
        read_extensions(text)
