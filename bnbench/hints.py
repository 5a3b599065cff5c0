"""The probable cause of each failure, from the implementation's answers alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from bnbench.conclusion import DERIVATIVE, FORWARD, GRADIENTS
from bnbench.diagnose.cause import Cause
from bnbench.diagnose.explanation import explain_causes
from bnbench.diagnose.hints import Hints, cause_hint
from bnbench.model import Finding, Status, Subject

OF_A_GRADIENT = frozenset((*DERIVATIVE, *GRADIENTS))
HINTED = OF_A_GRADIENT | frozenset(FORWARD)
"""Checks whose failure has a cause that outputs can give away."""


def with_hints(findings: Iterable[Finding], subjects: Iterable[Subject]) -> Iterator[Finding]:
    """The same findings, failures of the forward and the gradients with a hint; each implementation is asked once."""
    by_name = {subject.name: subject for subject in subjects}
    known: dict[str, tuple[Cause, ...]] = {}
    for finding in findings:
        if finding.status is not Status.FAILED or finding.check not in HINTED or finding.implementation not in by_name:
            yield finding
            continue
        if finding.implementation not in known:
            known[finding.implementation] = _causes(by_name[finding.implementation])
        cause = nearest(known[finding.implementation], gradient=finding.check in OF_A_GRADIENT)
        yield finding if cause is None else replace(finding, hint=cause_hint(cause, Hints.HOW))


def nearest(causes: Sequence[Cause], *, gradient: bool) -> Cause | None:
    """The first cause that lies in the pass that a check looks at; a wrong forward also spoils its gradients."""
    named = [cause for cause in causes if cause.slip is not None]
    near = [cause for cause in named if cause.quantity.startswith("d") is gradient]
    return next(iter(near or named), None)


def _causes(subject: Subject) -> tuple[Cause, ...]:
    try:
        return explain_causes(subject.kernel, subject.capabilities)
    except Exception:  # noqa: BLE001 - a kernel that answered a check may refuse the data of a trial
        return ()
