"""What a shell completes after Tab: names, cheaply. Nothing here may raise: there is nobody to tell."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

Completions = list[tuple[str, str]]
"""Values, each with a line of help, which zsh and fish show."""


ABOUT = 60
"""Characters of help: shells do not wrap it."""


def implementations(incomplete: str) -> Completions:
    """The names that ``bnbench list`` shows without plugins."""
    from bnbench.registry import discover

    found: Completions = []
    with suppress(Exception):
        found = [(name, each.summary) for name, each in discover(()).implementations.items()]
    return _beginning(found, incomplete)


def checks(incomplete: str) -> Completions:
    """The codes of the checks."""
    from bnbench.checks import ALL_CHECKS

    return _beginning(((check.code, check.claim) for check in ALL_CHECKS), incomplete.upper())


def explained(incomplete: str) -> Completions:
    """What ``bnbench explain`` explains: checks, quantities of the graph, words of reports."""
    from bnbench.glossary import entries

    words = [(entry.word, entry.lead) for entry in entries().values() if entry.kind != "wrong normalization"]
    return _beginning(words, incomplete) or _beginning(words, incomplete.upper())


def cases(incomplete: str) -> Completions:
    """The ids of the default grid."""
    from bnbench.cases import case_id, grid

    return _beginning(((case_id(case), "") for case in grid()), incomplete)


def assignments(incomplete: str) -> Completions:
    """The assignments that come with bnbench."""
    from bnbench.grading.assignment import SHIPPED

    return _beginning(((name, "") for name in SHIPPED), incomplete)


def experiments(incomplete: str) -> Completions:
    """The experiments of ``bnbench train``."""
    from bnbench.training.session import EXPERIMENTS

    return _beginning(((known.name, known.question) for known in EXPERIMENTS.values()), incomplete)


def tiers(incomplete: str) -> Completions:
    """The tiers of isolation."""
    from bnbench.sandbox.tiers import NOT_ENFORCED

    return _beginning(
        ((tier.value, f"leaves open: {', '.join(NOT_ENFORCED[tier])}") for tier in NOT_ENFORCED), incomplete
    )


def needs(incomplete: str) -> Completions:
    """What ``bnbench doctor`` can be asked for."""
    from bnbench.doctor import NEEDS

    return [*implementations(incomplete), *_beginning(NEEDS.items(), incomplete)]


def operations(incomplete: str) -> Completions:
    """What is timed of an implementation."""
    from bnbench.timing import OPERATIONS

    return _beginning(((operation, "") for operation in OPERATIONS), incomplete)


def _beginning(values: Iterable[tuple[str, str]], incomplete: str) -> Completions:
    begun = ((value, about) for value, about in values if value.startswith(incomplete))
    return [(value, about if len(about) <= ABOUT else f"{about[: ABOUT - 1]}…") for value, about in begun]
