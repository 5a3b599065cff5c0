import math
from dataclasses import replace

import pytest

from bnbench.changes import (
    FLOOR,
    ChangeVerdict,
    changes_between,
    factor_of,
    judge,
    pooled,
    shared_shift,
    steps_between,
)
from bnbench.model import Interval
from bnbench.recorded import Commit, History, Point, RecordedRow

QUIET = (1.0, 1.01, 0.99, 1.02, 0.98, 1.0)


def row(implementation="own", unit="seconds"):
    return RecordedRow(benchmark="b", implementation=implementation, case="c", unit=unit)


def times(factor=1.0, spread=QUIET):
    return Point(value=factor, processes=tuple(factor * value for value in spread))


def verdict(before, after, unit="seconds"):
    commits = (Commit(name="a" * 40, date=0), Commit(name="b" * 40, date=1))
    history = History(machine="m", environment="e", commits=commits, rows={row(unit=unit): (before, after)})
    (change,) = changes_between(history, 0, 1).changes
    return change.verdict


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1.3, ChangeVerdict.REGRESSION),
        (1.12, ChangeVerdict.REGRESSION),
        (1.0, ChangeVerdict.STEADY),
        (1.05, ChangeVerdict.STEADY),
        (0.7, ChangeVerdict.IMPROVEMENT),
    ],
)
def test_a_resolved_change_beyond_the_factor_is_told_and_no_other(factor, expected):
    assert verdict(times(), times(factor)) is expected


def test_the_limit_grows_with_the_spread_of_the_processes():
    noisy = times(1.3, spread=(0.5, 0.7, 1.0, 1.0, 1.4, 1.9))

    assert verdict(times(), noisy) is ChangeVerdict.UNRESOLVED
    assert factor_of(times(), times(), "seconds") == FLOOR
    assert factor_of(noisy, noisy, "seconds") > 1.5


def test_a_row_is_not_taken_to_be_quieter_than_the_others():
    assert factor_of(times(), times(), "seconds", typical=0.1) > 1.2


def test_quantiles_serve_where_no_processes_are_stored():
    before = Point(value=1.0, low=0.99, high=1.01, spread=0.01)

    assert verdict(before, Point(value=1.5, low=1.48, high=1.52, spread=0.01)) is ChangeVerdict.REGRESSION
    assert verdict(before, Point(value=1.5, low=0.9, high=1.6, spread=0.01)) is ChangeVerdict.UNRESOLVED
    assert verdict(Point(value=1.0), Point(value=9.0)) is ChangeVerdict.UNRESOLVED


@pytest.mark.parametrize(
    ("before", "after", "unit", "expected"),
    [
        (1e-7, 1.9e-7, "relative error", ChangeVerdict.STEADY),
        (1e-7, 2.1e-7, "relative error", ChangeVerdict.REGRESSION),
        (1e-7, math.nan, "relative error", ChangeVerdict.LOST),
        (math.nan, 1e-7, "relative error", ChangeVerdict.GAINED),
        (0.0, 1e-7, "relative error", ChangeVerdict.REGRESSION),
        (0.0, 0.0, "relative error", ChangeVerdict.STEADY),
        (100e6, 104e6, "bytes", ChangeVerdict.STEADY),
        (100e6, 110e6, "bytes", ChangeVerdict.REGRESSION),
        (1e-6, math.inf, "seconds", ChangeVerdict.REGRESSION),
    ],
)
def test_values_without_a_spread_have_a_fixed_factor(before, after, unit, expected):
    spread = {"spread": 0.0} if unit == "seconds" else {}
    assert verdict(Point(value=before, **spread), Point(value=after, **spread), unit) is expected


def test_a_failure_is_a_loss_and_another_version_is_no_change():
    assert verdict(times(), Point(value=math.nan, failed=True)) is ChangeVerdict.LOST
    assert verdict(times(), replace(times(2.0), version="2")) is ChangeVerdict.INCOMPARABLE


def test_nan_is_never_steady():
    nan = Interval(median=math.nan, low=math.nan, high=math.nan)
    assert judge(nan, 1.1) is ChangeVerdict.UNRESOLVED


def test_what_is_measured_at_neither_commit_is_left_out():
    absent = Point(value=math.nan)
    commits = (Commit(name="a", date=0), Commit(name="b", date=1))
    history = History(machine="m", environment="e", commits=commits, rows={row(): (absent, absent)})

    assert changes_between(history, 0, 1).changes == ()


def test_what_all_implementations_share_is_the_machine():
    everyone = {row(name): ratio for name, ratio in (("a", 1.3), ("b", 1.2), ("c", 1.25))}

    assert shared_shift(everyone) == pytest.approx(1.2)
    assert shared_shift({**everyone, row("c"): 0.99}) == 1, "the third says that it was not the machine"
    assert shared_shift({row("a"): 1.3, row("b"): 1.2}) == 1, "two are too few to tell"


def test_a_slower_machine_is_no_regression_and_a_change_on_it_still_is():
    commits = (Commit(name="a", date=0), Commit(name="b", date=1))
    rows = {row(name): (times(), times(1.4)) for name in "abc"}
    rows[row("d")] = (times(), times(2.0))
    found = changes_between(History(machine="m", environment="e", commits=commits, rows=rows), 0, 1)

    assert found.shared == pytest.approx(1.4)
    assert [change.row.implementation for change in found.of(ChangeVerdict.REGRESSION)] == ["d"]
    assert len(found.of(ChangeVerdict.STEADY)) == 3


def test_a_step_is_judged_by_all_processes_on_either_side():
    commits = tuple(Commit(name=str(i), date=i) for i in range(6))
    points = (times(), None, times(), times(1.3), times(1.3), times(1.3))
    history = History(machine="m", environment="e", commits=commits, rows={row(): points})
    (step,) = steps_between(history, {row(): [(0, 3), (3, 6)]})

    assert step.commit.name == "3"
    assert step.change.verdict is ChangeVerdict.REGRESSION
    assert len(pooled(points[:3]).processes) == 12
    assert steps_between(history, {row(): [(3, 4), (4, 6)]}) == ()
