"""What a student is told of an item that did not pass: how it ended, what is off, what else is right."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bnbench.grading.model import Item, ItemResult, Outcome, Visibility
from bnbench.grading.presence import Presence
from bnbench.grading.runs import Run
from bnbench.grading.words import beyond, right_outputs, sample, what_is_wrong
from bnbench.model import Finding, Status
from bnbench.sandbox.worker import Status as Ended
from bnbench.sandbox.worker import SubmissionError


def failures(item: Item, run: Run) -> tuple[Finding, ...]:
    """What failed, of what counts for the item."""
    return tuple(f for f in run.findings if f.status is Status.FAILED and beyond(item, f))


def explained(item: Item, result: ItemResult, run: Run, presence: Presence) -> ItemResult:
    """The result of a run that did not pass; of a hidden item no value is told, nor what an exception says."""
    hidden = item.visibility is not Visibility.VISIBLE
    failed = failures(item, run)
    if isinstance(run.trouble, SubmissionError) and (run.trouble.status is not Ended.ERROR or not failed):
        return _troubled(result, run.trouble, presence, hidden=hidden)
    if failed:
        words = what_is_wrong(item, failed, (), hidden=hidden)
        return replace(result, outcome=Outcome.FAILED, check=failed[0].check, what=words)
    if run.refused:
        return replace(result, outcome=Outcome.FAILED, what="the answer is none" if hidden else run.refused)
    if run.finite and run.verdict is Status.ERRORED:
        unmeasured = next((f.reason for f in run.findings if f.status is not Status.PASSED), "no check applied")
        return replace(result, outcome=Outcome.GRADER_ERROR, what=f"could not be measured: {unmeasured}")
    return replace(result, outcome=Outcome.FAILED, what="the answer has values that are not finite")


def _troubled(result: ItemResult, trouble: SubmissionError, presence: Presence, *, hidden: bool) -> ItemResult:
    outcome = Outcome(trouble.status.value)
    words = {
        Outcome.ERROR: trouble.detail,
        Outcome.MEMORY: trouble.detail,
        Outcome.CRASHED: trouble.detail,
        # What it used differs from run to run.
        Outcome.TIMEOUT_CPU: "used up its processor time",
        Outcome.TIMEOUT_WALL: "gave no answer in time",
        Outcome.PROTOCOL: "sent what is no answer",
    }[outcome]
    what = "" if hidden and outcome is Outcome.ERROR else f"{presence.cell_of(trouble.line)}{words}"
    return replace(result, outcome=outcome, what=what, line=None if hidden else presence.line_of(trouble.line))


def with_sample(item: Item, result: ItemResult, public: Run, plugin: str) -> ItemResult:
    """With a sample that the student can reproduce, where public data shows the mistake too."""
    for finding in public.findings:
        worst = beyond(item, finding)
        if worst:
            got, expected = sample(worst[0])
            command = f"bnbench check {shlex.quote(finding.implementation)} --plugin {shlex.quote(plugin)}"
            command += f" --check {finding.check} --case {finding.case}"
            return replace(result, got=got, expected=expected, reproduce=command)
    return result


def with_rights(result: ItemResult, items: Sequence[Item], runs: Mapping[str, Run]) -> ItemResult:
    """Say which outputs of the same function other visible items found right."""
    if result.outcome is not Outcome.FAILED or not result.check or result.visibility is not Visibility.VISIBLE:
        return result
    right: set[str] = set()
    for item in items:
        if item.function == result.function and item.number in runs and item.visibility is Visibility.VISIBLE:
            right |= set(right_outputs(item, runs[item.number].findings))
    item = next(item for item in items if item.number == result.number)
    return replace(result, what=what_is_wrong(item, failures(item, runs[item.number]), right, hidden=False))
