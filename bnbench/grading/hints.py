"""A hint for a wrong item, as far as the assignment allows: the line, or else what the answers alone give away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bnbench.adapters.cs231n import Layer
from bnbench.adapters.sandboxed_program import SandboxedProgram
from bnbench.adapters.source import Source
from bnbench.diagnose.cause import Cause, Quantity
from bnbench.diagnose.explanation import explain_causes
from bnbench.diagnose.hints import Hints, cause_hint
from bnbench.diagnose.hints import hint as line_hint
from bnbench.diagnose.inquiry import inquire
from bnbench.diagnose.suspect import Suspect
from bnbench.diagnose.suspects import suspects_of
from bnbench.grading.cs231n import Hinter
from bnbench.grading.model import Item
from bnbench.grading.rubric import cases_of
from bnbench.model import Array, Inputs, Kernel, Outputs, Subject
from bnbench.reference import normalize
from bnbench.sandbox.host import Sandbox

RUNNING = frozenset({"running_mean", "running_var"})


def hinter(level: Hints, sandbox: Sandbox, source: Source) -> Hinter:
    """What gives the hints of one submission. Whatever goes wrong on the way costs the hint and nothing else."""
    suspects: dict[tuple[str, bool, bool], tuple[Suspect, ...]] = {}
    causes: dict[str, tuple[Cause, ...]] = {}

    def found(layer: Layer, *, training: bool, defaults: bool, spread: bool) -> tuple[Suspect, ...]:
        key = (layer.name, training, defaults)
        if key not in suspects:
            try:
                with SandboxedProgram(
                    sandbox, source.text, source.name, layer, training=training, defaults=defaults, spread=spread
                ) as program:
                    suspects[key] = suspects_of(inquire(program))
            except Exception:  # noqa: BLE001 - a stranger's file may upset the diagnosis in any way
                suspects[key] = ()
        return suspects[key]

    def hint(layer: Layer, item: Item, subject: Subject, spread: bool) -> tuple[str, int | None]:
        training = cases_of(item)[0].training
        for defaults in (False, True) if training else (False,):
            here = found(layer, training=training, defaults=defaults, spread=spread)
            concerning = [suspect for suspect in here if concerns(layer, item, suspect)]
            if concerning:
                # Of several the one in the function that the item is about.
                suspect = next((s for s in concerning if s.function == item.function), concerning[0])
                line = suspect.line if level in {Hints.WHERE, Hints.HOW} else None
                return line_hint(suspect, level), line
        if layer.name not in causes:
            try:
                causes[layer.name] = explain_causes(_with_eval(subject.kernel), subject.capabilities)
            except Exception:  # noqa: BLE001 - it raises whatever the submission does
                causes[layer.name] = ()
        cause = chosen(layer, item, causes[layer.name])
        return ("" if cause is None else cause_hint(cause, level)), None

    return hint


def concerns(layer: Layer, item: Item, suspect: Suspect) -> bool:
    """Whether a line can be what makes an item wrong: the forward's spoil both functions, the backward's its own."""
    if item.function == layer.backward:
        return True
    return not _is_gradient(suspect.quantity) and suspect.function != layer.backward and _fits(item, suspect.quantity)


def chosen(layer: Layer, item: Item, causes: Iterable[Cause]) -> Cause | None:
    """The first decided cause that lies where the item looks."""
    decided = [cause for cause in causes if cause.decided and cause.slip is not None]
    if item.function == layer.backward:
        near = [cause for cause in decided if _is_gradient(cause.quantity)]
        return next(iter(near or decided), None)
    return next((c for c in decided if not _is_gradient(c.quantity) and _fits(item, c.quantity)), None)


def _fits(item: Item, quantity: Quantity) -> bool:
    """Whether an item on the running averages alone is about this quantity, and one that leaves them out is not."""
    return not item.outputs or RUNNING.issuperset(item.outputs) == (quantity in RUNNING)


def _is_gradient(quantity: Quantity) -> bool:
    return quantity.startswith("d")


def _with_eval(kernel: Kernel) -> Kernel:
    """The kernel with the right gradients in test mode, where the course defines none and explanations ask for them."""

    def completed(inputs: Inputs, /, *dys: Array, beside: Inputs | None = None) -> Outputs:
        if inputs.options.training or inputs.options.norm != "batch":
            return kernel(inputs, *dys, beside=beside)
        return replace(kernel(inputs, beside=beside), gradients=normalize(inputs, *dys).gradients)

    return completed
