"""Every chart of a report: one Vega-Lite specification, drawn as SVG, PNG and an interactive page."""

from __future__ import annotations

from itertools import chain

from bnbench.model import Report
from bnbench.report.charts.backward_forward import backward_forward_charts
from bnbench.report.charts.chart import Chart
from bnbench.report.charts.heat_map import heat_maps
from bnbench.report.charts.relative_errors import relative_error_charts
from bnbench.report.charts.size import size_charts
from bnbench.report.charts.z_scores import z_charts


def charts(report: Report) -> tuple[Chart, ...]:
    """What can be drawn of a report, in the order in which it is read; nothing of an empty one."""
    return (*relative_error_charts(report), *z_charts(report), *timing_charts(report))


def timing_charts(report: Report) -> tuple[Chart, ...]:
    """Of the timings: who is faster, time and throughput over size, and what the backward costs."""
    return tuple(chain(heat_maps(report), size_charts(report), backward_forward_charts(report)))


__all__ = ["Chart", "charts", "relative_error_charts", "timing_charts", "z_charts"]
