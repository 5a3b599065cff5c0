"""What can be wrong with y: pieces of its formula, and what mistake each is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from bnbench.conventions import DIVISORS
from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.hypotheses import Choice, Pieces
from bnbench.diagnose.terms import Terms, mean_over, other_axes
from bnbench.diagnose.trials import Trial
from bnbench.model import Array

FIXED_EPS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12, float(np.finfo(np.float32).eps))
COUNTS = (
    "N",
    "C",
    "the spatial size",
    "N times the spatial size",
    "C times the spatial size",
    "C / G",
    "the size of x",
    "M - 1",
    "M + 1",
    "N - 1",
    "sqrt(M)",
)

Rule: TypeAlias = Callable[[Array, float], Array]
OfTerms: TypeAlias = Callable[[Terms], Array]


def divisor_choices(quantity: Quantity = "sd") -> Iterator[Choice]:
    """Other things than sqrt(v + eps) to divide by; ``quantity`` is where eps then goes wrong."""

    def choice(rule: Rule, quantity: Quantity, slip: Slip, sentence: str) -> Choice:
        return Choice(pieces={"divisor": rule}, quantity=quantity, slip=slip, sentence=sentence)

    words = {
        "eps outside the root": "eps is added to sqrt(var); it belongs under the root, sqrt(var + eps)",
        "max(v, eps) under the root": "the larger of var and eps is taken; eps belongs added to var",
        "no eps": "eps is not added to var",
    }
    for name, rule in DIVISORS.items():
        if name in words:
            yield choice(rule, quantity, Slip.EPS, words[name])
    yield choice(
        lambda v, eps: np.sqrt(np.sign(v.real - eps) * (v - eps)),
        quantity,
        Slip.EPS,
        "eps is subtracted from var; it belongs added",
    )
    yield choice(
        lambda v, eps: np.sqrt(v + eps * eps),
        quantity,
        Slip.EPS,
        "the square of eps is added to var; eps belongs added",
    )
    yield choice(
        lambda v, eps: np.sqrt(v + eps) + eps, quantity, Slip.EPS, "eps is added twice, under the root and to the root"
    )
    where: Quantity = "eps" if quantity == "sd" else quantity
    for fixed in FIXED_EPS:

        def with_fixed(v: Array, _: float, fixed: float = fixed) -> Array:
            return np.asarray(np.sqrt(v + fixed))

        yield choice(with_fixed, where, Slip.EPS, f"eps is {fixed:g} whatever is asked for")
    if quantity != "sd":
        return
    yield choice(lambda v, eps: v + eps, "sd", Slip.POWER, "the root is missing: var + eps stands for sqrt(var + eps)")
    yield choice(lambda v, _: v, "sd", Slip.POWER, "the variance stands for the standard deviation, and without eps")
    yield choice(lambda v, eps: (v + eps) ** 2, "sd", Slip.POWER, "var + eps is squared; its root belongs there")
    yield choice(
        lambda v, eps: 1 / np.sqrt(v + eps),
        "inverse_sd",
        Slip.POWER,
        "xc is multiplied by sqrt(var + eps); it belongs divided",
    )
    yield choice(lambda v, _: np.ones_like(v), "inverse_sd", Slip.TERM, "xc is not divided by sqrt(var + eps)")


def y_choices(*, training: bool, norm: str) -> tuple[Choice, ...]:
    """Pieces of y that may be wrong."""
    return (
        *_affine(),
        *divisor_choices(),
        *_means(training=training, norm=norm),
        *_variances(training=training, norm=norm),
        *_normalizings(),
    )


def _affine() -> Iterator[Choice]:
    def choice(
        y: Callable[[Array, Array, Array], Array],
        slope: Callable[[Array], Array] | None,
        quantity: Quantity,
        slip: Slip,
        sentence: str,
    ) -> Choice:
        pieces: Pieces = {"affine": y} if slope is None else {"affine": y, "slope": slope}
        return Choice(pieces=pieces, quantity=quantity, slip=slip, sentence=sentence)

    yield choice(lambda h, g, _: g * h, None, "y", Slip.TERM, "beta is not added")
    yield choice(lambda h, g, b: g * h - b, None, "beta", Slip.SIGN, "beta is subtracted; it belongs added")
    yield choice(lambda h, g, b: g * h + 2 * b, None, "y", Slip.TERM, "beta is added twice")
    yield choice(
        lambda h, g, b: g * (h + b),
        None,
        "beta",
        Slip.FACTOR,
        "gamma multiplies beta too: y is gamma (x_hat + beta) where gamma x_hat + beta belongs",
    )
    yield choice(lambda h, _, b: h + b, np.ones_like, "scaled", Slip.FACTOR, "gamma is missing: y is x_hat + beta")
    yield choice(
        lambda h, _, b: h + 0 * b, np.ones_like, "scaled", Slip.TERM, "gamma and beta are forgotten: y is x_hat"
    )
    yield choice(
        lambda h, g, b: np.abs(g) * h + b, np.abs, "gamma", Slip.SIGN, "gamma has lost its sign: |gamma| x_hat + beta"
    )
    yield choice(
        lambda h, g, b: g * g * h + b, np.square, "scaled", Slip.FACTOR, "gamma multiplies twice: gamma^2 x_hat + beta"
    )
    yield choice(lambda h, g, b: h / g + b, np.reciprocal, "scaled", Slip.OPERATION, "x_hat is divided by gamma")
    yield choice(
        lambda h, g, b: b * h + g, None, "y", Slip.ORDER, "gamma and beta are swapped: y is beta x_hat + gamma"
    )
    yield choice(
        lambda h, g, b: -g * h + b, np.negative, "scaled", Slip.SIGN, "x_hat has the wrong sign: -gamma x_hat + beta"
    )
    for factor in (2.0, 0.5, 3.0):

        def multiplied(h: Array, g: Array, b: Array, factor: float = factor) -> Array:
            return np.asarray(factor * g * h + b)

        def slope(g: Array, factor: float = factor) -> Array:
            return np.asarray(factor * g)

        yield choice(multiplied, slope, "scaled", Slip.FACTOR, f"gamma x_hat is {factor:g} times what it should be")


def _means(*, training: bool, norm: str) -> Iterator[Choice]:
    """What is subtracted."""
    if norm == "rms":
        sentence = "a mean is subtracted; RMS norm has none"
        yield from _about(training, lambda t: t.batch_mean, "xc", Slip.TERM, sentence, centring=lambda _: np.ones(()))
    else:
        yield from _own_means(training)
        if training:
            yield from _other_means(norm)
    if norm == "batch":
        yield from _means_of_the_other_mode(training)
    for name in other_axes(norm) if training else ():

        def regrouped(a: Array, name: str = name) -> Array:
            return mean_over(name, a)

        sentence = f"mean and variance are taken over {name}"
        yield Choice(pieces={"block_mean": regrouped}, quantity="mu", slip=Slip.REDUCTION, sentence=sentence)


def _about(
    training: bool, mean: OfTerms, quantity: Quantity, slip: Slip, sentence: str, **more: OfTerms
) -> Iterator[Choice]:
    """Another mean; in train mode the variance is then taken about it, or is the right one."""
    pieces = {"mean": mean, **more}
    if training:
        both = {**pieces, "variance": lambda t: t.block_mean(t.centred**2)}
        yield Choice(pieces=both, quantity=quantity, slip=slip, sentence=sentence)
    yield Choice(pieces=pieces, quantity=quantity, slip=slip, sentence=sentence)


def _own_means(training: bool) -> Iterator[Choice]:
    right: OfTerms = (lambda t: t.batch_mean) if training else (lambda t: t.channels("running_mean"))
    sentence = "the mean is not subtracted from x"
    yield from _about(training, lambda _: np.zeros(()), "xc", Slip.TERM, sentence, centring=lambda _: np.zeros(()))
    yield from _about(training, lambda t: -right(t), "xc", Slip.SIGN, "the mean is added to x; it belongs subtracted")
    yield from _about(training, lambda t: 2 * right(t), "xc", Slip.FACTOR, "the mean is subtracted twice")


def _other_means(norm: str) -> Iterator[Choice]:
    sentence = "mu is the sum of x; it belongs divided by M"
    yield from _about(True, lambda t: t.batch_mean * t.elements, "mu", Slip.COUNT, sentence)
    for name in COUNTS:

        def by_count(t: Terms, name: str = name) -> Array:
            return np.asarray(t.batch_mean * t.elements / t.counts[name])

        yield from _about(True, by_count, "mu", Slip.COUNT, f"mu is divided by {name}; M elements share it")
    for name in other_axes(norm):

        def over(t: Terms, name: str = name) -> Array:
            return mean_over(name, t.x)

        yield from _about(True, over, "mu", Slip.REDUCTION, f"the mean is taken over {name}")


def _means_of_the_other_mode(training: bool) -> Iterator[Choice]:
    if training:
        sentence = "train mode centres by the running mean"
        yield from _about(training, lambda t: t.channels("running_mean"), "mu", Slip.MODE, sentence)
        return
    yield from _about(training, lambda t: t.batch_mean, "mu", Slip.MODE, "test mode centres by the mean of the batch")
    yield Choice(
        pieces={"mean": lambda t: t.batch_mean, "variance": _batch_variance},
        quantity="mu",
        slip=Slip.MODE,
        sentence="test mode normalizes by the batch; the running statistics belong there",
    )


def _batch_variance(t: Terms) -> Array:
    return t.own_blocks((t.x - t.own_blocks(t.x)) ** 2)


def _variances(*, training: bool, norm: str) -> Iterator[Choice]:
    """What is divided by the root of."""
    if norm == "batch":
        other = "test" if not training else "train"
        whose = "of the batch" if not training else "that is kept"
        mode: OfTerms = (lambda t: t.channels("running_var")) if training else _batch_variance
        yield _variance(mode, "var", Slip.MODE, f"{other} mode divides by the standard deviation {whose}")
    if not training:
        return
    yield _grown(lambda t: np.asarray(t.elements), Slip.COUNT, "the variance is a sum; it belongs divided by M")
    for name in COUNTS:

        def by_count(t: Terms, name: str = name) -> Array:
            return np.asarray(t.elements / t.counts[name])

        yield _grown(by_count, Slip.COUNT, f"the variance is divided by {name}; M elements share it")
    for factor in (2.0, 0.5):

        def multiplied(_: Terms, factor: float = factor) -> Array:
            return np.asarray(factor)

        yield _grown(multiplied, Slip.FACTOR, f"the variance is {factor:g} times what it should be")
    yield from _squares(norm)


def _squares(norm: str) -> Iterator[Choice]:
    """What is averaged to the variance, and over what."""
    yield _variance(lambda t: t.centred**2, "var", Slip.REDUCTION, "the squares are not averaged")
    if norm != "rms":
        sentence = "the variance is the mean of x^2, not of xc^2"
        yield _variance(lambda t: t.block_mean(t.x**2), "sq", Slip.OPERAND, sentence)
    sentence = "the variance is the mean of |xc|, not of xc^2"
    yield _variance(lambda t: t.block_mean(np.abs(t.centred)), "sq", Slip.POWER, sentence)
    yield _variance(lambda t: t.plain_variance**2, "var", Slip.POWER, "the variance is squared")
    for name in other_axes(norm):

        def over(t: Terms, name: str = name) -> Array:
            return mean_over(name, np.broadcast_to(t.centred, t.x.shape) ** 2)

        yield _variance(over, "var", Slip.REDUCTION, f"the variance is averaged over {name}")


def _variance(variance: OfTerms, quantity: Quantity, slip: Slip, sentence: str) -> Choice:
    return Choice(pieces={"variance": variance}, quantity=quantity, slip=slip, sentence=sentence)


def _grown(growth: OfTerms, slip: Slip, sentence: str) -> Choice:
    """A variance that is multiplied by something, in the forward and hence in its derivative."""
    return Choice(
        pieces={"variance": lambda t: growth(t) * t.plain_variance, "growth": growth},
        quantity="var",
        slip=slip,
        sentence=sentence,
    )


def _normalizings() -> Iterator[Choice]:
    """What is made of the centred input and its divisor."""

    def choice(x_hat: Callable[[Terms], Array], quantity: Quantity, slip: Slip, sentence: str) -> Choice:
        return Choice(pieces={"x_hat": x_hat}, quantity=quantity, slip=slip, sentence=sentence)

    yield choice(
        lambda t: t.centred - t.sd, "x_hat", Slip.OPERATION, "sd is subtracted from xc; it belongs divided by sd"
    )
    yield choice(lambda t: (t.centred / t.sd) ** 2, "x_hat", Slip.POWER, "x_hat is squared")
    yield choice(
        lambda t: t.x - t.mean / t.sd, "x_hat", Slip.OPERATION, "only mu is divided by sd: parentheses are missing"
    )
    yield choice(lambda t: t.x / t.sd - t.mean, "x_hat", Slip.OPERATION, "mu is subtracted after dividing by sd")
    yield choice(lambda t: t.x, "x_hat", Slip.OPERAND, "x itself stands where x_hat belongs")
    yield choice(lambda t: t.centred / t.sd**3, "x_hat", Slip.POWER, "xc is divided by sd^3")


def y_formula(trial: Trial, pieces: Pieces) -> Array:
    """y with these pieces in place of the right ones."""
    return np.asarray(np.broadcast_to(Terms(trial, pieces).y, trial.inputs.x.shape))
