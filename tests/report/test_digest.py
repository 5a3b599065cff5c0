from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bnbench.model import Comparison, Finding, Status
from bnbench.report.digest import groups, headline, names, overviews, relative_errors, skips, timings, worst_status


def comparison(**changes):
    plain = Comparison(quantity="dx", error=1.0, limit=2.0, unit="ulps", got=0.5, expected=0.25, relative=1e-9)
    return replace(plain, **changes)


def finding(status=Status.PASSED, *comparisons, **changes):
    plain = Finding(
        implementation="a", check="BN301", claim="c", case="float64/9x5/train", status=status, comparisons=comparisons
    )
    return replace(plain, **changes)


def with_findings(report, *findings):
    return replace(report, findings=findings)


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ((Status.PASSED, Status.FAILED, Status.ERRORED), Status.FAILED),
        ((Status.VACUOUS, Status.ERRORED), Status.ERRORED),
        ((Status.VACUOUS, Status.PASSED), Status.VACUOUS),
        ((Status.SKIPPED, Status.PASSED), Status.PASSED),
        ((Status.SKIPPED,), Status.SKIPPED),
        ((), None),
    ],
)
def test_the_worst_status_of_many(statuses, worst):
    assert worst_status(statuses) is worst


def test_a_group_counts_its_worst_status_and_shows_the_worst_case_first(empty_report):
    report = with_findings(
        empty_report,
        finding(Status.PASSED, comparison()),
        finding(Status.FAILED, comparison(error=3.0), case="near"),
        finding(Status.FAILED, comparison(error=math.nan), case="nan"),
        finding(Status.FAILED, comparison(error=9.0), case="far"),
    )
    (group,) = groups(report)

    assert (group.status, group.count) == (Status.FAILED, 3)
    assert [f.case for f in group.unresolved] == ["nan", "far", "near"]


def test_nan_is_the_worst_relative_error(empty_report):
    report = with_findings(
        empty_report,
        finding(Status.PASSED, comparison(relative=0.5)),
        finding(Status.FAILED, comparison(relative=math.nan)),
        finding(Status.PASSED, comparison(relative=0.9)),
    )

    assert math.isnan(relative_errors(report).values["a", "float64", "dx"])
    assert math.isnan(overviews(report)[0].worst_relative.value)
    assert overviews(report)[0].worst_relative[1:] == ("dx", "float64")


def test_relative_errors_are_by_dtype_and_in_the_usual_order(empty_report):
    report = with_findings(
        empty_report,
        finding(Status.PASSED, comparison(quantity="y of rows alone"), comparison(quantity="dgamma", relative=1e-3)),
        finding(Status.PASSED, comparison(relative=1e-5), case="float32/9x5/train"),
        finding(Status.PASSED, comparison(relative=None, quantity="y")),
        finding(Status.PASSED, comparison(relative=1e-8)),
    )
    errors = relative_errors(report)

    assert errors.quantities == ("dx", "dgamma", "y of rows alone")
    assert errors.rows == (("a", "float32"), ("a", "float64"))
    assert errors.values["a", "float64", "dx"] == 1e-8
    assert ("a", "float32", "dgamma") not in errors.values


def test_a_limit_of_zero_that_is_not_met_is_the_worst(empty_report):
    report = with_findings(
        empty_report,
        finding(Status.FAILED, comparison(error=1e9), comparison(quantity="y", error=1.0, limit=0.0)),
        finding(Status.PASSED, comparison(quantity="dbeta", error=0.0, limit=0.0)),
    )

    assert overviews(report)[0].worst.quantity == "y"


def test_implementations_that_are_only_found_are_named_after_those_that_are_listed(report):
    stranger = finding(implementation="stranger")

    assert names(with_findings(report, stranger))[-1] == "stranger"
    assert overviews(with_findings(report, stranger))[-1].info is None


def test_skips_are_gathered_by_reason(empty_report):
    report = with_findings(
        empty_report,
        finding(Status.SKIPPED, reason="r"),
        finding(Status.SKIPPED, reason="r", case="other"),
        finding(Status.SKIPPED, reason="r", check="BN302"),
        finding(Status.PASSED, check="BN302"),
    )

    assert skips(report) == {("a", "r"): ["BN301", "BN302"]}


def test_timings_are_fastest_first(report):
    for blocks in timings(report).values():
        for block in blocks:
            medians = [m.seconds.median for m in block.measurements]

            assert medians == sorted(medians)
            assert {m.case for m in block.measurements} == {block.case}


@pytest.mark.parametrize(
    ("statuses", "text"),
    [
        ((), "Nothing was verified"),
        ((Status.SKIPPED,), "Nothing was verified"),
        ((Status.PASSED,), "The implementation passed every check"),
        ((Status.PASSED, Status.PASSED), "All 2 implementations passed every check"),
        ((Status.PASSED, Status.VACUOUS), "1 of 2 implementations did not pass every check"),
        ((Status.FAILED,), "The implementation did not pass every check"),
    ],
)
def test_the_headline_is_the_verdict(empty_report, statuses, text):
    findings = (finding(status, implementation=str(i)) for i, status in enumerate(statuses))

    assert headline(with_findings(empty_report, *findings)) == text


def test_the_headline_never_hides_what_was_not_looked_at(report):
    assert headline(report) == "3 of 5 implementations did not pass every check; 1 unavailable; 1 broken plugin"
