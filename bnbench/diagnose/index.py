"""Finding, among many known arrays, those that a value shows: one sorted table of all their elements.

The largest element of a value is looked up; only the few forms that contain it are compared. So the cost does
not grow with the number of quantities, and every layout is found by the same search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bnbench.diagnose import layouts
from bnbench.diagnose.layouts import TOLERANCE, Form
from bnbench.model import Array


class Sum(NamedTuple):
    """The unfinished states of a sum: ``states`` ``(k, n)`` after 0, 1, ... k-1 of its terms, and at the end."""

    label: Any
    states: Array
    scale: float


class Seen(NamedTuple):
    """A value shows what has this label, in this layout."""

    label: Any
    layout: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """The forms and sums, and all their elements in order of size."""

    forms: tuple[Form, ...]
    sums: tuple[Sum, ...]
    elements: Array
    owners: npt.NDArray[np.intp]
    """For each element its form; counted on from the last form, its sum."""
    places: npt.NDArray[np.intp]
    """For each element its place in that form."""


def build(forms: Sequence[Form], sums: Sequence[Sum] = ()) -> Index:
    """The index of these forms and sums. Forms that are zero throughout can't be looked up and are left out."""
    forms = tuple(known for known in forms if known.scale > 0)
    arrays = [known.flat for known in forms] + [known.states.ravel() for known in sums]
    elements = np.concatenate(arrays) if arrays else np.zeros(0)
    lengths = [len(array) for array in arrays]
    owners = np.repeat(np.arange(len(arrays)), lengths)
    places = np.concatenate([np.arange(length) for length in lengths]) if arrays else np.zeros(0, int)
    order = np.argsort(elements)
    return Index(forms=forms, sums=tuple(sums), elements=elements[order], owners=owners[order], places=places[order])


def find(index: Index, value: Array) -> list[Seen]:
    """What the value, not empty and without infinities, shows: every layout. Zeros show nothing.

    Elements that are NaN or zero while others are not count as not yet filled in.
    """
    blank = np.isnan(value) | (value == 0)
    if blank.all():
        return []
    filled = ~blank.ravel() if blank.any() else None
    core = np.where(blank, 0.0, value) if filled is not None else layouts.collapsed(value)
    flat = core.ravel()
    pivot = int(np.abs(flat).argmax())
    window = 2 * TOLERANCE * abs(flat[pivot])
    hits = slice(*np.searchsorted(index.elements, (flat[pivot] - window, flat[pivot] + window)))
    places = dict(zip(index.owners[hits].tolist(), index.places[hits].tolist(), strict=True))
    seen: dict[Seen, None] = {}
    for owner, place in places.items():
        if owner < len(index.forms):
            known = index.forms[owner]
            for layout in _layouts(value, core, flat, pivot, filled, known, place):
                seen[Seen(known.label, layout)] = None
        elif _is_state(index.sums[owner - len(index.forms)], flat):
            seen[Seen(index.sums[owner - len(index.forms)].label, layouts.PARTIAL_SUM)] = None
    return list(seen)


def _layouts(
    value: Array,
    core: Array,
    flat: Array,
    pivot: int,
    filled: npt.NDArray[np.bool_] | None,
    known: Form,
    place: int,
) -> Iterator[str]:
    """The layouts in which the value shows this form, of which it shares the element ``place``."""
    layout = layouts.whole(core.shape, flat, pivot, known, filled)
    if filled is not None:
        if layout is not None:
            yield layouts.PARTLY
    elif layout in (layouts.SAME, layouts.RESHAPED) and (known.layout or value.size > known.flat.size):
        yield layouts.BROADCAST
    elif layout is not None:
        yield layout
    elif flat.size < known.flat.size and known.layout == layouts.SAME:
        yield from layouts.slices(flat, pivot, known, place)
    elif flat.size == known.flat.size and _same_multiset(flat, known):
        yield layouts.ORDER


def _same_multiset(flat: Array, known: Form) -> bool:
    return bool((np.abs(np.sort(flat) - np.sort(known.flat)) <= TOLERANCE * known.scale).all())


def _is_state(unfinished: Sum, flat: Array) -> bool:
    """Whether the value is the sum underway: every element one of the states of its own sum."""
    states = unfinished.states
    if flat.size == 1:
        return True
    if flat.size != states.shape[1]:
        return False
    limit = TOLERANCE * unfinished.scale
    return bool(((np.abs(states - flat) <= limit).any(axis=0) | (flat == 0)).all())
