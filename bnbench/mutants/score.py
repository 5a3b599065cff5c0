"""How many wrong normalizations the checks object to, and how many right ones they leave alone."""

from __future__ import annotations

from dataclasses import dataclass

from bnbench.model import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRow:
    """One mutant or correct variant, and the codes of the checks that did not pass on it."""

    name: str
    norm: Norm
    bug: str
    """What is wrong with it; of a correct variant, what it does otherwise."""
    correct: bool
    codes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MutationScore:
    """The quality of the checks themselves: all mutants killed, no correct variant flagged."""

    rows: tuple[ScoreRow, ...]
    codes: tuple[str, ...]
    """Of all checks that ran, in their order."""

    @property
    def mutants(self) -> tuple[ScoreRow, ...]:
        return tuple(row for row in self.rows if not row.correct)

    @property
    def equivalents(self) -> tuple[ScoreRow, ...]:
        """The correct variants."""
        return tuple(row for row in self.rows if row.correct)

    @property
    def total(self) -> int:
        return len(self.mutants)

    @property
    def killed(self) -> int:
        """How many mutants at least one check objects to."""
        return sum(bool(row.codes) for row in self.mutants)

    @property
    def survivors(self) -> tuple[ScoreRow, ...]:
        return tuple(row for row in self.mutants if not row.codes)

    @property
    def flagged(self) -> tuple[ScoreRow, ...]:
        """Correct variants that a check objects to: false alarms."""
        return tuple(row for row in self.equivalents if row.codes)

    @property
    def perfect(self) -> bool:
        return bool(self.mutants) and not self.survivors and not self.flagged
