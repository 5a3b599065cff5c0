"""Batch normalization compiled by Numba: the passes and the accuracy of ``c_fused``, in Python syntax.

The kernels are in ``_numba_kernels``, which imports Numba and is imported by ``load``. Loading compiles
them, which takes ten to twenty seconds the first time; later processes take them from Numba's disk cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bnbench import Array, Capabilities, Forward, Implementation, Vjp, check_arguments


def load() -> Forward:
    """Compile the kernels. The vjp keeps ``x`` by reference: don't change ``x`` before the last vjp call."""
    from . import _numba_kernels as kernels

    def forward(
        x: Array,
        gamma: Array,
        beta: Array,
        running_mean: Array,
        running_var: Array,
        /,
        *,
        training: bool,
        eps: float,
        momentum: float,
        out: Sequence[Array] | None = None,
    ) -> tuple[Array, tuple[Array, Array], Vjp]:
        check_arguments(x, gamma, beta, running_mean, running_var, training=training)
        if not eps >= 0:
            raise ValueError(f"eps is {eps}, expected at least 0")
        shape = x.shape
        flat = (shape[0], shape[1], math.prod(shape[2:]))
        count = flat[0] * flat[2]
        if training and count == 1:
            raise ValueError(f"x has shape {shape}, expected more than 1 value per channel when training")

        y, mean, var = _fresh(x, gamma) if out is None else _checked(out, x, gamma)
        rows = len(shape) == 2
        forward_kernel = kernels.forward_rows if rows else kernels.forward_planes
        x = _contiguous(x)
        gamma = gamma.copy()
        saved = np.empty((3, gamma.size))
        forward_kernel(
            x if rows else x.reshape(flat),
            gamma,
            _contiguous(beta),
            _contiguous(running_mean),
            _contiguous(running_var),
            # Nothing can be learnt from an empty batch: the running statistics stay.
            training and count > 0,
            eps,
            momentum,
            y if rows else y.reshape(flat),
            mean,
            var,
            saved,
        )

        def vjp(dy: Array, *, out: Sequence[Array] | None = None) -> tuple[Array, Array, Array]:
            _check_cotangent(dy, x.dtype, shape)
            dx, dgamma, dbeta = _fresh(x, gamma) if out is None else _checked(out, x, gamma)
            dy = _contiguous(dy)
            if not count:
                dgamma[:] = dbeta[:] = 0
            elif rows:
                kernels.backward_rows(x, dy, gamma, training, saved, dx, dgamma, dbeta)
            else:
                given = x.reshape(flat), dy.reshape(flat)
                kernels.backward_planes(*given, gamma, training, saved, dx.reshape(flat), dgamma, dbeta)
            return dx, dgamma, dbeta

        return y, (mean, var), vjp

    return forward


def _check_cotangent(dy: object, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if not isinstance(dy, np.ndarray) or dy.dtype != dtype:
        found = f"an array of {dy.dtype}" if isinstance(dy, np.ndarray) else f"a {type(dy).__name__}"
        raise TypeError(f"dy is {found}, expected a NumPy array of {dtype} as x is")
    if dy.shape != shape:
        raise ValueError(f"dy has shape {dy.shape}, expected the shape of x, {shape}")


def _fresh(x: Array, gamma: Array) -> tuple[Array, Array, Array]:
    return np.empty(x.shape, x.dtype), np.empty(gamma.shape, x.dtype), np.empty(gamma.shape, x.dtype)


def _checked(out: Sequence[Array], x: Array, gamma: Array) -> tuple[Array, Array, Array]:
    """``out``, if it is what the kernels can fill.

    Raises ValueError for anything but three writeable C-contiguous arrays of the shapes and the dtype of the outputs.
    """
    large, first, second = out
    for a, like in ((large, x), (first, gamma), (second, gamma)):
        if a.shape != like.shape or a.dtype != like.dtype or not a.flags.carray:
            raise ValueError(
                f"out has an array of {a.dtype} and shape {a.shape}, "
                f"expected a writeable C-contiguous one of {like.dtype} and {like.shape}"
            )
    return large, first, second


def _contiguous(a: Array) -> Array:
    """``a`` itself, or a copy if it is not C-contiguous and aligned."""
    flags = a.flags
    return a if flags.c_contiguous and flags.aligned else a.copy()


implementation = Implementation(
    name="numba_fused",
    load=load,
    summary="Numba: fused passes, statistics merged in double",
    capabilities=Capabilities(running_var_ddof=1),
    requires={"numba": "pip install 'bnbench[numba]'"},
    takes_out=True,
)
