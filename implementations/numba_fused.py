"""Batch normalization compiled by Numba: the passes and the accuracy of ``c_fused``, in Python syntax.

The kernels are in ``_numba_kernels``, which imports Numba and is imported by ``load``. Loading compiles
them, which takes seconds the first time; later processes take them from Numba's disk cache.
"""

from __future__ import annotations

import math
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
    ) -> tuple[Array, tuple[Array, Array], Vjp]:
        check_arguments(x, gamma, beta, running_mean, running_var, training=training)
        if not eps >= 0:
            raise ValueError(f"eps is {eps}, expected at least 0")
        shape = x.shape
        spatial = math.prod(shape[2:])
        count = shape[0] * spatial
        if training and count == 1:
            raise ValueError(f"x has shape {shape}, expected more than 1 value per channel when training")

        planes = x.ndim > 2
        flat = (*shape[:2], spatial) if planes else shape
        x = _contiguous(x).reshape(flat)
        gamma = gamma.copy()
        beta, running_mean, running_var = map(_contiguous, (beta, running_mean, running_var))
        y = np.empty_like(x)
        mean = np.empty_like(running_mean)
        var = np.empty_like(running_var)
        saved = np.empty((3, gamma.size))
        kernel = kernels.forward_planes if planes else kernels.forward_rows
        # Nothing can be learnt from an empty batch: the running statistics stay.
        kernel(x, gamma, beta, running_mean, running_var, training and count > 0, eps, momentum, y, mean, var, saved)

        def vjp(dy: Array) -> tuple[Array, Array, Array]:
            _check_cotangent(dy, x.dtype, shape)
            dx = np.empty_like(x)
            dgamma = np.zeros_like(gamma)
            dbeta = np.zeros_like(gamma)
            if count:
                kernel = kernels.backward_planes if planes else kernels.backward_rows
                kernel(x, _contiguous(dy).reshape(flat), gamma, training, saved, dx, dgamma, dbeta)
            return dx.reshape(shape), dgamma, dbeta

        return y.reshape(shape), (mean, var), vjp

    return forward


def _check_cotangent(dy: object, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if not isinstance(dy, np.ndarray) or dy.dtype != dtype:
        found = f"an array of {dy.dtype}" if isinstance(dy, np.ndarray) else f"a {type(dy).__name__}"
        raise TypeError(f"dy is {found}, expected a NumPy array of {dtype} as x is")
    if dy.shape != shape:
        raise ValueError(f"dy has shape {dy.shape}, expected the shape of x, {shape}")


def _contiguous(a: Array) -> Array:
    """``a`` itself, or a copy if it is not C-contiguous and aligned."""
    return a if a.flags.c_contiguous and a.flags.aligned else a.copy()


implementation = Implementation(
    name="numba_fused",
    load=load,
    summary="Numba: fused passes, statistics merged in double",
    capabilities=Capabilities(running_var_ddof=1),
    requires={"numba": "pip install 'bnbench[numba]'"},
)
