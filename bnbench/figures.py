"""The figures that a widely read article on cs231n's batch normalization published, measured here.

``python -m bnbench.figures`` prints the table; docs/figures.md explains it. The article's method is
kept as it was: data drawn with NumPy's legacy seed 231, central differences element by element, and
the course's relative error. For better methods see :mod:`bnbench.differences`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np

from bnbench.compare import relative_error
from bnbench.model import Array, Case, Forward, Gradients, Interval
from bnbench.policy import settle_process
from bnbench.registry import discover
from bnbench.timing import BUDGET, time_operation

EPS = 1e-5
STEP = 1e-5
SMALL = (4, 5)
LARGE = (100, 500)


class Notebook(NamedTuple):
    """The draws of one cell of the notebook: ``x`` and ``dy`` ``(N, C)``, the others ``(C,)``; float64."""

    x: Array
    gamma: Array
    beta: Array
    dy: Array


class Figure(NamedTuple):
    """One row of the table."""

    quantity: str
    published: str
    here: str


def notebook_draws(shape: tuple[int, int]) -> Notebook:
    """What the notebook draws after ``np.random.seed(231)``, in its order."""
    legacy = np.random.RandomState(231)
    channels = shape[1]
    return Notebook(5 * legacy.randn(*shape) + 12, legacy.randn(channels), legacy.randn(channels), legacy.randn(*shape))


def textbook_differences(function: Callable[[Array], Array], at: Array, dy: Array, step: float = STEP) -> Array:
    """The gradient of ``sum(function(at) * dy)``, shaped as ``at``, by 2 ``at.size`` evaluations.

    (f(a + h) - f(a - h)) / 2h for one element after the other, as cs231n's
    ``eval_numerical_gradient_array`` does it.
    """
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        above, below = at.copy(), at.copy()
        above[index] += step
        below[index] -= step
        gradient[index] = np.sum((function(above) - function(below)) * dy) / (2 * step)
    return gradient


def divided(x: Array, gamma: Array, beta: Array) -> Array:
    """y in train mode, dividing by sd where the staged graph multiplies by its reciprocal."""
    y: Array = gamma * ((x - x.mean(0)) / np.sqrt(x.var(0) + EPS)) + beta
    return y


def train_step(forward: Forward, x: Array, gamma: Array, beta: Array) -> tuple[Array, Callable[[Array], Gradients]]:
    """y and the vjp of one training step."""
    start = np.zeros_like(gamma)
    y, _, vjp = forward(x, gamma, beta, start, start, training=True, eps=EPS, momentum=0.1)
    return y, lambda dy: Gradients(*vjp(dy))


def errors_against_differences(forward: Forward, y: Callable[[Array, Array, Array], Array]) -> list[float]:
    """Relative errors of the analytic dx, dgamma and dbeta against differences of ``y``, at (4, 5)."""
    x, gamma, beta, dy = notebook_draws(SMALL)
    gradients = train_step(forward, x, gamma, beta)[1](dy)
    differences = Gradients(
        textbook_differences(lambda a: y(a, gamma, beta), x, dy),
        textbook_differences(lambda a: y(x, a, beta), gamma, dy),
        textbook_differences(lambda a: y(x, gamma, a), beta, dy),
    )
    return [relative_error(a, b) for a, b in zip(differences, gradients, strict=True)]


def errors_between(one: Forward, other: Forward) -> list[float]:
    """Relative errors of dx, dgamma and dbeta between two implementations, at (100, 500)."""
    x, gamma, beta, dy = notebook_draws(LARGE)
    pair = [train_step(forward, x, gamma, beta)[1](dy) for forward in (one, other)]
    return [relative_error(a, b) for a, b in zip(*pair, strict=True)]


def speedup(staged: Forward, simplified: Forward, *, budget: float = BUDGET) -> Interval:
    """Time of the staged backward over that of the simplified one, at (100, 500), measured in turns."""
    forwards = {"staged": staged, "simplified": simplified}
    _, measured = time_operation(forwards, Case(shape=LARGE), "backward", baseline="staged", budget=budget)
    return measured.ratio


def figures(*, budget: float = BUDGET) -> list[Figure]:
    """The whole table. ``budget`` is in seconds for each of the two timed implementations."""
    implementations = discover().implementations
    staged = cast("Forward", implementations["numpy_staged"].load())
    simplified = cast("Forward", implementations["numpy_simplified"].load())

    groups = {
        "staged, against differences of itself": errors_against_differences(
            staged, lambda x, gamma, beta: train_step(staged, x, gamma, beta)[0]
        ),
        "staged, against differences of a forward that divides": errors_against_differences(staged, divided),
        "simplified, against staged": errors_between(staged, simplified),
    }
    against_differences = ("1.70e-09", "7.42e-13", "2.88e-12")
    published = (against_differences, against_differences, ("1.07e-12", "0.00e+00", "0.00e+00"))
    rows = [
        Figure(f"{name}: {title}", value, f"{error:.2e}")
        for (title, errors), values in zip(groups.items(), published, strict=True)
        for name, value, error in zip(Gradients._fields, values, errors, strict=True)
    ]
    ratio = speedup(staged, simplified, budget=budget)
    here = f"{ratio.median:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"
    return [*rows, Figure("speed-up of the simplified backward", "0.624x", here)]


def table(rows: list[Figure]) -> str:
    """The rows as text, in columns."""
    lines = [Figure("relative error", "published", "here"), *rows]
    width = max(len(row.quantity) for row in lines)
    return "\n".join(f"{row.quantity:<{width}}  {row.published:>9}  {row.here}" for row in lines)


if __name__ == "__main__":
    settle_process()
    sys.stdout.write(table(figures()) + "\n")
