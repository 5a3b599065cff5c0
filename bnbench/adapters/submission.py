"""A student's own file, opened for local use: source, namespace, implementations and remarks.

It runs in this process, with the user's rights: for one's own file, not for those of others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnbench.adapters.cs231n import FUNCTIONS, LAYERS, implementations
from bnbench.adapters.cs231n_answers import Remarks
from bnbench.adapters.source import Source, read_source
from bnbench.model import Implementation
from bnbench.sandbox.child.load import Loaded, captured, load


class SubmissionError(ValueError):
    """A file in which there is nothing to verify."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A file of cs231n, read and run. ``remarks`` grow while the implementations are called."""

    source: Source
    loaded: Loaded
    implementations: tuple[Implementation, ...]
    remarks: Remarks

    @property
    def words(self) -> tuple[str, ...]:
        """Everything there is to say of the file before any check: repairs, problems, imports, remarks."""
        source = self.source
        repairs = (source.words(repair) for repair in source.repairs)
        problems = (source.words(problem) for problem in (*source.problems, *self.loaded.problems))
        missing = (
            f"{source.place(item.line)}: {item.name} can't be imported here; only a call of it would fail"
            for item in self.loaded.missing
        )
        return (*repairs, *problems, *missing, *self.remarks.texts)


def open_submission(path: Path) -> Submission:
    """Read, repair and run a ``layers.py`` or a notebook of cs231n.

    What its functions print while they are called is dropped. Raises OSError when the file can't be read,
    ValueError for a notebook that is none. What else is wrong is in the record.
    """
    source = read_source(path.read_bytes(), path.name)
    loaded = load(source.text, path.name)
    remarks = Remarks()
    starters = {function.name: function.line for function in source.functions if function.unimplemented}
    for name, line in starters.items():
        if name in FUNCTIONS:
            remarks.add(f"{name} ({source.place(line)}) is not implemented yet")
    absent = {
        name: f"was lost: {source.words(problem)}"
        for problem in (*source.problems, *loaded.problems)
        for name in problem.lost
        if name in FUNCTIONS and name not in loaded.namespace
    }
    absent |= dict.fromkeys(_backwards_of_implemented(starters, loaded.namespace), "is not implemented yet")
    defined = {
        name: _silent(value)
        for name, value in loaded.namespace.items()
        if name in FUNCTIONS and name not in starters and callable(value)
    }
    return Submission(
        source=source,
        loaded=loaded,
        implementations=implementations(defined, path.stem, remarks, absent=absent),
        remarks=remarks,
    )


def layers_of(source: Source, path: Path) -> tuple[Implementation, ...]:
    """The implementations of a file of cs231n, at least one; () for a file that is none. ``source`` is the file's.

    Raises SubmissionError for one in which nothing can be used, and what :func:`open_submission` raises.
    """
    forwards = {layer.forward for layer in LAYERS}
    named = {function.name for function in source.functions}
    named |= {name for problem in source.problems for name in problem.lost}
    if named.isdisjoint(forwards):
        return ()
    submission = open_submission(path)
    if not submission.implementations:
        raise SubmissionError("; ".join(submission.words) or "no layer of cs231n can be used")
    return submission.implementations


def _backwards_of_implemented(starters: Mapping[str, int], namespace: Mapping[str, Any]) -> set[str]:
    """Backwards that are still the starter's while their forwards are written; the alternative is optional."""
    return {
        layer.backward
        for layer in LAYERS
        if layer.backward in starters and layer.forward not in starters and layer.forward in namespace
        if layer.name != "batchnorm_alt"
    }


def _silent(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def silent(*arguments: Any) -> Any:
        with captured(0):
            return function(*arguments)

    return silent
