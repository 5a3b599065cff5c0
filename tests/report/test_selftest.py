"""What a self-test says: counts, the smallest difference that is found, and when timing is not to be trusted."""

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from bnbench.model import Interval, SelfTest, SelfTestRow
from bnbench.report.codec import plain
from bnbench.report.selftest import (
    at_fault,
    at_least,
    by_size,
    head,
    meaning,
    selftest_document,
    selftest_page,
    summarize,
)


def row(low, median, high, *, slowed=None, size="small"):
    return SelfTestRow(
        implementation="numpy_staged",
        case="float32/4x5/train",
        operation="backward",
        size=size,
        ratio=Interval(median=median, low=low, high=high),
        slowed=slowed and Interval(median=slowed, low=slowed - 0.01, high=slowed + 0.01),
    )


RIGHT = row(0.99, 1.0, 1.01)
FALSE = row(1.001, 1.01, 1.02)


def selftest(*rows):
    return SelfTest(rows=rows, planted=0.05, boundary=140e-9, load=(0.5, 2.0))


def test_a_false_alarm_is_an_interval_without_one_on_either_side():
    found = summarize([RIGHT, FALSE, row(0.95, 0.96, 0.99)])
    assert found.false_alarms == 2
    assert found.largest_false == pytest.approx(1 / 0.96 - 1)


def test_an_interval_of_nan_is_a_false_alarm_that_nothing_excuses():
    broken = row(math.nan, math.nan, math.nan)
    assert summarize([broken]).false_alarms == 1
    assert summarize([RIGHT, broken]).resolvable == math.inf
    assert at_fault(selftest(RIGHT, broken))


def test_resolvable_is_what_would_move_the_interval_off_one_in_95_rows_of_100():
    rows = [row(1 / (1 + reach / 100), 1.0, 1.0) for reach in range(1, 101)]
    assert summarize(rows).resolvable == pytest.approx(0.95)
    for share, found in ((0.96, 95), (0.94, 93)):
        slower = [replace(r.ratio, low=r.ratio.low * (1 + share), high=r.ratio.high * (1 + share)) for r in rows]
        assert sum(ratio.low > 1 for ratio in slower) == found


def test_a_planted_slowdown_is_found_when_its_interval_is_below_one():
    found = summarize([row(0.99, 1, 1.01, slowed=s) for s in (0.95, 0.98, 0.995)] + [RIGHT])
    assert (found.found, found.planted) == (2, 3)


@pytest.mark.parametrize(("false", "fault"), [(0, False), (5, False), (10, False), (11, False), (14, True)])
def test_more_false_alarms_than_chance_explains_are_a_fault(false, fault):
    assert bool(at_fault(selftest(*[FALSE] * false, *[RIGHT] * (100 - false)))) is fault


def test_one_false_alarm_beyond_three_percent_is_a_fault():
    assert not at_fault(selftest(*[RIGHT] * 50, row(1.001, 1.029, 1.1)))
    assert "beyond 3.0 %" in at_fault(selftest(*[RIGHT] * 50, row(1.001, 1.031, 1.1)))


def test_probability_of_false_alarms_is_binomial():
    assert at_least(0, 7) == 1
    assert at_least(1, 1) == pytest.approx(0.05)
    assert at_least(2, 2) == pytest.approx(0.0025)


def test_sizes_are_told_apart_smallest_first():
    found = by_size(selftest(row(0.9, 1, 1.1, size="large"), RIGHT))
    assert list(found) == ["small", "large"]
    assert found["large"].resolvable == pytest.approx(1 / 0.9 - 1)


def test_the_head_says_what_was_found_in_which_load():
    text = head(selftest(RIGHT, FALSE))
    assert "numpy_staged was called faster or slower in 1 of 2 rows, by up to 1.0 %" in text
    assert "from 2.0 % on small arrays" in text
    assert "140 ns" in text
    assert "Load: 0.5, 2.0" in text


def test_a_self_test_without_rows_still_tells_the_boundary():
    assert head(selftest()) == "A timed call includes 140 ns of bnbench. Load: 0.5, 2.0."
    with pytest.raises(ValueError, match="without rows"):
        summarize([])


def test_the_page_has_the_verdict_the_table_and_its_meaning():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(selftest_page(selftest(row(0.99, 1, 1.01, slowed=0.95), FALSE)))
    text = console.export_text()
    for told in ("can be trusted", "1 of 1 (100.0 %)", "boundary: 140 ns", "1 (50.0 %)"):
        assert told in text


def test_a_slowdown_that_is_missed_is_said_with_what_to_do():
    missed = row(0.99, 1, 1.01, slowed=0.995)
    assert any("--budget" in line for line in meaning(selftest(missed)))
    assert not any("--budget" in line for line in meaning(selftest(RIGHT)))


def test_the_document_is_strict_json(report):
    text = json.dumps(plain(selftest_document(selftest(RIGHT), report.environment)), allow_nan=False)
    assert json.loads(text)["by_size"]["small"]["rows"] == 1
