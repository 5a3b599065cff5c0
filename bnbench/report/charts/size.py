"""Time and GB/s over the number of elements, a line for each implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bnbench.model import Report
from bnbench.report.charts import style
from bnbench.report.charts.chart import Chart
from bnbench.report.charts.rows import (
    NORMS,
    Timed,
    complete,
    drawable,
    log_axis,
    operation_title,
    timed,
)
from bnbench.report.words import duration, three_digits

WIDTH, HEIGHT = 250, 190
KINDS = ("(N, C)", "(N, C, spatial)")
"""Of shapes: an implementation has often another code path for each, and so has a line for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """What is drawn upwards."""

    field: str
    title: str
    label: str
    """Vega expression of a tick's text."""


TIME = Axis(
    field="seconds", title="median time", label="replace(format(datum.value, '~s'), regexp('([^0-9.]*)$'), ' $1s')"
)
RATE = Axis(field="rate", title="GB/s", label="format(datum.value, '~g')")


def size_charts(report: Report) -> Iterator[Chart]:
    """Time, then GB/s, for each norm that was timed at two sizes or more; without a ceiling, which no run measures."""
    rows = timed(report)
    for norm, title in NORMS.items():
        chosen = [row for row in rows if row.case.norm == norm]
        for axis, what in ((TIME, "time"), (RATE, "throughput")):
            points = [point for row in chosen for point in _points(row, axis)]
            if len({point["elements"] for point in points}) > 1:
                yield Chart(
                    name=f"{what}_{norm}",
                    title=f"{title}: {what} over size",
                    finding=_finding(points, axis),
                    spec=size_spec(points, axis),
                )


def _points(row: Timed, axis: Axis) -> Iterator[dict[str, Any]]:
    m = row.measurement
    times = {"seconds": m.seconds.median, "low": m.seconds.low, "high": m.seconds.high}
    values = times if axis is TIME else {"rate": m.gigabytes_per_second}
    if drawable(*values.values()):
        tooltip = f"{duration(m.seconds.median)}, {three_digits(m.gigabytes_per_second)} GB/s"
        yield {
            "implementation": row.name,
            "panel": operation_title(m.operation, row.case.norm),
            "dtype": row.case.dtype,
            "shape": row.shape,
            "elements": row.elements,
            "kind": KINDS[len(row.case.shape) > 2],
            **values,
            "tooltip": tooltip,
            "about": f"{row.name}; {row.shape}, {row.case.dtype}; {tooltip}",
        }


def _finding(points: Sequence[Mapping[str, Any]], axis: Axis) -> str:
    """Who is best at the smallest and at the largest size, over all panels."""
    best = min if axis is TIME else max
    said = []
    for elements in (min(point["elements"] for point in points), max(point["elements"] for point in points)):
        values: dict[str, list[float]] = {}
        for point in points:
            if point["elements"] == elements:
                values.setdefault(point["implementation"], []).append(point[axis.field])
        means = complete(values)
        name = best(means, key=means.__getitem__)
        value = duration(means[name]) if axis is TIME else f"{three_digits(means[name])} GB/s"
        said.append(f"{name} at {elements:,} elements ({value})")
    return f"{'Fastest' if axis is TIME else 'Most'} in the geometric mean: {said[0]}, {said[1]}."


def size_spec(
    points: Sequence[Mapping[str, Any]], axis: Axis, *, ceiling: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """A panel for each operation and dtype, all on the same axes.

    ``points`` and ``ceiling`` have panel, dtype, kind, elements, shape, tooltip and the axis's field; points have
    implementation too, and times low and high.
    """
    names = list(dict.fromkeys(point["implementation"] for point in points))
    across, ticks_across = log_axis([point["elements"] for point in points])
    fields = (axis.field, "low", "high")
    upwards, ticks = log_axis([row[field] for row in (*points, *ceiling) for field in fields if field in row])
    x = {
        "field": "elements",
        "type": "quantitative",
        "scale": {"type": "log", "domain": across, "nice": False},
        "axis": {"title": "elements of x", "values": ticks_across, "format": "~s", "labelFlush": False},
    }
    y = {
        "field": axis.field,
        "type": "quantitative",
        "scale": {"type": "log", "domain": upwards, "nice": False},
        "axis": {"title": axis.title, "values": ticks, "labelExpr": axis.label},
    }
    look = style.channels(names)
    told_apart = {"symbolType": "stroke", "symbolStrokeWidth": 1.6, "symbolStrokeColor": style.SOFT}
    dash = {
        "field": "kind",
        "type": "nominal",
        "scale": {"domain": KINDS, "range": [[1, 0], [4, 3]]},
        "legend": told_apart if len({point["kind"] for point in points}) > 1 else None,
    }
    told = style.telling("implementation", "shape", "dtype", "tooltip")
    of_points = [{"filter": "isValid(datum.implementation)"}]
    layers: list[dict[str, Any]] = [
        {"transform": of_points, "mark": "line", "encoding": {"color": look["color"], "strokeDash": dash}},
        {"transform": of_points, "mark": {"type": "point", "aria": True}, "encoding": {**look, **told}},
    ]
    if axis is TIME:
        bar = {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": look["color"]}
        layers.insert(1, {"transform": of_points, "mark": {"type": "rule", "strokeWidth": 1.2}, "encoding": bar})
    if ceiling:
        layers.insert(0, _memory(y))
    panels = dict.fromkeys(point["panel"] for point in points)
    return {
        "data": {"values": [*points, *ceiling]},
        "facet": {
            "column": {"field": "panel", "sort": list(panels), "title": None, "header": {"labelAnchor": "start"}},
            "row": {"field": "dtype", "title": None, "header": {"labelFontWeight": "normal"}},
        },
        "spec": {"width": WIDTH, "height": HEIGHT, "encoding": {"x": x, "y": y}, "layer": layers},
    }


def _memory(y: Mapping[str, Any]) -> dict[str, Any]:
    """The ceiling: dotted, with a bar at every size that was measured."""
    return {
        "transform": [{"filter": "!isValid(datum.implementation)"}],
        "encoding": {"y": y},
        "layer": [
            {"mark": {"type": "line", "color": style.INK, "strokeWidth": 2, "strokeDash": [2, 3]}},
            {
                "mark": {
                    "type": "point",
                    "shape": "stroke",
                    "size": 90,
                    "filled": False,
                    "strokeWidth": 2,
                    "color": style.INK,
                }
            },
        ],
    }
