"""The report of an experiment as strict JSON, as CSV and as one page that needs nothing else."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bnbench.report import words
from bnbench.report.charts import COLORS, SHAPES
from bnbench.report.codec import plain, schema_of
from bnbench.report.frames import FORMULA_STARTS
from bnbench.training.model import Figure, Series, TrainingReport

DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 3))
"""Of lines: colour alone is not for every eye."""
CURVE_COLUMNS = ("experiment", "variant", "seed", "step", "loss", "accuracy", "test_loss", "test_accuracy", "stopped")


def dump_json(report: TrainingReport) -> str:
    """The report as JSON: fields in declared order, non-finite numbers spelled, ASCII, one trailing newline."""
    return json.dumps(plain(report), indent=1, allow_nan=False) + "\n"


def dump_schema() -> str:
    """The JSON schema (draft 2020-12) of what :func:`dump_json` writes."""
    return json.dumps(schema_of(TrainingReport, "bnbench.training/1"), indent=2) + "\n"


def curves_csv(report: TrainingReport) -> str:
    """Every evaluation of every run, a line each; a name that a spreadsheet would take for a formula is quoted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CURVE_COLUMNS)
    for one in report.trained:
        run = (report.experiment, _text(one.run.variant), one.run.seed)
        for e in one.evaluations:
            writer.writerow((*run, e.step, e.loss, e.accuracy, e.test_loss, e.test_accuracy, _text(one.stopped)))
    return text.getvalue()


def _text(value: str) -> str:
    shown = words.visible(value)
    return f"'{shown}" if shown.startswith(FORMULA_STARTS) else shown


def drawing(figure: Figure) -> str:
    """The figure as SVG: medians with the bands of their intervals, in the colours of the page.

    Series are known by number, so that no name enters the SVG; points that are not finite, or not positive on a
    logarithmic axis, are left out.
    """
    from vl_convert import vegalite_to_svg

    return str(vegalite_to_svg(_spec(figure)))


def _spec(figure: Figure) -> dict[str, Any]:
    text = {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 11, "titleFontSize": 11}
    count = range(len(figure.series))
    color = {"scale": {"domain": [*map(str, count)], "range": [COLORS[i % len(COLORS)] for i in count]}, "legend": None}
    dash = {"scale": {"domain": [*map(str, count)], "range": [DASHES[i % len(DASHES)] for i in count]}, "legend": None}
    mark = {"scale": {"domain": [*map(str, count)], "range": [SHAPES[i % len(SHAPES)] for i in count]}, "legend": None}
    x = {"field": "x", "type": "quantitative", "title": figure.x, **_axis(log=figure.log_x)}
    y = {"field": "y", "type": "quantitative", "title": figure.y, **_axis(log=figure.log_y)}
    named = {"field": "series", "type": "nominal"}
    band = {
        "mark": {"type": "area", "opacity": 0.15},
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": {**named, **color}},
    }
    line = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {"x": x, "y": y, "color": {**named, **color}, "strokeDash": {**named, **dash}},
    }
    points = {
        "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.8},
        "encoding": {"x": x, "y": y, "color": {**named, **color}, "shape": {**named, **mark}},
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": [row for i, series in enumerate(figure.series) for row in _rows(figure, series, i)]},
        "background": None,
        "width": 420,
        "height": 260,
        "layer": [points] if figure.kind == "points" else [band, line],
        "config": {
            "aria": False,  # the page has a caption, and the numbers in tables
            "font": "inherit",
            "view": {"stroke": None},
            "axis": {
                **text,
                "titleFontWeight": "normal",
                "gridColor": "currentColor",
                "gridOpacity": 0.15,
                "domain": False,
                "ticks": False,
                "labelPadding": 6,
                "tickCount": 6,
            },
        },
    }


def _axis(*, log: bool) -> dict[str, Any]:
    if log:
        return {"scale": {"type": "log", "nice": False}, "axis": {"format": "~g"}}
    return {"scale": {"type": "linear", "zero": False}}


def _rows(figure: Figure, series: Series, number: int) -> Iterator[dict[str, Any]]:
    for point in series.points:
        own = (point.y.median, point.y.low, point.y.high)
        drawable = all(map(math.isfinite, (point.x, *own))) and not (
            (figure.log_x and point.x <= 0) or (figure.log_y and min(own) <= 0)
        )
        if drawable:
            yield {"series": str(number), "x": point.x, "y": own[0], "low": own[1], "high": own[2]}


def symbols(figure: Figure) -> list[dict[str, str]]:
    """The legend of a figure: name and colour of each series, and the dashes of its line or the path of its point."""
    return [
        {
            "name": series.name,
            "color": COLORS[i % len(COLORS)],
            "dash": "" if figure.kind == "points" else " ".join(map(str, DASHES[i % len(DASHES)])),
            "path": SHAPES[i % len(SHAPES)],
        }
        for i, series in enumerate(figure.series)
    ]


def render_html(report: TrainingReport) -> str:
    """The whole report as one HTML document with inline styles and drawings, and no script."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def show(value: Any) -> Any:
        return words.visible(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("bnbench.training"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=show,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = lambda value: words.number(value) if isinstance(value, float) else value
    drawings = [
        (figure.title, Markup(drawing(figure)), symbols(figure))  # noqa: S704 - made of our numbers and axis titles
        for figure in report.conclusion.figures
    ]
    return environment.get_template("training.html.j2").render(
        report=report, drawings=drawings, environment=words.environment(report.environment)
    )


FILES: Mapping[str, Callable[[TrainingReport], str]] = {
    "results.json": dump_json,
    "curves.csv": curves_csv,
    "index.html": render_html,
}
"""The files of an experiment's folder, each with what writes its text (UTF-8, line feeds)."""
