from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bnbench.model import Capabilities, Comparison, Finding, Interval, Status
from bnbench.report.words import capabilities, duration, evidence, interval, margin, relative, telling, three_digits


def comparison(**changes):
    return Comparison(
        **({"quantity": "dx", "error": 40.0, "limit": 32.0, "unit": "ulps", "got": 0.5, "expected": 0.25} | changes)
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"index": (3, 1)}, "dx[3, 1] is 0.5, expected 0.25: 40 × ulps (limit 32)"),
        ({}, "dx is 0.5, expected 0.25: 40 × ulps (limit 32)"),
        ({"got": math.nan, "error": math.inf}, "dx is nan, expected 0.25: inf × ulps (limit 32)"),
        ({"got": "float64", "expected": "float32"}, "dx is float64, expected float32"),
        ({"got": 0.0, "expected": 0.0, "error": 0.0, "trivial": True}, "dx is zero on both sides"),
    ],
)
def test_evidence_is_a_sentence(changes, text):
    assert evidence(comparison(**changes)) == text


def test_numbers_that_differ_never_look_the_same():
    text = evidence(comparison(got=1.0, expected=1.0 + 2**-52))

    assert text.startswith("dx is 1.0, expected 1.0000000000000002:")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.5, "1.50 s"),
        (9.996e-4, "1.00 ms"),
        (3.2e-6, "3.20 µs"),
        (107e-9, "107 ns"),
        (0.0, "0.00 ns"),
        (math.nan, "nan s"),
    ],
)
def test_a_duration_has_three_digits(seconds, text):
    assert duration(seconds) == text


def test_a_number_has_no_dangling_point():
    assert [three_digits(x) for x in (107.0, 0.05, math.inf)] == ["107", "0.0500", "inf"]


@pytest.mark.parametrize(
    ("values", "text"),
    [((2.5, 2.41, 2.58), "2.50 [2.41, 2.58]"), ((0.0123, 0.01, math.nan), "0.0123 [0.01, nan]")],
)
def test_an_interval_keeps_its_digits(values, text):
    median, low, high = values

    assert interval(Interval(median=median, low=low, high=high)) == text


def test_a_relative_error_comes_with_its_band():
    assert [relative(x) for x in (3.21e-9, 0.0, math.nan)] == [
        "3.2e-09 (comfortable)",
        "0 (comfortable)",
        "nan (wrong)",
    ]


@pytest.mark.parametrize(
    ("error", "limit", "share"),
    [(16.0, 32.0, 0.5), (0.0, 0.0, 0.0), (1.0, 0.0, math.inf), (math.nan, 32.0, math.inf), (1.0, math.nan, math.inf)],
)
def test_the_margin_is_the_share_of_the_limit(error, limit, share):
    assert margin(comparison(error=error, limit=limit)) == share


def test_what_is_told_is_what_made_the_verdict():
    fine, beyond = comparison(error=1.0), comparison(error=math.nan)
    zero = comparison(error=0.0, trivial=True)

    def told(*comparisons):
        finding = Finding(
            implementation="a", check="b", claim="c", case="d", status=Status.FAILED, comparisons=comparisons
        )
        return telling(finding)

    assert told(fine, zero, beyond) == (beyond,)
    assert told(fine, zero) == (zero,)
    assert told(fine) == (fine,)


def test_capabilities_are_one_line(report):
    texts = [capabilities(info) for info in report.implementations]

    assert texts[0] == "float32, float64; 2 to 5 dimensions; kept variance ddof 0"
    assert texts[2] == "float32, float64; 2, 4 dimensions; kept variance ddof 0"
    assert texts[3].endswith("kept variance ddof 1; does not validate its arguments")
    course = replace(report.implementations[0], capabilities=Capabilities(ranks=(2,), eval_vjp=False))
    assert capabilities(course).endswith("kept variance ddof 0; no backward in eval mode")
