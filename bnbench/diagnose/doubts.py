"""Values that are right in themselves, and perhaps not where they are."""

from __future__ import annotations

import ast

import numpy as np

from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.naming import usual
from bnbench.diagnose.points import Point
from bnbench.diagnose.statements import node_on


def is_renamed(inquiry: Inquiry, point: Point) -> bool:
    """Whether a value is right in itself, and perhaps not what it is named for.

    ``dvar`` shows 2 dvar, ``dxhat`` is dout: right in some correct program, wrong in this one. What is unpacked from
    a cache is passed on, not named anew.
    """
    if not point.right or not _is_bound(inquiry, point) or is_unpacked(inquiry, point):
        return False
    given = point.seen[0].node in ("x", "dy")
    return given or inquiry.reading.quantities[0][point.seen[0].quantity].role == "piece"


def meant(inquiry: Inquiry, point: Point) -> str | None:
    """What a variable's name promises, where its value is something else."""
    promised = usual(inquiry.reading.site(point).name) if _is_bound(inquiry, point) else None
    if point.right and (point.seen[0].node is None or point.seen[0].quantity == promised):
        return None
    return promised


def is_unpacked(inquiry: Inquiry, point: Point) -> bool:
    """Whether a value comes out of a cache or another container, and gets no name of its own."""
    node = node_on(inquiry.program, inquiry.reading.site(point).line)
    if not isinstance(node, ast.Assign):
        return False
    several = isinstance(node.targets[0], ast.Tuple | ast.List)
    return isinstance(node.value, ast.Subscript | ast.Attribute) or (several and isinstance(node.value, ast.Name))


def is_aliased(inquiry: Inquiry, point: Point) -> bool:
    """Whether the same value has another name later: ``dx = dxhat``."""
    return any(
        later.events[0] > point.events[0]
        and inquiry.reading.site(later).role == "assigned"
        and inquiry.trace.events[later.events[0]].inputs == (point.events[0],)
        and np.array_equal(inquiry.values(later)[0], inquiry.values(point)[0], equal_nan=True)
        for later in inquiry.relevant()
    )


def _is_bound(inquiry: Inquiry, point: Point) -> bool:
    return inquiry.reading.site(point).role in ("assigned", "changed")
