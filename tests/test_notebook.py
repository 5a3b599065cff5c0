"""What a notebook shows: a real one is executed, and every result is safe in any theme, and has a text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import bnbench
from bnbench.grading.assignment import read_assignment, shipped_text
from bnbench.grading.model import Grade, Isolation, ItemResult, Outcome, Visibility
from bnbench.grading.results import ClassResult
from bnbench.grading.roster import Row, Standing, Student
from bnbench.model import Environment, Finding, Interval, Measurement, Report, Status
from bnbench.report.notebook import measurements_html, report_html

HOSTILE = "<script>alert(1)</script>\x1b[2J"
CELLS = [
    "import numpy, bnbench\nbnbench.verify(lambda x: x**2, lambda dy, x: 2 * dy * x, numpy.ones((2, 3)))",
    "from bnbench import notebook",
    "notebook.time('numpy_staged', 'numpy_simplified', cases=['float64/9x5/train'], budget=0.001)",
]


class Balance(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page):
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    return balance.seen


def measurement(name, ratio, **changes):
    row = Measurement(
        implementation=name,
        case="float32/64x128/train",
        operation="backward",
        seconds=Interval(median=1e-5, low=9e-6, high=1.1e-5),
        baseline="numpy_staged",
        ratio=ratio,
        gigabytes_per_second=3.0,
        faults_per_call=0.0,
        rounds=5,
        calls_per_round=10,
        relative_error=1e-7,
    )
    return replace(row, **changes)


def report(**fields):
    here = Environment(
        created="2026-01-02T03:04:05+00:00",
        bnbench="0.1.0",
        python="3.13.1",
        platform="Linux",
        cpu="a CPU",
        cores=2,
        threads=1,
        allocator="untouched",
        versions={},
    )
    return Report(environment=here, **fields)


def finding(status, **changes):
    fields = {"implementation": HOSTILE, "check": "BN301", "claim": HOSTILE, "case": HOSTILE, "reason": HOSTILE}
    return Finding(status=status, **fields, **changes)


def grade(outcome=Outcome.FAILED, visibility=Visibility.VISIBLE):
    item = ItemResult(
        number="1.1",
        title=f"forward {HOSTILE}",
        function="batchnorm_forward",
        outcome=outcome,
        points=1,
        max_points=5,
        visibility=visibility,
        what=HOSTILE,
    )
    return Grade(
        assignment="cs231n-batchnorm",
        assignment_digest="",
        submission="0" * 64,
        file="layers.py",
        bnbench="0.1.0",
        epoch="1",
        results=(item,),
        isolation=Isolation(tier="T2"),
    )


def class_of(*rows):
    assignment = read_assignment(shipped_text("cs231n-batchnorm"))
    return ClassResult(assignment=assignment, epoch="1", bnbench="0.1.0", rows=rows)


def test_a_notebook_shows_a_verification_and_a_timing_as_tables_with_bars():
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(book, timeout=120, kernel_name="python3").execute()
    verified, timed = (book.cells[number].outputs[-1].data for number in (0, 2))

    assert "passed" in verified["text/plain"]
    assert "z = " in verified["text/html"]
    assert timed["text/plain"].startswith("All 2 implementations passed every check")
    bars = [attrs["aria-label"] for tag, attrs in parsed(timed["text/html"]) if attrs.get("role") == "img"]
    assert len(bars) == 6, "two implementations, three operations"
    assert all(label.startswith("ratio ") for label in bars)


@pytest.mark.parametrize("status", list(Status))
def test_a_report_of_every_status_and_of_hostile_names_is_safe_and_closed(status):
    page = report_html(
        report(
            findings=(finding(status),),
            measurements=(measurement(HOSTILE, Interval(median=np.nan, low=np.nan, high=np.inf)),),
        )
    )
    tags = {tag for tag, _ in parsed(page)}

    assert "script" not in tags
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    assert str(status) in page, "in words, not in colour alone"


def test_an_empty_report_is_shown():
    assert parsed(report_html(report()))


def test_what_does_not_pass_is_badged_as_such_and_nan_fails():
    failed = bnbench.verify(lambda x: x**2, lambda dy, x: 3 * dy * x, np.ones((2, 3)))
    passed = bnbench.verify(lambda x: x**2, lambda dy, x: 2 * dy * x, np.ones((2, 3)))
    nan = replace(passed, arguments=(replace(passed.arguments[0], z=np.nan),))

    assert [attrs["class"] for tag, attrs in parsed(failed._repr_html_()) if tag == "i"] == ["failed"]
    assert [attrs["class"] for tag, attrs in parsed(passed._repr_html_()) if tag == "i"] == [""]
    assert [attrs for tag, attrs in parsed(nan._repr_html_()) if tag == "i"] == [
        {"class": "failed", "style": "width:100.0%"}
    ]


def test_a_ratio_stands_where_it_is_and_its_interval_is_cut_at_the_end():
    rows = [
        measurement("numpy_staged", Interval(median=1.0, low=1.0, high=1.0)),
        measurement("fast", Interval(median=4.0, low=2.0, high=400.0)),
    ]
    tags = parsed(measurements_html(rows))

    assert [attrs["style"] for tag, attrs in tags if tag == "i"] == ["width:20.0%", "width:80.0%"]
    assert [attrs["style"] for tag, attrs in tags if tag == "u"][1] == "left:40.0%;width:60.0%"
    assert {attrs["style"] for tag, attrs in tags if tag == "s"} == {"left:20.0%"}


def test_nothing_is_fetched_and_the_text_has_the_colour_of_the_page():
    page = report_html(
        report(findings=(finding(Status.FAILED),), measurements=(measurement("a", Interval(median=1, low=1, high=1)),))
    )

    assert not re.search(r"https?:|url\(|@import|<link|<img", page)
    assert "color: inherit" in page
    assert not re.search(r"(?<!-)\bcolor: (?!inherit|#fff)", page), "a colour of its own only on a badge"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_grade_shows_itself_as_html_and_as_text(outcome):
    shown = grade(outcome)._repr_mimebundle_(include=None, exclude=None)

    assert "script" not in {tag for tag, _ in parsed(shown["text/html"])}
    assert "1.1 forward" in shown["text/html"]
    assert "1.1 forward" in shown["text/plain"]
    assert "\x1b" not in shown["text/plain"]


def test_a_hidden_item_is_counted_and_not_named():
    shown = grade(visibility=Visibility.HIDDEN)._repr_mimebundle_()

    assert "forward" not in "".join(shown.values())
    assert "1 hidden check, worth 5 points" in shown["text/html"]


def test_a_class_shows_who_got_what_and_no_grade_is_no_zero():
    ann, bob = (Student(username=name) for name in ("ann", HOSTILE))
    shown = class_of(
        Row(student=ann, standing=Standing.GRADED, grade=grade(), points=1.0),
        Row(student=bob, standing=Standing.GRADER_ERROR),
    )._repr_mimebundle_()

    assert "script" not in {tag for tag, _ in parsed(shown["text/html"])}
    assert "1 / 26" in shown["text/html"]
    assert "0 / 26" not in shown["text/html"]
    assert shown["text/plain"].splitlines()[0].startswith("1/2 graded")
    assert "our error" in shown["text/html"] or "grader error" in shown["text/html"]


def test_an_empty_class_is_shown():
    assert parsed(class_of()._repr_mimebundle_()["text/html"])
