"""The indices of one run's quantities, each made once, when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from bnbench.blocks import to_blocks
from bnbench.diagnose import layouts
from bnbench.diagnose.index import Index, Sum, build
from bnbench.diagnose.layouts import Form, axes_of, form
from bnbench.diagnose.quantities import Known, Quantities
from bnbench.model import Array

RUNS = 16
"""Runs whose indices are kept. Quantities are compared by identity, so that a new run has a new index."""


@lru_cache(maxsize=RUNS)
def forms_index(quantities: Quantities) -> Index:
    """The index of the quantities themselves, with the unfinished states of their sums."""
    forms = [known_form for known in quantities.known for known_form in forms_of(known, quantities)]
    sums = [
        _states(known, known.terms, quantities)
        for known in quantities.known
        if known.terms is not None and known.wide.any()
    ]
    return build(forms, sums)


def forms_of(known: Known, quantities: Quantities) -> Iterator[Form]:
    """The natural form, and those in which it may be repeated without being constant along an axis."""
    sizes, axes = axes_of(quantities.inputs)
    shape = quantities.inputs.x.shape
    if known.extent == "element":
        yield form(known.name, known.values, sizes, axes)
        if len(shape) > 2 and np.ptp(known.wide[0, 0]) == 0:
            per_row_channel = known.wide.reshape(*shape[:2], -1)[:, :, 0]
            yield form(known.name, per_row_channel, shape[:2], ("N", "C"))
        return
    names = {"channel": ("C",), "block": ("N", "G" if axes[1] == "G" else "C"), "number": ()}[known.extent]
    natural = form(known.name, known.values, known.values.shape, names[: known.values.ndim])
    yield natural
    if known.extent == "block" and axes[1] == "G":
        per_row_channel = known.wide.reshape(*shape[:2], -1)[:, :, 0]
        yield form(known.name, per_row_channel, shape[:2], ("N", "C"), layouts.BROADCAST)
    if known.extent != "number":
        yield form(known.name, known.wide, sizes, axes, layouts.BROADCAST)


def _states(known: Known, summands: Array, quantities: Quantities) -> Sum:
    norm, groups = quantities.inputs.options.norm, quantities.inputs.options.groups
    of_channel = known.extent == "channel"
    terms = to_blocks(summands, "batch" if of_channel else norm, groups)
    states = np.cumsum(terms, axis=1).T
    return Sum(known.name, states, float(np.abs(states).max()))
