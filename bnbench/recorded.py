"""What asv recorded, commit by commit: the records that :mod:`bnbench.history` reads into."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedRow:
    """What is recorded: one benchmark of one implementation on one case."""

    benchmark: str
    implementation: str
    case: str
    unit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What one commit has for a row."""

    value: float
    """NaN where it was skipped, or is not a number."""
    failed: bool = False
    processes: tuple[float, ...] = ()
    """The fastest sample of each process; empty where no samples are stored."""
    low: float = -math.inf
    high: float = math.inf
    """The stored interval of the value."""
    spread: float = math.nan
    """The standard deviation relative to the value, as the stored quartiles tell it."""
    version: str = ""
    """Of the benchmark's code; values of different versions can't be compared."""

    @property
    def measured(self) -> bool:
        """Whether there is a number: a NaN is a skip, or the error of an output that holds one."""
        return not self.failed and not math.isnan(self.value)

    @property
    def level(self) -> float:
        """What is shown: the median of the processes, where they are stored; else the value."""
        return statistics.median(self.processes) if self.processes else self.value

    @property
    def range(self) -> tuple[float, float]:
        """Of the processes, where they are stored; else the stored interval, where there is one."""
        if self.processes:
            return min(self.processes), max(self.processes)
        return (self.low, self.high) if 0 < self.low <= self.high < math.inf else (self.value, self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """A commit that was measured."""

    name: str
    """Its full hash."""
    date: int
    """Seconds since 1970, UTC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Everything that one machine and one environment recorded, the oldest commit first."""

    machine: str
    environment: str
    commits: tuple[Commit, ...]
    rows: Mapping[RecordedRow, tuple[Point | None, ...]] = field(hash=False)
    """A point for each commit; None where there is none."""
