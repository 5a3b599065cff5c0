from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bnbench.model import Comparison, Finding, Report, Status
from bnbench.report.codec import ReportFormatError, dump_json, dump_schema, json_schema, parse_json

PUBLISHED = Path(__file__).parent.parent.parent / "docs" / "results.schema.json"


def with_comparison(report, **changes):
    comparison = Comparison(quantity="dx", error=1.0, limit=2.0, unit="ulps", got=0.5, expected=0.25)
    finding = Finding(
        implementation="a",
        check="BN301",
        claim="",
        case="float64/9x5/train",
        status=Status.FAILED,
        comparisons=(replace(comparison, **changes),),
    )
    return replace(report, findings=(finding,))


def edited(report, path, value):
    """The JSON of a report with one value replaced or added."""
    data = json.loads(dump_json(report))
    *parents, last = path
    place = data
    for part in parents:
        place = place[part]
    place[last] = value
    return json.dumps(data)


@pytest.mark.parametrize("which", ["report", "large_report", "empty_report"])
def test_a_report_is_read_as_it_was_written(which, request):
    original = request.getfixturevalue(which)

    assert parse_json(dump_json(original)) == original


def test_a_report_of_non_finite_numbers_and_odd_texts_is_read_as_it_was_written(hostile_report):
    text = dump_json(hostile_report)
    again = parse_json(text)

    assert dump_json(again) == text
    assert again.implementations == hostile_report.implementations
    assert math.isnan(again.findings[0].comparisons[0].error)
    assert again.findings[0].comparisons[1].got == math.inf


def test_the_text_is_the_golden_one(report, golden):
    golden("results.json", dump_json(report))


def test_non_finite_numbers_are_strings(empty_report):
    report = with_comparison(empty_report, error=math.nan, limit=math.inf, relative=-math.inf)
    comparison = json.loads(dump_json(report))["findings"][0]["comparisons"][0]

    assert (comparison["error"], comparison["limit"], comparison["relative"]) == ("nan", "inf", "-inf")


def test_a_spelled_number_is_a_number_where_a_text_may_stand_as_well(empty_report):
    text = dump_json(with_comparison(empty_report, got=math.nan, expected="float32 (9, 5)"))
    comparison = parse_json(text).findings[0].comparisons[0]

    assert isinstance(comparison.got, float)
    assert math.isnan(comparison.got)
    assert comparison.expected == "float32 (9, 5)"


def test_scalars_of_numpy_are_written_as_numbers(empty_report):
    report = with_comparison(empty_report, error=np.float64(0.5), got=np.float32(0.25), index=(np.int64(3),))
    comparison = parse_json(dump_json(report)).findings[0].comparisons[0]

    assert (comparison.error, comparison.got, comparison.index) == (0.5, 0.25, (3,))


def test_the_order_of_a_mapping_does_not_matter(report):
    versions = dict(reversed(report.environment.versions.items()))
    other = replace(report, environment=replace(report.environment, versions=versions))

    assert dump_json(other) == dump_json(report)


def test_another_schema_is_refused_by_name(report):
    with pytest.raises(ReportFormatError, match=r"is 'bnbench\.report/2', expected 'bnbench\.report/1'"):
        parse_json(edited(report, ["schema"], "bnbench.report/2"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "schema of the report is 'none'"),
        ("[]", "schema of the report is a JSON list"),
        ("", "not strict JSON"),
        ("[" * 100_000, "not strict JSON"),
        ('{"schema": NaN}', "NaN is not a JSON number"),
    ],
)
def test_what_is_no_report_is_refused(text, message):
    with pytest.raises(ReportFormatError, match=message):
        parse_json(text)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["extra"], 1, r"^extra: unknown field"),
        (["findings", 0, "extra"], 1, r"^findings\[0\].extra: unknown field"),
        (["findings", 0, "status"], "great", r"^findings\[0\].status: "),
        (["findings", 0, "comparisons", 0, "error"], "1.5", r"comparisons\[0\].error: '1.5' is not how 1.5 is written"),
        (["findings", 0, "comparisons", 0, "error"], True, r"comparisons\[0\].error: True is not how 1.0 is written"),
        (["findings", 0, "comparisons", 0, "error"], "Infinity", r"error: 'Infinity' is not how 'inf' is written"),
        (["findings", 0, "comparisons", 0, "got"], None, r"comparisons\[0\].got"),
        (["environment"], {}, r"^environment.created: "),
    ],
)
def test_what_would_not_be_written_is_refused_with_its_place(empty_report, path, value, message):
    text = edited(with_comparison(empty_report), path, value)

    with pytest.raises(ReportFormatError, match=message):
        parse_json(text)


def test_a_field_with_a_default_may_be_missing(empty_report):
    data = json.loads(dump_json(empty_report))
    del data["untimed"]

    assert parse_json(json.dumps(data)) == empty_report


def test_the_published_schema_is_current():
    # Write it again with: python -c "from bnbench.report.codec import dump_schema as d; print(d(), end='')"
    assert PUBLISHED.read_text(encoding="utf-8") == dump_schema()


@pytest.mark.parametrize("which", ["report", "empty_report", "hostile_report"])
def test_what_is_written_fits_the_schema(which, request):
    jsonschema.validate(json.loads(dump_json(request.getfixturevalue(which))), json_schema())


@pytest.mark.parametrize(
    ("path", "value"),
    [(["extra"], 1), (["schema"], "bnbench.report/2"), (["findings", 0, "comparisons", 0, "error"], "NaN")],
)
def test_the_schema_refuses_what_is_not_a_report(empty_report, path, value):
    text = edited(with_comparison(empty_report), path, value)

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(text), json_schema())


def test_the_schema_is_of_this_record():
    assert set(json_schema()["properties"]) == set(Report.__dataclass_fields__)
