"""The report of an experiment: strict JSON of the published schema, a table of curves, a page that needs nothing."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from bnbench.model import Interval
from bnbench.training.model import Figure, Point, Series
from bnbench.training.page import chart, curves_csv, dump_json, dump_schema, render_html
from bnbench.training.tables import summary

PUBLISHED = Path(__file__).parent.parent.parent / "docs" / "training.schema.json"
HOSTILE = "<script>alert(1)</script>\x1b[2J"


@pytest.fixture(scope="module")
def report(done):
    return done("fc-digits", seeds=(0, 1), steps=6)


def test_the_published_schema_is_that_of_the_records():
    assert PUBLISHED.read_text() == dump_schema()


def test_the_json_is_strict_and_of_the_schema(report):
    text = dump_json(report)
    read = json.loads(text, parse_constant=pytest.fail)
    jsonschema.validate(read, json.loads(PUBLISHED.read_text()))
    assert read["schema"] == "bnbench.training/1"
    assert read["trained"][0]["losses"] == list(report.trained[0].losses)


def test_a_number_that_is_not_finite_is_spelled(report):
    diverged = replace(report.trained[0], losses=(float("inf"), float("nan")))
    read = json.loads(dump_json(replace(report, trained=(diverged,))), parse_constant=pytest.fail)
    assert read["trained"][0]["losses"] == ["inf", "nan"]
    jsonschema.validate(read, json.loads(PUBLISHED.read_text()))


def test_the_csv_has_every_evaluation_to_the_last_bit(report):
    rows = list(csv.DictReader(io.StringIO(curves_csv(report))))
    assert len(rows) == sum(len(one.evaluations) for one in report.trained)
    assert float(rows[1]["loss"]) == report.trained[0].evaluations[1].loss


def test_a_name_that_a_spreadsheet_would_execute_is_quoted(report):
    one = report.trained[0]
    named = replace(one, run=replace(one.run, variant="=1+1"))
    rows = list(csv.DictReader(io.StringIO(curves_csv(replace(report, trained=(named,))))))
    assert rows[0]["variant"] == "'=1+1"


def test_the_page_needs_nothing_else_and_shows_every_figure(report):
    page = render_html(report)
    assert page.count("<figure>") == len(report.conclusion.figures) == 2
    assert not re.search(r"<script|<link|src=|@import|url\(", page)
    assert not re.findall(r"https?://(?!www\.w3\.org)", page)
    for claim in report.conclusion.claims:
        assert claim.sentence.replace("'", "&#39;") in page


def test_what_a_name_says_is_shown_and_does_nothing(report):
    figure = report.conclusion.figures[0]
    hostile = replace(figure, series=(replace(figure.series[0], name=HOSTILE),))
    changed = replace(report, conclusion=replace(report.conclusion, figures=(hostile,)), question=HOSTILE)
    page = render_html(changed)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    assert summary(changed)


def test_what_can_not_be_drawn_is_left_out():
    points = tuple(Point(x=x, y=Interval(median=y, low=y, high=y)) for x, y in ((1, 1.0), (2, 0.0), (3, float("inf"))))
    figure = Figure(title="t", x="x", y="y", log_y=True, kind="points", series=(Series(name="a", points=points),))
    assert [row["y"] for row in chart(figure).spec["data"]["values"]] == [1.0]
    assert chart(figure).svg.count('aria-roledescription="point"') == 1
