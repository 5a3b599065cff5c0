"""Which line is wrong: the first value that is not what it should be, and the proof of it.

Three proofs, strongest first. *Edited*: a small change of the line makes every output right. *Replayed*: the run
is repeated with one value replaced by the right one, and the outputs that depend on it become right. *Recognized*:
all that a value was computed from is right, and the value is right but for one known slip.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from bnbench.diagnose.accusation import of_copy, of_edit, of_near_miss, of_replay, shown
from bnbench.diagnose.cause import Slip, belongs_to
from bnbench.diagnose.corrections import correction
from bnbench.diagnose.doubts import is_aliased, is_renamed, is_unpacked, meant
from bnbench.diagnose.factors import factors
from bnbench.diagnose.failures import of_failure
from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.naming import TELLING, slip_of_output, usual
from bnbench.diagnose.overwriting import changed_argument, overwriting
from bnbench.diagnose.points import Point, ancestors
from bnbench.diagnose.replays import Replayed, deviations, replayed
from bnbench.diagnose.statements import is_received, passing_lines, statement_on
from bnbench.diagnose.suspect import Suspect

Scenario = TypeVar("Scenario", bound=Hashable)


OUTPUTS = (("y",), ("running_mean", "running_var"), ("dx",), ("dgamma",), ("dbeta",))
"""What may be wrong for reasons of its own."""


def find_suspects(inquiries: Mapping[Scenario, Inquiry]) -> dict[Scenario, tuple[Suspect, ...]]:
    """The suspects of each scenario; what went wrong in an earlier one of the same mode is not searched again."""
    found: dict[Scenario, tuple[Suspect, ...]] = {}
    for scenario, inquiry in inquiries.items():
        explained = (
            suspects for other, suspects in found.items() if suspects and _explained(inquiry, by=inquiries[other])
        )
        found[scenario] = next(explained, ()) or suspects_of(inquiry)
    return found


def suspects_of(inquiry: Inquiry) -> tuple[Suspect, ...]:
    """The lines that make outputs wrong: one that mends them all, else one for each output with a reason of its own.

    Several only if each mends its own outputs: a mistake that nothing mends is told as one.
    """
    whole = find_suspect(inquiry)
    if inquiry.failure is None and not set(inquiry.wrong) <= set(whole.mends if whole else ()):
        own = [set(inquiry.wrong) & set(names) for names in OUTPUTS]
        if "y" in inquiry.wrong:
            own = own[:2]  # the gradients follow
        parts = [find_suspect(inquiry.about(names)) for names in own if names and names < set(inquiry.wrong)]
        proven = [replace(part, partial=True) for part in parts if part is not None and part.mends]
        if proven and (whole is None or len(proven) == len(parts)):
            return tuple(proven)
    return () if whole is None else (whole,)


def _explained(inquiry: Inquiry, *, by: Inquiry) -> bool:
    """Whether all that is wrong was wrong before, in the same mode and in the same way."""
    same = inquiry.training == by.training and inquiry.failure == by.failure
    return same and bool(inquiry.wrong) and set(inquiry.wrong) <= set(by.wrong)


def find_suspect(inquiry: Inquiry) -> Suspect | None:
    """The line that makes outputs wrong; None when all are right, or when nothing can be said."""
    if inquiry.failure is not None:
        return of_failure(inquiry, inquiry.failure)
    if not inquiry.wrong:
        return overwriting(inquiry) if inquiry.overwritten else None
    for search in SEARCHES:
        found = search(inquiry)
        if found is not None:
            return found
    return None


def _missing(inquiry: Inquiry) -> Suspect | None:
    """An output that is None, or was never returned."""
    answers = inquiry.program.outputs(0, inquiry.trace)
    name = next((name for name in inquiry.wrong if name not in answers), None)
    if name is None:
        return None
    returns = [site for site in inquiry.trace.sites if site.role == "returned"]
    own = [site for site in returns if ("backward" in site.function) == name.startswith("d")]
    site = next(reversed(own or returns), None)
    return Suspect(
        function=site.function if site else "",
        line=site.line if site else None,
        statement=statement_on(inquiry.program, site.line if site else None),
        name=name,
        shows="None",
        quantity=belongs_to(name),
        should_be=name,
        slip=Slip.UNIMPLEMENTED,
        proof="recognized",
    )


def _copied(inquiry: Inquiry) -> Suspect | None:
    """Something is overwritten that is still needed: a copy of it repairs everything."""
    sites = {inquiry.reading.site(point) for point in inquiry.reading.points}
    if not any(site.role == "changed" for site in sites):
        return None
    found = correction(inquiry, sorted({site.line for site in sites}), kind="copy")
    return of_copy(inquiry, found) if found else None


def _reordered(inquiry: Inquiry) -> Suspect | None:
    """Right values that are returned, packed or unpacked in another order; the last such line, which mends it all."""
    lines = {inquiry.reading.site(point).line for point in inquiry.reading.points}
    found = correction(inquiry, sorted(lines, reverse=True), kind="order")
    return of_edit(inquiry, found) if found else None


def _replaced(inquiry: Inquiry) -> Suspect | None:
    """The first doubtful value whose replacement repairs what depends on it.

    In doubt are the values of the frontier, and those that are named for something else than they are.
    """
    frontier = inquiry.frontier()
    in_doubt = {point.events[0] for point in frontier}
    for point in inquiry.relevant():
        found = None
        if point.events[0] in in_doubt or is_renamed(inquiry, point):
            found = replayed(inquiry, point)
        elif promised := meant(inquiry, point):
            found = replayed(inquiry, point, names=(promised,))
        if found is not None:
            return _strengthened(inquiry, found)
        if point in frontier and any(miss.kind in TELLING for miss in inquiry.near(point)):
            return None  # two mistakes: the first of them is named by the next search
    return None


def _missed(inquiry: Inquiry) -> Suspect | None:
    """A value of the frontier that is right but for a slip that is unmistakable."""
    for point in inquiry.frontier():
        near = next((miss for miss in inquiry.near(point) if miss.kind in TELLING), None)
        if near is not None and not inquiry.follows(point):
            return of_near_miss(inquiry, point, near)
    return None


def _edited_frontier(inquiry: Inquiry) -> Suspect | None:
    """An edit of a line whose value is the first that is not right."""
    found = correction(inquiry, [inquiry.reading.site(point).line for point in inquiry.frontier()])
    return of_edit(inquiry, found) if found else None


def _misused(inquiry: Inquiry) -> Suspect | None:
    """A value that is right in itself and made into an output that it is not."""
    for point in inquiry.relevant():
        bound = inquiry.reading.site(point).role == "assigned" and point.right and not inquiry.follows(point)
        passed_on = is_unpacked(inquiry, point) or is_aliased(inquiry, point) or _is_given(point)
        if bound and not passed_on:
            found = replayed(inquiry, point, roles=("node",))
            if found is not None and not found.known.name.endswith("(before)"):
                return _strengthened(inquiry, found)
    return None


def _edited(inquiry: Inquiry) -> Suspect | None:
    """An edit of any line that a wrong output was computed or packed on, the last lines first."""
    lines = [*_relevant_lines(inquiry), *passing_lines(inquiry.program)]
    found = correction(inquiry, lines, accept=partial(is_received, inquiry.program))
    return of_edit(inquiry, found) if found else None


def _edited_twice(inquiry: Inquiry) -> Suspect | None:
    """The same edit in two places of one statement."""
    found = correction(inquiry, _relevant_lines(inquiry), kind="pair")
    return of_edit(inquiry, found) if found else None


def _missed_by_a_factor(inquiry: Inquiry) -> Suspect | None:
    """A value of the frontier that is right but for a factor or a power, and that factor is not M.

    M may be left for the last line: ``M dy - sum(dy)`` is as right as ``dy - mean(dy)``.
    """
    for point in inquiry.frontier():
        near = next(iter(inquiry.near(point)), None)
        if near is not None and near.kind in ("factor", "power") and near.detail not in _elements(inquiry):
            return of_near_miss(inquiry, point, near)
    return None


def _replaced_later(inquiry: Inquiry) -> Suspect | None:
    """The first value of all that are not right whose replacement repairs what depends on it.

    A part of an expression may be unlike anything that is known; the value of the whole has a name.
    """
    for point in inquiry.relevant():
        if not point.right and inquiry.reading.site(point).role != "expression":
            found = replayed(inquiry, point, roles=("node", "part", "piece"))
            if found is not None:
                return _strengthened(inquiry, found)
    return None


def _output(inquiry: Inquiry) -> Suspect | None:
    """What an output shows in place of what it should be, and where it was made."""
    for name, maker in inquiry.makers.items():
        point = inquiry.reading.by_event.get(_made(inquiry, maker))
        if point is None:
            continue
        site = inquiry.reading.site(point)
        near = next((miss for miss in deviations(inquiry, point) if belongs_to(miss.quantity) == name), None)
        slip = slip_of_output(shown(point), name) or (near.slip if near else None)
        if slip is not None:
            line = None if site.role == "argument" else site.line
            return Suspect(
                function=site.function,
                line=line,
                statement=statement_on(inquiry.program, line),
                name=name,
                shows=near.words() if near else shown(point),
                quantity=belongs_to(name),
                should_be=name,
                slip=slip,
                proof="recognized",
            )
    return None


SEARCHES: tuple[Callable[[Inquiry], Suspect | None], ...] = (
    _missing,
    _copied,
    _reordered,
    _replaced,
    _missed,
    _edited_frontier,
    changed_argument,
    _misused,
    _edited,
    _edited_twice,
    _missed_by_a_factor,
    _replaced_later,
    _output,
)
"""Strongest first; each is tried when those before it found nothing."""


def _strengthened(inquiry: Inquiry, found: Replayed) -> Suspect:
    """The suspect of a replay, or one with a better proof.

    Where no edit of its line makes everything right, an edit of an earlier line may, or of the line where the value
    was packed or passed; not where a value that is no output has the name of what belongs there. An argument that
    was changed in place, and an edit anywhere that mends more than the replay does, come first as well.
    """
    suspect = of_replay(inquiry, found)
    if suspect.proof == "edited":
        return suspect
    changed = changed_argument(inquiry)
    if changed is not None:
        return changed
    rightly_named = usual(inquiry.reading.site(found.point).name) == found.known.name
    if not rightly_named or is_unpacked(inquiry, found.point) or found.known.name in inquiry.right[0]:
        lines = [*_lines_before(inquiry, found.point), *passing_lines(inquiry.program)]
        edit = correction(inquiry, lines, accept=partial(is_received, inquiry.program))
        if edit is not None:
            return of_edit(inquiry, edit)
    if set(inquiry.depending(found.point)) < set(inquiry.wrong):
        return _edited(inquiry) or suspect
    return suspect


def _is_given(point: Point) -> bool:
    """Whether it is where something starts: a running average before its update, a sum before its first term."""
    return shown(point).endswith("(before)") or shown(point) == "0"


def _lines_before(inquiry: Inquiry, point: Point) -> list[int]:
    """The lines that ran before a point, those it was computed from first, each time the latest first."""
    event = point.events[0]
    before = ancestors(inquiry.trace, [event])
    earlier = [other for other in reversed(inquiry.reading.points) if other.events[0] <= event]
    earlier.sort(key=lambda other: other.events[0] not in before)  # stable
    return [inquiry.reading.site(other).line for other in earlier]


def _relevant_lines(inquiry: Inquiry) -> list[int]:
    return sorted({inquiry.reading.site(point).line for point in inquiry.relevant()}, reverse=True)


def _elements(inquiry: Inquiry) -> frozenset[str]:
    """The names of the factors that are M, or one over M, in every run."""
    names = []
    for known in inquiry.reading.quantities:
        count = float(known["M"].values)
        names.append({factor.name for factor in factors(known) if factor.value in (count, 1 / count)})
    return frozenset.intersection(*map(frozenset, names))


def _made(inquiry: Inquiry, maker: int) -> int:
    """The event that made what was returned."""
    events = inquiry.trace.events
    while inquiry.trace.sites[events[maker].site].role == "returned" and len(events[maker].inputs) == 1:
        maker = events[maker].inputs[0]
    return maker
