"""Gradient checks of people's own functions, normalization or not: the public doors.

``verify(forward, backward, *arrays)`` asks of any differentiable function of arrays whether its backward
is the derivative of its forward, argument by argument. No step, no tolerance: steps are searched for,
noise is measured (:mod:`bnbench.directions`), and the verdict is the deviation in units of it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bnbench.argument import judged
from bnbench.directions import Point
from bnbench.kernels import same_bits
from bnbench.model import Array, Status
from bnbench.verdict import ArgumentVerdict, Verdict, overall

if TYPE_CHECKING:
    import torch

ELEMENTS = 200


def verify(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *arrays: Array,
    names: Sequence[str] | None = None,
    seed: int = 0,
    directions: int = 4,
    elements: int = ELEMENTS,
) -> Verdict:
    """Is ``backward`` the derivative of ``forward`` at these arrays?

    ``forward(*arrays)`` returns ``y``, an array or a number, and ``backward(dy, *arrays)`` the gradient of
    <dy, y>, one for each array: a tuple, or for a single array just the gradient. A forward that returns
    ``(y, cache)`` has its ``backward(dy, cache)`` called instead. ``None`` in place of a gradient claims
    nothing. Every call gets fresh copies; what is changed in them is reported.

    Per argument: the slope of <dy, y> along random directions, in units of the measured noise, and for
    arrays of up to ``elements`` elements (0: never) the numeric derivative of each, for the worst one and the
    courses' relative error. Costs about 45 evaluations a direction. ``names`` are those of the arguments
    (default: the parameters of ``forward``); everything drawn is drawn with ``seed``.

    Raises TypeError for an argument that is not an array of floats, and for a y that is not; ValueError
    when there is no argument, when an argument or y is not finite, or when the gradients are not as many as
    the arguments. What the functions raise is passed on.
    """
    pair = _pair(forward, backward, arrays, names)
    y, pull = pair.call(pair.arrays)
    if not np.isfinite(y).all():
        raise ValueError(f"{pair.name} returned {y.ravel()[~np.isfinite(y.ravel())][0]} in y: nothing can be measured")
    again, _ = pair.call(pair.arrays)
    rng = np.random.default_rng(seed)
    dy = np.asarray(rng.standard_normal(y.shape), dtype=y.dtype)
    gradients = pull(dy)

    verdicts = tuple(
        _argument(pair, position, gradients[position], dy, rng, directions=directions, elements=elements)
        for position in range(len(pair.arrays))
    )
    notes = () if same_bits(y, again) else ("two calls of the forward with the same arguments differ",)
    mutated = tuple(name for name in ("dy", *pair.names) if name in pair.mutated)
    return Verdict(name=pair.name, status=overall(verdicts), arguments=verdicts, mutated=mutated, notes=notes)


def verify_cs231n(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *arrays: Array,
    param: Mapping[str, Any] | None = None,
    **options: Any,
) -> Verdict:
    """Verify a layer of cs231n: ``forward(x, ..., param) -> (out, cache)``, ``backward(dout, cache) -> (dx, ...)``.

    Without arrays the layer is taken for a normalization and given x ``(9, 5)``, gamma and beta ``(5,)``, and
    ``{"mode": "train"}``. ``param`` is copied for every call, so that running averages start anew; without it
    (and with arrays) the forward is called without. Options and errors are those of :func:`verify`.
    """
    if not arrays:
        rng = np.random.default_rng(231)
        arrays = (5 * rng.standard_normal((9, 5)) + 12, rng.standard_normal(5), rng.standard_normal(5))
        param = {"mode": "train"} if param is None else param
    extra = () if param is None else (param,)
    options.setdefault("names", _parameters(forward, len(arrays)))

    def layer(*given: Array) -> Any:
        return forward(*given, *copy.deepcopy(extra))

    layer.__name__ = _name(forward)
    return verify(layer, backward, *arrays, **options)


def verify_torch(function: Callable[..., torch.Tensor], *arrays: Array | torch.Tensor, **options: Any) -> Verdict:
    """Verify what torch differentiates: a function of tensors that returns one, or an ``nn.Module``.

    Its autograd is the backward. A module is copied and converted to the dtype of the first array (float64
    sees most), its parameters are verified like arguments, and its buffers start anew at every call.
    Options and errors are those of :func:`verify`.
    """
    import torch

    inputs = [a.detach().cpu().numpy() if isinstance(a, torch.Tensor) else np.asarray(a) for a in arrays]
    call, parameters = function, {}
    names = _parameters(function.forward if isinstance(function, torch.nn.Module) else function, len(inputs))
    if isinstance(function, torch.nn.Module) and inputs:
        module = copy.deepcopy(function).cpu().to(torch.from_numpy(inputs[0]).dtype)
        parameters = {name: p.detach().numpy() for name, p in module.named_parameters() if p.requires_grad}
        buffers = dict(module.named_buffers())

        def call(*tensors: torch.Tensor) -> torch.Tensor:
            own = dict(zip(parameters, tensors[len(inputs) :], strict=True))
            state = {name: buffer.clone() for name, buffer in buffers.items()}
            result: torch.Tensor = torch.func.functional_call(module, own | state, tensors[: len(inputs)])
            return result

    def forward(*given: Array) -> tuple[Array, Any]:
        tensors = [torch.from_numpy(a).requires_grad_() for a in given]
        y = call(*[tensor.view_as(tensor) for tensor in tensors])  # a leaf could not be changed in place
        return y.detach().numpy(), (tensors, y)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        tensors, y = cache
        if not y.requires_grad:
            return tuple(None for _ in tensors)
        gradients = torch.autograd.grad(y, tensors, torch.from_numpy(dy), allow_unused=True)
        return tuple(None if g is None else g.numpy() for g in gradients)

    forward.__name__ = _name(function)
    options.setdefault("names", [*names, *parameters])
    return verify(forward, backward, *inputs, *parameters.values(), **options)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two functions and the arrays at which they are looked at; every call gets copies."""

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    arrays: tuple[Array, ...]
    names: tuple[str, ...]
    mutated: set[str] = field(default_factory=set)
    """Grows while the functions are called."""

    def call(self, arrays: Sequence[Array]) -> tuple[Array, Callable[[Array], list[Array | None]]]:
        """y, and the function from dy to the gradients of all arguments."""
        copies = [a.copy() for a in arrays]
        answer = self.forward(*copies)
        self._compare(copies, arrays)
        cached = isinstance(answer, tuple)
        if cached and len(answer) != 2:
            raise ValueError(f"{self.name} returned {len(answer)} values; expected y, or y and a cache")
        y = np.array(answer[0] if cached else answer)
        if y.dtype not in (np.float16, np.float32, np.float64):
            raise TypeError(f"{self.name} returned {y.dtype}; expected an array of floats, or a float")

        def pull(dy: Array) -> list[Array | None]:
            given, again = dy.copy(), [a.copy() for a in arrays]
            gradients = self.backward(given, answer[1]) if cached else self.backward(given, *again)
            self._compare(again, arrays)
            self.mutated.update(set() if same_bits(given, dy) else {"dy"})
            gradients = list(gradients) if isinstance(gradients, tuple | list) else [gradients]
            if len(gradients) != len(arrays):
                raise ValueError(
                    f"the backward returned {_count(len(gradients), 'gradient')} for {_count(len(arrays), 'argument')}"
                )
            return [None if g is None else np.array(g) for g in gradients]

        return y, pull

    def _compare(self, copies: Sequence[Array], arrays: Sequence[Array]) -> None:
        changed = zip(self.names, copies, arrays, strict=True)
        self.mutated.update(name for name, copied, a in changed if not same_bits(copied, a))


def _pair(
    forward: Callable[..., Any], backward: Callable[..., Any], arrays: Sequence[Array], names: Sequence[str] | None
) -> Pair:
    if not arrays:
        raise ValueError("no argument to differentiate with respect to: verify(forward, backward, x, ...)")
    names = tuple(names or _parameters(forward, len(arrays)))
    if len(names) != len(arrays):
        raise ValueError(f"{_count(len(names), 'name')} for {_count(len(arrays), 'argument')}")
    for name, a in zip(names, arrays, strict=True):
        if not isinstance(a, np.ndarray | np.floating | float):
            raise TypeError(f"{name} is a {type(a).__name__}; expected an array of floats. {_CONSTANTS}")
        if np.asarray(a).dtype not in (np.float16, np.float32, np.float64):
            raise TypeError(f"{name} is {np.asarray(a).dtype}; expected float16, float32 or float64. {_CONSTANTS}")
        if not np.isfinite(a).all():
            raise ValueError(f"{name} is not finite: there is no derivative at nan or inf")
    own = tuple(np.array(a) for a in arrays)
    return Pair(name=_name(forward), forward=forward, backward=backward, arrays=own, names=names)


_CONSTANTS = "Labels and other constants belong into the function: verify(lambda x: loss(x, labels), ...)"


def _argument(
    pair: Pair,
    position: int,
    gradient: Array | None,
    dy: Array,
    rng: np.random.Generator,
    *,
    directions: int,
    elements: int,
) -> ArgumentVerdict:
    name, x = pair.names[position], pair.arrays[position]
    if gradient is None:
        return ArgumentVerdict(name=name, status=Status.SKIPPED, reason="no gradient claimed")
    wrong = ""
    if gradient.shape != x.shape:
        wrong = f"the gradient has shape {gradient.shape}, the argument {x.shape}"
    elif gradient.dtype.kind != "f":
        wrong = f"the gradient is {gradient.dtype}, the argument {x.dtype}"
    elif not np.isfinite(gradient).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(gradient))[0])
        wrong = f"the gradient is {gradient[index]} at {list(index)}"
    if wrong:
        return ArgumentVerdict(name=name, status=Status.FAILED, reason=wrong)
    if not x.size:
        return ArgumentVerdict(name=name, status=Status.SKIPPED, reason="an empty array")

    weight = dy.astype(np.float64)

    def at(a: Array) -> tuple[Array, Callable[[Array], list[Array | None]]]:
        with np.errstate(all="ignore"):  # far from x a function may well overflow: that step is then not used
            return pair.call([*pair.arrays[:position], a, *pair.arrays[position + 1 :]])

    def loss(a: Array) -> tuple[float, float]:
        terms = weight * at(a)[0]
        return float(terms.sum()), float(np.sqrt((terms**2).sum()))

    def slope_of(a: Array) -> Array:
        with np.errstate(all="ignore"):
            found = at(a)[1](dy)[position]
        return np.full(x.shape, np.nan) if found is None else found.astype(np.float64)

    point = Point(loss=loss, gradient=slope_of, x=x, dx=gradient.astype(np.float64))
    with np.errstate(all="ignore"):
        return judged(name, point, rng, directions=directions, elements=elements)


def _parameters(function: Callable[..., Any], count: int) -> tuple[str, ...]:
    """The names of the first parameters of a function, or x0, x1, ... where it does not tell."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(named[:count]) if len(named) >= count else tuple(f"x{position}" for position in range(count))


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
