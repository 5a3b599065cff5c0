"""Which functions a C source defines, and on which lines: also of a source that does not compile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, TypeAlias

Edition: TypeAlias = Literal["groups", "spatial"]

PARAMETERS = {"delta_mean": 2, "delta_variance": 4, "delta_batch_norm": 6}
"""Parameters of these in the edition ``groups``; ``spatial`` has one more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """A function definition: its lines, counted from 1, and what its text gives away."""

    name: str
    first: int
    last: int
    parameters: int
    works: bool
    """Whether it loops or calls anything but ``make_matrix``; the starter's body does not."""


def functions(source: str) -> Mapping[str, Function]:
    """Find the function definitions of a C ``source`` by its tokens, in order, by name."""
    tokens = list(_tokens(source))
    found = {}
    at = 0
    while at < len(tokens):
        if tokens[at][0] == "{":  # of a struct, an enum or an initializer
            at = _closing(tokens, at)
        elif at + 1 < len(tokens) and tokens[at][0].isidentifier() and tokens[at + 1][0] == "(":
            close = _closing(tokens, at + 1)
            if close + 1 < len(tokens) and tokens[close + 1][0] == "{":
                end = _closing(tokens, close + 1)
                found[tokens[at][0]] = _function(tokens, at, close, end)
                close = end
            at = close
        at += 1
    return MappingProxyType(found)


def edition_of(found: Mapping[str, Function]) -> Edition:
    """Tell the edition by the number of parameters, and where that says nothing by the layer's name."""
    for name, parameters in PARAMETERS.items():
        if name in found:
            return "spatial" if found[name].parameters > parameters else "groups"
    return "spatial" if "batch_normalize_forward" in found else "groups"


def _tokens(source: str) -> Iterator[tuple[str, int]]:
    """Text and line of every token; white space, comments and preprocessor lines are left out."""
    from pygments.lexers import get_lexer_by_name

    line = 1
    for kind, text in get_lexer_by_name("c", stripnl=False, ensurenl=False).get_tokens(source):
        if "Punctuation" in kind:
            yield from ((mark, line) for mark in text)
        elif text.strip() and "Comment" not in kind and "String" not in kind:
            yield text, line
        line += text.count("\n")


def _closing(tokens: list[tuple[str, int]], opening: int) -> int:
    """Index of the bracket that closes the one at ``opening``; the last token where none does."""
    bracket = tokens[opening][0]
    partner = {"(": ")", "{": "}"}[bracket]
    depth = 0
    for at in range(opening, len(tokens)):
        depth += (tokens[at][0] == bracket) - (tokens[at][0] == partner)
        if depth == 0:
            return at
    return len(tokens) - 1


def _function(tokens: list[tuple[str, int]], at: int, close: int, end: int) -> Function:
    body = [text for text, _ in tokens[close + 1 : end + 1]]
    calls = {name for name, after in pairwise(body) if after == "(" and name.isidentifier()}
    commas = sum(text == "," for text, _ in tokens[at + 2 : close])
    return Function(
        name=tokens[at][0],
        first=tokens[at][1],
        last=tokens[end][1],
        parameters=commas + 1 if close > at + 2 else 0,
        works=bool(calls - {"make_matrix", "sizeof", "if", "return"}),
    )
