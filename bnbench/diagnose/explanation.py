"""Why is it wrong? The known bugs first, then what the outputs themselves say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from bnbench.diagnose.cause import Cause, Quantity, Slip
from bnbench.diagnose.fingerprint import Named, match
from bnbench.diagnose.identity import causes_of, merged, undecided
from bnbench.diagnose.trials import EPS, MOMENTUM, Answers, answers_of, settings_of, trials
from bnbench.model import Capabilities, Kernel


def explain_causes(
    kernel: Kernel, capabilities: Capabilities, *, eps: float = EPS, momentum: float = MOMENTUM
) -> tuple[Cause, ...]:
    """Why a kernel is wrong, the surest cause first; () if it is correct as far as a few calls can tell.

    A match with a known bug to rounding, on all outputs it touches, ranks above a formula that fits; what neither
    explains is undecided, with what is known of it. ``eps`` and ``momentum`` are given for implementations that
    take no others than their own. Raises whatever the kernel raises.
    """
    settings = settings_of(capabilities, eps=eps, momentum=momentum)
    answers = answers_of(kernel, trials(settings))
    return merged(_causes(answers, match(settings, answers).named))


def _causes(answers: Answers, named: tuple[Named, ...]) -> Iterator[Cause]:
    yield from _overwritten(answers)
    matched: set[str] = set()
    for each in named:
        if each.causes:
            matched.update(each.aspects)
            yield from _known(each)
    hints = {aspect: each.mutants[0].bug for each in named if not each.causes for aspect in each.aspects}
    left = [aspect for aspect in answers.wrong if aspect not in matched]
    explained = list(causes_of(answers, [aspect for aspect in left if aspect not in hints]))
    # A wrong gradient shows in both modes, and may be matched in one and fitted in the other.
    known = {cause for each in named for cause in each.causes if cause[1].startswith("d")}
    yield from (cause for cause in explained if cause.decided and (cause.slip, cause.quantity) not in known)
    yield from (cause for cause in explained if not cause.decided)
    yield from (undecided(answers, aspect, hint=hint) for aspect, hint in hints.items())


def _known(named: Named) -> Iterator[Cause]:
    """The causes of the bugs that match; which of several it is stays open."""
    outputs = ", ".join(named.aspects)
    for slip, quantity in named.causes:
        bugs = [mutant.bug for mutant in named.mutants if mutant.cause == (slip, quantity)]
        yield Cause(
            quantity=quantity,
            slip=slip,
            sentence=" or ".join(dict.fromkeys(bugs)),
            evidence=f"matches this known bug to rounding in all of: {outputs}",
            decided=len(named.causes) == 1,
        )


def _overwritten(answers: Answers) -> Iterator[Cause]:
    """Arguments that were changed, and outputs that changed after they were returned."""
    for name in answers.mutated:
        yield Cause(
            quantity=cast("Quantity", name),
            slip=Slip.IN_PLACE,
            sentence=f"{name} is changed in place; it belongs to the caller",
            evidence=f"{name} differs after the call",
        )
    for name in answers.overwritten:
        yield Cause(
            quantity=cast("Quantity", name),
            slip=Slip.IN_PLACE,
            sentence=f"{name} is overwritten after it was returned",
            evidence=f"{name} differs after the backward call",
        )
