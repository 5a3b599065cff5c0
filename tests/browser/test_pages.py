"""The pages beside the report's in a browser: a diagnosis, a class, a student's feedback."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnbench.debugging import diagnose_file
from bnbench.diagnose.hints import Hints
from bnbench.grading import student
from bnbench.grading.classreport import render_class
from bnbench.report.diagnosis import show
from bnbench.report.diagnosis_pages import diagnosis_html

BANK = Path(__file__).resolve().parents[1] / "bank" / "wrong"


@pytest.fixture(scope="module")
def pages(samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    wrong = diagnose_file(BANK / "eps_missing_in_test_short_names.py")
    texts = {
        "diagnosis": diagnosis_html(show(wrong, Hints.HOW)),
        "class": render_class(samples("test_classreport.py").a_class(30)),
        "student": student.html(samples("grading/conftest.py").a_grade()),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    return folder


PAGES = pytest.mark.parametrize("name", ["diagnosis", "class", "student"])


@PAGES
def test_it_opens_without_a_complaint_and_asks_for_nothing(browser, pages, name):
    browser.open(pages / f"{name}.html")

    assert browser.requests() == [(pages / f"{name}.html").as_uri()]
    assert browser.complaints() == []
    assert len(browser.all("h1")) == 1


@PAGES
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_is_legible(browser, pages, name, dark):
    browser.open(pages / f"{name}.html", dark=dark)
    texts, low = browser.legibility()

    assert texts > 20
    assert low == []
    assert (browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)") is not dark


@PAGES
def test_a_narrow_page_does_not_scroll_sideways(browser, pages, name):
    browser.open(pages / f"{name}.html", width=390)

    assert browser.sideways() == 0


@PAGES
def test_paper_is_white(browser, pages, name):
    browser.open(pages / f"{name}.html", dark=True, media="print")

    assert browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.pdf().startswith(b"%PDF")


def test_the_graph_follows_the_page(browser, pages):
    fill = "return getComputedStyle(document.querySelector('.bn-graph .frame')).fill"
    browser.open(pages / "diagnosis.html")
    light = browser.js(fill)
    browser.js("document.documentElement.dataset.theme = 'dark'")

    assert light == "rgb(247, 248, 249)"
    assert browser.js(fill) == "rgb(28, 32, 38)"
