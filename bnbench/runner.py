"""Plan, execute, judge: the only place where evidence becomes a verdict.

``plan`` is pure and knows the whole run before anything executes. ``execute`` is where exceptions
end; ``judge`` turns comparisons into a status, and nothing else does.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from bnbench.cases import case_id
from bnbench.kernels import local_kernel
from bnbench.model import (
    Broken,
    Capabilities,
    Case,
    Check,
    Comparison,
    Finding,
    Forward,
    GroupedForward,
    Implementation,
    ImplementationInfo,
    Status,
    Subject,
)
from bnbench.policy import with_threads
from bnbench.registry import Registry, describe_error


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One check of one implementation on one case."""

    implementation: str
    check: Check
    case: Case
    skip: str = ""
    """Why it will not be executed; "" if it will."""

    @property
    def id(self) -> str:
        return f"{self.implementation}/{self.check.code}/{case_id(self.case)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What the implementations of a run turned out to be."""

    subjects: tuple[Subject, ...]
    forwards: Mapping[str, Forward | GroupedForward]
    """The raw functions behind the kernels, by name: what is timed."""
    infos: tuple[ImplementationInfo, ...]
    broken: tuple[Broken, ...]


def load(implementations: Iterable[Implementation]) -> Loaded:
    """Load what is available. What is missing is listed with its reason, what raises is broken."""
    subjects, infos, broken = [], [], []
    forwards: dict[str, Forward | GroupedForward] = {}
    for implementation in implementations:
        reason = Registry.missing(implementation)
        if not reason:
            try:
                forward = implementation.load()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is reported
                reason = describe_error(error)
                broken.append(Broken(source=implementation.name, error=reason))
            else:
                forwards[implementation.name] = forward
                kernel = local_kernel(forward)
                subjects.append(
                    Subject(
                        name=implementation.name,
                        kernel=kernel,
                        capabilities=implementation.capabilities,
                        on_threads=partial(with_threads, kernel),
                    )
                )
        infos.append(
            ImplementationInfo(
                name=implementation.name,
                summary=implementation.summary,
                capabilities=implementation.capabilities,
                available=not reason,
                reason=reason,
            )
        )
    return Loaded(subjects=tuple(subjects), forwards=forwards, infos=tuple(infos), broken=tuple(broken))


class Declared(Protocol):
    """What planning needs to know: a Subject or an Implementation that is not even loaded."""

    @property
    def name(self) -> str: ...
    @property
    def capabilities(self) -> Capabilities: ...


def plan(subjects: Iterable[Declared], cases: Sequence[Case], checks: Sequence[Check]) -> tuple[Task, ...]:
    """Every task of a run, in the order of execution: implementation, case, check.

    A check is planned on the cases of its norms and its mode, an implementation on those of its norm,
    and on float16 only where it declares float16, which few do; what else it does not declare to
    support is planned as skipped, with the reason.
    """
    return tuple(
        Task(
            implementation=subject.name,
            check=check,
            case=case,
            skip=_unsupported(subject, case, check),
        )
        for subject in subjects
        for case in cases
        if case.norm == subject.capabilities.norm
        if case.dtype != "float16" or "float16" in subject.capabilities.dtypes
        for check in checks
        if case.norm in check.norms and check.training in {None, case.training}
    )


def _unsupported(subject: Declared, case: Case, check: Check) -> str:
    declared = subject.capabilities
    if case.dtype not in declared.dtypes:
        return f"declares no support for {case.dtype}"
    if len(case.shape) not in declared.ranks:
        return f"declares no support for {len(case.shape)} dimensions"
    if check.needs_threads and isinstance(subject, Subject) and subject.on_threads is None:
        return "can't be run with another number of threads"
    if check.needs_validation and not declared.validates:
        return "declares not to validate its arguments"
    if check.needs_vjp and not declared.has_vjp(training=case.training):
        return "declares no backward in eval mode"
    return check.blind.get(case.dtype, "")


def execute(tasks: Iterable[Task], subjects: Iterable[Subject], *, plugins: Sequence[str] = ()) -> Iterator[Finding]:
    """Run the tasks one by one and yield a finding for each.

    ``plugins`` are the paths with which the run was started; they appear in the reproducing command.
    """
    by_name = {subject.name: subject for subject in subjects}
    failed: set[tuple[str, Case, str]] = set()
    for task in tasks:
        status, reason, comparisons = _run(task, by_name[task.implementation], failed)
        if status is not Status.PASSED:
            failed.add((task.implementation, task.case, task.check.code))
        yield Finding(
            implementation=task.implementation,
            check=task.check.code,
            claim=task.check.claim,
            case=case_id(task.case),
            status=status,
            reason=reason,
            comparisons=comparisons,
            reproduce=reproduce_command(task, plugins),
        )


def _run(
    task: Task, subject: Subject, failed: set[tuple[str, Case, str]]
) -> tuple[Status, str, tuple[Comparison, ...]]:
    if task.skip:
        return Status.SKIPPED, task.skip, ()
    for code in task.check.after:
        if (task.implementation, task.case, code) in failed:
            return Status.SKIPPED, f"{code} did not pass on this case", ()
    try:
        comparisons = tuple(task.check.run(subject, task.case))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an implementation raises is evidence
        return Status.ERRORED, describe_error(error), ()
    status, reason = judge(comparisons)
    return status, reason, comparisons


def judge(comparisons: Sequence[Comparison]) -> tuple[Status, str]:
    """The verdict on this evidence, and its reason in a few words.

    No evidence is an error, never a pass. NaN fails, because the comparison is written so.
    """
    if not comparisons:
        return Status.ERRORED, "the check yielded no evidence"
    beyond = [c for c in comparisons if not (c.error <= c.limit)]
    if beyond:
        worst = beyond[0]
        return Status.FAILED, f"{worst.quantity} is off by {worst.error:.3g} {worst.unit} (limit {worst.limit:g})"
    if all(c.trivial for c in comparisons):
        return Status.VACUOUS, "everything that was compared is zero on both sides, which proves nothing"
    return Status.PASSED, ""


def reproduce_command(task: Task, plugins: Sequence[str]) -> str:
    """The command that runs this one task again."""
    options = f"{plugin_options(plugins)} --check {task.check.code} --case {case_id(task.case)}"
    return f"bnbench check {shlex.quote(task.implementation)}{options}"


def plugin_options(plugins: Sequence[str]) -> str:
    """The options with which the run was told of its plugins, quoted for a shell."""
    return "".join(f" --plugin {shlex.quote(path)}" for path in plugins)
