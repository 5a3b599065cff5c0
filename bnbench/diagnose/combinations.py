"""Two quantities in one value: their product, quotient, sum or difference, element by element."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bnbench.blocks import to_blocks
from bnbench.diagnose.factors import factor_values, factors
from bnbench.diagnose.layouts import RESHAPED, SAME, TOLERANCE, TRANSPOSED, axes_of, collapsed, merges, transposes
from bnbench.diagnose.quantities import Quantities
from bnbench.diagnose.variants import Kind
from bnbench.model import Array

Combination: TypeAlias = tuple[str, Kind, str, str]
"""Quantity, kind, detail, layout."""

SUMS = {
    "y": ("scaled", "beta"),
    "dy - mean(dy) - x_hat mean(dy x_hat)": ("dy", "mean(dy)", "x_hat mean(dy x_hat)"),
    "M dy - sum(dy) - x_hat sum(dy x_hat)": ("M dy", "sum(dy)", "x_hat sum(dy x_hat)"),
    "dx_hat - mean(dx_hat) - x_hat mean(dx_hat x_hat)": ("dx_hat", "mean(dx_hat)", "x_hat mean(dx_hat x_hat)"),
    "M dx_hat - sum(dx_hat) - x_hat sum(dx_hat x_hat)": ("M dx_hat", "sum(dx_hat)", "x_hat sum(dx_hat x_hat)"),
    "dxc": ("dxc (through x_hat)", "dxc (through sq)"),
    "dx": ("dxc (through x_hat)", "dxc (through sq)", "dx (through mu)"),
}
"""Sums, each with the terms that may carry a slip."""

SUBTRACTED = tuple(part for whole, parts in SUMS.items() if " - " in whole for part in parts[1:])

CHANNEL_FACTORS = ("gamma", "sd", "inverse_sd", "var", "inverse_sd^2")

TERM_TOLERANCE = 1e-9
"""Of the factor of a term: the term may be smaller than the sum it was taken from."""

MOST_TRANSPOSES = 24
MOST_ELEMENTS = 64
"""A single number is tried at every element of x only on small ones."""


class Stack(NamedTuple):
    """Quantities that are not zero, ``(K, x.size)``, by name; ``simple`` marks the nodes and parts."""

    names: tuple[str, ...]
    rows: Array
    simple: npt.NDArray[np.bool_]


@lru_cache(maxsize=16)
def stacked(quantities: Quantities) -> Stack:
    size = quantities.inputs.x.size
    known = [known for known in quantities.known if known.values.any() and known.extent != "number"]
    rows = [np.broadcast_to(quantity.wide, quantities.inputs.x.shape).reshape(size) for quantity in known]
    simple = [quantity.role in ("node", "part") for quantity in known]
    for name in ("eps", "1"):
        known.append(quantities[name])
        rows.append(np.full(size, float(quantities[name].values)))
        simple.append(True)
    return Stack(tuple(quantity.name for quantity in known), np.array(rows), np.array(simple))


def combined(value: Array, quantities: Quantities) -> Iterator[Combination]:
    """What two quantities make this value, one of them at least a node, a part, eps or 1."""
    if not value.any() or not np.isfinite(value).all():
        return
    core = collapsed(value)
    stack = stacked(quantities)
    for alignments in (_whole(value, core, quantities), _slices(core, quantities)):
        found = False
        for layout, places in alignments:
            flat = value.ravel() if len(places) == value.size else core.ravel()
            terms = _terms(flat, quantities, places) if len(places) > 1 else ()  # one number is a multiple of any
            for quantity, kind, detail in (*terms, *_pairs(flat, stack, places)):
                found = True
                yield quantity, kind, detail, layout
        if found:
            return


def _whole(value: Array, core: Array, quantities: Quantities) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
    """Where in x each element of the value belongs, if it has one for each element, channel or block of x."""
    inputs = quantities.inputs
    shape, size = inputs.x.shape, inputs.x.size
    places = np.arange(size).reshape(shape)
    if value.shape == shape:
        yield SAME, places.ravel()
    elif value.size == size:
        sizes, _ = axes_of(inputs)
        orders, flats = transposes(sizes)
        fitting = [k for k, order in enumerate(orders) if merges(value.shape, tuple(sizes[a] for a in order))]
        for k in fitting[:MOST_TRANSPOSES]:
            yield (TRANSPOSED if k else RESHAPED), flats[k]
    channels = places[0].reshape(shape[1], -1)[:, 0]
    if core.shape == channels.shape:
        yield SAME, channels
    blocks = to_blocks(places, inputs.options.norm, inputs.options.groups)[:, 0]
    if core.size == len(blocks) and len(blocks) > 1 and (core.ndim > 1 or len(blocks) != len(channels)):
        yield SAME, blocks


def _slices(core: Array, quantities: Quantities) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
    """The same for a row or a channel of x and, where x is small, a single element."""
    shape, size = quantities.inputs.x.shape, quantities.inputs.x.size
    places = np.arange(size).reshape(shape)
    squeezed = tuple(length for length in core.shape if length > 1)
    for axis, words in ((0, "row by row"), (1, "channel by channel")):
        rest = tuple(length for length in shape[:axis] + shape[axis + 1 :] if length > 1)
        if squeezed == rest:
            for k in range(shape[axis]):
                yield words, places.take(k, axis).ravel()
    if core.size == 1 and size <= MOST_ELEMENTS:
        for place in range(size):
            yield "element by element", np.array([place])


def _terms(flat: Array, quantities: Quantities, places: npt.NDArray[np.intp]) -> Iterator[tuple[str, Kind, str]]:
    """Sums one term of which has a factor: a named number, or a quantity with a value for each channel or block."""
    size = quantities.inputs.x.size

    def values(name: str) -> Array:
        wide: Array = np.broadcast_to(quantities[name].wide, quantities.inputs.x.shape).reshape(size)[places]
        return wide

    others = {name: values(name) for name in CHANNEL_FACTORS}
    others |= {f"1/{name}": 1 / other for name, other in others.items()}
    for whole, parts in SUMS.items():
        if whole not in quantities or any(part not in quantities for part in parts):
            continue
        right = values(whole)
        for part in parts:
            term = values(part) * (-1 if part in SUBTRACTED else 1)
            rest = flat - (right - term)
            scale = max(np.abs(right).max(), np.abs(term).max(), np.abs(flat).max())
            for factor in _ratio_names(rest, term, scale, quantities):
                yield whole, "term", f"with {factor} x {part}"
            for name, other in others.items():
                if _equal(rest, term * other, scale):
                    yield whole, "term", f"with {name} x {part}"


def _ratio_names(rest: Array, term: Array, scale: float, quantities: Quantities) -> list[str]:
    """The named numbers that turn the term into the rest."""
    largest = np.abs(term).argmax()
    ratio = rest[largest] / term[largest]
    if not _equal(rest, ratio * term, scale):
        return []
    named = factors(quantities)
    numbers = factor_values(quantities)
    return [named[k].name for k in np.flatnonzero(np.abs(numbers - ratio) <= TERM_TOLERANCE * np.abs(numbers))]


def _pairs(flat: Array, stack: Stack, places: npt.NDArray[np.intp]) -> Iterator[tuple[str, Kind, str]]:
    """Pairs (a, b) whose product, quotient, sum or difference is this value. Two elements choose, all confirm."""
    rows = stack.rows[:, places]
    chosen = np.argsort(-np.abs(flat))[:2]
    simple = np.flatnonzero(stack.simple)
    a, b = rows[:, np.newaxis, chosen], rows[np.newaxis, simple][:, :, chosen]
    for sign, words in ((1, ""), (-1, ", negative")):
        for i, j in _agreeing(sign * a * b, flat[chosen], np.abs(flat[chosen])):
            if stack.simple[i] and i < simple[j]:
                continue  # the other order, with the later node first, says the same
            if _equal(sign * rows[i] * rows[simple[j]], flat, np.abs(flat).max()):
                yield stack.names[i], "product", f"times {stack.names[simple[j]]}{words}"
        for i, j in _agreeing(sign * a / b, flat[chosen], np.abs(flat[chosen])):
            if _equal(sign * rows[i] / rows[simple[j]], flat, np.abs(flat).max()):
                yield stack.names[i], "product", f"divided by {stack.names[simple[j]]}{words}"
    for sign, word in ((1, "+"), (-1, "-")):
        scale = np.maximum(np.abs(a), np.abs(b))
        for i, j in _agreeing(a + sign * b, flat[chosen], scale):
            one, other = rows[i], rows[simple[j]]
            if _equal(one + sign * other, flat, max(np.abs(one).max(), np.abs(other).max())):
                yield stack.names[i], "shifted", f"{word} {stack.names[simple[j]]}"


def _agreeing(candidates: Array, chosen: Array, scale: Array) -> npt.NDArray[np.intp]:
    """The pairs that agree with the chosen elements; ``candidates`` is ``(K, K', 2)``."""
    return np.argwhere((np.abs(candidates - chosen) <= TOLERANCE * scale).all(axis=-1))


def _equal(one: Array, other: Array, scale: float) -> bool:
    return bool((np.abs(one - other) <= TOLERANCE * scale).all())
