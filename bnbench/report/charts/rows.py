"""The measurements of a report as rows of a chart's data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bnbench.cases import CaseError, parse_case, shape_text
from bnbench.model import Case, Measurement, Norm, Report
from bnbench.report.charts import style
from bnbench.report.words import visible

NORMS: Mapping[Norm, str] = {
    "batch": "Batch norm",
    "layer": "Layer norm",
    "group": "Group norm",
    "instance": "Instance norm",
    "rms": "RMS norm",
}
OPERATIONS = {"forward_train": "forward, train", "forward_eval": "forward, eval", "backward": "backward"}
"""Short, as headings of panels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """One measurement and the case that its id stands for."""

    case: Case
    measurement: Measurement

    @property
    def name(self) -> str:
        return visible(self.measurement.implementation)

    @property
    def shape(self) -> str:
        return shape_text(self.case.shape)

    @property
    def elements(self) -> int:
        return math.prod(self.case.shape)


def timed(report: Report) -> tuple[Timed, ...]:
    """The measurements whose case is one; the others stand in the tables."""
    return tuple(_timed(report.measurements))


def _timed(measurements: Iterable[Measurement]) -> Iterator[Timed]:
    for measurement in measurements:
        if case := parsed(measurement.case):
            yield Timed(case=case, measurement=measurement)


def parsed(case: str) -> Case | None:
    """The case of this id; None for another text."""
    try:
        return parse_case(case)
    except CaseError:
        return None


def operation_title(operation: str, norm: Norm) -> str:
    """``forward, train``; of a norm without modes ``forward``."""
    if norm != "batch" and operation == "forward_train":
        return "forward"
    return visible(OPERATIONS.get(operation, operation))


def drawable(*values: float) -> bool:
    """Whether a logarithmic axis has a place for all of them."""
    return all(0 < value < math.inf for value in values)


def log_axis(values: Iterable[float], *, room: float = 1.6) -> tuple[list[float], list[float]]:
    """Domain and ticks of a logarithmic axis: the positive numbers with ``room`` beside them.

    The ticks are powers of ten, seven at most, and where there are fewer than three, also 2 and 5.
    """
    logs = [math.log10(value) for value in values] or [0.0]
    low, high = min(logs) - math.log10(room), max(logs) + math.log10(room)
    if math.floor(high) - math.ceil(low) < 1:
        low, high = math.floor(low), math.floor(low) + math.ceil(high - math.floor(low))
    first, last = math.ceil(low), math.floor(high)
    every = math.ceil((last - first + 1) / 7)
    ticks = [10.0**k for k in range(first, last + 1, every)]
    if len(ticks) < 3:
        between = [mantissa * 10.0**k for k in range(first - 1, last + 1) for mantissa in (1, 2, 5)]
        ticks = [tick for tick in between if low <= math.log10(tick) <= high]
    return [10.0**low, 10.0**high], ticks


def complete(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Geometric means of those that have the most values: of fewer rows a mean is one of other things."""
    most = max(map(len, values.values()), default=0)
    return {name: geometric_mean(of) for name, of in values.items() if of and len(of) == most}


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers; nan of none."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def placed(value: float, least: float, most: float) -> float:
    """Where an error stands on an axis from ``least`` to ``most``: what is smaller, or no number, at its ends."""
    return most if not value <= most else max(value, least)


def implementation_axis(names: Iterable[str]) -> dict[str, Any]:
    """Implementations from top to bottom, in this order, a row each."""
    return {
        "field": "implementation",
        "type": "nominal",
        "scale": {"domain": list(dict.fromkeys(names))},
        "axis": {"title": None, "labelColor": style.INK, "labelFontSize": 11.5},
    }
