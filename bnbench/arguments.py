"""The argument check that an implementation may call first: a clear error instead of a wrong number."""

from __future__ import annotations

from typing import Any

import numpy as np

SUPPORTED = (np.dtype(np.float32), np.dtype(np.float64))


def check_arguments(
    x: object, gamma: object, beta: object, running_mean: object, running_var: object, *, training: object
) -> None:
    """Refuse what is not a batch normalization's arguments.

    Raises TypeError when ``x`` is not a float32 or float64 array, another array has another dtype,
    or ``training`` is not a bool; ValueError when ``x`` is not ``(N, C)`` or ``(N, C, *spatial)``
    up to five dimensions, or another array is not ``(C,)``.

    >>> import numpy as np
    >>> from bnbench import check_arguments
    >>> c = np.ones(3)
    >>> check_arguments(np.ones((4, 2)), c, c, c, c, training=True)
    Traceback (most recent call last):
        ...
    ValueError: gamma has shape (3,), expected (2,): one value for each channel of x
    """
    dtype, channels = _check_x(x)
    if training is not True and training is not False:
        raise TypeError(f"training is {training!r}, expected True or False")
    for name, a in (("gamma", gamma), ("beta", beta), ("running_mean", running_mean), ("running_var", running_var)):
        _check_per_channel(name, a, dtype, channels)


def check_grouped_arguments(x: object, gamma: object, beta: object, *, groups: object) -> None:
    """Refuse what is not the arguments of a norm within a row (layer, group, instance, rms).

    Raises TypeError and ValueError as :func:`check_arguments` does, and ValueError when ``groups`` is
    not a positive divisor of the number of channels.
    """
    dtype, channels = _check_x(x)
    if not isinstance(groups, int) or isinstance(groups, bool):
        raise TypeError(f"groups is {groups!r}, expected a whole number")
    if groups < 1 or channels % groups:
        raise ValueError(f"groups is {groups}, expected a positive divisor of the {channels} channels of x")
    for name, a in (("gamma", gamma), ("beta", beta)):
        _check_per_channel(name, a, dtype, channels)


def _check_x(x: object) -> tuple[np.dtype[Any], int]:
    if not isinstance(x, np.ndarray) or x.dtype not in SUPPORTED:
        raise TypeError(f"x is {_describe(x)}, expected a NumPy array of float32 or float64")
    if not 2 <= x.ndim <= 5:
        raise ValueError(f"x has shape {x.shape}, expected (N, C) or (N, C, *spatial) with 2 to 5 dimensions")
    return x.dtype, x.shape[1]


def _check_per_channel(name: str, a: object, dtype: np.dtype[Any], channels: int) -> None:
    if not isinstance(a, np.ndarray) or a.dtype != dtype:
        raise TypeError(f"{name} is {_describe(a)}, expected a NumPy array of {dtype} as x is")
    if a.shape != (channels,):
        raise ValueError(f"{name} has shape {a.shape}, expected ({channels},): one value for each channel of x")


def _describe(a: object) -> str:
    return f"an array of {a.dtype}" if isinstance(a, np.ndarray) else f"a {type(a).__name__}"
