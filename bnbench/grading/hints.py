"""A hint for a wrong item, as far as the assignment allows: the cause that the outputs themselves give away."""

from __future__ import annotations

from collections.abc import Iterable

from bnbench.adapters.cs231n import Layer
from bnbench.diagnose.cause import Cause
from bnbench.diagnose.explanation import explain_causes
from bnbench.grading.cs231n import Hinter
from bnbench.grading.model import Hints, Item
from bnbench.model import Subject

RUNNING = frozenset({"running_mean", "running_var"})


def hinter(level: Hints) -> Hinter:
    """What gives the hints of one submission; each layer is explained once."""
    known: dict[str, tuple[Cause, ...]] = {}

    def hint(layer: Layer, item: Item, subject: Subject) -> tuple[str, int | None]:
        if level is Hints.NONE:
            return "", None
        if layer.name not in known:
            try:
                known[layer.name] = explain_causes(subject.kernel, subject.capabilities)
            except Exception:  # noqa: BLE001 - it raises whatever the submission does, and a hint is not worth a grade
                known[layer.name] = ()
        cause = chosen(layer, item, known[layer.name])
        return ("" if cause is None else cause.sentence), None

    return hint


def chosen(layer: Layer, item: Item, causes: Iterable[Cause]) -> Cause | None:
    """The first decided cause that lies where the item looks; a wrong forward also spoils its backward."""
    decided = [cause for cause in causes if cause.decided and cause.slip is not None]
    if item.function == layer.backward:
        near = [cause for cause in decided if cause.quantity.startswith("d")]
    else:
        near = [cause for cause in decided if not cause.quantity.startswith("d")]
        if item.outputs and RUNNING.issuperset(item.outputs):
            near = [cause for cause in near if cause.quantity in RUNNING] or near
    return next(iter(near or decided), None)
