"""Mutants of what a call keeps for its vjp, and of whose memory its outputs are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from bnbench.model import Array
from bnbench.mutants.recipe import AnyForward, Mutant, wrapped


def _one_cache(forward: AnyForward) -> AnyForward:
    latest: dict[str, Any] = {}

    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        *outputs, latest["vjp"] = forward(*arrays, **options)

        def latest_vjp(dy: Array) -> Any:
            return latest["vjp"](dy)

        return *outputs, latest_vjp

    return call


def _one_mode(forward: AnyForward) -> AnyForward:
    latest: dict[str, bool] = {}

    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        vjps = {mode: forward(*arrays, **options | {"training": mode})[-1] for mode in (True, False)}
        latest["training"] = options["training"]

        def vjp_of_the_latest_mode(dy: Array) -> Any:
            return vjps[latest["training"]](dy)

        return *forward(*arrays, **options)[:-1], vjp_of_the_latest_mode

    return call


def _stack_of_caches(forward: AnyForward) -> AnyForward:
    caches: list[Any] = []

    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        *outputs, vjp = forward(*arrays, **options)
        caches.append(vjp)

        def pop(dy: Array) -> Any:
            return caches.pop()(dy)

        return *outputs, pop

    return call


def _emptied_cache(forward: AnyForward) -> AnyForward:
    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        *outputs, vjp = forward(*arrays, **options)
        cache = [vjp]

        def pop(dy: Array) -> Any:
            return cache.pop()(dy)

        return *outputs, pop

    return call


def _buffer() -> Callable[[Array], Array]:
    """A store that hands out the same array again for the same shape and dtype."""
    buffers: dict[tuple[Any, ...], Array] = {}

    def store(a: Array) -> Array:
        buffer = buffers.setdefault((a.shape, a.dtype), np.empty_like(a))
        buffer[...] = a
        return buffer

    return store


def _buffered_y(forward: AnyForward) -> AnyForward:
    store = _buffer()

    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        y, *others = forward(*arrays, **options)
        return store(y), *others

    return call


def _buffered_dx(forward: AnyForward) -> AnyForward:
    store = _buffer()

    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        *outputs, vjp = forward(*arrays, **options)

        def buffered(dy: Array) -> tuple[Array, ...]:
            dx, *others = vjp(dy)
            return store(dx), *others

        return *outputs, buffered

    return call


def _y_as_scratch(forward: AnyForward) -> AnyForward:
    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        y, *others, vjp = forward(*arrays, **options)

        def scribbling(dy: Array) -> tuple[Array, Array, Array]:
            np.multiply(y, dy, out=y)
            return cast("tuple[Array, Array, Array]", vjp(dy))

        return y, *others, scribbling

    return call


CACHES: tuple[Mutant, ...] = (
    wrapped("one_cache_for_all_calls", "the cache is a global, the next call overwrites it", _one_cache),
    wrapped("one_cache_for_all_layers", "the same, in layer norm", _one_cache, norm="layer"),
    wrapped("one_mode_for_all_calls", "the vjp looks up the mode of the latest call", _one_mode),
    wrapped("a_stack_of_caches", "the vjp takes whichever cache was pushed last", _stack_of_caches),
    wrapped("the_cache_is_emptied", "the vjp works once", _emptied_cache),
    wrapped("one_buffer_for_every_y", "y is a buffer that the next call writes to", _buffered_y),
    wrapped("one_buffer_for_every_dx", "dx is a buffer that the next vjp writes to", _buffered_dx, norm="group"),
    wrapped("y_is_scratch_for_the_vjp", "the vjp computes in the memory of y", _y_as_scratch, norm="instance"),
)
