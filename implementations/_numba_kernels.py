"""The compiled half of ``numba_fused``: four kernels, each for float32 and float64.

Rows kernels take ``(N, C)`` and run along the channels, of wide rows a panel at a time. Planes kernels
take ``(N, C, L)``. Both finish a panel or a channel, statistics and output, before the next begins, so
that the second pass finds it in cache. Output that is too much for the cache is streamed past it.

Both take mean and variance in one pass, as sums of d = x - k and d^2 in the arrays' own type. Blocks
are merged in double (Chan, Golub and LeVeque, 1979) and k moves to the mean so far: rounding errors
grow neither with M nor with mean / sd.

``saved`` is ``(3, C)`` in double: shift, residual and 1 / sqrt(variance + eps). The mean is shift +
residual, where shift is representable in the arrays' own type, so that x - shift loses nothing.
While the statistics are taken it holds origin, offset and m2: the mean is origin + offset, and m2 the
sum of squared deviations from it.

Everything is at module level with explicit signatures, so that Numba finds its disk cache again in
the next process, and in one file, since Numba compiles again only when the file of a kernel changes.
Inputs are declared read-only, which admits writable arrays too.
"""

# ruff: noqa: ARG001 - Numba calls with all the arguments that there are

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import boolean, float32, float64, njit, types, void
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from bnbench import Array

BLOCK_ROWS = 128
BLOCK_VALUES = 2048
# The first block of many is short, so that a bad first k is soon left behind.
FIRST_ROWS = 8
FIRST_VALUES = 256

# As in c_fused; design note 11 has the reasons.
PANEL_BYTES = 4 << 10
IN_CACHE = 16 << 20
STREAMED = 24 << 20
LINE_BYTES = 64
CONTRACT = ("contract",)

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


# ---- memory ----


def _run_of(typing: Any, a: Any, start: Any, size: Any) -> Any:
    """``size`` values of a contiguous array, from a flat index on, as an array that does not own them.

    A slice counts its references, and what counts references waits until all that was streamed is written.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = context.make_array(signature.args[0])(context, builder, arguments[0])
        run = context.make_array(signature.return_type)(context, builder)
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(a.dtype)))
        data = builder.gep(whole.data, [arguments[1]])
        populate_array(  # type: ignore[no-untyped-call]
            run, data, shape=[arguments[2]], strides=[itemsize], itemsize=itemsize, meminfo=None
        )
        return run._getvalue()  # noqa: SLF001 - as Numba's own intrinsics do

    return types.Array(a.dtype, 1, "C", readonly=not a.mutable)(a, types.intp, types.intp), generate


run_of: Any = intrinsic(_run_of)


def line_at(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Point to the vector, as long as a cache line, that begins at an index of an array."""
    element = context.get_data_type(kind.dtype)
    line = ir.VectorType(element, LINE_BYTES // context.get_abi_sizeof(element)).as_pointer()
    return builder.bitcast(builder.gep(context.make_array(kind)(context, builder, array).data, [index]), line)


def load_line(context: Any, builder: Any, kind: Any, value: Any, index: Any) -> Any:
    """A vector of an array's values from an index on, or of copies of a number."""
    if isinstance(kind, types.Array):
        return builder.load(line_at(context, builder, kind, value, index), align=kind.dtype.bitwidth // 8)
    line = ir.VectorType(value.type, LINE_BYTES // context.get_abi_sizeof(value.type))
    first = builder.insert_element(ir.Constant(line, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), line.count), None))


def store_past_caches(context: Any, builder: Any, value: Any, kind: Any, array: Any, index: Any) -> Any:
    store = builder.store(value, line_at(context, builder, kind, array, index), align=LINE_BYTES)
    store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
    return context.get_dummy_value()


def _forward_line(typing: Any, x: Any, k: Any, a: Any, b: Any, y: Any, i: Any) -> Any:
    """y = a (x - k) + b past the caches, on the line that begins at ``y[i]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *given, y, i = arguments
        x, k, a, b = (load_line(context, builder, kind, v, i) for kind, v in zip(signature.args, given, strict=False))
        deviation = builder.fsub(x, k, flags=CONTRACT)
        value = builder.fadd(builder.fmul(a, deviation, flags=CONTRACT), b, flags=CONTRACT)
        return store_past_caches(context, builder, value, signature.args[4], y, i)

    return types.none(x, k, a, b, y, types.intp), generate


forward_line: Any = intrinsic(_forward_line)


def _backward_line(typing: Any, x: Any, dy: Any, k: Any, a: Any, b: Any, constant: Any, dx: Any, i: Any) -> Any:
    """dx = a dy + b (x - k) + constant past the caches, on the line that begins at ``dx[i]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *given, dx, i = arguments
        x, dy, k, a, b, constant = (
            load_line(context, builder, kind, v, i) for kind, v in zip(signature.args, given, strict=False)
        )
        deviation = builder.fsub(x, k, flags=CONTRACT)
        through = builder.fadd(builder.fmul(b, deviation, flags=CONTRACT), constant, flags=CONTRACT)
        value = builder.fadd(builder.fmul(a, dy, flags=CONTRACT), through, flags=CONTRACT)
        return store_past_caches(context, builder, value, signature.args[6], dx, i)

    return types.none(x, dy, k, a, b, constant, dx, types.intp), generate


backward_line: Any = intrinsic(_backward_line)


def _stream_end(typing: Any) -> Any:
    """Let other threads see what was streamed before whatever is written later."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.none(), generate


stream_end: Any = intrinsic(_stream_end)


@njit(cache=True)
def streams(x: Array, arrays: int) -> bool:
    """Whether so many arrays like ``x`` are too much for the cache."""
    return arrays * x.size * x.itemsize > STREAMED


@njit(inline="always")
def values_to_line(a: Array) -> int:
    """Count the values of ``a`` before the first that begins a cache line."""
    count: int = min(-a.ctypes.data % LINE_BYTES // a.itemsize, a.size)
    return count


@njit(cache=True)
def panel_width(x: Array) -> int:
    """Count the channels of a wide row that are finished together; memory wants whole rows."""
    width: int = min(PANEL_BYTES // x.itemsize, x.shape[1]) if x.size * x.itemsize <= IN_CACHE else x.shape[1]
    return max(width, 1)


# ---- sums of one block, in the arrays' own type ----


@njit(cache=True, fastmath={"contract"})
def add_rows(x: Array, first: int, start: int, end: int, k: Array, s: Array, q: Array) -> None:
    """s += sum(x - k), q += sum((x - k)^2) down each column from ``first`` on, four rows at a time."""
    i, width, n = start, x.shape[1], k.size
    # Runs are taken first: x[i, c] would check for a negative i each time, and not be vectorized.
    while i + 4 <= end:
        x0, x1 = run_of(x, i * width + first, n), run_of(x, (i + 1) * width + first, n)
        x2, x3 = run_of(x, (i + 2) * width + first, n), run_of(x, (i + 3) * width + first, n)
        for c in range(n):
            d0, d1, d2, d3 = x0[c] - k[c], x1[c] - k[c], x2[c] - k[c], x3[c] - k[c]
            s[c] += (d0 + d1) + (d2 + d3)
            q[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
        i += 4
    while i < end:
        x0 = run_of(x, i * width + first, n)
        for c in range(n):
            d0 = x0[c] - k[c]
            s[c] += d0
            q[c] += d0 * d0
        i += 1


@njit(cache=True, fastmath={"contract"})
def add_row_products(x: Array, dy: Array, first: int, start: int, end: int, k: Array, s: Array, p: Array) -> None:
    """s += sum(dy), p += sum(dy (x - k)) down each column from ``first`` on, two rows at a time."""
    i, width, n = start, x.shape[1], k.size
    while i + 2 <= end:
        x0, x1 = run_of(x, i * width + first, n), run_of(x, (i + 1) * width + first, n)
        g0, g1 = run_of(dy, i * width + first, n), run_of(dy, (i + 1) * width + first, n)
        for c in range(n):
            s[c] += g0[c] + g1[c]
            p[c] += g0[c] * (x0[c] - k[c]) + g1[c] * (x1[c] - k[c])
        i += 2
    if i < end:
        x0, g0 = run_of(x, i * width + first, n), run_of(dy, i * width + first, n)
        for c in range(n):
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
def merge(
    c: int, seen: float, block: float, s: float, q: float, k: Array, origin: Array, offset: Array, m2: Array
) -> None:
    """Add a block of values with s = sum(x - k) and q = sum((x - k)^2) to the ``seen`` ones; move k."""
    delta = (np.float64(k[c]) - origin[c]) + s / block - offset[c]
    fraction = block / (seen + block)
    offset[c] += delta * fraction
    m2[c] += (q - s * s / block) + delta * delta * (seen * fraction)
    k[c] = origin[c] + offset[c]


@njit(cache=True, error_model="numpy")
def rows_statistics(x: Array, first: int, k: Array, origin: Array, offset: Array, m2: Array) -> None:
    """Of the channels from ``first`` on."""
    rows, width = x.shape
    s = np.empty_like(k)
    q = np.empty_like(k)
    top = run_of(x, first, k.size)
    centre = run_of(x, rows // 2 * width + first, k.size)
    bottom = run_of(x, (rows - 1) * width + first, k.size)
    for c in range(k.size):
        k[c] = median(top[c], centre[c], bottom[c])
        origin[c] = k[c]
        offset[c] = 0.0
        m2[c] = 0.0
    start = 0
    size = BLOCK_ROWS if rows <= BLOCK_ROWS else FIRST_ROWS
    while start < rows:
        end = min(start + size, rows)
        s[:] = 0
        q[:] = 0
        add_rows(x, first, start, end, k, s, q)
        for c in range(k.size):
            merge(c, float(start), float(end - start), np.float64(s[c]), np.float64(q[c]), k, origin, offset, m2)
        start = end
        size = BLOCK_ROWS


@njit(cache=True, error_model="numpy")
def plane_statistics(x: Array, c: int, k: Array, origin: Array, offset: Array, m2: Array) -> None:
    batch, channels, spatial = x.shape
    k[c] = median(x[0, c, 0], x[batch // 2, c, spatial // 2], x[batch - 1, c, spatial - 1])
    origin[c] = k[c]
    offset[c] = 0.0
    m2[c] = 0.0
    seen, pending, s, q = 0, 0, 0.0, 0.0
    size = FIRST_VALUES
    for n in range(batch):
        start = 0
        while start < spatial:
            run = run_of(x, (n * channels + c) * spatial + start, min(size, spatial - start))
            start += run.size
            of_run = run_moments(run, k[c])
            s += of_run[0]
            q += of_run[1]
            pending += run.size
            if pending >= size or (n == batch - 1 and start == spatial):
                merge(c, float(seen), float(pending), s, q, k, origin, offset, m2)
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
    shift: Array,
    residual: Array,
    inverse_sd: Array,
) -> None:
    """Turn origin, offset and m2 into shift, residual and 1 / sd, and move the running statistics."""
    origin, offset, m2 = shift[c], residual[c], inverse_sd[c]
    shift[c] = new_mean.dtype.type(origin + offset)
    residual[c] = offset - (shift[c] - origin)
    inverse_sd[c] = 1.0 / sqrt(m2 / count + eps)
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
def forward_coefficients(
    c: int,
    gamma: Array,
    beta: Array,
    shift: Array,
    residual: Array,
    inverse_sd: Array,
    k: Array,
    a: Array,
    b: Array,
) -> None:
    """y = gamma (x - mean) / sd + beta as a (x - k) + b."""
    slope = gamma[c] * inverse_sd[c]
    k[c] = shift[c]
    a[c] = slope
    b[c] = beta[c] - slope * residual[c]


@njit(cache=True, error_model="numpy")
def backward_coefficients(
    c: int,
    count: int,
    gamma: Array,
    residual: Array,
    inverse_sd: Array,
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
    x_hat_dy = inverse_sd[c] * (p - residual[c] * s)
    slope = gamma[c] * inverse_sd[c]
    x_slope = -slope * inverse_sd[c] * (x_hat_dy / count)
    dgamma[c] = x_hat_dy
    dbeta[c] = s
    a[c] = slope
    b[c] = x_slope
    constant[c] = -slope * (s / count) - x_slope * residual[c]


# ---- output, with coefficients per value (a row) or per channel (a run of one) ----


@njit(inline="always")
def forward_row(x: Array, k: Array, a: Array, b: Array, y: Array) -> None:
    for i in range(y.size):
        y[i] = a[i] * (x[i] - k[i]) + b[i]


@njit(inline="always")
def forward_run(x: Array, k: float, a: float, b: float, y: Array) -> None:
    for i in range(y.size):
        y[i] = a * (x[i] - k) + b


@njit(inline="always")
def backward_row(x: Array, dy: Array, k: Array, a: Array, b: Array, constant: Array, dx: Array) -> None:
    for i in range(dx.size):
        dx[i] = a[i] * dy[i] + b[i] * (x[i] - k[i]) + constant[i]


@njit(inline="always")
def backward_run(x: Array, dy: Array, k: float, a: float, b: float, constant: float, dx: Array) -> None:
    for i in range(dx.size):
        dx[i] = a * dy[i] + b * (x[i] - k) + constant


@njit(inline="always")
def put_forward_row(x: Array, k: Array, a: Array, b: Array, y: Array, streamed: bool) -> None:
    start = 0
    if streamed:
        start, line = values_to_line(y), LINE_BYTES // y.itemsize
        forward_row(x, k, a, b, run_of(y, 0, start))
        while start + line <= y.size:
            forward_line(x, k, a, b, y, start)
            start += line
    n = y.size - start
    forward_row(run_of(x, start, n), run_of(k, start, n), run_of(a, start, n), run_of(b, start, n), run_of(y, start, n))


@njit(inline="always")
def put_forward_run(x: Array, k: float, a: float, b: float, y: Array, streamed: bool) -> None:
    start = 0
    if streamed:
        start, line = values_to_line(y), LINE_BYTES // y.itemsize
        forward_run(x, k, a, b, run_of(y, 0, start))
        while start + line <= y.size:
            forward_line(x, k, a, b, y, start)
            start += line
    n = y.size - start
    forward_run(run_of(x, start, n), k, a, b, run_of(y, start, n))


@njit(inline="always")
def put_backward_row(
    x: Array, dy: Array, k: Array, a: Array, b: Array, constant: Array, dx: Array, streamed: bool
) -> None:
    start = 0
    if streamed:
        start, line = values_to_line(dx), LINE_BYTES // dx.itemsize
        backward_row(x, dy, k, a, b, constant, run_of(dx, 0, start))
        while start + line <= dx.size:
            backward_line(x, dy, k, a, b, constant, dx, start)
            start += line
    n = dx.size - start
    backward_row(
        run_of(x, start, n),
        run_of(dy, start, n),
        run_of(k, start, n),
        run_of(a, start, n),
        run_of(b, start, n),
        run_of(constant, start, n),
        run_of(dx, start, n),
    )


@njit(inline="always")
def put_backward_run(
    x: Array, dy: Array, k: float, a: float, b: float, constant: float, dx: Array, streamed: bool
) -> None:
    start = 0
    if streamed:
        start, line = values_to_line(dx), LINE_BYTES // dx.itemsize
        backward_run(x, dy, k, a, b, constant, run_of(dx, 0, start))
        while start + line <= dx.size:
            backward_line(x, dy, k, a, b, constant, dx, start)
            start += line
    n = dx.size - start
    backward_run(run_of(x, start, n), run_of(dy, start, n), k, a, b, constant, run_of(dx, start, n))


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
    panel = panel_width(x)
    k, a, b = np.empty(panel, x.dtype), np.empty(panel, x.dtype), np.empty(panel, x.dtype)
    streamed = streams(x, 2)
    if not training:
        keep(running_mean, running_var, eps, new_mean, new_var, saved)
    for first in range(0, channels, panel):
        n = min(panel, channels - first)
        shift, residual = run_of(saved, first, n), run_of(saved, channels + first, n)
        inverse_sd = run_of(saved, 2 * channels + first, n)
        if training:
            rows_statistics(x, first, run_of(k, 0, n), shift, residual, inverse_sd)
            old, new = run_of(running_mean, first, n), run_of(new_mean, first, n)
            old_var, var = run_of(running_var, first, n), run_of(new_var, first, n)
            for c in range(n):
                finish(c, rows, old, old_var, eps, momentum, new, var, shift, residual, inverse_sd)
        scale, offset = run_of(gamma, first, n), run_of(beta, first, n)
        for c in range(n):
            forward_coefficients(c, scale, offset, shift, residual, inverse_sd, k, a, b)
        for start in range(first, x.size, channels):
            put_forward_row(run_of(x, start, n), k, a, b, run_of(y, start, n), streamed)
    if streamed:
        stream_end()


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
    k, a, b = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    shift, residual, inverse_sd = saved[0], saved[1], saved[2]
    streamed = streams(x, 2)
    if not training:
        keep(running_mean, running_var, eps, new_mean, new_var, saved)
    for i in range(batch * channels):
        # In train mode channel by channel, for the second pass to find in cache what the first has read.
        n, c = (i % batch, i // batch) if training else (i // channels, i % channels)
        if n == 0:
            if training:
                plane_statistics(x, c, k, shift, residual, inverse_sd)
                count = batch * spatial
                finish(
                    c, count, running_mean, running_var, eps, momentum, new_mean, new_var, shift, residual, inverse_sd
                )
            forward_coefficients(c, gamma, beta, shift, residual, inverse_sd, k, a, b)
        start = (n * channels + c) * spatial
        put_forward_run(run_of(x, start, spatial), k[c], a[c], b[c], run_of(y, start, spatial), streamed)
    if streamed:
        stream_end()


@njit(BACKWARD[2], cache=True, error_model="numpy", fastmath={"contract"})
def backward_rows(
    x: Array, dy: Array, gamma: Array, training: bool, saved: Array, dx: Array, dgamma: Array, dbeta: Array
) -> None:
    rows, channels = x.shape
    panel = panel_width(x)
    k, a, b = np.empty(panel, x.dtype), np.empty(panel, x.dtype), np.empty(panel, x.dtype)
    constant, s, p = np.empty(panel, x.dtype), np.empty(panel, x.dtype), np.empty(panel, x.dtype)
    sum_dy, product = np.empty(panel), np.empty(panel)
    streamed = streams(x, 3)
    for first in range(0, channels, panel):
        n = min(panel, channels - first)
        shift, residual = run_of(saved, first, n), run_of(saved, channels + first, n)
        inverse_sd = run_of(saved, 2 * channels + first, n)
        for c in range(n):
            k[c] = shift[c]
        sum_dy[:] = 0
        product[:] = 0
        for start in range(0, rows, BLOCK_ROWS):
            s[:n] = 0
            p[:n] = 0
            add_row_products(x, dy, first, start, min(start + BLOCK_ROWS, rows), run_of(k, 0, n), s, p)
            for c in range(n):
                sum_dy[c] += s[c]
                product[c] += p[c]
        scale, dscale, doffset = run_of(gamma, first, n), run_of(dgamma, first, n), run_of(dbeta, first, n)
        for c in range(n):
            backward_coefficients(
                c, rows, scale, residual, inverse_sd, sum_dy[c], product[c], dscale, doffset, a, b, constant
            )
        if not training:
            # In the terms of put_forward_row.
            k[:] = 0
            b[:] = 0
        for start in range(first, x.size, channels):
            grad, out = run_of(dy, start, n), run_of(dx, start, n)
            if training:
                put_backward_row(run_of(x, start, n), grad, k, a, b, constant, out, streamed)
            else:
                put_forward_row(grad, k, a, b, out, streamed)
    if streamed:
        stream_end()


@njit(BACKWARD[3], cache=True, error_model="numpy", fastmath={"contract"})
def backward_planes(
    x: Array, dy: Array, gamma: Array, training: bool, saved: Array, dx: Array, dgamma: Array, dbeta: Array
) -> None:
    batch, channels, spatial = x.shape
    a, b, constant = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    shift, residual, inverse_sd = saved[0], saved[1], saved[2]
    streamed = streams(x, 3)
    zero: Any = x.dtype.type(0)
    for c in range(channels):
        k: Any = x.dtype.type(shift[c])
        s, p = 0.0, 0.0
        for n in range(batch):
            plane = (n * channels + c) * spatial
            for start in range(0, spatial, BLOCK_VALUES):
                size = min(BLOCK_VALUES, spatial - start)
                of_run = run_products(run_of(x, plane + start, size), run_of(dy, plane + start, size), k)
                s += of_run[0]
                p += of_run[1]
        backward_coefficients(c, batch * spatial, gamma, residual, inverse_sd, s, p, dgamma, dbeta, a, b, constant)
        for n in range(batch):
            start = (n * channels + c) * spatial
            grad, out = run_of(dy, start, spatial), run_of(dx, start, spatial)
            if training:
                put_backward_run(run_of(x, start, spatial), grad, k, a[c], b[c], constant[c], out, streamed)
            else:
                put_forward_run(grad, zero, a[c], zero, out, streamed)
    if streamed:
        stream_end()
