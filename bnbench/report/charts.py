"""Throughput over shapes, as static SVG that takes its colours from the page: light, dark or printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bnbench.cases import CaseError, parse_case, shape_text
from bnbench.model import Measurement, Report
from bnbench.report.words import OPERATIONS

# Colour alone is not for every eye, so that each implementation has a shape as well. Their numbers are
# coprime: 56 pairs before one repeats. The colours are the page's variables --c0 to --c7.
COLORS = tuple(f"var(--c{i})" for i in range(8))
SHAPES = (
    "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
    "M-.9,-.9H.9V.9H-.9Z",
    "M0,-1.1L1.1,.9H-1.1Z",
    "M0,-1.25L1.25,0L0,1.25L-1.25,0Z",
    "M-.4,-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "M0,1.1L1.1,-.9H-1.1Z",
    "M-1.2,-.45H1.2V.45H-1.2Z",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Symbol:
    """How one implementation is drawn: a CSS colour and an SVG path within [-1.25, 1.25]."""

    name: str
    color: str
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One drawing: what it shows, and its SVG."""

    title: str
    svg: str


def symbols(report: Report) -> tuple[Symbol, ...]:
    """One symbol for each timed implementation, in the order in which they were timed."""
    timed = dict.fromkeys(m.implementation for m in report.measurements)
    return tuple(
        Symbol(name=name, color=COLORS[i % len(COLORS)], path=SHAPES[i % len(SHAPES)]) for i, name in enumerate(timed)
    )


def throughput_charts(report: Report) -> tuple[Chart, ...]:
    """GB/s by shape, one chart for each operation and dtype, all on the same axis.

    Rows whose case has no shape, or whose throughput is not a positive number, can't be drawn; they
    stand in the tables.
    """
    from vl_convert import vegalite_to_svg

    numbers = {symbol.name: str(i) for i, symbol in enumerate(symbols(report))}
    points: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for measurement in report.measurements:
        for dtype, point in _points(measurement):
            # The chart knows implementations by number: what they call themselves never enters the SVG.
            row = {**point, "implementation": numbers[measurement.implementation]}
            points.setdefault((measurement.operation, dtype), []).append(row)
    rates = [point["rate"] for rows in points.values() for point in rows]
    return tuple(
        Chart(
            title=f"{OPERATIONS.get(operation, operation)}, {dtype}",
            svg=vegalite_to_svg(_spec(rows, rates, symbols(report))),
        )
        for (operation, dtype), rows in points.items()
    )


def _points(measurement: Measurement) -> Iterator[tuple[str, dict[str, Any]]]:
    rate = measurement.gigabytes_per_second
    if not 0 < rate < math.inf:
        return
    try:
        case = parse_case(measurement.case)
    except CaseError:
        return
    yield case.dtype, {"rate": rate, "shape": shape_text(case.shape), "elements": math.prod(case.shape)}


def _spec(rows: list[dict[str, Any]], rates: Iterable[float], drawn: tuple[Symbol, ...]) -> dict[str, Any]:
    low, high = decades(rates)
    numbers = [str(i) for i in range(len(drawn))]
    text = {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 11, "titleFontSize": 11}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": rows},
        "background": None,
        "width": 230,
        "height": {"step": 26},
        "mark": {"type": "point", "filled": True, "size": 64, "opacity": 0.9},
        "encoding": {
            "x": {
                "field": "rate",
                "type": "quantitative",
                "scale": {"type": "log", "domain": [10.0**low, 10.0**high], "nice": False},
                "axis": {
                    "values": [10.0**k for k in range(low, high + 1)],
                    "format": "~g",
                    "labelFlush": False,
                    "title": "GB/s",
                },
            },
            "y": {"field": "shape", "type": "nominal", "sort": {"field": "elements"}, "title": None},
            "color": _channel(numbers, [symbol.color for symbol in drawn]),
            "shape": _channel(numbers, [symbol.path for symbol in drawn]),
        },
        "config": {
            "aria": False,  # the page has every number in a table, and a caption
            "font": "inherit",
            "view": {"stroke": None},
            "axis": {
                **text,
                "titleFontWeight": "normal",
                "grid": True,
                "gridColor": "currentColor",
                "gridOpacity": 0.15,
                "domain": False,
                "ticks": False,
                "labelPadding": 8,
            },
        },
    }


def _channel(domain: list[str], range_: list[str]) -> dict[str, Any]:
    return {
        "field": "implementation",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": domain, "range": range_},
    }


def decades(values: Iterable[float]) -> tuple[int, int]:
    """The powers of ten around positive numbers: (-1, 2) for 0.2 and 35."""
    logs = [math.log10(value) for value in values]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    return low, max(high, low + 1)
