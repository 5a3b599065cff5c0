"""The constant factors that a mistake may leave or forget: counts, numbers and options, with their names."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from bnbench.diagnose.quantities import Quantities
from bnbench.model import Array

COUNTS = ("N", "N-1", "M", "M-1", "C", "G", "C/G", "H W", "H", "W", "L")
"""Atoms whose appearance as a factor is a wrong count of elements."""


class Factor(NamedTuple):
    """A signed product of at most two named numbers or their reciprocals."""

    name: str
    value: float
    atoms: tuple[str, ...]


@lru_cache(maxsize=16)
def factors(quantities: Quantities) -> tuple[Factor, ...]:
    """Every named factor of this run, simplest first.

    Names are made of symbols, so that they mean the same in another run, where their values differ.
    """
    atoms = {"2": 2.0, "3": 3.0}
    rank = quantities.inputs.x.ndim
    for name in ("N", "N-1", "C", "M", "M-1", "G", "C/G", "H W", "H", "W", "L", "eps", "momentum", "1-momentum"):
        same_as_another = name in ("M", "M-1") and rank == 2 and quantities.inputs.options.norm != "group"
        if name in quantities and not same_as_another and quantities[name].values > 0:
            atoms[name] = float(quantities[name].values)
    products: list[tuple[tuple[str, int], ...]] = [()]
    products += [((atom, power),) for power in (1, -1, 2, -2) for atom in atoms]
    products += [((one, a), (other, b)) for one, other in combinations(atoms, 2) for a in (1, -1) for b in (1, -1)]
    found = []
    for powers in products:
        value = math.prod(atoms[atom] ** power for atom, power in powers)
        for sign in (1, -1):
            if powers or sign < 0:
                named = tuple(atom for atom, _ in powers)
                found.append(Factor(("-" if sign < 0 else "") + _name(powers), sign * value, named))
    return tuple(sorted(found, key=lambda factor: (len(factor.atoms), factor.value < 0)))


@lru_cache(maxsize=16)
def factor_values(quantities: Quantities) -> Array:
    """The values of :func:`factors`, in their order."""
    return np.array([factor.value for factor in factors(quantities)])


def _name(powers: tuple[tuple[str, int], ...]) -> str:
    over = [_atom(atom, power, len(powers) > 1) for atom, power in powers if power > 0]
    under = [_atom(atom, -power, True) for atom, power in powers if power < 0]
    top = " ".join(over) or "1"
    if not under:
        return top
    bottom = under[0] if len(under) == 1 else f"({' '.join(under)})"
    return f"{top}/{bottom}"


def _atom(atom: str, power: int, enclosed: bool) -> str:
    if atom == "2" and power == 2:
        return "4"
    compound = any(sign in atom for sign in "-/ ")
    word = f"({atom})" if compound and (enclosed or power > 1) else atom
    return word if power == 1 else f"{word}^{power}"
