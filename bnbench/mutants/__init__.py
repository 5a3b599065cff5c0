"""Wrong normalizations, one bug each: what proves that the checks can fail."""

from __future__ import annotations

from bnbench.mutants.essential import ESSENTIAL
from bnbench.mutants.recipe import CORRECT, Mutant, Recipe, forward_of

ALL_MUTANTS: tuple[Mutant, ...] = (*ESSENTIAL,)

__all__ = ["ALL_MUTANTS", "CORRECT", "ESSENTIAL", "Mutant", "Recipe", "forward_of"]
