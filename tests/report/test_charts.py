"""The charts: that they say what was found, in one style, in colours that stand out from their ground."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bnbench.cli import app
from bnbench.model import Comparison, Interval, Status, Untimed
from bnbench.report import charts as room
from bnbench.report import dump_json
from bnbench.report.charts import charts, relative_error_charts, style, z_charts
from bnbench.report.charts.chart import png, titled_svg, vega_lite, vega_lite_json
from bnbench.report.charts.page import chart_html
from bnbench.report.charts.rows import log_axis
from bnbench.tolerances import BANDS, NOISE


def chart_of(report, name):
    (found,) = (chart for chart in charts(report) if chart.name == name)
    return found


def data_of(spec):
    """Every row of data anywhere in a specification."""
    if isinstance(spec, dict):
        if "values" in spec.get("data", {}):
            yield from spec["data"]["values"]
        spec = list(spec.values())
    if isinstance(spec, list | tuple):
        for part in spec:
            yield from data_of(part)


def cells(report):
    return {
        (cell["implementation"], cell["operation"], cell["dtype"], cell["shape"]): cell
        for cell in data_of(chart_of(report, "heat_map_batch").spec)
    }


def test_the_heat_map_has_a_ratio_with_its_interval_for_what_was_timed(report):
    found = cells(report)
    row = next(m for m in report.measurements if m.implementation == "c_fused" and m.operation == "backward")
    cell = found["c_fused", "backward", *row.case.split("/")[:2]]

    assert float(cell["label"].removesuffix("×")) == pytest.approx(row.ratio.median, rel=6e-3)
    shown = [float(bound) for bound in cell["bounds"].split(" to ")]
    assert shown == pytest.approx([row.ratio.low, row.ratio.high], rel=6e-3)
    assert len(found) >= len(report.measurements)


def test_the_heat_map_has_a_word_where_there_is_no_ratio(report):
    row = report.measurements[0]
    absent = replace(row, implementation="odd", ratio=Interval(median=math.nan, low=0.0, high=math.inf))
    unknown = Untimed(implementation="shy", case=row.case, operation=row.operation, reason="asked not to be")
    found = cells(replace(report, measurements=(*report.measurements, absent), untimed=(*report.untimed, unknown)))
    dtype, shape = row.case.split("/")[:2]

    assert found["numba_fused", row.operation, dtype, shape]["label"] == "unavailable"
    assert found["odd", row.operation, dtype, shape]["label"] == "invalid"
    assert found["shy", row.operation, dtype, shape]["label"] == "not timed"
    failed = found["torch_composed", "backward", "float32", "64x128"]
    assert failed["label"] == "failed"
    assert "BN301" in failed["tooltip"]


def test_the_fastest_is_named_and_follows_the_numbers(report):
    assert chart_of(report, "heat_map_batch").finding.startswith("Fastest is c_fused: ")
    faster = tuple(
        replace(m, ratio=Interval(median=1e3, low=999.0, high=1001.0)) if m.implementation == "torch_native" else m
        for m in report.measurements
    )
    assert "torch_native: 1e+03 times" in chart_of(replace(report, measurements=faster), "heat_map_batch").finding


def test_times_are_drawn_where_they_are(report):
    rows = list(data_of(chart_of(report, "time_batch").spec))

    assert {(r["implementation"], r["panel"], r["dtype"], r["elements"], r["seconds"]) for r in rows} == {
        (
            m.implementation,
            {"forward_train": "forward, train", "forward_eval": "forward, eval", "backward": "backward"}[m.operation],
            m.case.split("/")[0],
            math.prod(map(int, m.case.split("/")[1].split("x"))),
            m.seconds.median,
        )
        for m in report.measurements
    }


def test_backward_over_forward_is_their_quotient(report):
    times = {(m.implementation, m.case, m.operation): m.seconds.median for m in report.measurements}
    for row in data_of(chart_of(report, "backward_forward_batch").spec):
        case = f"{row['dtype']}/{row['shape']}/train"
        forward, backward = (times[row["implementation"], case, o] for o in ("forward_train", "backward"))
        assert row["ratio"] == backward / forward


def test_the_bands_are_drawn_where_the_courses_have_them(report):
    (chart,) = relative_error_charts(report)
    bands = {row["word"]: (row["low"], row["high"]) for row in data_of(chart.spec) if "word" in row}

    assert list(bands) == [*(word for _, word in BANDS), "wrong"]
    assert [bands[word][1] for _, word in BANDS] == [end for end, _ in BANDS]
    assert bands["wrong"][0] == BANDS[-1][0]


def test_float32_is_not_judged_by_bands_that_are_meant_for_float64(report):
    (chart,) = relative_error_charts(report)
    panels = {panel["title"]["text"]: panel for panel in chart.spec["vconcat"]}
    assert {"float32", "float64"} <= set(panels)
    assert len(panels["float64"]["layer"]) > len(panels["float32"]["layer"]) == 1
    (told,) = {"(" in row["tooltip"] for row in data_of(panels["float32"]) if "tooltip" in row}
    assert not told


def test_no_number_stands_in_the_worst_place_and_counts_as_beyond_the_limit(empty_report, report):
    odd = Comparison(
        quantity="dx", error=math.nan, limit=32.0, unit=NOISE.unit, got=1.0, expected=1.0, relative=math.nan
    )
    finding = replace(report.findings[0], status=Status.FAILED, comparisons=(odd,))
    found = replace(empty_report, findings=(finding,))
    (z,) = z_charts(found)
    (relative,) = relative_error_charts(found)

    assert "1 of 1 implementations go beyond the limit of 32" in z.finding
    assert max(row["z"] for row in data_of(z.spec) if "z" in row) == 1e6
    assert max(row["error"] for row in data_of(relative.spec) if "error" in row) == 10.0
    assert {"limit": NOISE.limit, "label": "limit 32"} in list(data_of(z.spec))


def test_an_axis_holds_every_number_and_between_two_and_seven_ticks():
    for values in ([1.0], [3.0, 4.0], [1e-9, 1e-3], [2e-300, 5e300], []):
        (low, high), ticks = log_axis(values)
        assert all(low <= value <= high for value in values)
        assert 2 <= len(ticks) <= 7
        assert all(low <= tick <= high for tick in ticks)


def test_the_dark_colours_are_exchanged_in_the_style_and_not_in_the_data(report):
    spec = vega_lite(replace(chart_of(report, "heat_map_batch"), spec={"data": {"values": [{"a": style.INK}]}}))
    changed = style.dark(spec)

    assert changed["data"] == spec["data"]
    assert changed["config"]["background"] == style.PARTNERS[style.PAPER]
    assert style.INK not in json.dumps(changed["config"])


def luminance(colour):
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """WCAG 2.2, contrast ratio."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_marks_stand_out_from_what_is_behind_them(scheme):
    def shown(colour):
        return colour if scheme == "light" else style.PARTNERS[colour]

    for tint in (*style.SLOWER, style.EVEN, *style.FASTER, style.WORD, style.PAPER):
        assert contrast(shown(style.INK), shown(tint)) >= 4.5, tint
    for word in (style.SOFT, style.LIMIT):
        assert contrast(shown(word), shown(style.PAPER)) >= 4.5, word
    for mark in style.SERIES:
        assert contrast(shown(mark), shown(style.PAPER)) >= 2.5, mark


def test_the_page_and_the_charts_have_the_same_colours():
    css = (Path(room.__file__).parent.parent / "templates" / "base.css").read_text()
    page = dict(re.findall(r"--(\w+): (light-dark\(#\w+, #\w+\))", css))
    charts_have = {
        "paper": style.PAPER,
        "ink": style.INK,
        "soft": style.SOFT,
        "line": style.LINE,
        "failed": style.LIMIT,
    }

    assert {name: page[name].replace("#fff,", "#ffffff,") for name in charts_have} == {
        name: style.css_colour(light) for name, light in charts_have.items()
    }


def test_one_specification_is_every_drawing(report):
    chart = chart_of(report, "backward_forward_batch")

    assert json.loads(vega_lite_json(chart)) == json.loads(json.dumps(vega_lite(chart)))
    assert png(chart, scale=0.5)[:8] == b"\x89PNG\r\n\x1a\n" == png(chart, dark=True, scale=0.5)[:8]
    assert png(chart, scale=0.5) != png(chart, dark=True, scale=0.5)
    assert chart.title in titled_svg(chart)
    assert f'aria-label="{chart.finding}"' in chart.svg_file
    assert "prefers-color-scheme:dark" in chart.svg_file
    assert f"light-dark({style.SERIES[0]}, {style.PARTNERS[style.SERIES[0]]})" in chart.svg
    assert "c_fused; 64x128, float32; " in chart.svg, "what a mark is, for who points at it"
    assert "c_fused; 64x128, float32; " not in chart.svg_file


def test_an_interactive_page_needs_nothing_else_and_evaluates_nothing(report):
    chart = replace(chart_of(report, "backward_forward_batch"), title="</script><b>")
    page = chart_html(chart)

    assert not re.findall(r'(?:src|href)="(?!#)[^"]+"', page.partition("<script")[0])
    assert "unsafe-eval" not in page
    assert page.count("</script>") == 2
    assert "&lt;/script&gt;&lt;b&gt;" in page


def test_the_command_draws_png_on_demand(report, tmp_path):
    few = tuple(m for m in report.measurements if m.operation == "backward" and m.case == "float32/4x5/train")
    (tmp_path / "results.json").write_text(dump_json(replace(report, findings=(), measurements=few)))
    answers = [CliRunner().invoke(app, ["report", str(tmp_path / "results.json"), *more]) for more in ((), ("--png",))]

    assert [answer.exit_code for answer in answers] == [3, 3], "a plugin of it is broken"
    assert sorted(file.name for file in (tmp_path / "charts").iterdir()) == [
        "heat_map_batch.png",
        "heat_map_batch.svg",
        "heat_map_batch_dark.png",
    ]
