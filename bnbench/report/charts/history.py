"""Every row of a history over the commits: a line for each implementation, as a ratio to its first value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from bnbench.recorded import History, Point, RecordedRow
from bnbench.report.charts.chart import Chart
from bnbench.report.charts.style import DASHES, channels
from bnbench.report.words import visible

DETAILED = 40
"""Up to so many commits every one has its mark and its range; beyond, lines alone: the page stays small."""
TICKS = (0.1, 0.2, 0.25, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 10.0)


def history_charts(history: History) -> Iterator[tuple[str, str, tuple[str, ...], Chart]]:
    """Benchmark, case, the names of the drawn implementations in the order of their colours, and the chart.

    Times come first. A row without two positive values is not drawn. All charts of a benchmark share their colours.
    """
    names: dict[str, dict[str, None]] = {}
    cases: dict[tuple[str, str], list[RecordedRow]] = {}
    for row in sorted(history.rows, key=lambda row: row.unit != "seconds"):
        if sum(_drawn(point) for point in history.rows[row]) > 1:
            names.setdefault(row.benchmark, {})[row.implementation] = None
            cases.setdefault((row.benchmark, row.case), []).append(row)
    for (benchmark, case), rows in cases.items():
        known = tuple(sorted(names[benchmark]))
        yield benchmark, case, known, _chart(history, benchmark, case, rows, known)


def _chart(history: History, benchmark: str, case: str, rows: Iterable[RecordedRow], known: tuple[str, ...]) -> Chart:
    values = [value for row in rows for value in _values(history, row)]
    ratios = [value["ratio"] for value in values]
    low, high = min(*ratios, 0.9), max(*ratios, 1.1)
    least, most = (f"{bound:.2f}" for bound in (min(ratios), max(ratios)))
    scale = {"type": "log", "domain": [low / 1.03, high * 1.03], "nice": False, "clamp": True}
    y = {
        "type": "quantitative",
        "scale": scale,
        "title": "ratio to the first",
        "axis": {"values": [tick for tick in TICKS if low <= tick <= high], "format": "~g"},
    }
    x = {
        "field": "commit",
        "type": "ordinal",
        "scale": {"domain": [visible(commit.name[:8]) for commit in history.commits]},
        "title": None,
        "axis": {"labelAngle": -45, "labelOverlap": True, "grid": False},
    }
    named = channels([visible(name) for name in known])
    line = {"mark": {"type": "line"}, "encoding": {"y": {**y, "field": "ratio"}}}
    dashed = {**line, "encoding": {"y": {**y, "field": "ratio"}, "strokeDash": _dashes(known)}}
    reach = {
        "mark": {"type": "rule", "opacity": 0.45, "clip": True},
        "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }
    point = {"mark": {"type": "point"}, "encoding": {"y": {**y, "field": "ratio"}, "shape": named["shape"]}}
    return Chart(
        name="history",
        title=f"{benchmark} {case}",
        finding=f"{benchmark} {case} over {len(history.commits)} commits: between {least} and {most} of the first.",
        spec={
            "data": {"values": values},
            "width": 300,
            "height": 150,
            "encoding": {"x": x, "color": named["color"]},
            "layer": [dashed] if len(history.commits) > DETAILED else [line, reach, point],
        },
    )


def _dashes(known: Iterable[str]) -> dict[str, Any]:
    """Lines without marks: colour alone is not for every eye."""
    names = [visible(name) for name in known]
    dashes = [list(DASHES[i % len(DASHES)]) for i in range(len(names))]
    return {"field": "implementation", "type": "nominal", "scale": {"domain": names, "range": dashes}}


def _values(history: History, row: RecordedRow) -> Iterator[dict[str, Any]]:
    first = next(point.level for point in history.rows[row] if point is not None and _drawn(point))
    for commit, point in zip(history.commits, history.rows[row], strict=True):
        if point is not None and _drawn(point):
            low, high = point.range
            yield {
                "commit": visible(commit.name[:8]),
                "implementation": visible(row.implementation),
                "ratio": point.level / first,
                "low": low / first,
                "high": high / first,
            }


def _drawn(point: Point | None) -> bool:
    return point is not None and 0 < point.level < math.inf
