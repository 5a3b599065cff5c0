from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bnbench.model import CheckInfo, Interval, SelfTest, SelfTestRow, Status
from bnbench.report.charts import charts
from bnbench.report.entry import Entry, Section
from bnbench.report.explorer import explanations
from bnbench.report.html import RatioAxis, direction, facts, query, ratio_axis, render_html, render_page, tone
from bnbench.report.words import GLYPHS, visible

VOID = {"meta", "input", "br"}
ENTRIES = {
    "BN301": Entry(
        word="BN301",
        kind="check",
        lead="dx is the derivative",
        sections=(Section(title="Maths", text="With s = sqrt(v + eps),\n\n    dx = g / s."),),
    )
}
"""Explanations that do not change with the checks' own."""


class Page(HTMLParser):
    """The elements of a page, with their attributes, texts and scripts; refuses wrong nesting."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts, self.scripts = [], [], [], []
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
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def data(self):
        """What the page's script reads."""
        return json.loads(self.scripts[0])


@pytest.mark.parametrize(("name", "fixture"), [("index.html", "report"), ("index_empty.html", "empty_report")])
def test_the_page_without_drawings_is_the_golden_one(name, fixture, request, golden):
    # The drawings are left out: their bytes are the drawing library's business and change with its version.
    # Style and script stand in files of their own; what they do is for the tests in a browser.
    text = render_page(request.getfixturevalue(fixture), (), ENTRIES)
    golden(name, re.sub(r"(<style>|<script>).*?(</style>|</script>)", r"\1\2", text, flags=re.DOTALL))


def test_a_full_run_stays_below_three_megabytes(large_report):
    # 20 implementations with three times the cases, each with evidence of its own; the drawings have their share.
    findings = tuple(
        replace(finding, implementation=f"{finding.implementation}_{copy}", case=f"{finding.case}/eps=1e-{eps}")
        for copy in range(4)
        for eps in range(3)
        for finding in large_report.findings
    )

    assert len(findings) > 20_000
    assert len(render_page(replace(large_report, findings=findings), (), explanations()).encode()) < 2e6


@pytest.mark.parametrize("which", ["report", "hostile_report", "empty_report"])
def test_the_page_asks_for_nothing_else(which, request):
    text = render_html(request.getfixturevalue(which))
    page = Page(text)

    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.elements}
    assert not [a for _, a in page.elements if {"src", "srcset", "background"} & set(a)]
    assert all(a["href"].startswith("#") for _, a in page.elements if "href" in a)
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in page.all("meta")[1]["content"]
    assert set(re.findall(r"https?://[^\"]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_what_implementations_say_is_text(hostile_report):
    page = Page(render_page(hostile_report, (), {}))

    assert [a.get("type") for a in page.all("script")] == ["application/json", None]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.texts
    assert visible("\x1b[2J\u202e\udc80") in page.texts


@pytest.mark.parametrize("which", ["report", "large_report", "hostile_report", "empty_report"])
def test_every_link_has_its_target_and_every_target_is_one(which, request):
    report = request.getfixturevalue(which)
    page = Page(render_page(report, () if which == "large_report" else charts(report), {}))
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)

    assert set(ids.values()) == {1}
    assert {a["href"].removeprefix("#").partition("&")[0] for a in page.all("a")} <= set(ids)


def test_a_status_is_never_told_by_colour_alone(report):
    text = render_page(report, (), {})
    cells = re.findall(r'<a class="cell (\w+)" href="#findings&[^"]*" aria-label="([^"]*)"[^>]*>(.)', text)

    assert {status for status, _, _ in cells} == {status.value for status in Status}
    for status, label, glyph in cells:
        assert glyph == GLYPHS[Status(status)]
        assert re.search(rf": {status}, \d+ of \d+ cases$", label)


def test_a_self_test_of_the_timing_stands_in_the_summary(report):
    row = SelfTestRow(
        implementation="numpy_staged",
        case="float32/4x5/train",
        operation="backward",
        size="small",
        ratio=Interval(median=1.0, low=0.995, high=1.004),
    )
    page = render_page(replace(report, selftest=SelfTest(rows=(row,), planted=0.05, boundary=250e-9)), (), {})

    assert "numpy_staged was called faster or slower in 0 of 1 row" in page
    assert "Self-test" not in render_page(replace(report, selftest=None), (), {})


def test_the_summary_says_what_was_verified_and_on_what(report):
    said = {name: (value, more) for name, value, more in facts(report)}

    assert said["verified"] == ("5 implementations, 6 checks", "240 findings on 8 cases")
    assert said["timed"] == ("48 rows", "2 rows not timed, with the reason")
    assert said["on"] == ("Example CPU 3 GHz", "2 cores, 1 thread each; Linux-6.1-x86_64-glibc2.36")
    assert said["with"] == ("Python 3.13.1", "numpy 2.4.0, torch 2.13.0")


def test_an_address_holds_any_name():
    assert query("a&b=c <\x1b\udc80>") == "a%26b%3Dc%20%3C%5Cx1b%5Cudc80%3E"


def test_every_check_of_this_version_is_explained(empty_report):
    checks = (CheckInfo(code=e.word, name=e.word, group="all", claim=e.lead) for e in explanations().values())
    data = Page(render_page(replace(empty_report, checks=tuple(checks)), (), explanations())).data
    titles = {data["texts"][code]: [data["texts"][t] for t, _ in sections] for code, _, _, sections in data["checks"]}

    assert len(titles) == len(explanations())
    assert {"Maths", "Usual cause", "Catches"} <= set(titles["BN301"])
    assert all({"Usual cause", "Catches"} <= set(found) for found in titles.values())


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


def test_every_chart_stands_on_the_page_with_what_it_says(report):
    drawn = charts(report)
    page = Page(render_html(report))

    assert drawn
    assert [a["id"] for a in page.all("figure")] == [f"chart-{chart.name}" for chart in drawn]
    assert {chart.finding for chart in drawn} <= set(page.texts)
