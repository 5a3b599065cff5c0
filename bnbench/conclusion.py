"""Two questions, four answers: does the forward conform, and is the backward the derivative of that forward?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bnbench.conventions import Conventions
from bnbench.model import Finding, Status

FORWARD = ("BN102", "BN151", "BN201", "BN202", "BN251", "BN401")
"""Checks of y and of the running statistics against what is declared."""
DERIVATIVE = ("BN301", "BN302", "BN303")
"""Checks of the gradients against the implementation's own forward."""
GRADIENTS = ("BN331", "BN332", "BN333", "BN351", "BN352")
"""Checks of the gradients against what is declared: where the forward is another, so are its gradients."""


class Kind(StrEnum):
    """Where an implementation stands."""

    CORRECT = "correct"
    OTHER_CONVENTION = "another convention, self-consistent"
    WRONG_FORWARD = "wrong forward, and the backward follows it"
    WRONG_BACKWARD = "wrong backward"
    WRONG_BOTH = "wrong forward, and the backward follows another"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """What the findings on one implementation come to."""

    kind: Kind
    sentence: str


def conclude(findings: Iterable[Finding], conventions: Conventions | None = None) -> Conclusion:
    """The conclusion from all findings on one implementation; ``conventions`` are those inferred of it.

    Purity, refusals and accuracy on hard data are no part of it: an implementation may be correct here and
    still fail other checks.
    """
    found = [(finding.check, finding.status) for finding in findings]
    failed = {check for check, status in found if status is Status.FAILED}
    passed = {check for check, status in found if status is Status.PASSED}
    errored = {check for check, status in found if status is Status.ERRORED}
    forward = failed.isdisjoint(FORWARD)
    derivative = failed.isdisjoint((*DERIVATIVE, *GRADIENTS) if forward else DERIVATIVE)
    decided = passed | failed
    if decided.isdisjoint(FORWARD) or decided.isdisjoint(DERIVATIVE):
        return Conclusion(kind=Kind.UNDECIDED, sentence="Forward or backward was not measured.")
    raised = sorted(errored.intersection((*FORWARD, *DERIVATIVE, *GRADIENTS)))
    if forward and derivative:
        if raised:
            return Conclusion(kind=Kind.UNDECIDED, sentence=f"{', '.join(raised)} could not be measured.")
        return Conclusion(kind=Kind.CORRECT, sentence="The forward is as declared, and the backward is its derivative.")
    if forward:
        wrong = _listed(failed, (*DERIVATIVE, *GRADIENTS))
        return Conclusion(
            kind=Kind.WRONG_BACKWARD,
            sentence=f"The forward is as declared, and the backward is not its derivative ({wrong}).",
        )
    what = (conventions.deviations if conventions else "") or _listed(failed, FORWARD)
    if not derivative:
        return Conclusion(
            kind=Kind.WRONG_BOTH,
            sentence=(
                f"The forward is not as declared: {what}. "
                f"The backward is not its derivative ({_listed(failed, DERIVATIVE)})."
            ),
        )
    known = conventions is not None and conventions.known and conventions.deviating
    return Conclusion(
        kind=Kind.OTHER_CONVENTION if known else Kind.WRONG_FORWARD,
        sentence=f"The forward is not as declared: {what}. The backward is the derivative of that forward.",
    )


def _listed(failed: set[str], codes: Iterable[str]) -> str:
    return ", ".join(code for code in codes if code in failed)
