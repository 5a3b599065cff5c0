"""Near misses: values that are a known quantity but for one slip, in every run the same slip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.combinations import combined
from bnbench.diagnose.factors import COUNTS, factor_values, factors
from bnbench.diagnose.index import find
from bnbench.diagnose.layouts import ORDER, PARTIAL_SUM, TOLERANCE
from bnbench.diagnose.quantities import Quantities
from bnbench.diagnose.tables import forms_index
from bnbench.diagnose.variants import Kind, Variant, variants_index
from bnbench.model import Array

POWERS = {"-1": -1.0, "1/2": 0.5, "-1/2": -0.5, "2": 2.0, "-2": -2.0, "3": 3.0, "-3": -3.0, "3/2": 1.5, "-3/2": -1.5}

ROLES = ("node", "part", "piece", "constant")
KINDS: tuple[Kind, ...] = (
    "eps",
    "divisor",
    "state",
    "factor",
    "reduction",
    "operand",
    "power",
    "term",
    "product",
    "shifted",
)
"""Simplest explanation first, where two are equally true."""

MOST = 8
"""So many near misses are told; the first is the simplest."""


class Miss(NamedTuple):
    """A quantity with one slip, in a layout."""

    quantity: str
    node: Quantity | None
    kind: Kind
    detail: str
    layout: str


def misses(values: Sequence[Array], quantities: Sequence[Quantities]) -> list[Miss]:
    """The slips that explain the value in every run, simplest first."""
    found: list[Miss] = []
    for search in (_scaled, _varied, _raised, _combined):
        common: dict[Miss, None] | None = None
        for value, known in zip(values, quantities, strict=True):
            here = dict.fromkeys(search(value, known))
            common = here if common is None else {miss: None for miss in common if miss in here}
            if not common:
                break
        found += common or {}
    order = {known.name: place for place, known in enumerate(quantities[0])}
    constants = {known.name for known in quantities[0] if known.extent == "number"}
    found = [miss for miss in found if miss.quantity not in constants]
    ranked = sorted(
        found,
        key=lambda miss: (
            miss.layout in (PARTIAL_SUM, ORDER),
            miss.kind == "shifted",
            ROLES.index(quantities[0][miss.quantity].role),
            KINDS.index(miss.kind),
            _complexity(miss),
            order[miss.quantity],
        ),
    )
    told: dict[tuple[str, Kind, str], Miss] = {}
    for miss in ranked:
        told.setdefault((miss.quantity, miss.kind, miss.detail), miss)
    return list(told.values())[:MOST]


def _complexity(miss: Miss) -> int:
    """Fewer words are the better explanation, a name better than an expression."""
    return len(miss.detail.split()) + miss.detail.count("/") + len(miss.quantity.split())


def _scaled(value: Array, known: Quantities) -> Iterator[Miss]:
    """A constant times a quantity: the largest element, divided by every factor at once, is looked up."""
    index = forms_index(known)
    finite = value[np.isfinite(value)]
    if finite.size != value.size or not value.any():
        return
    pivot = finite[np.abs(finite).argmax()]
    named = factors(known)
    sought = pivot / factor_values(known)
    window = 2 * TOLERANCE * np.abs(sought)
    first = np.searchsorted(index.elements, sought - window)
    last = np.searchsorted(index.elements, sought + window)
    for position in np.flatnonzero(last > first):
        factor = named[position]
        for seen in find(index, value / factor.value):
            yield Miss(seen.label, known[seen.label].node, "factor", factor.name, seen.layout)


def _varied(value: Array, known: Quantities) -> Iterator[Miss]:
    """A known variant: of eps, of the divisor, of a reduction."""
    for label, layout in find(variants_index(known), value):
        variant: Variant = label
        yield Miss(variant.quantity, variant.node, variant.kind, variant.detail, layout)


def _raised(value: Array, known: Quantities) -> Iterator[Miss]:
    """A quantity to a wrong power, either sign: its root is looked up."""
    if not (np.isfinite(value) & (value != 0)).all():
        return
    index = forms_index(known)
    signs = np.unique(np.sign(value))
    for name, power in POWERS.items():
        odd = power % 2 == 1
        if len(signs) > 1 and not odd:
            continue
        root = np.sign(value) * np.abs(value) ** (1 / power) if odd else np.abs(value) ** (1 / power)
        for seen in find(index, root):
            detail = name if odd or signs[0] > 0 else f"{name}, negative"
            yield Miss(seen.label, known[seen.label].node, "power", detail, seen.layout)


def _combined(value: Array, known: Quantities) -> Iterator[Miss]:
    for quantity, kind, detail, layout in combined(value, known):
        yield Miss(quantity, known[quantity].node, kind, detail, layout)


def phrase(kind: Kind, quantity: str, detail: str) -> str:
    """Short words for a quantity with a slip, the layout aside."""
    match kind:
        case "exact" | "order":
            return quantity
        case "factor":
            return f"-{quantity}" if detail == "-1" else f"{detail} x {quantity}"
        case "power":
            return f"{quantity} to the power {detail}"
        case "state":
            return f"{quantity}: {detail}"
        case "reduction":
            return f"{quantity}, {detail}"
        case _:
            return f"{quantity} {detail}"


SLIPS: dict[Kind, Slip] = {
    "divisor": Slip.COUNT,
    "operand": Slip.OPERAND,
    "product": Slip.FACTOR,
    "shifted": Slip.TERM,
    "power": Slip.POWER,
    "eps": Slip.EPS,
    "state": Slip.STATE,
    "order": Slip.LAYOUT,
    "mode": Slip.MODE,
}


def slip_of(kind: Kind, detail: str) -> Slip | None:
    """The course's name for such a slip; None for an exact value."""
    if kind == "factor":
        if detail == "-1":
            return Slip.SIGN
        return Slip.COUNT if any(count in detail for count in COUNTS) else Slip.FACTOR
    if kind == "reduction":
        if "statistics of the batch" in detail:
            return Slip.MODE
        return Slip.COUNT if detail in ("sum instead of mean", "mean instead of sum") else Slip.REDUCTION
    if kind == "term":
        factor = detail.removeprefix("with ").split(" x ", maxsplit=1)[0]
        return Slip.TERM if factor == "0" else slip_of("factor", factor)
    return SLIPS.get(kind)
