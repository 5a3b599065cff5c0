"""The decision rules of gradient checkers, each as it is used, on one batch normalization in train mode.

Every rule gets the same forward function and the same data in float64, and answers with one number in units of
its own limit: it objects to what is not below the limit. Defaults are kept throughout:

- **textbook loop**: cs231n's ``eval_numerical_gradient_array`` with h = 1e-5, element by element, and its relative
  error; the notebook expects dx between 1e-13 and 1e-8, and users of larger layers allow 1e-7.
- **gradcheck**: ``torch.autograd.gradcheck`` with its default steps and tolerances, on the function wrapped
  as a ``torch.autograd.Function``. On a mismatch fast mode computes the slow Jacobian for its message;
  the verdict is known by then, and the wrapper stops it there.
- **random projection**: the rule of JAX's ``check_grads`` in reverse mode (``jax._src.public_test_util``,
  restated here: JAX is not run): one direction of all inputs together from seed 0, step 1e-4, absolute and
  relative tolerance 1e-5, for y times its size.
- **bnbench**: what the checks BN301, BN302, BN303 and BN102 judge by: z of dx along three random
  directions, z of dgamma and dbeta, and y against the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from bnbench.checks.forward import rounding_unit
from bnbench.compare import compare, relative_error
from bnbench.differences import directional_deviation, parameter_deviation
from bnbench.figures import textbook_differences
from bnbench.kernels import bound, local_kernel
from bnbench.model import Array, Forward, Gradients, Inputs, Vjp
from bnbench.reference import normalize
from bnbench.tolerances import ESCALATE, NOISE, ROUNDING

FAST_MODE_EVALUATIONS = 32
"""More forward evaluations than fast mode needs for its verdict (8); fewer than its message takes."""
PROJECTION_STEP = 1e-4
PROJECTION_TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A checker: how it measures, and the limits by which it decides."""

    name: str
    limits: tuple[float, ...]
    """Each is a row of its own: one measurement, several limits in use."""
    measure: Callable[[Forward, Inputs, Array], float]
    """From a forward function, its inputs and dy to the number that is compared with the limit."""
    largest: int | None = None
    """Number of elements of x beyond which it is not run."""
    evaluations: Callable[[Inputs], int] | None = None
    """What it would cost there."""
    requires: str = ""
    """A module that must be installed."""


def textbook(forward: Forward, inputs: Inputs, dy: Array) -> float:
    """The largest relative error of dx, dgamma and dbeta."""
    analytic = Gradients(*_step(forward, inputs)[1](dy))

    def differences(name: str) -> Array:
        def y(moved: Array) -> Array:
            change: dict[str, Any] = {name: moved}
            return _step(forward, replace(inputs, **change))[0]

        return textbook_differences(y, getattr(inputs, name), dy)

    errors = [relative_error(a, differences(n)) for n, a in zip(("x", "gamma", "beta"), analytic, strict=True)]
    return float(np.max(errors))


class _KnownByNow(Exception):
    """Fast mode asks for more than its verdict takes: it has found a mismatch and words its message."""


def gradcheck(forward: Forward, inputs: Inputs, _: Array, *, fast: bool) -> float:
    """0 if gradcheck passes, inf if it objects. It chooses its own cotangents."""
    import torch

    calls = 0

    class Normalization(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if fast and calls > FAST_MODE_EVALUATIONS:
                raise _KnownByNow
            x, gamma, beta = (a.detach().numpy().copy() for a in arguments)
            y, ctx.vjp = _step(forward, replace(inputs, x=x, gamma=gamma, beta=beta))
            return torch.from_numpy(y)

        @staticmethod
        def backward(ctx: Any, *dys: torch.Tensor) -> Any:
            gradients = ctx.vjp(np.ascontiguousarray(dys[0].numpy()).copy())
            return tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in gradients)

    arguments = [torch.from_numpy(a.copy()).requires_grad_() for a in (inputs.x, inputs.gamma, inputs.beta)]
    try:
        passed = torch.autograd.gradcheck(Normalization.apply, arguments, raise_exception=False, fast_mode=fast)
    except _KnownByNow:
        passed = False
    return 0.0 if passed else np.inf


def random_projection(forward: Forward, inputs: Inputs, _: Array) -> float:
    """The distance of the two inner products (and of y from itself), in units of the tolerance."""
    rng = np.random.RandomState(0)
    arguments = {name: getattr(inputs, name) for name in ("x", "gamma", "beta")}
    y, vjp = _step(forward, inputs)
    again = _step(forward, inputs)[0]
    tangents = {name: rng.randn(*a.shape) for name, a in arguments.items()}

    def moved(sign: int) -> Array:
        there: dict[str, Any] = {n: a + sign * PROJECTION_STEP * tangents[n] for n, a in arguments.items()}
        return _step(forward, replace(inputs, **there))[0]

    numeric = (moved(1) - moved(-1)) * (0.5 / PROJECTION_STEP)
    cotangent = rng.randn(*y.shape)
    got = sum(float(np.vdot(tangents[n], g)) for n, g in zip(arguments, vjp(cotangent), strict=True))
    expected = float(np.vdot(numeric, cotangent))
    of_y = np.abs(y - again) / (PROJECTION_TOLERANCE * y.size * (1 + np.abs(again)))
    of_products = abs(got - expected) / (PROJECTION_TOLERANCE * (1 + abs(expected)))
    return float(np.max([of_y.max(), of_products]))


def bnbench(forward: Forward, inputs: Inputs, dy: Array) -> float:
    """The largest error over limit of dx, dgamma, dbeta and y."""
    kernel = local_kernel(forward)
    rng = np.random.default_rng(0)
    z = directional_deviation(kernel, inputs, dy, rng).z.max()
    if NOISE.limit < z <= ESCALATE:
        z = directional_deviation(kernel, inputs, dy, rng, directions=9).z.max()
    parameters = [parameter_deviation(kernel, inputs, dy, name)[0].z.max() for name in ("gamma", "beta")]
    expected = normalize(inputs).y
    y = compare("y", kernel(inputs).y, expected, rounding_unit(inputs, expected), ROUNDING)
    return float(np.max([z / NOISE.limit, *(other / NOISE.limit for other in parameters), y.error / y.limit]))


def _step(forward: Forward, inputs: Inputs) -> tuple[Array, Vjp]:
    y, _, vjp = bound(forward, inputs)()
    return y, vjp


RULES: tuple[Rule, ...] = (
    Rule(name="textbook loop", limits=(1e-8, 1e-7), measure=textbook),
    Rule(
        name="gradcheck, slow",
        limits=(0.0,),
        measure=partial(gradcheck, fast=False),
        largest=1024,
        evaluations=lambda inputs: 2 * (inputs.x.size + 2 * inputs.gamma.size) + 2,
        requires="torch",
    ),
    Rule(name="gradcheck, fast", limits=(0.0,), measure=partial(gradcheck, fast=True), requires="torch"),
    Rule(name="random projection", limits=(1.0,), measure=random_projection),
    Rule(name="bnbench", limits=(1.0,), measure=bnbench),
)
