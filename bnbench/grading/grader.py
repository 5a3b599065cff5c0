"""Grade one submission: bytes in, a Grade out, the same every time.

The submission runs in a sandbox and maps arrays to arrays. What it is given, what is right, what counts and what it is
worth stay here.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bnbench import __version__
from bnbench.adapters.sandboxed import SandboxedFile
from bnbench.adapters.source import Source
from bnbench.adapters.uw.compiler import compile_uw, find_compiler
from bnbench.adapters.uw.sandboxed import compiler_in, stages_in
from bnbench.adapters.uw.stages import open_stages
from bnbench.diagnose.hints import Hints
from bnbench.grading.cs231n import Graded, Submission
from bnbench.grading.hints import hinter
from bnbench.grading.model import Assignment, Grade, Isolation, Item, ItemResult, Outcome
from bnbench.grading.reading import UnreadableError, read
from bnbench.grading.seeds import seed_of
from bnbench.grading.uw import grade_uw
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.tiers import require
from bnbench.sandbox.zygote import SandboxError

LIMITS = Limits(wall=4.0, cpu=2.0)
"""A right submission answers everything in a tenth of a second; a whole class may consist of infinite loops."""
LARGEST_C = 1 << 18
"""Bytes of a file in C."""
REPAIRS = "repairs"
"""Number of the result that carries what repairs cost."""

_sandboxes: dict[tuple[str | None, int], Sandbox] = {}
"""Open for as long as this process lives, one for each tier and thread: the zygote stays warm."""


def grade_one(
    data: bytes,
    name: str,
    assignment: Assignment,
    *,
    epoch: str,
    secret: bytes,
    tier: str | None = None,
    diagnose: bool = False,
    limits: Limits = LIMITS,
) -> Grade:
    """Grade the bytes of one file, handed in as ``name``.

    ``secret`` and ``epoch`` are the course's: the data of every item is drawn from them and from the bytes. ``tier`` is
    the isolation that is required, the strongest that there is if None. With ``diagnose`` a wrong item gets a hint, as
    far as the assignment allows hints, and C is run with sanitizers as well. ``limits`` hold for each item, of C for
    each call. Raises IsolationError where the tier can't be had, and nothing that a submission could cause; trouble of
    the sandbox is the outcome ``grader_error``.
    """
    sandbox = _sandbox(tier)
    grade = _graded if assignment.kind == "cs231n" else _graded_uw
    digest = hashlib.sha256(data).hexdigest()
    seed = partial(seed_of, secret, epoch, assignment, digest)
    try:
        graded = grade(data, name, assignment, seed, sandbox, limits, diagnose=diagnose)
    except SandboxError as error:
        graded = Graded(results=_all(assignment, Outcome.GRADER_ERROR, f"the sandbox failed: {error}"))
    if any(result.outcome is Outcome.GRADER_ERROR for result in graded.results):
        _discard(tier)
    return Grade(
        assignment=assignment.name,
        assignment_digest=assignment.digest,
        submission=digest,
        file=name,
        bnbench=__version__,
        epoch=epoch,
        results=tuple(graded.results),
        isolation=Isolation(
            tier=sandbox.isolation.tier.value,
            not_enforced=sandbox.isolation.not_enforced,
            why=dict(sandbox.isolation.why),
        ),
        remarks=tuple(dict.fromkeys(graded.remarks)),
    )


def _graded(
    data: bytes,
    name: str,
    assignment: Assignment,
    seed: Callable[[Item], int],
    sandbox: Sandbox,
    limits: Limits,
    *,
    diagnose: bool,
) -> Graded:
    filename = assignment.files[0].rpartition(".")[0] + (".ipynb" if name.endswith(".ipynb") else ".py")
    try:
        source = read(data, filename)
    except UnreadableError as error:
        return Graded(results=_all(assignment, Outcome.ERROR, str(error)))
    wants_hints = diagnose and assignment.hints is not Hints.NONE
    submission = Submission(
        source,
        assignment,
        seed,
        SandboxedFile(sandbox, source.text, filename, limits),
        hinter(assignment.hints, sandbox, source) if wants_hints else None,
    )
    graded = submission.grade()
    graded.remarks[:0] = [source.words(repair) for repair in source.repairs]
    _charge(graded, source, assignment)
    return graded


def _graded_uw(
    data: bytes,
    name: str,  # noqa: ARG001 - both kinds are called alike, and C has one
    assignment: Assignment,
    seed: Callable[[Item], int],
    sandbox: Sandbox,
    limits: Limits,
    *,
    diagnose: bool,
) -> Graded:
    compiler = find_compiler()
    if compiler is None:
        raise SandboxError("there is no C compiler")
    if len(data) > LARGEST_C:
        what = f"the file has {len(data)} bytes, at most {LARGEST_C} are compiled"
        return Graded(results=_all(assignment, Outcome.COMPILE_ERROR, what))
    with tempfile.TemporaryDirectory(prefix="bnbench-") as folder:
        compiling = partial(compile_uw, data, Path(folder), compiler=compiler, run=compiler_in(sandbox))
        compiled, sanitized = compiling(), None
        if diagnose and compiled.status == "compiled":
            with contextlib.suppress(RuntimeError):  # a compiler without sanitizers
                sanitized = compiling(sanitize=True)
        return grade_uw(
            compiled,
            assignment,
            seed,
            partial(open_stages, seconds=limits.wall, launch=stages_in(sandbox)),
            hints=assignment.hints if diagnose else Hints.NONE,
            sanitized=sanitized,
        )


def _charge(graded: Graded, source: Source, assignment: Assignment) -> None:
    """Take off what repairs of lines cost, never more than there is; how a file is encoded costs nothing."""
    lines = {repair.line for repair in source.repairs if repair.line is not None}
    reached = sum(result.points for result in graded.results)
    cost = min(reached, len(lines) * assignment.repair_points)
    if cost:
        what = f"{len(lines)} repaired line{'s'[: len(lines) != 1]}, {assignment.repair_points} points each"
        title = "repairs of the file's syntax"
        result = ItemResult(
            number=REPAIRS, title=title, function="", outcome=Outcome.FAILED, points=-cost, max_points=0, what=what
        )
        graded.results.append(result)


def _all(assignment: Assignment, outcome: Outcome, what: str) -> list[ItemResult]:
    """One outcome for every item."""
    blank = ItemResult(number="", title="", function="", outcome=outcome, points=0, max_points=0, what=what)
    return [
        replace(
            blank,
            number=item.number,
            title=item.title,
            function=item.function,
            max_points=item.points,
            visibility=item.visibility,
        )
        for item in assignment.items
    ]


def _sandbox(tier: str | None) -> Sandbox:
    key = (tier, threading.get_ident())
    if key not in _sandboxes:
        sandbox = Sandbox(None if tier is None else require(tier))
        sandbox.__enter__()
        atexit.register(sandbox.__exit__, None, None, None)
        _sandboxes[key] = sandbox
    return _sandboxes[key]


def _discard(tier: str | None) -> None:
    """Close the sandbox after trouble, so that the next submission gets another."""
    sandbox = _sandboxes.pop((tier, threading.get_ident()))
    sandbox.__exit__(None, None, None)
    atexit.unregister(sandbox.__exit__)
