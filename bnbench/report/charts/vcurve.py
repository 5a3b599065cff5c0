"""The V-curve as a chart and as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bnbench.report.charts import style
from bnbench.report.charts.chart import Chart
from bnbench.report.charts.rows import drawable, log_axis
from bnbench.report.words import number, scientific, visible
from bnbench.tolerances import NOISE
from bnbench.vcurve import VCurve

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH, HEIGHT = 640, 380
LABEL = 17
"""Pixels of a line of words."""
BAR = 24
"""Characters of the longest bar."""


def vcurve_chart(curve: VCurve) -> Chart:
    """Error over step, both laws, and the estimate that the check takes; what is no positive number is left out."""
    measured: list[dict[str, Any]] = [
        {"h": step.h, "error": step.error, "about": f"h = {step.h:.2e}; error {step.error:.2e}"}
        for step in curve.steps
        if drawable(step.h, step.error)
    ]
    marks = [
        {"h": curve.chosen, "error": value, "mark": mark, "label": label}
        for value, mark, label in (
            (curve.romberg_error, "estimate", f"extrapolated: z = {number(curve.z)}"),
            (curve.romberg_noise, "noise", "its noise: z = 1"),
            (NOISE.limit * curve.romberg_noise, "limit", f"limit: z = {number(NOISE.limit)}"),
        )
        if drawable(curve.chosen, value)
    ]
    across, ticks_across = log_axis([row["h"] for row in measured])
    upwards, ticks = log_axis([row["error"] for row in (*measured, *marks)], room=2.5)
    x = _axis("h", "step h, in the unit of x along a unit direction", across, ticks_across)
    y = _axis("error", "error of the derivative", upwards, ticks)
    laws = [
        row
        for name, law in (("round-off", curve.round_off), ("truncation", curve.truncation))
        for row in _line(name, [(step.h, law(step.h)) for step in curve.steps], upwards)
    ]
    return Chart(
        name="vcurve",
        title=f"Error of a central difference over its step: {visible(curve.implementation)}, {visible(curve.case)}",
        finding=_finding(curve),
        spec={
            "width": WIDTH,
            "height": HEIGHT,
            "layer": [
                _laws(laws, x, y),
                *_words_beside(curve, laws, x, y),
                {
                    "data": {
                        "values": [{"h": curve.chosen, "label": f"h = {number(curve.chosen)}, chosen by the check"}]
                    },
                    "encoding": {"x": x},
                    "layer": [
                        {"mark": {"type": "rule", "color": style.SOFT, "strokeDash": [2, 3]}},
                        {
                            "mark": {
                                "type": "text",
                                "y": -6,
                                "baseline": "bottom",
                                "color": style.SOFT,
                                "align": "center",
                            },
                            "encoding": {"text": {"field": "label"}},
                        },
                    ],
                },
                {
                    "data": {"values": measured},
                    "encoding": {"x": x, "y": y},
                    "layer": [
                        {"mark": {"type": "line", "color": style.SERIES[0], "strokeWidth": 1, "opacity": 0.5}},
                        {
                            "mark": {"type": "point", "aria": True, "color": style.SERIES[0], "size": 34},
                            "encoding": style.telling("about"),
                        },
                    ],
                },
                *(_mark(mark, x, y) for mark in _apart(marks, upwards)),
            ],
        },
    )


def _finding(curve: VCurve) -> str:
    best = min((step for step in curve.steps if drawable(step.error)), key=lambda step: step.error, default=None)
    verdict = "within" if curve.z <= NOISE.limit else "beyond"
    single = (
        "No step gives a number"
        if best is None
        else f"The best single step is off by {scientific(best.error)} at h = {number(best.h)}"
    )
    return (
        f"{single}; the check's extrapolation from h = {number(curve.chosen)} is off by "
        f"{scientific(curve.romberg_error)}, z = {number(curve.z)}, {verdict} the limit of {number(NOISE.limit)}."
    )


def _axis(field: str, title: str, domain: list[float], ticks: list[float]) -> dict[str, Any]:
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"type": "log", "domain": domain, "nice": False},
        "axis": {"title": title, "values": ticks, "format": ".0e"},
    }


def _line(name: str, points: Iterable[tuple[float, float]], within: list[float]) -> list[dict[str, Any]]:
    """A law's points as far as they are on the axis."""
    return [{"law": name, "h": h, "error": error} for h, error in points if within[0] <= error <= within[1]]


def _laws(laws: list[dict[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
    colours = {"domain": ["round-off", "truncation"], "range": [style.SERIES[2], style.SERIES[1]]}
    return {
        "data": {"values": laws},
        "mark": {"type": "line", "strokeWidth": 2, "strokeDash": [6, 4]},
        "encoding": {"x": x, "y": y, "color": {"field": "law", "type": "nominal", "scale": colours, "legend": None}},
    }


def _words_beside(
    curve: VCurve, laws: list[dict[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The name of each law, upright beside a point of it that is a third of the way from its upper end."""
    layers = []
    texts = (
        ("round-off", f"round-off: {scientific(curve.noise)} / (√2 h)", style.SERIES[2], "left", 12),
        ("truncation", f"truncation: {number(curve.curvature)} h²", style.SERIES[1], "right", -12),
    )
    for name, text, colour, align, dx in texts:
        own = sorted((row for row in laws if row["law"] == name), key=lambda row: -row["error"])
        if own:
            layers.append(
                {
                    "data": {"values": [{**own[len(own) // 4], "label": text}]},
                    "mark": {"type": "text", "align": align, "dx": dx, "dy": -12, "color": colour, "fontWeight": 600},
                    "encoding": {"x": x, "y": y, "text": {"field": "label"}},
                }
            )
    return layers


def _mark(mark: Mapping[str, Any], x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
    colour = {"estimate": style.SERIES[6], "noise": style.INK, "limit": style.LIMIT}[mark["mark"]]
    line = {"shape": "stroke", "size": 500, "filled": False, "strokeWidth": 2}
    shape = {"shape": "diamond", "size": 130} if mark["mark"] == "estimate" else line
    return {
        "data": {"values": [mark]},
        "encoding": {"x": x},
        "layer": [
            {"mark": {"type": "point", **shape, "color": colour}, "encoding": {"y": y}},
            {
                "mark": {"type": "text", "align": "left", "dx": 17, "color": colour, "fontWeight": 600},
                "encoding": {"y": {**y, "field": "beside"}, "text": {"field": "label"}},
            },
        ],
    }


def _apart(marks: list[dict[str, Any]], domain: list[float]) -> list[dict[str, Any]]:
    """The marks, each with where its words stand: at the mark, or as much higher as keeps off those below."""
    line = (domain[1] / domain[0]) ** (LABEL / HEIGHT)
    placed: list[dict[str, Any]] = []
    for mark in sorted(marks, key=lambda mark: mark["error"]):
        beside = max(mark["error"], placed[-1]["beside"] * line) if placed else mark["error"]
        placed.append({**mark, "beside": beside})
    return placed


def vcurve_table(curve: VCurve) -> RenderableType:
    """A line for each decade of steps, with bars of the error's logarithm; the last line is the check's estimate."""
    from rich.bar import Bar
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    decades = {math.floor(math.log10(step.h) + 1e-9): step for step in reversed(curve.steps) if drawable(step.h)}
    rows = [decades[decade] for decade in sorted(decades)]
    logs = [math.log10(step.error) for step in rows if drawable(step.error)]
    lowest = math.log10(curve.romberg_error) if drawable(curve.romberg_error) else 0.0
    low, high = min([*logs, lowest], default=0.0) - 0.5, max([*logs, lowest], default=1.0)

    def bar(error: float) -> RenderableType:
        if not drawable(error):
            return Text("")
        return Bar(size=high - low, begin=0, end=math.log10(error) - low, width=BAR)

    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("step h", "error", "round-off", "truncation"):
        table.add_column(head, justify="right")
    table.add_column("log of the error")
    for step in rows:
        cells = (scientific(step.h), scientific(step.error), scientific(curve.round_off(step.h)))
        table.add_row(*cells, scientific(curve.truncation(step.h)), bar(step.error))
    table.add_row(
        scientific(curve.chosen),
        scientific(curve.romberg_error),
        "extra-",
        "polated",
        bar(curve.romberg_error),
        style="bold",
    )
    title = f"{visible(curve.implementation)}, {visible(curve.case)}: dx along one direction, block {curve.block}"
    about = f"derivative {number(curve.derivative)}; noise of the loss {scientific(curve.noise)}, measured"
    return Group(Text(title, style="bold"), Text(about, style="dim"), table, Text(_finding(curve)))
