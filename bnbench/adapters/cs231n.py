"""The layers of Stanford's cs231n behind the boundary of bnbench.

    batchnorm_forward(x, gamma, beta, bn_param) -> out, cache      batchnorm_backward(dout, cache) -> dx, dgamma, dbeta
    layernorm_forward(x, gamma, beta, ln_param) -> out, cache      and so on for each
    spatial_batchnorm_forward(x, gamma, beta, bn_param) -> out, cache
    spatial_groupnorm_forward(x, gamma, beta, G, gn_param) -> out, cache

x is ``(N, D)``, for the spatial layers ``(N, C, H, W)``; everything per channel is ``(D,)`` or ``(C,)``, and for group
norm ``(1, C, 1, 1)`` since the edition of 2021. Functions are called positionally, since argument names vary, and the
cache is theirs: it is handed on and never looked at. What a function answers is taken as it is, but for axes of
length 1 around a per-channel array, which are remarked and dropped; nothing is ever broadcast.

bn_param is made anew for every call: mode, eps, momentum (the course's weighs the *old* statistics) and copies of the
running statistics, which are read back from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias

import numpy as np

from bnbench.model import Array, Capabilities, Forward, GroupedForward, Implementation, Norm, Vjp

Function: TypeAlias = Callable[..., Any]
GRADIENTS = ("dx", "dgamma", "dbeta")


class AnswerTypeError(TypeError):
    """A function answered something else than the course says: None, another number of values, no array."""


class AnswerShapeError(ValueError):
    """A function answered an array of another shape than the course says."""


class NoBackwardError(LookupError):
    """Gradients are asked for where there is no backward function, or in test mode, where the course defines none."""


class LostFunctionError(LookupError):
    """A function that stands in the file could not be loaded."""


class EmptyBatchError(ValueError):
    """The course's layers are defined for at least one row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """Two functions of the course that make one implementation."""

    name: str
    forward: str
    backward: str
    norm: Norm
    rank: int


LAYERS = (
    Layer(name="batchnorm", forward="batchnorm_forward", backward="batchnorm_backward", norm="batch", rank=2),
    Layer(name="batchnorm_alt", forward="batchnorm_forward", backward="batchnorm_backward_alt", norm="batch", rank=2),
    Layer(name="layernorm", forward="layernorm_forward", backward="layernorm_backward", norm="layer", rank=2),
    Layer(
        name="spatial_batchnorm",
        forward="spatial_batchnorm_forward",
        backward="spatial_batchnorm_backward",
        norm="batch",
        rank=4,
    ),
    Layer(
        name="spatial_groupnorm",
        forward="spatial_groupnorm_forward",
        backward="spatial_groupnorm_backward",
        norm="group",
        rank=4,
    ),
)
FUNCTIONS = tuple(dict.fromkeys(name for layer in LAYERS for name in (layer.forward, layer.backward)))


class Remarks:
    """What is worth saying though it is right. Grows while implementations are called; each remark once."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}

    def add(self, text: str) -> None:
        self._texts[text] = None

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._texts)


def implementations(
    namespace: Mapping[str, Any], stem: str, remarks: Remarks, *, absent: Mapping[str, str] = MappingProxyType({})
) -> tuple[Implementation, ...]:
    """The layers that a module defines, named ``<stem>.batchnorm`` and so on.

    ``absent`` are functions that stand in the file and can't be used, each with why. A layer whose forward is among
    them has an implementation whose ``load`` raises LostFunctionError; one whose backward is missing raises
    NoBackwardError when a gradient is asked for. ``batchnorm_alt`` is there where its backward is.
    """
    found = []
    for layer in LAYERS:
        alternative = layer.name == "batchnorm_alt"
        if alternative and layer.backward not in namespace and layer.backward not in absent:
            continue
        if layer.forward not in absent and not callable(namespace.get(layer.forward)):
            if layer.backward in namespace and not alternative:
                remarks.add(f"{layer.backward} has no {layer.forward}, and can't be tested without")
            continue
        found.append(
            Implementation(
                name=f"{stem}.{layer.name}",
                load=partial(_load, layer, namespace, remarks, absent),
                summary=f"{layer.forward} and {layer.backward} of {stem}",
                capabilities=Capabilities(
                    norm=layer.norm,
                    ranks=(layer.rank,),
                    validates=False,
                    eval_vjp=layer.norm != "batch",
                ),
            )
        )
    return tuple(found)


def _load(
    layer: Layer, namespace: Mapping[str, Any], remarks: Remarks, absent: Mapping[str, str]
) -> Forward | GroupedForward:
    if layer.forward in absent:
        raise LostFunctionError(f"{layer.forward} {absent[layer.forward]}")
    forward: Function = namespace[layer.forward]
    backward = namespace.get(layer.backward)
    if layer.backward in absent or not callable(backward):
        backward = partial(_no_backward, f"{layer.backward} {absent.get(layer.backward, 'is not defined')}")
    if layer.norm == "batch":
        return partial(_batch, layer, forward, backward, remarks)
    if layer.norm == "layer":
        return partial(_within_rows, layer, forward, backward, remarks, False)
    plain = _takes_plain_gamma(forward)
    if plain:
        remarks.add(
            f"{layer.forward} takes gamma and beta of shape (C,), as in editions of the course before 2021; "
            "since then they are (1, C, 1, 1)"
        )
    return partial(_within_rows, layer, forward, backward, remarks, not plain)


def _no_backward(words: str, *_: object) -> NoReturn:
    raise NoBackwardError(words)


def _batch(
    layer: Layer,
    forward: Function,
    backward: Function,
    remarks: Remarks,
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
    _refuse_empty(layer, x)
    bn_param = {
        "mode": "train" if training else "test",
        "eps": eps,
        "momentum": 1 - momentum,
        "running_mean": running_mean.copy(),
        "running_var": running_var.copy(),
    }
    out, cache = _values(layer.forward, forward(x, gamma, beta, bn_param), ("out", "cache"))
    y = _shaped(layer.forward, "out", out, x.shape)
    kept = []
    for key in ("running_mean", "running_var"):
        if key not in bn_param:
            raise AnswerTypeError(f"{layer.forward} removed {key} from bn_param, expected the new one there")
        kept.append(_per_channel(layer.forward, f'bn_param["{key}"]', bn_param[key], gamma.shape, remarks))
    if training:
        return y, (kept[0], kept[1]), partial(_gradients, layer, backward, cache, x.shape, gamma.shape, remarks)
    return y, (kept[0], kept[1]), partial(_no_backward, f"{layer.backward} is not defined for test mode by the course")


def _within_rows(
    layer: Layer,
    forward: Function,
    backward: Function,
    remarks: Remarks,
    spread: bool,
    x: Array,
    gamma: Array,
    beta: Array,
    /,
    *,
    groups: int,
    eps: float,
) -> tuple[Array, Vjp]:
    """Layer norm, and group norm with gamma and beta ``(1, C, 1, 1)`` where ``spread``."""
    _refuse_empty(layer, x)
    shape = (1, -1, 1, 1) if spread else (-1,)
    count = () if layer.norm == "layer" else (groups,)
    answer = forward(x, gamma.reshape(shape), beta.reshape(shape), *count, {"eps": eps})
    out, cache = _values(layer.forward, answer, ("out", "cache"))
    per_channel = gamma.reshape(shape).shape
    vjp = partial(_gradients, layer, backward, cache, x.shape, per_channel, remarks)
    return _shaped(layer.forward, "out", out, x.shape), vjp


def _gradients(
    layer: Layer,
    backward: Function,
    cache: object,
    shape: tuple[int, ...],
    per_channel: tuple[int, ...],
    remarks: Remarks,
    dy: Array,
) -> tuple[Array, Array, Array]:
    dx, dgamma, dbeta = _values(layer.backward, backward(dy, cache), GRADIENTS)
    return (
        _shaped(layer.backward, "dx", dx, shape),
        _per_channel(layer.backward, "dgamma", dgamma, per_channel, remarks),
        _per_channel(layer.backward, "dbeta", dbeta, per_channel, remarks),
    )


def _refuse_empty(layer: Layer, x: Array) -> None:
    if x.size == 0:
        raise EmptyBatchError(f"{layer.forward} is not defined by the course for a batch without rows")


def _values(function: str, answer: object, names: Sequence[str]) -> Sequence[Any]:
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


def _shaped(function: str, name: str, value: object, shape: tuple[int, ...]) -> Array:
    a = _array(function, name, value, shape)
    if a.shape != shape:
        raise AnswerShapeError(f"{function}: {name} has shape {a.shape}, expected {shape}")
    return a


def _per_channel(function: str, name: str, value: object, shape: tuple[int, ...], remarks: Remarks) -> Array:
    """The array as ``(C,)``. Beside ``shape``, (C,), (1, C) and (1, C, 1, 1) are accepted with a remark."""
    a = _array(function, name, value, shape)
    channels = max(shape)
    if a.shape == shape:
        return a.reshape(channels)
    if a.shape not in {(channels,), (1, channels), (1, channels, 1, 1)}:
        raise AnswerShapeError(f"{function}: {name} has shape {a.shape}, expected {shape}")
    named = {1: "(C,)", 2: "(1, C)", 4: "(1, C, 1, 1)"}
    remarks.add(f"{function}: {name} has shape {named[a.ndim]}, expected {named[len(shape)]}; its values are used")
    return a.reshape(channels)


def _takes_plain_gamma(forward: Function) -> bool:
    """Whether group norm wants gamma as ``(C,)``: the later ``(1, C, 1, 1)`` fails and the earlier does not.

    All sizes differ, so that a gamma of the wrong shape can't be broadcast by chance.
    """
    x = np.linspace(-1.0, 1.0, 120).reshape(2, 4, 3, 5)

    def fits(shape: tuple[int, ...]) -> bool:
        try:
            with np.errstate(all="ignore"):
                out = forward(x.copy(), np.full(shape, 2.0), np.full(shape, 1.0), 2, {"eps": 1e-5})[0]
        except Exception:  # noqa: BLE001 - whatever a student's function raises says that this is not its shape
            return False
        return type(out) is np.ndarray and out.shape == x.shape

    return not fits((1, 4, 1, 1)) and fits((4,))
