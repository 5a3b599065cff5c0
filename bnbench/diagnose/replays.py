"""Proof by replay: the run again, with one value replaced by the right one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np

from bnbench.diagnose.factors import factors
from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.points import Point
from bnbench.diagnose.quantities import Known
from bnbench.diagnose.recognize import Recognition, nearly
from bnbench.model import Array


class Replayed(NamedTuple):
    """In place of what this point shows, ``known`` makes right every output that depends on it."""

    point: Point
    known: Known
    near: Recognition | None
    """How the point's values deviate from it, if that is one known slip."""


def replayed(
    inquiry: Inquiry,
    point: Point,
    *,
    roles: Collection[str] = ("node", "part"),
    names: Collection[str] | None = None,
    outputs: Collection[str] | None = None,
) -> Replayed | None:
    """The quantity that belongs where this point is.

    What it shows but for a slip is tried first, then every quantity of these ``roles``; with ``names`` only those.
    Right must become what depends on the point, or ``outputs``, and what is right must stay so. Of a place that is
    passed several times, in a loop, only a constant factor can be taken back. None also where
    :class:`bnbench.diagnose.attempts.Attempts` allows no more.
    """
    numbers = inquiry.values(point)[0].dtype.kind != "f"  # a counter: with another value a loop might not end
    if numbers or inquiry.reading.site(point).role == "argument":
        return None
    depending = inquiry.depending(point) if outputs is None else outputs
    if not depending:
        return None
    right = [name for name in inquiry.right[0] if name in depending or name not in inquiry.wrong]
    near = inquiry.near(point) if names is None else ()
    known = inquiry.reading.quantities[0]
    if len(inquiry.reading.by_site[point.site]) > 1:
        scaled = (miss for miss in near if miss.kind == "factor" and _unscales(inquiry, point, miss.detail, right))
        miss = next(scaled, None)
        return Replayed(point, known[miss.quantity], miss) if miss else None
    if names is None:
        roles = {*roles, "constant"} if inquiry.values(point)[0].size == 1 else roles  # eps, momentum
        names = [*(miss.quantity for miss in near), *(one.name for one in known if one.role in roles)]
    for name in dict.fromkeys(names):
        if name in known and _restores(inquiry, point, name, right):
            return Replayed(point, known[name], next((miss for miss in near if miss.quantity == name), None))
    return None


def deviations(inquiry: Inquiry, point: Point) -> tuple[Recognition, ...]:
    """Everything that the point shows but for one slip, even where it shows something right."""
    return nearly(inquiry.values(point), inquiry.reading.quantities)


def _restores(inquiry: Inquiry, point: Point, name: str, outputs: Iterable[str]) -> bool:
    layouts = [
        forms(quantities[name], value)
        for quantities, value in zip(inquiry.reading.quantities, inquiry.values(point), strict=True)
    ]
    for arrays in zip(*layouts, strict=False):
        for run, array in enumerate(arrays):
            if not inquiry.attempts.replay():
                return False
            trace = inquiry.program.trace(run, {point.events[run]: array})
            if trace.error is not None:
                break
            if not inquiry.repaired(run, inquiry.program.outputs(run, trace), outputs):
                break
        else:
            return True
    return False


def _unscales(inquiry: Inquiry, point: Point, factor: str, outputs: Iterable[str]) -> bool:
    """Whether everything depending becomes right when every value of this place is divided by a factor."""
    for run, (trace, quantities) in enumerate(zip(inquiry.reading.traces, inquiry.reading.quantities, strict=True)):
        if not inquiry.attempts.replay():
            return False
        value = next(known.value for known in factors(quantities) if known.name == factor)
        passes = {index: event.value / value for index, event in enumerate(trace.events) if event.site == point.site}
        again = inquiry.program.trace(run, passes)
        if again.error is not None or not inquiry.repaired(run, inquiry.program.outputs(run, again), outputs):
            return False
    return True


def forms(known: Known, like: Array) -> list[Array]:
    """A quantity laid out as the value it is to replace; in its natural shapes where that has another size."""
    values = known.values
    if values.size == like.size:
        laid_out = [values.reshape(like.shape)]
        if values.ndim == 4 and like.ndim == 2:
            laid_out.insert(0, values.transpose(0, 2, 3, 1).reshape(like.shape))
        if values.ndim == 2 and like.shape == values.shape[::-1] != values.shape:
            laid_out.insert(0, values.T)
        return laid_out
    natural = [values]
    if values.ndim == 1 and like.ndim > 1:
        natural += [np.expand_dims(values, 0), np.expand_dims(values, 1)]
    return [*natural, known.wide.reshape(like.shape)] if known.wide.size == like.size else natural
