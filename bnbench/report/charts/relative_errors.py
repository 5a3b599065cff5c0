"""The worst relative errors of every implementation in the bands that the courses put them in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bnbench.model import Report
from bnbench.report import digest
from bnbench.report.charts import style
from bnbench.report.charts.chart import Chart
from bnbench.report.charts.rows import implementation_axis, placed
from bnbench.report.words import scientific, visible
from bnbench.tolerances import BANDS, band

WIDTH, ROW = 640, 24
LEAST, MOST = 1e-16, 10.0
"""Of a relative error that has a place of its own; the largest that there can be is 1."""
WORDS = (*(word for _, word in BANDS), "wrong")
TINTS = (style.FASTER[0], style.EVEN, style.SLOWER[2], style.SLOWER[1])
"""Of the bands, from comfortable to wrong."""


def relative_error_charts(report: Report) -> Iterator[Chart]:
    """The worst classic relative error of each implementation, dtype and quantity."""
    errors = digest.relative_errors(report)
    judged = _judged(errors.values)
    points = []
    for (name, dtype, quantity), value in errors.values.items():
        said = f"{scientific(value)} ({band(value)})" if dtype in judged else scientific(value)
        point = {
            "implementation": visible(name),
            "dtype": visible(dtype),
            "quantity": visible(quantity),
            "error": placed(value, LEAST, MOST),
            "tooltip": said,
            "about": f"{visible(name)}; {visible(quantity)}, {visible(dtype)}; {said}",
        }
        points.append(point)
    if points:
        yield Chart(
            name="relative_errors",
            title="Relative error, the worst over cases",
            finding=_bands_said(errors.values),
            spec=_bands_spec(points, [visible(quantity) for quantity in errors.quantities], map(visible, judged)),
        )


def _judged(values: Mapping[tuple[str, str, str], float]) -> set[str]:
    """The dtypes whose errors the bands are for: float64 or, in a report without it, what there is."""
    found = {dtype for _, dtype, _ in values}
    return {"float64"} & found or found


def _bands_said(values: Mapping[tuple[str, str, str], float]) -> str:
    judged = _judged(values)
    counts = Counter(band(value) for (_, dtype, _), value in values.items() if dtype in judged)
    said = [f"{counts[word]} {word}" for word in WORDS if counts[word]]
    shares = f"all {said[0]}" if len(said) == 1 else ", ".join(said)
    return f"Of the worst relative errors{' in float64' if judged == {'float64'} else ''}, {shares}."


def _bands_spec(
    points: Sequence[Mapping[str, Any]], quantities: Sequence[str], judged: Iterable[str]
) -> dict[str, Any]:
    x = {
        "field": "error",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [LEAST, MOST], "nice": False},
        "axis": {
            "title": "max |a - b| / max(1e-8, |a| + |b|); 0 stands at the left end, what is no number at the right one",
            "values": [1e-15, 1e-13, 1e-11, 1e-9, *(end for end, _ in BANDS), 1.0],
            "labelExpr": "datum.value === 1 ? '1' : format(datum.value, '.0e')",
            "grid": False,
        },
    }
    ends = [LEAST, *(end for end, _ in BANDS), MOST]
    background = [
        layer
        for low, high, word, tint in zip(ends, ends[1:], WORDS, TINTS, strict=False)
        for layer in _band({"low": low, "high": high, "word": word, "middle": math.sqrt(low * high)}, tint, x)
    ]
    told = style.telling("implementation", "dtype", "quantity", "tooltip")
    look = style.channels(list(quantities), field="quantity")
    panels = []
    banded = set(judged)
    for dtype in sorted({point["dtype"] for point in points}, reverse=True):
        own = [point for point in points if point["dtype"] == dtype]
        drawn = {
            "data": {"values": own},
            "mark": {"type": "point", "aria": True, "opacity": 0.85},
            "encoding": {"x": x, "y": implementation_axis(point["implementation"] for point in own), **look, **told},
        }
        panels.append(
            {
                "title": {"text": dtype, "fontSize": 12.5, "offset": 18},
                "width": WIDTH,
                "height": {"step": ROW},
                "layer": [*background, drawn] if dtype in banded else [drawn],
            }
        )
    return {"vconcat": panels, "resolve": {"scale": {"color": "shared", "shape": "shared"}}}


def _band(values: Mapping[str, Any], tint: str, x: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Its area, and its word above."""
    data = {"values": [values]}
    above = {"type": "text", "fontSize": 9.5, "baseline": "bottom", "y": -4, "color": style.SOFT}
    return (
        {
            "data": data,
            "mark": {"type": "rect", "color": tint},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}},
        },
        {"data": data, "mark": above, "encoding": {"x": {**x, "field": "middle"}, "text": {"field": "word"}}},
    )
