"""Every gradient's deviation in units of measured noise, and the limit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bnbench.model import Report
from bnbench.report.charts import style
from bnbench.report.charts.chart import Chart
from bnbench.report.charts.rows import implementation_axis, placed
from bnbench.report.words import number, visible
from bnbench.tolerances import NOISE

WIDTH, ROW = 640, 24
LEAST_Z, MOST_Z = 1e-2, 1e6
BINS = 10
"""To a decade of z."""


def z_charts(report: Report) -> Iterator[Chart]:
    """Every deviation in units of measured noise, gathered in tenths of a decade: the larger the point, the more."""
    found: Counter[tuple[str, str, float]] = Counter()
    worst: dict[str, float] = {}
    for finding in report.findings:
        for comparison in finding.comparisons:
            if comparison.unit == NOISE.unit and not comparison.trivial:
                name, dtype = visible(finding.implementation), visible(finding.case.partition("/")[0])
                z = placed(comparison.error, LEAST_Z, MOST_Z)
                found[name, dtype, round(math.log10(z) * BINS) / BINS] += 1
                worst[name] = max(worst.get(name, 0.0), z)
    if not found:
        return
    beyond = [name for name, z in worst.items() if not z <= NOISE.limit]
    largest = max(worst, key=worst.__getitem__)
    points = [
        {
            "implementation": name,
            "dtype": dtype,
            "z": 10.0**exponent,
            "count": count,
            "tooltip": (said := f"z about {10.0**exponent:.2g}: {count} comparison{'s' if count > 1 else ''}"),
            "about": f"{name}; {dtype}; {said}",
        }
        for (name, dtype, exponent), count in found.items()
    ]
    yield Chart(
        name="z_scores",
        title="Gradients: deviation in units of measured noise (z)",
        finding=(
            f"{len(beyond)} of {len(worst)} implementations go beyond the limit of {number(NOISE.limit)}: "
            f"{', '.join(beyond[:5])}{', ...' if len(beyond) > 5 else ''}."
            if beyond
            else f"All {len(worst)} stay within the limit of {number(NOISE.limit)}; "
            f"the largest z is {number(worst[largest])} ({largest})."
        ),
        spec=_z_spec(points),
    )


def _z_spec(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    top = MOST_Z if any(point["z"] > 1e3 for point in points) else 1e3
    scale = {"type": "log", "domain": [LEAST_Z / 1.5, top * 1.5], "nice": False}
    ticks = [10.0**k for k in range(-2, round(math.log10(top)) + 1)]
    ends = {LEAST_Z: "'≤ 0.01'", MOST_Z: "'≥ 1e6'"}
    label = " : ".join(f"datum.value === {end} ? {text}" for end, text in ends.items()) + " : format(datum.value, '~g')"
    x = {
        "field": "z",
        "type": "quantitative",
        "scale": scale,
        "axis": {"title": "|error| / measured noise", "values": ticks, "labelExpr": label},
    }
    dtypes = sorted({point["dtype"] for point in points})
    size = {"field": "count", "type": "quantitative", "scale": {"type": "sqrt", "range": [14, 110]}, "legend": None}
    limit = [{"limit": NOISE.limit, "label": f"limit {number(NOISE.limit)}"}]
    at_limit = {**x, "field": "limit"}
    return {
        "width": WIDTH,
        "height": {"step": ROW, "for": "position"},
        "layer": [
            {
                "data": {"values": points},
                "mark": {"type": "point", "aria": True, "opacity": 0.6},
                "encoding": {
                    "x": x,
                    "y": implementation_axis(point["implementation"] for point in points),
                    "yOffset": {"field": "dtype", "type": "nominal", "scale": {"paddingOuter": 0.5}},
                    "size": size,
                    **style.channels(dtypes, field="dtype"),
                    **style.telling("implementation", "dtype", "tooltip"),
                },
            },
            {
                "data": {"values": limit},
                "mark": {"type": "rule", "color": style.LIMIT, "strokeWidth": 1.6},
                "encoding": {"x": at_limit},
            },
            {
                "data": {"values": limit},
                "mark": {"type": "text", "color": style.LIMIT, "baseline": "bottom", "y": -4, "fontWeight": 600},
                "encoding": {"x": at_limit, "text": {"field": "label"}},
            },
        ],
    }
