"""Which line is wrong: the first value that is not what it should be, and the proof of it.

Three proofs, strongest first. *Edited*: a small change of the line makes every output right. *Replayed*: the run
is repeated with one value replaced by the right one, and the outputs that depend on it become right. *Recognized*:
all that a value was computed from is right, and the value is right but for one known slip.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from bnbench.diagnose.cause import Quantity, Slip, belongs_to
from bnbench.diagnose.corrections import MOST, Correction, correction, functions_of
from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.naming import slip_of_edit, slip_of_output, usual
from bnbench.diagnose.points import Point
from bnbench.diagnose.program import Program
from bnbench.diagnose.quantities import Known
from bnbench.diagnose.recognize import Recognition
from bnbench.diagnose.replays import Replayed, deviations, forms, replayed

Proof: TypeAlias = Literal["edited", "replayed", "recognized"]

TELLING = frozenset({"eps", "divisor", "reduction", "order", "operand", "state", "mode"})
"""Near misses that hardly anything but that slip produces: believed without a proof by replay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One element of a value: where it is, what it is, and what it should be."""

    index: tuple[int, ...]
    got: float
    right: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A line, what is wrong with it, and how we know."""

    function: str
    line: int | None
    """None where there is no line: what is missing stands nowhere."""
    statement: str
    """The source of that line's statement."""
    name: str
    """The variable or expression whose value is wrong, in the student's words."""
    shows: str
    """What the value is instead; empty if that is not known."""
    quantity: Quantity
    should_be: str
    """What belongs there, more exactly than ``quantity`` if possible."""
    slip: Slip | None
    proof: Proof
    correction: Correction | None = None
    elements: tuple[Element, ...] = ()
    message: str = ""
    """Of the exception, where one ended the run."""


def find_suspect(inquiry: Inquiry) -> Suspect | None:
    """The line that makes outputs wrong; None when all are right, or when nothing can be said."""
    if inquiry.failure is not None:
        return _of_failure(inquiry)
    if not inquiry.wrong:
        return _overwriting(inquiry) if inquiry.overwritten else None
    for search in (_missing, _by_copy, _by_replay, _by_near_miss, _by_edit_of_frontier, _by_output, _anywhere):
        found = search(inquiry)
        if found is not None:
            return found
    return None


def _missing(inquiry: Inquiry) -> Suspect | None:
    """An output that is None, or was never returned."""
    answers = inquiry.program.outputs(0, inquiry.trace)
    for name in inquiry.wrong:
        if name not in answers:
            returns = [site for site in inquiry.trace.sites if site.role == "returned"]
            line = returns[-1].line if returns else None
            return Suspect(
                function=returns[-1].function if returns else "",
                line=line,
                statement=statement_on(inquiry.program, line),
                name=name,
                shows="None",
                quantity=belongs_to(name),
                should_be=name,
                slip=Slip.UNIMPLEMENTED,
                proof="recognized",
            )
    return None


def _by_copy(inquiry: Inquiry) -> Suspect | None:
    """Something is overwritten that is still needed: a copy of it repairs everything."""
    sites = {inquiry.reading.site(point) for point in inquiry.reading.points}
    if not any(site.role == "changed" for site in sites):
        return None
    found = correction(inquiry, sorted({site.line for site in sites}), only=Slip.IN_PLACE)
    return _from_copy(inquiry, found) if found else None


def _by_replay(inquiry: Inquiry) -> Suspect | None:
    """The first doubtful value whose replacement repairs what depends on it."""
    frontier = inquiry.frontier()
    doubtful = {point.events[0] for point in frontier} | {point.events[0] for point in _renamed(inquiry)}
    for point in inquiry.relevant():
        if point.events[0] in doubtful:
            found = replayed(inquiry, point)
            if found is not None:
                return _from_replay(inquiry, found)
            if point in frontier and any(miss.kind in TELLING for miss in inquiry.near(point)):
                return None  # two mistakes: the first of them is named below
    return None


def _renamed(inquiry: Inquiry) -> Iterator[Point]:
    """Values that are right in themselves, and perhaps not what the name is meant for.

    ``dvar`` shows 2 dvar, ``dxhat`` is dout: right in some correct program, wrong in this one. What is unpacked from
    a cache is passed on, not named anew.
    """
    for point in inquiry.relevant():
        site = inquiry.reading.site(point)
        if site.role not in ("assigned", "changed") or not point.right:
            continue
        shown = point.seen[0]
        given = shown.node in ("x", "dy") and not _unpacked(inquiry, point)
        if given or inquiry.reading.quantities[0][shown.quantity].role == "piece":
            yield point


def _by_near_miss(inquiry: Inquiry) -> Suspect | None:
    for point in inquiry.frontier():
        near = next((miss for miss in inquiry.near(point) if miss.kind in TELLING), None)
        if near is not None:
            return _from_near_miss(inquiry, point, near)
    return None


def _by_edit_of_frontier(inquiry: Inquiry) -> Suspect | None:
    lines = list(dict.fromkeys(inquiry.reading.site(point).line for point in inquiry.frontier()))
    for line in lines:
        found = correction(inquiry, [line], most=MOST // len(lines))
        if found is not None:
            return _from_edit(inquiry, found)
    return None


def _by_output(inquiry: Inquiry) -> Suspect | None:
    """A value that is right in itself and made into an output that it is not."""
    for point in inquiry.relevant():
        passed_on = _unpacked(inquiry, point) or _shown(point).endswith("(before)")
        if inquiry.reading.site(point).role == "assigned" and point.right and not passed_on:
            found = replayed(inquiry, point, roles=("node",))
            if found is not None and not found.known.name.endswith("(before)"):
                return _from_replay(inquiry, found)
    return None


def _anywhere(inquiry: Inquiry) -> Suspect | None:
    """An edit of any line that matters; then the same edit twice; then what the frontier or an output shows."""
    lines = sorted({inquiry.reading.site(point).line for point in inquiry.relevant()}, reverse=True)
    for pairs in (False, True):
        each = MOST // len(lines)
        found = next(filter(None, (correction(inquiry, [line], pairs=pairs, most=each) for line in lines)), None)
        if found is not None:
            return _from_edit(inquiry, found)
    for point in inquiry.frontier():
        near = next(iter(inquiry.near(point)), None)
        if near is not None and near.kind in ("factor", "power"):
            return _from_near_miss(inquiry, point, near)
    return _from_output(inquiry)


def _from_replay(inquiry: Inquiry, found: Replayed) -> Suspect:
    site = inquiry.reading.site(found.point)
    edit = correction(inquiry, [site.line])
    slip = _slip(inquiry, found.near, edit) or slip_of_output(_shown(found.point), found.known.name)
    return Suspect(
        function=site.function,
        line=site.line,
        statement=statement_on(inquiry.program, site.line),
        name=site.name or site.text,
        shows=found.near.words() if found.near else _shown(found.point),
        quantity=_quantity(inquiry, slip, found.known.node or belongs_to(found.known.name)),
        should_be=found.known.name,
        slip=slip,
        proof="edited" if edit else "replayed",
        correction=edit,
        elements=elements(inquiry, found.point, found.known),
    )


def _from_near_miss(inquiry: Inquiry, point: Point, near: Recognition) -> Suspect:
    site = inquiry.reading.site(point)
    edit = correction(inquiry, [site.line])
    slip = _slip(inquiry, near, edit)
    known = inquiry.reading.quantities[0][near.quantity]
    return Suspect(
        function=site.function,
        line=site.line,
        statement=statement_on(inquiry.program, site.line),
        name=site.name or site.text,
        shows=near.words(),
        quantity=_quantity(inquiry, slip, near.node or belongs_to(near.quantity)),
        should_be=near.quantity,
        slip=slip,
        proof="edited" if edit else "recognized",
        correction=edit,
        elements=elements(inquiry, point, known),
    )


def _from_edit(inquiry: Inquiry, found: Correction) -> Suspect:
    line = found.edit.line
    point = _bound_on(inquiry, line)
    site = inquiry.reading.site(point) if point else None
    near = next(iter(inquiry.near(point)), None) if point else None
    slip = _slip(inquiry, near, found)
    if slip is Slip.IN_PLACE:
        return _from_copy(inquiry, found)
    if slip is Slip.ORDER and not isinstance(_node_on(inquiry.program, line), ast.Return):
        return _from_cache(inquiry, found)
    corrected = inquiry.program.corrected(found.definition, found.edit)
    return Suspect(
        function=site.function if site else "",
        line=line,
        statement=statement_on(inquiry.program, line),
        name=(site.name or site.text) if site else "",
        shows=near.words() if near else _shown(point) if point else "",
        quantity=_quantity(inquiry, slip, corrected or belongs_to(inquiry.wrong[0])),
        should_be=corrected or "",
        slip=slip,
        proof="edited",
        correction=found,
    )


def _from_copy(inquiry: Inquiry, found: Correction) -> Suspect:
    """A copy repairs everything: the line that overwrites the original is to blame, not the one that shares it."""
    for point in inquiry.reading.points:
        site = inquiry.reading.site(point)
        if site.role == "changed" and site.line >= found.edit.line:
            break
    original = next(p for p in inquiry.reading.points if inquiry.reading.site(p).name == found.edit.before)
    return Suspect(
        function=site.function,
        line=site.line,
        statement=statement_on(inquiry.program, site.line),
        name=found.edit.before,
        shows=_shown(point),
        quantity=(original.seen[0].node if original.seen else None) or "x",
        should_be=_shown(original),
        slip=Slip.IN_PLACE,
        proof="edited",
        correction=found,
    )


def _overwriting(inquiry: Inquiry) -> Suspect | None:
    """Every output is right, and an argument is not what it was."""
    name = inquiry.overwritten[0]
    shown = {point: inquiry.reading.site(point) for point in inquiry.reading.points}
    changed = [point for point, site in shown.items() if site.role == "changed"]
    if not changed:
        return None
    named = [point for point in changed if usual(shown[point].name) == name or shown[point].name in (name, "dout")]
    point = (named or changed)[0]
    return Suspect(
        function=shown[point].function,
        line=shown[point].line,
        statement=statement_on(inquiry.program, shown[point].line),
        name=shown[point].name,
        shows=_shown(point),
        quantity=belongs_to(name),
        should_be=name,
        slip=Slip.IN_PLACE,
        proof="recognized",
    )


def _from_cache(inquiry: Inquiry, found: Correction) -> Suspect:
    """What was packed in one order is unpacked in another."""
    return Suspect(
        function=function_on(inquiry.program, found.edit.line),
        line=found.edit.line,
        statement=found.edit.before,
        name="cache",
        shows="",
        quantity="cache",
        should_be="cache",
        slip=Slip.ORDER,
        proof="edited",
        correction=found,
    )


def _from_output(inquiry: Inquiry) -> Suspect | None:
    """What an output shows in place of what it should be, and where it was made."""
    for name, maker in inquiry.makers.items():
        point = inquiry.reading.by_event.get(maker)
        if point is None:
            continue
        site = inquiry.reading.site(point)
        shown = _shown(point)
        near = next((miss for miss in deviations(inquiry, point) if belongs_to(miss.quantity) == name), None)
        slip = slip_of_output(shown, name) or (near.slip if near else None)
        if slip is not None:
            given = site.role == "argument"
            return Suspect(
                function=site.function,
                line=None if given else site.line,
                statement="" if given else statement_on(inquiry.program, site.line),
                name=name,
                shows=near.words() if near else shown,
                quantity=belongs_to(name),
                should_be=name,
                slip=slip,
                proof="recognized",
            )
    return None


def _of_failure(inquiry: Inquiry) -> Suspect | None:
    failure = inquiry.failure
    if failure is None:
        return None
    undefined = failure.type in ("NameError", "UnboundLocalError")
    lines = [failure.line] if failure.line is not None else []
    found = correction(inquiry, lines) if lines else None
    return Suspect(
        function=failure.function,
        line=failure.line,
        statement=failure.text,
        name="",
        shows="",
        quantity=_meant(inquiry, failure.text, failure.message, found),
        should_be="",
        slip=Slip.UNDEFINED if undefined else Slip.RAISES,
        proof="edited" if found else "recognized",
        correction=found,
        message=f"{failure.type}: {failure.message}",
    )


def _meant(inquiry: Inquiry, text: str, message: str, found: Correction | None) -> Quantity:
    """What a statement that failed was to compute: after a correction, by its target's name, or what came before."""
    corrected = inquiry.program.corrected(found.definition, found.edit) if found else None
    undefined = message.split("'")[1] if "'" in message else ""
    target = text.partition("=")[0].strip()
    before = [point.seen[0].node for point in inquiry.reading.points if point.seen and point.seen[0].node]
    return corrected or usual(undefined) or usual(target) or next(reversed(before), None) or "y"


def _slip(inquiry: Inquiry, near: Recognition | None, found: Correction | None) -> Slip | None:
    if set(inquiry.wrong) <= {"running_mean", "running_var"}:
        return Slip.STATE
    if near is not None and "statistics of the batch" in near.detail:
        return Slip.MODE
    if near is not None and (near.kind in TELLING or near.slip in (Slip.COUNT, Slip.SIGN)):
        return near.slip
    if found is not None:
        return slip_of_edit(inquiry, found.edit)
    return near.slip if near is not None else None


def _quantity(inquiry: Inquiry, slip: Slip | None, node: Quantity) -> Quantity:
    if slip is Slip.STATE and node not in ("running_mean", "running_var"):
        return belongs_to(inquiry.wrong[0])
    if slip is Slip.POWER and node == "dsq":  # a count is no power
        return "dvar"
    if slip is Slip.COUNT and node == "dxc":  # the count of the mean of squares
        return "dsq"
    if slip is Slip.EPS and node in ("x_hat", "scaled", "y"):
        return "sd"
    return node


def _shown(point: Point) -> str:
    return point.seen[0].words() if point.seen else ""


def _bound_on(inquiry: Inquiry, line: int) -> Point | None:
    """The last value that a line binds, or computes."""
    sites = ((point, inquiry.reading.site(point)) for point in inquiry.reading.points)
    here = [point for point, site in sites if site.line <= line <= site.end_line]
    bound = [p for p in here if inquiry.reading.site(p).role in ("assigned", "changed", "returned")]
    return next(reversed(bound or here), None)


def _unpacked(inquiry: Inquiry, point: Point) -> bool:
    node = _node_on(inquiry.program, inquiry.reading.site(point).line)
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Subscript | ast.Attribute)


def _node_on(program: Program, line: int) -> ast.stmt | None:
    for node in _statements(program.definitions):
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            return node
    return None


def statement_on(program: Program, line: int | None) -> str:
    """The source of the statement that a line belongs to, on one line."""
    node = None if line is None else _node_on(program, line)
    return ast.unparse(node) if node is not None else ""


def function_on(program: Program, line: int) -> str:
    """The name of the function that a line lies in."""
    for definition in program.definitions:
        for function in functions_of(definition):
            if function.lineno <= line <= (function.end_lineno or line):
                return function.name
    return ""


def _statements(definitions: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    for definition in definitions:
        for node in ast.walk(definition):
            if isinstance(node, ast.stmt) and not hasattr(node, "body"):
                yield node


def elements(inquiry: Inquiry, point: Point, known: Known) -> tuple[Element, ...]:
    """The two elements of the first run that are furthest off."""
    got = np.asarray(inquiry.values(point)[0])
    right = next((form for form in forms(known, got) if form.shape == got.shape), None)
    if right is None or not got.size:
        return ()
    order = np.argsort(-np.abs(np.nan_to_num(got - right, nan=np.inf)), axis=None)[:2]
    indices = [tuple(int(i) for i in np.unravel_index(flat, got.shape)) for flat in order]
    return tuple(Element(index=index, got=float(got[index]), right=float(right[index])) for index in indices)
