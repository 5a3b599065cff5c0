"""Every text of the report page is legible, light and dark."""

from __future__ import annotations

import pytest

from bnbench.report.html import render_page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_of_the_report_is_legible(browser, run, dark):
    browser.open(run / "index.html", "#findings&status=passed,failed", dark=dark)
    browser.js("for (const d of document.querySelectorAll('details')) { d.fill?.(9); d.open = true; }")
    browser.js("for (const d of document.querySelectorAll('details')) d.open = true")
    browser.js("document.getElementById('only').checked = false")
    texts, low = browser.legibility()

    assert texts > 1000
    assert low == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_status_and_band_is_legible(browser, sample_report, tmp_path, dark):
    file = tmp_path / "index.html"
    file.write_text(render_page(sample_report, (), {}))
    browser.open(file, "#findings&status=all", dark=dark)
    browser.js("for (const d of document.querySelectorAll('details')) { d.fill?.(9); d.open = true; }")
    _, low = browser.legibility()

    assert low == []


def test_a_text_that_is_hard_to_read_is_found(browser, run):
    browser.open(run / "index.html")
    browser.js("document.querySelector('h2').style.color = '#bbb'")
    _, low = browser.legibility()

    assert [name for name, _ in low] == ["H2."]
