"""Kernels: the one door through which checks reach an implementation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np

from bnbench.blocks import groups_of
from bnbench.model import Array, Forward, Gradients, GroupedForward, Inputs, Kernel, Outputs, Vjp

ARGUMENTS = ("x", "gamma", "beta", "running_mean", "running_var")


def bound(forward: Forward | GroupedForward, inputs: Inputs) -> Callable[[], tuple[Any, ...]]:
    """The forward call of these inputs, as a function without arguments: what is timed.

    It returns ``(y, (running_mean, running_var), vjp)`` for batch norm and ``(y, vjp)`` for the others.
    """
    options = inputs.options
    call = cast("Callable[..., tuple[Any, ...]]", forward)
    if options.norm != "batch":
        channels = inputs.x.shape[1] if inputs.x.ndim > 1 else 1  # a wrong x is for the implementation to refuse
        groups = groups_of(channels, options.norm, options.groups)
        return partial(call, inputs.x, inputs.gamma, inputs.beta, groups=groups, eps=options.eps)
    return partial(
        call,
        *(getattr(inputs, name) for name in ARGUMENTS),
        training=options.training,
        eps=options.eps,
        momentum=options.momentum,
    )


def _called(forward: Forward | GroupedForward, inputs: Inputs) -> tuple[Array, tuple[Array, Array], Vjp]:
    answer = bound(forward, inputs)()
    if inputs.options.norm == "batch":
        y, (running_mean, running_var), vjp = answer
        return y, (running_mean, running_var), vjp
    y, vjp = answer
    return y, (inputs.running_mean, inputs.running_var), vjp


def local_kernel(forward: Forward | GroupedForward) -> Kernel:
    """A kernel over a forward function of this process; running statistics are echoed where there are none.

    Every call gets fresh copies of its arguments, so that no implementation can change what the
    checks hold; what it changed in its copies is reported in ``Outputs.mutated``. Outputs are
    copied as soon as they come, so that a buffer which is reused can't change behind a check.

    The kernel raises whatever the implementation raises, and TypeError for an output that is not
    exactly a NumPy array.
    """

    def kernel(inputs: Inputs, /, *dys: Array) -> Outputs:
        arguments = {name: getattr(inputs, name).copy() for name in ARGUMENTS}
        y, (running_mean, running_var), vjp = _called(forward, replace(inputs, **arguments))
        y, running_mean, running_var = _own(y=y, running_mean=running_mean, running_var=running_var)

        gradients = []
        mutated = []
        for dy in dys:
            given = dy.copy()
            dx, dgamma, dbeta = vjp(given)
            gradients.append(Gradients(*_own(dx=dx, dgamma=dgamma, dbeta=dbeta)))
            if not same_bits(given, dy):
                mutated.append("dy")
        mutated += [name for name, given in arguments.items() if not same_bits(given, getattr(inputs, name))]
        return Outputs(
            y=y,
            running_mean=running_mean,
            running_var=running_var,
            gradients=tuple(gradients),
            mutated=tuple(mutated),
        )

    return kernel


def refusal(kernel: Kernel, inputs: Inputs) -> str:
    """How the kernel refuses these inputs: ``"ValueError: message"``, or "" when it accepts them.

    Only TypeError and ValueError count as a refusal; anything else is raised on.
    """
    try:
        kernel(inputs)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays have the same shape, dtype and bytes; NaN equals itself, 0.0 is not -0.0."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _own(**outputs: Array) -> list[Array]:
    for name, a in outputs.items():
        if type(a) is not np.ndarray:  # a subclass could lie about its values
            raise TypeError(f"{name} came back as a {type(a).__name__}, expected a NumPy array")
    return [a.copy() for a in outputs.values()]
