"""What is wrong with a UW homework 2: each stage by itself, on true inputs, then the layer as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isclose

import numpy as np

from bnbench.diagnose.cause import Cause, Quantity, Slip
from bnbench.diagnose.uw_explain import QUANTITIES, SEQUENTIAL, chosen_eps, explain, misfit, with_eps
from bnbench.diagnose.uw_formulas import RIGHT, evaluate
from bnbench.diagnose.uw_layer import diagnose_layer
from bnbench.diagnose.uw_stages import ARGUMENTS, EPS, Answer, Call, Stage, StageCase, stage_cases
from bnbench.model import Array

FOLLOWING = 1e-3
"""Relative error up to which a stage counts as right on the submission's own inputs: eps may stand elsewhere."""

OWN: Mapping[str, Stage] = {"m": "mean", "v": "variance", "dm": "delta_mean", "dv": "delta_variance"}
"""Which argument is which stage's result."""


class StageVerdict(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    FOLLOWS = "follows"
    """Right on what the submission's own earlier stages give, which are the ones to repair."""
    UNIMPLEMENTED = "unimplemented"
    MISSING = "missing"
    CRASHED = "crashed"
    TIMEOUT = "timeout"


@dataclass(frozen=True, kw_only=True, slots=True)
class StageDiagnosis:
    """What was found on one function."""

    stage: Stage
    verdict: StageVerdict
    causes: tuple[Cause, ...] = ()
    lines: tuple[int, int] | None = None
    """First and last line of the function in the submission."""
    eps: float | None = None
    """The eps that the function adds, where it is known."""
    error: float = float("nan")
    """Largest error over the cases, in the unit of ``SEQUENTIAL``; NaN if nothing was measured."""


def diagnose_uw(
    call: Call,
    *,
    eps: float | None = EPS,
    lines: Mapping[Stage, tuple[int, int]] | None = None,
    empty: Collection[Stage] = (),
) -> tuple[StageDiagnosis, ...]:
    """Judge every stage of a submission behind ``call``, in order.

    ``eps`` is the prescribed one; with None the first stage that adds a small number inside the root
    chooses, usually ``normalize``, and the others must agree. ``lines`` has the functions that the
    source defines, ``empty`` those of them that do no work in it: zeros from these are no wrong answer,
    but none.
    """
    lines = lines or {}
    found: dict[Stage, StageDiagnosis] = {}
    for stage in RIGHT:
        runs, broken = _runs(call, stage)
        if eps is None and broken is None and "spread" in RIGHT[stage]:
            eps = chosen_eps(stage, _results(runs))
        judged = _judge(stage, runs, broken, EPS if eps is None else eps, empty=stage in empty)
        if judged.verdict is StageVerdict.WRONG and _follows(call, judged, found):
            judged = replace(judged, verdict=StageVerdict.FOLLOWS)
        found[stage] = replace(judged, lines=lines.get(stage))
    unusable = {StageVerdict.MISSING, StageVerdict.CRASHED, StageVerdict.TIMEOUT}
    bad = [stage for stage, diagnosis in found.items() if diagnosis.verdict in unusable]
    in_place = any(cause.slip is Slip.IN_PLACE for diagnosis in found.values() for cause in diagnosis.causes)
    found["forward"] = _layer(call, bad, lines, in_place=in_place)
    return tuple(found.values())


def _runs(call: Call, stage: Stage) -> tuple[list[tuple[StageCase, Answer]], Answer | None]:
    """The answers on all cases, up to the first that did not return, and that one."""
    runs: list[tuple[StageCase, Answer]] = []
    for case in stage_cases():
        answer = call(stage, case.groups, tuple(case.arrays[name] for name in ARGUMENTS[stage]))
        if answer.status != "returned":
            case_name = f" (case: {case.name}, {case.rows} rows, {case.groups} groups, n = {case.spatial})"
            return runs, Answer(status=answer.status, detail=answer.detail + case_name)
        runs.append((case, answer))
    return runs, None


def _results(runs: Sequence[tuple[StageCase, Answer]]) -> list[tuple[StageCase, Array]]:
    return [(case, answer.results[0].astype(np.float64)) for case, answer in runs]


def _cause(quantity: Quantity, slip: Slip | None, sentence: str, evidence: str, *, decided: bool = True) -> Cause:
    return Cause(quantity=quantity, slip=slip, sentence=sentence, evidence=evidence, decided=decided)


def _judge(
    stage: Stage, runs: Sequence[tuple[StageCase, Answer]], broken: Answer | None, eps: float, *, empty: bool
) -> StageDiagnosis:
    quantity = QUANTITIES[stage]
    if broken is not None and (broken.status != "bad_result" or not runs):
        verdict = {
            "missing": StageVerdict.MISSING,
            "crashed": StageVerdict.CRASHED,
            "timeout": StageVerdict.TIMEOUT,
        }.get(broken.status, StageVerdict.WRONG)
        slip = Slip.UNDEFINED if verdict is StageVerdict.MISSING else Slip.RAISES
        words = {
            StageVerdict.MISSING: f"there is no function {stage}",
            StageVerdict.CRASHED: f"{stage} crashes: it reads or writes memory that is not its own",
            StageVerdict.TIMEOUT: f"{stage} does not come to an end",
            StageVerdict.WRONG: f"{stage} returns no usable matrix",
        }
        cause = _cause(quantity, slip, words[verdict], broken.detail)
        return StageDiagnosis(stage=stage, verdict=verdict, causes=(cause,))

    pairs = _results(runs)
    reference = with_eps(RIGHT[stage], eps)
    worst = max(misfit(stage, reference, [pair]) for pair in pairs)
    overwritten = _overwritten(stage, runs)
    used = eps if "spread" in reference else None
    if worst <= SEQUENTIAL.limit:
        verdict = StageVerdict.WRONG if overwritten else StageVerdict.RIGHT
        return StageDiagnosis(stage=stage, verdict=verdict, causes=overwritten, eps=used, error=worst)
    if empty and not any(got.any() for _, got in pairs):
        sentence = f"{stage} is still the starter's: it returns zeros"
        cause = _cause(quantity, Slip.UNIMPLEMENTED, sentence, "all results are zero")
        return StageDiagnosis(stage=stage, verdict=StageVerdict.UNIMPLEMENTED, causes=(cause,), error=worst)
    causes, used = explain(stage, pairs, eps)
    return StageDiagnosis(stage=stage, verdict=StageVerdict.WRONG, causes=causes + overwritten, eps=used, error=worst)


def _overwritten(stage: Stage, runs: Sequence[tuple[StageCase, Answer]]) -> tuple[Cause, ...]:
    """A cause for the first argument that the stage changes, or returns as its result."""
    for case, answer in runs:
        for at, name in enumerate(ARGUMENTS[stage]):
            if answer.aliased == at or not np.array_equal(case.arrays[name], answer.arguments[at]):
                sentence = f"the result is written into the argument {name}, which the layer still needs"
                evidence = f"{name} is another after the call, or is the result itself"
                return (_cause(QUANTITIES[name], Slip.IN_PLACE, sentence, evidence),)
    return ()


def _follows(call: Call, judged: StageDiagnosis, found: Mapping[Stage, StageDiagnosis]) -> bool:
    """Whether a wrong stage is right on the submission's own inputs, or only has the eps of its ``normalize``."""
    wrong = {stage for stage, diagnosis in found.items() if diagnosis.verdict is StageVerdict.WRONG}
    normalized = found.get("normalize")
    slips = [cause.slip for cause in judged.causes]
    if normalized and "normalize" in wrong and slips == [Slip.EPS] == [cause.slip for cause in normalized.causes]:
        same_place = judged.causes[0].sentence.split(";")[0] == normalized.causes[0].sentence.split(";")[0]
        if same_place and isclose(judged.eps or 0, normalized.eps or 0, rel_tol=FOLLOWING):
            return True
    upstream = {OWN[name] for name in ARGUMENTS[judged.stage] if name in OWN}
    if not upstream & wrong:
        return False
    return all(_right_on_own(call, judged.stage, case) for case in _ordinary_cases())


def _ordinary_cases() -> Iterator[StageCase]:
    yield from (case for case in stage_cases() if not case.given and case.arrays["v"].all())


def _own_arrays(call: Call, case: StageCase, names: Collection[str]) -> dict[str, Array] | None:
    """Arguments of a stage as the submission itself would compute them; None where it can't."""
    arrays = {"x": case.arrays["x"], "d": case.arrays["d"]}
    for name, stage in OWN.items():
        if name in names or name in {"m", "v"}:
            answer = call(stage, case.groups, tuple(arrays[argument] for argument in ARGUMENTS[stage]))
            if answer.status != "returned" or answer.results[0].shape != (1, case.groups):
                return None
            arrays[name] = answer.results[0].astype(np.float64)
    return arrays


def _right_on_own(call: Call, stage: Stage, case: StageCase) -> bool:
    arrays = _own_arrays(call, case, ARGUMENTS[stage])
    if arrays is None:
        return False
    answer = call(stage, case.groups, tuple(arrays[name] for name in ARGUMENTS[stage]))
    value, _ = evaluate(stage, case, RIGHT[stage])
    if answer.status != "returned" or answer.results[0].shape != value.shape:
        return False
    return bool(np.max(np.abs(answer.results[0] - value)) <= FOLLOWING * np.max(np.abs(value)))


def _layer(
    call: Call, bad: Sequence[Stage], lines: Mapping[Stage, tuple[int, int]], *, in_place: bool
) -> StageDiagnosis:
    """The layer, on the submission's own stages: their mistakes are not counted again."""
    if bad:
        sentence = f"not judged: it needs {', '.join(bad)}"
        causes: tuple[Cause, ...] = (_cause("y", None, sentence, "", decided=False),)
        return StageDiagnosis(stage="forward", verdict=StageVerdict.FOLLOWS, causes=causes, lines=lines.get("forward"))
    causes, status = (), "returned"
    for case in _ordinary_cases():
        if case.rows > 1:
            causes, status = diagnose_layer(call, case)
            if causes:
                break
    verdicts: Mapping[str, StageVerdict] = {
        "missing": StageVerdict.MISSING,
        "crashed": StageVerdict.CRASHED,
        "timeout": StageVerdict.TIMEOUT,
    }
    verdict = verdicts.get(status, StageVerdict.WRONG if causes else StageVerdict.RIGHT)
    if verdict is StageVerdict.WRONG and in_place:
        verdict = StageVerdict.FOLLOWS  # the layer keeps an input that a stage has overwritten
    return StageDiagnosis(stage="forward", verdict=verdict, causes=causes, lines=lines.get("forward"))
