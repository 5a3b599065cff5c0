"""Mutants of shape: another thing is normalized together, or x is read along the wrong axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from bnbench.model import Array, Norm
from bnbench.mutants.recipe import AnyForward, Mutant, forward_of, mutant, wrapped


def _as_layer(*_: Any) -> tuple[Norm, int]:
    return "layer", 1


def _as_batch(*_: Any) -> tuple[Norm, int]:
    return "batch", 1


def _as_instance(_norm: Norm, _groups: int, channels: int) -> tuple[Norm, int]:
    return "group", channels


def _reshaping(there: Callable[[Array], Array], back: Callable[[Array, Array], Array]) -> Any:
    """A wrapper whose forward sees ``there(x)`` and whose outputs come ``back(y, like=x)``."""

    def wrap(forward: AnyForward) -> AnyForward:
        def call(x: Array, *others: Array, **options: Any) -> tuple[Any, ...]:
            y, *between, vjp = forward(there(x), *others, **options)

            def reshaped(dy: Array) -> tuple[Array, Array, Array]:
                dx, dgamma, dbeta = vjp(there(dy))
                return back(dx, x), dgamma, dbeta

            return back(y, x), *between, reshaped

        return call

    return wrap


def _rows_of_mixed_channels(x: Array) -> Array:
    return x.reshape(-1, x.shape[1])


def _axes_swapped(x: Array) -> Array:
    return x.transpose(0, *range(x.ndim - 1, 1, -1), 1).reshape(-1, x.shape[1])


def _positions_together(y: Array, x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(y.reshape(x.shape[0], *x.shape[2:], x.shape[1]), -1, 1))


def _in_memory_order(x: Array) -> Array:
    return x.ravel(order="K").reshape(x.shape)


def _as_positions(x: Array) -> Array:
    """(N, C, *spatial) as (N spatial, C): each position is a row of its own."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _round_robin(forward: AnyForward) -> AnyForward:
    """Channel c goes to group c mod G: a reshape to (N, C / G, G, ...) in place of (N, G, C / G, ...)."""

    def call(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float) -> tuple[Any, ...]:
        order = np.arange(x.shape[1]).reshape(-1, groups).T.ravel()
        home = np.argsort(order)
        y, vjp = forward(np.ascontiguousarray(x[:, order]), gamma[order], beta[order], groups=groups, eps=eps)

        def ordered(dy: Array) -> tuple[Array, Array, Array]:
            dx, dgamma, dbeta = vjp(np.ascontiguousarray(dy[:, order]))
            return dx[:, home], dgamma[home], dbeta[home]

        return y[:, home], ordered

    return call


def _by_rows(forward: AnyForward) -> AnyForward:
    """Batch norm whose train mode normalizes rows, and keeps the batch's statistics."""
    layer = cast("AnyForward", forward_of(norm="layer"))

    def call(x: Array, gamma: Array, beta: Array, *running: Array, **options: Any) -> tuple[Any, ...]:
        y, new, vjp = forward(x, gamma, beta, *running, **options)
        if options["training"]:
            y, vjp = layer(x, gamma, beta, groups=1, eps=options["eps"])
        return y, new, vjp

    return call


def _pixel_by_pixel(forward: AnyForward) -> AnyForward:
    """Batch norm of (N, C S) in train mode: every position of a channel is normalized over the rows alone."""

    def call(x: Array, gamma: Array, beta: Array, *running: Array, **options: Any) -> tuple[Any, ...]:
        y, new, vjp = forward(x, gamma, beta, *running, **options)
        if not options["training"]:
            return y, new, vjp
        positions = x[0, 0].size
        wide = [np.repeat(a, positions) for a in (gamma, beta, *running)]
        y, _, pixels = forward(x.reshape(len(x), -1), *wide, **options)

        def pooled(dy: Array) -> tuple[Array, Array, Array]:
            dx, dgamma, dbeta = pixels(dy.reshape(len(x), -1))
            channels = (len(gamma), -1)
            return dx.reshape(x.shape), dgamma.reshape(channels).sum(1), dbeta.reshape(channels).sum(1)

        return y.reshape(x.shape), new, pooled

    return call


def _gaining_an_axis(forward: AnyForward) -> AnyForward:
    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        y, vjp = forward(*arrays, **options)
        return y[np.newaxis], vjp

    return call


SHAPES: tuple[Mutant, ...] = (
    mutant("layer_over_the_batch", "layer norm reduces over the rows", norm="layer", regroup=_as_batch),
    mutant("layer_without_centring", "layer norm is RMS norm", norm="layer", regroup=lambda *_: ("rms", 1)),
    mutant("rms_with_centring", "RMS norm is layer norm", norm="rms", regroup=_as_layer),
    mutant("instance_over_the_batch", "instance norm reduces over the rows", norm="instance", regroup=_as_batch),
    mutant("instance_over_the_row", "instance norm reduces over the channels", norm="instance", regroup=_as_layer),
    mutant("one_group", "group norm reduces over all channels", norm="group", regroup=_as_layer),
    mutant("a_group_per_channel", "group norm is instance norm", norm="group", regroup=_as_instance),
    mutant("groups_of_g_channels", "C / G groups of G channels", norm="group", regroup=lambda n, g, c: (n, c // g)),
    wrapped("groups_are_dealt_out", "channel c goes to group c mod G", _round_robin, norm="group"),
    wrapped("group_y_gains_an_axis", "gamma of (1, 1, C, 1) broadcasts", _gaining_an_axis, norm="group"),
    wrapped("batch_over_the_row", "batch norm normalizes rows", _by_rows),
    wrapped("each_pixel_over_the_rows", "normalizes each position over N alone", _pixel_by_pixel),
    wrapped(
        "channels_mixed_by_a_reshape",
        "reshapes (N, C, ...) to (-1, C) without moving the channels",
        _reshaping(_rows_of_mixed_channels, lambda y, x: y.reshape(x.shape)),
    ),
    wrapped(
        "spatial_axes_swapped",
        "H and W are swapped on the way in",
        _reshaping(_axes_swapped, _positions_together),
    ),
    wrapped(
        "layer_pixel_by_pixel",
        "layer norm of every position by itself",
        _reshaping(_as_positions, _positions_together),
        norm="layer",
    ),
    wrapped(
        "group_pixel_by_pixel",
        "group norm of every position by itself",
        _reshaping(_as_positions, _positions_together),
        norm="group",
    ),
    wrapped("memory_order_taken_for_c", "reads x as it lies", _reshaping(_in_memory_order, lambda y, _: y)),
    wrapped("rms_memory_order", "reads x as it lies", _reshaping(_in_memory_order, lambda y, _: y), norm="rms"),
)
