"""The report of an experiment as strict JSON, as CSV and as one page that needs nothing else."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bnbench.report import words
from bnbench.report.charts import Chart, style
from bnbench.report.codec import plain, schema_of
from bnbench.report.frames import FORMULA_STARTS
from bnbench.report.page import environment
from bnbench.training.model import Figure, Series, TrainingReport

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


def chart(figure: Figure) -> Chart:
    """The figure: medians with the bands of their intervals, in the house style.

    Series are known by number, as the page has the legend; points that are not finite, or not positive on a
    logarithmic axis, are left out.
    """
    numbers = [str(i) for i in range(len(figure.series))]
    look = style.channels(numbers, field="series")
    color, shape = ({**look[channel], "legend": None} for channel in ("color", "shape"))
    dashes = {"domain": numbers, "range": [style.DASHES[i % len(style.DASHES)] for i in range(len(numbers))]}
    dash = {"field": "series", "type": "nominal", "scale": dashes, "legend": None}
    x = {"field": "x", "type": "quantitative", "title": figure.x, **_axis(log=figure.log_x)}
    y = {"field": "y", "type": "quantitative", "title": figure.y, **_axis(log=figure.log_y)}
    told = style.telling("about")
    band = {
        "mark": {"type": "area", "opacity": 0.15},
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": color},
    }
    line = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {"x": x, "y": y, "color": color, "strokeDash": dash},
    }
    points = {
        "mark": {"type": "point", "aria": True, "opacity": 0.8},
        "encoding": {"x": x, "y": y, "color": color, "shape": shape, **told},
    }
    return Chart(
        name="training",
        title=figure.title,
        finding=f"{figure.y} over {figure.x}: {', '.join(series.name for series in figure.series)}.",
        spec={
            "data": {"values": [row for i, series in enumerate(figure.series) for row in _rows(figure, series, i)]},
            "width": 420,
            "height": 260,
            "layer": [points] if figure.kind == "points" else [band, line],
        },
    )


def _axis(*, log: bool) -> dict[str, Any]:
    if log:
        return {"scale": {"type": "log", "nice": False}, "axis": {"format": "~g", "tickCount": 6}}
    return {"scale": {"type": "linear", "zero": False}, "axis": {"tickCount": 6}}


def _rows(figure: Figure, series: Series, number: int) -> Iterator[dict[str, Any]]:
    for point in series.points:
        own = (point.y.median, point.y.low, point.y.high)
        drawable = all(map(math.isfinite, (point.x, *own))) and not (
            (figure.log_x and point.x <= 0) or (figure.log_y and min(own) <= 0)
        )
        if drawable:
            about = f"{words.visible(series.name)}; {words.number(point.x)}: {words.number(own[0])}"
            yield {"series": str(number), "x": point.x, "y": own[0], "low": own[1], "high": own[2], "about": about}


def symbols(figure: Figure) -> list[dict[str, str]]:
    """The legend of a figure: name and colour of each series, and the dashes of its line or the path of its point."""
    return [
        {
            "name": series.name,
            "color": style.css_colour(style.SERIES[i % len(style.SERIES)]),
            "dash": "" if figure.kind == "points" else " ".join(map(str, style.DASHES[i % len(style.DASHES)])),
            "path": style.SHAPES[i % len(style.SHAPES)],
        }
        for i, series in enumerate(figure.series)
    ]


def render_html(report: TrainingReport) -> str:
    """The whole report as one HTML document with inline styles and drawings, and no script."""
    from markupsafe import Markup

    page = environment("bnbench.training")
    page.filters["number"] = lambda value: words.number(value) if isinstance(value, float) else value
    drawings = [
        (figure.title, Markup(chart(figure).svg), symbols(figure))  # noqa: S704 - made of our numbers and axis titles
        for figure in report.conclusion.figures
    ]
    return page.get_template("training.html.j2").render(
        report=report, drawings=drawings, environment=words.environment(report.environment)
    )


FILES: Mapping[str, Callable[[TrainingReport], str]] = {
    "results.json": dump_json,
    "curves.csv": curves_csv,
    "index.html": render_html,
}
"""The files of an experiment's folder, each with what writes its text (UTF-8, line feeds)."""
