"""The compiled half of ``numba_fused``: four kernels, each for float32 and float64.

Rows kernels take ``(N, C)`` and run along the channels. Planes kernels take ``(N, C, L)`` and finish
one channel, statistics and output, before the next begins, so that the second pass finds it in cache.

Both take mean and variance in one pass, as sums of d = x - k and d^2 in the arrays' own type. Blocks
are merged in double (Chan, Golub and LeVeque, 1979) and k moves to the mean so far: rounding errors
grow neither with M nor with mean / sd.

``saved`` is ``(3, C)`` in double: shift, residual and 1 / sqrt(variance + eps). The mean is shift +
residual, where shift is representable in the arrays' own type, so that x - shift loses nothing.
While the statistics are taken it holds origin, offset and m2: the mean is origin + offset, and m2 the
sum of squared deviations from it.

Everything is at module level with explicit signatures, so that Numba finds its disk cache again in
the next process. Inputs are declared read-only, which admits writable arrays too.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import boolean, float32, float64, njit, types, void

from bnbench import Array

BLOCK_ROWS = 128
BLOCK_VALUES = 2048
# The first block of many is short, so that a bad first k is soon left behind.
FIRST_ROWS = 8
FIRST_VALUES = 256


FORWARD = {
    rank: [
        void(
            *(types.Array(dtype, ndim, "C", readonly=True) for ndim in (rank, 1, 1, 1, 1)),
            *(boolean, float64, float64),
            *(types.Array(dtype, ndim, "C") for ndim in (rank, 1, 1)),
            types.Array(float64, 2, "C"),
        )
        for dtype in (float32, float64)
    ]
    for rank in (2, 3)
}
BACKWARD = {
    rank: [
        void(
            *(types.Array(dtype, ndim, "C", readonly=True) for ndim in (rank, rank, 1)),
            *(boolean, types.Array(float64, 2, "C")),
            *(types.Array(dtype, ndim, "C") for ndim in (rank, 1, 1)),
        )
        for dtype in (float32, float64)
    ]
    for rank in (2, 3)
}


# ---- sums of one block, in the arrays' own type ----


@njit(cache=True, fastmath={"contract"})
def add_rows(x: Array, k: Array, s: Array, q: Array) -> None:
    """s += sum(x - k), q += sum((x - k)^2) down each column, four rows at a time."""
    i = 0
    # Rows are sliced first: x[i, c] would check for a negative i each time, and not be vectorized.
    while i + 4 <= x.shape[0]:
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        for c in range(k.size):
            d0, d1, d2, d3 = x0[c] - k[c], x1[c] - k[c], x2[c] - k[c], x3[c] - k[c]
            s[c] += (d0 + d1) + (d2 + d3)
            q[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
        i += 4
    while i < x.shape[0]:
        x0 = x[i]
        for c in range(k.size):
            d0 = x0[c] - k[c]
            s[c] += d0
            q[c] += d0 * d0
        i += 1


@njit(cache=True, fastmath={"contract"})
def add_row_products(x: Array, dy: Array, k: Array, s: Array, p: Array) -> None:
    """s += sum(dy), p += sum(dy (x - k)) down each column, two rows at a time."""
    i = 0
    while i + 2 <= x.shape[0]:
        x0, x1, g0, g1 = x[i], x[i + 1], dy[i], dy[i + 1]
        for c in range(k.size):
            s[c] += g0[c] + g1[c]
            p[c] += g0[c] * (x0[c] - k[c]) + g1[c] * (x1[c] - k[c])
        i += 2
    if i < x.shape[0]:
        x0, g0 = x[i], dy[i]
        for c in range(k.size):
            s[c] += g0[c]
            p[c] += g0[c] * (x0[c] - k[c])


@njit(cache=True, fastmath={"contract", "reassoc"})
def run_moments(run: Array, k: float) -> tuple[Any, Any]:
    """sum(x - k) and sum((x - k)^2), added up in any order: else it could not be vectorized."""
    s = q = run.dtype.type(0)
    for i in range(run.size):
        d = run[i] - k
        s += d
        q += d * d
    return s, q


@njit(cache=True, fastmath={"contract", "reassoc"})
def run_products(run: Array, dy: Array, k: float) -> tuple[Any, Any]:
    """sum(dy) and sum(dy (x - k)), added up in any order."""
    s = p = run.dtype.type(0)
    for i in range(run.size):
        s += dy[i]
        p += dy[i] * (run[i] - k)
    return s, p


# ---- channels, in double ----


@njit(cache=True)
def median(a: float, b: float, c: float) -> float:
    """Return the middle one: a first shift that one outlier can't be."""
    return max(min(a, b), min(max(a, b), c))


@njit(cache=True, error_model="numpy")
def merge(c: int, seen: float, block: float, s: float, q: float, k: Array, saved: Array) -> None:
    """Add a block of values with s = sum(x - k) and q = sum((x - k)^2) to the ``seen`` ones; move k."""
    delta = (np.float64(k[c]) - saved[0, c]) + s / block - saved[1, c]
    fraction = block / (seen + block)
    saved[1, c] += delta * fraction
    saved[2, c] += (q - s * s / block) + delta * delta * (seen * fraction)
    k[c] = saved[0, c] + saved[1, c]


@njit(cache=True, error_model="numpy")
def rows_statistics(x: Array, k: Array, saved: Array) -> None:
    rows, channels = x.shape
    s = np.empty_like(k)
    q = np.empty_like(k)
    for c in range(channels):
        k[c] = median(x[0, c], x[rows // 2, c], x[rows - 1, c])
        saved[0, c] = k[c]
        saved[1, c] = 0.0
        saved[2, c] = 0.0
    start = 0
    size = BLOCK_ROWS if rows <= BLOCK_ROWS else FIRST_ROWS
    while start < rows:
        block = x[start : start + size]
        s[:] = 0
        q[:] = 0
        add_rows(block, k, s, q)
        for c in range(channels):
            merge(c, float(start), float(block.shape[0]), np.float64(s[c]), np.float64(q[c]), k, saved)
        start += size
        size = BLOCK_ROWS


@njit(cache=True, error_model="numpy")
def plane_statistics(x: Array, c: int, k: Array, saved: Array) -> None:
    batch, _, spatial = x.shape
    k[c] = median(x[0, c, 0], x[batch // 2, c, spatial // 2], x[batch - 1, c, spatial - 1])
    saved[0, c] = k[c]
    saved[1, c] = 0.0
    saved[2, c] = 0.0
    seen, pending, s, q = 0, 0, 0.0, 0.0
    size = FIRST_VALUES
    for n in range(batch):
        start = 0
        while start < spatial:
            run = x[n, c, start : start + size]
            start += run.size
            of_run = run_moments(run, k[c])
            s += of_run[0]
            q += of_run[1]
            pending += run.size
            if pending >= size or (n == batch - 1 and start == spatial):
                merge(c, float(seen), float(pending), s, q, k, saved)
                seen += pending
                pending, s, q = 0, 0.0, 0.0
                size = BLOCK_VALUES


@njit(cache=True, error_model="numpy")
def finish(
    c: int,
    count: int,
    running_mean: Array,
    running_var: Array,
    eps: float,
    momentum: float,
    new_mean: Array,
    new_var: Array,
    k: Array,
    saved: Array,
) -> None:
    """Turn origin, offset and m2 into shift, residual and 1 / sd, and move the running statistics."""
    origin, offset, m2 = saved[0, c], saved[1, c], saved[2, c]
    k[c] = origin + offset
    saved[0, c] = k[c]
    saved[1, c] = offset - (saved[0, c] - origin)
    saved[2, c] = 1.0 / sqrt(m2 / count + eps)
    new_mean[c] = (1.0 - momentum) * running_mean[c] + momentum * (origin + offset)
    new_var[c] = (1.0 - momentum) * running_var[c] + momentum * (m2 / (count - 1))


@njit(cache=True, error_model="numpy")
def keep(running_mean: Array, running_var: Array, eps: float, new_mean: Array, new_var: Array, saved: Array) -> None:
    """Take the running statistics for the statistics."""
    for c in range(running_mean.size):
        saved[0, c] = running_mean[c]
        saved[1, c] = 0.0
        saved[2, c] = 1.0 / sqrt(running_var[c] + eps)
        new_mean[c] = running_mean[c]
        new_var[c] = running_var[c]


@njit(cache=True)
def forward_coefficients(c: int, gamma: Array, beta: Array, saved: Array, k: Array, a: Array, b: Array) -> None:
    """y = gamma (x - mean) / sd + beta as a (x - k) + b."""
    slope = gamma[c] * saved[2, c]
    k[c] = saved[0, c]
    a[c] = slope
    b[c] = beta[c] - slope * saved[1, c]


@njit(cache=True, error_model="numpy")
def backward_coefficients(
    c: int,
    count: int,
    gamma: Array,
    saved: Array,
    s: float,
    p: float,
    dgamma: Array,
    dbeta: Array,
    a: Array,
    b: Array,
    constant: Array,
) -> None:
    """dx = gamma / sd (dy - mean(dy) - x_hat mean(dy x_hat)) as a dy + b (x - k) + constant.

    From s = sum(dy) and p = sum(dy (x - k)). In eval mode dx = a dy.
    """
    residual, inverse_sd = saved[1, c], saved[2, c]
    x_hat_dy = inverse_sd * (p - residual * s)
    slope = gamma[c] * inverse_sd
    x_slope = -slope * inverse_sd * (x_hat_dy / count)
    dgamma[c] = x_hat_dy
    dbeta[c] = s
    a[c] = slope
    b[c] = x_slope
    constant[c] = -slope * (s / count) - x_slope * residual


# ---- the kernels ----


@njit(FORWARD[2], cache=True, error_model="numpy", fastmath={"contract"})
def forward_rows(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    training: bool,
    eps: float,
    momentum: float,
    y: Array,
    new_mean: Array,
    new_var: Array,
    saved: Array,
) -> None:
    rows, channels = x.shape
    k = np.empty_like(gamma)
    a = np.empty_like(gamma)
    b = np.empty_like(gamma)
    if training:
        rows_statistics(x, k, saved)
        for c in range(channels):
            finish(c, rows, running_mean, running_var, eps, momentum, new_mean, new_var, k, saved)
    else:
        keep(running_mean, running_var, eps, new_mean, new_var, saved)
    for c in range(channels):
        forward_coefficients(c, gamma, beta, saved, k, a, b)
    for i in range(rows):
        xi, yi = x[i], y[i]
        for c in range(channels):
            yi[c] = a[c] * (xi[c] - k[c]) + b[c]


@njit(FORWARD[3], cache=True, error_model="numpy", fastmath={"contract"})
def forward_planes(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    training: bool,
    eps: float,
    momentum: float,
    y: Array,
    new_mean: Array,
    new_var: Array,
    saved: Array,
) -> None:
    batch, channels, spatial = x.shape
    k = np.empty_like(gamma)
    a = np.empty_like(gamma)
    b = np.empty_like(gamma)
    if not training:
        keep(running_mean, running_var, eps, new_mean, new_var, saved)
    for c in range(channels):
        if training:
            plane_statistics(x, c, k, saved)
            finish(c, batch * spatial, running_mean, running_var, eps, momentum, new_mean, new_var, k, saved)
        forward_coefficients(c, gamma, beta, saved, k, a, b)
        k_c, a_c, b_c = k[c], a[c], b[c]
        for n in range(batch):
            run, out = x[n, c], y[n, c]
            for i in range(spatial):
                out[i] = a_c * (run[i] - k_c) + b_c


@njit(BACKWARD[2], cache=True, error_model="numpy", fastmath={"contract"})
def backward_rows(
    x: Array, dy: Array, gamma: Array, training: bool, saved: Array, dx: Array, dgamma: Array, dbeta: Array
) -> None:
    rows, channels = x.shape
    k = np.empty_like(gamma)
    a = np.empty_like(gamma)
    b = np.empty_like(gamma)
    constant = np.empty_like(gamma)
    s = np.empty_like(gamma)
    p = np.empty_like(gamma)
    total = np.zeros((2, channels))
    for c in range(channels):
        k[c] = saved[0, c]
    for start in range(0, rows, BLOCK_ROWS):
        end = start + BLOCK_ROWS
        s[:] = 0
        p[:] = 0
        add_row_products(x[start:end], dy[start:end], k, s, p)
        for c in range(channels):
            total[0, c] += s[c]
            total[1, c] += p[c]
    for c in range(channels):
        backward_coefficients(c, rows, gamma, saved, total[0, c], total[1, c], dgamma, dbeta, a, b, constant)
    for i in range(rows):
        xi, gi, out = x[i], dy[i], dx[i]
        if training:
            for c in range(channels):
                out[c] = a[c] * gi[c] + b[c] * (xi[c] - k[c]) + constant[c]
        else:
            for c in range(channels):
                out[c] = a[c] * gi[c]


@njit(BACKWARD[3], cache=True, error_model="numpy", fastmath={"contract"})
def backward_planes(
    x: Array, dy: Array, gamma: Array, training: bool, saved: Array, dx: Array, dgamma: Array, dbeta: Array
) -> None:
    batch, channels, spatial = x.shape
    k = np.empty_like(gamma)
    a = np.empty_like(gamma)
    b = np.empty_like(gamma)
    constant = np.empty_like(gamma)
    for c in range(channels):
        k[c] = saved[0, c]
        s, p = 0.0, 0.0
        for n in range(batch):
            for start in range(0, spatial, BLOCK_VALUES):
                end = start + BLOCK_VALUES
                of_run = run_products(x[n, c, start:end], dy[n, c, start:end], k[c])
                s += of_run[0]
                p += of_run[1]
        backward_coefficients(c, batch * spatial, gamma, saved, s, p, dgamma, dbeta, a, b, constant)
        k_c, a_c, b_c, constant_c = k[c], a[c], b[c], constant[c]
        for n in range(batch):
            run, grad, out = x[n, c], dy[n, c], dx[n, c]
            if training:
                for i in range(spatial):
                    out[i] = a_c * grad[i] + b_c * (run[i] - k_c) + constant_c
            else:
                for i in range(spatial):
                    out[i] = a_c * grad[i]
