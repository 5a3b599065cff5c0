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
running statistics, which are read back from it. What equals the course's default is left out, so that the default in
the file is tested as well: eps = 1e-5, momentum = 0.9, and in train mode running statistics that are all zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias

import numpy as np

from bnbench.adapters.cs231n_answers import AnswerTypeError, Remarks, per_channel, shaped, values
from bnbench.model import Array, Capabilities, Forward, GroupedForward, Implementation, Norm, Vjp

Function: TypeAlias = Callable[..., Any]
GRADIENTS = ("dx", "dgamma", "dbeta")
DEFAULTS = {"eps": 1e-5, "momentum": 0.9}
"""What the course's functions take where bn_param does not say."""


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
                capabilities=capabilities_of(layer),
            )
        )
    return tuple(found)


def capabilities_of(layer: Layer) -> Capabilities:
    """What the course says of a layer."""
    return Capabilities(norm=layer.norm, ranks=(layer.rank,), validates=False, eval_vjp=layer.norm != "batch")


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
    return partial(_within_rows, layer, forward, backward, remarks, takes_spread_gamma(layer, forward, remarks))


def _no_backward(words: str, *_: object) -> NoReturn:
    raise NoBackwardError(words)


def _batch(
    layer: Layer,
    forward: Function,
    backward: Function,
    remarks: Remarks,
    /,
    *arrays: Array,
    **options: Any,
) -> tuple[Array, tuple[Array, Array], Vjp]:
    arguments = batch_arguments(layer, *arrays, **options)
    bn_param = arguments[-1]
    bn_param |= {key: value.copy() for key, value in bn_param.items() if isinstance(value, np.ndarray)}
    given = tuple(bn_param)
    answer = forward(*arguments)
    y, running, cache = batch_outputs(layer, arguments, given, answer, remarks)
    if not options["training"]:
        return y, running, partial(_no_backward, no_backward_in_test_mode(layer))
    return y, running, partial(_gradients, layer, backward, cache, arguments, remarks)


def _within_rows(
    layer: Layer,
    forward: Function,
    backward: Function,
    remarks: Remarks,
    spread: bool,
    /,
    *arrays: Array,
    **options: Any,
) -> tuple[Array, Vjp]:
    arguments = row_arguments(layer, spread, *arrays, **options)
    y, cache = row_outputs(layer, arguments, forward(*arguments))
    return y, partial(_gradients, layer, backward, cache, arguments, remarks)


def _gradients(
    layer: Layer, backward: Function, cache: object, arguments: Sequence[Any], remarks: Remarks, dy: Array
) -> tuple[Array, Array, Array]:
    return gradients(layer, arguments, backward(dy, cache), remarks)


def batch_arguments(
    layer: Layer,
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
) -> tuple[Any, ...]:
    """What the forward of a batch norm is called with; the arrays are the caller's own. Raises EmptyBatchError."""
    _refuse_empty(layer, x)
    bn_param: dict[str, Any] = {"mode": "train" if training else "test", **_given(eps=eps, momentum=1 - momentum)}
    if not training or running_mean.any() or running_var.any():
        bn_param |= {"running_mean": running_mean, "running_var": running_var}
    return x, gamma, beta, bn_param


def row_arguments(
    layer: Layer, spread: bool, x: Array, gamma: Array, beta: Array, /, *, groups: int, eps: float
) -> tuple[Any, ...]:
    """What the forward of layer norm and of group norm is called with; gamma is (1, C, 1, 1) where ``spread``.

    Raises EmptyBatchError.
    """
    _refuse_empty(layer, x)
    shape = (1, -1, 1, 1) if spread else (-1,)
    count = () if layer.norm == "layer" else (groups,)
    return x, gamma.reshape(shape), beta.reshape(shape), *count, _given(eps=eps)


def batch_outputs(
    layer: Layer, arguments: Sequence[Any], given: Collection[str], answer: object, remarks: Remarks
) -> tuple[Array, tuple[Array, Array], object]:
    """y, the running statistics and the cache, from the answer and from bn_param as the call left it.

    ``given`` are the keys that bn_param had. Raises AnswerTypeError and AnswerShapeError.
    """
    x, gamma, _, bn_param = arguments
    out, cache = values(layer.forward, answer, ("out", "cache"))
    y = shaped(layer.forward, "out", out, x.shape)
    kept = []
    for key in ("running_mean", "running_var"):
        if key not in bn_param:
            words = f"removed {key} from" if key in given else f"put no {key} into"
            raise AnswerTypeError(f"{layer.forward} {words} bn_param, expected the new one there")
        kept.append(per_channel(layer.forward, f'bn_param["{key}"]', bn_param[key], gamma.shape, remarks))
    return y, (kept[0], kept[1]), cache


def row_outputs(layer: Layer, arguments: Sequence[Any], answer: object) -> tuple[Array, object]:
    """y and the cache of layer norm and of group norm. Raises AnswerTypeError and AnswerShapeError."""
    out, cache = values(layer.forward, answer, ("out", "cache"))
    return shaped(layer.forward, "out", out, arguments[0].shape), cache


def gradients(layer: Layer, arguments: Sequence[Any], answer: object, remarks: Remarks) -> tuple[Array, Array, Array]:
    """dx, dgamma and dbeta; ``arguments`` are the forward's. Raises AnswerTypeError and AnswerShapeError."""
    x, gamma = arguments[:2]
    dx, dgamma, dbeta = values(layer.backward, answer, GRADIENTS)
    return (
        shaped(layer.backward, "dx", dx, x.shape),
        per_channel(layer.backward, "dgamma", dgamma, gamma.shape, remarks),
        per_channel(layer.backward, "dbeta", dbeta, gamma.shape, remarks),
    )


def no_backward_in_test_mode(layer: Layer) -> str:
    """Why there are no gradients of batch norm in test mode."""
    return f"{layer.backward} is not defined for test mode by the course"


def _given(**options: float) -> dict[str, Any]:
    """The options that are not the course's defaults: those a caller leaves out, as the course's notebook does."""
    return {key: value for key, value in options.items() if value != DEFAULTS[key]}


def _refuse_empty(layer: Layer, x: Array) -> None:
    if x.size == 0:
        raise EmptyBatchError(f"{layer.forward} is not defined by the course for a batch without rows")


def takes_spread_gamma(layer: Layer, forward: Function, remarks: Remarks) -> bool:
    """Whether group norm wants gamma as (1, C, 1, 1); if it is (C,), that is remarked. Layer norm never does."""
    if layer.norm != "group":
        return False
    plain = _takes_plain_gamma(forward)
    if plain:
        remarks.add(
            f"{layer.forward} takes gamma and beta of shape (C,), as in editions of the course before 2021; "
            "since then they are (1, C, 1, 1)"
        )
    return not plain


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
