"""The diagnosis of a compiled homework file (UW), and of an implementation known by its answers, as they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bnbench.diagnose.cause import Cause, Slip
from bnbench.diagnose.hints import Hints
from bnbench.diagnose.steps import STEPS
from bnbench.diagnose.uw import StageDiagnosis, StageVerdict
from bnbench.report.diagnosis import (
    ShownDiagnosis,
    ShownFinding,
    ShownFunction,
    ShownLayer,
    finding_of_cause,
    headline,
)
from bnbench.report.words import visible

STAGE_SENTENCES: dict[StageVerdict, str] = {
    StageVerdict.RIGHT: "right on true inputs",
    StageVerdict.WRONG: "wrong, on true inputs",
    StageVerdict.FOLLOWS: "wrong only because of another function: right once that is repaired",
    StageVerdict.UNIMPLEMENTED: "still the starter's",
    StageVerdict.MISSING: "not in the file, or under another name",
    StageVerdict.CRASHED: "crashes",
    StageVerdict.TIMEOUT: "does not come to an end",
}
FUNCTIONS = {"forward": "the layer, forward and backward"}


class Memory(NamedTuple):
    """A memory error that a sanitizer found."""

    kind: str
    line: int | None
    function: str | None


def show_stages(
    file: str,
    stages: Sequence[StageDiagnosis],
    level: Hints,
    *,
    memory: Iterable[Memory] = (),
    remarks: tuple[str, ...] = (),
) -> ShownDiagnosis:
    """Every function of a C file: its verdict, what explains it, and the memory errors."""
    functions = tuple(
        ShownFunction(
            name=FUNCTIONS.get(stage.stage, stage.stage),
            line=stage.lines[0] if stage.lines else None,
            state=str(stage.verdict),
            sentence=_sentence(stage),
        )
        for stage in stages
    )
    findings = [_of_stage(stage, cause, level) for stage in stages for cause in stage.causes] + [
        _of_memory(each, level) for each in memory
    ]
    right = all(stage.verdict is StageVerdict.RIGHT for stage in stages) and not findings
    told = tuple(findings) if level is not Hints.NONE else ()
    layers = (ShownLayer(name="UW batch norm", functions=functions, findings=told),)
    return ShownDiagnosis(
        file=file,
        hints=level,
        headline=headline(file, layers, right=right),
        right=right,
        remarks=remarks,
        layers=layers,
    )


def show_uncompiled(file: str, message: str, level: Hints) -> ShownDiagnosis:
    """A C file that does not compile: the compiler's own words, at every level."""
    function = ShownFunction(name=file, line=None, state="lost", sentence="does not compile")
    finding = ShownFinding(quantity="", slip=str(Slip.RAISES), hint=message)
    layer = ShownLayer(name="UW batch norm", functions=(function,), findings=(finding,))
    return ShownDiagnosis(
        file=file, hints=level, headline=f"{visible(file)}: does not compile", right=False, layers=(layer,)
    )


def _sentence(stage: StageDiagnosis) -> str:
    eps = f"; adds eps = {stage.eps:g}" if stage.eps else ""
    return f"{STAGE_SENTENCES[stage.verdict]}{eps}"


def _of_stage(stage: StageDiagnosis, cause: Cause, level: Hints) -> ShownFinding:
    """What explains a stage names the mistake outright: below ``where`` only the quantity and the slip are told."""
    if level not in (Hints.WHERE, Hints.HOW):
        return finding_of_cause(cause, level)
    step = STEPS.get(cause.quantity)
    first, last = stage.lines or (None, None)
    where = "" if first is None else f"Lines {first} to {last}, "
    said = cause.sentence.rstrip(".")
    sure = "" if cause.decided or cause.slip is None else " (or something else that gives the same values)"
    return ShownFinding(
        quantity=cause.quantity,
        slip=str(cause.slip or ""),
        line=first,
        function=stage.stage,
        hint=f"{where}{stage.stage}: {said}{sure}.",
        proof=f"Measured: {cause.evidence}." if cause.evidence and level is Hints.HOW else "",
        explain=f"bnbench explain {cause.quantity}" if step else "",
    )


def _of_memory(memory: Memory, level: Hints) -> ShownFinding:
    where = "outside of the file"
    if level in (Hints.WHERE, Hints.HOW) and memory.line is not None:
        where = f"on line {memory.line}"
    elif memory.function:
        where = "in the file"
    within = f" in {memory.function}" if memory.function else ""
    return ShownFinding(
        quantity="",
        slip=str(Slip.RAISES),
        line=memory.line if level in (Hints.WHERE, Hints.HOW) else None,
        function=memory.function or "",
        hint=f"Memory error{within}, {where}: {memory.kind}.",
    )


def show_causes(file: str, causes: Iterable[tuple[str, tuple[Cause, ...]]], level: Hints) -> ShownDiagnosis:
    """Implementations by name, each with what its answers alone give away; none for one that is right."""
    layers = tuple(
        ShownLayer(
            name=name,
            functions=(
                ShownFunction(
                    name=name,
                    line=None,
                    state="wrong" if found else "right",
                    sentence="some outputs are wrong" if found else "every output is right",
                ),
            ),
            findings=tuple(finding_of_cause(cause, level) for cause in found) if level is not Hints.NONE else (),
        )
        for name, found in causes
    )
    right = all(function.state == "right" for layer in layers for function in layer.functions)
    return ShownDiagnosis(
        file=file, hints=level, headline=headline(file, layers, right=right), right=right, layers=layers
    )
