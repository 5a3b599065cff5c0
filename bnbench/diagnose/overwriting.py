"""An argument that a function changes in place."""

from __future__ import annotations

from bnbench.diagnose.accusation import shown
from bnbench.diagnose.cause import Slip, belongs_to
from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.naming import usual
from bnbench.diagnose.points import ancestors
from bnbench.diagnose.statements import statement_on
from bnbench.diagnose.suspect import Suspect


def changed_argument(inquiry: Inquiry) -> Suspect | None:
    """An argument is changed in place, and all that is wrong was computed from it afterwards."""
    for point in inquiry.reading.points:
        changed = inquiry.reading.site(point).role == "changed" and inquiry.overwritten
        if changed and set(inquiry.wrong) <= set(inquiry.depending(point)):
            return overwriting(inquiry)
    return None


def overwriting(inquiry: Inquiry) -> Suspect | None:
    """An argument is not what it was: the first line that changes what came from it, at best by its name."""
    name = inquiry.overwritten[0]
    sites = {point: inquiry.reading.site(point) for point in inquiry.reading.points}
    given = {p.events[0] for p, site in sites.items() if site.role == "argument" and p.seen and p.seen[0].node == name}
    changed = [point for point, site in sites.items() if site.role == "changed"]
    named = [point for point in changed if usual(sites[point].name) == name or sites[point].name in (name, "dout")]
    from_it = [point for point in changed if given & ancestors(inquiry.trace, [point.events[0]])]
    if not changed:
        return None
    point = (named or from_it or changed)[0]
    return Suspect(
        function=sites[point].function,
        line=sites[point].line,
        statement=statement_on(inquiry.program, sites[point].line),
        name=sites[point].name,
        shows=shown(point),
        quantity=belongs_to(name),
        should_be=name,
        slip=Slip.IN_PLACE,
        proof="recognized",
    )
