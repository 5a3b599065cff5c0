"""Formulas with one or two pieces replaced, tried on what came out until one predicts it to rounding.

The search of :mod:`bnbench.diagnose.identity`: it knows nothing of normalization. A choice replaces pieces of a
formula, and says what slip that would be. Fewer choices explain better: pairs are tried where no single one fits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.trials import Trial
from bnbench.model import Array

Pieces: TypeAlias = Mapping[str, Callable[..., Any]]
Formula: TypeAlias = Callable[[Trial, Pieces], Array]
"""What a trial's output would be if these pieces stood in place of the right ones."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Choice:
    """Pieces that may stand in place of the right ones, and what mistake that is."""

    pieces: Pieces
    quantity: Quantity
    slip: Slip
    sentence: str


def search(
    formula: Formula, choices: Sequence[Choice], given: Iterable[tuple[Trial, str, Array]]
) -> tuple[tuple[Choice, ...], ...]:
    """All fits with the fewest choices, at most two: () if none fits, ((),) if the formula is right as it is.

    ``given`` has, for every trial, the name of the output and what came out.
    """
    # Few elements suffice to refuse almost everything.
    trials = sorted(given, key=lambda each: each[0].inputs.x.size)

    def fits(hypothesis: tuple[Choice, ...]) -> bool:
        pieces = {name: piece for choice in hypothesis for name, piece in choice.pieces.items()}
        with np.errstate(all="ignore"):
            return all(trial.agrees(name, got, formula(trial, pieces)) for trial, name, got in trials)

    for size in range(3):
        found = tuple(hypothesis for hypothesis in _combinations(choices, size) if fits(hypothesis))
        if found:
            return found
    return ()


def _combinations(choices: Sequence[Choice], size: int) -> Iterator[tuple[Choice, ...]]:
    """So many choices of different pieces."""
    for hypothesis in itertools.combinations(choices, size):
        names = [name for choice in hypothesis for name in choice.pieces]
        if len(names) == len(set(names)):
            yield hypothesis
