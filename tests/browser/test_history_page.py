"""The history and the comparison of two runs in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnbench.changes import Trend, changes_between
from bnbench.comparison import compare_reports
from bnbench.history import read_histories, steps_of
from bnbench.report.comparison import comparison_html
from bnbench.report.history_page import history_html

pytest.importorskip("asv")

RESULTS = Path(__file__).resolve().parents[1] / "asv" / "results"
NAMES = ["history", "comparison"]


@pytest.fixture(scope="module")
def pages(browser, samples, tmp_path_factory):  # noqa: ARG001 - without a browser nothing is drawn
    folder = tmp_path_factory.mktemp("history")
    (history,) = read_histories(RESULTS)
    latest, overall = (changes_between(history, *ends) for ends in ((1, 2), (0, 5)))
    trend = Trend(history=history, latest=latest, overall=overall, steps=steps_of(history))
    (folder / "history.html").write_text(history_html(trend))
    made = samples("test_comparison.py")
    runs = [made.report(measurements=made.rows(own=slow)) for slow in (1.0, 1.5)]
    (folder / "comparison.html").write_text(comparison_html(compare_reports(*runs)))
    return folder


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_opens_without_a_complaint_asks_for_nothing_and_is_legible(browser, pages, name, dark):
    browser.open(pages / f"{name}.html", dark=dark)

    assert browser.requests() == [(pages / f"{name}.html").as_uri()]
    assert browser.complaints() == []
    texts, low = browser.legibility()
    assert texts > 5
    assert low == []
    assert (browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)") is not dark


@pytest.mark.parametrize("name", NAMES)
def test_a_narrow_page_does_not_scroll_sideways(browser, pages, name):
    browser.open(pages / f"{name}.html", width=390)

    assert browser.sideways() == 0


CHOOSE = """
const form = document.getElementById("filter");
form.elements.benchmark.value = "batch_norm.Speed.time_backward";
for (const box of form.querySelectorAll("[name=implementation]")) box.checked = box.value === "numpy_simplified";
form.dispatchEvent(new Event("change"));
const shown = selector => [...document.querySelectorAll(selector)].filter(e => e.checkVisibility());
return [
  shown("figure").map(e => e.dataset.benchmark),
  shown("tr[data-case]").map(e => e.dataset.implementation),
  shown("figure path[stroke^=light]").length,
  form.querySelector("output").value,
];
"""


def test_a_filter_leaves_the_chosen_charts_rows_and_lines(browser, pages):
    browser.open(pages / "history.html")
    lines = browser.js("return document.querySelectorAll('figure path[stroke^=light]').length")
    charts, rows, left, said = browser.js(CHOOSE)

    assert charts == ["batch_norm.Speed.time_backward"] * 4
    assert set(rows) == {"numpy_simplified"}
    assert 0 < left < lines / 3
    assert said == "4 of 14 charts"


def test_the_colours_can_be_chosen(browser, pages):
    browser.open(pages / "history.html")
    browser.js(
        "const f = document.getElementById('filter'); f.elements.scheme.value = 'dark';"
        "f.dispatchEvent(new Event('change'))"
    )

    assert browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
