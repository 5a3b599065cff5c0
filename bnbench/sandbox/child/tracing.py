"""What a diagnosis asks of a worker: runs of a submission with every value recorded, with values replaced, or edited.

Requests and answers are values of :mod:`wire`. A script is a list of calls, each a function's name and its arguments,
among which a handle stands for the cache that the first call returned.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import load, probe, wire

DEEPEST = 5
"""Containers in one another that cross, of a result."""


class Traced:
    """One submission as it stands, and once more rewritten so that it records."""

    def __init__(self, text: str, filename: str, names: list[str]) -> None:
        sites: tuple[probe.Site, ...] = ()

        def transform(module: ast.Module) -> ast.Module:
            nonlocal sites
            module, sites = probe.instrument(module, text, names)
            return module

        self.plain = load.load(text, filename).namespace
        self.probed = load.load(text, filename, transform=transform).namespace
        self.recorder = probe.Recorder(sites)

    def trace(self, script: list[Any], events: list[int], arrays: list[Any]) -> dict[str, Any]:
        """One run, recorded; ``events`` have the values ``arrays`` instead of their own."""
        calls = [probe.Call(name, tuple(_with_results(arguments))) for name, arguments in script]
        replace = dict(zip(events, arrays, strict=True))
        with quiet():
            trace = probe.record(self.probed, self.recorder, calls, replace=replace)
        error = trace.error
        failure = error and [error.type, error.message[: wire.TEXT_LIMIT], error.function, error.line, error.text]
        return {
            "sites": [list(site) for site in trace.sites],
            "events": [[e.site, e.call, crossing(np.asarray(e.value)), list(e.inputs)] for e in trace.events],
            "results": crossing(trace.results),
            "arguments": crossing(trace.arguments),
            "error": failure,
            "truncated": trace.truncated,
        }

    def edited(self, name: str, source: str, script: list[Any]) -> list[Any] | None:
        """The results and the first call's arguments with another definition of ``name``; None when it raises."""
        before = self.plain[name]
        try:
            with quiet():
                exec(compile(ast.parse(source), "<edited>", "exec"), self.plain)  # noqa: S102 - the purpose
                results: list[Any] = []
                given = copy.deepcopy(script)
                for function, arguments in given:
                    cache = [results[0][1] if type(a) is wire.Handle else a for a in arguments]
                    results.append(self.plain[function](*cache))
                return [crossing(results), crossing(given[0][1])]
        except (Exception, SystemExit):  # noqa: BLE001 - an edit may raise anything
            return None
        finally:
            self.plain[name] = before


def _with_results(arguments: list[Any]) -> list[Any]:
    return [probe.Result(0, (1,)) if type(a) is wire.Handle else a for a in arguments]


def crossing(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 - one return a kind
    """The value as it can cross: tuples as lists, arrays of odd dtypes as float64, None for what can't."""
    kind = type(value)
    if value is None or kind in (bool, float):
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else None
    if kind in (tuple, list) and depth < DEEPEST:
        return [crossing(part, depth + 1) for part in value]
    if kind is dict and depth < DEEPEST:
        return {key: crossing(part, depth + 1) for key, part in value.items() if type(key) is str}
    if isinstance(value, np.generic):
        value, kind = np.asarray(value), np.ndarray
    if kind is not np.ndarray:
        return None
    if value.dtype.str in wire.DTYPES:
        return value
    return value.astype(np.float64) if value.dtype.kind in "iuf" else np.full(value.shape, np.nan)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What the functions print is dropped, and so are warnings: wrong code overflows."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), load.captured(0):
        warnings.simplefilter("ignore")
        yield
