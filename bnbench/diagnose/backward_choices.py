"""What can be wrong with dx: pieces of its formula, and what mistake each is.

In terms of g = gamma dy, dx = scale (direct - mean path - variance path) / sd. The formula takes the pieces of a wrong
forward too, so that a backward which follows its forward is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.forward_choices import COUNTS, OfTerms, divisor_choices
from bnbench.diagnose.hypotheses import Choice, Formula, Pieces
from bnbench.diagnose.terms import Terms, mean_over, other_axes
from bnbench.diagnose.trials import Trial
from bnbench.model import Array

FACTORS = {-1.0: Slip.SIGN, 2.0: Slip.FACTOR, 0.5: Slip.FACTOR, 3.0: Slip.FACTOR, 4.0: Slip.FACTOR, 0.25: Slip.FACTOR}
FACTOR_WORDS = {-1.0: "has the wrong sign", 2.0: "counts twice", 0.5: "counts half"}


def following(forward: Pieces, formula: Formula) -> Formula:
    """A backward formula on top of a forward with these pieces."""
    return lambda trial, pieces: formula(trial, {**forward, **pieces})


def dx_formula(trial: Trial, pieces: Pieces) -> Array:
    """dx with these pieces in place of the right ones; ``backward_divisor`` is used in dx alone."""
    if "backward_divisor" in pieces:
        pieces = {**pieces, "divisor": pieces["backward_divisor"]}
    t = Terms(trial, pieces)
    if "dx" in pieces:
        return np.asarray(np.broadcast_to(pieces["dx"](t), t.x.shape))
    if "dx_hat" in pieces:
        t = Terms(replace(trial, dy=np.asarray(pieces["dx_hat"](t))), {**pieces, "slope": np.ones_like})
    direct = pieces["direct"](t) if "direct" in pieces else t.g
    constants = t.constants and "trained" not in pieces
    centring = not constants and (pieces["centring"](t) if "centring" in pieces else t.norm != "rms")
    mean = pieces["mean_path"](t) if "mean_path" in pieces else mean_path(t) if centring else 0.0
    variance = pieces["variance_path"](t) if "variance_path" in pieces else 0.0 if constants else variance_path(t)
    scale = pieces["scale"](t) if "scale" in pieces else 1.0
    return np.asarray(scale * (direct - mean - variance) / t.sd)


def mean_path(t: Terms) -> Array:
    """What dx sd loses through mu: mean(g)."""
    return t.block_mean(t.g)


def variance_path(t: Terms) -> Array:
    """What dx sd loses through the variance: x_hat mean(g x_hat), times 2 sd dsd/dvar, which is 1 for the right sd."""
    x_hat = t.centred / t.sd
    damping = 1.0 if t.constants else t.damping
    return np.asarray(damping * x_hat * t.block_mean(t.g * x_hat))


def dx_choices(*, training: bool, norm: str) -> tuple[Choice, ...]:
    """Pieces of dx that may be wrong."""
    common = (*_whole(), *_scales())
    if not training:
        trained = Choice(
            pieces={"trained": lambda: None},
            quantity="dx",
            slip=Slip.MODE,
            sentence="dx of test mode goes through mean and variance, which are constants there",
        )
        return (trained, *common, *_backward_eps())
    return (*common, *_paths(norm), *_backward_eps(), *_reductions(norm))


def choice(pieces: Pieces, quantity: Quantity, slip: Slip, sentence: str) -> Choice:
    """These pieces in place of the right ones."""
    return Choice(pieces=pieces, quantity=quantity, slip=slip, sentence=sentence)


def _whole() -> Iterator[Choice]:
    yield choice({"dx": lambda t: np.zeros_like(t.x)}, "dx", Slip.UNIMPLEMENTED, "dx is all zeros")
    yield choice({"dx": lambda t: t.dy}, "dx", Slip.UNIMPLEMENTED, "dx is dy, unchanged")
    yield choice(
        {"dx_hat": lambda t: t.dy}, "dx_hat", Slip.FACTOR, "dx is not multiplied by gamma: dx_hat is gamma dy, not dy"
    )
    yield choice(
        {"dx_hat": lambda t: t.channels("gamma") ** 2 * t.dy}, "dx_hat", Slip.FACTOR, "dx is multiplied by gamma twice"
    )
    yield choice({"dx_hat": lambda t: t.dy / t.channels("gamma")}, "dx_hat", Slip.OPERATION, "dx is divided by gamma")
    yield choice(
        {"dx_hat": lambda t: t.dy, "scale": lambda t: t.channels("gamma")},
        "dx_hat",
        Slip.ORDER,
        "gamma is multiplied after the means of dx are taken; it differs within what is averaged",
    )


def _scales() -> Iterator[Choice]:
    for factor, slip in FACTORS.items():
        words = "has the wrong sign" if factor == -1 else f"is {factor:g} times what it should be"

        def constant(_: Terms, factor: float = factor) -> float:
            return factor

        yield choice({"scale": constant}, "dx", slip, f"dx {words}")
    powers = {
        1: "dx is not divided by sd",
        2: "dx is multiplied by sd; it belongs divided",
        -1: "dx is divided by sd^2 (that is var + eps); by sd would be right",
        -2: "dx is divided by sd^3; by sd would be right",
    }
    for power, words in powers.items():

        def by_power(t: Terms, power: int = power) -> Array:
            return np.asarray(t.sd**power)

        yield choice({"scale": by_power}, "inverse_sd", Slip.POWER, words)
    yield choice({"scale": lambda t: t.elements}, "dx", Slip.COUNT, "dx is M times what it should be")
    yield choice({"scale": lambda t: 1 / t.elements}, "dx", Slip.COUNT, "dx is divided by M")
    for name in COUNTS:

        def divided(t: Terms, name: str = name) -> float:
            return 1 / t.counts[name]

        def exchanged(t: Terms, name: str = name) -> float:
            return t.elements / t.counts[name]

        yield choice({"scale": divided}, "dx", Slip.COUNT, f"dx is divided by {name}")
        yield choice({"scale": exchanged}, "dx", Slip.COUNT, f"dx is divided by {name} in place of M")


def _paths(norm: str) -> Iterator[Choice]:
    mean = _path("mean_path", "dmu", "the mean", mean_path)
    if norm == "rms":
        pieces = {"mean_path": lambda t: t.own_blocks(t.g)}
        yield choice(pieces, "dmu", Slip.TERM, "dx has a path through a mean, which RMS norm does not subtract")
    else:
        yield from mean
        yield choice(
            {"mean_path": lambda t: t.block_mean(t.dy)},
            "dmu",
            Slip.FACTOR,
            "gamma is missing in the path through the mean",
        )
        yield choice(
            {"mean_path": lambda _: 0.0, "variance_path": lambda _: 0.0},
            "dxc",
            Slip.TERM,
            "dx has only the direct path: those through the mean and through the variance are missing",
        )
        yield choice(
            {
                "mean_path": lambda t: t.elements * mean_path(t),
                "variance_path": lambda t: t.elements * variance_path(t),
            },
            "dxc",
            Slip.COUNT,
            "both paths of dx are sums; they belong divided by M",
        )
        for name in COUNTS:

            def both(t: Terms, path: OfTerms, name: str = name) -> Array:
                return np.asarray(path(t) * t.elements / t.counts[name])

            yield choice(
                {
                    "mean_path": lambda t, both=both: both(t, mean_path),
                    "variance_path": lambda t, both=both: both(t, variance_path),
                },
                "dxc",
                Slip.COUNT,
                f"both paths of dx are divided by {name}; M elements share the statistics",
            )
        yield choice(
            {"direct": lambda _: 0.0}, "dxc", Slip.TERM, "dx lacks the direct path: g / sd is missing or overwritten"
        )
    yield from _path("variance_path", "dvar", "the variance", variance_path)
    operands: Sequence[tuple[OfTerms, Slip, str]] = (
        (
            lambda t: t.x / t.sd * t.block_mean(t.g * t.x_hat),
            Slip.OPERAND,
            "the path through the variance multiplies x; x - mu belongs there",
        ),
        (
            lambda t: t.x_hat * t.block_mean(t.g * t.x / t.sd),
            Slip.OPERAND,
            "dinverse_sd sums dx_hat x; x - mu belongs there",
        ),
        (
            lambda t: t.channels("gamma") * t.x_hat * t.block_mean(t.g * t.x_hat),
            Slip.OPERAND,
            "gamma x_hat stands in the path through the variance where x_hat belongs",
        ),
        (
            lambda t: t.x_hat * t.block_mean(t.dy * t.x_hat),
            Slip.FACTOR,
            "gamma is missing in the path through the variance",
        ),
        (
            lambda t: t.x_hat * t.block_mean(t.g),
            Slip.OPERAND,
            "the path through the variance takes mean(g), not mean(g x_hat)",
        ),
        (
            lambda t: t.block_mean(t.g * t.x_hat),
            Slip.FACTOR,
            "the path through the variance is not multiplied by x_hat",
        ),
    )
    for path, slip, sentence in operands:
        yield choice({"variance_path": path}, "dvar", slip, sentence)
    for power in (-3, -2, -1, 1, 2, 3):

        def other_power(t: Terms, power: int = power) -> Array:
            return np.asarray(variance_path(t) * t.sd**power)

        words = f"has sd^{power - 3} where sd^-3 belongs" if power != 3 else "lacks sd^-3"
        yield choice({"variance_path": other_power}, "dvar", Slip.POWER, f"the path through the variance {words}")


def _path(piece: str, quantity: Quantity, name: str, right: OfTerms) -> Iterator[Choice]:
    """A path that is missing, or has another weight or count."""

    def path(factor: Callable[[Terms], float]) -> Pieces:
        return {piece: lambda t: factor(t) * right(t)}

    yield choice(path(lambda _: 0.0), quantity, Slip.TERM, f"the path through {name} is missing")
    for weight, slip in FACTORS.items():
        words = FACTOR_WORDS.get(weight, f"has {weight:g} times its weight")

        def weighed(_: Terms, weight: float = weight) -> float:
            return weight

        yield choice(path(weighed), quantity, slip, f"the path through {name} {words}")
    yield choice(
        path(lambda t: t.elements), quantity, Slip.COUNT, f"the path through {name} is a sum; it belongs divided by M"
    )
    yield choice(path(lambda t: 1 / t.elements), quantity, Slip.COUNT, f"the path through {name} is divided by M twice")
    for count in COUNTS:

        def divided(t: Terms, count: str = count) -> float:
            return t.elements / t.counts[count]

        sentence = f"the path through {name} is divided by {count}; M elements share it"
        yield choice(path(divided), quantity, Slip.COUNT, sentence)


def _backward_eps() -> Iterator[Choice]:
    for other in divisor_choices("dsd"):
        yield replace(
            other,
            pieces={"backward_divisor": other.pieces["divisor"]},
            sentence=f"the backward differentiates another root than the forward takes: {other.sentence}",
        )

    def right_slope(t: Terms) -> Array:
        return np.asarray(variance_path(t) / t.damping * t.growth * t.sd / np.sqrt(t.variance + t.eps))

    sentence = "the derivative of the root is that of sqrt(var + eps), which is not what the forward divides by"
    yield choice({"variance_path": right_slope}, "dsd", Slip.EPS, sentence)
    sentence = "the variance of the forward has another divisor than its derivative, which has M"
    yield choice({"growth": lambda _: 1.0}, "dvar", Slip.COUNT, sentence)


def _reductions(norm: str) -> Iterator[Choice]:
    yield choice(
        {"mean_path": lambda t: t.g / t.elements, "variance_path": lambda t: t.x_hat**2 * t.g / t.elements},
        "dxc",
        Slip.REDUCTION,
        "the sums in dx are missing: the Jacobian is taken for a diagonal",
    )
    yield choice(
        {"variance_path": lambda t: t.x_hat**2 * t.g / t.elements},
        "dvar",
        Slip.REDUCTION,
        "the sum over the elements that share the variance is missing in dvar",
    )
    if norm != "rms":
        yield choice(
            {"mean_path": lambda t: t.g / t.elements},
            "dmu",
            Slip.REDUCTION,
            "the sum over the elements that share the mean is missing in dmu",
        )
    for name in other_axes(norm):

        def over(t: Terms, name: str = name) -> Array:
            return mean_over(name, t.g)

        def with_x_hat(t: Terms, name: str = name) -> Array:
            return np.asarray(t.x_hat * mean_over(name, t.g * t.x_hat))

        if norm != "rms":
            yield choice(
                {"mean_path": over, "variance_path": with_x_hat},
                "dxc",
                Slip.REDUCTION,
                f"dx takes its means over {name}",
            )
            yield choice({"mean_path": over}, "dmu", Slip.REDUCTION, f"the path through the mean is taken over {name}")
        yield choice(
            {"variance_path": with_x_hat}, "dvar", Slip.REDUCTION, f"the path through the variance is taken over {name}"
        )
