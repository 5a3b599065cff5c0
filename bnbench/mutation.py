"""The mutation score: the checks, checked against every mutant and every correct variant."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

from bnbench.cases import grid
from bnbench.checks import ALL_CHECKS
from bnbench.model import Case, Check, Implementation, Status
from bnbench.mutants import ALL_MUTANTS, EQUIVALENT, Mutant
from bnbench.mutants.score import MutationScore, ScoreRow
from bnbench.runner import execute, load, plan

Progress = Callable[[int, int, str], None]
"""Told how many are done, of how many, and which comes next."""


def objections(implementation: Implementation, cases: Sequence[Case], checks: Sequence[Check]) -> Iterator[str]:
    """Codes of the checks that do not pass, as they are found; a code may come more than once."""
    subjects = load([implementation]).subjects
    for finding in execute(plan(subjects, cases, checks), subjects):
        if finding.status not in {Status.PASSED, Status.SKIPPED}:
            yield finding.check


def score(
    progress: Progress,
    *,
    mutants: Sequence[Mutant] = ALL_MUTANTS,
    equivalents: Sequence[Mutant] = EQUIVALENT,
    checks: Sequence[Check] = ALL_CHECKS,
) -> MutationScore:
    """Run all checks on all mutants and correct variants.

    Most mutants show on the quick grid. Who passes it meets the rest of the default grid, so that what
    survives or is left alone has passed everything that ``bnbench check`` asks by default.
    """
    quick = grid(quick=True)
    rest = tuple(case for case in grid() if case not in quick)
    everyone = [*((mutant, False) for mutant in mutants), *((variant, True) for variant in equivalents)]
    order = [check.code for check in checks]
    rows = []
    for done, (mutant, correct) in enumerate(everyone):
        progress(done, len(everyone), mutant.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # to divide by zero is what some of them are for
            codes = next(filter(None, (set(objections(mutant.implementation(), c, checks)) for c in (quick, rest))), ())
        rows.append(
            ScoreRow(
                name=mutant.name,
                norm=mutant.norm,
                bug=mutant.bug,
                correct=correct,
                codes=tuple(sorted(codes, key=order.index)),
            )
        )
    progress(len(everyone), len(everyone), "")
    return MutationScore(rows=tuple(rows), codes=tuple(order))
