"""Every renderer of a report takes every report: nothing found, every status, no numbers, ten thousand, bad names."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from bnbench.grading.exports.github import step_summary
from bnbench.grading.exports.grades import render_grades
from bnbench.grading.exports.junit import render_junit
from bnbench.grading.exports.moodle import render_moodle
from bnbench.model import Comparison, Finding, ImplementationInfo, Interval, Report, SelfTest, SelfTestRow, Status
from bnbench.report import dump_json, findings_csv, parse_json, render_markdown, summary, timings_csv
from bnbench.report.charts import charts
from bnbench.report.staged_graph import staged_svg

NAMES = (
    "[x](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "``` | ` |",
    "\n# heading\n\n- item",
    "[bold red]x[/] :smile:",
    "\x1b[31mred\x07\r\x00",
    "<img src=x onerror=alert(1)><!-- </svg>",
    "=1+1",
    "\u202eabc\u2028\ud800",
    "#0072b2",
    "a" * 300,
    "",
)
NUMBERS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-320, 1e308)


def finding(name, status, value=1.0, case="float64/9x5/train"):
    comparison = Comparison(
        quantity=name,
        error=value,
        limit=32.0,
        unit="noise units (z)",
        got=value,
        expected=0.0,
        relative=value,
        note=name,
    )
    return Finding(
        implementation=name,
        check=name,
        claim=name,
        case=case,
        status=status,
        reason=name,
        comparisons=(comparison,),
        reproduce=name,
        hint=name,
    )


def measured(template, name, value, baseline):
    every = Interval(median=value, low=value, high=value)
    return replace(
        template,
        implementation=name,
        baseline=baseline,
        seconds=every,
        ratio=every,
        gigabytes_per_second=value,
        faults_per_call=value,
        relative_error=value,
        hard_error=value,
        reproduce=name,
    )


@pytest.fixture(scope="module")
def reports(report, empty_report):
    first = report.measurements[0]
    selftest = SelfTest(
        rows=(
            SelfTestRow(
                implementation=NAMES[0],
                case="float32/4x5/train",
                operation="backward",
                size="small",
                ratio=Interval(median=math.nan, low=-math.inf, high=math.inf),
                slowed=Interval(median=math.inf, low=0.0, high=math.nan),
            ),
        ),
        planted=math.nan,
        boundary=math.inf,
        load=(math.nan,),
    )
    return {
        "empty": empty_report,
        "statuses": replace(empty_report, findings=tuple(finding(f"is {status}", status) for status in Status)),
        "numbers": replace(
            empty_report,
            findings=tuple(finding(f"of {n}", status, n) for n in NUMBERS for status in Status),
            measurements=tuple(measured(first, f"of {n}", n, "of 0.0") for n in NUMBERS),
            staged_errors=dict(zip(("mu", "var", "dx", "y"), NUMBERS, strict=False)),
            selftest=selftest,
        ),
        "ten thousand": replace(
            empty_report,
            findings=tuple(
                finding(f"name{i % 20}", list(Status)[i % 5], float(i), f"float64/{i + 2}x5/train")
                for i in range(10_000)
            ),
        ),
        "names": replace(
            empty_report,
            implementations=tuple(
                ImplementationInfo(
                    name=name,
                    summary=name,
                    capabilities=report.implementations[0].capabilities,
                    available=i % 2 == 0,
                    reason=name,
                    conclusion=name,
                )
                for i, name in enumerate(NAMES)
            ),
            findings=tuple(finding(name, status) for name in NAMES for status in (Status.FAILED, Status.SKIPPED)),
            measurements=tuple(measured(first, name, 1e-6 * (i + 1), NAMES[0]) for i, name in enumerate(NAMES)),
        ),
    }


WHICH = pytest.mark.parametrize("which", ["empty", "statuses", "numbers", "ten thousand", "names"])


@WHICH
def test_a_terminal_shows_lines_of_its_width_and_nothing_that_acts(which, reports):
    text = io.StringIO()
    Console(file=text, width=80, color_system=None).print(summary(reports[which]), crop=False)
    lines = text.getvalue().splitlines()

    assert lines[0].strip()
    assert len(lines) < 1000, "a summary, whatever there is"
    assert not [c for c in text.getvalue() if not c.isprintable() and c != "\n"]
    assert not [line for line in lines if len(line.rstrip()) > 80 and not line.startswith("    $ ")]


@WHICH
def test_markdown_is_read_as_it_was_meant(which, reports):
    text = render_markdown(reports[which])
    parser = MarkdownIt("commonmark").enable("table")
    tokens = [token for block in parser.parse(text) for token in (block, *(block.children or ()))]
    titles = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]

    assert text.endswith("\n")
    assert not [token for token in tokens if token.type in {"link_open", "html_block"}]
    assert {token.content for token in tokens if token.type == "html_inline"} <= {"<br>", "<code>", "</code>"}
    assert all(t.attrs["src"].startswith(("charts/", "staged_graph.svg")) for t in tokens if t.type == "image")
    assert "heading" not in titles
    # Bounded by checks and implementations, not by cases.
    assert len(text) < 1_000_000


@WHICH
def test_csv_has_a_row_for_everything(which, reports):
    report = reports[which]
    found = list(csv.DictReader(io.StringIO(findings_csv(report))))
    timed = list(csv.DictReader(io.StringIO(timings_csv(report))))

    assert len(found) == sum(max(1, len(f.comparisons)) for f in report.findings)
    assert len(timed) == len(report.measurements) + len(report.untimed)
    assert not [cell for row in (*found, *timed) for cell in row.values() if cell.startswith(("=", "@", "\t"))]


@WHICH
def test_json_is_read_back_the_same(which, reports):
    text = dump_json(reports[which])

    assert dump_json(parse_json(text)) == text


@WHICH
def test_every_drawing_is_well_formed_and_every_text_in_it_is_text(which, reports):
    report = reports[which]
    for svg in (staged_svg(report), *(svg for chart in charts(report) for svg in (chart.svg, chart.svg_file))):
        root = ET.fromstring(svg.encode())  # noqa: S314 - our own

        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {
            "svg",
            "g",
            "rect",
            "path",
            "text",
            "tspan",
            "line",
            "style",
            "title",
            "defs",
            "clipPath",
            "marker",
        }
        assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
        assert "NaN" not in svg, "a coordinate that is none"


@pytest.mark.parametrize("render", [render_junit, render_moodle, render_grades, step_summary])
def test_a_class_without_students_is_a_file_too(render):
    text = render([])

    assert text
    if render is render_junit:
        assert ET.fromstring(text.encode()).attrib["tests"] == "0"  # noqa: S314 - our own


def test_there_are_charts_of_what_can_be_drawn_and_none_of_nothing(reports):
    assert charts(reports["empty"]) == ()
    assert {chart.name for chart in charts(reports["numbers"])} >= {"z_scores", "relative_errors", "heat_map_batch"}
    for report in reports.values():
        assert isinstance(report, Report)
        assert all(chart.finding.endswith(".") for chart in charts(report))
