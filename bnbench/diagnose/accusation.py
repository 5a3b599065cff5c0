"""From what a search found to a suspect: the line, the quantity, the slip, and the words of the student's source."""

from __future__ import annotations

import ast

import numpy as np

from bnbench.diagnose.cause import Quantity, Slip, belongs_to
from bnbench.diagnose.corrections import Correction, correction
from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.naming import TELLING, slip_of_edit, slip_of_output
from bnbench.diagnose.points import Point
from bnbench.diagnose.quantities import Known
from bnbench.diagnose.recognize import Recognition
from bnbench.diagnose.replays import Replayed, forms
from bnbench.diagnose.statements import function_on, node_on, statement_on
from bnbench.diagnose.suspect import Element, Suspect

TOLD = 2
"""So many elements of a value are shown."""


def of_replay(inquiry: Inquiry, found: Replayed) -> Suspect:
    """A value whose replacement repairs what depends on it; its line perhaps has an edit that does the same."""
    site = inquiry.reading.site(found.point)
    edit = correction(inquiry, [site.line])
    slip = _slip(inquiry, found.near, edit) or slip_of_output(shown(found.point), found.known.name)
    return Suspect(
        function=site.function,
        line=site.line,
        statement=statement_on(inquiry.program, site.line),
        name=site.name or site.text,
        shows=found.near.words() if found.near else shown(found.point),
        quantity=_quantity(inquiry, slip, found.known.node or belongs_to(found.known.name)),
        should_be=found.known.name,
        slip=slip,
        proof="edited" if edit else "replayed",
        mends=inquiry.wrong if edit else inquiry.depending(found.point),
        correction=edit,
        elements=_elements(inquiry, found.point, found.known),
    )


def of_near_miss(inquiry: Inquiry, point: Point, near: Recognition) -> Suspect:
    """A value that is right but for one slip."""
    site = inquiry.reading.site(point)
    edit = correction(inquiry, [site.line])
    slip = _slip(inquiry, near, edit)
    belongs = near.quantity if point.elsewhere is None else near.node or near.quantity
    return Suspect(
        function=site.function,
        line=site.line,
        statement=statement_on(inquiry.program, site.line),
        name=site.name or site.text,
        shows=near.words(),
        quantity=_quantity(inquiry, slip, near.node or belongs_to(near.quantity)),
        should_be=belongs,
        slip=slip,
        proof="edited" if edit else "recognized",
        mends=inquiry.wrong if edit else (),
        correction=edit,
        elements=_elements(inquiry, point, inquiry.reading.quantities[0][belongs]),
    )


def of_edit(inquiry: Inquiry, found: Correction) -> Suspect:
    """A line of which a small change makes every output right."""
    line = found.edit.line
    point = _bound_on(inquiry, line)
    site = inquiry.reading.site(point) if point else None
    near = next(iter(inquiry.near(point)), None) if point else None
    slip = _slip(inquiry, near, found)
    if slip is Slip.ORDER and not isinstance(node_on(inquiry.program, line), ast.Return):
        return _of_cache(inquiry, found)
    corrected = inquiry.program.corrected(found.definition, found.edit)
    return Suspect(
        function=function_on(inquiry.program, line),
        line=line,
        statement=found.edit.original,
        name=(site.name or site.text) if site else "",
        shows=near.words() if near else shown(point) if point else "",
        quantity=_quantity(inquiry, slip, corrected or belongs_to(inquiry.wrong[0])),
        should_be=corrected or "",
        slip=slip,
        proof="edited",
        mends=inquiry.wrong,
        correction=found,
    )


def of_copy(inquiry: Inquiry, found: Correction) -> Suspect:
    """A copy repairs everything: the line that overwrites the original is to blame, not the one that shares it."""
    changed = [point for point in inquiry.reading.points if inquiry.reading.site(point).role == "changed"]
    later = [point for point in changed if inquiry.reading.site(point).line >= found.edit.line]
    point = (later or changed[-1:])[0]
    site = inquiry.reading.site(point)
    original = next((p for p in inquiry.reading.points if inquiry.reading.site(p).name == found.edit.before), point)
    return Suspect(
        function=site.function,
        line=site.line,
        statement=statement_on(inquiry.program, site.line),
        name=found.edit.before,
        shows=shown(point),
        quantity=(original.seen[0].node if original.seen else None) or "x",
        should_be=shown(original),
        slip=Slip.IN_PLACE,
        proof="edited",
        mends=inquiry.wrong,
        correction=found,
    )


def _of_cache(inquiry: Inquiry, found: Correction) -> Suspect:
    """What was packed in one order is unpacked in another."""
    return Suspect(
        function=function_on(inquiry.program, found.edit.line),
        line=found.edit.line,
        statement=found.edit.original,
        name="cache",
        shows="",
        quantity="cache",
        should_be="cache",
        slip=Slip.ORDER,
        proof="edited",
        mends=inquiry.wrong,
        correction=found,
    )


def shown(point: Point) -> str:
    """What a point shows, in words; empty if that is not known."""
    return point.seen[0].words() if point.seen else ""


def _slip(inquiry: Inquiry, near: Recognition | None, found: Correction | None) -> Slip | None:
    """A near miss that hardly anything else produces says it best, then the edit, then any near miss."""
    if set(inquiry.wrong) <= {"running_mean", "running_var"}:
        return Slip.STATE
    if near is not None and (near.kind in TELLING or near.slip in (Slip.COUNT, Slip.SIGN)):
        return near.slip
    if found is not None:
        return slip_of_edit(inquiry, found.edit)
    return near.slip if near is not None else None


def _quantity(inquiry: Inquiry, slip: Slip | None, node: Quantity) -> Quantity:
    """The quantity that a course would name, where the value itself is one step further on."""
    if slip is Slip.STATE and node not in ("running_mean", "running_var"):
        return belongs_to(inquiry.wrong[0])
    if slip is Slip.COUNT and node == "dxc":  # the count of the mean of squares
        return "dsq"
    return node


def _bound_on(inquiry: Inquiry, line: int) -> Point | None:
    """The last value that a line binds, or computes."""
    sites = ((point, inquiry.reading.site(point)) for point in inquiry.reading.points)
    here = [point for point, site in sites if site.line <= line <= site.end_line]
    bound = [p for p in here if inquiry.reading.site(p).role in ("assigned", "changed", "returned")]
    return next(reversed(bound or here), None)


def _elements(inquiry: Inquiry, point: Point, known: Known) -> tuple[Element, ...]:
    """The elements of the first run that are furthest off."""
    got = np.asarray(inquiry.values(point)[0])
    right = next((form for form in forms(known, got) if form.shape == got.shape), None)
    if right is None or not got.size:
        return ()
    order = np.argsort(-np.abs(np.nan_to_num(got - right, nan=np.inf)), axis=None)[:TOLD]
    indices = [tuple(int(i) for i in np.unravel_index(flat, got.shape)) for flat in order]
    return tuple(Element(index=index, got=float(got[index]), right=float(right[index])) for index in indices)
