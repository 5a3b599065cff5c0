"""False alarms, looked for: correct implementations over twelve decades of scale, every essential check.

A verdict in units of measured noise is worth what its false alarms are. Here the essential checks run on
the registered implementations over a grid of conditions far wider than that of ``bnbench check``: both
dtypes, several shapes, mean / sd up to 1e6 in float64 and 1e3 in float32, sd from 1e-6 to 1e6, variances at
eps, and eps from 1e-8 to 1e-3, each with five seeds. Whatever does not pass is listed, never dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from bnbench.checks import ESSENTIAL
from bnbench.model import Broken, Case, Finding, Norm, Status
from bnbench.registry import Registry
from bnbench.runner import execute, load, plan
from bnbench.tolerances import NOISE

if TYPE_CHECKING:
    from rich.console import RenderableType

Progress: TypeAlias = Callable[[int, int, str], None]
"""``progress(done, total, doing)``."""

SEEDS = 5
TIER_A = {"BN301": "dx", "BN302": "dgamma", "BN303": "dbeta"}
"""The checks whose error is z."""

SCALES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "float64": (
        (0, 1, 1e-5),
        (0, 1, 1e-3),
        (0, 1, 1e-8),
        (12, 5, 1e-5),
        (1e2, 1, 1e-5),
        (1e4, 1, 1e-5),
        (1e6, 1, 1e-5),
        (0, 1e-6, 1e-5),
        (0, 3e-3, 1e-5),
        (1, 1e-6, 1e-12),
        (0, 1e6, 1e-5),
        (1e12, 1e6, 1e-5),
    ),
    "float32": (
        (0, 1, 1e-5),
        (0, 1, 1e-3),
        (12, 5, 1e-5),
        (1e2, 1, 1e-5),
        (1e3, 1, 1e-5),
        (0, 1e-6, 1e-5),
        (0, 3e-3, 1e-5),
        (0, 1e6, 1e-5),
        (1e9, 1e6, 1e-5),
    ),
}
"""Mean, sd and eps."""

SHAPES: dict[Norm, tuple[tuple[int, ...], ...]] = {
    "batch": ((3, 8), (4, 5), (17, 3, 2), (65, 32)),
    "layer": ((8, 3), (5, 4), (3, 17, 2), (32, 65)),
    "rms": ((8, 3), (5, 4), (3, 17, 2), (32, 65)),
    "group": ((8, 6), (4, 8, 3), (16, 32, 4)),
    "instance": ((4, 2, 3), (2, 3, 4, 3), (8, 16, 64)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """Everything but shape and seed: one line of the table."""

    norm: Norm
    dtype: str
    mean: float
    sd: float
    eps: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What the implementations of one norm reached under one condition, over shapes, modes and seeds."""

    condition: Condition
    z: tuple[float, float, float]
    """The largest z of dx, dgamma and dbeta; the limit is NOISE.limit."""
    margin: float
    """The largest error / limit of the other essential checks that have a limit above 0."""
    findings: int
    alarms: int
    """How many of the findings did not pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The whole grid."""

    implementations: tuple[str, ...]
    unavailable: tuple[str, ...]
    broken: tuple[Broken, ...]
    lines: tuple[Line, ...]
    alarms: tuple[Finding, ...]
    """What did not pass: of correct implementations, false alarms."""

    @property
    def conditions(self) -> int:
        """Combinations of norm, dtype, scale, eps and shape."""
        return sum(len(SHAPES[line.condition.norm]) for line in self.lines)

    @property
    def findings(self) -> int:
        return sum(line.findings for line in self.lines)

    @property
    def z(self) -> tuple[float, float, float]:
        """The largest z of dx, dgamma and dbeta over all lines."""
        dx, dgamma, dbeta = (max((line.z[i] for line in self.lines), default=0.0) for i in range(3))
        return dx, dgamma, dbeta


def conditions(norms: Iterable[Norm]) -> tuple[Condition, ...]:
    """Every condition of these norms."""
    return tuple(
        Condition(norm=norm, dtype=dtype, mean=mean, sd=sd, eps=eps)
        for norm in norms
        for dtype, scales in SCALES.items()
        for mean, sd, eps in scales
    )


def cases_of(condition: Condition, *, seeds: int = SEEDS) -> Iterator[Case]:
    """The cases of a condition: shapes, modes and seeds."""
    for shape in SHAPES[condition.norm]:
        for training in (True, False) if condition.norm == "batch" else (True,):
            for seed in range(seeds):
                yield Case(
                    shape=shape,
                    dtype=condition.dtype,
                    training=training,
                    norm=condition.norm,
                    groups=2 if condition.norm == "group" else 1,
                    mean=condition.mean,
                    sd=condition.sd,
                    eps=condition.eps,
                    seed=seed,
                )


def calibrate(
    registry: Registry, names: Iterable[str] = (), progress: Progress | None = None, *, seeds: int = SEEDS
) -> Calibration:
    """Run the essential checks of these implementations (all of them if none) over the whole grid.

    Raises UnknownImplementationError. What is unavailable or broken is listed, and the rest is run.
    """
    loaded = load(registry.select(names))
    norms = tuple(dict.fromkeys(subject.capabilities.norm for subject in loaded.subjects))
    todo = conditions(norms)
    lines, alarms = [], []
    for done, condition in enumerate(todo):
        if progress:
            progress(done, len(todo), label(condition))
        tasks = plan(loaded.subjects, tuple(cases_of(condition, seeds=seeds)), ESSENTIAL)
        findings = [f for f in execute(tasks, loaded.subjects) if f.status is not Status.SKIPPED]
        wrong = [f for f in findings if f.status is not Status.PASSED]
        alarms += wrong
        if findings:
            lines.append(_line(condition, findings, len(wrong)))
    return Calibration(
        implementations=tuple(subject.name for subject in loaded.subjects),
        unavailable=tuple(info.name for info in loaded.infos if not info.available),
        broken=(*registry.broken, *loaded.broken),
        lines=tuple(lines),
        alarms=tuple(alarms),
    )


def _line(condition: Condition, findings: Iterable[Finding], alarms: int) -> Line:
    z = dict.fromkeys(TIER_A, 0.0)
    margin, count = 0.0, 0
    for finding in findings:
        count += 1
        for comparison in finding.comparisons:
            # NaN counts as the largest: the runner fails it.
            if finding.check in z:
                z[finding.check] = _larger(z[finding.check], comparison.error)
            elif comparison.limit > 0:
                margin = _larger(margin, comparison.error / comparison.limit)
    dx, dgamma, dbeta = (z[code] for code in TIER_A)
    return Line(condition=condition, z=(dx, dgamma, dbeta), margin=margin, findings=count, alarms=alarms)


def _larger(a: float, b: float) -> float:
    """The larger of two, NaN being larger than anything."""
    return math.inf if math.isnan(b) else max(a, b)


def label(condition: Condition) -> str:
    """A condition as the table prints it: norm, dtype, and what differs from mean 0, sd 1 and eps 1e-5."""
    defaults = {"mean": 0.0, "sd": 1.0, "eps": 1e-5}
    values = {name: getattr(condition, name) for name in defaults}
    extras = [f"{name}={value:g}" for name, value in values.items() if value != defaults[name]]
    return " ".join([condition.norm, condition.dtype, *extras])


def calibration_table(calibration: Calibration) -> RenderableType:
    """The calibration for a terminal of 80 columns: what was found, every condition, every alarm."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    alarms = len(calibration.alarms)
    parts: list[RenderableType] = [
        Text(
            f"{alarms or 'No'} false alarm{'' if alarms == 1 else 's'} in {calibration.findings} findings",
            style="bold red" if alarms else "bold",
        ),
        Text(f"{calibration.conditions} conditions, {len(calibration.implementations)} implementations"),
        Text(
            "largest z: " + ", ".join(f"{name} {z:.3g}" for name, z in zip(TIER_A.values(), calibration.z, strict=True))
        ),
        Text(f"limit {NOISE.limit:g}; the last column but one is error / limit of the other checks", style="dim"),
        Text(""),
    ]
    table = Table("condition", box=None, pad_edge=False, header_style="dim")
    for column in ("z dx", "z dgamma", "z dbeta", "others", "alarms"):
        table.add_column(column, justify="right")
    for line in calibration.lines:
        cells = [f"{value:.3g}" for value in (*line.z, line.margin)]
        table.add_row(label(line.condition), *cells, str(line.alarms), style="bold red" if line.alarms else "")
    parts.append(table)
    parts += [Text(f"{f.implementation} {f.check} {f.case}: {f.reason}", style="red") for f in calibration.alarms]
    parts += [Text(f"not measured, unavailable: {name}", style="yellow") for name in calibration.unavailable]
    parts += [Text(f"broken {b.source}: {b.error}", style="bold red") for b in calibration.broken]
    return Group(*parts)
