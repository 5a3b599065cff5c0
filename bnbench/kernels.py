"""Kernels: the one door through which checks reach an implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np

from bnbench.blocks import groups_of
from bnbench.model import Array, Forward, Gradients, GroupedForward, Inputs, Kernel, Options, Outputs, Vjp

ARGUMENTS = ("x", "gamma", "beta", "running_mean", "running_var")
RETURNED = ("y", "running_mean", "running_var")
GRADIENTS = ("dx", "dgamma", "dbeta")
LARGE = 1 << 16
"""Bytes of an array from which on copies of it cost more than a few calls."""
WORD = 8
"""Bytes of the widest integer of NumPy."""
Point: TypeAlias = tuple[Inputs, tuple[Array, ...]]
"""Inputs, and the cotangents to go back with."""


@runtime_checkable
class BatchKernel(Protocol):
    """A kernel that takes many points at a time, because each exchange with what is behind it costs something."""

    def __call__(self, inputs: Inputs, /, *dys: Array, beside: Inputs | None = None) -> Outputs: ...

    def batch(self, points: Iterable[Point], /) -> Iterator[Outputs]: ...


def outputs_at(kernel: Kernel, points: Iterable[Point]) -> Iterator[Outputs]:
    """The outputs at points none of which depends on another's, in order; raises what the kernel raises.

    Each point's x must be nobody else's, for it may be changed; ``mutated`` and ``overwritten`` may be empty.
    """
    if isinstance(kernel, BatchKernel):
        return kernel.batch(points)
    return (kernel(inputs, *dys) for inputs, dys in points)


def bound(
    forward: Forward | GroupedForward, inputs: Inputs, out: tuple[Array, ...] | None = None
) -> Callable[[], tuple[Any, ...]]:
    """The forward call of these inputs, as a function without arguments: what is timed.

    It returns ``(y, (running_mean, running_var), vjp)`` for batch norm and ``(y, vjp)`` for the others. ``out``
    is for a forward that takes it: arrays to fill, ``(y, running_mean, running_var)`` or ``(y,)``.
    """
    arrays = (inputs.x, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var)
    return _bound(forward, arrays, inputs.options, out)


def _bound(
    forward: Forward | GroupedForward, arrays: tuple[Array, ...], options: Options, out: tuple[Array, ...] | None = None
) -> Callable[[], tuple[Any, ...]]:
    # Closures: a partial would copy its keywords in every call, which takes a fifth of the fastest one.
    call = cast("Callable[..., tuple[Any, ...]]", forward)
    x, gamma, beta, running_mean, running_var = arrays
    eps, training, momentum = options.eps, options.training, options.momentum
    if options.norm == "batch":
        if out is None:
            return lambda: call(
                x, gamma, beta, running_mean, running_var, training=training, eps=eps, momentum=momentum
            )
        return lambda: call(
            x, gamma, beta, running_mean, running_var, training=training, eps=eps, momentum=momentum, out=out
        )
    channels = x.shape[1] if x.ndim > 1 else 1  # a wrong x is for the implementation to refuse
    groups = groups_of(channels, options.norm, options.groups)
    if out is None:
        return lambda: call(x, gamma, beta, groups=groups, eps=eps)
    return lambda: call(x, gamma, beta, groups=groups, eps=eps, out=out)


def _called(
    forward: Forward | GroupedForward, arrays: tuple[Array, ...], options: Options
) -> tuple[Array, tuple[Array, Array], Vjp]:
    answer = _bound(forward, arrays, options)()
    if options.norm == "batch":
        y, (running_mean, running_var), vjp = answer
        return y, (running_mean, running_var), vjp
    y, vjp = answer
    return y, (arrays[3], arrays[4]), vjp


def local_kernel(forward: Forward | GroupedForward) -> BatchKernel:
    """A kernel over a forward function of this process; running statistics are echoed where there are none.

    Every call gets fresh copies of its arguments, so that no implementation can change what the
    checks hold; what it changed in its copies is reported in ``Outputs.mutated``. Outputs are
    copied as soon as they come, so that a buffer which is reused can't change behind a check; it is
    reported in ``Outputs.overwritten``.

    The kernel raises whatever the implementation raises, and TypeError for an output that is not
    exactly a NumPy array.
    """
    return _LocalKernel(forward)


class _LocalKernel:
    def __init__(self, forward: Forward | GroupedForward) -> None:
        self._forward = forward

    def __call__(self, inputs: Inputs, /, *dys: Array, beside: Inputs | None = None) -> Outputs:
        given = _copies(inputs)
        y, running, vjp = _called(self._forward, tuple(given.values()), inputs.options)
        returned = [*map(_Returned, RETURNED, (y, *running))]
        if beside is not None:
            _called(self._forward, tuple(_copies(beside).values()), beside.options)

        gradients = []
        mutated = []
        for dy in dys:
            given_dy = _copied(dy, inputs)
            returned += map(_Returned, GRADIENTS, _three(vjp(given_dy)))
            gradients.append(Gradients(*(output.copy for output in returned[-3:])))
            if not same_bits(given_dy, dy):
                mutated.append("dy")
        mutated += [name for name, a in given.items() if not same_bits(a, getattr(inputs, name))]
        y, running_mean, running_var = (output.copy for output in returned[:3])
        return Outputs(
            y=y,
            running_mean=running_mean,
            running_var=running_var,
            gradients=tuple(gradients),
            mutated=tuple(mutated),
            overwritten=tuple(dict.fromkeys(output.name for output in returned if output.changed)),
        )

    def batch(self, points: Iterable[Point], /) -> Iterator[Outputs]:
        """Without looking for what was mutated or overwritten, which takes longer than a fast forward."""
        for inputs, dys in points:
            per_channel = [getattr(inputs, name).copy() for name in ARGUMENTS[1:]]
            y, running, vjp = _called(self._forward, (inputs.x, *per_channel), inputs.options)
            y, running_mean, running_var = map(_own, RETURNED, (y, *running))
            gradients = tuple(Gradients(*map(_own, GRADIENTS, _three(vjp(dy.copy())))) for dy in dys)
            yield Outputs(y=y, running_mean=running_mean, running_var=running_var, gradients=gradients)


def refusal(kernel: Kernel, inputs: Inputs) -> str:
    """How the kernel refuses these inputs: ``"ValueError: message"``, or "" when it accepts them."""
    answer = attempt(kernel, inputs)
    return answer if isinstance(answer, str) else ""


def attempt(kernel: Kernel, inputs: Inputs, /, *dys: Array) -> Outputs | str:
    """What the kernel answers, or how it refuses: ``"ValueError: message"``.

    Only TypeError and ValueError count as a refusal; anything else is raised on.
    """
    try:
        return kernel(inputs, *dys)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays have the same shape, dtype and bytes; NaN equals itself, 0.0 is not -0.0."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.nbytes >= LARGE and a.dtype.kind == "f" and a.itemsize <= WORD:  # spares two copies of it
        bits = f"u{a.itemsize}"
        return bool((a.view(bits) == b.view(bits)).all())
    return a.tobytes() == b.tobytes()


def _copies(inputs: Inputs) -> dict[str, Any]:
    return {name: _copied(getattr(inputs, name), inputs) for name in ARGUMENTS}


def _copied(a: Array, inputs: Inputs) -> Array:
    return laid_out_alike(a) if inputs.as_laid_out else a.copy()


def laid_out_alike(a: Array) -> Array:
    """A copy with the strides of ``a`` and as writeable as ``a``, in memory of its own; NaN in the gaps.

    >>> a = np.arange(6.0)[::-2]
    >>> laid_out_alike(a).tolist(), laid_out_alike(a).strides
    ([5.0, 3.0, 1.0], (-16,))
    """
    spans = [(length - 1) * stride // a.itemsize for length, stride in zip(a.shape, a.strides, strict=True)]
    first = -sum(span for span in spans if span < 0)
    memory = np.full(first + sum(span for span in spans if span > 0) + 1, np.nan, dtype=a.dtype)
    copy: Array = np.ndarray(a.shape, a.dtype, memory, first * a.itemsize, a.strides) if a.size else a.copy()
    copy[...] = a
    copy.flags.writeable = a.flags.writeable
    return copy


def _three(answer: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """What a vjp returned. Raises ValueError and TypeError where it is not three values."""
    dx, dgamma, dbeta = answer
    return dx, dgamma, dbeta


def _own(name: str, output: Array) -> Array:
    """A copy of an output. Raises TypeError for what is not exactly an array: a subclass could lie about its values."""
    if type(output) is not np.ndarray:
        raise TypeError(f"{name} came back as a {type(output).__name__}, expected a NumPy array")
    return output.copy()


class _Returned:
    """An output, and a copy of it as it was when it came."""

    def __init__(self, name: str, output: Array) -> None:
        self.name = name
        self.output = output
        self.copy = _own(name, output)

    @property
    def changed(self) -> bool:
        return not same_bits(self.output, self.copy)
