"""What is taken of what a function of cs231n answers: exactly what the course says, or an error in its author's words.

But for axes of length 1 around a per-channel array, which are remarked and dropped; nothing is ever broadcast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bnbench.model import Array


class AnswerTypeError(TypeError):
    """A function answered something else than the course says: None, another number of values, no array."""


class AnswerShapeError(ValueError):
    """A function answered an array of another shape than the course says."""


class Remarks:
    """What is worth saying though it is right. Grows while implementations are called; each remark once."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}

    def add(self, text: str) -> None:
        self._texts[text] = None

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._texts)


def values(function: str, answer: object, names: Sequence[str]) -> Sequence[Any]:
    """As many values as there are names. Raises AnswerTypeError."""
    expected = f"expected {len(names)} values, ({', '.join(names)})"
    if answer is None:
        raise AnswerTypeError(f"{function} returned None, {expected}")
    if not isinstance(answer, tuple | list):
        raise AnswerTypeError(f"{function} returned one {type(answer).__name__}, {expected}")
    if len(answer) != len(names):
        raise AnswerTypeError(f"{function} returned {len(answer)} value{'s'[: len(answer) != 1]}, {expected}")
    return answer


def _array(function: str, name: str, value: object, shape: tuple[int, ...]) -> Array:
    if isinstance(value, np.generic | float | int):
        raise AnswerShapeError(f"{function}: {name} is a single number, expected shape {shape}")
    if type(value) is not np.ndarray:
        came = "None" if value is None else f"a {type(value).__name__}"
        raise AnswerTypeError(f"{function}: {name} is {came}, expected a NumPy array of shape {shape}")
    return value


def shaped(function: str, name: str, value: object, shape: tuple[int, ...]) -> Array:
    """The array of this shape. Raises AnswerTypeError and AnswerShapeError."""
    a = _array(function, name, value, shape)
    if a.shape != shape:
        raise AnswerShapeError(f"{function}: {name} has shape {a.shape}, expected {shape}")
    return a


def per_channel(function: str, name: str, value: object, shape: tuple[int, ...], remarks: Remarks) -> Array:
    """The array as ``(C,)``. Beside ``shape``, (C,), (1, C) and (1, C, 1, 1) are accepted with a remark.

    Raises AnswerTypeError and AnswerShapeError.
    """
    a = _array(function, name, value, shape)
    channels = max(shape)
    if a.shape == shape:
        return a.reshape(channels)
    if a.shape not in {(channels,), (1, channels), (1, channels, 1, 1)}:
        raise AnswerShapeError(f"{function}: {name} has shape {a.shape}, expected {shape}")
    named = {1: "(C,)", 2: "(1, C)", 4: "(1, C, 1, 1)"}
    remarks.add(f"{function}: {name} has shape {named[a.ndim]}, expected {named[len(shape)]}; its values are used")
    return a.reshape(channels)
