"""Wrong normalizations, one bug each: what proves that the checks can fail."""

from __future__ import annotations

from dataclasses import replace

from bnbench.mutants.backward import BACKWARD
from bnbench.mutants.caches import CACHES
from bnbench.mutants.causes import cause_of
from bnbench.mutants.equivalent import EQUIVALENT
from bnbench.mutants.essential import ESSENTIAL
from bnbench.mutants.exact import EXACT
from bnbench.mutants.forward import FORWARD
from bnbench.mutants.jacobian import JACOBIAN
from bnbench.mutants.recipe import CORRECT, Mutant, Recipe, forward_of
from bnbench.mutants.shapes import SHAPES
from bnbench.mutants.state import STATE

ALL_MUTANTS: tuple[Mutant, ...] = tuple(
    replace(mutant, cause=cause_of(mutant.name))
    for mutant in (*ESSENTIAL, *FORWARD, *SHAPES, *EXACT, *JACOBIAN, *STATE, *CACHES, *BACKWARD)
)

__all__ = ["ALL_MUTANTS", "CORRECT", "EQUIVALENT", "ESSENTIAL", "Mutant", "Recipe", "forward_of"]
