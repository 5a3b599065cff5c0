"""A place in a student's source where a value comes to be, and the two names that a rewritten function knows."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

RECORDER = "__probe__"
"""The global under which a rewritten module finds its recorder. The underscores behind it forbid mangling."""
ACTIVATION = "__activation__"
"""The local that counts which invocation of the function this is."""

Role: TypeAlias = Literal["argument", "expression", "assigned", "changed", "returned"]

Operand: TypeAlias = int | str
"""Where an operand comes from, as far as the text says: the index of the site that makes it (0 and above), the slot
of a variable (see :mod:`scopes`), or one of the two below."""
LITERAL = -1
"""A constant: nothing was computed."""
UNKNOWN = -2
"""Only the identity of the object can tell."""


class Site(NamedTuple):
    """Lines count from 1; columns are bytes of UTF-8 from 0, as in :mod:`ast`."""

    function: str
    """Dotted through classes and enclosing functions; a lambda is ``<lambda>``."""
    line: int
    column: int
    end_line: int
    end_column: int
    text: str
    """The segment of the source, as it stands there."""
    role: Role
    name: str
    """Of the parameter or of what is bound or changed; the position of what is returned; empty for an expression."""
