"""Does a rubric give points to what deserves none? Every item is tried on submissions that do nothing right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TypeAlias, cast

import numpy as np

from bnbench.cases import draw, draw_cotangent
from bnbench.diagnose.cause import Slip
from bnbench.diagnose.uw import StageVerdict, diagnose_uw
from bnbench.diagnose.uw_stages import ARGUMENTS, LAYER_RESULTS, Answer, Stage
from bnbench.grading.assignment import dependency_cycle, outputs_of, problems_of
from bnbench.grading.model import Assignment, Item, Visibility
from bnbench.grading.rubric import cases_of, checks_of, layer_of, verdict
from bnbench.kernels import local_kernel
from bnbench.model import (
    Array,
    Capabilities,
    Case,
    Forward,
    GroupedForward,
    Implementation,
    Kernel,
    Norm,
    Outputs,
    Status,
    Vjp,
)
from bnbench.mutants import ALL_MUTANTS, CORRECT, forward_of
from bnbench.reference import normalize
from bnbench.runner import execute, load, plan

DROPPED = (Slip.TERM, Slip.FACTOR, Slip.EPS)
"""The slips of submissions that lack a part: a path, beta, gamma, eps."""
DEVIATES = 1e-3
"""Relative to the largest value of an output: from here on a part that lacks must cost points."""

ANSWERS: Mapping[str, Callable[[Array], Array]] = {
    "all zeros": np.zeros_like,
    "its input": np.copy,
    "nan": lambda a: np.full_like(a, np.nan),
    "infinity": lambda a: np.full_like(a, np.inf),
}
"""What a submission answers that computes nothing, from the argument that has the shape of the answer."""
RIGHT_FAILS = "a right submission does not pass; drop the check that does not apply"


@dataclass(frozen=True, kw_only=True, slots=True)
class Complaint:
    """Something about a rubric that its author should change."""

    item: str
    """The number of the item; "" for the whole."""
    sentence: str


Progress: TypeAlias = Callable[[int, int, str], None]
"""``progress(done, total, doing)``."""


def lint(assignment: Assignment, progress: Progress = lambda *_: None) -> tuple[Complaint, ...]:
    """Complaints on an assignment; () for one that may be used. Takes seconds: checks are run.

    An item is tried with the items that it needs: a submission that fails one of those gets no points for it.
    """
    return (*_of_the_whole(assignment), *_of_items(assignment, progress))


def _of_the_whole(assignment: Assignment) -> Iterator[Complaint]:
    for problem in problems_of(assignment):
        yield Complaint(item="", sentence=problem)
    if assignment.points == 0:
        yield Complaint(item="", sentence="no item is worth any points")
    if all(item.visibility is not Visibility.VISIBLE for item in assignment.items):
        yield Complaint(item="", sentence="every item is hidden: students learn nothing before it is too late")


def _of_items(assignment: Assignment, progress: Progress) -> Iterator[Complaint]:
    if dependency_cycle(assignment.items):
        return
    passes = _passes_cs231n if assignment.kind == "cs231n" else _passes_uw
    for done, item in enumerate(assignment.items):
        progress(done, len(assignment.items), f"{item.number} {item.title}")
        if not item.points:
            continue  # a remark: what passes gains nothing
        chain = tuple(_with_needs(item, {other.number: other for other in assignment.items}))
        for words in passes(chain):
            gains = f"{item.points} points for a submission that is so: {words}; add a check that fails on it"
            yield Complaint(item=item.number, sentence=RIGHT_FAILS if words == RIGHT_FAILS else gains)


def _with_needs(item: Item, by_number: Mapping[str, Item]) -> Iterator[Item]:
    """The item, then those that it needs, directly or not."""
    yield item
    for number in item.needs:
        if number in by_number:
            yield from _with_needs(by_number[number], by_number)


def _passes_cs231n(chain: tuple[Item, ...]) -> Iterator[str]:
    """What the wrong submissions do that get the points of the first item, and the right one if it does not."""
    if not all(_passes(_right(layer_of(item).norm), _whose(item)) for item in chain):
        yield RIGHT_FAILS
    empty, lacking = _submissions(layer_of(chain[0]).norm)
    for submission in (*empty, *(one for one in lacking if _deviates(one, chain[0]))):
        if all(_passes(submission, _whose(item)) for item in chain):
            yield submission.summary


def _whose(item: Item) -> Item:
    """The item without what makes no difference to running it, so that it runs once."""
    return replace(item, number="", title="", points=0, needs=())


@cache
def _right(norm: Norm) -> Implementation:
    return Implementation(name="right", load=partial(forward_of, CORRECT, norm), capabilities=_capabilities(norm))


def _capabilities(norm: Norm) -> Capabilities:
    """Those of a layer of the course."""
    return Capabilities(norm=norm, validates=False, eval_vjp=norm != "batch")


@cache
def _submissions(norm: Norm) -> tuple[tuple[Implementation, ...], tuple[Implementation, ...]]:
    """Submissions that compute nothing, and those that lack a part."""

    def submission(words: str, make: Callable[[], Forward | GroupedForward]) -> Implementation:
        return Implementation(name=words, summary=words, load=make, capabilities=_capabilities(norm))

    empty = [submission(f"answers {name}", partial(_answering, norm, how, how)) for name, how in ANSWERS.items()]
    empty.append(
        submission("answers a constant, and zero gradients", partial(_answering, norm, np.ones_like, np.zeros_like))
    )
    lacking = (
        submission(mutant.bug, partial(forward_of, replace(CORRECT, **mutant.pieces), norm))
        for mutant in ALL_MUTANTS
        if mutant.pieces and mutant.cause is not None and mutant.cause[0] in DROPPED
        if mutant.norm in {"batch", norm}
    )
    return tuple(empty), tuple(lacking)


def _answering(norm: Norm, forward: Callable[[Array], Array], backward: Callable[[Array], Array]) -> Forward:
    """A layer that answers its arguments, passed through a function; gradients from dy, gamma and beta."""

    def batch(
        x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, /, **_: object
    ) -> tuple[Array, tuple[Array, Array], Vjp]:
        return forward(x), (forward(running_mean), forward(running_var)), lambda dy: gradients(dy, gamma, beta)

    def grouped(x: Array, gamma: Array, beta: Array, /, **_: object) -> tuple[Array, Vjp]:
        return forward(x), lambda dy: gradients(dy, gamma, beta)

    def gradients(dy: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
        return backward(dy), backward(gamma), backward(beta)

    return cast("Forward", batch if norm == "batch" else grouped)


@cache
def _passes(implementation: Implementation, item: Item) -> bool:
    loaded = load((implementation,))
    with np.errstate(all="ignore"):
        findings = tuple(execute(plan(loaded.subjects, cases_of(item), checks_of(item)), loaded.subjects))
    return verdict(item, findings) is Status.PASSED


def _deviates(implementation: Implementation, item: Item) -> bool:
    """Whether what lacks shows in the item's outputs at all, on its cases."""
    kernel = local_kernel(implementation.load())
    outputs = item.outputs or outputs_of(item.function)
    return any(_deviation(kernel, case, outputs) > DEVIATES for case in cases_of(item))


def _deviation(kernel: Kernel, case: Case, outputs: Iterable[str]) -> float:
    inputs, dys = draw(case), (draw_cotangent(case),) if case.training else ()
    try:
        with np.errstate(all="ignore"):
            got, expected = kernel(inputs, *dys), normalize(inputs, *dys)
    except Exception:  # noqa: BLE001 - a layer that raises on a shape is no layer that lacks a part
        return 0.0
    differences = []
    for output in outputs:
        a, b = _output(got, output), _output(expected, output)
        differences.append(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) if a.shape == b.shape else np.inf)
    return max(differences)


def _output(outputs: Outputs, name: str) -> Array:
    array: Array = getattr(outputs.gradients[0] if name in {"dx", "dgamma", "dbeta"} else outputs, name)
    return array


def _passes_uw(chain: tuple[Item, ...]) -> Iterator[str]:
    for name in ANSWERS:
        if all(item.function in _right_stages(name) for item in chain):
            yield f"answers {name}"


@cache
def _right_stages(name: str) -> frozenset[str]:
    """The stages that are called right of a submission that answers so."""

    def call(stage: Stage, groups: int, arguments: tuple[Array, ...]) -> Answer:
        given = dict(zip(ARGUMENTS[stage], arguments, strict=True))
        x = given.get("x", given.get("d"))
        per_group = given.get("m", given.get("v", np.ones((1, groups), dtype=np.float32)))
        if stage == "forward":
            shapes = {"y": "x", "y_next": "x_next", "dx": "d", "y_row": "row"}
            like = [given[shapes[result]] if result in shapes else per_group for result in LAYER_RESULTS]
        else:
            like = [x if stage in {"normalize", "delta_batch_norm"} and x is not None else per_group]
        return Answer(status="returned", results=tuple(ANSWERS[name](a) for a in like), arguments=arguments)

    with np.errstate(all="ignore"):
        return frozenset(d.stage for d in diagnose_uw(call) if d.verdict is StageVerdict.RIGHT)
