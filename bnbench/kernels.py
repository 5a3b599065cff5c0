"""Kernels: the one door through which checks reach an implementation."""

from __future__ import annotations

import numpy as np

from bnbench.model import Array, Forward, Gradients, Inputs, Kernel, Outputs

ARGUMENTS = ("x", "gamma", "beta", "running_mean", "running_var")


def local_kernel(forward: Forward) -> Kernel:
    """A kernel over a forward function of this process.

    Every call gets fresh copies of its arguments, so that no implementation can change what the
    checks hold; what it changed in its copies is reported in ``Outputs.mutated``. Outputs are
    copied as soon as they come, so that a buffer which is reused can't change behind a check.

    The kernel raises whatever the implementation raises, and TypeError for an output that is not
    exactly a NumPy array.
    """

    def kernel(inputs: Inputs, /, *dys: Array) -> Outputs:
        arguments = {name: getattr(inputs, name).copy() for name in ARGUMENTS}
        options = inputs.options
        y, (running_mean, running_var), vjp = forward(
            *arguments.values(), training=options.training, eps=options.eps, momentum=options.momentum
        )
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
