"""Grade a homework file of UW in C: stage by stage on true inputs, by the diagnosis that also says the cause.

How the file is compiled and where its functions run is the caller's: for strangers' files, behind the sandbox.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TypeAlias, cast

import numpy as np

from bnbench.adapters.uw.compiler import Compiled
from bnbench.adapters.uw.diagnosis import memory_findings
from bnbench.adapters.uw.sanitizer import MemoryFinding
from bnbench.diagnose.cause import Slip
from bnbench.diagnose.hints import Hints
from bnbench.diagnose.uw import StageDiagnosis, StageVerdict, diagnose_uw
from bnbench.diagnose.uw_explain import SEQUENTIAL, misfit, with_eps
from bnbench.diagnose.uw_formulas import RIGHT
from bnbench.diagnose.uw_stages import ARGUMENTS, EPS, Answer, Call, Stage, drawn_case
from bnbench.grading.cs231n import Graded
from bnbench.grading.model import Assignment, Item, ItemResult, Outcome, Visibility
from bnbench.sandbox.child.uw import PASSES

Serve: TypeAlias = Callable[[Compiled], AbstractContextManager[Call]]
"""Opens the functions of a compiled file; the process behind them ends with the block."""

OUTCOMES: Mapping[StageVerdict, Outcome] = {
    StageVerdict.RIGHT: Outcome.PASSED,
    StageVerdict.FOLLOWS: Outcome.PASSED,
    StageVerdict.WRONG: Outcome.FAILED,
    StageVerdict.UNIMPLEMENTED: Outcome.UNIMPLEMENTED,
    StageVerdict.MISSING: Outcome.MISSING,
    StageVerdict.CRASHED: Outcome.CRASHED,
    StageVerdict.TIMEOUT: Outcome.TIMEOUT_WALL,
}
BUILDS: Mapping[str, Outcome] = {
    "compile_error": Outcome.COMPILE_ERROR,
    "unsupported": Outcome.COMPILE_ERROR,
    "timeout": Outcome.TIMEOUT_WALL,
}


def grade_uw(
    compiled: Compiled,
    assignment: Assignment,
    seed: Callable[[Item], int],
    serve: Serve,
    *,
    hints: Hints = Hints.NONE,
    sanitized: Compiled | None = None,
) -> Graded:
    """Grade every item. ``sanitized`` is the same file with sanitizers, whose findings are remarks and cost nothing."""
    if compiled.status != "compiled":
        outcome = BUILDS[compiled.status]
        first, *others = assignment.items
        results = [_blank(first, outcome, compiled.message)]
        results += [_blank(item, outcome, f"the file does not compile: see {first.number}") for item in others]
        return Graded(results=results)
    graded = Graded()
    with serve(compiled) as call:
        found = {diagnosis.stage: diagnosis for diagnosis in _diagnosed(compiled, call)}
        for item in assignment.items:
            graded.results.append(_result(item, found, assignment, graded, call, seed(item), hints))
    if sanitized is not None and sanitized.status == "compiled":
        with serve(sanitized) as call:
            graded.remarks += [_words(finding) for finding in memory_findings(sanitized, call)]
    return graded


def _diagnosed(compiled: Compiled, call: Call) -> tuple[StageDiagnosis, ...]:
    names: dict[Stage, str] = {stage: stage for stage in ARGUMENTS}
    names["forward"] = PASSES[compiled.edition][0]
    defined = {stage: compiled.functions[name] for stage, name in names.items() if name in compiled.functions}
    with np.errstate(all="ignore"):
        return diagnose_uw(
            call,
            eps=EPS if compiled.edition == "groups" else None,
            lines={stage: (function.first, function.last) for stage, function in defined.items()},
            empty={stage for stage, function in defined.items() if not function.works},
        )


def _result(
    item: Item,
    found: Mapping[Stage, StageDiagnosis],
    assignment: Assignment,
    graded: Graded,
    call: Call,
    seed: int,
    hints: Hints,
) -> ItemResult:
    passed = {result.number for result in graded.results if result.outcome is Outcome.PASSED}
    missing = [number for number in item.needs if number not in passed]
    if missing:
        return _blank(item, Outcome.SKIPPED, f"needs {', '.join(missing)}, which did not pass")
    diagnosis = found[cast("Stage", item.function)]
    outcome = OUTCOMES[diagnosis.verdict]
    slips = {cause.slip for cause in diagnosis.causes}
    if outcome is Outcome.FAILED and assignment.eps_severity == "remark" and slips == {Slip.EPS}:
        graded.remarks.append(f"{item.number}: right but for eps: {diagnosis.causes[0].sentence}")
        return replace(_blank(item, Outcome.PASSED), points=item.points)
    if diagnosis.verdict is StageVerdict.RIGHT and not _right_elsewhere(diagnosis, call, seed):
        return _blank(item, Outcome.FAILED, f"{item.function} is right on the public data alone")
    if outcome is Outcome.PASSED:
        if diagnosis.verdict is StageVerdict.FOLLOWS:
            graded.remarks.append(
                f"{item.number}: right on what the functions before it give, which are to be repaired"
            )
        return replace(_blank(item, outcome), points=item.points)
    return _told(_blank(item, outcome, _what(item, diagnosis)), diagnosis, hints)


def _right_elsewhere(diagnosis: StageDiagnosis, call: Call, seed: int) -> bool:
    """Whether a right stage is right on data that nobody can have prepared for; of the layer as a whole it is taken."""
    if diagnosis.stage == "forward":
        return True
    case = drawn_case(seed)
    arguments = tuple(case.arrays[name] for name in ARGUMENTS[diagnosis.stage])
    answer: Answer = call(diagnosis.stage, case.groups, arguments)
    if answer.status != "returned":
        return False
    reference = with_eps(RIGHT[diagnosis.stage], EPS if diagnosis.eps is None else diagnosis.eps)
    worst = misfit(diagnosis.stage, reference, [(case, answer.results[0].astype(np.float64))])
    return worst <= SEQUENTIAL.limit


def _what(item: Item, diagnosis: StageDiagnosis) -> str:
    if diagnosis.verdict is not StageVerdict.WRONG:
        return diagnosis.causes[0].sentence if diagnosis.causes else ""
    if any(cause.slip is Slip.IN_PLACE for cause in diagnosis.causes) and diagnosis.error <= SEQUENTIAL.limit:
        return diagnosis.causes[-1].sentence
    if not math.isfinite(diagnosis.error):
        return f"{item.function} gives values that are not finite, or of another shape"
    return f"{item.function} is off by {math.log10(max(diagnosis.error / SEQUENTIAL.limit, 1.0)):.1f} decades"


def _told(result: ItemResult, diagnosis: StageDiagnosis, hints: Hints) -> ItemResult:
    """With the hint that the level allows; of a hidden item nothing."""
    if result.visibility is not Visibility.VISIBLE:
        return result
    line = diagnosis.lines[0] if diagnosis.lines and hints in {Hints.WHERE, Hints.HOW} else None
    hint = ""
    if hints is not Hints.NONE and result.outcome is Outcome.FAILED and diagnosis.causes:
        hint = " or ".join(dict.fromkeys(cause.sentence for cause in diagnosis.causes))
    return replace(result, hint=hint, line=line)


def _words(finding: MemoryFinding) -> str:
    where = f"line {finding.line}: " if finding.line else ""
    return f"{where}{finding.kind}{f' in {finding.function}' if finding.function else ''}, said the sanitizer"


def _blank(item: Item, outcome: Outcome, what: str = "") -> ItemResult:
    return ItemResult(
        number=item.number,
        title=item.title,
        function=item.function,
        outcome=outcome,
        points=0,
        max_points=item.points,
        visibility=item.visibility,
        what=what,
    )
