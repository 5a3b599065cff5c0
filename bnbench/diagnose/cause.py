"""What can be wrong: a quantity of the staged graph, and the slip that was made with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias, get_args

Quantity: TypeAlias = Literal[
    "x",
    "gamma",
    "beta",
    "eps",
    "mu",
    "xc",
    "sq",
    "var",
    "sd",
    "inverse_sd",
    "x_hat",
    "scaled",
    "y",
    "running_mean",
    "running_var",
    "dy",
    "dbeta",
    "dscaled",
    "dgamma",
    "dx_hat",
    "dinverse_sd",
    "dsd",
    "dvar",
    "dsq",
    "dxc",
    "dmu",
    "dx",
    "cache",
]
"""The nodes of ``numpy_staged`` (docs/staged_graph.md), their gradients, and what is kept between calls."""

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


def belongs_to(name: str) -> Quantity:
    """The quantity that a longer name belongs to.

    >>> belongs_to("running_mean (after)"), belongs_to("dxc (through sq)"), belongs_to("mean(dy)")
    ('running_mean', 'dxc', 'dx')
    """
    first = name.partition(" (")[0]
    return next((quantity for quantity in QUANTITIES if quantity == first), "dx" if "d" in name else "y")


class Slip(StrEnum):
    """The kinds of mistake, as a course would name them."""

    REDUCTION = "reduction"
    """Summed or averaged over the wrong axes, over everything, or not at all."""
    COUNT = "count"
    """Divided by the wrong number of elements, or a sum where a mean belongs, or the reverse."""
    FACTOR = "factor"
    """A factor is missing or too much: a constant (2, 1/2) or a quantity (gamma, 1/sd)."""
    SIGN = "sign"
    POWER = "power"
    """The wrong exponent: no root, no square, sd^-2 for sd^-3, the variance for the standard deviation."""
    OPERAND = "operand"
    """Another quantity stands where this one belongs: x for x_hat, dy for dx_hat."""
    OPERATION = "operation"
    """Another operation: a subtraction where a division belongs."""
    TERM = "term"
    """A summand is missing or too much: beta, the path through the mean, the path through the variance."""
    EPS = "eps"
    """eps is missing, outside the root, of another value, or in the backward other than in the forward."""
    STATE = "state"
    """The running averages: not updated, overwritten, weights swapped, the sd kept, updated in test mode."""
    MODE = "mode"
    """Test mode normalizes by the batch, or train mode by the running averages."""
    ORDER = "order"
    """Right values in another order: outputs swapped, the cache unpacked otherwise than it was packed."""
    IN_PLACE = "in_place"
    """An argument, or what the backward still needs, is overwritten."""
    LAYOUT = "layout"
    """Axes mixed up: a reshape without the transpose it needs."""
    UNDEFINED = "undefined"
    """A name is used that was never defined."""
    RAISES = "raises"
    """Any other exception."""
    UNIMPLEMENTED = "unimplemented"
    """The function is still the starter's: it returns None or raises NotImplementedError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Why outputs are wrong: one mistake, or what is known where no mistake was recognized."""

    quantity: Quantity
    """Where the mistake is; of an undecided cause the output that is wrong."""
    slip: Slip | None
    """None where nothing explains the output."""
    sentence: str
    """What is wrong, for the one who wrote it."""
    evidence: str
    """What was measured that says so."""
    decided: bool = True
    """Whether this explanation alone fits; several that fit, or none, leave it open."""
