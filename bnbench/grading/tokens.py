"""Sources alike: a hash of what is left of a file without comments, layout and the choice of names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

MINIMUM = 20
"""Tokens below which a file is no evidence: an empty one is like every other."""


def token_hash(data: bytes, name: str) -> str:
    """SHA-256 of the tokens of a Python, C or notebook source, ``name`` telling which; "" if there are hardly any.

    Comments, docstrings and whitespace are left out; a name is the number of its first appearance, except after a
    dot, where it is not the student's choice. A file that does not parse has tokens too.
    """
    tokens = list(_normalized(_tokens(_source(data.decode("utf-8", "replace"), name), name)))
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest() if len(tokens) >= MINIMUM else ""


def _source(text: str, name: str) -> str:
    if not name.lower().endswith(".ipynb"):
        return text
    from bnbench.adapters.notebook import joined

    try:
        return joined(text)[0]
    except ValueError:
        return ""


def _tokens(text: str, name: str) -> Iterable[tuple[Any, str]]:
    from pygments.lexers import CLexer, PythonLexer

    lexer = CLexer() if name.lower().endswith((".c", ".h")) else PythonLexer()
    tokens: Iterable[tuple[Any, str]] = lexer.get_tokens(text)
    return tokens


def _normalized(tokens: Iterable[tuple[Any, str]]) -> Iterator[str]:
    from pygments.token import Comment, Name, String, Text

    numbers: dict[str, int] = {}
    before = ""
    for kind, text in tokens:
        layout = kind in Text or (kind in Comment and kind not in Comment.Preproc) or kind in String.Doc
        if layout or not text.strip():
            continue
        chosen = kind in Name and kind not in Name.Builtin and before != "."
        yield f"#{numbers.setdefault(text, len(numbers))}" if chosen else text
        before = text
