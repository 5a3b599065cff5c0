"""What can be wrong with dgamma and dbeta: what is summed, over what, times what, and what mistake each is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bnbench.blocks import channel_sum
from bnbench.diagnose.backward_choices import FACTORS, choice
from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.forward_choices import COUNTS, OfTerms
from bnbench.diagnose.hypotheses import Choice, Formula, Pieces
from bnbench.diagnose.terms import Terms
from bnbench.diagnose.trials import Trial
from bnbench.model import Array


def parameter_formula(name: Quantity) -> Formula:
    """The formula of dgamma or dbeta: a sum over each channel, of pieces ``summed``, ``total`` and ``ratio``."""

    def formula(trial: Trial, pieces: Pieces) -> Array:
        t = Terms(trial, pieces)
        right = t.dy * t.x_hat if name == "dgamma" else t.dy
        summed = np.broadcast_to(pieces["summed"](t) if "summed" in pieces else right, t.x.shape)
        total = pieces["total"](summed) if "total" in pieces else channel_sum(summed)
        return np.asarray(total * (pieces["ratio"](t) if "ratio" in pieces else 1.0))

    return formula


def parameter_choices(name: Quantity, *, training: bool) -> tuple[Choice, ...]:
    """Pieces of dgamma or dbeta that may be wrong."""
    summands = _dgamma_summands(training=training) if name == "dgamma" else _DBETA_SUMMANDS
    return (
        *(choice({"summed": of}, name, slip, f"{name} {words}") for of, slip, words in summands),
        *(choice({"total": of}, name, slip, f"{name} {words}") for of, slip, words in _TOTALS),
        *(choice({"ratio": of}, name, slip, f"{name} {words}") for of, slip, words in _ratios()),
    )


def _dgamma_summands(*, training: bool) -> Iterator[tuple[OfTerms, Slip, str]]:
    yield lambda t: t.dy, Slip.ORDER, "is sum(dy): it is swapped with dbeta, or x_hat is missing"
    yield lambda t: t.dy * t.x, Slip.OPERAND, "is sum(dy x); x_hat belongs in place of x"
    yield lambda t: t.dy * t.centred, Slip.OPERAND, "is sum(dy (x - mu)); x_hat belongs in place of x - mu"
    yield lambda t: t.dy * t.y, Slip.OPERAND, "is sum(dy y); x_hat belongs in place of y"
    yield lambda t: t.g * t.x_hat, Slip.FACTOR, "is sum(dy gamma x_hat); gamma does not belong there"
    yield lambda t: t.dy * t.x_hat**2, Slip.POWER, "is sum(dy x_hat^2); x_hat belongs there once"
    yield lambda t: t.dy * t.centred / t.sd**2, Slip.POWER, "divides by sd^2; x_hat belongs there"
    if not training:
        yield _batch_x_hat, Slip.MODE, "takes the x_hat of the batch in test mode"


_DBETA_SUMMANDS: Sequence[tuple[OfTerms, Slip, str]] = (
    (lambda t: t.dy * t.x_hat, Slip.ORDER, "is sum(dy x_hat): it is swapped with dgamma"),
    (lambda t: t.g, Slip.FACTOR, "is sum(gamma dy); gamma does not belong there"),
    (lambda t: t.dy * t.x, Slip.OPERAND, "is sum(dy x); dy alone belongs there"),
)
_TOTALS: Sequence[tuple[Callable[[Array], Array], Slip, str]] = (
    (lambda a: np.roll(channel_sum(a), 1), Slip.ORDER, "is that of the previous channel"),
    (lambda a: np.roll(channel_sum(a), -1), Slip.ORDER, "is that of the next channel"),
    (
        lambda a: a.reshape(*a.shape[:2], -1)[:, :, 0].sum(0),
        Slip.REDUCTION,
        "sums the rows of one spatial position alone",
    ),
    (lambda a: channel_sum(a[:1]), Slip.REDUCTION, "sums the first row alone"),
    (lambda a: channel_sum(a[:-1]), Slip.REDUCTION, "leaves out the last row"),
    (lambda a: np.full(a.shape[1], a.sum()), Slip.REDUCTION, "is summed over everything, the channels too"),
)


def _ratios() -> Iterator[tuple[Callable[[Terms], float], Slip, str]]:
    yield lambda _: 0.0, Slip.UNIMPLEMENTED, "is all zeros"
    for factor, slip in FACTORS.items():

        def constant(_: Terms, factor: float = factor) -> float:
            return factor

        yield constant, slip, "has the wrong sign" if factor == -1 else f"is {factor:g} times what it should be"
    words = "is a mean; the sum over the elements of a channel belongs there"
    yield lambda t: t.x.shape[1] / t.x.size, Slip.COUNT, words
    for count in COUNTS:

        def divided(t: Terms, count: str = count) -> float:
            return 1 / t.counts[count]

        yield divided, Slip.COUNT, f"is divided by {count}"


def _batch_x_hat(t: Terms) -> Array:
    centred = t.x - t.own_blocks(t.x)
    return np.asarray(t.dy * centred / np.sqrt(t.own_blocks(centred**2) + t.eps))
