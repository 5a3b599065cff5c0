"""How exact is an implementation on the exact fixtures: mismatching elements and their size, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnbench.compare import in_units
from bnbench.fixtures import Kind, fixtures, named
from bnbench.model import Array, Subject
from bnbench.report.words import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

QUANTITIES = ("y", "running_mean", "running_var", "dx", "dgamma", "dbeta")
REASON = "a factor 1 / M or 1 / s in place of a division, an online variance, or terms folded together"


@dataclass(frozen=True, kw_only=True, slots=True)
class Exactness:
    """One cell of the table: an implementation, a dtype, a kind of fixture and a quantity."""

    implementation: str
    dtype: str
    kind: Kind
    quantity: str
    elements: int
    mismatches: int
    """Elements that are not equal to the exact value; 0.0 equals -0.0."""
    ulps: float
    """The largest error in rounding units (:mod:`bnbench.rounding`): ulps of the terms that were added."""


def mismatches(got: Array, expected: Array) -> int:
    """How many elements differ as numbers; all of them where the shapes differ."""
    return int(np.count_nonzero(~(got == expected))) if got.shape == expected.shape else expected.size


def measure(
    subjects: Iterable[Subject], *, kinds: Sequence[Kind] = ("plain", "any eps", "large mean")
) -> tuple[Exactness, ...]:
    """Run the train-mode fixtures of every dtype and rank that a subject declares.

    Raises whatever an implementation raises, and ValueError for an output of a wrong shape.
    """
    rows: list[Exactness] = []
    for subject in subjects:
        for dtype in subject.capabilities.dtypes:
            for kind in kinds:
                rows += _measured(subject, dtype, kind)
    return tuple(rows)


def _measured(subject: Subject, dtype: str, kind: Kind) -> list[Exactness]:
    declared = subject.capabilities
    found: dict[str, list[tuple[int, int, float]]] = {quantity: [] for quantity in QUANTITIES}
    for fixture in fixtures(declared.norm, dtype):
        if fixture.kind != kind or fixture.inputs.x.ndim not in declared.ranks:
            continue
        got = named(subject.kernel(fixture.inputs, fixture.dy))
        for quantity, expected in fixture.outputs(declared.running_var_ddof).items():
            error = float(in_units(got[quantity], expected, fixture.units[quantity]).max())
            found[quantity].append((expected.size, mismatches(got[quantity], expected), error))
    return [
        Exactness(
            implementation=subject.name,
            dtype=dtype,
            kind=kind,
            quantity=quantity,
            elements=sum(size for size, _, _ in cells),
            mismatches=sum(different for _, different, _ in cells),
            ulps=max(error for _, _, error in cells),
        )
        for quantity, cells in found.items()
        if cells
    ]


def exactness_table(rows: Sequence[Exactness]) -> RenderableType:
    """The rows for a terminal of 80 columns: mismatching elements of all, and in brackets the largest error in ulps."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, dtype in dict.fromkeys((row.implementation, row.dtype) for row in rows):
        own = {(r.kind, r.quantity): _cell(r) for r in rows if (r.implementation, r.dtype) == (name, dtype)}
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column(dtype, no_wrap=True)
        # A norm without state has no statistics.
        quantities = [quantity for quantity in QUANTITIES if any(known == quantity for _, known in own)]
        for quantity in quantities:
            table.add_column(quantity.replace("_", " "), justify="right", overflow="fold")
        for kind in dict.fromkeys(kind for kind, _ in own):
            table.add_row(kind, *(own.get((kind, quantity), "") for quantity in quantities))
        parts += [Text(visible(name), style="bold"), table, Text("")]
    if any(row.mismatches for row in rows):
        parts.append(Text(f"Where elements differ by a few ulps of the terms that were added, the reason is {REASON}."))
    return Group(*parts)


def _cell(row: Exactness) -> str:
    share = f"{row.mismatches} of {row.elements}"
    return f"{share} ({row.ulps:.2g} ulps)" if row.mismatches else share
