"""What the error of a Jacobian says about the bug: its coefficients are the bug.

A block of the true Jacobian is ``I - 11'/M - x_hat x_hat'/M`` in units of gamma / s: x acts on y directly,
through the mean and through the variance. What a backward lacks of it is projected on these three parts.
A coefficient of -1 on 11'/M, say, is a path through the mean that is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnbench.jacobian import Jacobian
from bnbench.model import Array
from bnbench.tolerances import NOISE

RECOGNIZED = 1e-2
"""How close a weight is to a well-known value, in parts of what is lacking, before it gets that value's name."""
UNEXPLAINED = 0.1
"""Remainder beyond which the coefficients do not describe the bug."""
LOCAL = 0.99
"""Part of the squared deviation that lies in a few columns before the bug is said to be there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection:
    """What one block of the backward lacks: ``numeric - analytic`` on the three parts of the true Jacobian.

    ``lack = direct I + mean 11'/M + variance x_hat x_hat'/M + remainder``, in units of gamma / s, by
    least squares. For M = 2 the three parts depend on each other, and the shortest solution is taken.
    """

    block: int
    elements: int
    """M."""
    direct: float
    mean: float
    variance: float
    remainder: float
    """Frobenius norm of the remainder over that of what is lacking: 0 is a bug in the coefficients alone."""
    noise: float
    """What can't be told from zero."""
    columns: tuple[int, ...]
    """The fewest elements of dx, worst first, that hold LOCAL of the squared deviation."""


def project(found: Jacobian, block: int) -> Projection:
    """The projection of one block. Raises ValueError where the block is not finite."""
    lack = found.numeric[block] - found.analytic[block]
    if not np.isfinite(lack).all():
        raise ValueError(f"block {block} of the Jacobian is not finite")
    parts = parts_of(found.x_hat[block])
    flat = parts.reshape(3, -1).T
    coefficients = np.linalg.lstsq(flat, lack.ravel(), rcond=None)[0]
    whole = float(np.linalg.norm(lack))
    rest = float(np.linalg.norm(lack.ravel() - flat @ coefficients))
    by_column = (lack**2).sum(0)
    worst_first = np.argsort(-by_column)
    enough = int(np.searchsorted(by_column[worst_first].cumsum(), LOCAL * whole**2)) + 1
    direct, mean, variance = map(float, coefficients)
    return Projection(
        block=block,
        elements=len(lack),
        direct=direct,
        mean=mean,
        variance=variance,
        remainder=rest / whole if whole else 0.0,
        noise=float(NOISE.limit * found.noise[block]),
        columns=tuple(int(column) for column in worst_first[:enough]),
    )


def parts_of(x_hat: Array) -> Array:
    """I, 11'/M and x_hat x_hat'/M, ``(3, M, M)``, from ``x_hat`` ``(M,)``."""
    elements = x_hat.size
    ones = np.full((elements, elements), 1 / elements)
    return np.array([np.eye(elements), ones, np.outer(x_hat, x_hat) / elements])


def diagnosis(found: Jacobian) -> str:
    """What the block that deviates most says about the bug, in a sentence; "" if nothing is beyond the noise."""
    deviation = found.deviation
    block = int(np.argmax(deviation))
    limit = NOISE.limit * found.noise[block]
    if np.isinf(deviation[block]):
        return "elements of the Jacobian are not finite"
    if deviation[block] <= limit:
        return ""
    numeric, analytic, gamma = found.numeric[block], found.analytic[block], found.gamma[block][:, np.newaxis]
    if np.abs(numeric - analytic * gamma).max() <= limit:
        return "the Jacobian is right once it is multiplied by gamma: gamma is missing"
    return _in_words(project(found, block), found.through)


def _in_words(p: Projection, through: tuple[int, int]) -> str:
    if p.remainder > UNEXPLAINED:
        if len(p.columns) <= max(1, p.elements // 4):
            listed = ", ".join(map(str, sorted(p.columns)))
            return f"only these elements of dx, of the M in each block, are wrong: {listed} of 0 to {p.elements - 1}"
        return (
            f"not a wrong factor of a path: {p.remainder:.0%} of the error is neither on I nor on 11' nor on "
            "x_hat x_hat', as with a wrong index, axis or broadcast"
        )

    # The weights that the backward gives to the parts; the true ones are 1, or 0 where there is no such path.
    direct, mean, variance = 1 - p.direct, through[0] + p.mean, through[1] + p.variance
    close = max(RECOGNIZED * max(abs(p.direct), abs(p.mean), abs(p.variance)), p.noise)
    paths = list(zip((mean, variance), through, strict=True))
    if all(abs(weight - direct * there) <= close for weight, there in paths):
        nothing = abs(direct) <= max(p.noise, 1e-9)
        return "dx is zero" if nothing else f"all of dx is {direct:.9g} times what it should be"
    divisor_law = (mean, direct * through[0]), (variance, direct**3 * through[1])
    if all(abs(weight - value) <= close for weight, value in divisor_law):
        return f"the backward divides by {1 / direct:.6g} s: not the eps or variance of the forward"
    said = []
    if abs(p.direct) > close:
        said.append(f"{p.direct:+.4g} on I: the direct path {_weight(direct, p.elements, close)}")
    for lack, weight, there, part, name in (
        (p.mean, mean, through[0], "11'", "mean"),
        (p.variance, variance, through[1], "x_hat x_hat'", "variance"),
    ):
        if abs(lack) > close:
            what = _weight(weight, p.elements, close) if there else "should not be there"
            said.append(f"{lack:+.4g}/M on {part}: the path through the {name} {what}")
    return "; ".join(said)


def _weight(weight: float, elements: int, close: float) -> str:
    """A weight that should be 1, in words."""
    known = {
        "is missing": 0.0,
        "has the wrong sign": -1.0,
        "counts twice": 2.0,
        "counts half": 0.5,
        "is divided by M - 1 in place of M": elements / max(elements - 1, 1),
    }
    words = [name for name, value in known.items() if abs(weight - value) <= close]
    return words[0] if words else f"has {weight:.6g} times its weight"
