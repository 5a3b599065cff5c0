"""Diagnose a student's own file: load it, run it on the probe cases in this process, and say what is wrong where."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain
from pathlib import Path

from bnbench.adapters.cs231n import LAYERS, Layer
from bnbench.adapters.program import LayerProgram
from bnbench.adapters.submission import Submission, open_submission
from bnbench.diagnose.cause import Cause, Slip
from bnbench.diagnose.diagnosis import (
    Diagnosis,
    FunctionState,
    LayerDiagnosis,
    Scenario,
    State,
    annotate,
)
from bnbench.diagnose.explanation import explain_causes
from bnbench.diagnose.inquiry import Inquiry, inquire
from bnbench.diagnose.picture import picture
from bnbench.diagnose.suspect import Suspect
from bnbench.diagnose.suspects import find_suspects
from bnbench.kernels import local_kernel

FORWARD_OUTPUTS = ("y", "running_mean", "running_var")


class NothingToDiagnoseError(ValueError):
    """A file without any layer of the course."""


def diagnose_file(
    path: Path, *, only: Collection[str] = (), progress: Callable[[str], None] = lambda _: None
) -> Diagnosis:
    """Every layer of a cs231n ``layers.py`` or notebook: states, suspects, and what each line comes to.

    With ``only``, the layers of these names. ``progress`` is told each layer's name before it is diagnosed.
    Runs the file with the user's rights. Raises OSError when it can't be read, ValueError for a notebook that is
    none, and NothingToDiagnoseError when it has no layer of the course.
    """
    submission = open_submission(path)
    layers = []
    for layer in LAYERS:
        if _line(submission, layer.forward) is None or (layer.name == "batchnorm_alt" and not _has(submission, layer)):
            continue
        if only and layer.name not in only:
            continue
        progress(layer.name)
        layers.append(diagnose_layer(submission, layer))
    if not layers:
        raise NothingToDiagnoseError(
            f"{path.name} defines none of {', '.join(dict.fromkeys(layer.forward for layer in LAYERS))}"
        )
    return Diagnosis(
        file=path.name,
        lines=tuple(submission.source.text.splitlines()),
        remarks=submission.words,
        layers=tuple(layers),
    )


def diagnose_layer(submission: Submission, layer: Layer) -> LayerDiagnosis:
    """One layer of an opened file."""
    forward = _state_before(submission, layer.forward)
    backward = _state_before(submission, layer.backward)
    if forward is not None:
        states = ((layer.forward, forward), (layer.backward, backward or State.UNTRIED))
        return LayerDiagnosis(name=layer.name, functions=tuple(_function(submission, *state) for state in states))
    inquiries = dict(_inquiries(submission, layer, backward=backward is None))
    found = find_suspects(inquiries)
    suspects: dict[tuple[int | None, Slip | None], Suspect] = {}
    for suspect in chain.from_iterable(found.values()):
        suspects.setdefault((suspect.line, suspect.slip), suspect)
    undecided = any(inquiry.wrong and not found[scenario] for scenario, inquiry in inquiries.items())
    train = inquiries["train"]
    return LayerDiagnosis(
        name=layer.name,
        functions=(
            _judged(submission, layer.forward, inquiries, of_forward=True),
            _judged(submission, layer.backward, inquiries, of_forward=False)
            if backward is None
            else _function(submission, layer.backward, backward),
        ),
        suspects=tuple(suspects.values()),
        causes=_causes(submission, layer) if undecided else (),
        annotations=annotate(train, found["train"]),
        picture=picture(train, found["train"], backward=layer.backward),
    )


def _inquiries(submission: Submission, layer: Layer, *, backward: bool) -> Iterator[tuple[Scenario, Inquiry]]:
    scenarios: tuple[tuple[Scenario, bool, bool], ...] = (("train", True, False), ("defaults", True, True))
    if layer.norm == "batch":
        scenarios = (scenarios[0], ("test", False, False), scenarios[1])
    source = submission.source
    spread = not any("of shape (C,)" in remark for remark in submission.remarks.texts)
    for scenario, training, defaults in scenarios:
        program = LayerProgram(
            source.text, source.name, layer, training=training, spread=spread, defaults=defaults, backward=backward
        )
        inquiry = inquire(program)
        yield scenario, inquiry
        if inquiry.failure is not None and scenario == "train":
            return


def _judged(
    submission: Submission, name: str, inquiries: dict[Scenario, Inquiry], *, of_forward: bool
) -> FunctionState:
    wrong: list[str] = []
    raises = False
    for scenario, inquiry in inquiries.items():
        failure = inquiry.failure
        forward_failed = failure is not None and not inquiry.trace.results
        if failure is not None:
            if forward_failed and not of_forward:
                return _function(submission, name, State.UNTRIED)
            raises |= forward_failed == of_forward
            continue
        mode = "" if scenario == "train" else f" ({scenario})"
        wrong += [f"{output}{mode}" for output in inquiry.wrong if (output in FORWARD_OUTPUTS) == of_forward]
    state = State.RAISES if raises else State.WRONG if wrong else State.RIGHT
    return _function(submission, name, state, tuple(wrong))


def _state_before(submission: Submission, name: str) -> State | None:
    """The state of a function that can't be run; None for one that can."""
    function = next((f for f in submission.source.functions if f.name == name), None)
    if function is None or name not in submission.loaded.namespace:
        return State.LOST if _line(submission, name) is not None else State.ABSENT
    return State.UNIMPLEMENTED if function.unimplemented else None


def _line(submission: Submission, name: str) -> int | None:
    for function in submission.source.functions:
        if function.name == name:
            return function.line
    problems = (*submission.source.problems, *submission.loaded.problems)
    return next((problem.line for problem in problems if name in problem.lost), None)


def _has(submission: Submission, layer: Layer) -> bool:
    return _line(submission, layer.backward) is not None and _state_before(submission, layer.backward) is None


def _function(submission: Submission, name: str, state: State, wrong: tuple[str, ...] = ()) -> FunctionState:
    return FunctionState(name=name, line=_line(submission, name), state=state, wrong=wrong)


def _causes(submission: Submission, layer: Layer) -> tuple[Cause, ...]:
    """What the answers alone say."""
    stem = Path(submission.source.name).stem
    implementation = next((i for i in submission.implementations if i.name == f"{stem}.{layer.name}"), None)
    if implementation is None:
        return ()
    try:
        return explain_causes(local_kernel(implementation.load()), implementation.capabilities)
    except Exception:  # noqa: BLE001 - what a student's function raises was said already
        return ()
