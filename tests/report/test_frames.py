from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

from bnbench.model import Comparison, Finding, Status
from bnbench.report.frames import findings_csv, findings_frame, timings_csv, timings_frame


def finding(*comparisons, **changes):
    plain = Finding(
        implementation="a",
        check="BN301",
        claim="c",
        case="float64/9x5/train",
        status=Status.FAILED,
        comparisons=comparisons,
    )
    return replace(plain, **changes)


def comparison(**changes):
    plain = Comparison(quantity="dx", error=1.0, limit=2.0, unit="ulps", got=-0.5, expected=0.25, relative=1e-9)
    return replace(plain, **changes)


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_there_is_one_row_for_each_comparison_and_for_a_finding_without(empty_report):
    findings = (finding(comparison(), comparison(quantity="dgamma")), finding(status=Status.SKIPPED, reason="r"))
    frame = findings_frame(replace(empty_report, findings=findings))

    assert frame["quantity"].tolist()[:2] == ["dx", "dgamma"]
    assert frame["status"].tolist() == ["failed", "failed", "skipped"]
    assert frame["band"].tolist()[0] == "comfortable"
    assert frame["error"].dtype == "float64"
    assert frame.loc[2, ["quantity", "error", "band"]].isna().all()


def test_nan_is_not_a_missing_number(empty_report):
    findings = (finding(comparison(error=math.nan, relative=None)), finding())
    measured, unmeasured = rows(findings_csv(replace(empty_report, findings=findings)))

    assert (measured["error"], measured["relative"], unmeasured["error"]) == ("nan", "", "")


def test_a_text_that_a_spreadsheet_would_execute_is_quoted(empty_report):
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1"):
        (row,) = rows(findings_csv(replace(empty_report, findings=(finding(comparison(note=text), reason=text),))))

        assert row["reason"] == row["note"] == f"'{text}"


def test_a_negative_number_is_left_a_number(empty_report):
    (row,) = rows(findings_csv(replace(empty_report, findings=(finding(comparison(expected=-math.inf)),))))

    assert (row["got"], row["expected"]) == ("-0.5", "-inf")


def test_a_line_break_or_comma_stays_in_its_cell(empty_report):
    text = 'a, "b"\nc'
    (row,) = rows(findings_csv(replace(empty_report, findings=(finding(reason=text),))))

    assert row["reason"] == text


def test_a_row_that_was_not_timed_says_why(report):
    frame = timings_frame(report)
    untimed = frame[frame["untimed_because"].notna()]

    assert len(frame) == len(report.measurements) + len(report.untimed)
    assert untimed["implementation"].tolist() == ["torch_composed", "numba_fused"]
    assert untimed["seconds_median"].isna().all()
    assert frame["seconds_median"].dtype == "float64"


def test_the_files_are_the_golden_ones(report, golden):
    golden("findings.csv", findings_csv(report))
    golden("timings.csv", timings_csv(report))
