"""What verifying costs as the data grows, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bnbench.model import Environment
from bnbench.report.markdown import table
from bnbench.report.words import duration

METHOD = """\
Made by `bnbench scale --output reports/sample`; float64, train mode, one thread, processor time. The first table is
all checks of `bnbench check` on one case, each row in a fresh process; the peak is what its resident memory grew by,
in sizes of x. The second is every element of dx by differences of the forward: element by element, as the courses'
loop does it, or one position of all channels at a time, since channels do not see each other. All take turns in one
process; the fastest of five counts, and the loop runs once. The error is that of the numbers, the largest over the
largest |dx|."""
TARGETS = {(64, 128): 100, (128, 512): 400}
"""How many times faster than the textbook loop a compressed dx is meant to be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleRow:
    """All checks on one case."""

    implementation: str
    shape: tuple[int, ...]
    checks: int
    """So many ran."""
    passed: bool
    evaluations: int
    """Calls of the forward."""
    seconds: float
    peak: float
    """Memory, in sizes of x."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """One way to see dx numerically."""

    name: str
    seconds: float
    evaluations: int
    """Calls of the forward."""
    error: float | None
    """Largest error over the largest |dx|; None for a verdict without numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DxRow:
    """All ways for one implementation and shape, the textbook loop first."""

    implementation: str
    shape: tuple[int, ...]
    methods: tuple[Method, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Both tables."""

    environment: Environment
    rows: tuple[ScaleRow, ...] = ()
    dx: tuple[DxRow, ...] = ()


def scale_markdown(found: Scale) -> str:
    """The whole page."""
    environment = found.environment
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    parts = [
        "# The cost of verifying",
        f"{environment.created}. {environment.cpu}, {environment.cores} cores, {environment.platform}.",
        f"bnbench {environment.bnbench}, Python {environment.python}, {versions}.",
        METHOD,
    ]
    if found.rows:
        head = ("implementation", "x", "elements", "checks", "forward calls", "time", "ns per element", "peak / x")
        parts += ["## All checks on one case", table(head, map(_scale_cells, found.rows))]
    if found.dx:
        ways = ("implementation", "x", "method", "forward calls", "time", "faster than the loop", "error")
        parts += ["## Every element of dx", table(ways, (line for row in found.dx for line in _dx_cells(row)), left=3)]
        parts += list(_targets(found.dx))
    return "\n\n".join(parts) + "\n"


def _scale_cells(row: ScaleRow) -> tuple[str, ...]:
    size = math.prod(row.shape)
    checks = f"{row.checks} passed" if row.passed else f"{row.checks}, not all passed"
    return (
        row.implementation,
        "x".join(map(str, row.shape)),
        f"{size:,}",
        checks,
        str(row.evaluations),
        duration(row.seconds),
        f"{row.seconds / size * 1e9:,.0f}",
        f"{row.peak:.1f}",
    )


def _dx_cells(row: DxRow) -> Iterator[tuple[str, ...]]:
    loop = row.methods[0]
    for method in row.methods:
        yield (
            row.implementation,
            "x".join(map(str, row.shape)),
            method.name,
            f"{method.evaluations:,}",
            duration(method.seconds),
            "" if method is loop else f"{loop.seconds / method.seconds:,.0f}x",
            "" if method.error is None else f"{method.error:.1e}",
        )


def _targets(rows: Sequence[DxRow]) -> Iterator[str]:
    for shape, target in TARGETS.items():
        ratios = {r.implementation: r.methods[0].seconds / r.methods[1].seconds for r in rows if r.shape == shape}
        if ratios:
            said = ", ".join(f"{name} {ratio:.0f}x" for name, ratio in ratios.items())
            met = "met" if all(ratio >= target for ratio in ratios.values()) else "not met by all"
            yield f"Compressed with central differences at {shape}: {said}; the target of {target}x is {met}."
