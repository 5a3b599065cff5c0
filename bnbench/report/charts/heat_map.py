"""Implementation by shape: how many times faster than the baseline, or the word for why there is no number."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bnbench.cases import shape_text
from bnbench.model import Norm, Report, Status
from bnbench.report.charts import style
from bnbench.report.charts.chart import Chart
from bnbench.report.charts.rows import (
    NORMS,
    OPERATIONS,
    Timed,
    complete,
    drawable,
    geometric_mean,
    operation_title,
    parsed,
    timed,
)
from bnbench.report.words import duration, interval, visible

CELL, ROW = 74, 34
"""Pixels of a cell: a ratio above its interval, in 11 and 9 px."""
BOUNDS = (1 / 4, 1 / 2, 1 / 1.05, 1.05, 2.0, 4.0)
"""Between the tints."""


def heat_maps(report: Report) -> Iterator[Chart]:
    """One chart for each norm that was timed: a panel for each operation and dtype."""
    rows = timed(report)
    for norm, title in NORMS.items():
        chosen = [row for row in rows if row.case.norm == norm]
        if chosen:
            yield _heat_map(report, norm, title, chosen)


def _heat_map(report: Report, norm: Norm, title: str, rows: Sequence[Timed]) -> Chart:
    cells = [*map(_measured, rows), *_words(report, norm, rows)]
    operations = [o for o in OPERATIONS if any(cell["operation"] == o for cell in cells)]
    names = _by_speed(rows, [cell["implementation"] for cell in cells])
    baseline = visible(rows[0].measurement.baseline)
    return Chart(
        name=f"heat_map_{norm}",
        title=f"{title}: times faster than {baseline}",
        finding=_finding(rows, baseline),
        spec={
            "vconcat": [
                _panel([cell for cell in cells if cell["operation"] == o], operation_title(o, norm), names)
                for o in operations
            ]
        },
    )


def _measured(row: Timed) -> dict[str, Any]:
    m = row.measurement
    cell = _cell(row.name, row.case.dtype, row.shape, row.elements, m.operation)
    if m.implementation == m.baseline:
        return {**cell, "tint": "baseline", "label": duration(m.seconds.median), "tooltip": "the baseline"}
    if not drawable(m.ratio.median):
        return _word(cell, "invalid", f"the ratio is {m.ratio.median}")
    return {
        **cell,
        "tint": str(bisect(BOUNDS, m.ratio.median)),
        "label": f"{_short(m.ratio.median)}×",
        "bounds": f"{_short(m.ratio.low)} to {_short(m.ratio.high)}",
        "tooltip": f"{interval(m.ratio)} times, in {duration(m.seconds.median)}",
    }


def _cell(name: str, dtype: str, shape: str, elements: int, operation: str) -> dict[str, Any]:
    return {"implementation": name, "dtype": dtype, "shape": shape, "elements": elements, "operation": operation}


def _short(ratio: float) -> str:
    """Three digits, or two decimals of a small one: ``0.08``, ``2.41``, ``12.3``, ``140``."""
    if not math.isfinite(ratio):
        return str(ratio)
    if not 0.01 <= ratio < 99.95:
        return f"{ratio:.3g}"
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.1f}"


def _words(report: Report, norm: Norm, rows: Sequence[Timed]) -> Iterator[dict[str, Any]]:
    """Of what was not timed and of who is unavailable."""
    places = dict.fromkeys((row.case.dtype, row.shape, row.elements, str(row.measurement.operation)) for row in rows)
    measured = {row.measurement.implementation for row in rows}
    infos = {info.name: info for info in report.implementations if info.capabilities.norm == norm}
    missing = {name: info.reason for name, info in infos.items() if not info.available and name not in measured}
    for name, reason in missing.items():
        for place in places:
            yield _word(_cell(visible(name), *place), "unavailable", reason)
    failed = {f.implementation for f in report.findings if f.status in {Status.FAILED, Status.ERRORED, Status.VACUOUS}}
    for untimed in report.untimed:
        case = parsed(untimed.case)
        if case and case.norm == norm and untimed.implementation not in missing:
            place = (case.dtype, shape_text(case.shape), math.prod(case.shape), untimed.operation)
            label = "failed" if untimed.implementation in failed else "not timed"
            yield _word(_cell(visible(untimed.implementation), *place), label, untimed.reason)


def _word(cell: dict[str, Any], label: str, reason: str) -> dict[str, Any]:
    return {**cell, "tint": "word", "label": label, "tooltip": visible(reason)}


def _by_speed(rows: Iterable[Timed], names: Iterable[str]) -> list[str]:
    """The fastest in the geometric mean first, who was not timed last."""
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for row in rows:
        if drawable(row.measurement.ratio.median):
            ratios[row.name].append(row.measurement.ratio.median)
    means = {name: geometric_mean(of) for name, of in ratios.items()}
    return sorted(means, key=lambda name: -math.inf if math.isnan(means[name]) else means[name], reverse=True)


def _finding(rows: Sequence[Timed], baseline: str) -> str:
    ratios: dict[str, list[float]] = {}
    for row in rows:
        m = row.measurement
        if m.implementation != m.baseline and drawable(m.ratio.median):
            ratios.setdefault(row.name, []).append(m.ratio.median)
    if not ratios:
        return f"Nothing was timed beside {baseline}."
    means = complete(ratios)
    best = max(means, key=means.__getitem__)
    if means[best] < 1:
        return (
            f"No other is faster than {baseline} in the geometric mean; next is {best} ({_short(means[best])} times)."
        )
    count = len(ratios[best])
    return (
        f"Fastest is {best}: {_short(means[best])} times as fast as {baseline} in the geometric mean over "
        f"{count} row{'s' if count > 1 else ''}."
    )


def _about(cell: Mapping[str, Any]) -> str:
    return f"{cell['implementation']}; {cell['shape']}, {cell['dtype']}; {cell['tooltip']}"


def _panel(cells: Sequence[Mapping[str, Any]], title: str, names: Sequence[str]) -> dict[str, Any]:
    y = {
        "field": "implementation",
        "type": "nominal",
        "scale": {"domain": names},
        "axis": {"title": None, "grid": False, "labelColor": style.INK, "labelFontSize": 11.5},
    }
    x = {
        "field": "shape",
        "type": "nominal",
        "sort": {"field": "elements", "op": "min"},
        "axis": {"title": None, "orient": "top", "labelAngle": 0, "grid": False, "labelFontSize": 10},
    }
    tints = [*style.SLOWER, style.EVEN, *style.FASTER, style.EVEN, style.WORD]
    tint = {
        "field": "tint",
        "type": "nominal",
        "scale": {"domain": [*map(str, range(len(BOUNDS) + 1)), "baseline", "word"], "range": tints},
        "legend": None,
    }

    def text(field: str, of: str, dy: float, size: float, **mark: Any) -> dict[str, Any]:
        return {
            "transform": [{"filter": of}],
            "mark": {"type": "text", "dy": dy, "fontSize": size, "color": style.INK, **mark},
            "encoding": {"text": {"field": field, "type": "nominal"}},
        }

    number = "isValid(datum.bounds)"
    return {
        "title": {"text": title, "fontSize": 12.5, "offset": 4},
        "data": {"values": [{**cell, "about": _about(cell)} for cell in cells]},
        "facet": {
            "column": {
                "field": "dtype",
                "type": "nominal",
                "title": None,
                "header": {"labelAnchor": "start", "labelFontWeight": "normal", "labelColor": style.SOFT},
            }
        },
        "spacing": 22,
        "resolve": {"scale": {"x": "independent"}},
        "spec": {
            "width": {"step": CELL},
            "height": {"step": ROW},
            "encoding": {"x": x, "y": y},
            "layer": [
                {
                    "mark": {"type": "rect", "aria": True, "stroke": style.PAPER, "strokeWidth": 2, "cornerRadius": 4},
                    "encoding": {"color": tint, **style.telling("implementation", "shape", "dtype", "tooltip")},
                },
                text("label", number, -5.5, 12, fontWeight=600),
                text("bounds", number, 8, 9),
                text("label", "datum.tint === 'baseline'", 0, 10.5),
                text("label", "datum.tint === 'word'", 0, 10.5, fontStyle="italic"),
            ],
        },
    }
