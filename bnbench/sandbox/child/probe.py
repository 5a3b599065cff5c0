"""Run a student's functions and keep every value that they compute, with the flow of the data.

    tree, sites = instrument(ast.parse(text), text, ["batchnorm_forward", "batchnorm_backward"])
    ... the module is loaded from the new tree into ``namespace`` ...
    trace = record(namespace, Recorder(sites), [Call("batchnorm_forward", (x, gamma, beta, {"mode": "train"})),
                                                Call("batchnorm_backward", (dout, Result(0, (1,))))])

``trace.events`` are the values in the order in which they came to be. ``record(..., replace={i: array})`` runs the same
script with the value of event ``i`` replaced: events before it are the same as without.

What a probed function can notice: ``np.empty`` is filled with NaN (0 for integers), so that every run finds the same
memory; every array is referred to once more, so that ``ndarray.resize`` refuses; ``locals()`` has one name more. What
the module itself keeps between runs (a counter, a memo) is not reset: load such a module anew for each. An array
without a name, such as a view that lies in a cache, is not seen to change when its buffer does; its contents are
right again wherever it is bound or used.
"""

from __future__ import annotations

import copy
import linecache
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt

from . import history, recorder, rewrite, sites
from . import reachable as reach

Site = sites.Site
Event = history.Event
Recorder = recorder.Recorder
instrument = rewrite.instrument
reachable = reach.reachable


class Result(NamedTuple):
    """Stands in a call for what an earlier one returned, or for a part of it: ``Result(0, (1,))`` is its cache."""

    call: int
    path: tuple[int | str, ...] = ()


class Call(NamedTuple):
    """One call of a script: a function of the module by its name, or one that an earlier call returned."""

    function: str | Result
    arguments: tuple[Any, ...] = ()
    """Arrays, numbers, strings and containers of them, copied before the run; or a :class:`Result`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What ended a run, and where in the student's text."""

    type: str
    message: str
    function: str
    """Of the innermost frame that lies in the student's module, empty if none does."""
    line: int | None
    text: str
    """The source line, stripped; empty where the source is not known to :mod:`linecache`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """One run. With ``error`` it is what happened until then."""

    sites: tuple[Site, ...]
    events: tuple[Event, ...]
    results: tuple[Any, ...]
    """What each call returned: the very objects, which later calls may have changed."""
    arguments: tuple[tuple[Any, ...], ...]
    """The copies that the calls were given, as the run left them."""
    error: Failure | None = None
    truncated: bool = False
    """Whether a limit of the recorder was reached; the run went on without it."""


def record(
    namespace: dict[str, Any],
    recorder: Recorder,
    calls: Sequence[Call],
    *,
    replace: Mapping[int, npt.ArrayLike] | None = None,
) -> Trace:
    """Run ``calls`` in the instrumented module ``namespace`` and return what happened.

    An exception of the student's code, SystemExit included, ends the run and is reported; KeyboardInterrupt is passed
    on. Arguments are copied, the same object in two calls staying one. ``replace`` maps the indices of events to what
    takes the place of their values: an array of another shape takes the array's place, a number stays a number, and
    for the role "changed" the values are written into the array where shape and dtype allow. Deterministic as far as
    the student's code is.
    """
    given: list[tuple[Any, ...]] = []
    results: list[Any] = []
    copies = copy.deepcopy([call.arguments for call in calls])
    error = None
    limit = sys.getrecursionlimit()
    namespace[sites.RECORDER] = recorder
    recorder.start(replace or {})
    sys.setrecursionlimit(2 * limit)  # every call of the student's passes through one of the recorder's
    try:
        for call, own in zip(calls, copies, strict=True):
            arguments = tuple([_resolved(a, results) if isinstance(a, Result) else a for a in own])
            given.append(arguments)
            results.append(_function(call.function, namespace, results)(*arguments))
    except (Exception, SystemExit) as exception:  # noqa: BLE001 - whatever the student's code raises
        error = _failure(exception, namespace)
    finally:
        sys.setrecursionlimit(limit)
        recorder.stop()
    return Trace(
        sites=tuple(recorder.sites),
        events=tuple(recorder.events),
        results=tuple(results),
        arguments=tuple(given),
        error=error,
        truncated=recorder.truncated,
    )


def _function(function: str | Result, namespace: dict[str, Any], results: list[Any]) -> Any:
    if isinstance(function, Result):
        return _resolved(function, results)
    if function not in namespace:
        raise NameError(f"name {function!r} is not defined")
    return namespace[function]


def _resolved(result: Result, results: list[Any]) -> Any:
    value = results[result.call]
    for key in result.path:
        value = value[key]
    return value


def _failure(exception: BaseException, namespace: dict[str, Any]) -> Failure:
    function, line, text = "", None, ""
    traceback = exception.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_globals is namespace:
            code = frame.f_code
            function, line = code.co_qualname.replace(".<locals>", ""), traceback.tb_lineno
            text = linecache.getline(code.co_filename, line).strip()
        traceback = traceback.tb_next
    try:
        message = str(exception)
    except Exception:  # noqa: BLE001 - __str__ is the student's
        message = ""
    return Failure(type=type(exception).__name__, message=message, function=function, line=line, text=text)
