from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bnbench.model import Interval, Status
from bnbench.report.charts import throughput_charts
from bnbench.report.html import RatioAxis, direction, ratio_axis, render_html, render_page, tone
from bnbench.report.words import GLYPHS, visible

VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """The elements of a page, with their attributes and texts; refuses wrong nesting."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "script"}:
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_without_drawings_is_the_golden_one(report, golden):
    # The drawings are left out: their bytes are the drawing library's business and change with its version.
    golden("index.html", render_page(report, ()))


def test_a_full_run_stays_below_three_megabytes(large_report):
    assert len(render_html(large_report).encode()) < 3e6


@pytest.mark.parametrize("which", ["report", "hostile_report"])
def test_the_page_asks_for_nothing_else(which, request):
    text = render_html(request.getfixturevalue(which))
    page = Page(text)

    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.elements}
    assert not [a for _, a in page.elements if {"src", "srcset", "background"} & set(a)]
    assert all(a["href"].startswith("#") for _, a in page.elements if "href" in a)
    assert "@import" not in text
    assert "url(" not in text
    assert set(re.findall(r"https?://[^\"]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_what_implementations_say_is_text(hostile_report):
    page = Page(render_html(hostile_report))

    assert len(page.all("script")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.texts
    assert visible("\x1b[2J\u202e\udc80") in page.texts


@pytest.mark.parametrize("which", ["report", "large_report", "hostile_report"])
def test_every_link_has_its_target_and_every_target_is_one(which, request):
    page = Page(render_html(request.getfixturevalue(which)))
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)

    assert set(ids.values()) == {1}
    assert {a["href"].removeprefix("#") for a in page.all("a")} <= set(ids)


def test_a_status_is_never_told_by_colour_alone(report):
    cells = re.findall(r'<a class="cell (\w+)" href="#g\d+">(.*?)<small>(.*?)</small>', render_page(report, ()))

    assert {status for status, _, _ in cells} == {status.value for status in Status}
    for status, text, count in cells:
        assert text == f"{GLYPHS[Status(status)]} {status}"
        assert re.fullmatch(r"\d+ of \d+", count)


def test_a_finding_that_did_not_pass_shows_its_evidence_and_its_command(report):
    text = render_page(report, ())
    failed = next(f for f in report.findings if f.status is Status.FAILED)

    assert failed.reproduce in text
    assert "momentum weighs the new batch, variance divided by M" in text
    assert "MemoryError: cannot allocate 9 x 5" in text


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([Status.PASSED, Status.SKIPPED], "good"),
        ([Status.PASSED, Status.FAILED], "bad"),
        ([Status.PASSED, Status.ERRORED], "bad"),
        ([Status.PASSED, Status.VACUOUS], "odd"),
        ([Status.SKIPPED], "odd"),
        ([], "odd"),
    ],
)
def test_the_tone_follows_the_worst_status(report, counts, expected):
    findings = tuple(replace(report.findings[0], status=status) for status in counts)

    assert tone(replace(report, findings=findings, broken=())) == expected


def test_a_broken_plugin_is_not_a_good_report(report):
    passed = (replace(report.findings[0], status=Status.PASSED),)

    assert tone(replace(report, findings=passed)) == "odd"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (1.01, 1.2, "faster"),
        (0.8, 0.99, "slower"),
        (0.99, 1.01, "unresolved"),
        (1.0, 1.2, "unresolved"),
        (math.nan, math.nan, "unresolved"),
    ],
)
def test_a_difference_counts_when_the_interval_leaves_out_one(low, high, word):
    assert direction(Interval(median=1.0, low=low, high=high)) == word


def test_the_axis_of_ratios_holds_one_and_every_interval(report):
    slow = tuple(replace(m, ratio=Interval(median=0.3, low=0.25, high=0.35)) for m in report.measurements)

    assert ratio_axis(slow) == RatioAxis(low=0.2, high=2.0)
    assert ratio_axis(()) == RatioAxis(low=0.5, high=2.0)


def test_the_axis_is_logarithmic_and_bounded():
    axis = RatioAxis(low=0.1, high=10.0)

    assert [axis.place(x) for x in (0.1, 1.0, 10.0)] == [0.0, 50.0, 100.0]
    assert [axis.place(x) for x in (0.0, math.inf, math.nan)] == [0.0, 100.0, 50.0]
    assert 1.0 in axis.ticks


def test_there_is_a_drawing_for_each_operation_and_dtype(report):
    charts = throughput_charts(report)

    assert len(charts) == 6
    assert charts[0].title == "forward, train mode, float32"
    assert all("4x5" in chart.svg and "64x128" in chart.svg for chart in charts)
    assert len(re.findall(r'fill="var\(--c\d\)"', charts[0].svg)) == 8


def test_the_drawing_changes_with_the_numbers(report):
    faster = tuple(replace(m, gigabytes_per_second=2 * m.gigabytes_per_second) for m in report.measurements)

    assert throughput_charts(replace(report, measurements=faster)) != throughput_charts(report)


def test_what_can_not_be_drawn_is_left_out(hostile_report):
    (chart,) = throughput_charts(hostile_report)
    drawable = [m for m in hostile_report.measurements if m.gigabytes_per_second == 1.0]

    assert chart.svg.count("var(--c") == len(drawable)
    assert "alert" not in chart.svg


def test_of_many_findings_that_passed_the_nearest_to_their_limit_are_shown(report):
    finding = next(f for f in report.findings if f.comparisons and f.status is Status.PASSED)
    many = tuple(replace(finding, case=f"float64/9x5/train/seed={seed}") for seed in range(30))
    page = render_html(replace(report, findings=many, measurements=(), untimed=()))

    assert page.count("float64/9x5/train/seed=") == 9
    assert "and 21 more, none nearer to its limit" in page
