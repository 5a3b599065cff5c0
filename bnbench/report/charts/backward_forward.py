"""How much longer the backward takes than the forward in train mode: what differentiating costs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from bnbench.model import Report
from bnbench.report.charts import style
from bnbench.report.charts.chart import Chart
from bnbench.report.charts.rows import NORMS, drawable, implementation_axis, timed
from bnbench.report.words import duration, three_digits

WIDTH, ROW = 520, 24
TICKS = tuple(mantissa * 10.0**exponent for exponent in range(-4, 5) for mantissa in (1, 2, 5))


def backward_forward_charts(report: Report) -> Iterator[Chart]:
    """One chart for each norm of which both were timed: a point for each shape and dtype, a bar at their median."""
    forward, backward = (
        {
            (row.measurement.implementation, row.measurement.case): row
            for row in timed(report)
            if row.measurement.operation == operation
        }
        for operation in ("forward_train", "backward")
    )
    for norm, title in NORMS.items():
        points = []
        for key, row in backward.items():
            if row.case.norm != norm or key not in forward:
                continue
            there, back = forward[key].measurement.seconds.median, row.measurement.seconds.median
            if drawable(there, back, back / there):
                tooltip = f"{three_digits(back / there)}: {duration(back)} after {duration(there)}"
                points.append(
                    {
                        "implementation": row.name,
                        "shape": row.shape,
                        "dtype": row.case.dtype,
                        "ratio": back / there,
                        "tooltip": tooltip,
                        "about": f"{row.name}; {row.shape}, {row.case.dtype}; {tooltip}",
                    }
                )
        if points:
            yield _chart(f"backward_forward_{norm}", title, points)


def _chart(name: str, title: str, points: list[dict[str, Any]]) -> Chart:
    of: dict[str, list[float]] = {}
    for point in points:
        of.setdefault(point["implementation"], []).append(point["ratio"])
    medians = {each: statistics.median(ratios) for each, ratios in of.items()}
    names = sorted(medians, key=medians.__getitem__)
    ratios = [1.0, *(point["ratio"] for point in points)]
    domain = [min(ratios) / 1.15, max(ratios) * 1.15]
    ticks = [tick for tick in TICKS if domain[0] <= tick <= domain[1]]
    x = {
        "field": "ratio",
        "type": "quantitative",
        "scale": {"type": "log", "domain": domain, "nice": False},
        "axis": {"title": "time of the backward / time of the forward, train mode", "values": ticks, "format": "~g"},
    }
    dtypes = sorted({point["dtype"] for point in points})
    look = style.channels(dtypes, field="dtype")
    told = style.telling("implementation", "shape", "dtype", "tooltip")
    first, last = (f"{three_digits(medians[each])} ({each})" for each in (names[0], names[-1]))
    said = first if len(names) == 1 else f"from {first} to {last}"
    return Chart(
        name=name,
        title=f"{title}: backward / forward",
        finding=f"In the median, the backward takes {said} times as long as the forward.",
        spec={
            "data": {"values": points},
            "width": WIDTH,
            "height": {"step": ROW},
            "encoding": {"x": x, "y": implementation_axis(names)},
            "layer": [
                {
                    "mark": {"type": "rule", "strokeDash": [3, 3], "color": style.SOFT},
                    "encoding": {"x": {"datum": 1}, "y": None},
                },
                {
                    "mark": {"type": "tick", "thickness": 2, "height": 16, "color": style.INK},
                    "encoding": {"x": {**x, "aggregate": "median"}},
                },
                {"mark": {"type": "point", "aria": True, "opacity": 0.85}, "encoding": {**look, **told}},
            ],
        },
    )
