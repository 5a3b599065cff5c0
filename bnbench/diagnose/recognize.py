"""What a value of a foreign program is: the canonical quantity it shows, or nearly shows.

A value is recognized by what it is in *every* run: on the shapes and draws of
:mod:`bnbench.diagnose.probe_cases` no two quantities, and no two named factors, agree in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnbench.diagnose import layouts, near
from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.index import Seen, find
from bnbench.diagnose.quantities import Quantities
from bnbench.diagnose.tables import forms_index
from bnbench.diagnose.variants import Kind
from bnbench.model import Array

LAYOUTS = (layouts.SAME, layouts.RESHAPED, layouts.BROADCAST, layouts.TRANSPOSED)
"""The layouts that lose nothing, best first; slices follow, then what is unfinished, then another order."""
UNFINISHED = (layouts.PARTLY, layouts.PARTIAL_SUM, layouts.ORDER)
ROLES = ("node", "constant", "part", "piece")

ZERO = 1e-12
"""Below this in absolute value, on data of size 1, everything is the rounding of a zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognition:
    """What a value shows: a quantity, and how it deviates from it."""

    quantity: str
    """A name of :class:`bnbench.diagnose.quantities.Quantities`."""
    node: Quantity | None
    """The node of the graph that it is or belongs to; None for numbers."""
    layout: str = layouts.SAME
    kind: Kind = "exact"
    detail: str = ""
    """The factor, the reduction, the form of eps, ...; empty for an exact one."""

    @property
    def exact(self) -> bool:
        """Right values, in a layout that keeps track of which is which."""
        return self.kind == "exact"

    @property
    def slip(self) -> Slip | None:
        """The kind of mistake that such a deviation is; None for an exact one."""
        return near.slip_of(self.kind, self.detail)

    def words(self) -> str:
        """A short phrase: ``2 x dvar``, ``x_hat (transposed)``, ``dx_hat, row by row``, ``sd without eps``."""
        phrase = near.phrase(self.kind, self.quantity, self.detail)
        if not self.layout or self.layout == layouts.BROADCAST:
            return phrase
        if self.layout in (layouts.RESHAPED, layouts.TRANSPOSED):
            return f"{phrase} ({self.layout})"
        return f"{phrase}, {self.layout}"


def recognize(
    values: Sequence[Any], quantities: Sequence[Quantities], *, near_misses: bool = False
) -> tuple[Recognition, ...]:
    """What the same point of a program shows in every run, best first; empty when nothing is recognized.

    ``values[k]``, anything ``np.asarray`` takes, was seen in the run that ``quantities[k]`` belongs to; two runs
    or more. Right values are looked for first, in any layout; only with ``near_misses``, and only when there are
    none, values that a single slip explains. Integers are recognized as numbers only (N, C, ...), not as arrays.
    Never raises for a value that is no array of numbers: it is not recognized. Raises ValueError when values and
    quantities are not equally many, or fewer than two.
    """
    if len(values) != len(quantities) or len(values) < 2:
        raise ValueError(f"{len(values)} values of {len(quantities)} runs; two runs or more are compared")
    arrays = [_as_floats(value) for value in values]
    if any(array is None for array in arrays):
        return ()
    floats = [array for array in arrays if array is not None]
    exact = _exact(floats, quantities)
    return exact if exact or not near_misses else nearly(floats, quantities)


def nearly(values: Sequence[Array], quantities: Sequence[Quantities]) -> tuple[Recognition, ...]:
    """The right values that these are but for one slip, simplest first, whether they are right themselves or not."""
    return tuple(
        Recognition(
            quantity=miss.quantity,
            node=quantities[0][miss.quantity].node if miss.quantity in quantities[0] else miss.node,
            layout=miss.layout,
            kind=miss.kind,
            detail=miss.detail,
        )
        for miss in near.misses(values, quantities)
    )


def _as_floats(value: Any) -> npt.NDArray[np.float64] | None:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    if array.dtype.kind in "iu" and array.ndim:
        return None
    if array.dtype.kind not in "fiu" or not array.size or np.isinf(array).any():
        return None
    return array.astype(np.float64)


def _exact(values: Sequence[Array], quantities: Sequence[Quantities]) -> tuple[Recognition, ...]:
    common: dict[str, str] | None = None
    for value, known in zip(values, quantities, strict=True):
        seen = _best_layouts(_zeros(value, known) or find(forms_index(known), value))
        if common is None:
            common = seen
        else:
            merged = {name: _agreed(common[name], seen[name]) for name in common if name in seen}
            common = {name: layout for name, layout in merged.items() if layout is not None}
        if not common:
            return ()
    places = {known.name: place for place, known in enumerate(quantities[0])}
    recognitions = [
        Recognition(
            quantity=name,
            node=quantities[0][name].node,
            layout=layout,
            kind="order" if layout == layouts.ORDER else "exact",
        )
        for name, layout in (common or {}).items()
    ]
    recognitions.sort(
        key=lambda r: (_layout_rank(r.layout), ROLES.index(quantities[0][r.quantity].role), places[r.quantity])
    )
    return tuple(recognitions)


def _zeros(value: Array, known: Quantities) -> list[Seen]:
    """The quantities that are zero, for a value that is zero: the number only if it is so without rounding."""
    if not (np.abs(value) <= ZERO).all():
        return []
    names = [quantity.name for quantity in known if not quantity.values.any()]
    of_size = [Seen(name, layouts.SAME) for name in names if known[name].values.size == value.size > 1]
    number = [Seen("0", layouts.SAME if value.size == 1 else layouts.BROADCAST)] if not value.any() else []
    scalar = [Seen(name, "element by element") for name in names if known[name].values.size > value.size == 1]
    return number + of_size + scalar


def _best_layouts(seen: Sequence[Seen]) -> dict[str, str]:
    best: dict[str, str] = {}
    for name, layout in seen:
        if name not in best or _layout_rank(layout) < _layout_rank(best[name]):
            best[name] = layout
    return best


def _layout_rank(layout: str) -> int:
    if layout in LAYOUTS:
        return LAYOUTS.index(layout)
    return len(LAYOUTS) + (1 + UNFINISHED.index(layout) if layout in UNFINISHED else 0)


def _agreed(one: str, other: str) -> str | None:
    """The layout that both runs show; a sum may be finished in the run with fewer rows only."""
    if one == other:
        return one
    later = max(one, other, key=_layout_rank)
    if later in UNFINISHED[:2] or {one, other} <= {*LAYOUTS}:
        return later
    return None
