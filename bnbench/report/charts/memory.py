"""GB/s of the fused kernels and torch's over size, below the ceiling that the memory alone was measured to have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bnbench.cases import shape_text
from bnbench.report.charts.chart import Chart
from bnbench.report.charts.rows import drawable, geometric_mean
from bnbench.report.charts.size import KINDS, RATE, size_spec
from bnbench.report.roofline import OPERATIONS, Roofline, RooflineRow
from bnbench.report.words import duration, three_digits, visible

MEMORY = ("plain", "streamed")
"""What only moves the bytes; the faster of them is the ceiling."""


def memory_charts(found: Roofline) -> Iterator[tuple[str, int, Chart]]:
    """Dtype, number of threads and the chart: a panel for each operation."""
    for dtype, threads in dict.fromkeys((row.dtype, row.threads) for row in found.rows):
        rows = [row for row in found.rows if (row.dtype, row.threads) == (dtype, threads)]
        points = [point for row in rows for point in _points(row)]
        if points:
            noun = "thread" if threads == 1 else "threads"
            yield (
                dtype,
                threads,
                Chart(
                    name=f"memory_{visible(dtype)}_{threads}",
                    title=f"Throughput below the memory's, {visible(dtype)}, {threads} {noun}",
                    finding=_finding(rows),
                    spec=size_spec(points, RATE, ceiling=[point for row in rows for point in _ceiling(row)]),
                ),
            )


def _finding(rows: Sequence[RooflineRow]) -> str:
    fractions = [row.fraction.median for row in rows if drawable(row.fraction.median)]
    if not fractions:
        return "No fraction of the memory's speed was measured."
    return (
        f"c_fused reaches {geometric_mean(fractions):.0%} of the speed of the memory alone (dotted) in the geometric "
        f"mean, from {min(fractions):.0%} to {max(fractions):.0%}."
    )


def _points(row: RooflineRow) -> Iterator[dict[str, Any]]:
    for name, seconds in row.seconds.items():
        if name not in MEMORY and drawable(seconds):
            said = f"{duration(seconds)}, {three_digits(_rate(row, seconds))} GB/s"
            place = _place(row, seconds)
            about = f"{visible(name)}; {place['shape']}, {visible(row.dtype)}; {said}"
            yield {**place, "implementation": visible(name), "tooltip": said, "about": about}


def _ceiling(row: RooflineRow) -> Iterator[dict[str, Any]]:
    best = min((row.seconds[name] for name in MEMORY if drawable(row.seconds.get(name, math.nan))), default=math.nan)
    if drawable(best):
        yield _place(row, best)


def _place(row: RooflineRow, seconds: float) -> dict[str, Any]:
    return {
        "panel": OPERATIONS.get(row.operation, row.operation),
        "dtype": visible(row.dtype),
        "shape": shape_text(row.shape),
        "elements": math.prod(row.shape),
        "kind": KINDS[len(row.shape) > 2],
        "rate": _rate(row, seconds),
    }


def _rate(row: RooflineRow, seconds: float) -> float:
    """GB/s of what the memory alone moves too: two arrays forward, three backward."""
    arrays = 3 if row.operation == "backward" else 2
    return arrays * math.prod(row.shape) * np.dtype(row.dtype).itemsize / seconds / 1e9
