"""Evidence in a student's words: how far off, what is right, and for visible items what came and what was expected."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from bnbench.grading.model import Item
from bnbench.grading.rubric import OUTPUTS, counts
from bnbench.model import Comparison, Finding, Status
from bnbench.report.words import shape_of_index, values

ORDER = ("y", "running_mean", "running_var", "dx", "dgamma", "dbeta")


def outputs_in(comparison: Comparison) -> tuple[str, ...]:
    """The outputs that a comparison is about."""
    words = set(comparison.quantity.replace("[", " ").split())
    return tuple(name for name in ORDER if name in words & OUTPUTS)


def beyond(item: Item, finding: Finding) -> tuple[Comparison, ...]:
    """What made the finding fail, of what counts for the item."""
    return tuple(c for c in finding.comparisons if not (c.error <= c.limit) and counts(item, c))


def decades(comparison: Comparison) -> float:
    """How many powers of ten the error is beyond its limit; infinite for what is no number or has no distance."""
    if isinstance(comparison.got, str) or not math.isfinite(comparison.error) or comparison.limit <= 0:
        return math.inf
    return math.log10(comparison.error / comparison.limit)


def what_is_wrong(item: Item, failed: Sequence[Finding], right: Iterable[str], *, hidden: bool) -> str:
    """``dx is off by 2.3 decades; dgamma and dbeta are right``. Of a hidden item no value is told."""
    wrong: dict[str, Comparison] = {}
    for finding in failed:
        for comparison in beyond(item, finding):
            for name in outputs_in(comparison) or (comparison.quantity,):
                if name not in wrong or decades(comparison) > decades(wrong[name]):
                    wrong[name] = comparison
    named = {name: comparison for name, comparison in wrong.items() if name in OUTPUTS}
    telling = named or dict(list(wrong.items())[:1])
    sentences = [_off(name, comparison, hidden=hidden) for name, comparison in telling.items()]
    if not sentences:
        sentences = [f"not so: {failed[0].claim}"] if failed else ["nothing could be measured"]
    fine = [name for name in ORDER if name in set(right) - wrong.keys()]
    if fine:
        sentences.append(f"{listed(fine)} {'is' if len(fine) == 1 else 'are'} right")
    return "; ".join(sentences)


def _off(name: str, comparison: Comparison, *, hidden: bool) -> str:
    if isinstance(comparison.got, str):
        return f"{name} is not as it should be" if hidden else f"{comparison.quantity}: {comparison.got}"
    if not math.isfinite(comparison.got):
        return f"{name} has values that are not finite"
    distance = decades(comparison)
    return f"{name} is off by {distance:.1f} decades" if math.isfinite(distance) else f"{name} differs"


def right_outputs(item: Item, findings: Iterable[Finding]) -> Collection[str]:
    """The outputs that were compared, and every time agreed."""
    seen: set[str] = set()
    wrong: set[str] = set()
    for finding in findings:
        for comparison in finding.comparisons:
            names = [name for name in outputs_in(comparison) if not item.outputs or name in item.outputs]
            (seen if comparison.error <= comparison.limit else wrong).update(names)
        if finding.status in {Status.FAILED, Status.ERRORED} and not finding.comparisons:
            return ()
    return seen - wrong


def sample(comparison: Comparison) -> tuple[str, str]:
    """Got and expected at the worst element: ``dx[3, 1] = 0.5`` and ``0.25``."""
    got, expected = values(comparison)
    return (got if isinstance(comparison.got, str) else f"{shape_of_index(comparison)} = {got}"), expected


def listed(names: Sequence[str]) -> str:
    """``dx``; ``dx and dgamma``; ``dx, dgamma and dbeta``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
