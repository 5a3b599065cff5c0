"""A diagnosis as it is shown: one record of words, which the terminal, Markdown, HTML and JSON only lay out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bnbench.diagnose.cause import Cause
from bnbench.diagnose.diagnosis import Annotation, Diagnosis, FunctionState, LayerDiagnosis, State
from bnbench.diagnose.hints import Hints, cause_hint, hint, proof_words, proposed, sentence, shown
from bnbench.diagnose.steps import STEPS
from bnbench.diagnose.suspect import Suspect
from bnbench.report.graph import Graph, Verdict
from bnbench.report.words import visible

Tone: TypeAlias = Literal["good", "bad", "odd", "dim"]

TONES: dict[str, Tone] = {
    "right": "good",
    "wrong": "bad",
    "raises": "bad",
    "crashed": "bad",
    "timeout": "bad",
    "lost": "bad",
    "missing": "bad",
    "follows": "odd",
    "unimplemented": "odd",
    "absent": "odd",
    "untried": "dim",
}
"""By the word for a function's state."""

STATES: dict[State, str] = {
    State.RIGHT: "every output is right",
    State.RAISES: "ends with an exception",
    State.UNIMPLEMENTED: "not implemented yet",
    State.ABSENT: "not in this file",
    State.LOST: "stands in the file, and could not be loaded",
    State.UNTRIED: "not tried: it needs a function that does not run",
}


@dataclass(frozen=True, slots=True)
class Value:
    """One element of a wrong value. The numbers are texts, so that NaN has one spelling."""

    place: str
    """Such as ``[5, 1]``; empty for a number."""
    got: str
    right: str


@dataclass(frozen=True, slots=True)
class Change:
    """A statement before and after its correction, each on one line."""

    line: int
    before: str
    after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownFunction:
    """One function and its state, in a word and in a sentence."""

    name: str
    line: int | None
    state: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownFinding:
    """One thing that is wrong. What the level of the hints holds back is empty."""

    quantity: str
    slip: str
    line: int | None = None
    function: str = ""
    source: str = ""
    hint: str = ""
    """All of the following in a few sentences."""
    sentence: str = ""
    """What the line does wrong."""
    shows: str = ""
    should_be: str = ""
    values: tuple[Value, ...] = ()
    formula: str = ""
    why: str = ""
    change: Change | None = None
    proof: str = ""
    explain: str = ""
    """The command that explains the quantity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownLine:
    """One line of the student's file, and what it comes to."""

    number: int
    text: str
    words: str = ""
    verdict: Verdict | Literal[""] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownLayer:
    """One layer, or all functions of a C file."""

    name: str
    functions: tuple[ShownFunction, ...]
    findings: tuple[ShownFinding, ...] = ()
    note: str = ""
    """What there is to say where nothing was found, or where it was said before."""
    lines: tuple[ShownLine, ...] = ()
    picture: Graph | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownDiagnosis:
    """A whole file."""

    schema: Literal["bnbench.diagnosis/1"] = "bnbench.diagnosis/1"
    file: str
    hints: Hints
    headline: str
    right: bool
    remarks: tuple[str, ...] = ()
    layers: tuple[ShownLayer, ...] = ()


def show(diagnosis: Diagnosis, level: Hints) -> ShownDiagnosis:
    """What may be shown of a diagnosis at a level.

    What was said of one layer is not repeated in another that shares the function.
    """
    told: dict[tuple[int | None, str, str], str] = {}
    found = tuple(_layer(diagnosis, layer, level, told) for layer in diagnosis.layers)
    right = all(layer.right and not layer.suspects for layer in diagnosis.layers)
    return ShownDiagnosis(
        file=diagnosis.file,
        hints=level,
        headline=headline(diagnosis.file, found, right=right),
        right=right,
        remarks=diagnosis.remarks,
        layers=found,
    )


def headline(file: str, layers: Iterable[ShownLayer], *, right: bool) -> str:
    """How many functions of a file are right."""
    states = {function.name: function.state for layer in layers for function in layer.functions}
    count = sum(state == "right" for state in states.values())
    file = visible(file)
    if right:
        return f"{file}: every function is right ({count})"
    if count == len(states):
        return f"{file}: every function answers right ({count}), and something is to be mended all the same"
    return f"{file}: {count} of {len(states)} functions are right"


def _layer(
    diagnosis: Diagnosis, layer: LayerDiagnosis, level: Hints, told: dict[tuple[int | None, str, str], str]
) -> ShownLayer:
    findings, repeated = [], []
    for suspect in layer.suspects:
        key = (suspect.line, suspect.quantity, suspect.statement)
        if key in told:
            repeated.append(told[key])
        else:
            told[key] = layer.name
            findings.append(_finding(suspect, level))
    findings += [finding_of_cause(cause, level) for cause in layer.causes]
    note = ""
    if repeated:
        note = f"The same as in {', '.join(dict.fromkeys(repeated))} above."
    elif not findings and any(f.state is State.WRONG for f in layer.functions) and level is not Hints.NONE:
        note = "No line was found that explains it: the outputs named above are wrong all the same."
    reveals = level in (Hints.WHERE, Hints.HOW) and bool(layer.suspects or not layer.right)
    return ShownLayer(
        name=layer.name,
        functions=tuple(map(_function, layer.functions)),
        findings=tuple(findings) if level is not Hints.NONE else (),
        note=note,
        lines=tuple(_lines(diagnosis.lines, layer)) if reveals and not repeated else (),
        picture=layer.picture if level in (Hints.WHERE, Hints.HOW) else None,
    )


def _function(state: FunctionState) -> ShownFunction:
    said = STATES.get(state.state, f"{_outputs(state.wrong)} wrong")
    return ShownFunction(name=state.name, line=state.line, state=str(state.state), sentence=said)


def _outputs(wrong: Iterable[str]) -> str:
    """``dx and dgamma are``: wrong outputs; what is wrong anyway is not named again for a call with default options."""
    train = [name for name in wrong if "(" not in name]
    names = [
        name.replace(" (test)", " in test mode").replace(" (defaults)", " on a first call with default options")
        for name in wrong
        if not (name.endswith("(defaults)") and name.partition(" ")[0] in train)
    ]
    *most, last = names or ["an output"]
    return f"{', '.join(most)} and {last} are" if most else f"{last} is"


def _finding(suspect: Suspect, level: Hints) -> ShownFinding:
    slip = str(suspect.slip or "")
    if level in (Hints.NONE, Hints.WHAT):
        return ShownFinding(quantity=suspect.quantity, slip=slip, hint=hint(suspect, level))
    step = STEPS.get(suspect.quantity)
    edit = proposed(suspect) if level is Hints.HOW else None
    return ShownFinding(
        quantity=suspect.quantity,
        slip=slip,
        line=suspect.line,
        function=suspect.function,
        source=" ".join(suspect.statement.split()),
        hint=hint(suspect, level),
        sentence=sentence(suspect),
        shows=shown(suspect.shows),
        should_be=shown(suspect.should_be),
        values=tuple(
            Value(f"[{', '.join(map(str, e.index))}]" if e.index else "", f"{e.got:.6g}", f"{e.right:.6g}")
            for e in suspect.elements
            if e.got != e.right
        ),
        formula=step.formula if step else "",
        why=step.why if step else "",
        change=None
        if edit is None
        else Change(edit.line, " ".join(_statement_of(suspect, edit.line).split()), " ".join(edit.corrected.split())),
        proof=proof_words(suspect) if level is Hints.HOW else "",
        explain=f"bnbench explain {suspect.quantity}" if step else "",
    )


def _statement_of(suspect: Suspect, line: int) -> str:
    """What stands on the line of the correction, which is not always the line that is to blame."""
    import ast

    if suspect.correction is None or line == suspect.line:
        return suspect.statement
    return ast.unparse(suspect.correction.edit.statement)


def finding_of_cause(cause: Cause, level: Hints) -> ShownFinding:
    """What the answers alone gave away."""
    step = STEPS.get(cause.quantity)
    reveals = level in (Hints.WHERE, Hints.HOW)
    return ShownFinding(
        quantity=cause.quantity,
        slip=str(cause.slip or ""),
        hint=cause_hint(cause, level),
        proof=f"Measured: {cause.evidence}." if reveals and cause.evidence else "",
        formula=step.formula if step and reveals else "",
        why=step.why if step and reveals else "",
        explain=f"bnbench explain {cause.quantity}" if step and reveals else "",
    )


def _lines(source: tuple[str, ...], layer: LayerDiagnosis) -> Iterator[ShownLine]:
    """The lines of the layer's functions that bind something or are blamed, and the headings of the functions."""
    by_line: dict[int, list[Annotation]] = {}
    for annotation in layer.annotations:
        by_line.setdefault(annotation.line, []).append(annotation)
    blamed = {suspect.line for suspect in layer.suspects if suspect.line is not None}
    heads = {function.line for function in layer.functions if function.line is not None}
    if not (by_line or blamed):
        return
    for number in sorted({*by_line, *blamed, *heads}):
        if number > len(source):
            continue
        here = by_line.get(number, [])
        verdict = "wrong" if number in blamed else _worst(annotation.verdict for annotation in here)
        words = "; ".join(dict.fromkeys(filter(None, map(_words, here))))
        yield ShownLine(number=number, text=source[number - 1], words=words, verdict=verdict)


def _words(annotation: Annotation) -> str:
    said = shown(annotation.words)
    if annotation.name == "return":
        return ""
    return said if said in ("", annotation.name) else f"{annotation.name} = {said}"


def _worst(verdicts: Iterable[Verdict]) -> Verdict | Literal[""]:
    seen = set(verdicts)
    order: tuple[Verdict, ...] = ("wrong", "follows", "unknown", "right")
    return next((verdict for verdict in order if verdict in seen), "")
