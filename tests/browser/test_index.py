"""The report page in a browser: what it shows is what was found, and everything on it can be reached."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from bnbench.model import Comparison, Finding, Report, Status
from bnbench.report import parse_json, words
from bnbench.report.html import render_html, render_page

UNRESOLVED = ("failed", "errored", "vacuous")


@pytest.fixture
def page(browser, run):
    """The page, freshly opened."""
    browser.open(run / "index.html")
    return browser


@pytest.fixture(scope="module")
def report(run) -> Report:
    return parse_json((run / "results.json").read_text())


def shown(browser):
    """How many findings the filter lets through."""
    return int(browser.one("output[name=found]").text.split(" of ")[0].replace(",", ""))


def choose(browser, **values):
    """Set fields of the filter as a user's input does: at once, but for words, which wait for the next key."""
    browser.js(
        """for (const [name, value] of Object.entries(arguments[0])) {
             const field = document.getElementById("filter").elements[name];
             if (typeof value === "boolean") field.checked = value; else field.value = value;
             field.dispatchEvent(new Event("input", { bubbles: true }));
           }""",
        values,
    )
    time.sleep(0.3)


def test_it_opens_without_a_complaint_and_asks_for_nothing(browser, run):
    browser.open(run / "index.html")

    assert browser.requests() == [(run / "index.html").as_uri()]
    assert browser.complaints() == []
    assert browser.texts("h1") == ["1 of 2 implementations did not pass every check"]


def test_a_complaint_would_be_seen(page):
    page.js("const s = document.createElement('img'); s.src = 'nowhere.png'; document.body.append(s)")
    time.sleep(0.2)

    assert any("Content Security Policy" in entry["message"] for entry in page.complaints())


def test_it_shows_at_first_what_did_not_pass(page, results):
    failed = [f for f in results["findings"] if f["status"] in UNRESOLVED]

    assert failed
    assert shown(page) == len(failed)
    assert {text.split()[1] for text in page.texts(".group > summary > .badge")} <= set(UNRESOLVED)
    assert len(page.all(".group")) == len({(f["implementation"], f["check"]) for f in failed})


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"implementation": "numpy_staged"}, lambda f: f["implementation"] == "numpy_staged"),
        ({"check": "BN301"}, lambda f: f["check"] == "BN301"),
        ({"dtype": "float32"}, lambda f: f["case"].startswith("float32/")),
        ({"mode": "eval"}, lambda f: "/eval" in f["case"]),
        ({"passed": False}, lambda f: f["status"] != "passed"),
        ({"text": "9X5 derivative"}, lambda f: "9x5" in f["case"] and "derivative" in f["claim"]),
        ({"by": "case"}, bool),
        (
            {
                "check": "BN331",
                "implementation": "broken_backward",
                "dtype": "float64",
                "failed": True,
                "passed": False,
            },
            lambda f: (
                (f["check"], f["implementation"], f["case"][:7], f["status"])
                == ("BN331", "broken_backward", "float64", "failed")
            ),
        ),
    ],
)
def test_the_filter_lets_through_what_it_says(page, results, values, wanted):
    choose(page, **{status.value: True for status in Status} | values)

    assert shown(page) == sum(wanted(f) for f in results["findings"])
    assert shown(page) > 0


def test_a_group_of_checks_can_be_chosen(page, results):
    codes = {check["code"] for check in results["checks"] if check["group"] == "identities"}
    choose(page, check="group:identities", passed=True)

    assert shown(page) == sum(f["check"] in codes for f in results["findings"]) > 0


def test_findings_can_be_grouped_by_case(page, results):
    choose(page, by="case", passed=True)

    assert page.one("output[name=found]").text.endswith(f"in {len({f['case'] for f in results['findings']})} groups")


def test_the_address_holds_the_filter(page, browser, run):
    choose(page, implementation="broken_backward", check="BN301", dtype="float64", text="9x5", by="case")
    count, address = shown(page), page.js("return location.hash")
    browser.open(run / "index.html", address)

    assert shown(browser) == count > 0
    fields = "return ['implementation', 'check', 'dtype', 'mode', 'text', 'by'].map(n => filter.elements[n].value)"
    assert browser.js(f"const filter = document.getElementById('filter'); {fields}") == [
        *("broken_backward", "BN301", "float64", "", "9x5", "case")
    ]


def test_what_is_not_in_the_report_shows_nothing_and_says_so(browser, run):
    browser.open(run / "index.html", f"#findings&text={quote('no such <words>')}")

    assert shown(browser) == 0
    assert browser.one("#nothing").is_displayed()
    browser.one("#clear").click()
    assert shown(browser) > 0


def test_every_cell_of_the_matrix_leads_to_its_findings(page, results):
    of = {}
    for f in results["findings"]:
        of.setdefault((f["implementation"], f["check"]), []).append(f["status"])
    order = ["failed", "errored", "vacuous", "passed", "skipped"]
    labels = [cell.get_attribute("aria-label") for cell in page.all("a.cell")]
    worst = {key: min(statuses, key=order.index) for key, statuses in of.items()}
    assert sorted(labels) == sorted(
        f"{name} {code}: {worst[name, code]}, {of[name, code].count(worst[name, code])} of {len(of[name, code])} cases"
        for name, code in of
    )

    cell = page.one('a.cell[aria-label^="broken_backward BN301:"]')
    page.js("arguments[0].scrollIntoView({block: 'center'})", cell)
    cell.click()
    time.sleep(0.3)
    assert shown(page) == len(of["broken_backward", "BN301"])
    assert len(page.all(".group[open]")) == 1


def test_the_figures_of_every_finding_that_did_not_pass_are_those_of_the_results(page, report):
    unresolved = [f for f in report.findings if f.status.value in UNRESOLVED]
    page.js("for (const group of document.querySelectorAll('.group')) { group.fill(1e9); group.open = true; }")
    articles = page.js(
        """return [...document.querySelectorAll(".group")].flatMap(group =>
             [...group.querySelectorAll(".finding")].map(article => ({
               group: [...group.querySelectorAll(":scope > summary code")].map(e => e.textContent),
               case: article.querySelector("h4 code").textContent,
               rows: [...article.querySelectorAll("tbody tr")].map(row => [...row.children].map(e => e.textContent)),
               hint: article.querySelector(".hint")?.textContent ?? "",
               command: article.querySelector(".command code").textContent,
             })))"""
    )
    found = {(*article["group"], article["case"]): article for article in articles}

    assert len(articles) == len(found) == len(unresolved)
    for f in unresolved:
        article = found[f.implementation, f.check, f.case]
        assert article["command"] == f.reproduce
        assert article["hint"] == (f"Hint {f.hint}" if f.hint else "")
        assert [row[:3] for row in article["rows"]] == [
            [words.shape_of_index(c), *words.values(c)] for c in f.comparisons
        ]
        assert [row[3].removesuffix(" (both zero)") for row in article["rows"]] == [_distance(c) for c in f.comparisons]
        relatives = ["" if c.relative is None else words.scientific(c.relative) for c in f.comparisons]
        assert [row[5].split(" ")[0] for row in article["rows"]] == relatives
        within = [f"{words.number(c.limit)} {'✓ within' if c.error <= c.limit else '✗ beyond'}" for c in f.comparisons]
        assert [row[4] for row in article["rows"]] == within


def _distance(c: Comparison) -> str:
    if isinstance(c.got, str):
        return "as expected" if c.error <= c.limit else "not as expected"
    return f"{words.number(c.error)} × {c.unit}"


def test_the_figures_of_the_overview_are_those_of_the_results(page, results):
    rows = {row[0].split("NumPy")[0].strip(): row for row in _rows(page, ".overview")}
    for info in results["implementations"]:
        mine = [f for f in results["findings"] if f["implementation"] == info["name"]]
        (row,) = [row for name, row in rows.items() if name.startswith(info["name"])]
        for status in {f["status"] for f in mine}:
            assert f" {sum(f['status'] == status for f in mine)} {status}" in row[2]
        shares = [
            c["error"] / c["limit"] if c["limit"] else (0.0 if c["error"] == 0 else float("inf"))
            for f in mine
            for c in f["comparisons"]
        ]
        assert row[3].startswith(words.number(max(shares)))


def test_the_figures_of_the_timings_are_those_of_the_results(page, report):
    rows = [row for row in _rows(page, ".timings") if len(row) > 1]

    assert sorted(row[0] for row in rows) == sorted(m.implementation for m in report.measurements)
    for m in report.measurements:
        ratio = "baseline" if m.implementation == m.baseline else words.interval(m.ratio)
        figures = (words.duration(m.seconds.median), words.three_digits(m.gigabytes_per_second))
        assert [row for row in rows if row[0] == m.implementation and row[2].endswith(ratio) and row[3:5] == [*figures]]


def _rows(browser, selector):
    cells = "[...row.children].map(e => e.textContent.trim())"
    return browser.js(f"return [...document.querySelectorAll('{selector} tbody tr')].map(row => {cells})")


def test_a_finding_is_explained(page):
    choose(page, check="BN301", implementation="broken_backward")
    page.one(".explain summary").click()

    assert page.texts(".explain h5")[:2] == ["Maths", "Usual cause"]
    assert "dx = (g - mean(g) - x_hat mean(g x_hat)) / s" in page.one(".explain .formula").text


def test_a_mark_of_a_chart_says_what_it_is(page):
    from selenium.webdriver import ActionChains

    mark = page.one("#charts svg [aria-roledescription='rect mark']")
    page.js("arguments[0].scrollIntoView({block: 'center'})", mark)
    ActionChains(page.driver).move_to_element(mark).perform()

    assert page.one("#tip").text.split("\n") == mark.get_attribute("aria-label").split("; ")
    ActionChains(page.driver).move_to_element(page.one("#charts h2")).perform()
    assert not page.one("#tip").is_displayed()


def test_the_command_is_copied(page, results):
    page.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    choose(page, check="BN301", implementation="broken_backward")
    page.one(".finding .copy").click()
    time.sleep(0.2)

    assert page.one(".finding .copy").text == "copied"
    assert page.one("#said").text == "Copied to the clipboard"
    copied = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == page.one(".finding .command code").text.removeprefix("$ ")
    assert copied in {f["reproduce"] for f in results["findings"]}


def test_the_command_of_a_timing_is_copied(page, results):
    page.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    button = page.one("button[data-command]")
    page.js("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    time.sleep(0.2)

    copied = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied in {m["reproduce"] for m in results["measurements"]}


def test_without_scripts_the_summary_stands_and_the_findings_say_where_they_are(browser, run):
    browser.open(run / "index.html", scripts=False)

    assert browser.one("noscript p").is_displayed()
    assert [e for e in browser.all("a.cell") if e.is_displayed()]
    assert not [e for e in browser.all("button, select, input[type=search]") if e.is_displayed()]
    browser.open(run / "index.html")


def test_a_page_that_is_refused_the_clipboard_copies_all_the_same(page):
    page.js("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.js("window.seen = ''; document.execCommand = () => { seen = getSelection().toString(); return true; }")
    choose(page, check="BN301", implementation="broken_backward")
    page.one(".finding .copy").click()

    assert page.js("return seen") == page.one(".finding .command code").text.removeprefix("$ ")


def test_the_scheme_follows_the_system_or_the_reader(browser, run):
    paper = "return getComputedStyle(document.body).backgroundColor"
    browser.open(run / "index.html", dark=True)
    dark = browser.js(paper)
    browser.open(run / "index.html")
    light = browser.js(paper)
    assert light == "rgb(255, 255, 255)" != dark

    browser.js("const s = document.getElementById('scheme'); s.value = 'dark'; s.dispatchEvent(new Event('input'))")
    assert browser.js(paper) == dark
    browser.open(run / "index.html")
    assert browser.js(paper) == dark, "the choice is remembered"
    browser.js("localStorage.clear()")


@pytest.mark.parametrize("width", [390, 768])
def test_a_narrow_page_does_not_scroll_sideways(browser, run, width):
    browser.open(run / "index.html", "#findings&check=BN301", width=width)
    browser.js("document.getElementById('only').checked = false")

    assert browser.sideways() == 0


def test_a_matrix_of_eighteen_columns_scrolls_by_itself(browser, report, tmp_path):
    many = tuple(
        Finding(implementation=f"an_implementation_{i}", check=f.check, claim=f.claim, case=f.case, status=f.status)
        for i in range(18)
        for f in report.findings[::20]
    )
    file = tmp_path / "index.html"
    file.write_text(render_page(Report(environment=report.environment, checks=report.checks, findings=many), (), {}))
    browser.open(file, width=390)

    assert browser.sideways() == 0
    assert browser.js("const m = document.querySelector('.matrix').parentElement; return m.scrollWidth > m.clientWidth")


def test_the_keyboard_alone_reaches_and_opens_everything(page):
    from selenium.webdriver.common.keys import Keys

    def press(key):
        page.driver.switch_to.active_element.send_keys(key)

    def focused(what):
        return page.js(f"return document.activeElement.{what}")

    page.one("body").send_keys(Keys.TAB)
    assert focused("className") == "skip"
    assert page.js("return document.activeElement.getBoundingClientRect().left") >= 0
    press(Keys.ENTER)
    assert page.js("return location.hash") == "#implementations"

    page.js("document.getElementById('clear').focus()")
    press(Keys.TAB)
    assert focused("tagName") == "SUMMARY"
    assert page.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(Keys.ENTER)
    assert page.js("return document.activeElement.parentElement.open")
    press(Keys.TAB)
    assert focused("textContent").startswith("What BN")
    for _ in range(2):  # where the evidence is too wide, it can be scrolled, and is a stop of its own
        press(Keys.TAB)
        if focused("tagName") == "BUTTON":
            break
    assert focused("textContent") == "copy"


def test_every_control_has_a_name(page):
    choose(page, check="BN301", passed=True)
    page.js("for (const group of document.querySelectorAll('.group')) group.open = true")
    unnamed = page.js(
        """return [...document.querySelectorAll("a[href], button, input, select, [tabindex='0']")].filter(e => {
             const label = e.labels?.[0]?.textContent || e.getAttribute("aria-label") || e.textContent;
             return !label.trim();
           }).map(e => e.outerHTML)"""
    )

    assert unnamed == []


def test_on_paper_what_did_not_pass_is_written_out_and_controls_are_gone(page, browser, run, results):
    assert page.pdf().startswith(b"%PDF")
    failed = sum(f["status"] in UNRESOLVED for f in results["findings"])
    browser.open(run / "index.html", dark=True, media="print")
    browser.js("dispatchEvent(new Event('beforeprint'))")

    assert len([e for e in browser.all(".finding") if e.is_displayed()]) == failed
    assert not [e for e in browser.all("#filter, .copy, nav, .more, .scheme") if e.is_displayed()]
    assert browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_ten_thousand_findings_are_few_elements(browser, report, tmp_path):
    failed = next(f for f in report.findings if f.status is Status.FAILED)
    cases = [f"float64/9x5/train/seed={seed}" for seed in range(2500)]
    names = [f"an_implementation_{i}" for i in range(4)]
    many = tuple(
        Finding(
            **{name: getattr(failed, name) for name in ("check", "claim", "status", "comparisons", "hint")},
            implementation=name,
            case=case,
            reproduce=f"bnbench check {name} --check {failed.check} --case {case}",
        )
        for name in names
        for case in cases
    )
    file = tmp_path / "index.html"
    file.write_text(render_page(Report(environment=report.environment, checks=report.checks, findings=many), (), {}))
    browser.open(file)
    elements = "return document.querySelectorAll('*').length"

    assert shown(browser) == 10_000
    assert browser.js(elements) < 2000
    browser.one(".group > summary").click()
    choose(browser, text="seed=24", by="case")
    assert shown(browser) == 4 * sum("seed=24" in case for case in cases)
    assert browser.js(elements) < 2000


def test_hostile_names_are_shown_and_do_nothing(browser, tmp_path, hostile_report):
    file = tmp_path / "index.html"
    file.write_text(render_html(hostile_report))
    browser.open(file, "#findings&status=all")
    browser.js("for (const group of document.querySelectorAll('.group')) { group.fill(1e9); group.open = true; }")

    assert browser.complaints() == []
    assert shown(browser) == len(hostile_report.findings)
    assert "<script>alert(1)</script>" in browser.texts(".group > summary code")
    assert browser.sideways() == 0
    link = browser.one('.overview a[href*="script"]')
    browser.js("arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    time.sleep(0.2)
    assert shown(browser) == sum(f.implementation == "<script>alert(1)</script>" for f in hostile_report.findings)


def test_an_empty_report_is_a_page(browser, tmp_path, empty_report):
    file = tmp_path / "index.html"
    file.write_text(render_page(empty_report, (), {}))
    browser.open(file)

    assert browser.texts("h1") == ["Nothing was verified"]
    assert browser.complaints() == []
    assert browser.one("#scheme").is_displayed()
