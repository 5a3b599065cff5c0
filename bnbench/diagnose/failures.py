"""A run that an exception ended: the line that raised it, or an earlier one that it follows from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bnbench.diagnose.accusation import of_edit, of_replay
from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.corrections import Correction, correction
from bnbench.diagnose.doubts import is_renamed, meant
from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.naming import usual
from bnbench.diagnose.replays import replayed
from bnbench.diagnose.statements import statement_lines
from bnbench.diagnose.suspect import Suspect
from bnbench.sandbox.child.probe import Failure

UNDEFINED = ("NameError", "UnboundLocalError")
NEAR_AT_HAND = 1.5
"""The highest cost of an edit of a line that did not itself raise."""


def of_failure(inquiry: Inquiry, failure: Failure) -> Suspect:
    """The line that raises, unless the run goes through when an earlier one is changed, and not when this one is."""
    message = f"{failure.type}: {failure.message}"
    found = correction(inquiry, [failure.line]) if failure.line is not None else None
    undefined = failure.type in UNDEFINED
    earlier = None if found or undefined else _earlier(inquiry)
    if earlier is not None:
        return replace(earlier, message=message)
    return Suspect(
        function=failure.function,
        line=failure.line,
        statement=failure.text,
        name="",
        shows="",
        quantity=_meant(inquiry, failure, found),
        should_be="",
        slip=Slip.UNDEFINED if undefined else Slip.RAISES,
        proof="edited" if found else "recognized",
        correction=found,
        message=message,
    )


def _earlier(inquiry: Inquiry) -> Suspect | None:
    """A line before: by an edit, the latest line first, or as the first value that is not right.

    A call that did not return left no value; such lines come last.
    """
    lines = [inquiry.reading.site(point).line for point in reversed(inquiry.reading.points)]
    lines += statement_lines(inquiry.program)
    found = correction(inquiry, lines, kind="order") or correction(inquiry, lines, cost=NEAR_AT_HAND)
    if found is not None:
        return of_edit(inquiry, found)
    for point in inquiry.reading.points:
        wrong = not point.right and inquiry.reading.site(point).role == "assigned"
        if wrong or is_renamed(inquiry, point) or meant(inquiry, point):
            right = replayed(inquiry, point, outputs=inquiry.right[0])
            if right is not None:
                return of_replay(inquiry, right)
    return None


def _meant(inquiry: Inquiry, failure: Failure, found: Correction | None) -> Quantity:
    """What a statement that failed was to compute: after a correction, by its target's name, or what came before."""
    corrected = inquiry.program.corrected(found.definition, found.edit) if found else None
    undefined = failure.message.split("'")[1] if "'" in failure.message else ""
    target = failure.text.partition("=")[0].strip()
    before = (point.seen[0].node for point in reversed(inquiry.reading.points) if point.seen)
    return corrected or usual(undefined) or usual(target) or _first(before) or "y"


def _first(quantities: Iterable[Quantity | None]) -> Quantity | None:
    return next((quantity for quantity in quantities if quantity), None)
